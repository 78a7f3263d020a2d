"""Perlin octave noise (paper III.B)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar, cast, overload

import numpy as np
import torch

from ..backends import active_backend, get_num_threads
from ..backends.specs import MAX_OCTAVES, NoiseFormat, NoiseSpec
from . import memory, tracing
from .arguments import (
    LARGEST_SIDE,
    choice,
    ids_at,
    integer,
    number,
    require_memory,
    sample_ids,
    seed_value,
    writeable,
    written,
)
from .homes import Home, home_of, home_on

DTypeName = Literal["float32", "float16", "bfloat16", "uint8"]
Out = TypeVar("Out", torch.Tensor, np.ndarray)

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "uint8": torch.uint8}
_LARGEST_FREQUENCY = 2.0**30  # lattice lines are counted in int32
_Scheme = tuple[tuple[float, float, float], int, float, float, bool, NoiseFormat]  # a NoiseSpec without its seed


@overload
def perlin_noise(
    shape: Sequence[int],
    *,
    cells: float | Sequence[float] = ...,
    octaves: int = ...,
    persistence: float = ...,
    lacunarity: float = ...,
    seed: int = ...,
    samples: Iterable[int] | torch.Tensor | None = ...,
    tileable: bool = ...,
    dtype: DTypeName | torch.dtype | np.dtype[Any] | type[np.generic] = ...,
    grey: Literal["fixed", "minmax"] = ...,
    device: str | torch.device | None = ...,
    out: None = ...,
) -> torch.Tensor: ...


@overload
def perlin_noise(
    shape: Sequence[int],
    *,
    cells: float | Sequence[float] = ...,
    octaves: int = ...,
    persistence: float = ...,
    lacunarity: float = ...,
    seed: int = ...,
    samples: Iterable[int] | torch.Tensor | None = ...,
    tileable: bool = ...,
    dtype: DTypeName | torch.dtype | np.dtype[Any] | type[np.generic] = ...,
    grey: Literal["fixed", "minmax"] = ...,
    device: str | torch.device | None = ...,
    out: Out,
) -> Out: ...


def perlin_noise(
    shape: Sequence[int],
    *,
    cells: float | Sequence[float] = 4,
    octaves: int = 4,
    persistence: float = 0.5,
    lacunarity: float = 2,
    seed: int = 0,
    samples: Iterable[int] | torch.Tensor | None = None,
    tileable: bool = False,
    dtype: DTypeName | torch.dtype | np.dtype[Any] | type[np.generic] = "float32",
    grey: Literal["fixed", "minmax"] = "fixed",
    device: str | torch.device | None = None,
    out: torch.Tensor | np.ndarray | None = None,
) -> torch.Tensor | np.ndarray:
    """Return Perlin octave noise, one independent sample per batch entry, in [-1, 1] (or 0..255 for uint8).

    A sample depends on ``seed``, its id and the settings alone: not on its place in the batch, the number of threads or
    the backend. Any height and width will do; nothing needs to divide anything.

    Args:
        shape: (B, H, W) for images or (B, D, H, W) for volumes.
        cells: lattice cells across the image in the first octave, any positive number; one for all axes, or one per
            axis in the order of ``shape``. The lattice repeats after 256 cells.
        octaves: number of octaves, 1..24.
        persistence: amplitude of each octave relative to the one before, 0..16.
        lacunarity: cells of each octave relative to the one before, 1..64.
        seed: 0..2^64-1.
        samples: ids of the samples (integers that fit int64), one per batch entry; default 0..B-1.
        tileable: make opposite edges meet; every octave must then have whole cells on every axis.
        dtype: "float32", "float16", "bfloat16" (both rounded from float32) or "uint8", or the dtype of torch or NumPy.
        grey: for uint8, "fixed" maps -1..1 to 0..255; "minmax" maps each sample's own extremes to 0..255, as the
            paper's rule "mean grey above 180" presumes (a flat sample becomes 0).
        device: of the result: "cpu" (the same as None), "cuda", "cuda:1", ...; with ``out``, that of ``out``.
        out: tensor or array (torch, NumPy, CuPy) to write to, of that shape and dtype, any strides. Fastest: the page
            faults of fresh memory take about half the time of filling it where the system grants huge pages, twice that
            time where not (see docs/design.md).

    Returns:
        A torch tensor of ``shape``, or ``out`` itself.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range, or ``out`` of another shape, dtype or device.
        MemoryError: the result would not fit into this machine's memory, or the GPU's.
        BackendUnavailableError: there is no such GPU here, or nothing that can run on it; the message says why.
    """
    run = tracing.perlin_noise if torch.compiler.is_compiling() else noise
    return run(
        shape, cells=cells, octaves=octaves, persistence=persistence, lacunarity=lacunarity, seed=seed, samples=samples,
        tileable=tileable, dtype=dtype, grey=grey, device=device, out=out,
    )  # fmt: skip


def noise(
    shape: object,
    *,
    cells: object,
    octaves: object,
    persistence: object,
    lacunarity: object,
    seed: object,
    samples: object,
    tileable: object,
    dtype: object,
    grey: object,
    device: object,
    out: torch.Tensor | np.ndarray | None,
) -> torch.Tensor | np.ndarray:
    """Check the arguments of :func:`perlin_noise`, and do its work."""
    plan = noise_plan(shape, cells, octaves, persistence, lacunarity, tileable, dtype, grey)
    spec = plan.seeded(seed_value(seed))
    if out is None:
        home = home_on(device)
    else:
        home = home_of(out, "out")
        if device is not None and home_on(device).device != home.device:
            raise ValueError(f"out is on {home.device}, but device is {device}: leave device out, or move out there")
        _check_out(home, out, plan)
        written(out)
    if not home.on_host:
        made: torch.Tensor = _device_noise(home, plan, spec, samples, out)
        return made
    threads = get_num_threads()
    require_memory(plan.memory(threads, fresh=out is None), plan.title)
    ids = sample_ids(samples, plan.sizes[0])
    result = memory.fresh(plan.sizes, plan.dtype) if out is None else out
    view = _numpy_view(result)
    # Backends write whole rows; other layouts get a contiguous copy of their own.
    direct = home.has_rows(view)
    rows = view if direct else np.empty(view.shape, view.dtype)
    active_backend().noise(rows, ids, spec, threads)
    if not direct:
        view[...] = rows
    return result


def _device_noise(home: Home, plan: _Plan, spec: NoiseSpec, samples: object, out: Any) -> Any:
    """Do the work of :func:`noise` in a device's memory."""
    ids = ids_at(home, samples, plan.sizes[0])
    result = home.empty(plan.sizes, _name(plan.dtype)) if out is None else out
    view = result.detach() if isinstance(result, torch.Tensor) else result
    # Launches write whole rows; other layouts get a copy.
    direct = home.has_rows(view)
    rows = view if direct else home.empty(plan.sizes, _name(plan.dtype))
    home.backend().noise(rows, ids, spec, 0)
    if not direct:
        with home.chosen():
            view[...] = rows
    return result


class _Plan(NamedTuple):
    """A call without its seed, samples and output: checked, and what it needs."""

    sizes: tuple[int, ...]
    dtype: torch.dtype
    scheme: _Scheme
    title: str
    bytes_out: int
    bytes_shared: int
    bytes_per_thread: int

    def seeded(self, seed: int) -> NoiseSpec:
        return NoiseSpec(seed, *self.scheme)

    def memory(self, threads: int, fresh: bool) -> int:
        """Return the bytes that a call needs, at most; ``fresh`` if its output is among them."""
        return self.bytes_out * fresh + self.bytes_shared + self.bytes_per_thread * min(threads, self.sizes[0])


def noise_plan(shape: object, cells: object, *settings: object) -> _Plan:
    """Return the plan of a call; one like an earlier call's is not checked again."""
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"shape must be (B, H, W) or (B, D, H, W), not {type(shape).__name__}")
    if isinstance(cells, (tuple, list, np.ndarray)):
        cells = tuple(cell_count(c) for c in cells)
    try:
        return _known_plan(cells, *settings, *shape)
    except TypeError:  # an argument that cannot be looked up, or a wrong one: the way without memory says which
        pass
    return _known_plan.__wrapped__(cells, *settings, *shape)


# The memory tells arguments apart by value and type (True is not 1), but looks at values alone inside a tuple: so sizes
# come one by one, and cells per axis as floats.
@lru_cache(maxsize=256, typed=True)
def _known_plan(
    cells: object,
    octaves: object,
    persistence: object,
    lacunarity: object,
    tileable: object,
    dtype: object,
    grey: object,
    *shape: object,
) -> _Plan:
    sizes = _sizes(shape)
    axes = _cells(cells, len(sizes) - 1)
    sums = octave_settings(octaves, persistence, lacunarity)
    form = _format(dtype, grey)
    if not isinstance(tileable, (bool, np.bool_)):
        raise TypeError(f"tileable must be True or False, not {tileable!r}")
    spec = NoiseSpec(0, axes, **sums, tileable=bool(tileable), format=form)
    _check_frequencies(spec, len(sizes) - 1)
    target = _DTYPES.get(form, torch.uint8)
    row = 4 * (19 * spec.octaves + 8) * sizes[-1]
    # Min-max stretching holds each thread's whole sample in float32.
    sample = 4 * math.prod(sizes[1:]) if form == "minmax" else 0
    return _Plan(
        sizes,
        target,
        spec[1:],
        title=f"noise of shape {sizes}",
        bytes_out=math.prod(sizes) * target.itemsize,
        bytes_shared=64 * spec.octaves * sum(sizes[1:]),  # the tables of the axes
        bytes_per_thread=row + sample,
    )


def _sizes(shape: tuple[object, ...]) -> tuple[int, ...]:
    if len(shape) not in (3, 4):
        raise ValueError(f"shape must be (B, H, W) or (B, D, H, W), not {shape}")
    batch = integer(shape[0], "shape[0]", 0, LARGEST_SIDE)
    return (batch, *(integer(n, f"shape[{i}]", 1, LARGEST_SIDE) for i, n in enumerate(shape[1:], 1)))


class OctaveSettings(TypedDict):
    """How the octaves of a sum relate, checked."""

    octaves: int
    persistence: float
    lacunarity: float


def octave_settings(octaves: object, persistence: object, lacunarity: object) -> OctaveSettings:
    return {
        "octaves": integer(octaves, "octaves", 1, MAX_OCTAVES),
        "persistence": number(persistence, "persistence", 0.0, 16.0) + 0.0,  # -0.0 means 0.0
        "lacunarity": number(lacunarity, "lacunarity", 1.0, 64.0),
    }


def cell_count(cells: object) -> float:
    return number(cells, "cells", 1e-6, _LARGEST_FREQUENCY)


def _cells(cells: object, dims: int) -> tuple[float, float, float]:
    if isinstance(cells, (tuple, list, np.ndarray)):
        if len(cells) != dims:
            raise ValueError(f"cells must be one number or one for each of the {dims} axes, not {len(cells)}")
        values = [cell_count(c) for c in cells]
    else:
        values = [cell_count(cells)] * dims
    z, y, x = [1.0] * (3 - dims) + values
    return z, y, x


def _format(dtype: object, grey: object) -> NoiseFormat:
    if isinstance(dtype, np.dtype) or (isinstance(dtype, type) and issubclass(dtype, np.generic)):
        dtype = np.dtype(dtype).name
    name = choice(_name(dtype) if isinstance(dtype, torch.dtype) else dtype, "dtype", _DTYPES)
    scale = choice(grey, "grey", ("fixed", "minmax"))
    return cast(NoiseFormat, scale if name == "uint8" else name)


def _check_frequencies(spec: NoiseSpec, dims: int) -> None:
    axes = spec.cells[3 - dims :]
    finest = max(axes) * spec.lacunarity ** (spec.octaves - 1)
    if finest > _LARGEST_FREQUENCY:
        raise ValueError(f"the last octave would have {finest:g} cells, more than 2^30: lower octaves or lacunarity")
    if not spec.tileable:
        return
    for cells in axes:
        frequency = cells
        for o in range(spec.octaves):
            if frequency != int(frequency):
                raise ValueError(
                    f"tileable noise needs whole cells in every octave, but octave {o} has {frequency:g}: "
                    "choose whole cells and lacunarity"
                )
            frequency *= spec.lacunarity


def _check_out(home: Home, out: Any, plan: _Plan) -> None:
    if not writeable(out):
        raise ValueError("out must be writeable")
    if isinstance(out, torch.Tensor):
        same_dtype, contiguous = out.dtype is plan.dtype, out.is_contiguous()
    else:
        same_dtype, contiguous = out.dtype == _name(plan.dtype), home.is_contiguous(out)
    if not same_dtype:
        raise ValueError(
            f"out has dtype {_name(out.dtype)}, but the noise is to be {_name(plan.dtype)}: {_dtype_advice(out.dtype)}"
        )
    if tuple(out.shape) != plan.sizes:
        raise ValueError(f"out must have shape {plan.sizes}, not {tuple(out.shape)}")
    if not contiguous and _repeats(out):
        raise ValueError(
            "out holds the same memory several times (an expanded tensor, overlapping strides): "
            "pass one with a place per value"
        )


def _repeats(out: Any) -> bool:
    strides, step = (out.stride(), 1) if isinstance(out, torch.Tensor) else (out.strides, out.itemsize)
    # From the densest axis on, each step must lead beyond all that the axes before it reach.
    reach = 0
    for stride, n in sorted((abs(stride), n) for stride, n in zip(strides, out.shape, strict=True) if n > 1):
        if stride < reach + step:
            return True
        reach += stride * (n - 1)
    return False


def _dtype_advice(dtype: object) -> str:
    name = _name(dtype)
    return f"pass dtype={name!r}" if name in _DTYPES else f"pass an out of {', '.join(_DTYPES)}"


def _name(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")


def _numpy_view(target: torch.Tensor | np.ndarray) -> np.ndarray:
    if isinstance(target, np.ndarray):
        return target
    if target.dtype == torch.bfloat16:  # NumPy has none: hand over its bits
        target = target.view(torch.uint16)
    return (target.detach() if target.requires_grad else target).numpy()
