"""The small float64 tables behind one noise call, for the backends written in Python.

The twin of ``csrc/cpu/noise_tables.cpp`` and ``csrc/core/gradients.h``: the same float64 operations in the same order,
so the rounded tables are equal bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .specs import LATTICE_PERIOD, Float32Array, NoiseSpec

Float64Array = NDArray[np.float64]


def fade(t: Float64Array) -> Float64Array:
    """Return s(t) = 6t^5 - 15t^4 + 10t^3 (paper III.B), in the operation order of ``csrc/core/noise.h``."""
    return t * t * t * (t * (t * 6.0 - 15.0) + 10.0)


@dataclass(frozen=True)
class Axis:
    """Coordinates of the pixels along one axis in one octave; the fields are those of ``Axis`` in ``core/noise.h``."""

    slot: NDArray[np.int32]
    lattice: NDArray[np.int32]
    d: Float32Array
    dm: Float32Array
    s: Float32Array
    sd: Float32Array


def axis_table(n: int, frequency: float, tileable: bool) -> Axis:
    """Return the table of an axis of ``n`` pixels that spans ``frequency`` lattice cells."""
    at = np.arange(n, dtype=np.float64) * frequency / n
    line = at.astype(np.int64)
    t = at - line
    # A pixel in the next cell moves on by one entry; where cells are skipped, both of its lattice lines are new.
    slot = np.concatenate([[0], np.cumsum(np.minimum(np.diff(line), 2))]).astype(np.int32)
    lattice = np.empty(int(slot[-1]) + 2, np.int64)
    lattice[slot] = line
    lattice[slot + 1] = line + 1
    if tileable:
        lattice %= int(frequency)
    s = fade(t)
    f32 = np.float32
    return Axis(
        slot, (lattice % LATTICE_PERIOD).astype(np.int32), t.astype(f32), (t - 1.0).astype(f32), s.astype(f32),
        (s * t).astype(f32),
    )  # fmt: skip


def cos_sin_turns(t: float) -> tuple[float, float]:
    """Return cos and sin of 2 pi t, 0 <= t < 1, by a Taylor series whose every operation IEEE 754 fixes."""
    quarter = int(t * 4.0 + 0.5)
    a = (t - quarter * 0.25) * 6.283185307179586
    z = a * a
    even = odd = 0.0
    for n in range(9, -1, -1):
        even = 1.0 - even * z / ((2 * n + 1) * (2 * n + 2))
        odd = 1.0 - odd * z / ((2 * n + 2) * (2 * n + 3))
    odd = odd * a
    return ((even, odd), (-odd, even), (-even, -odd), (odd, -even))[quarter & 3]


@lru_cache(maxsize=2)
def gradients(dims: int) -> Float64Array:
    """Return the 256 unit gradients, shape (3, 256), rows x, y, z (z is zero in the plane)."""
    table = np.zeros((3, LATTICE_PERIOD))
    for k in range(LATTICE_PERIOD):
        if dims == 2:
            table[0, k], table[1, k] = cos_sin_turns(k / 256.0)
        else:
            height = 1.0 - (2 * k + 1) / 256.0
            root = math.sqrt(1.0 - height * height)
            turns = k * 0.6180339887498949  # 1 / golden ratio: a spherical Fibonacci lattice
            cosine, sine = cos_sin_turns(turns - int(turns))
            table[:, k] = root * cosine, root * sine, height
    table.flags.writeable = False
    return table


def amplitudes(spec: NoiseSpec, dims: int) -> list[float]:
    """Return each octave's amplitude divided by the bound of the sum, so that noise lies in [-1, 1]."""
    raw = [1.0]
    for _ in range(spec.octaves - 1):
        raw.append(raw[-1] * spec.persistence)
    total = 0.0
    for amplitude in raw:
        total += amplitude
    margin = 1.0 + 1.0 / 1048576.0  # keeps the last rounding from stepping over +-1
    bound = math.sqrt(float(dims)) / 2.0 * total * margin
    return [amplitude / bound for amplitude in raw]


def frequencies(spec: NoiseSpec) -> list[tuple[float, float, float]]:
    """Return the lattice cells along z, y, x of each octave."""
    result = [spec.cells]
    for _ in range(spec.octaves - 1):
        z, y, x = result[-1]
        result.append((z * spec.lacunarity, y * spec.lacunarity, x * spec.lacunarity))
    return result
