"""Random streams, spectral Gaussian fields and smooth shape arithmetic for the thorax phantom.

Shapes are described by signed distances in cm (negative inside), so that unions, intersections and soft corners are
arithmetic, and an edge is drawn with the right partial volume at any resolution. All arrays are ``[S, S]`` float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft

Array: TypeAlias = npt.NDArray[np.float32]


class Stream(IntEnum):
    """What a random stream is for. A stream's number is part of the phantom's definition: append, never renumber."""

    ANATOMY = 0
    ACQUISITION = 1
    VESSELS = 2
    CONFOUNDERS = 3
    LESIONS = 4
    LEVEL = 5
    SLICE_FIELDS = 6
    SLICE_LESIONS = 7
    SLICE_NOISE = 8


def stream(seed: int, kind: Stream, patient: int, index: int = 0) -> np.random.Generator:
    """Counter-based generator that depends on (seed, kind, patient, slice index) alone."""
    sequence = np.random.SeedSequence(seed, spawn_key=(int(kind), patient, index))
    return np.random.Generator(np.random.Philox(sequence))


@dataclass(frozen=True)
class Grid:
    """Pixel centres of one patient's slices in body coordinates.

    ``x`` grows to the right of the picture (the patient's left), ``y`` downwards (posterior), both in cm.
    """

    x: Array
    """[S, S], cm."""
    y: Array
    """[S, S], cm."""
    step_x: float
    """Width of a pixel, cm."""
    step_y: float
    """Height of a pixel, cm."""
    centre: tuple[float, float]
    """Body coordinates (x, y) of the middle of the picture."""
    cos: float
    sin: float
    """Rotation of the patient in the picture."""

    @property
    def size(self) -> int:
        return int(self.x.shape[0])

    @property
    def step(self) -> float:
        """Mean pixel size, cm: the width over which edges are softened."""
        return 0.5 * (self.step_x + self.step_y)

    @classmethod
    def make(cls, size: int, half_x: float, half_y: float, centre: tuple[float, float], angle: float) -> Grid:
        """``half_x`` and ``half_y``: half the field of view in cm; ``angle``: rotation in radians."""
        step_x, step_y = 2.0 * half_x / size, 2.0 * half_y / size
        ticks = np.arange(size, dtype=np.float32) + np.float32(0.5 - size / 2)
        u = ticks[None, :] * np.float32(step_x)
        v = ticks[:, None] * np.float32(step_y)
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        x = np.float32(cos) * u + np.float32(sin) * v + np.float32(centre[0])
        y = np.float32(-sin) * u + np.float32(cos) * v + np.float32(centre[1])
        return cls(x, y, step_x, step_y, centre, cos, sin)

    def to_pixels(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Body coordinates (cm) to fractional (row, column), the inverse of how ``x`` and ``y`` were made."""
        dx, dy = x - np.float32(self.centre[0]), y - np.float32(self.centre[1])
        u = np.float32(self.cos) * dx - np.float32(self.sin) * dy
        v = np.float32(self.sin) * dx + np.float32(self.cos) * dy
        middle = np.float32(self.size / 2 - 0.5)
        rows, columns = v / np.float32(self.step_y) + middle, u / np.float32(self.step_x) + middle
        return rows.astype(np.float32), columns.astype(np.float32)


def _frequencies(grid: Grid) -> Array:
    """[S, S//2+1] spatial frequency in cycles/cm of each coefficient of a real 2-D transform."""
    fy = fft.fftfreq(grid.size, grid.step_y)[:, None]
    fx = fft.rfftfreq(grid.size, grid.step_x)[None, :]
    frequencies: Array = np.hypot(fy, fx).astype(np.float32)
    return frequencies


def _shaped(rng: np.random.Generator, grid: Grid, gain: Array) -> Array:
    """White noise with spectrum ``gain``, brought to unit variance."""
    shape = (grid.size, grid.size)
    spectrum = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    field: Array = fft.irfft2(spectrum * gain, s=shape).astype(np.float32)
    field -= field.mean()
    spread = float(field.std())
    return field / np.float32(spread) if spread > 0.0 else field


def gaussian_field(rng: np.random.Generator, grid: Grid, scale: float, slope: float = 3.0) -> Array:
    """Gaussian random field of zero mean and unit variance, drawn in the frequency domain.

    The amplitude spectrum is ``(1 + (2*pi*f*scale)^2)^(-slope/2)``: flat below the correlation length ``scale`` (cm), a
    power law beyond it. There is no lattice and no interpolation, unlike in gradient noise.
    """
    gain = (1.0 + (2.0 * np.pi * scale * _frequencies(grid)) ** 2) ** (-0.5 * slope)
    return _shaped(rng, grid, gain.astype(np.float32))


def ct_noise(rng: np.random.Generator, grid: Grid, cutoff: float) -> Array:
    """Noise of unit variance, shaped as filtered back-projection does: a ramp with a soft ``cutoff`` (cycles/cm)."""
    f = _frequencies(grid) / np.float32(cutoff)
    gain = (0.15 + f) * np.exp(-(f**2))
    return _shaped(rng, grid, gain.astype(np.float32))


def smooth_max(a: Array, b: Array, radius: float) -> Array:
    """Intersection of two shapes with corners rounded over about ``radius`` cm (polynomial smooth maximum)."""
    h = np.maximum(np.float32(radius) - np.abs(a - b), np.float32(0.0))
    joined: Array = np.maximum(a, b) + h * h * np.float32(0.25 / radius)
    return joined


def smooth_min(a: Array, b: Array, radius: float) -> Array:
    """Union of two shapes with the crease filled over about ``radius`` cm."""
    return -smooth_max(-a, -b, radius)


def ellipse(grid: Grid, cx: float, cy: float, rx: float, ry: float, angle: float = 0.0) -> Array:
    """Signed distance (exact along rays from the centre) to a rotated ellipse; ``angle`` in radians, x towards y."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = grid.x - np.float32(cx), grid.y - np.float32(cy)
    u = (cos * dx + sin * dy) / np.float32(rx)
    v = (cos * dy - sin * dx) / np.float32(ry)
    g = np.sqrt(u * u + v * v) + np.float32(1e-6)
    distance: Array = np.hypot(dx, dy) * (np.float32(1.0) - np.float32(1.0) / g)
    # at the very centre the ray has no direction; the smaller radius is the distance there
    return np.where(g < 1e-3, np.float32(-min(rx, ry)), distance)


def capsule(grid: Grid, start: tuple[float, float], end: tuple[float, float], radius: float) -> Array:
    """Signed distance to a thick line with round ends."""
    ax, ay = np.float32(start[0]), np.float32(start[1])
    bx, by = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    px, py = grid.x - ax, grid.y - ay
    length = np.float32(max(float(bx * bx + by * by), 1e-9))
    h = np.clip((px * bx + py * by) / length, 0.0, 1.0)
    distance: Array = np.hypot(px - h * bx, py - h * by) - np.float32(radius)
    return distance


def coverage(distance: Array, width: float) -> Array:
    """Share of a pixel that lies inside a shape, 0..1, from its signed distance; ``width`` is the edge's, in cm."""
    share: Array = np.clip(np.float32(0.5) - distance / np.float32(width), 0.0, 1.0)
    return share


def blend(target: Array, alpha: Array, value: Any) -> None:
    """Move ``target`` towards ``value`` (number or [S, S]) by ``alpha``, in place."""
    target += alpha * (value - target)


def ramp(value: float, low: float, high: float) -> float:
    """Smooth step: 0 at or below ``low``, 1 at or above ``high``."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)
