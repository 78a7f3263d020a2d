"""Measures of one cell under resampling of its test groups, from sums over groups.

A resample says how often each group counts. Shares and squared errors are then sums over groups, and the area under
the ROC curve is a quadratic form in these counts, so that thousands of resamples are a few matrix products.

A test set of few groups would get another share of positive slices in each resample, which moves precision, F1 and
accuracy on its own. Splits keep this share, so resamples do: within each class the counts are scaled to the class's
own number of slices. A resample that has no slice of a class left is undefined (NaN).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...evaluation.metrics import METRICS, FloatArray, MetricInfo, weighted_metrics
from ..results import CellResult
from .calibration import BINS, bin_edges, membership

# Average precision is no sum over groups, and no table shows it.
MEASURES: tuple[MetricInfo, ...] = (
    *(metric for metric in METRICS if metric.key != "average_precision"),
    MetricInfo("ece", "ECE", f"expected calibration error, {BINS} bins of equal mass", higher_is_better=False),
    MetricInfo("ece_width", "ECE, equal width", f"the same with {BINS} bins of equal width", higher_is_better=False),
)
COLUMN_OF = {measure.key: column for column, measure in enumerate(MEASURES)}

# Beyond this many groups in a test set the matrix of group pairs costs more than going through the slices.
_MOST_GROUPS = 2000
_BLOCK_BYTES = 32 * 2**20
_AUROC_OF_METRICS = [metric.key for metric in METRICS].index("auroc")


@dataclass(frozen=True)
class TestGroups:
    """The groups of a test set.

    Attributes:
        names: (G,) sorted.
        of_slice: int (N,), which of them each slice belongs to.
        labels: int (N,), 0 or 1.
    """

    __test__ = False  # not one of pytest's

    names: npt.NDArray[np.str_]
    of_slice: npt.NDArray[np.intp]
    labels: npt.NDArray[np.int8]

    @classmethod
    def of(cls, cell: CellResult) -> TestGroups:
        """Those of a cell."""
        names, of_slice = np.unique(cell.groups, return_inverse=True)
        return cls(names, of_slice, cell.labels)

    def sums(self, values: npt.ArrayLike) -> FloatArray:
        """Sums of ``values`` (N, K) over each group, float64 (G, K)."""
        array = np.asarray(values, dtype=np.float64)
        found = np.zeros((len(self.names), array.shape[1]))
        np.add.at(found, self.of_slice, array)
        return found

    def class_factors(self, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What scales the counts (R, G) of positive and of negative slices to the set's own numbers: float64 (R, 1)
        each, NaN where a class of the set is gone."""
        positive = self.labels == 1
        own = self.sums(np.column_stack([positive, ~positive]))  # [G, 2]
        drawn = counts @ own
        total = own.sum(axis=0)
        factors = np.where(total > 0, math.nan, 1.0) * np.ones_like(drawn)
        np.divide(total, drawn, out=factors, where=drawn > 0)
        return factors[:, :1], factors[:, 1:]


def resampled_measures(cell: CellResult, groups: TestGroups, counts: FloatArray) -> FloatArray:
    """:data:`MEASURES` of a cell in each resample.

    Args:
        cell: its labels (N,), scores (N,) and threshold.
        groups: of its test slices.
        counts: float64 (R, G), how often each group counts.

    Returns:
        float64 (R, M), NaN where undefined (same rules as :func:`plr_fast.evaluation.metrics.binary_metrics`).
    """
    positive = cell.labels == 1
    called = cell.scores >= cell.threshold
    squared = (cell.scores - positive) ** 2
    if_positive, if_negative = groups.class_factors(counts)
    ups = counts @ groups.sums(np.column_stack([positive & called, positive & ~called, squared * positive]))
    downs = counts @ groups.sums(np.column_stack([~positive & called, ~positive & ~called, squared * ~positive]))
    tp, fn, squared_up = (ups * if_positive).T
    fp, tn, squared_down = (downs * if_negative).T
    positives, negatives = float(positive.sum()), float((~positive).sum())
    total = positives + negatives
    by_key = {
        "accuracy": (tp + tn) / total,
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "auroc": _auroc(cell, groups, counts),
        "brier": (squared_up + squared_down) / total,
    }
    by_key["paper_auc"] = 0.5 * (by_key["recall"] + by_key["specificity"])
    gaps = (positive - cell.scores)[:, None]
    for key, edges in (
        ("ece", bin_edges(cell.scores, binning="mass")),
        ("ece_width", bin_edges(cell.scores, binning="width")),
    ):
        # Within a bin of n slices, n · |share − mean score| is |Σ (label − score)|.
        parts = membership(cell.scores, edges) * gaps
        up = counts @ groups.sums(parts * positive[:, None]) * if_positive
        down = counts @ groups.sums(parts * ~positive[:, None]) * if_negative
        by_key[key] = np.abs(up + down).sum(axis=1) / total
    return np.stack([by_key[measure.key] for measure in MEASURES], axis=1)


def _auroc(cell: CellResult, groups: TestGroups, counts: FloatArray) -> FloatArray:
    if len(groups.names) > _MOST_GROUPS:
        rows = max(1, _BLOCK_BYTES // (8 * len(cell.labels)))
        parts = [
            weighted_metrics(cell.labels, cell.scores, counts[start : start + rows][:, groups.of_slice])
            for start in range(0, len(counts), rows)
        ]
        return np.concatenate(parts)[:, _AUROC_OF_METRICS] if parts else np.empty(0)
    positive = cell.labels == 1
    ups, downs = np.flatnonzero(positive), np.flatnonzero(~positive)
    # Pairs won by each positive slice against each group's negative ones, ties half; then summed over its group.
    order = downs[np.argsort(cell.scores[downs], kind="stable")]
    step = np.zeros((len(order) + 1, len(groups.names)))
    np.add.at(step, (np.arange(1, len(order) + 1), groups.of_slice[order]), 1.0)
    below = np.cumsum(step, axis=0)  # [k, h]: negatives of group h among the k lowest
    ranked = cell.scores[order]
    left = np.searchsorted(ranked, cell.scores[ups], side="left")
    right = np.searchsorted(ranked, cell.scores[ups], side="right")
    won = np.zeros((len(groups.names), len(groups.names)))
    np.add.at(won, groups.of_slice[ups], 0.5 * (below[left] + below[right]))
    pairs = np.einsum("rg,rg->r", counts @ won, counts)
    sizes = counts @ groups.sums(np.column_stack([positive, ~positive]))
    return _ratio(pairs, sizes[:, 0] * sizes[:, 1])


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Elementwise quotient, NaN where the denominator is 0 or NaN."""
    result: FloatArray = np.full(numerator.shape, math.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
