"""Perlin octave noise (paper III.B)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, TypedDict, TypeVar, cast, overload

import numpy as np
import torch

from ..backends import active_backend, get_num_threads
from ..backends.specs import MAX_OCTAVES, NoiseFormat, NoiseSpec
from .arguments import LARGEST_SIDE, choice, integer, number, require_cpu, require_memory, sample_ids, seed_value

DTypeName = Literal["float32", "float16", "bfloat16", "uint8"]
Out = TypeVar("Out", torch.Tensor, np.ndarray)

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "uint8": torch.uint8}
_LARGEST_FREQUENCY = 2.0**30  # lattice lines are counted in int32


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
    dtype: DTypeName | torch.dtype = ...,
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
    dtype: DTypeName | torch.dtype = ...,
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
    dtype: DTypeName | torch.dtype = "float32",
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
        dtype: "float32", "float16", "bfloat16" (both rounded from float32) or "uint8", or the torch dtype.
        grey: for uint8, "fixed" maps -1..1 to 0..255; "minmax" maps each sample's own extremes to 0..255, as the
            paper's rule "mean grey above 180" presumes (a flat sample becomes 0).
        device: "cpu" or None.
        out: tensor or array to write to, of that shape and dtype, any strides; avoids the page faults of fresh memory,
            which cost several times the noise itself.

    Returns:
        A torch tensor of ``shape``, or ``out`` itself.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range, or ``out`` of another shape, dtype or device.
        MemoryError: the result would not fit into this machine's memory.
    """
    sizes = _shape(shape)
    if out is not None and not isinstance(out, (torch.Tensor, np.ndarray)):
        raise TypeError(f"out must be a torch tensor or a NumPy array, not {type(out).__name__}")
    spec = NoiseSpec(
        seed=seed_value(seed),
        cells=_cells(cells, len(sizes) - 1),
        **octave_settings(octaves, persistence, lacunarity),
        tileable=bool(tileable),
        format=_format(dtype, grey, out),
    )
    _check_frequencies(spec, len(sizes) - 1)
    ids = sample_ids(samples, sizes[0])
    require_cpu(device, "device")
    target = _output(sizes, spec.format, spec.octaves, out)
    result = out if out is not None else target
    view = _numpy_view(target)
    # Backends write whole rows; other layouts get a contiguous copy of their own.
    direct = view.strides[-1] == view.itemsize or view.shape[-1] == 1
    rows = view if direct else np.empty(view.shape, view.dtype)
    active_backend().noise(rows, ids, spec, get_num_threads())
    if not direct:
        view[...] = rows
    return result


def _shape(shape: object) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list, torch.Size)):
        raise TypeError(f"shape must be (B, H, W) or (B, D, H, W), not {type(shape).__name__}")
    if len(shape) not in (3, 4):
        raise ValueError(f"shape must be (B, H, W) or (B, D, H, W), not {tuple(shape)}")
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
        "persistence": number(persistence, "persistence", 0.0, 16.0),
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


def _format(dtype: object, grey: object, out: torch.Tensor | np.ndarray | None) -> NoiseFormat:
    name = str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else dtype
    name = choice(name, "dtype", _DTYPES)
    form = choice(grey, "grey", ("fixed", "minmax")) if name == "uint8" else name
    if out is not None and str(out.dtype).removeprefix("torch.") != name:
        raise ValueError(f"out has dtype {out.dtype}, but the noise is to be {name}: pass dtype={str(out.dtype)!r}")
    return cast(NoiseFormat, form)


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


def _output(
    sizes: tuple[int, ...], form: NoiseFormat, octaves: int, out: torch.Tensor | np.ndarray | None
) -> torch.Tensor | np.ndarray:
    dtype = _DTYPES.get(form, torch.uint8)
    size = math.prod(sizes) * dtype.itemsize
    require_memory((0 if out is not None else size) + _scratch(sizes, form, octaves), f"noise of shape {sizes}")
    if out is None:
        try:
            return torch.empty(sizes, dtype=dtype, device="cpu")
        except RuntimeError as error:  # torch's way of saying that memory is out
            raise MemoryError(f"noise of shape {sizes} needs {size / 2**30:.1f} GiB: {error}") from None
    if tuple(out.shape) != sizes:
        raise ValueError(f"out must have shape {sizes}, not {tuple(out.shape)}")
    if isinstance(out, torch.Tensor):
        require_cpu(out.device, "out")
        strides = out.stride()
    else:
        strides = out.strides
        if not out.flags.writeable:
            raise ValueError("out must be writeable")
    if any(n > 1 and stride == 0 for n, stride in zip(sizes, strides, strict=True)):
        raise ValueError(
            "out holds the same memory several times (an expanded tensor): pass one with a place per value"
        )
    return out


def _scratch(sizes: tuple[int, ...], form: NoiseFormat, octaves: int) -> int:
    """Return the bytes that a call needs beside its output, at most."""
    workers = max(1, min(get_num_threads(), sizes[0]))
    tables = 64 * octaves * sum(sizes[1:])
    rows = workers * 4 * (7 * octaves + 8) * sizes[-1]
    # Min-max stretching holds each thread's whole sample in float32.
    return tables + rows + (workers * 4 * math.prod(sizes[1:]) if form == "minmax" else 0)


def _numpy_view(target: torch.Tensor | np.ndarray) -> np.ndarray:
    if isinstance(target, np.ndarray):
        return target
    if target.dtype == torch.bfloat16:  # NumPy has none: hand over its bits
        target = target.view(torch.uint16)
    return target.detach().numpy()
