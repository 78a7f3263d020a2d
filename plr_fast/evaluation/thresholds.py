"""The decision threshold of a classifier: a number, or chosen on validation slices by a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from .metrics import FloatArray, IntArray, check_scores, one_class_reason

ThresholdRule = Literal["youden", "accuracy", "f1"]
RULES: tuple[ThresholdRule, ...] = get_args(ThresholdRule)
MEASURES = {"youden": "balanced accuracy", "accuracy": "accuracy", "f1": "F1 score"}
"""What each rule makes greatest."""


@dataclass(frozen=True)
class Threshold:
    """From which score on a slice is called positive.

    Attributes:
        value: 0 < value < 1.
        rule: how it was chosen on the validation split; None where it was given.
        slices: validation slices that it was chosen on; 0 where it was given.
        reached: what the rule's measure is there: balanced accuracy (youden), accuracy or F1; None where it was given.
        chance: what that measure is when all slices are called alike, the better way of the two; None where it was
            given.
    """

    value: float
    rule: ThresholdRule | None = None
    slices: int = 0
    reached: float | None = None
    chance: float | None = None

    @property
    def measure(self) -> str:
        """What was made greatest; empty where the threshold was given."""
        return MEASURES[self.rule] if self.rule else ""

    @property
    def no_better_than_chance(self) -> bool:
        """Whether it was chosen, and calling all slices alike is as good."""
        return self.reached is not None and self.chance is not None and self.reached <= self.chance + 1e-12

    def to_json(self) -> dict[str, Any]:
        chosen = {"rule": self.rule, "split": "val", "slices": self.slices, "reached": self.reached}
        return {"value": self.value, **(chosen if self.rule else {"rule": "given"})}

    def __str__(self) -> str:
        how = f" ({self.rule} on {self.slices:,} validation slices)" if self.rule else ""
        return f"{self.value:.4g}{how}"


def choose_threshold(labels: npt.ArrayLike, scores: npt.ArrayLike, rule: ThresholdRule) -> Threshold:
    """The threshold at which ``rule``'s measure is greatest.

    Thresholds half way between neighbouring scores are tried, and one beyond either end. Of equally good ones the
    nearest to 0.5 is taken, the lower of two.

    Args:
        labels: int (N,), 0 or 1, both present.
        scores: float (N,), probabilities in [0, 1].
        rule: ``youden``, ``accuracy`` or ``f1``.

    Raises:
        ValueError: wrong shapes or values, or one class only.
    """
    truth, probability = check_scores(labels, scores)
    reason = one_class_reason(int((truth == 1).sum()), int((truth == 0).sum()))
    if reason:
        raise ValueError(f"no threshold can be chosen by {rule}: {reason}")
    candidates = _candidates(probability)
    reached = _measures(truth, probability, candidates, rule)
    best = candidates[reached >= reached.max() - 1e-12]
    value = float(best[np.argmin(np.abs(best - 0.5))])
    return Threshold(value, rule, len(truth), float(reached.max()), _chance(float(truth.mean()), rule))


def _chance(positives: float, rule: ThresholdRule) -> float:
    """The measure of ``rule`` when all slices are called alike, given the share of positive ones."""
    if rule == "youden":
        return 0.5
    return max(positives, 1 - positives) if rule == "accuracy" else 2 * positives / (1 + positives)


def _candidates(scores: FloatArray) -> FloatArray:
    found = np.unique(scores)
    ends = [found[0] / 2, (found[-1] + 1) / 2]
    tried = np.concatenate([ends[:1], (found[:-1] + found[1:]) / 2, ends[1:]])
    # Scores of exactly 0 or 1 leave no room beyond.
    return tried[(tried > 0) & (tried < 1)]


def _measures(truth: IntArray, scores: FloatArray, values: FloatArray, rule: ThresholdRule) -> FloatArray:
    """The measure of ``rule`` at each of ``values``, float64 (K,)."""
    positive, negative = (np.sort(scores[truth == label]) for label in (1, 0))
    tp = len(positive) - np.searchsorted(positive, values, side="left")
    fp = len(negative) - np.searchsorted(negative, values, side="left")
    if rule == "f1":
        return np.asarray(2 * tp / (len(positive) + tp + fp), np.float64)
    if rule == "accuracy":
        return np.asarray((tp + len(negative) - fp) / len(truth), np.float64)
    return np.asarray(0.5 * (tp / len(positive) + 1 - fp / len(negative)), np.float64)
