"""What all samples of one kind of noise share, packed for the Numba kernels and kept between calls."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..specs import NoiseSpec
from ..tables import Axis, amplitudes, axis_table, frequencies, gradients
from .vectors import LANES, TILE_COLUMNS

# Tables are kept up to this many entries along all axes and octaves; beyond it, images are large and tables cheap.
LARGEST_KEPT = 1 << 16


class NoiseTables(NamedTuple):
    """Read-only tables of one shape and setting; ``csrc/core/noise.h`` explains ``Axis``, whose fields these are.

    Rows of unequal length are padded with zeros.
    """

    gradient: Any  # (octaves, 3, 256) float32: x, y, z
    x_lattice: Any  # (octaves, most lattice columns) int32
    x_edge: Any  # (octaves, most lattice columns + 2) int32: pixels edge[i]..edge[i + 1] precede lattice column i
    x_count: Any  # (octaves,) int64: lattice columns
    x_widest: Any  # (octaves,) int64: pixels in the widest cell
    column: Any  # (3 * octaves, whole tiles) float32: d, dm, s of each octave
    y_slot: Any  # (octaves, height) int32
    y_lattice: Any  # (octaves, most lattice rows) int32
    row: Any  # (3 * octaves, height) float32: d, s, sd of each octave
    band: Any  # (bands + 1,) int64: first rows of the bands in which no octave leaves its lattice row, and the height
    z_slot: Any  # (octaves, depth) int32
    z_lattice: Any  # (octaves, most lattice planes) int32
    plane: Any  # (3 * octaves, depth) float32: d, dm, s of each octave


def noise_tables(shape: tuple[int, int, int], dims: int, spec: NoiseSpec) -> NoiseTables:
    """Return the tables of samples of ``shape`` (depth, height, width), for any seed and format."""
    make = _kept_tables if spec.octaves * sum(shape) <= LARGEST_KEPT else _tables
    return make(shape, dims, spec.cells, spec.octaves, spec.persistence, spec.lacunarity, spec.tileable)


def _tables(
    shape: tuple[int, int, int],
    dims: int,
    cells: tuple[float, float, float],
    octaves: int,
    persistence: float,
    lacunarity: float,
    tileable: bool,
) -> NoiseTables:
    spec = NoiseSpec(0, cells, octaves, persistence, lacunarity, tileable, "float32")
    z, y, x = ([axis_table(n, each[axis], tileable) for each in frequencies(spec)] for axis, n in enumerate(shape))
    tables = NoiseTables(
        gradient=np.stack([gradients(dims) * scale for scale in amplitudes(spec, dims)]).astype(np.float32),
        x_lattice=_rows([axis.lattice for axis in x]),
        x_edge=_rows([_edges(axis) for axis in x]),
        x_count=np.array([axis.lattice.size for axis in x], np.int64),
        x_widest=np.array([np.bincount(axis.slot).max() for axis in x], np.int64),
        column=_columns(x),
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


_kept_tables = lru_cache(maxsize=16)(_tables)


def _rows(values: list[Any]) -> Any:
    result = np.zeros((len(values), max(each.size for each in values)), values[0].dtype)
    for row, each in zip(result, values, strict=True):
        row[: each.size] = each
    return result


def _columns(axes: list[Axis]) -> Any:
    pixels = axes[0].slot.size
    shape = 3 * len(axes), max(-(-pixels // LANES) * LANES, TILE_COLUMNS)
    memory = np.zeros(shape[0] * shape[1] + LANES, np.float32)
    # From a cache line on: vectors that lie across two lines take twice as long.
    start = -(memory.ctypes.data // memory.itemsize) % LANES
    result = memory[start : start + shape[0] * shape[1]].reshape(shape)
    result[:, :pixels] = [values for axis in axes for values in (axis.d, axis.dm, axis.s)]
    return result


def _edges(axis: Axis) -> Any:
    starts = np.searchsorted(axis.slot, np.arange(axis.lattice.size))
    return np.concatenate([[0], starts, [axis.slot.size]]).astype(np.int32)


def _bands(axes: list[Axis]) -> Any:
    height = axes[0].slot.size
    changed = np.zeros(height, bool)
    for axis in axes:
        changed[1:] |= np.diff(axis.slot) != 0
    return np.concatenate([[0], np.flatnonzero(changed), [height]]).astype(np.int64)
