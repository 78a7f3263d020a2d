"""Metrics of a binary classifier, by scikit-learn, with a rule for every undefined case.

Labels are 1 (positive, COVID-19) and 0 (negative); scores are probabilities in [0, 1]; a slice is called positive when
its score is at least the threshold. Beside the five metrics of the paper (section IV.B) stand the area under the ROC
curve of the *scores* (``auroc``) and ``paper_auc``: the paper's printed "AUC" equals the balanced accuracy of hard
labels, (TPR + TNR) / 2, so only ``paper_auc`` may be compared with its tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

NO_SLICES = "no slices"
NO_POSITIVE = "no positive slice in the set"
NO_NEGATIVE = "no negative slice in the set"
NONE_CALLED_POSITIVE = "no slice was called positive"
NOTHING_POSITIVE = "no slice is positive and none was called positive"


@dataclass(frozen=True)
class MetricInfo:
    """What readers need to know of a metric.

    Attributes:
        key: name in files, for example ``paper_auc``.
        title: name in tables and pictures.
        meaning: one plain sentence.
        higher_is_better: False for the Brier score.
    """

    key: str
    title: str
    meaning: str
    higher_is_better: bool = True


METRICS: tuple[MetricInfo, ...] = (
    MetricInfo("accuracy", "Accuracy", "share of slices called rightly"),
    MetricInfo("precision", "Precision", "share of positives among the slices called positive"),
    MetricInfo("recall", "Recall", "share of the positive slices that were called positive (sensitivity)"),
    MetricInfo("specificity", "Specificity", "share of the negative slices that were called negative"),
    MetricInfo("f1", "F1 score", "harmonic mean of precision and recall"),
    MetricInfo("auroc", "AUROC", "area under the ROC curve, from the scores"),
    MetricInfo("paper_auc", "Paper AUC", "balanced accuracy of the hard labels: what the paper prints as AUC"),
    MetricInfo("average_precision", "Average precision", "area under the precision-recall curve, from the scores"),
    MetricInfo("brier", "Brier score", "mean squared error of the probabilities", higher_is_better=False),
)
METRIC_KEYS: tuple[str, ...] = tuple(metric.key for metric in METRICS)


@dataclass(frozen=True)
class MetricValue:
    """A metric's value; NaN with a ``reason`` where it is undefined."""

    value: float
    reason: str | None = None

    @property
    def defined(self) -> bool:
        return math.isfinite(self.value)

    def to_json(self) -> dict[str, Any]:
        """The value as JSON allows it: null instead of NaN, with the reason beside it."""
        return with_reason({"value": finite_or_none(self.value)}, self.reason)


@dataclass(frozen=True)
class Confusion:
    """Counts of slices by true and predicted class."""

    tn: int
    fp: int
    fn: int
    tp: int

    def to_json(self) -> dict[str, int]:
        return {"tn": self.tn, "fp": self.fp, "fn": self.fn, "tp": self.tp}

    def matrix(self) -> IntArray:
        """Rows: true class (negative, positive); columns: predicted class. int64 (2, 2)."""
        return np.array([[self.tn, self.fp], [self.fn, self.tp]], dtype=np.int64)


def check_scores(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
    """Return labels as int64 (N,) and scores as float64 (N,).

    Raises:
        ValueError: wrong rank or length, labels other than 0 and 1, scores that are not finite or outside [0, 1].
    """
    label_array = np.asarray(labels)
    score_array = np.asarray(scores, dtype=np.float64)
    if label_array.ndim != 1 or score_array.shape != label_array.shape:
        raise ValueError(
            f"labels and scores must be 1-D and of equal length, got shapes {label_array.shape} and {score_array.shape}"
        )
    if not np.isin(label_array, (0, 1)).all():
        wrong = sorted({str(value) for value in label_array[~np.isin(label_array, (0, 1))]})
        raise ValueError(f"labels must be 0 or 1, found {', '.join(wrong[:5])}; leave unlabelled slices out")
    bad = int(np.count_nonzero(~np.isfinite(score_array)))
    if bad:
        raise ValueError(f"{bad} of {len(score_array)} scores are NaN or infinite")
    if score_array.size and (score_array.min() < 0 or score_array.max() > 1):
        raise ValueError(
            f"scores must be probabilities in [0, 1], got {score_array.min():.4g} to {score_array.max():.4g}; apply "
            "the sigmoid to logits first"
        )
    return label_array.astype(np.int64), score_array


def confusion(labels: npt.ArrayLike, scores: npt.ArrayLike, *, threshold: float = 0.5) -> Confusion:
    """Count slices by true and predicted class; a score of at least ``threshold`` means positive."""
    truth, probability = check_scores(labels, scores)
    called = probability >= threshold
    return Confusion(
        tn=int(np.count_nonzero((truth == 0) & ~called)),
        fp=int(np.count_nonzero((truth == 0) & called)),
        fn=int(np.count_nonzero((truth == 1) & ~called)),
        tp=int(np.count_nonzero((truth == 1) & called)),
    )


def binary_metrics(labels: npt.ArrayLike, scores: npt.ArrayLike, *, threshold: float = 0.5) -> dict[str, MetricValue]:
    """All of :data:`METRICS` for one classifier on one set.

    Args:
        labels: int (N,), 0 or 1.
        scores: float (N,), probabilities of the positive class in [0, 1].
        threshold: a slice is called positive when its score is at least this.

    Returns:
        key -> value, in the order of :data:`METRICS`. What cannot be computed (one class only, nothing called positive)
        is NaN with a reason; nothing is ever replaced by 0 or 1.

    Raises:
        ValueError: see :func:`check_scores`.
    """
    from sklearn import metrics as sk

    truth, probability = check_scores(labels, scores)
    called = (probability >= threshold).astype(np.int64)
    positives, negatives = int(truth.sum()), int((1 - truth).sum())
    both = one_class_reason(positives, negatives)
    no_positive = NO_POSITIVE if positives == 0 else None
    no_negative = NO_NEGATIVE if negatives == 0 else None
    none_called = NONE_CALLED_POSITIVE if not called.any() else None
    nothing = NOTHING_POSITIVE if not called.any() and positives == 0 else None

    rules: dict[str, tuple[str | None, Callable[[], float]]] = {
        "accuracy": (None, lambda: sk.accuracy_score(truth, called)),
        "precision": (none_called, lambda: sk.precision_score(truth, called)),
        "recall": (no_positive, lambda: sk.recall_score(truth, called)),
        "specificity": (no_negative, lambda: sk.recall_score(truth, called, pos_label=0)),
        # Without positive calls F1 is 0 as long as there are positives to miss.
        "f1": (nothing, lambda: sk.f1_score(truth, called, zero_division=0.0)),
        "auroc": (both, lambda: sk.roc_auc_score(truth, probability)),
        "paper_auc": (both, lambda: sk.balanced_accuracy_score(truth, called)),
        "average_precision": (both, lambda: sk.average_precision_score(truth, probability)),
        "brier": (None, lambda: float(np.mean((probability - truth) ** 2))),
    }
    if truth.size == 0:
        return {key: MetricValue(math.nan, NO_SLICES) for key in METRIC_KEYS}
    values: dict[str, MetricValue] = {}
    for key in METRIC_KEYS:
        reason, compute = rules[key]
        values[key] = MetricValue(math.nan, reason) if reason else MetricValue(float(compute()))
    return values


def weighted_metrics(
    labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike, *, threshold: float = 0.5
) -> FloatArray:
    """The same metrics for many weightings of one set at once, as resampling needs them.

    Args:
        labels: int (N,), 0 or 1.
        scores: float (N,) in [0, 1].
        weights: float (R, N), non-negative; row r holds how often each slice is counted in resample r.
        threshold: as in :func:`binary_metrics`.

    Returns:
        float64 (R, M) in the order of :data:`METRICS`, NaN where undefined (same rules as :func:`binary_metrics`).
    """
    truth, probability = check_scores(labels, scores)
    weight = np.asarray(weights, dtype=np.float64)  # [R, N]
    if weight.ndim != 2 or weight.shape[1] != truth.size:
        raise ValueError(f"weights must have shape (R, {truth.size}), got {weight.shape}")
    positive, called = truth == 1, probability >= threshold
    columns = np.stack(
        [
            positive & called,
            ~positive & called,
            positive & ~called,
            ~positive & ~called,
            (probability - truth) ** 2,
        ],
        axis=1,
    ).astype(np.float64)
    tp, fp, fn, tn, squared = (weight @ columns).T
    positives, negatives = tp + fn, fp + tn
    total = positives + negatives
    recall, specificity = _ratio(tp, positives), _ratio(tn, negatives)

    # Equal scores form one step of the curves: weights are summed over ties before anything is accumulated.
    order = np.argsort(probability, kind="stable")
    ordered = probability[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if truth.size else np.empty(0, dtype=np.intp)
    if truth.size:
        by_score = weight[:, order]
        positive_steps = np.add.reduceat(by_score * positive[order], starts, axis=1)  # [R, K], ascending scores
        negative_steps = np.add.reduceat(by_score * ~positive[order], starts, axis=1)
    else:
        positive_steps = negative_steps = np.zeros((len(weight), 0))
    negatives_below = np.cumsum(negative_steps, axis=1) - 0.5 * negative_steps
    auroc = _ratio(np.einsum("rk,rk->r", positive_steps, negatives_below), positives * negatives)
    found = np.cumsum(positive_steps[:, ::-1], axis=1)
    seen = found + np.cumsum(negative_steps[:, ::-1], axis=1)
    precision_steps = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
    area = np.einsum("rk,rk->r", positive_steps[:, ::-1], precision_steps)
    average_precision = np.where(negatives > 0, _ratio(area, positives), math.nan)

    by_key = {
        "accuracy": _ratio(tp + tn, total),
        "precision": _ratio(tp, tp + fp),
        "recall": recall,
        "specificity": specificity,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "auroc": auroc,
        "paper_auc": 0.5 * (recall + specificity),
        "average_precision": average_precision,
        "brier": _ratio(squared, total),
    }
    return np.stack([by_key[key] for key in METRIC_KEYS], axis=1)


def one_class_reason(positives: int, negatives: int) -> str | None:
    """Why a metric that needs both classes is undefined, or None."""
    if positives == 0:
        return NO_POSITIVE
    return NO_NEGATIVE if negatives == 0 else None


def finite_or_none(value: float) -> float | None:
    """``value`` for JSON: None where it is NaN or infinite."""
    return float(value) if math.isfinite(value) else None


def with_reason(entry: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """Add ``reason`` to a JSON object where there is one."""
    return {**entry, "reason": reason} if reason else entry


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Elementwise quotient, NaN where the denominator is 0."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), math.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
