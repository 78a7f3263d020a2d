"""Table III's measures with intervals, and energy distances: against SciPy, plain loops, and sets known to be alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cosine, jensenshannon
from scipy.stats import energy_distance, wasserstein_distance

from plr_fast.errors import DataError
from plr_fast.evaluation.lesion_patches import PatchSet, constant_patch
from plr_fast.evaluation.patch_likeness import ENERGY_MEASURES, RealReference, descriptions


def cloudy(count: int, seed: int, *, sigma: float = 1.5, side: int = 32) -> np.ndarray:
    """Smooth noise of varying mean and contrast, uint8 (N, side, side)."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=(count, side, side)), (0, sigma, sigma))
    field /= field.std(axis=(1, 2), keepdims=True)
    mean, spread = rng.uniform(90, 150, (count, 1, 1)), rng.uniform(8, 20, (count, 1, 1))
    return np.clip(mean + spread * field, 1, 255).round().astype(np.uint8)


def patch_set(patches: np.ndarray, groups: int = 0) -> PatchSet:
    """``groups`` 0: patches that lie in no slice."""
    names = np.array([f"g{i % groups}" if groups else "" for i in range(len(patches))], np.str_)
    return PatchSet(patches, names, names)


def test_means_are_those_of_plain_loops_over_pairs_of_other_groups() -> None:
    real, other = patch_set(cloudy(10, 0), 5), patch_set(cloudy(6, 1), 3)  # g0..g2 are in both
    reference = RealReference(real, resamples=50)
    for found, first in ((reference.against_itself(), real), (reference.against(other), other)):
        pairs = [
            (a.ravel().astype(float), b.ravel().astype(float))
            for a, group in zip(first.patches, first.groups, strict=True)
            for b, origin in zip(real.patches, real.groups, strict=True)
            if group != origin
        ]
        assert found["cosine"].value == pytest.approx(np.mean([cosine(a, b) for a, b in pairs]))
        assert found["jensen_shannon"].value == pytest.approx(np.mean([jensenshannon(a, b) for a, b in pairs]))
        assert found["cosine"].low <= found["cosine"].value <= found["cosine"].high


def test_a_slice_in_both_sets_is_not_compared_with_itself() -> None:
    real = patch_set(cloudy(8, 0), 4)
    same = PatchSet(real.patches[:1], real.origins[:1], real.groups[:1])
    stranger = PatchSet(real.patches[:1], np.array(["z"]), np.array(["z"]))
    reference = RealReference(real, resamples=0)
    assert reference.against(same)["cosine"].value > reference.against(stranger)["cosine"].value


def test_energy_distance_of_greys_is_that_of_scipy_for_flat_patches() -> None:
    """A flat patch is one number, for which SciPy has the energy distance (it gives its root)."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(50, 100, 40), rng.integers(80, 200, 30)
    flat = [np.broadcast_to(levels[:, None, None], (len(levels), 4, 4)).astype(np.uint8) for levels in (first, second)]
    found = RealReference(patch_set(flat[0], 40), resamples=0).against(patch_set(flat[1]))["grey"].value
    # SciPy's means count each patch against itself; ours leave that out.
    inner = [np.abs(x[:, None] - x).sum() / len(x) * (1 / (len(x) - 1) - 1 / len(x)) for x in (first, second)]
    assert found == pytest.approx(energy_distance(first, second) ** 2 - sum(inner))


def test_descriptions_against_scipy_and_theory() -> None:
    patches = cloudy(2, 0)
    described = descriptions(patches)
    slopes = [np.hypot(*np.gradient(patch.astype(float))).ravel() for patch in patches]
    for values, expected in ((described.grey, patches.reshape(2, -1)), (described.gradient, slopes)):
        assert np.abs(values[0] - values[1]).mean() == pytest.approx(wasserstein_distance(*expected))
    white = np.random.default_rng(0).integers(1, 256, (200, 32, 32), dtype=np.uint8)
    np.testing.assert_allclose(descriptions(white).spectrum[:, 1:].mean(axis=0), 0, atol=1)  # white: no slope
    brighter = np.clip(patches.astype(int) // 2 + 100, 0, 255).astype(np.uint8)  # half the contrast: the same shape
    np.testing.assert_allclose(descriptions(brighter).spectrum[:, :5], described.spectrum[:, :5], atol=4)
    with pytest.raises(ValueError, match="uint8"):
        descriptions(patches.astype(np.float32))


@pytest.fixture(scope="module")
def reference() -> RealReference:
    return RealReference(patch_set(cloudy(120, 0), 40), resamples=200)


def test_sets_of_one_kind_are_at_no_distance(reference: RealReference) -> None:
    itself, alike = reference.against_itself(), reference.against(patch_set(cloudy(150, 7)))
    for measure in ENERGY_MEASURES:
        assert itself[measure].low < 0 < itself[measure].high
        assert itself[measure].low < alike[measure].value < itself[measure].high


@pytest.mark.parametrize("kind", ["constant", "shuffled", "blurred", "uniform"])
def test_controls_that_the_paper_prefers_are_far(reference: RealReference, kind: str) -> None:
    """By the paper's means a constant patch beats real lesions, and shuffling pixels changes nothing."""
    patches = cloudy(120, 7)
    others = {
        "constant": constant_patch(120).patches,
        "shuffled": np.random.default_rng(0).permuted(patches.reshape(120, -1), axis=1).reshape(patches.shape),
        "blurred": gaussian_filter(patches, (0, 1.5, 1.5)),
        "uniform": np.repeat(patches[:1], 40, axis=0),  # alike to one of them: a set without variety
    }
    itself, found = reference.against_itself(), reference.against(patch_set(others[kind]))
    assert found["spectrum"].low > itself["spectrum"].high
    if kind == "constant":
        assert found["cosine"].value < itself["cosine"].value
        assert found["jensen_shannon"].value < itself["jensen_shannon"].value
    if kind == "shuffled":
        assert found["cosine"].value == pytest.approx(itself["cosine"].value, rel=0.1)


def test_intervals_narrow_with_more_groups() -> None:
    widths = []
    for groups in (8, 80):
        found = RealReference(patch_set(cloudy(160, 0), groups), resamples=300).against(constant_patch(120))["grey"]
        few = RealReference(patch_set(cloudy(groups, 0), groups), resamples=300).against(constant_patch(120))["grey"]
        assert found.low < found.value < found.high
        widths.append(few.high - few.low)
    assert widths[1] < widths[0] / 2


def test_no_resamples_no_interval(reference: RealReference) -> None:
    found = RealReference(patch_set(cloudy(8, 0), 4), resamples=0).against(constant_patch(9))["cosine"]
    assert np.isnan([found.low, found.high]).all()
    with pytest.raises(DataError, match="come from 3 slices or patients; at least 4"):
        RealReference(patch_set(cloudy(8, 0), 3))
    with pytest.raises(ValueError, match="resize"):
        reference.against(patch_set(cloudy(3, 0, side=16)))


def test_the_same_seed_gives_the_same_interval() -> None:
    real = patch_set(cloudy(12, 0), 6)
    found = [RealReference(real, resamples=100, seed=seed).against_itself() for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]
