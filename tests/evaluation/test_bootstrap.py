"""The group bootstrap: whole groups, strata, determinism, coverage, pairing."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from plr_fast.evaluation import bootstrap as module
from plr_fast.evaluation.bootstrap import GroupBootstrap, compare_classifiers, pairs, weighted_means
from plr_fast.evaluation.metrics import MetricValue, binary_metrics


def example(groups=12, size=5, seed=0):
    """Groups of one class each; the scores of a group share an offset."""
    rng = np.random.default_rng(seed)
    label_of = np.arange(groups) % 2
    names = np.repeat([f"p{index}" for index in range(groups)], size)
    labels = np.repeat(label_of, size)
    offsets = np.repeat(rng.normal(0, 0.15, groups), size)
    scores = np.clip(0.4 + 0.2 * labels + offsets + rng.normal(0, 0.05, groups * size), 0, 1)
    return names, labels, scores


def all_weights(bootstrap):
    return np.concatenate(list(bootstrap.weights()))


def test_groups_stay_whole_and_strata_keep_their_number():
    names, labels, _ = example()
    names = np.r_[names, ["m1"] * 4, ["m2"] * 3]
    labels = np.r_[labels, [0, 1, 0, 1], [1, 0, 0]]
    bootstrap = GroupBootstrap(names, labels, resamples=300, seed=3)
    assert bootstrap.strata == {"negative": 6, "positive": 6, "mixed": 2}
    weights = all_weights(bootstrap)
    assert weights.shape == (300, len(names))
    for name in np.unique(names):
        members = weights[:, names == name]
        assert (members == members[:, :1]).all()
    first = {name: np.flatnonzero(names == name)[0] for name in np.unique(names)}
    for kind, expected in (("negative", 6), ("positive", 6), ("mixed", 2)):
        chosen = [
            first[name]
            for name in first
            if {"negative": {0}, "positive": {1}, "mixed": {0, 1}}[kind] == set(labels[names == name].tolist())
        ]
        assert (weights[:, chosen].sum(axis=1) == expected).all()
    # Every group is drawn once per resample on average (standard error of the mean below 0.06).
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.25)


def test_draws_depend_on_the_seed_and_not_on_block_size(monkeypatch):
    names, labels, _ = example()
    whole = all_weights(GroupBootstrap(names, labels, resamples=150, seed=4))
    monkeypatch.setattr(module, "_BLOCK_BYTES", 8 * len(names) * 7)
    blocks = list(GroupBootstrap(names, labels, resamples=150, seed=4).weights())
    assert len(blocks) == 22
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert (all_weights(GroupBootstrap(names, labels, resamples=150, seed=5)) != whole).any()


def test_interval_of_a_share_matches_the_normal_approximation():
    """Groups of one slice: the bootstrap of a share is binomial, whose 95 % interval is known."""
    labels = np.zeros(400, int)
    called = np.r_[np.ones(120), np.zeros(280)]
    bootstrap = GroupBootstrap(np.arange(400), labels, resamples=4000, seed=0)
    samples = bootstrap.distribution(lambda weights: weights @ called / weights.sum(axis=1))
    interval = bootstrap.interval(MetricValue(0.3), samples)
    half = 1.96 * math.sqrt(0.3 * 0.7 / 400)
    assert interval.low == pytest.approx(0.3 - half, abs=0.006)
    assert interval.high == pytest.approx(0.3 + half, abs=0.006)


def test_correlated_slices_widen_the_interval():
    """Ten equal slices of a patient say no more than one: resampling slices would pretend otherwise."""
    rng = np.random.default_rng(2)
    right = rng.random(40) < 0.7
    names = np.repeat(np.arange(40), 10)
    values, labels = np.repeat(right, 10).astype(float), np.zeros(400, int)

    def width(groups):
        bootstrap = GroupBootstrap(groups, labels, resamples=2000, seed=0)
        samples = bootstrap.distribution(lambda weights: weights @ values / weights.sum(axis=1))
        interval = bootstrap.interval(MetricValue(values.mean()), samples)
        return interval.high - interval.low

    assert width(names) / width(np.arange(400)) == pytest.approx(math.sqrt(10), rel=0.15)


def test_identical_classifiers_have_no_difference_and_better_ones_do():
    names, labels, scores = example(groups=40)
    better = np.clip(0.5 + 0.45 * (2 * labels - 1) * 0.9, 0, 1)
    named = {"a": scores, "b": scores.copy(), "c": better}
    points = {name: binary_metrics(labels, values) for name, values in named.items()}
    bootstrap = GroupBootstrap(names, labels, resamples=500, seed=0)
    result = compare_classifiers(labels, named, points, bootstrap)
    assert list(result.differences) == [("b", "a"), ("c", "a"), ("c", "b")]
    same = result.differences["b", "a"]["auroc"]
    assert (same.interval.value, same.interval.low, same.interval.high, same.first_higher) == (0, 0, 0, 0.5)
    gain = result.differences["c", "a"]["accuracy"]
    assert gain.interval.value == pytest.approx(points["c"]["accuracy"].value - points["a"]["accuracy"].value)
    assert gain.interval.low > 0
    assert gain.first_higher == 1
    lower = result.intervals["a"]["accuracy"]
    assert lower.low < lower.value < lower.high
    assert lower.value == points["a"]["accuracy"].value


def test_pairing_removes_what_both_share():
    """Two classifiers that err on the same groups: the paired interval is far narrower than each one's own."""
    names, labels, scores = example(groups=40, seed=7)
    shifted = np.clip(scores + 0.01, 0, 1)
    named = {"a": scores, "b": shifted}
    points = {name: binary_metrics(labels, values) for name, values in named.items()}
    result = compare_classifiers(labels, named, points, GroupBootstrap(names, labels, resamples=500, seed=0))
    own = result.intervals["a"]["accuracy"]
    paired = result.differences["b", "a"]["accuracy"].interval
    assert paired.high - paired.low < 0.5 * (own.high - own.low)


def test_one_class_gives_reasons_and_no_crash():
    names, labels = np.repeat(["a", "b", "c"], 3), np.ones(9, int)
    scores = np.linspace(0.2, 0.9, 9)
    points = {"x": binary_metrics(labels, scores)}
    result = compare_classifiers(labels, {"x": scores}, points, GroupBootstrap(names, labels, resamples=100, seed=0))
    assert math.isnan(result.intervals["x"]["auroc"].value)
    assert result.intervals["x"]["auroc"].to_json() == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "no negative slice in the set",
    }
    assert result.intervals["x"]["recall"].low <= result.intervals["x"]["recall"].high


def test_undefined_resamples_are_counted():
    """Precision is undefined in resamples that leave out the only group with positive calls."""
    names, labels = np.array(["a", "b", "c", "d"]), np.array([1, 1, 0, 0])
    scores = np.array([0.9, 0.1, 0.1, 0.1])
    points = {"x": binary_metrics(labels, scores)}
    result = compare_classifiers(labels, {"x": scores}, points, GroupBootstrap(names, labels, resamples=2000, seed=0))
    precision = result.intervals["x"]["precision"]
    assert precision.undefined == pytest.approx(0.25, abs=0.04)
    assert precision.low == precision.high == 1
    assert precision.to_json()["undefined_share"] == precision.undefined


def test_no_resamples_means_no_interval():
    names, labels, scores = example()
    points = {"x": binary_metrics(labels, scores)}
    result = compare_classifiers(labels, {"x": scores}, points, GroupBootstrap(names, labels, resamples=0))
    entry = result.intervals["x"]["accuracy"]
    assert entry.value == points["x"]["accuracy"].value
    assert math.isnan(entry.low)
    assert "no resamples" in str(entry.reason)


def test_notes_warn_of_lonely_and_of_unknown_groups():
    labels = np.array([0, 0, 1])
    assert any("Every slice is a group of its own" in note for note in GroupBootstrap(["a", "b", "c"], labels).notes())
    assert any("Only one group holds positive" in note for note in GroupBootstrap(["a", "b", "c"], labels).notes())
    names, labels, _ = example(groups=60)
    assert GroupBootstrap(names, labels).notes() == []


def test_weighted_means_leave_nan_out():
    values = np.array([[1.0, math.nan], [3.0, math.nan], [math.inf, math.nan]])
    means = weighted_means(values, np.array([[1.0, 1.0, 1.0], [3.0, 1.0, 0.0]]))
    np.testing.assert_allclose(means[:, 0], [2.0, 1.5])
    assert np.isnan(means[:, 1]).all()


def test_pairs_put_the_first_classifier_last():
    assert pairs(3) == [(1, 0), (2, 0), (2, 1)]


@pytest.mark.parametrize(
    ("groups", "labels", "options", "message"),
    [
        ([], [], {}, "not empty"),
        (["a"], [0, 1], {}, "equal length"),
        (["a"], [0], {"resamples": -1}, "at least 0"),
        (["a"], [0], {"confidence": 1.0}, "confidence"),
    ],
)
def test_bad_input_is_refused(groups, labels, options, message):
    with pytest.raises(ValueError, match=message):
        GroupBootstrap(groups, labels, **options)


def test_paper_sized_set_takes_seconds():
    """836 slices (the paper's test set), six classifiers, 2,000 resamples."""
    rng = np.random.default_rng(0)
    labels = (np.arange(836) < 619).astype(int)
    names = np.array([f"g{index // 7}-{label}" for index, label in enumerate(labels)])
    named = {f"c{k}": np.clip(0.4 + 0.2 * labels + rng.normal(0, 0.2, 836), 0, 1) for k in range(6)}
    points = {name: binary_metrics(labels, values) for name, values in named.items()}
    started = time.perf_counter()
    compare_classifiers(labels, named, points, GroupBootstrap(names, labels, resamples=2000, seed=0))
    assert time.perf_counter() - started < 20  # about 1.5 s on one free core; the rest is for a busy machine
