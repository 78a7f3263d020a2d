"""The operations as operators of torch: ``torch.ops.plr_fast.*``, which torch.compile and torch.export put into graphs.

Use the public functions: they call the operators where a graph is made, and skip them elsewhere, since an operator
costs a call several times what the rest of Python does. Each has two forms: ``name(...) -> Tensor``, and one that
writes, ``name_out(out, ...)``. Schemas know signed integers alone: ``seed`` stands for the unsigned one of the same
bits. A lesion bank comes as the four tensors of :class:`~plr_fast.backends.specs.PatchBank`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..backends.specs import PatchBank
from .bank import LesionBank, is_sound
from .clouds import clouds
from .filters import blur, shuffle
from .homes import home_of, same_home
from .noise import noise
from .paste import paste

_LIBRARY: Any = torch.library.Library("plr_fast", "FRAGMENT")  # type: ignore[no-untyped-call]

_SAMPLES = "SymInt seed, Tensor? samples"
_WINDOWS = "int? windows, int[]? window"


def _define(name: str, arguments: str, run: Callable[..., Any], fake: Callable[..., torch.Tensor]) -> None:
    """Register an operator and its variant with ``out``: ``run`` does the work, ``fake`` tells shape and dtype."""

    def unsigned(*tensors: Any, seed: int, out: Any = None, **settings: Any) -> Any:
        return run(*tensors, seed=seed % 2**64, out=out, **settings)

    def into(out: torch.Tensor, *tensors: Any, **settings: Any) -> None:
        unsigned(*tensors, out=out, **settings)

    def nothing(*_tensors: Any, **_settings: Any) -> None:
        pass

    variants: list[tuple[str, str, Callable[..., Any], Callable[..., Any]]] = [
        (name, f"({arguments}) -> Tensor", unsigned, fake),
        (f"{name}_out", f"(Tensor(a!) out, {arguments}) -> ()", into, nothing),
    ]
    for variant, schema, function, fake_function in variants:
        _LIBRARY.define(variant + schema, tags=(torch.Tag.pt2_compliant_tag,))
        _LIBRARY.impl(variant, function, "CompositeExplicitAutograd")
        torch.library.register_fake(f"plr_fast::{variant}", fake_function, lib=_LIBRARY)


class _TensorBank(LesionBank):
    """A bank as an operator gets it: its patches, without the settings behind them."""

    def __init__(self, *packed: torch.Tensor) -> None:
        self._covers = {}
        self._home = home_of(packed[0], "pixels")
        if self._home.on_host:
            self.packed = self._placed = PatchBank(*(part.numpy() for part in packed))
            if not is_sound(self.packed):
                raise ValueError("pixels, offsets, heights and widths do not make a lesion bank")
            return
        # On a device only what can be seen without waiting is looked at: they come from a LesionBank that is there.
        for part, dtype in zip(packed, ("uint8", "int64", "int32", "int32"), strict=True):
            same_home(self._home, part, "a part of the bank", "its pixels")
            if self._home.dtype(part) != dtype or not part.is_contiguous() or part.ndim != 1:
                raise ValueError("pixels, offsets, heights and widths do not make a lesion bank")
        parts: tuple[Any, ...] = packed
        self._placed = PatchBank(*parts)


def _noise(shape: Sequence[int], *, device: torch.device | None = None, **settings: Any) -> Any:
    return noise(shape, device=device, **settings)


def _paste(images: torch.Tensor, masks: torch.Tensor, *bank: torch.Tensor, **settings: Any) -> Any:
    return paste(images, masks, _TensorBank(*bank), return_info=False, lesion_mask=False, **settings)


def _clouds(images: torch.Tensor, masks: torch.Tensor, **settings: Any) -> Any:
    return clouds(images, masks, return_info=False, lesion_mask=False, **settings)


def _new(
    shape: Sequence[int], *, dtype: torch.dtype, device: torch.device | None = None, **_settings: Any
) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device=device or "cpu")


def _like_images(images: torch.Tensor, *_tensors: torch.Tensor, **_settings: Any) -> torch.Tensor:
    return images.new_empty(images.shape)


_define(
    "perlin_noise",
    f"SymInt[] shape, *, float[] cells, int octaves, float persistence, float lacunarity, {_SAMPLES}, bool tileable, "
    "ScalarType dtype, str grey, Device? device=None",
    _noise,
    _new,
)
_define(
    "paste_lesions",
    "Tensor images, Tensor masks, Tensor pixels, Tensor offsets, Tensor heights, Tensor widths, *, int[] count, "
    f"str blend, float[] alpha, int feather, str shape, str inside, {_SAMPLES}, bool? check",
    _paste,
    _like_images,
)
_define(
    "paste_clouds",
    "Tensor images, Tensor masks, *, float[] cells, int octaves, float persistence, float lacunarity, str combine, "
    f"int[] threshold, int softness, int[] texture, str blend, float[] alpha, int min_area, {_SAMPLES}, bool? check",
    _clouds,
    _like_images,
)
_define(
    "gaussian_blur",
    f"Tensor images, *, int size, float sigma, {_WINDOWS}, {_SAMPLES}, bool? check",
    blur,
    _like_images,
)
_define(
    "local_shuffle",
    f"Tensor images, *, int[] grid, {_WINDOWS}, {_SAMPLES}, bool? check",
    shuffle,
    _like_images,
)
