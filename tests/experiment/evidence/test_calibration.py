"""Calibration error and bins, against scikit-learn and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from plr_fast.experiment.evidence.calibration import bin_edges, bin_of, expected_calibration_error


def example(count: int = 400, seed: int = 0):
    rng = np.random.default_rng(seed)
    scores = np.round(rng.beta(0.7, 0.9, count), 2)  # ties
    return (rng.random(count) < scores**1.5).astype(int), scores


@pytest.mark.parametrize(("binning", "strategy"), [("mass", "quantile"), ("width", "uniform")])
@pytest.mark.parametrize("bins", [1, 5, 10])
def test_bins_are_those_of_scikit_learn(binning, strategy, bins) -> None:
    labels, scores = example()
    shares, means = calibration_curve(labels, scores, n_bins=bins, strategy=strategy)
    found = bin_of(scores, bin_edges(scores, bins=bins, binning=binning))
    kept = np.unique(found)
    np.testing.assert_allclose([scores[found == one].mean() for one in kept], means)
    np.testing.assert_allclose([labels[found == one].mean() for one in kept], shares)
    counts = np.array([np.count_nonzero(found == one) for one in kept])
    expected = float((counts * np.abs(shares - means)).sum() / len(labels))
    ece = expected_calibration_error(labels, scores, bins=bins, binning=binning)
    assert ece.value == pytest.approx(expected, abs=1e-12)


def test_hand_computed() -> None:
    """Two bins of width 0.5: mean scores 0.2 and 0.8, shares 0.5 and 1, two slices each: (0.3 + 0.2) / 2."""
    labels, scores = [0, 1, 1, 1], [0.1, 0.3, 0.7, 0.9]
    assert expected_calibration_error(labels, scores, bins=2, binning="width").value == pytest.approx(0.25)


def test_equal_mass_bins_hold_equally_many() -> None:
    scores = np.random.default_rng(1).random(200) ** 4
    counts = np.bincount(bin_of(scores, bin_edges(scores, bins=10)), minlength=10)
    assert set(counts.tolist()) <= {19, 20, 21}


def test_true_probabilities_have_a_small_error_and_extreme_ones_a_large() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(20_000)
    labels = (rng.random(20_000) < truth).astype(int)
    assert expected_calibration_error(labels, truth).value < 0.02
    assert expected_calibration_error(labels, np.round(truth)).value > 0.2


def test_no_slices_and_no_bins() -> None:
    empty = expected_calibration_error([], [])
    assert not empty.defined
    assert empty.reason == "no slices"
    with pytest.raises(ValueError, match="bins must be at least 1"):
        expected_calibration_error([0, 1], [0.1, 0.9], bins=0)
