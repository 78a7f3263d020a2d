"""Means, spreads and crossed bootstrap intervals over repeats."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plr_fast.errors import DataError
from plr_fast.evaluation.metrics import binary_metrics
from plr_fast.experiment.evidence.resampled import COLUMN_OF
from plr_fast.experiment.evidence.statistics import DatasetStatistics, Sampling, mean_of_drawn, percentiles
from plr_fast.experiment.results import CellKey, CellResult, DatasetInfo, MethodInfo, Plan, Results

from ..factory import make_results

FEW = Sampling(resamples=200)


def experiment(cells: list[CellResult], groups: int, repeats: int) -> Results:
    info = DatasetInfo("d", ("normal", "covid"), 1000, groups, "patient", "groups")
    keys = tuple(CellKey("d", "m", 1.0, repeat) for repeat in range(repeats))
    return Results(Path(), Plan("t", (MethodInfo("m", "paper"),), (info,), "m", keys, seed=0), tuple(cells))


def cell_of(repeat: int, groups: np.ndarray, right: np.ndarray) -> CellResult:
    """A cell whose slices are called rightly where ``right``; even groups are negative."""
    labels = (groups % 2).astype(np.int8)
    return CellResult(
        key=CellKey("d", "m", 1.0, repeat),
        ids=np.array([f"{repeat}-{index}" for index in range(len(groups))]),
        groups=groups.astype(str),
        labels=labels,
        scores=np.where(right, labels, 1 - labels).astype(float),
        threshold=0.5,
        seconds=1.0,
        train_slices=10,
        train_groups=2,
        settings_sha256="0" * 64,
    )


def test_mean_spread_and_best_of_the_repeats(tmp_path: Path) -> None:
    results = make_results(tmp_path, repeats=4)
    statistics = DatasetStatistics(results, "sars", FEW)
    for key, best in (("auroc", max), ("f1", max), ("brier", min)):
        values = [
            binary_metrics(cell.labels, cell.scores)[key].value for cell in results.select(method="PLR-P", fraction=0.1)
        ]
        found = statistics.summary("PLR-P", 0.1, key)
        assert found.mean == pytest.approx(np.mean(values))
        assert found.sd == pytest.approx(np.std(values, ddof=1))
        assert found.best == best(values)
        assert found.low < found.mean < found.high
        assert (found.repeats, found.judged, found.planned, found.complete) == (4, 4, 4, True)


def test_a_missing_cell_is_counted(tmp_path: Path) -> None:
    results = make_results(tmp_path, repeats=4, missing=[CellKey("sars", "RI", 0.1, 2)])
    statistics = DatasetStatistics(results, "sars", FEW)
    found = statistics.summary("RI", 0.1, "accuracy")
    assert (found.repeats, found.judged, found.planned, found.complete) == (3, 3, 4, False)
    assert statistics.summary("RI", 1.0, "accuracy").complete
    assert statistics.fractions == (1.0, 0.1)
    assert sorted(statistics.cells("RI", 0.1)) == [0, 1, 3]


def test_nothing_finished_and_nothing_called_positive() -> None:
    empty = DatasetStatistics(experiment([], 10, 2), "d", FEW).summary("m", 1.0, "auroc")
    assert math.isnan(empty.mean)
    assert empty.reason == "no repeat is finished"
    groups = np.repeat(np.arange(6), 4)
    right = groups % 2 == 0  # everything is called negative
    cells = [cell_of(0, groups, right), cell_of(1, groups, np.ones(24, bool))]
    found = DatasetStatistics(experiment(cells, 10, 2), "d", FEW).summary("m", 1.0, "precision")
    assert (found.repeats, found.judged, found.mean) == (1, 2, 1.0)
    assert found.reason == "no slice was called positive"


def test_other_slices_in_one_repeat_are_refused(tmp_path: Path) -> None:
    results = make_results(tmp_path)
    first, *others = results.cells
    moved = replace(first, labels=first.labels[::-1].copy())
    with pytest.raises(DataError, match=r"sars--ri--1--0\.csv and cells/sars--plr-p--1--0\.csv.*different"):
        DatasetStatistics(replace(results, cells=(moved, *others)), "sars")
    with pytest.raises(ValueError, match=r"no data set 'x'.*sars"):
        DatasetStatistics(results, "x")


def test_one_draw_of_groups_for_all_repeats_and_methods(tmp_path: Path) -> None:
    """Repeats with the same test set and scores have the same resamples; with other groups, others."""
    groups = np.repeat(np.arange(8), 5)
    right = np.random.default_rng(0).random(40) < 0.7
    same = DatasetStatistics(experiment([cell_of(j, groups, right) for j in range(2)], 20, 2), "d", FEW)
    one, two = (same.samples(cell) for cell in same.cells("m", 1.0).values())
    np.testing.assert_array_equal(one, two)
    assert np.nanstd(one[:, COLUMN_OF["accuracy"]]) > 0
    apart = DatasetStatistics(experiment([cell_of(j, groups + 8 * j, right) for j in range(2)], 20, 2), "d", FEW)
    one, two = (apart.samples(cell) for cell in apart.cells("m", 1.0).values())
    both = np.column_stack([one[:, COLUMN_OF["accuracy"]], two[:, COLUMN_OF["accuracy"]]])
    both = both[np.isfinite(both).all(axis=1)]
    assert len(both) > 100
    assert abs(np.corrcoef(both.T)[0, 1]) < 0.4
    # A cell that is not there changes nothing of the others.
    full, less = (
        DatasetStatistics(make_results(tmp_path, repeats=3, missing=missing), "sars", FEW)
        for missing in ([], [CellKey("sars", "PLR-P", 0.1, 2)])
    )
    assert full.summary("RI", 0.1, "auroc") == less.summary("RI", 0.1, "auroc")


def test_the_interval_holds_the_truth_where_repeats_share_patients() -> None:
    """Ten repeats, each testing 12 of 40 patients anew; patients differ, and so do training runs."""
    rng = np.random.default_rng(4)
    truth = float(np.clip(rng.normal(0.75, 0.15, 400_000), 0, 1).mean())
    held, widths, means = 0, [], []
    for _ in range(80):
        patients = rng.normal(0.75, 0.15, 40)
        cells = []
        for repeat in range(10):
            tested = np.r_[rng.choice(20, 6, replace=False) * 2, rng.choice(20, 6, replace=False) * 2 + 1]
            chance = np.clip(patients[tested] + rng.normal(0, 0.02), 0, 1)
            groups = np.repeat(tested, 10)
            cells.append(cell_of(repeat, groups, rng.random(120) < np.repeat(chance, 10)))
        statistics = DatasetStatistics(experiment(cells, 40, 10), "d", Sampling(resamples=300))
        low, high, _ = percentiles(statistics.means(cells, "accuracy"), 0.95)
        held += low <= truth <= high
        widths.append(high - low)
        means.append(np.mean([(cell.scores == cell.labels).mean() for cell in cells]))
    assert held / 80 >= 0.89
    # Not by being as wide as can be: the ideal is 3.92 standard deviations.
    assert np.mean(widths) < 1.4 * 3.92 * np.std(means)


def test_the_calibration_interval_is_moved_back_by_what_resampling_adds() -> None:
    """Probabilities that are true: resampling can only add error, so a plain percentile interval would miss it."""
    rng = np.random.default_rng(1)
    cells = []
    for repeat in range(3):
        groups = np.repeat(np.arange(30), 4)
        cell = cell_of(repeat, groups, np.ones(120, bool))
        scores = rng.random(120)
        cells.append(replace(cell, scores=scores, labels=(rng.random(120) < scores).astype(np.int8)))
    statistics = DatasetStatistics(experiment(cells, 100, 3), "d", FEW)
    found = statistics.summary("m", 1.0, "ece")
    assert found.low <= found.mean <= found.high
    raw = statistics.means(cells, "ece")
    added = raw.mean() - found.mean
    assert added > 0.01
    low, high, _ = percentiles(raw, 0.95)
    assert (found.low, found.high) == pytest.approx((max(low - added, 0), high - added))


def test_reliability_curve_of_pooled_repeats(tmp_path: Path) -> None:
    from sklearn.calibration import calibration_curve

    results = make_results(tmp_path, repeats=3)
    statistics = DatasetStatistics(results, "sars", FEW)
    curve = statistics.reliability("PLR+", 0.1)
    assert curve is not None
    cells = results.select(method="PLR+", fraction=0.1)
    labels = np.concatenate([cell.labels for cell in cells])
    scores = np.concatenate([cell.scores for cell in cells])
    shares, means = calibration_curve(labels, scores, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(curve.observed, shares)
    np.testing.assert_allclose(curve.mean_score, means)
    assert curve.slices.sum() == len(labels)
    assert curve.repeats == 3
    assert (curve.low <= curve.observed + 1e-9).all()
    assert (curve.high >= curve.observed - 1e-9).all()
    # Slices of a group are alike: the interval is wider than that of as many single slices.
    binomial = 3.92 * np.sqrt(shares * (1 - shares) / curve.slices)
    assert (curve.high - curve.low).mean() > 1.1 * binomial.mean()
    assert statistics.reliability("PLR+", 0.5) is None


def test_few_repeats_are_not_drawn(tmp_path: Path) -> None:
    statistics = DatasetStatistics(make_results(tmp_path, repeats=2), "sars", FEW)
    assert (statistics.draw_of_repeats([0, 1]) == 1).all()
    draw = statistics.draw_of_repeats([0, 1, 2])
    assert (draw.sum(axis=1) == 3).all()
    assert draw.std() > 0
    np.testing.assert_array_equal(draw, statistics.draw_of_repeats([0, 1, 2]))


def test_mean_of_what_was_drawn_and_is_defined() -> None:
    samples = np.array([[1.0, 2.0, math.nan], [1.0, 2.0, 3.0], [math.nan, 2.0, 3.0]])
    draw = np.array([[2, 1, 0], [0, 0, 3], [3, 0, 0]])
    np.testing.assert_allclose(mean_of_drawn(samples, draw), [4 / 3, 3, math.nan])


def test_notes_tell_of_groups_of_one_slice(tmp_path: Path) -> None:
    statistics = DatasetStatistics(make_results(tmp_path), "sars", FEW)
    assert statistics.notes() == []
    alone = DatasetStatistics(make_results(tmp_path, groups=60, slices=1), "sars", FEW)
    assert any("Every slice is a group of its own" in note for note in alone.notes())


def test_no_resamples_no_intervals(tmp_path: Path) -> None:
    statistics = DatasetStatistics(make_results(tmp_path), "sars", Sampling(resamples=0))
    found = statistics.summary("RI", 1.0, "auroc")
    assert math.isfinite(found.mean)
    assert math.isnan(found.low)
    curve = statistics.reliability("RI", 1.0)
    assert curve is not None
    assert np.isnan(curve.low).all()
    assert math.isnan(statistics.summary("RI", 1.0, "ece").low)
