"""How far pseudo lesions look from real ones: the paper's measure of patches, and measures of texture in the picture.

The paper (section V.C, table III) compares patches of 32 × 32 pixels as if their greys were probabilities. That rewards
flatness: a constant patch is nearer to real lesions than real lesions are to each other. So regions are compared as
well, by what the eye sees in them: grey, how grey changes inside and along the outline, and on which scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

PATCH = 32  # side of the paper's patches in pixels
MEASURES = ("grey", "gradient", "contrast", "edge", "spectrum")
_BIN = 0.5  # grey levels
_STEPS = 724  # bins: the largest gradient is 255 times the root of 2, in a corner of the picture
_LEAST_PIXELS = 64  # smaller regions and rims say nothing about a slice
_NEIGHBOURHOOD = 5  # side of the square that contrast is taken in
_WINDOW, _STRIDE, _WINDOW_SHARE = 16, 8, 0.75  # of the spectrum
_LEAST_WINDOWS = 5


@dataclass(frozen=True)
class Texture:
    """Distributions over the pixels of regions; each slice counts the same. NaN where there were too few pixels.

    Attributes:
        grey: float64 (724,), shares of 0, 0.5, 1, ... grey levels inside the regions.
        gradient: the same of the gradient's magnitude inside (central differences, grey levels per pixel).
        contrast: the same of the standard deviation of grey in 5 × 5 pixels around those inside.
        edge: the same of the gradient's magnitude on the outline, one pixel to both sides of it.
        spectrum: float64 (8,), power of windows of 16 × 16 pixels in dB, averaged around circles of 1..8 cycles per
            window. Rounding to whole grey levels is the floor, so that flat windows have a spectrum.
        slices: slices with a region large enough.
        windows: windows of the spectrum.
    """

    grey: FloatArray
    gradient: FloatArray
    contrast: FloatArray
    edge: FloatArray
    spectrum: FloatArray
    slices: int
    windows: int


def patch_distances(patches: NDArray[np.generic], references: NDArray[np.generic]) -> tuple[float, float]:
    """Return the mean cosine and Jensen-Shannon distance of all patches to all references (the paper's table III).

    A patch is a vector of greys that is divided by its sum. The Jensen-Shannon distance is the square root of the
    divergence with natural logarithms, as ``scipy.spatial.distance.jensenshannon`` has it: with the root the paper's
    figures come out.

    Args:
        patches: (N, ...) of any real dtype, not negative, none all zero; the paper's are 32 × 32.
        references: (M, ...) with patches of the same size.

    Raises:
        ValueError: empty, different sizes, negative or not finite values, or a patch of zeros.
    """
    cosine, js = pairwise_patch_distances(patches, references)
    return float(cosine.mean()), float(js.mean())


def pairwise_patch_distances(
    patches: NDArray[np.generic], references: NDArray[np.generic]
) -> tuple[FloatArray, FloatArray]:
    """Return the cosine and Jensen-Shannon distances of each patch to each reference, float64 (N, M) both.

    Args and errors as of :func:`patch_distances`.
    """
    first, second = _shares(patches, "patches"), _shares(references, "references")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"patches have {first.shape[1]} pixels and references {second.shape[1]}: resize one of them")
    lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)
    cosine = 1 - first @ second.T / lengths
    entropies = _entropy(first)[:, None] + _entropy(second)
    divergence = np.empty_like(cosine)
    for row, shares in enumerate(first):  # one at a time: what is made for it stays in the cache
        divergence[row] = _entropy((shares + second) / 2) - entropies[row] / 2
    return np.maximum(cosine, 0), np.sqrt(np.maximum(divergence, 0))


def texture(images: NDArray[np.uint8], regions: Mask, within: Mask | None = None) -> Texture:
    """Describe the pixels of ``regions``.

    Args:
        images: uint8 (N, H, W), at least 16 pixels wide and high.
        regions: bool (N, H, W): the lesions.
        within: bool (N, H, W): pixels that may count at all, such as lungs without the few pixels beside their walls,
            whose steep edges would drown those of lesions. Default: all.

    Raises:
        ValueError: wrong shapes or dtypes.
        DataError: no slice has a region of at least 64 pixels.
    """
    from scipy.ndimage import binary_dilation, binary_erosion, uniform_filter

    within = np.ones(images.shape, np.bool_) if within is None else within
    _check(images, regions, within)
    cross = np.zeros((3, 3, 3), np.bool_)
    cross[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    inside = regions & within
    rim = binary_dilation(regions, cross) & ~binary_erosion(regions, cross, border_value=1) & within
    grey = images.astype(np.float64)
    steps_y, steps_x = np.gradient(grey, axis=(1, 2))
    gradient = np.hypot(steps_y, steps_x)
    side = (1, _NEIGHBOURHOOD, _NEIGHBOURHOOD)
    variance = uniform_filter(grey**2, side) - uniform_filter(grey, side) ** 2
    large = [i for i in range(len(images)) if inside[i].sum() >= _LEAST_PIXELS]
    if not large:
        raise DataError(f"none of {len(images)} slices has a region of {_LEAST_PIXELS} pixels: nothing to compare")
    power = _power(grey, inside)
    return Texture(
        grey=_distribution(grey, inside, large),
        gradient=_distribution(gradient, inside, large),
        contrast=_distribution(np.sqrt(np.maximum(variance, 0)), inside, large),
        edge=_distribution(gradient, rim, [i for i in large if rim[i].sum() >= _LEAST_PIXELS]),
        spectrum=_radial(power.mean(axis=0)) if len(power) >= _LEAST_WINDOWS else np.full(_WINDOW // 2, np.nan),
        slices=len(large),
        windows=len(power),
    )


def texture_distances(first: Texture, second: Texture) -> dict[str, float]:
    """Return how far two textures lie apart, by each of :data:`MEASURES`; 0 is alike.

    ``grey``, ``gradient``, ``contrast`` and ``edge`` are Wasserstein distances in grey levels (how far grey has to be
    moved on average to make one distribution the other), ``spectrum`` is the root mean square difference in dB.
    """
    distances = {}
    for measure in MEASURES:
        a, b = getattr(first, measure), getattr(second, measure)
        if measure == "spectrum":
            distances[measure] = float(np.sqrt(np.mean((a - b) ** 2)))
        else:
            distances[measure] = float(np.abs(np.cumsum(a - b)).sum() * _BIN)
    return distances


def likeness(distances: dict[str, float], floor: dict[str, float]) -> float:
    """Return one number for ranking: the mean over measures of distance / the same between two sets of real lesions.

    Measures that are NaN in either are left out; 1 is as alike as real lesions are to other real ones.

    Raises:
        ValueError: a floor that is zero (the two real sets are the same), or nothing to average.
    """
    usable = [key for key in distances if np.isfinite(distances[key]) and np.isfinite(floor[key])]
    if not usable or any(floor[key] <= 0 for key in usable):
        raise ValueError("likeness needs distances between two different sets of real lesions that are above zero")
    return float(np.mean([distances[key] / floor[key] for key in usable]))


def _shares(patches: NDArray[np.generic], name: str) -> FloatArray:
    rows = np.asarray(patches, np.float64).reshape(len(patches), -1) if len(patches) else np.empty((0, 0))
    if not rows.size:
        raise ValueError(f"{name} must hold at least one patch")
    if not np.isfinite(rows).all() or (rows < 0).any() or (rows.sum(axis=1) == 0).any():
        raise ValueError(f"{name} must be finite, not negative, and no patch all zero")
    shares: FloatArray = rows / rows.sum(axis=1, keepdims=True)
    return shares


def _entropy(shares: FloatArray) -> FloatArray:
    logarithms = np.maximum(shares, np.finfo(np.float64).tiny)  # 0 log 0 is 0
    np.log(logarithms, out=logarithms)
    entropy: FloatArray = -np.einsum("...i,...i->...", shares, logarithms)
    return entropy


def _check(images: NDArray[np.uint8], regions: Mask, within: Mask) -> None:
    if images.ndim != 3 or images.dtype != np.uint8 or min(images.shape[1:]) < _WINDOW:
        raise ValueError(f"images must be uint8 (N, H, W) of at least {_WINDOW} pixels a side, not {images.dtype} "
                         f"{images.shape}")  # fmt: skip
    for name, mask in (("regions", regions), ("within", within)):
        if mask.shape != images.shape or mask.dtype != np.bool_:
            raise ValueError(f"{name} must be bool {images.shape} like the images, not {mask.dtype} {mask.shape}")


def _distribution(values: FloatArray, where: Mask, slices: Sequence[int]) -> FloatArray:
    """Mean over slices of the shares of values 0, 0.5, 1, ... (rounded to the nearest)."""
    if not slices:
        return np.full(_STEPS, np.nan)
    total = np.zeros(_STEPS)
    for i in slices:
        bins = np.rint(values[i][where[i]] / _BIN).astype(np.int64)
        total += np.bincount(bins, minlength=_STEPS) / len(bins)
    return total / len(slices)


def _power(grey: FloatArray, inside: Mask) -> FloatArray:
    """Power (n, 16, 16) of the windows that lie in a region for the most part, per pixel, mean grey taken away."""
    windows = _windows(grey)[_windows(inside).mean(axis=(-2, -1)) >= _WINDOW_SHARE]
    taper = np.hanning(_WINDOW + 2)[1:-1]
    weights = np.outer(taper, taper)
    weights /= np.sqrt(np.sum(weights**2))
    middle = np.sum(windows * weights, axis=(-2, -1), keepdims=True) / weights.sum()
    power: FloatArray = np.abs(np.fft.fft2((windows - middle) * weights)) ** 2
    return power


def _windows(stack: NDArray[np.generic]) -> NDArray[np.generic]:
    views = np.lib.stride_tricks.sliding_window_view(stack, (_WINDOW, _WINDOW), axis=(1, 2))
    return views[:, ::_STRIDE, ::_STRIDE]


def _radial(power: FloatArray) -> FloatArray:
    """Means around circles of radius 1..8 in dB, over the floor of rounding (1/12 of a squared grey level)."""
    cycles = np.fft.fftfreq(_WINDOW) * _WINDOW
    radius = np.rint(np.hypot(cycles[:, None], cycles)).astype(np.int64)
    rings = [power[radius == r].mean() for r in range(1, _WINDOW // 2 + 1)]
    decibels: FloatArray = 10 * np.log10(np.array(rings) + 1 / 12)
    return decibels
