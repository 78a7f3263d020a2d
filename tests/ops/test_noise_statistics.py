"""The noise is what theory says. On one backend: that all give the same bits is shown in test_noise_bits.py.

Seeds are fixed, so nothing here is left to chance. "Within 5 standard errors" compares an average over samples with its
expectation; the standard error is that of the average, estimated from the samples. Independent gradients are assumed
unless said otherwise. Those of one row or column of the lattice correlate by -1/255 (they come from one permutation,
without replacement), which shifts variances by up to 0.4 %: PERMUTATION allows for that.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy import stats

import plr_fast
from plr_fast.backends.reference.noise import gradients
from tests.ops import noise_theory as theory

Array = NDArray[np.float64]
PERMUTATION = 1 / 255
FLOAT32 = 2.0**-24


@pytest.fixture(autouse=True)
def one_backend() -> None:
    """Use the backend that users get by default, and its threads."""
    plr_fast.use_backend("auto")


def noise(*shape: int, octaves: int = 1, **settings: object) -> Array:
    result: Array = plr_fast.perlin_noise(shape, octaves=octaves, **settings).double().numpy()  # type: ignore[call-overload]
    return result


def assert_mean(values: Array, expected: Array | float, allowance: Array | float = 0.0) -> None:
    """The mean over samples (axis 0) is as expected, within 5 standard errors."""
    mean, error = values.mean(0), values.std(0, ddof=1) / math.sqrt(len(values))
    worst = np.max((np.abs(mean - expected) - allowance) / error)
    assert worst < 5, f"{worst:.1f} standard errors from theory: {mean} for {expected}"


# Values


@pytest.mark.parametrize("shape", [(32, 64, 96), (4, 24, 32, 40)])
@pytest.mark.parametrize("tileable", [False, True])
def test_zero_at_lattice_points(shape: tuple[int, ...], tileable: bool) -> None:
    values = noise(*shape, cells=[n // 8 for n in shape[1:]], seed=4, tileable=tileable)
    at_lattice = values[(slice(None), *(slice(None, None, 8) for _ in shape[1:]))]
    assert (at_lattice == 0).all(), "coordinates and weights are exact there"
    assert np.abs(values).max() > 0.5


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((512, 64, 64), {"cells": 8}),
        ((256, 64, 64), {"cells": 5.3, "octaves": 7, "persistence": 1.0}),
        ((64, 96, 96), {"cells": 90, "octaves": 3, "lacunarity": 1.3, "persistence": 16.0}),
        ((16, 32, 32, 32), {"cells": 4}),
        ((16, 24, 24, 24), {"cells": 3, "octaves": 6, "persistence": 0.8}),
    ],
)
def test_bounds_are_kept(shape: tuple[int, ...], settings: dict[str, object]) -> None:
    values = noise(*shape, **settings, seed=1)
    assert np.abs(values).max() <= 1
    grey = noise(*shape, **settings, seed=1, dtype="uint8")
    assert np.abs(grey - (values + 1) * 127.5).max() <= 0.5001, "no grey wraps around"


def test_the_bound_is_almost_reached() -> None:
    # In the centre of a cell the value is the mean of g . (t - c): 1 if all four gradients point at the centre.
    centres = noise(60, 256, 256, cells=128, seed=3)[:, 1::2, 1::2]
    assert centres.max() > 0.99
    assert centres.min() < -0.99


# Smoothness


def ends(fit: Array, order: int) -> tuple[Array, Array]:
    """Return a derivative, in 1 / cell^order, at both ends of a cell."""
    derivative = chebyshev.chebder(fit, order, 2)  # 2: a cell is 2 long in the polynomial's own coordinate
    return chebyshev.chebval(-1, derivative), chebyshev.chebval(1, derivative)


@pytest.mark.parametrize(("dims", "axis"), [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)])
def test_twice_continuously_differentiable_across_cells(dims: int, axis: int) -> None:
    shape, cells = [41, 7][: dims - 1], [3.7, 1.3][: dims - 1]
    shape.insert(axis, 4 * 64)
    cells.insert(axis, 4)
    lines = np.moveaxis(noise(3, *shape, cells=cells, seed=1), axis + 1, -1).reshape(-1, 4 * 64)
    # Inside a cell the noise is a polynomial of degree 6 along each axis: fade of degree 5 times a distance.
    t = np.linspace(-1, 1, 65)
    fits = []
    for cell in range(3):
        section = lines[:, 64 * cell : 64 * cell + 65].T
        fits.append(chebyshev.chebfit(t, section, 6))
        assert np.abs(chebyshev.chebval(t, fits[-1]).T - section).max() < 8 * FLOAT32, "a few roundings, no more"
    # What jumps from one cell to the next: value, first, second, third derivative, in 1 / cell^k.
    value, first, second, third = (
        max(np.abs(ends(after, k)[0] - ends(before, k)[1]).max() for before, after in pairwise(fits)) for k in range(4)
    )
    # Roundings of about FLOAT32 scatter each coefficient by FLOAT32 sqrt(2 / 65), and derivative k at the end weighs
    # coefficient n with 2^k T_n^(k)(1): 2.6, 95 and 1,900 in all (root of squares) for k = 0, 1, 2. That makes jumps of
    # 4e-8, 1.4e-6 and 3e-5; the limits are ten times that, for the worst of some hundred lines.
    assert value < 4e-7
    assert first < 1.4e-5
    assert second < 3e-4
    # s'''(0) = s'''(1) = 60: the third derivative jumps by 60 (B - 2 A + Z), values that differ by some tenths.
    assert third > 10


# Moments


@pytest.mark.parametrize(
    ("shape", "cells", "octaves"), [((400, 128, 128), 16, 1), ((400, 128, 128), 5.3, 4), ((100, 32, 32, 32), 8, 1)]
)
def test_mean(shape: tuple[int, ...], cells: float, octaves: int) -> None:
    values = noise(*shape, cells=cells, octaves=octaves, seed=5)
    assert_mean(values.mean(tuple(range(1, values.ndim))), 0.0)


@pytest.mark.parametrize("dims", [2, 3])
def test_variance_by_place_in_the_cell(dims: int) -> None:
    samples, cells = (400, 16) if dims == 2 else (100, 6)
    values = noise(samples, *(cells * 8,) * dims, cells=cells, seed=1)
    shape = [samples] + [cells, 8] * dims
    by_place = (values**2).reshape(shape).mean(tuple(range(1, 2 * dims, 2)))
    t = np.arange(8) / 8
    expected = theory.variance_at(*np.meshgrid(*(t,) * dims, indexing="ij"))
    inside = (slice(None), *(slice(1, None),) * dims)  # at lattice points both are zero
    assert_mean(by_place[inside], expected[inside[1:]], PERMUTATION * expected[inside[1:]])
    # The spherical table has E g g^T = I / 3 up to 2e-3; that of the plane is exact.
    assert np.abs(gradients(dims).T @ gradients(dims) / 256 - np.eye(dims) / dims).max() < (1e-12, 2e-3)[dims - 2]


@pytest.mark.parametrize(("dims", "samples", "cells"), [(2, 400, 16), (3, 100, 8)])
def test_variance(dims: int, samples: int, cells: int) -> None:
    values = noise(samples, *(cells * 4,) * dims, cells=cells, seed=2)
    expected = theory.covariance(*[0.0] * dims)
    assert expected == pytest.approx({2: 0.0931, 3: 0.0486}[dims], abs=1e-4)
    assert_mean((values**2).mean(tuple(range(1, dims + 1))), expected, PERMUTATION * expected)


def test_variance_of_octaves_adds_up() -> None:
    values = noise(600, 128, 128, cells=4, octaves=4, persistence=0.7, seed=2)
    amplitudes = 0.7 ** np.arange(4)
    expected = theory.covariance(0, 0) * (amplitudes**2).sum() / amplitudes.sum() ** 2
    assert_mean((values**2).mean((1, 2)), expected, PERMUTATION * expected)


@pytest.mark.parametrize(
    "tau", [(0.25, 0, 0), (0, 0.25, 0), (0, 0, 0.25), (0.5, 0.5, 0), (0, 0.5, -0.5), (1, 0, 0.5), (0.75, 0.75, 0.75)]
)
def test_covariance_in_space(tau: tuple[float, float, float]) -> None:
    values = noise(60, 32, 32, 32, cells=8, seed=7, tileable=True)
    moved = np.roll(values, [int(4 * t) for t in tau], (1, 2, 3))
    variance = theory.covariance(0, 0, 0)
    assert_mean((values * moved).mean((1, 2, 3)), theory.covariance(*tau), PERMUTATION * variance)


# Spectrum: tileable noise is periodic, so its Fourier transform is free of leakage and theory gives every bin.

CELLS, PIXELS = 16, 4


@pytest.fixture(scope="module")
def spectra() -> Array:
    """Return |FFT2|^2 of 1,000 samples."""
    values = noise(1000, CELLS * PIXELS, CELLS * PIXELS, cells=CELLS, seed=2, tileable=True)
    return np.abs(np.fft.fft2(values)) ** 2


def frequencies() -> tuple[Array, Array]:
    """Return radius (waves per cell) and angle (0..pi) of every bin."""
    f = np.fft.fftfreq(CELLS * PIXELS) * PIXELS
    return np.hypot(f[:, None], f[None]), np.arctan2(f[:, None], f[None]) % np.pi


def test_spectrum_by_rings(spectra: Array) -> None:
    expected, (radius, _) = theory.spectrum(CELLS, PIXELS), frequencies()
    for low in np.arange(0, 2, 0.125):
        ring = (radius >= low) & (radius < low + 0.125)
        assert_mean(spectra[:, ring].sum(1), expected[ring].sum())


def test_spectrum_lies_around_the_frequency_of_the_lattice(spectra: Array) -> None:
    mean, (radius, _) = spectra.mean(0), frequencies()
    shares = [mean[(radius >= low) & (radius < high)].sum() / mean.sum() for low, high in [(0, 0.25), (0.25, 1.125)]]
    assert shares[0] < 0.03  # theory: 2.6 %
    assert shares[1] > 0.96  # 96.3 %
    assert mean[0, 0] < 1e-6 * mean.max(), "each kernel is odd: no constant part"


def test_isotropy(spectra: Array) -> None:
    expected, (radius, angle) = theory.spectrum(CELLS, PIXELS), frequencies()
    band = (radius >= 0.25) & (radius < 1.125)
    sectors = [band & (np.round(angle / (np.pi / 8)).astype(int) % 8 == s) for s in range(8)]
    power = np.stack([spectra[:, sector].mean(1) for sector in sectors], 1)
    assert_mean(power, np.array([expected[sector].mean() for sector in sectors]))
    # x and y are equals, and so are both diagonals.
    assert_mean(power[:, [0, 1, 2, 3]] - power[:, [4, 3, 6, 5]], 0.0)
    # The square lattice shows: theory has the largest sector 1.3 times the smallest, no more.
    assert power.mean(0).max() / power.mean(0).min() < 1.4


@pytest.mark.parametrize("dims", [2, 3])
def test_slopes_along_all_axes_are_alike(dims: int) -> None:
    samples, cells = (400, 16) if dims == 2 else (60, 8)
    values = noise(samples, *(cells * 4,) * dims, cells=cells, seed=9, tileable=True)
    steps = [values - np.roll(values, 1, axis) for axis in range(1, dims + 1)]
    everywhere = tuple(range(1, dims + 1))
    squares = np.stack([(step**2).mean(everywhere) for step in steps], 1)
    variance, neighbour = theory.covariance(*[0.0] * dims), theory.covariance(0.25, *[0.0] * (dims - 1))
    assert_mean(squares, 2 * (variance - neighbour), 2 * PERMUTATION * variance)
    assert_mean(squares[:, 1:] - squares[:, :1], 0.0, 2e-3 * squares.mean())  # 2e-3: the spherical table, see above
    slopes = [np.roll(values, -1, axis) - np.roll(values, 1, axis) for axis in (1, 2)]  # centred: at the same place
    assert_mean((slopes[0] * slopes[1]).mean(everywhere), 0.0, 2e-3 * squares.mean())


# Repetition


def largest_correlation(one: Array, other: Array) -> float:
    """Return the largest |correlation| of two periodic images over all shifts against each other."""
    spectrum = np.fft.fft2(one) * np.conj(np.fft.fft2(other))
    return float(np.abs(np.fft.ifft2(spectrum)).max() / (one.size * math.sqrt((one**2).mean() * (other**2).mean())))


def chance_level(cells: int, pixels: int, pairs: int) -> float:
    """Return what independent samples exceed at any shift of any of ``pairs`` pairs with probability 1e-3 at most.

    A correlation has variance sum S^2 / (sum S)^2, S the spectrum, and is near normal as a sum over many cells. Its
    tails are a little longer (kurtosis 3.3 between samples of unrelated ids, at 16 and 32 cells): a quarter is added.
    """
    s = theory.spectrum(cells, pixels)
    quantile = stats.norm.isf(1e-3 / (2 * s.size * pairs))
    return float(1.25 * quantile * math.sqrt((s**2).sum()) / s.sum())


def test_samples_and_seeds_do_not_repeat_each_other() -> None:
    def images(seed: int, samples: list[int]) -> Array:
        return noise(len(samples), 128, 128, cells=32, seed=seed, samples=samples, tileable=True)

    ids = [*range(12), 2**32, 2**32 + 1, -1, -2, 2**63 - 1, -(2**63)]
    first = images(0, ids)
    pairs = list(pairwise(first))  # neighbouring ids, and ids that differ in one half only
    pairs += [(first[i], first[j]) for i, j in [(0, 12), (1, 13), (0, 14), (0, 16), (0, 17), (0, 8), (1, 9)]]
    for seed in (1, 2**32, 2**63):
        pairs += list(zip(first, images(seed, ids), strict=True))
    pairs += list(zip(images(7, [3, 5]), [images(3, [7])[0], images(5, [7])[0]], strict=True))
    level = chance_level(32, 4, len(pairs))
    assert level < 0.2
    assert max(largest_correlation(*pair) for pair in pairs) < level
    # The measure does see what it is to see: the same image, moved.
    assert largest_correlation(first[0], np.roll(first[0], (17, 40), (0, 1))) > 0.999


def test_octaves_of_a_sample_do_not_repeat_each_other() -> None:
    # Both at 16 cells: octave 1 of 8 cells, taken out of a sum of two, and octave 0. Octaves look at one permutation
    # through offsets of their own, uniform in 256 x 256: in 1.5 % of samples they come closer than 16 cells and share
    # part of the pattern, at different scales. None of these samples does.
    settings = {"seed": 0, "tileable": True}
    both = noise(12, 64, 64, cells=8, octaves=2, persistence=1.0, **settings)
    octave = 2 * both - noise(12, 64, 64, cells=8, **settings)
    single = noise(12, 64, 64, cells=16, **settings)
    assert (octave**2).mean() == pytest.approx((single**2).mean(), rel=0.1)
    level = chance_level(16, 4, 12)
    assert max(largest_correlation(*pair) for pair in zip(octave, single, strict=True)) < level


# Gradients


@pytest.mark.parametrize("dims", [2, 3])
def test_gradients_are_those_of_the_table_and_evenly_used(dims: int) -> None:
    # Close to a lattice point the noise is g . r: the first pixel along each axis shows one component of g.
    step, samples = 1e-3, 256 * 200
    values = noise(samples, *(2,) * dims, cells=2 * step, seed=6)
    places = [tuple(int(a == axis) for a in range(dims)) for axis in reversed(range(dims))]  # x, y (, z)
    found = np.stack([values[(slice(None), *place)] for place in places], 1) / step * (math.sqrt(dims) / 2)
    product = found @ gradients(dims).T
    index = product.argmax(1)
    # The fade takes 10 step^3 of the distance off: 1e-5, and neighbouring directions lie 2e-2 apart.
    assert np.abs(found - gradients(dims)[index]).max() < 5e-5
    counts = np.bincount(index, minlength=256)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("axis", "neighbour"), [(1, (0, 1)), (1, (0, 2)), (2, (1, 0)), (2, (2, 0))])
def test_neighbouring_gradients_are_independent(axis: int, neighbour: tuple[int, int]) -> None:
    # One pixel per cell along the lattice, a small step across it: one component of the gradient at each point.
    step, samples = 1e-3, 50_000
    shape, cells = ((2, 3), (2 * step, 3.0)) if axis == 1 else ((3, 2), (3.0, 2 * step))
    values = noise(samples, *shape, cells=cells, seed=8)
    across = np.moveaxis(values, axis, 1)[:, 1]
    edges = np.quantile(np.sin(2 * np.pi * (np.arange(256) + 0.5) / 256), np.arange(1, 8) / 8)  # eight even classes
    classes = np.digitize(across / step * (math.sqrt(2) / 2), edges)
    joint = np.zeros((8, 8), np.int64)
    np.add.at(joint, (classes[:, 0], classes[:, max(neighbour)]), 1)
    assert stats.chi2_contingency(joint).pvalue > 1e-3
