"""What the public operations do while torch.compile or torch.export traces them: call the operators of ``library``.

Arguments are put into the form of the operators' schemas; they are checked when the operator runs. Dynamo traces these
functions, so they stay plain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .arguments import seed_value


def perlin_noise(shape: Any, *, cells: Any, dtype: Any, device: Any, out: Any, **settings: Any) -> Any:
    if not _can_trace(out):
        return _untraced("perlin_noise")(shape, cells=cells, dtype=dtype, device=device, out=out, **settings)
    settings["device"] = None if device is None or out is not None else torch.device(device)
    settings["cells"] = _each(cells, len(shape) - 1)
    if not isinstance(dtype, (str, torch.dtype)):
        dtype = np.dtype(dtype).name
    settings["dtype"] = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    return _call("perlin_noise", [list(shape)], out, settings)


def paste_lesions(
    images: Any, masks: Any, bank: Any, *, out: Any, return_info: bool, lesion_mask: Any, **settings: Any
) -> Any:
    report = return_info or lesion_mask is not False
    if report or not _can_trace(images, masks, out) or not hasattr(bank, "packed"):
        return _untraced("paste_lesions")(
            images, masks, bank, out=out, return_info=return_info, lesion_mask=lesion_mask, **settings
        )
    packed = bank._placed
    arrays = [packed.pixels, packed.offsets, packed.heights, packed.widths]
    tensors = [part if isinstance(part, torch.Tensor) else torch.from_numpy(part) for part in arrays]
    settings["count"] = _each(settings["count"], 2)
    settings["alpha"] = _each(settings["alpha"], 2)
    return _call("paste_lesions", [images.detach(), masks, *tensors], out, settings)


def paste_clouds(images: Any, masks: Any, *, out: Any, return_info: bool, lesion_mask: Any, **settings: Any) -> Any:
    if return_info or lesion_mask is not False or not _can_trace(images, masks, out):
        return _untraced("paste_clouds")(
            images, masks, out=out, return_info=return_info, lesion_mask=lesion_mask, **settings
        )
    for name in ("cells", "threshold", "texture", "alpha"):
        settings[name] = _each(settings[name], 2)
    return _call("paste_clouds", [images.detach(), masks], out, settings)


def gaussian_blur(images: Any, *, window: Any, out: Any, **settings: Any) -> Any:
    if not _can_trace(images, out):
        return _untraced("gaussian_blur")(images, window=window, out=out, **settings)
    settings["window"] = None if window is None else _each(window, 2)
    return _call("gaussian_blur", [images.detach()], out, settings)


def local_shuffle(images: Any, *, grid: Any, window: Any, out: Any, **settings: Any) -> Any:
    if not _can_trace(images, out):
        return _untraced("local_shuffle")(images, grid=grid, window=window, out=out, **settings)
    settings["grid"] = _each(grid, 2)
    settings["window"] = None if window is None else _each(window, 2)
    return _call("local_shuffle", [images.detach()], out, settings)


def _can_trace(*arrays: Any) -> bool:
    """Tell whether all are tensors or left out; NumPy arrays would be neither read nor returned as what they are."""
    return all(array is None or isinstance(array, torch.Tensor) for array in arrays)


def _untraced(name: str) -> Any:
    """Return the operation itself, for a call outside the graph; with ``fullgraph`` that is an error."""
    from . import untraced  # imported by need: it loads Dynamo

    return getattr(untraced, name)


def _call(name: str, arguments: list[Any], out: Any, settings: dict[str, Any]) -> Any:
    settings["seed"] = _as_int64(seed_value(settings["seed"]))
    settings["samples"] = _ids(settings["samples"])
    if out is None:
        return getattr(torch.ops.plr_fast, name)(*arguments, **settings)
    getattr(torch.ops.plr_fast, f"{name}_out")(out.detach(), *arguments, **settings)
    return out


def _each(value: Any, count: int) -> list[Any]:
    """Return one value for each of ``count`` places: a sequence as it is, anything else repeated."""
    return list(value) if isinstance(value, (tuple, list)) else [value] * count


def _as_int64(seed: int) -> int:
    """Return the int64 of the same bits: schemas have no unsigned numbers."""
    return seed - 2**64 if seed >= 2**63 else seed


def _ids(samples: Any) -> torch.Tensor | None:
    if samples is None or isinstance(samples, torch.Tensor):
        return samples
    if isinstance(samples, np.ndarray):
        return torch.from_numpy(samples)
    return torch.tensor(list(samples), dtype=torch.int64, device="cpu")
