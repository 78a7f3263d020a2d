"""Perlin octave noise by the textbook formula (paper III.B), float64."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..specs import Int64Array, NoiseSpec
from .philox import Stream, draw, shuffled, words

Float64Array = NDArray[np.float64]


def permutation(seed: int, sample: int) -> NDArray[np.int64]:
    """Return P, the sample's permutation of 0..255."""
    return shuffled(np.arange(256), words(seed, sample, Stream.PERMUTATION))


def gradients(dims: int) -> Float64Array:
    """Return G, 256 unit vectors (256, dims) as x, y (, z): angles 2 pi k / 256, or a spherical Fibonacci lattice."""
    k = np.arange(256)
    if dims == 2:
        angle = 2 * np.pi * k / 256
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    height = 1 - (2 * k + 1) / 256
    azimuth = 2 * np.pi * k / ((1 + math.sqrt(5)) / 2)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), height], axis=1)


def fade(t: Float64Array) -> Float64Array:
    """Return s(t) = 6t^5 - 15t^4 + 10t^3."""
    return 6 * t**5 - 15 * t**4 + 10 * t**3


def octave(
    shape: tuple[int, ...], frequency: tuple[float, ...], seed: int, sample: int, number: int, tileable: bool
) -> Float64Array:
    """Return one octave over ``shape`` (H, W) or (D, H, W), ``frequency`` cells per axis in the same order."""
    p = permutation(seed, sample)
    g = gradients(len(shape))
    offset = draw(seed, sample, Stream.LATTICE, 0, substream=number)
    # From here on axes run x, y (, z), the order in which the permutation is applied.
    points = [np.arange(n) * f / n for n, f in zip(shape, frequency, strict=True)][::-1]
    cells = [np.floor(u).astype(np.int64) for u in points]
    fractions = [u - cell for u, cell in zip(points, cells, strict=True)]
    dims = len(shape)

    def along(axis: int, values: np.ndarray) -> np.ndarray:
        return values.reshape([-1 if a == dims - 1 - axis else 1 for a in range(dims)])

    total = np.zeros(shape)
    for corner in np.ndindex(*(2,) * dims):
        hashed: np.ndarray = np.zeros((1,) * dims, np.int64)
        weight: np.ndarray = np.ones((1,) * dims)
        distances = []
        for axis, (cell, d, c) in enumerate(zip(cells, fractions, corner, strict=True)):
            line = cell + c
            if tileable:
                line = line % int(frequency[dims - 1 - axis])
            line = line + (offset[axis] & 255)
            hashed = p[(hashed + along(axis, line)) & 255]
            weight = weight * along(axis, fade(d) if c else 1 - fade(d))
            distances.append(along(axis, d - c))
        dot = sum((g[hashed, axis] * distances[axis] for axis in range(dims)), start=np.zeros((1,) * dims))
        total += weight * dot
    return total


def octave_noise(shape: tuple[int, ...], sample: int, spec: NoiseSpec) -> Float64Array:
    """Return the noise of one sample in [-1, 1], float64."""
    dims = len(shape)
    total = np.zeros(shape)
    bound = 0.0
    for o in range(spec.octaves):
        amplitude = spec.persistence**o
        frequency = tuple(c * spec.lacunarity**o for c in spec.cells[3 - dims :])
        total += amplitude * octave(shape, frequency, spec.seed, sample, o, spec.tileable)
        bound += amplitude
    # The compiled backends keep a margin of 2^-20 so that rounding cannot pass +-1; it is part of the meaning.
    return total / (math.sqrt(dims) / 2 * bound * (1 + 2**-20))


def to_format(values: Float64Array, form: str) -> np.ndarray:
    """Return noise values in the dtype that ``form`` names (bfloat16 as its bits, uint16)."""
    if form == "float32":
        return values.astype(np.float32)
    if form == "float16":
        return values.astype(np.float32).astype(np.float16)
    if form == "bfloat16":
        # Round to 8 significant bits, nearest even, by scaling them to integers.
        mantissa, exponent = np.frexp(values.astype(np.float32))
        rounded: np.ndarray = np.ldexp(np.rint(mantissa * 256), exponent - 8).astype(np.float32)
        return (rounded.view(np.uint32) >> 16).astype(np.uint16)
    if form == "fixed":
        return np.floor((values + 1) * 127.5 + 0.5).astype(np.uint8)
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-30:
        return np.zeros(values.shape, np.uint8)
    grey: np.ndarray = np.floor((values - low) / (high - low) * 255 + 0.5).astype(np.uint8)
    return grey


def noise(out: np.ndarray, samples: Int64Array, spec: NoiseSpec, threads: int) -> None:  # noqa: ARG001 - one thread
    for n, sample in enumerate(samples):
        out[n] = to_format(octave_noise(out.shape[1:], int(sample), spec), spec.format)
