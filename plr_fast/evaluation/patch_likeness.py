"""How alike two sets of patches are: the paper's table III with intervals, and distances that do not reward flatness.

The paper takes the mean distance over all pairs. Such a mean is least for patches that all sit in the middle of the
real ones, and with its measures a constant patch does. So beside it stand *energy distances*: twice the mean distance
between the sets, less the mean distances inside each (Székely and Rizzo 2013). They are zero only when both sets are
distributed alike: a set that is less varied than the other is far from it. They are taken over three descriptions of
a patch that say what the eye sees and not where in the patch it lies: its greys, its gradients, the shape of its power
spectrum.

Patches of one group (patient or slice) are never compared with each other. Intervals come from drawing the groups of
the real patches anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .lesion_patches import PatchSet
from .likeness import pairwise_patch_distances

FloatArray = NDArray[np.float64]
Measure = Literal["cosine", "jensen_shannon", "grey", "gradient", "spectrum"]

MEAN_MEASURES: tuple[Measure, ...] = ("cosine", "jensen_shannon")
"""The paper's: mean over all pairs."""
ENERGY_MEASURES: tuple[Measure, ...] = ("grey", "gradient", "spectrum")
"""Ours: energy distances. Units: grey levels, grey levels per pixel, dB."""
MEASURES = (*MEAN_MEASURES, *ENERGY_MEASURES)

LEAST_GROUPS = 4
"""Two halves of two groups each: with fewer, real lesions cannot be compared with other real ones."""

_HALVINGS = 400
_ROUNDING = 1 / 12  # variance of rounding to whole grey levels: the floor of spectra, so that flat patches have one


@dataclass(frozen=True)
class Estimate:
    """A distance and its percentile interval; ``low`` and ``high`` are NaN where no resamples were asked for."""

    value: float
    low: float
    high: float


class RealReference:
    """Real patches that others are compared with.

    Args:
        real: at least :data:`LEAST_GROUPS` groups.
        resamples: of the groups, for intervals; 0: none.
        seed: of the resamples.
        confidence: of the intervals.

    Raises:
        DataError: too few groups.
    """

    def __init__(self, real: PatchSet, *, resamples: int = 2000, seed: int = 0, confidence: float = 0.95) -> None:
        names, self._group = np.unique(real.groups, return_inverse=True)
        if len(names) < LEAST_GROUPS:
            raise DataError(
                f"the real patches come from {len(names)} slices or patients; at least {LEAST_GROUPS} are needed to "
                "compare real lesions with other real ones"
            )
        self._names = names
        self._real = real
        self._tails = (50 * (1 - confidence), 50 * (1 + confidence))
        rng = np.random.default_rng(seed)
        self._draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples).astype(float)
        self._halves = np.stack([rng.permutation(len(names)) < len(names) // 2 for _ in range(_HALVINGS)])
        self._described = descriptions(real.patches)
        inside = _pairs(self._described, self._described)
        one = np.eye(len(names))[self._group]
        self._sums = {measure: one.T @ matrix @ one for measure, matrix in inside.items()}
        size = one.sum(axis=0)
        self._counts = np.outer(size, size)
        for table in (*self._sums.values(), self._counts):
            np.fill_diagonal(table, 0)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self._names)

    def against_itself(self) -> dict[Measure, Estimate]:
        """Real against other real patches.

        Means are over all pairs of different groups, with the bootstrap's interval. Energy distances are means over
        random halvings of the groups, with the middle of what the halvings gave: about zero, and how far two sets of
        so few real lesions lie apart by chance.
        """
        everything = np.ones((1, self.groups))
        found = {
            measure: self._estimate(self._inside(measure, everything), self._inside(measure, self._draws))
            for measure in MEAN_MEASURES
        }
        first, second = self._halves.astype(float), (~self._halves).astype(float)
        for measure in ENERGY_MEASURES:
            sums, counts = (
                np.einsum("rg,gh,rh->r", first, table, second) for table in (self._sums[measure], self._counts)
            )
            distances = 2 * sums / counts - self._inside(measure, first) - self._inside(measure, second)
            found[measure] = self._estimate(distances.mean(keepdims=True), distances)
        return found

    def against(self, other: PatchSet) -> dict[Measure, Estimate]:
        """Patches of another kind against the real ones; those of a slice or patient not against the same one's.

        Raises:
            DataError: all patches come from the only groups that the real ones come from.
            ValueError: a patch of zeros, or of another size.
        """
        described = descriptions(other.patches)
        apart = (other.groups[:, None] != self._real.groups[None, :]) | (other.groups == "")[:, None]
        one = np.eye(self.groups)[self._group]
        counts = (apart.astype(float) @ one).sum(axis=0)
        if not counts.sum():
            raise DataError("all patches come from the one slice or patient that the real ones come from")
        everything, found = np.ones((1, self.groups)), {}
        distances = _pairs(described, self._described)
        own = _energies(described, described)
        strangers = (other.groups[:, None] != other.groups[None, :]) | (other.groups == "")[:, None]
        np.fill_diagonal(strangers, False)
        for measure in MEASURES:
            sums = ((distances[measure] * apart) @ one).sum(axis=0)
            point, samples = ((draws @ sums) / (draws @ counts) for draws in (everything, self._draws))
            if measure in ENERGY_MEASURES:
                inner = float(own[measure][strangers].mean()) if strangers.any() else 0.0
                point = 2 * point - inner - self._inside(measure, everything)
                samples = 2 * samples - inner - self._inside(measure, self._draws)
            found[measure] = self._estimate(point, samples)
        return found

    def _inside(self, measure: Measure, weights: FloatArray) -> FloatArray:
        """Mean distance between patches of different groups under each row of weights (R, G): (R,)."""
        sums = np.einsum("rg,gh,rh->r", weights, self._sums[measure], weights)
        counts = np.einsum("rg,gh,rh->r", weights, self._counts, weights)
        with np.errstate(invalid="ignore"):  # a draw of one group alone has no pairs
            means: FloatArray = sums / counts
        return means

    def _estimate(self, point: FloatArray, samples: FloatArray) -> Estimate:
        samples = samples[np.isfinite(samples)]
        if not samples.size:
            return Estimate(float(point[0]), np.nan, np.nan)
        low, high = np.percentile(samples, self._tails)
        return Estimate(float(point[0]), float(low), float(high))


@dataclass(frozen=True)
class Described:
    """Patches and what is seen in them, one row each.

    Attributes:
        patches: (N, S, S).
        grey: float64 (N, S²), sorted greys.
        gradient: float64 (N, S²), sorted magnitudes of the gradient (central differences, grey levels per pixel).
        spectrum: float64 (N, S / 2), power around circles of 1..S/2 cycles per patch in dB, over the floor of rounding,
            less its mean over the circles: how power falls with frequency. How strong it is, the gradients say.
    """

    patches: NDArray[np.uint8]
    grey: FloatArray
    gradient: FloatArray
    spectrum: FloatArray


def descriptions(patches: NDArray[np.uint8]) -> Described:
    """Describe patches uint8 (N, S, S), S at least 4.

    Raises:
        ValueError: another dtype or shape.
    """
    if patches.ndim != 3 or patches.dtype != np.uint8 or patches.shape[1] != patches.shape[2] or patches.shape[1] < 4:
        raise ValueError(f"patches must be uint8 (N, S, S), S at least 4, not {patches.dtype} {patches.shape}")
    grey = patches.astype(np.float64)
    flat = (len(patches), -1)
    gradient = np.hypot(*np.gradient(grey, axis=(1, 2)))
    return Described(patches, np.sort(grey.reshape(flat)), np.sort(gradient.reshape(flat)), _spectra(grey))


def _spectra(grey: FloatArray) -> FloatArray:
    side = grey.shape[-1]
    taper = np.hanning(side + 2)[1:-1]
    weights = np.outer(taper, taper)
    weights /= np.sqrt(np.sum(weights**2))
    middle = np.sum(grey * weights, axis=(1, 2), keepdims=True) / weights.sum()
    power = np.abs(np.fft.fft2((grey - middle) * weights)) ** 2
    cycles = np.fft.fftfreq(side) * side
    radius = np.rint(np.hypot(cycles[:, None], cycles)).astype(np.int64)
    rings = np.stack([power[:, radius == r].mean(axis=1) for r in range(1, side // 2 + 1)], axis=1)
    decibels = 10 * np.log10(rings + _ROUNDING)
    shape: FloatArray = decibels - decibels.mean(axis=1, keepdims=True)
    return shape


def _energies(first: Described, second: Described) -> dict[Measure, FloatArray]:
    """Distances (N, M) of each patch to each other: Wasserstein of greys and gradients, RMS of spectra."""
    from scipy.spatial.distance import cdist

    pixels, rings = first.grey.shape[1], first.spectrum.shape[1]
    return {
        "grey": cdist(first.grey, second.grey, "cityblock") / pixels,
        "gradient": cdist(first.gradient, second.gradient, "cityblock") / pixels,
        "spectrum": cdist(first.spectrum, second.spectrum) / np.sqrt(rings),
    }


def _pairs(first: Described, second: Described) -> dict[Measure, FloatArray]:
    """The paper's distances, too."""
    cosine, js = pairwise_patch_distances(first.patches, second.patches)
    return {"cosine": cosine, "jensen_shannon": js, **_energies(first, second)}
