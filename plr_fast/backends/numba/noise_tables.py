"""What all samples of one kind of noise share, packed for the kernels and kept between calls."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..specs import LATTICE_PERIOD, NoiseSpec
from ..tables import Axis, amplitudes, axis_table, frequencies, gradients
from .vectors import LANES, TILE_COLUMNS


class NoiseTables(NamedTuple):
    """Read-only tables of one shape and setting; the axes are those of ``Axis`` in ``csrc/core/noise.h``.

    Columns are padded with zeros to whole tiles.
    """

    gradient: Any  # (octaves, 3, 256) float32: x, y, z
    x_lattice: Any  # (octaves, most lattice columns) int32
    x_edge: Any  # (octaves, most lattice columns + 2) int32: cell i, from lattice column i on, is edge[i + 1] : edge[i + 2]
    x_count: Any  # (octaves,) int64: lattice columns
    x_widest: Any  # (octaves,) int64: columns of the widest cell
    column: Any  # (3 * octaves, padded width) float32: d, dm, s of each octave
    y_slot: Any  # (octaves, height) int32
    y_lattice: Any  # (octaves, most lattice rows) int32
    row: Any  # (3 * octaves, height) float32: d, s, sd of each octave
    band: Any  # (bands + 1,) int64: first rows of the bands in which no octave leaves its lattice row, and the height
    z_slot: Any  # (octaves, depth) int32
    z_lattice: Any  # (octaves, most lattice planes) int32
    plane: Any  # (3 * octaves, depth) float32: d, dm, s of each octave


def noise_tables(shape: tuple[int, int, int], dims: int, spec: NoiseSpec) -> NoiseTables:
    """Return the tables of samples of ``shape`` (depth, height, width); ``spec.seed`` and ``spec.format`` don't matter."""
    return _noise_tables(shape, dims, spec.cells, spec.octaves, spec.persistence, spec.lacunarity, spec.tileable)


@lru_cache(maxsize=16)
def _noise_tables(
    shape: tuple[int, int, int],
    dims: int,
    cells: tuple[float, float, float],
    octaves: int,
    persistence: float,
    lacunarity: float,
    tileable: bool,
) -> NoiseTables:
    spec = NoiseSpec(0, cells, octaves, persistence, lacunarity, tileable, "float32")
    z, y, x = (
        [axis_table(n, each[axis], tileable) for each in frequencies(spec)] for axis, n in enumerate(shape)
    )
    gradient = np.stack([gradients(dims) * scale for scale in amplitudes(spec, dims)]).astype(np.float32)
    padded = max(-(-shape[2] // LANES) * LANES, TILE_COLUMNS)
    tables = NoiseTables(
        gradient=gradient,
        x_lattice=_rows([axis.lattice for axis in x]),
        x_edge=_rows([_edges(axis) for axis in x]),
        x_count=np.array([axis.lattice.size for axis in x], np.int64),
        x_widest=np.array([np.bincount(axis.slot).max() for axis in x], np.int64),
        column=_aligned(_rows([values for axis in x for values in (axis.d, axis.dm, axis.s)], padded)),
        y_slot=_rows([axis.slot for axis in y]),
        y_lattice=_rows([axis.lattice for axis in y]),
        row=_rows([values for axis in y for values in (axis.d, axis.s, axis.sd)]),
        band=_bands(y),
        z_slot=_rows([axis.slot for axis in z]),
        z_lattice=_rows([axis.lattice for axis in z]),
        plane=_rows([values for axis in z for values in (axis.d, axis.dm, axis.s)]),
    )
    for array in tables:
        array.flags.writeable = False
    return tables


def _rows(values: list[Any], width: int = 0) -> Any:
    """Stack 1-D arrays of several lengths, padded with zeros."""
    width = max(width, *(each.size for each in values), 0)
    result = np.zeros((len(values), width), values[0].dtype)
    for row, each in zip(result, values, strict=True):
        row[: each.size] = each
    return result


def _aligned(values: Any) -> Any:
    """Copy a float32 array to the start of a cache line."""
    line = LANES
    memory = np.empty(values.size + line, np.float32)
    start = -(memory.ctypes.data // memory.itemsize) % line
    result = memory[start : start + values.size].reshape(values.shape)
    result[:] = values
    return result


def _edges(axis: Axis) -> Any:
    # Cell i is what lies after lattice column i; before the first and after the last there are empty ones.
    starts = np.searchsorted(axis.slot, np.arange(axis.lattice.size))
    return np.concatenate([[0], starts, [axis.slot.size]]).astype(np.int32)


def _bands(axes: list[Axis]) -> Any:
    height = axes[0].slot.size
    changed = np.zeros(height, bool)
    for axis in axes:
        changed[1:] |= np.diff(axis.slot) != 0
    return np.concatenate([[0], np.flatnonzero(changed), [height]]).astype(np.int64)
