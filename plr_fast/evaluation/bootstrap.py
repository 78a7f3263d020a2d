"""Percentile intervals by resampling whole groups, and paired differences on the same resamples.

Slices of one patient resemble each other, so the patient (or block) is what is drawn, not the slice: every slice of a
drawn group comes along. Groups are drawn with replacement within strata (groups with negative slices only, with
positive slices only, with both), so that each resample holds as many groups of each kind as the set itself. All
classifiers are judged on the same resamples, which is what makes their differences paired.

Such an interval shows how the *test set's* size limits what can be said. It does not show how results vary between
training runs with other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .metrics import METRICS, FloatArray, MetricValue, finite_or_none, weighted_metrics, with_reason

# Rows of the weight matrix are made in blocks of about this many bytes, so that large sets need no large memory.
_BLOCK_BYTES = 32 * 2**20

STRATA = ("negative", "positive", "mixed")


@dataclass(frozen=True)
class Interval:
    """A value with its percentile interval.

    Attributes:
        value: the value on the whole set; NaN where undefined.
        low, high: ends of the interval; NaN where there is none.
        undefined: share of resamples in which the value was undefined; the interval comes from the others.
        reason: why the value or its interval is missing, or None.
    """

    value: float
    low: float
    high: float
    undefined: float = 0.0
    reason: str | None = None

    @property
    def has_no_width(self) -> bool:
        """Whether both ends are the same: all resamples gave one value, which tells nothing of its uncertainty."""
        return math.isclose(self.low, self.high, rel_tol=1e-9, abs_tol=1e-12)

    def to_json(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "value": finite_or_none(self.value),
            "low": finite_or_none(self.low),
            "high": finite_or_none(self.high),
        }
        if self.undefined:
            entry["undefined_share"] = self.undefined
        return with_reason(entry, self.reason)


@dataclass(frozen=True)
class Difference:
    """A paired difference first − second with its interval.

    Attributes:
        interval: the difference and its percentile interval.
        first_higher: share of resamples in which the first is higher; ties count half. NaN where undefined.
    """

    interval: Interval
    first_higher: float

    def to_json(self) -> dict[str, Any]:
        return {**self.interval.to_json(), "first_higher_share": finite_or_none(self.first_higher)}


class GroupBootstrap:
    """Draws groups with replacement within strata; the same draws for the same groups, labels and seed.

    Args:
        groups: (N,) names of the groups (patients, blocks).
        labels: int (N,), 0 or 1; decides the stratum of each group.
        resamples: number of resamples R; 0 means no intervals.
        seed: of the draws.
        confidence: of the intervals, 0 < confidence < 1.

    Raises:
        ValueError: lengths differ, no slices, or a number out of range.
    """

    def __init__(
        self,
        groups: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        resamples: int = 2000,
        seed: int = 0,
        confidence: float = 0.95,
    ) -> None:
        names, label_array = np.asarray(groups), np.asarray(labels)
        if names.ndim != 1 or names.shape != label_array.shape or names.size == 0:
            raise ValueError(
                f"groups and labels must be 1-D, of equal length and not empty, got {names.shape}, {label_array.shape}"
            )
        if resamples < 0 or not 0 < confidence < 1:
            raise ValueError(f"resamples must be at least 0 and confidence in (0, 1), got {resamples} and {confidence}")
        self.resamples, self.seed, self.confidence = int(resamples), int(seed), float(confidence)
        unique, self._group_of = np.unique(names, return_inverse=True)
        self.groups = len(unique)
        self.slices = names.size
        has_positive = np.bincount(self._group_of, weights=label_array == 1, minlength=self.groups) > 0
        has_negative = np.bincount(self._group_of, weights=label_array != 1, minlength=self.groups) > 0
        kind = np.where(has_positive & has_negative, 2, np.where(has_positive, 1, 0))
        self._strata = tuple(np.flatnonzero(kind == code) for code in range(len(STRATA)))
        self.strata: dict[str, int] = {name: len(members) for name, members in zip(STRATA, self._strata, strict=True)}

    def notes(self) -> list[str]:
        """What a reader of the intervals should be told, in plain sentences."""
        notes = [
            f"Only one group holds {'both classes' if name == 'mixed' else name + ' slices'}: it is in every "
            "resample, so the intervals do not show how such groups differ and are too narrow."
            for name, count in self.strata.items()
            if count == 1
        ]
        if self.groups == self.slices:
            notes.append(
                "Every slice is a group of its own: if slices of one patient are among them, the intervals are too "
                "narrow and the results may be inflated."
            )
        elif self.groups < 20:
            notes.append(f"Only {self.groups} groups: percentile intervals from so few are rough.")
        return notes

    def weights(self) -> Iterator[FloatArray]:
        """Yield float64 blocks (r, N) of how often each slice is counted; rows add up to R over all blocks.

        Each stratum has a random stream of its own that is read row by row: the draws do not depend on block size.
        """
        seeds = np.random.SeedSequence(self.seed).spawn(len(STRATA))
        streams = [np.random.Generator(np.random.Philox(seed)) for seed in seeds]
        rows = max(1, _BLOCK_BYTES // (8 * max(self.slices, self.groups)))
        for start in range(0, self.resamples, rows):
            count = min(rows, self.resamples - start)
            multiplicity = np.zeros((count, self.groups))
            offsets = np.arange(count)[:, None]
            for members, stream in zip(self._strata, streams, strict=True):
                if members.size:
                    drawn = stream.integers(members.size, size=(count, members.size))
                    flat = np.bincount((drawn + offsets * members.size).ravel(), minlength=count * members.size)
                    multiplicity[:, members] = flat.reshape(count, members.size)
            yield multiplicity[:, self._group_of]

    def distribution(self, statistic: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Apply ``statistic``, weights (r, N) -> values (r, ...), to all resamples: float64 (R, ...)."""
        blocks = [statistic(weights) for weights in self.weights()]
        return np.concatenate(blocks) if blocks else statistic(np.zeros((0, self.slices)))

    def interval(self, point: MetricValue, samples: FloatArray) -> Interval:
        """Percentile interval of ``samples`` (R,) around a point value; NaN samples are left out and counted."""
        if not point.defined:
            return Interval(point.value, math.nan, math.nan, reason=point.reason)
        if samples.size == 0:
            return Interval(point.value, math.nan, math.nan, reason="no resamples were asked for")
        defined = samples[np.isfinite(samples)]
        undefined = 1.0 - defined.size / samples.size
        if defined.size == 0:
            return Interval(point.value, math.nan, math.nan, undefined, "undefined in every resample")
        tail = 50.0 * (1.0 - self.confidence)
        low, high = np.percentile(defined, [tail, 100.0 - tail])
        return Interval(point.value, float(low), float(high), undefined)

    def difference(
        self, first: MetricValue, second: MetricValue, first_samples: FloatArray, second_samples: FloatArray
    ) -> Difference:
        """Paired difference first − second; both sample arrays (R,) must come from this object's resamples."""
        samples = first_samples - second_samples
        reason = first.reason or second.reason
        interval = self.interval(MetricValue(first.value - second.value, reason), samples)
        defined = samples[np.isfinite(samples)]
        if defined.size == 0 or not math.isfinite(interval.value):
            return Difference(interval, math.nan)
        return Difference(interval, float(np.mean(defined > 0) + 0.5 * np.mean(defined == 0)))


@dataclass(frozen=True)
class Comparison:
    """Intervals of each classifier, and all paired differences.

    Attributes:
        intervals: classifier -> metric -> interval.
        differences: (first, second) -> metric -> difference, for each pair in the order given.
    """

    intervals: dict[str, dict[str, Interval]]
    differences: dict[tuple[str, str], dict[str, Difference]]


def compare_classifiers(
    labels: npt.ArrayLike,
    scores: Mapping[str, npt.ArrayLike],
    points: Mapping[str, Mapping[str, MetricValue]],
    bootstrap: GroupBootstrap,
    *,
    thresholds: Mapping[str, float] | None = None,
) -> Comparison:
    """Intervals and paired differences of all metrics for classifiers judged on the same slices.

    Args:
        labels: int (N,), 0 or 1.
        scores: classifier -> float (N,) in [0, 1], for the same slices in the same order.
        points: classifier -> what :func:`~plr_fast.evaluation.metrics.binary_metrics` gave.
        bootstrap: made from the same slices' groups and labels.
        thresholds: classifier -> as for ``points``; by default 0.5 for all.
    """
    names = list(scores)
    limits = dict.fromkeys(names, 0.5) | dict(thresholds or {})

    def statistic(weights: FloatArray) -> FloatArray:
        return np.stack(
            [weighted_metrics(labels, scores[name], weights, threshold=limits[name]) for name in names], axis=1
        )

    if not names:
        return Comparison({}, {})
    samples = bootstrap.distribution(statistic)  # [R, C, M]
    intervals = {
        name: {
            metric.key: bootstrap.interval(points[name][metric.key], samples[:, row, column])
            for column, metric in enumerate(METRICS)
        }
        for row, name in enumerate(names)
    }
    differences = {
        (names[a], names[b]): {
            metric.key: bootstrap.difference(
                points[names[a]][metric.key], points[names[b]][metric.key], samples[:, a, column], samples[:, b, column]
            )
            for column, metric in enumerate(METRICS)
        }
        for a, b in pairs(len(names))
    }
    return Comparison(intervals, differences)


def pairs(count: int) -> Sequence[tuple[int, int]]:
    """All (later, earlier) index pairs: the later classifier minus the earlier, so that the first given is the base."""
    return [(later, earlier) for earlier in range(count) for later in range(earlier + 1, count)]


def weighted_means(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Means of ``values`` (N, K) under each row of ``weights`` (R, N), NaN left out: (R, K), NaN where none is left."""
    known = np.isfinite(values)
    total = weights @ known.astype(np.float64)
    result = np.full(total.shape, math.nan)
    np.divide(weights @ np.where(known, values, 0.0), total, out=result, where=total > 0)
    return result
