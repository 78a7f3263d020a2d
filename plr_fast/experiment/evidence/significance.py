"""Paired differences between methods over repeats, and what may be concluded from them.

Two methods at equal data set, fraction and repeat saw the same labelled slices and the same test slices, so their
difference is taken repeat by repeat. Repeats share test and training groups; a t-test that takes them for independent
finds differences where there are none. Two answers are given:

- *Corrected resampled t-test* (Nadeau and Bengio, "Inference for the generalization error", 2003): the variance of
  the mean is (1/J + q) · s², with J repeats and q the size of a test set over that of the rest, in the units that
  splits draw. (q stands for the correlation that splits share; the share of labels that are used does not change it.)
  Tables show this one and mark by it: in the simulation of ``docs/statistics.md`` it keeps its level where few
  repeats mislead the bootstrap, and loses least where common training slices do, at the price of wide intervals.
- *Crossed paired bootstrap* over repeats and test groups (:mod:`.statistics`), beside it.

Where every repeat has the same split (``split_by="given"``), q has no meaning, and a t-test over repeats would know
nothing of other test patients. There the variance of the mean is the sum of two: between repeats, s²/J, and between
test groups, by the bootstrap with the repeats as they are; degrees of freedom by Satterthwaite. (The percentiles of the
crossed bootstrap alone are too narrow for few repeats: ``docs/statistics.md``.)

With fewer than three repeats nothing can be said, and no interval, p-value or mark is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...errors import DataError
from ...evaluation.metrics import FloatArray
from ..results import CellResult, DatasetInfo
from .resampled import COLUMN_OF
from .statistics import (
    ENOUGH_REPEATS,
    MEASURE_BY_KEY,
    DatasetStatistics,
    mean_of_drawn,
    percentiles,
)

Verdict = Literal["", "better", "worse"]


@dataclass(frozen=True)
class PairedDifference:
    """first − second of one measure at one fraction, over the repeats that both finished with a value.

    Attributes:
        first, second: methods.
        values: repeat -> difference.
        mean, sd: of them; sd with n − 1.
        low, high, p: the answer that counts (see the module): interval and two-sided p-value; NaN where nothing can
            be said.
        method: what they come from: ``t`` (corrected resampled t-test), ``two sources`` (given splits), or empty.
        bootstrap_low, bootstrap_high, bootstrap_p: by the crossed bootstrap.
        wins, ties, losses: repeats in which the first is better, equal, worse.
        planned: repeats that the grid has for both.
        reason: why nothing can be said, or None.
        p_holm: p corrected by Holm for its family (see :func:`against_baseline`), NaN where it belongs to none.
    """

    first: str
    second: str
    measure: str
    fraction: float
    values: Mapping[int, float]
    mean: float
    sd: float
    low: float
    high: float
    p: float
    method: Literal["t", "two sources", ""]
    bootstrap_low: float
    bootstrap_high: float
    bootstrap_p: float
    wins: int
    ties: int
    losses: int
    planned: int
    reason: str | None = None
    p_holm: float = math.nan

    @property
    def verdict(self) -> Verdict:
        """Whether the first is better or worse than the second, by an interval that leaves out 0."""
        if not (self.low > 0 or self.high < 0):
            return ""
        return "better" if (self.low > 0) == MEASURE_BY_KEY[self.measure].higher_is_better else "worse"


def corrected_t(differences: Sequence[float] | FloatArray, q: float, confidence: float) -> tuple[float, float, float]:
    """Interval and two-sided p-value of a mean difference by the corrected resampled t-test.

    Args:
        differences: (J,), one for each repeat.
        q: size of a test set over the size of the rest, at least 0; 0 is the ordinary paired t-test.
        confidence: of the interval.

    Returns:
        low, high, p. All differences 0: (0, 0, 1). All equal otherwise, or fewer than two: NaN, for they show no
        spread to judge by.

    Raises:
        ValueError: q is negative or not finite.
    """
    from scipy.special import stdtr, stdtrit

    if not 0 <= q < math.inf:
        raise ValueError(f"q must be a number of at least 0, got {q}")
    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        return math.nan, math.nan, math.nan
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    if sd <= 1e-12:
        return (0.0, 0.0, 1.0) if abs(mean) <= 1e-12 else (math.nan, math.nan, math.nan)
    error = sd * math.sqrt(1.0 / values.size + q)
    freedom = values.size - 1
    half = float(stdtrit(freedom, 0.5 + 0.5 * confidence)) * error
    return mean - half, mean + half, float(2.0 * stdtr(freedom, -abs(mean) / error))


def two_source_t(
    differences: Sequence[float] | FloatArray, group_variance: float, groups: int, confidence: float
) -> tuple[float, float, float]:
    """Interval and two-sided p-value of a mean difference over repeats that share one test set.

    Args:
        differences: (J,), one for each repeat.
        group_variance: of the mean, from which test groups there are; at least 0.
        groups: degrees of freedom of that variance, at least 1.
        confidence: of the interval.

    Returns:
        low, high, p; NaN where neither repeats nor groups show any spread, or with fewer than two repeats.
    """
    from scipy.special import stdtr, stdtrit

    values = np.asarray(differences, dtype=np.float64)
    if values.size < 2:
        return math.nan, math.nan, math.nan
    mean, run_variance = float(values.mean()), float(values.var(ddof=1)) / values.size
    variance = run_variance + group_variance
    if not variance > 1e-24:
        return math.nan, math.nan, math.nan
    error = math.sqrt(variance)
    freedom = variance**2 / (run_variance**2 / (values.size - 1) + group_variance**2 / groups)
    half = float(stdtrit(freedom, 0.5 + 0.5 * confidence)) * error
    return mean - half, mean + half, float(2.0 * stdtr(freedom, -abs(mean) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method; NaN stays NaN and does not count."""
    corrected = [math.nan] * len(p_values)
    order = sorted((index for index, p in enumerate(p_values) if math.isfinite(p)), key=lambda index: p_values[index])
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p_values[index]))
        corrected[index] = running
    return corrected


def share_of_rest(statistics: DatasetStatistics) -> float | None:
    """q: mean size of the test sets over that of what is left, in groups or slices, as the splits draw them.

    None where all repeats have the same split, or no cell is finished.

    Raises:
        DataError: the plan says of a data set that it is no larger than its test sets.
    """
    info: DatasetInfo = statistics.info
    tests = list(statistics.test_sets.values())
    if info.split_by == "given" or not tests:
        return None
    by_groups = info.split_by == "groups"
    size = float(np.mean([len(np.unique(cell.groups)) if by_groups else len(cell.ids) for cell in tests]))
    total, unit = (info.groups, "groups") if by_groups else (info.slices, "slices")
    if size >= total:
        raise DataError(
            f"data set {info.name!r} has {total} {unit} by plan.json, but its test sets have {size:g}: the cells are "
            "of other data than the plan; run the experiment again in an empty folder"
        )
    return size / (total - size)


def compare(statistics: DatasetStatistics, first: str, second: str, fraction: float, measure: str) -> PairedDifference:
    """The paired difference first − second."""
    firsts, seconds = statistics.cells(first, fraction), statistics.cells(second, fraction)
    a, b = (statistics.values(name, fraction, measure) for name in (first, second))
    both = [repeat for repeat in firsts if repeat in seconds and math.isfinite(a[repeat] - b[repeat])]
    values = {repeat: a[repeat] - b[repeat] for repeat in both}
    array = np.array(list(values.values()))
    sign = 1.0 if MEASURE_BY_KEY[measure].higher_is_better else -1.0
    ties = np.abs(array) <= 1e-12
    nothing = math.nan
    found = PairedDifference(
        first=first,
        second=second,
        measure=measure,
        fraction=fraction,
        values=values,
        mean=float(array.mean()) if both else nothing,
        sd=float(array.std(ddof=1)) if len(both) > 1 else nothing,
        low=nothing,
        high=nothing,
        p=nothing,
        method="",
        bootstrap_low=nothing,
        bootstrap_high=nothing,
        bootstrap_p=nothing,
        wins=int(np.count_nonzero((sign * array > 0) & ~ties)),
        ties=int(np.count_nonzero(ties)),
        losses=int(np.count_nonzero((sign * array < 0) & ~ties)),
        planned=min(statistics.planned(first, fraction), statistics.planned(second, fraction)),
    )
    if len(both) < ENOUGH_REPEATS:
        why = "no repeat in common" if not both else f"{len(both)} {'repeat' if len(both) == 1 else 'repeats'}"
        return replace(found, reason=f"{why}: nothing can be said")
    confidence = statistics.sampling.confidence
    column = COLUMN_OF[measure]
    samples = np.stack(
        [
            statistics.samples(firsts[repeat])[:, column] - statistics.samples(seconds[repeat])[:, column]
            for repeat in both
        ],
        axis=1,
    )
    drawn = mean_of_drawn(samples, statistics.draw_of_repeats(both))
    low, high, _ = percentiles(drawn, confidence)
    if math.isclose(low, high, abs_tol=1e-12):  # all resamples alike: says nothing of its uncertainty
        low = high = nothing
    found = replace(found, bootstrap_low=low, bootstrap_high=high, bootstrap_p=_share_beyond_zero(drawn))
    if ties.all():
        return replace(found, low=0.0, high=0.0, p=1.0, method="t", reason="equal in every repeat")
    q = share_of_rest(statistics)
    if q is None:
        low, high, p = two_source_t(array, *_between_groups(samples, firsts[both[0]]), confidence)
        if not math.isfinite(p):
            return replace(found, reason="no spread between repeats or test groups: nothing can be said")
        return replace(found, low=low, high=high, p=p, method="two sources")
    low, high, p = corrected_t(array, q, confidence)
    if not math.isfinite(p):
        return replace(found, reason="the same difference in every repeat: no spread to judge by")
    return replace(found, low=low, high=high, p=p, method="t")


def against_baseline(statistics: DatasetStatistics, measure: str) -> list[PairedDifference]:
    """Every other method minus the baseline at every fraction, in the order of the tables, with Holm's correction
    over all of these (one family for each data set and measure)."""
    baseline = statistics.plan.baseline
    found = [
        compare(statistics, method, baseline, fraction, measure)
        for fraction in statistics.fractions
        for method in statistics.methods(fraction)
        if method != baseline
    ]
    corrected = holm([one.p for one in found])
    return [replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True)]


def all_pairs(statistics: DatasetStatistics, measure: str) -> list[PairedDifference]:
    """Every pair of methods at every fraction; the baseline's come with the correction of :func:`against_baseline`,
    the others without any."""
    corrected = {(one.first, one.fraction): one for one in against_baseline(statistics, measure)}
    baseline = statistics.plan.baseline
    found = []
    for fraction in statistics.fractions:
        names = sorted(statistics.methods(fraction), key=lambda name: name != baseline)
        for place, second in enumerate(names):
            for first in names[place + 1 :]:
                if second == baseline:
                    found.append(corrected[first, fraction])
                else:
                    found.append(compare(statistics, first, second, fraction, measure))
    return found


def _between_groups(samples: FloatArray, cell: CellResult) -> tuple[float, int]:
    """Variance of the mean of ``samples`` (R, J) over resamples of the test groups, and its degrees of freedom."""
    means = samples.mean(axis=1)
    means = means[np.isfinite(means)]
    pairs = {*zip(cell.groups.tolist(), cell.labels.tolist(), strict=True)}  # groups are drawn within class
    return float(means.var(ddof=1)) if means.size > 1 else 0.0, max(1, len(pairs) - len(set(cell.labels.tolist())))


def _share_beyond_zero(samples: FloatArray) -> float:
    """Two-sided p-value of 0 by how often resamples lie on either side of it, each counted once more than found."""
    defined = samples[np.isfinite(samples)]
    if defined.size == 0:
        return math.nan
    below, above = np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0)
    return float(min(1.0, 2.0 * (1 + min(below, above)) / (1 + defined.size)))
