"""perlin-numpy's functions with its signatures, its ranges and its way to be seeded, made by our noise.

The values for a seed are others than perlin-numpy's. Shapes need not be multiples of anything, ``res`` may be any
positive number. The library itself is not needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops import perlin_noise

Interpolant = Callable[[Any], Any]


def interpolant(t: Any) -> Any:
    """Return 6t^5 - 15t^4 + 10t^3, the interpolation of the noise."""
    return t * t * t * (t * (t * 6 - 15) + 10)


def generate_perlin_noise_2d(
    shape: Sequence[int],
    res: Sequence[float],
    tileable: Sequence[bool] = (False, False),
    interpolant: Interpolant = interpolant,
    rng: Any = None,
) -> NDArray[np.float64]:
    """Return noise of one octave in [-1, 1]; see :func:`generate_fractal_noise_2d`."""
    return generate_fractal_noise_2d(shape, res, tileable=tileable, interpolant=interpolant, rng=rng)


def generate_fractal_noise_2d(
    shape: Sequence[int],
    res: Sequence[float],
    octaves: int = 1,
    persistence: float = 0.5,
    lacunarity: float = 2,
    tileable: Sequence[bool] = (False, False),
    interpolant: Interpolant = interpolant,
    rng: Any = None,
) -> NDArray[np.float64]:
    """Return a float64 array (H, W): the sum of octaves, each within plus or minus its amplitude.

    Args:
        shape: (H, W), any.
        res: lattice cells along each axis in the first octave, any positive numbers (whole ones if ``tileable``).
        octaves: number of octaves, 1..24.
        persistence: amplitude of each octave relative to the one before; the first has 1.
        lacunarity: cells of each octave relative to the one before.
        tileable: along which axes opposite edges meet.
        interpolant: only the quintic is there; a function with its values is taken as such.
        rng: a NumPy ``Generator`` or ``RandomState`` that seeds the noise; default NumPy's global state, as set by
            ``np.random.seed``. Each call draws from it once.

    Raises:
        TypeError, ValueError: see :func:`plr_fast.perlin_noise`; or another ``interpolant``.
    """
    return _noise(2, shape, res, octaves, persistence, lacunarity, tileable, interpolant, rng)


def generate_perlin_noise_3d(
    shape: Sequence[int],
    res: Sequence[float],
    tileable: Sequence[bool] = (False, False, False),
    interpolant: Interpolant = interpolant,
    rng: Any = None,
) -> NDArray[np.float64]:
    """Return noise of one octave, (D, H, W), in [-0.87, 0.87]; see :func:`generate_fractal_noise_3d`."""
    return generate_fractal_noise_3d(shape, res, tileable=tileable, interpolant=interpolant, rng=rng)


def generate_fractal_noise_3d(
    shape: Sequence[int],
    res: Sequence[float],
    octaves: int = 1,
    persistence: float = 0.5,
    lacunarity: float = 2,
    tileable: Sequence[bool] = (False, False, False),
    interpolant: Interpolant = interpolant,
    rng: Any = None,
) -> NDArray[np.float64]:
    """Return a float64 array (D, H, W): :func:`generate_fractal_noise_2d` in space.

    As in perlin-numpy, octaves in space are not scaled to their amplitude, but lie within sqrt(3)/2 of it. Gradients
    are spread evenly over the sphere, where perlin-numpy's crowd at its poles.
    """
    return _noise(3, shape, res, octaves, persistence, lacunarity, tileable, interpolant, rng)


def _noise(
    dims: int,
    shape: Sequence[int],
    res: Sequence[float],
    octaves: int,
    persistence: float,
    lacunarity: float,
    tileable: Sequence[bool],
    interpolant: Interpolant,
    rng: Any,
) -> NDArray[np.float64]:
    for name, value in (("shape", shape), ("res", res), ("tileable", tileable)):
        if not isinstance(value, (Sequence, np.ndarray)) or len(value) != dims:
            raise ValueError(f"{name} must have {dims} entries, one for each axis, not {value!r}")
    _require_quintic(interpolant)
    # An axis that is not to tile becomes half of one twice as long, if others are: its own edges then don't meet.
    times = [2 if any(tileable) and not wanted else 1 for wanted in tileable]
    noise = perlin_noise(
        (1, *(n * k for n, k in zip(shape, times, strict=True))),
        cells=[cells * k for cells, k in zip(res, times, strict=True)],
        octaves=octaves,
        persistence=persistence,
        lacunarity=lacunarity,
        seed=_seed(rng),
        tileable=any(tileable),
    )[0].numpy()
    bound = sum(persistence**octave for octave in range(octaves)) * (1.0 if dims == 2 else math.sqrt(3) / 2)
    return noise[tuple(slice(n) for n in shape)].astype(np.float64) * bound


def _seed(rng: Any) -> int:
    """Return 63 bits; ``uniform`` is what NumPy's module, its ``Generator`` and its ``RandomState`` have in common."""
    source = np.random if rng is None else rng
    if not hasattr(source, "uniform"):
        raise TypeError(f"rng must be a NumPy Generator or RandomState, or None, not {type(rng).__name__}")
    high, low = source.uniform(size=2)
    return int(high * 2**31) << 32 | int(low * 2**32)


def _require_quintic(function: Interpolant) -> None:
    at = np.linspace(0, 1, 17)
    if function is not interpolant and not np.allclose(function(at), interpolant(at), rtol=0, atol=1e-6):
        raise ValueError("interpolant must be the quintic 6t^5 - 15t^4 + 10t^3: the noise has no other one")
