"""Measures from sums over groups, against the metrics of weighted slices."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from plr_fast.evaluation.metrics import METRIC_KEYS, binary_metrics, weighted_metrics
from plr_fast.experiment.evidence import resampled
from plr_fast.experiment.evidence.calibration import expected_calibration_error
from plr_fast.experiment.evidence.resampled import COLUMN_OF, MEASURES, TestGroups, resampled_measures
from plr_fast.experiment.results import CellKey, CellResult


def make_cell(groups: int = 9, slices: int = 70, seed: int = 0, threshold: float = 0.4) -> CellResult:
    """Groups of unequal size, some of both classes, tied scores."""
    rng = np.random.default_rng(seed)
    names = rng.integers(groups, size=slices)
    labels = np.where(names % 3 == 2, rng.integers(2, size=slices), names % 3).astype(np.int8)
    return CellResult(
        key=CellKey("d", "m", 1.0, 0),
        ids=np.arange(slices).astype(str),
        groups=np.array([f"g{name}" for name in names]),
        labels=labels,
        scores=np.round(np.clip(0.35 + 0.2 * labels + rng.normal(0, 0.2, slices), 0, 1), 2),
        threshold=threshold,
        seconds=1.0,
        train_slices=10,
        train_groups=3,
        settings_sha256="0" * 64,
    )


def counts_of(groups: TestGroups, resamples: int = 40, seed: int = 3):
    size = len(groups.names)
    return np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=resamples).astype(float)


def test_equals_weighted_slices_with_the_classes_scaled_to_their_own_numbers() -> None:
    cell = make_cell()
    groups = TestGroups.of(cell)
    counts = counts_of(groups)
    weights = counts[:, groups.of_slice]
    positive = cell.labels == 1
    for of_class in (positive, ~positive):
        weights[:, of_class] *= of_class.sum() / weights[:, of_class].sum(axis=1, keepdims=True)
    expected = weighted_metrics(cell.labels, cell.scores, weights, threshold=cell.threshold)
    found = resampled_measures(cell, groups, counts)
    assert np.isfinite(expected).all()
    for place, key in enumerate(METRIC_KEYS):
        if key in COLUMN_OF:
            np.testing.assert_allclose(found[:, COLUMN_OF[key]], expected[:, place], atol=1e-12, err_msg=key)


def test_all_groups_once_is_the_cell_itself() -> None:
    cell = make_cell(seed=5)
    groups = TestGroups.of(cell)
    found = resampled_measures(cell, groups, np.ones((1, len(groups.names))))[0]
    points = {
        **binary_metrics(cell.labels, cell.scores, threshold=cell.threshold),
        "ece": expected_calibration_error(cell.labels, cell.scores),
        "ece_width": expected_calibration_error(cell.labels, cell.scores, binning="width"),
    }
    assert len(found) == len(MEASURES)
    for measure, value in zip(MEASURES, found, strict=True):
        assert value == pytest.approx(points[measure.key].value, abs=1e-12), measure.key


def test_many_groups_go_another_way_to_the_same_area(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell(seed=6)
    groups = TestGroups.of(cell)
    counts = counts_of(groups)
    expected = resampled_measures(cell, groups, counts)
    monkeypatch.setattr(resampled, "_MOST_GROUPS", 1)
    monkeypatch.setattr(resampled, "_BLOCK_BYTES", 8 * len(cell.labels) * 7)
    found = resampled_measures(cell, groups, counts)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_calibration_error_by_a_plain_loop() -> None:
    """Every slice twice, by drawing every group twice or by writing it down twice."""
    cell = make_cell(seed=7)
    groups = TestGroups.of(cell)
    once = resampled_measures(cell, groups, np.ones((1, len(groups.names))))
    twice = resampled_measures(cell, groups, np.full((1, len(groups.names)), 2.0))
    np.testing.assert_allclose(twice, once, atol=1e-12)
    # Leaving a group out, with the bins of the whole set.
    counts = np.ones((1, len(groups.names)))
    counts[0, 0] = 0
    weights = counts[0, groups.of_slice]
    positive = cell.labels == 1
    for of_class in (positive, ~positive):
        weights[of_class] *= of_class.sum() / weights[of_class].sum()
    edges = np.linspace(0, 1, 11)
    error = 0.0
    for low, high in pairwise(edges):
        inside = (cell.scores > low) & (cell.scores <= high) | ((low == 0) & (cell.scores == 0))
        if weights[inside].sum() > 0:
            share = np.average(cell.labels[inside], weights=weights[inside])
            error += weights[inside].sum() * abs(share - np.average(cell.scores[inside], weights=weights[inside]))
    found = resampled_measures(cell, groups, counts)[0, COLUMN_OF["ece_width"]]
    assert found == pytest.approx(error / len(cell.labels), abs=1e-12)


def test_a_resample_without_a_class_is_undefined() -> None:
    cell = make_cell(groups=2)  # g0 negative, g1 positive
    groups = TestGroups.of(cell)
    found = resampled_measures(cell, groups, np.array([[2.0, 0.0], [1.0, 1.0]]))
    specificity = COLUMN_OF["specificity"]
    assert np.isnan(np.delete(found[0], specificity)).all()
    assert found[0, specificity] == binary_metrics(cell.labels, cell.scores, threshold=0.4)["specificity"].value
    assert np.isfinite(found[1]).all()


def test_a_set_of_one_class_keeps_what_can_be_said() -> None:
    cell = make_cell()
    only = cell.labels == 1
    cell = replace(
        cell, ids=cell.ids[only], groups=cell.groups[only], labels=cell.labels[only], scores=cell.scores[only]
    )
    groups = TestGroups.of(cell)
    found = resampled_measures(cell, groups, counts_of(groups))
    assert np.isnan(found[:, [COLUMN_OF["auroc"], COLUMN_OF["specificity"], COLUMN_OF["paper_auc"]]]).all()
    assert np.isfinite(found[:, [COLUMN_OF["accuracy"], COLUMN_OF["recall"], COLUMN_OF["brier"]]]).all()
