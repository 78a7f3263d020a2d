"""Metrics against scikit-learn and hand-made cases, and the rules for undefined ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from plr_fast.evaluation.metrics import (
    METRIC_KEYS,
    METRICS,
    NO_NEGATIVE,
    NO_POSITIVE,
    NONE_CALLED_POSITIVE,
    binary_metrics,
    confusion,
    weighted_metrics,
)


def values(labels, scores, **options):
    return {key: metric.value for key, metric in binary_metrics(labels, scores, **options).items()}


def test_hand_made_case():
    # tp 2 (0.9, 0.5: the threshold itself counts as positive), fn 1 (0.4), fp 1 (0.8), tn 3.
    labels = [1, 1, 1, 0, 0, 0, 0]
    scores = [0.9, 0.5, 0.4, 0.8, 0.3, 0.2, 0.1]
    found = values(labels, scores)
    assert confusion(labels, scores).to_json() == {"tn": 3, "fp": 1, "fn": 1, "tp": 2}
    assert confusion(labels, scores).matrix().tolist() == [[3, 1], [1, 2]]
    assert found["accuracy"] == pytest.approx(5 / 7)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["specificity"] == pytest.approx(3 / 4)
    assert found["f1"] == pytest.approx(2 / 3)
    # Of 12 (positive, negative) pairs two are in the wrong order: (0.5, 0.8) and (0.4, 0.8).
    assert found["auroc"] == pytest.approx(10 / 12)
    assert found["paper_auc"] == pytest.approx((2 / 3 + 3 / 4) / 2)
    assert found["average_precision"] == pytest.approx((1 / 1 + 2 / 3 + 3 / 4) / 3)
    assert found["brier"] == pytest.approx((0.01 + 0.25 + 0.36 + 0.64 + 0.09 + 0.04 + 0.01) / 7)


def test_paper_auc_is_not_the_auroc():
    """The paper's AUC follows from its accuracy and recall alone (Table IV, PLR-P at 100 %, average)."""
    tp = round(0.9402 * 619)
    tn = round(0.9390 * 836) - tp
    labels = np.r_[np.ones(619, int), np.zeros(217, int)]
    # Half of the missed positives lie below all negatives, which hard labels do not show.
    missed = 619 - tp
    scores = np.r_[np.full(tp, 0.9), np.linspace(0, 0.4, missed), np.full(tn, 0.2), np.full(217 - tn, 0.6)]
    found = values(labels, scores)
    assert found["paper_auc"] == pytest.approx(0.9379, abs=1e-4)
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(labels, scores))
    assert abs(found["auroc"] - found["paper_auc"]) > 0.005


def test_threshold_moves_hard_metrics_only():
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 2, 200), rng.random(200)
    low, high = values(labels, scores, threshold=0.2), values(labels, scores, threshold=0.8)
    assert low["recall"] > high["recall"]
    for key in ("auroc", "average_precision", "brier"):
        assert low[key] == high[key]


@pytest.mark.parametrize(
    ("labels", "scores", "undefined"),
    [
        ([1, 1, 1], [0.9, 0.2, 0.6], {"specificity", "auroc", "paper_auc", "average_precision"}),
        ([0, 0, 0], [0.9, 0.2, 0.6], {"recall", "auroc", "paper_auc", "average_precision"}),
        ([0, 1, 1], [0.1, 0.2, 0.3], {"precision"}),
        ([0, 0], [0.1, 0.2], {"precision", "recall", "f1", "auroc", "paper_auc", "average_precision"}),
        ([], [], set(METRIC_KEYS)),
    ],
)
def test_undefined_cases_are_nan_with_a_reason(labels, scores, undefined):
    found = binary_metrics(labels, scores)
    assert {key for key, metric in found.items() if math.isnan(metric.value)} == undefined
    assert {key for key, metric in found.items() if metric.reason} == undefined
    for key in undefined:
        entry = json.loads(json.dumps(found[key].to_json(), allow_nan=False))
        assert entry["value"] is None
        assert entry["reason"]


def test_reasons_say_what_is_missing():
    assert binary_metrics([1, 1], [0.9, 0.8])["auroc"].reason == NO_NEGATIVE
    assert binary_metrics([0, 0], [0.9, 0.8])["recall"].reason == NO_POSITIVE
    assert binary_metrics([0, 1], [0.1, 0.2])["precision"].reason == NONE_CALLED_POSITIVE
    assert binary_metrics([0, 1], [0.1, 0.2])["f1"].value == 0.0


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.5], "equal length"),
        ([[0, 1]], [[0.5, 0.5]], "1-D"),
        ([0, 2], [0.5, 0.5], "labels must be 0 or 1, found 2"),
        ([0, -1], [0.5, 0.5], "leave unlabelled slices out"),
        ([0, 1], [0.5, math.nan], "1 of 2 scores are NaN"),
        ([0, 1], [0.5, 3.0], "apply the sigmoid"),
    ],
)
def test_bad_input_is_refused(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        binary_metrics(labels, scores)


@st.composite
def weighted_sets(draw):
    size = draw(st.integers(1, 12))
    labels = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    # Few distinct scores, so that ties are common.
    scores = draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=size, max_size=size))
    counts = draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    return np.array(labels), np.array(scores), np.array(counts)


@given(weighted_sets(), st.sampled_from([0.25, 0.5, 0.6]))
@settings(max_examples=150, deadline=None)
def test_weights_equal_repeated_slices(case, threshold):
    """Counting a slice k times must equal a set in which it stands k times, for all metrics, NaN included."""
    labels, scores, counts = case
    repeated = binary_metrics(np.repeat(labels, counts), np.repeat(scores, counts), threshold=threshold)
    weighted = weighted_metrics(labels, scores, counts[None], threshold=threshold)[0]
    np.testing.assert_allclose(weighted, [repeated[key].value for key in METRIC_KEYS], atol=1e-12)


def test_weights_agree_with_scikit_learn_on_a_large_set():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 700)
    scores = np.round(np.clip(0.3 * labels + rng.normal(0.4, 0.25, 700), 0, 1), 2)
    weights = rng.integers(0, 4, (3, 700)).astype(float)
    found = weighted_metrics(labels, scores, weights)
    for row, weight in zip(found, weights, strict=True):
        by_key = dict(zip(METRIC_KEYS, row, strict=True))
        assert by_key["auroc"] == pytest.approx(sk.roc_auc_score(labels, scores, sample_weight=weight), abs=1e-12)
        expected = sk.average_precision_score(labels, scores, sample_weight=weight)
        assert by_key["average_precision"] == pytest.approx(expected, abs=1e-12)
        assert by_key["brier"] == pytest.approx(sk.brier_score_loss(labels, scores, sample_weight=weight), abs=1e-12)


def test_weights_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"\(R, 2\)"):
        weighted_metrics([0, 1], [0.1, 0.9], np.ones((4, 3)))


def test_every_metric_is_described():
    assert len({metric.key for metric in METRICS}) == len(METRICS) == 9
    assert [metric.key for metric in METRICS if not metric.higher_is_better] == ["brier"]
    assert all(metric.meaning and metric.title for metric in METRICS)
