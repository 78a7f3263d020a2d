"""Paired differences: the corrected t-test, Holm's correction, and what they say of experiments."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from plr_fast.errors import DataError
from plr_fast.experiment.evidence.resampled import COLUMN_OF
from plr_fast.experiment.evidence.significance import (
    PairedDifference,
    against_baseline,
    all_pairs,
    compare,
    corrected_t,
    holm,
    share_of_rest,
    two_source_t,
)
from plr_fast.experiment.evidence.statistics import DatasetStatistics, Sampling
from plr_fast.experiment.results import CellKey, Results

from ..factory import make_results

FEW = Sampling(resamples=300)


def statistics_of(folder: Path, **options) -> DatasetStatistics:
    return DatasetStatistics(make_results(folder, **options), "sars", FEW)


def with_info(results: Results, **changes) -> Results:
    return replace(results, plan=replace(results.plan, datasets=(replace(results.plan.datasets[0], **changes),)))


def test_without_overlap_it_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.1, 1, 10), rng.normal(0, 1, 10)
    low, high, p = corrected_t(a - b, 0.0, 0.95)
    test = stats.ttest_rel(a, b)
    interval = test.confidence_interval(0.95)
    assert (low, high, p) == pytest.approx((interval.low, interval.high, test.pvalue))


def test_hand_computed_correction() -> None:
    """d = 1, 2, 3; s = 1; error √(1/3 + 1/3); t = 2 / 0.8165 = 2.449 at 2 degrees of freedom: p = 0.134."""
    low, high, p = corrected_t([1, 2, 3], 1 / 3, 0.95)
    assert p == pytest.approx(0.1340, abs=1e-4)
    assert high - 2 == pytest.approx(4.3027 * math.sqrt(2 / 3), abs=1e-3)
    assert low + high == pytest.approx(4)


def test_differences_without_spread() -> None:
    assert corrected_t([0, 0, 0], 0.2, 0.95) == (0, 0, 1)
    assert all(math.isnan(value) for value in corrected_t([0.1, 0.1, 0.1], 0.2, 0.95))
    assert all(math.isnan(value) for value in corrected_t([0.1], 0.2, 0.95))
    with pytest.raises(ValueError, match="at least 0"):
        corrected_t([1, 2, 3], -0.1, 0.95)


def test_it_holds_its_level_where_repeats_share_patients_and_the_plain_test_does_not() -> None:
    """Two methods equally good on all patients, not on the 40 at hand; ten random test sets of 12 of them."""
    rng = np.random.default_rng(1)
    plain = corrected = 0
    for _ in range(400):
        gain = rng.normal(0, 0.1, 40)
        differences = [gain[rng.choice(40, 12, replace=False)].mean() + rng.normal(0, 0.005) for _ in range(10)]
        plain += corrected_t(differences, 0.0, 0.95)[2] < 0.05
        corrected += corrected_t(differences, 12 / 28, 0.95)[2] < 0.05
    assert plain / 400 > 0.2
    assert corrected / 400 < 0.09


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
    found = holm([math.nan, 0.01, 0.02])
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([0.02, 0.02])


def test_a_clear_difference_is_found_and_the_reverse_is_its_mirror(tmp_path: Path) -> None:
    statistics = statistics_of(tmp_path, repeats=10)
    better = compare(statistics, "PLR+", "RI", 1.0, "auroc")
    worse = compare(statistics, "RI", "PLR+", 1.0, "auroc")
    assert (better.verdict, worse.verdict) == ("better", "worse")
    assert (better.wins, better.ties, better.losses) == (10, 0, 0) == (worse.losses, worse.ties, worse.wins)
    assert better.mean == -worse.mean
    assert (better.low, better.high) == pytest.approx((-worse.high, -worse.low))
    assert (better.bootstrap_low, better.bootstrap_high) == pytest.approx((-worse.bootstrap_high, -worse.bootstrap_low))
    assert better.p == worse.p < 0.01
    a, b = (statistics.values(name, 1.0, "auroc") for name in ("PLR+", "RI"))
    assert better.values == {repeat: a[repeat] - b[repeat] for repeat in range(10)}
    assert better.method == "t"
    # Lower is better for this one.
    brier = compare(statistics, "PLR+", "RI", 1.0, "brier")
    assert brier.mean < 0
    assert brier.verdict == "better"
    assert brier.wins == 10


def test_equal_methods(tmp_path: Path) -> None:
    statistics = statistics_of(tmp_path, repeats=4)
    same = compare(statistics, "RI", "RI", 1.0, "auroc")
    assert (same.mean, same.low, same.high, same.p, same.ties, same.verdict) == (0, 0, 0, 1, 4, "")
    assert same.reason == "equal in every repeat"


def test_only_common_repeats_are_compared(tmp_path: Path) -> None:
    gone = [CellKey("sars", "PLR-P", 0.1, 1), CellKey("sars", "RI", 0.1, 4)]
    statistics = statistics_of(tmp_path, repeats=6, missing=gone)
    found = compare(statistics, "PLR-P", "RI", 0.1, "auroc")
    assert list(found.values) == [0, 2, 3, 5]
    assert found.planned == 6
    a, b = (statistics.values(name, 0.1, "auroc") for name in ("PLR-P", "RI"))
    assert found.mean == pytest.approx(np.mean([a[repeat] - b[repeat] for repeat in (0, 2, 3, 5)]))
    # The means of the two methods, over different repeats, differ by something else.
    assert abs(np.mean(list(a.values())) - np.mean(list(b.values())) - found.mean) > 1e-4


@pytest.mark.parametrize(("repeats", "reason"), [(1, "1 repeat: nothing"), (2, "2 repeats: nothing")])
def test_of_few_repeats_nothing_can_be_said(tmp_path: Path, repeats: int, reason: str) -> None:
    found = compare(statistics_of(tmp_path, repeats=repeats), "PLR+", "RI", 1.0, "auroc")
    assert math.isfinite(found.mean)
    assert math.isnan(found.p)
    assert math.isnan(found.low)
    assert found.verdict == ""
    assert reason in str(found.reason)


def test_no_repeat_in_common(tmp_path: Path) -> None:
    gone = [CellKey("sars", "RI", 1.0, repeat) for repeat in range(3)]
    found = compare(statistics_of(tmp_path, missing=gone), "PLR+", "RI", 1.0, "auroc")
    assert math.isnan(found.mean)
    assert "no repeat in common" in str(found.reason)


def test_a_family_is_all_methods_and_fractions(tmp_path: Path) -> None:
    statistics = statistics_of(tmp_path, repeats=5)
    family = against_baseline(statistics, "auroc")
    assert [(one.fraction, one.first) for one in family] == [
        (fraction, method) for fraction in (1.0, 0.1) for method in ("PLR-P", "PLR+", "Grey forest")
    ]
    assert [one.p_holm for one in family] == pytest.approx(holm([one.p for one in family]))
    assert any(one.p_holm > one.p for one in family)
    pairs = all_pairs(statistics, "auroc")
    assert len(pairs) == 2 * 6
    assert len({(one.fraction, frozenset((one.first, one.second))) for one in pairs}) == 12
    for one in pairs:
        assert math.isfinite(one.p_holm) == (one.second == "RI")
        assert one.first != "RI"


def test_size_of_the_test_sets_over_the_rest(tmp_path: Path) -> None:
    results = make_results(tmp_path)  # 12 of 60 groups, 120 of 2000 slices
    assert share_of_rest(DatasetStatistics(results, "sars", FEW)) == pytest.approx(12 / 48)
    slices = DatasetStatistics(with_info(results, split_by="slices"), "sars", FEW)
    assert share_of_rest(slices) == pytest.approx(120 / 1880)
    with pytest.raises(DataError, match=r"12 groups by plan\.json, but its test sets have 12"):
        share_of_rest(DatasetStatistics(with_info(results, groups=12), "sars", FEW))


def test_one_given_split_is_judged_by_runs_and_groups(tmp_path: Path) -> None:
    """The interval of the mean holds both variances: between repeats (s²/J), and between test groups (bootstrap)."""
    results = with_info(make_results(tmp_path, repeats=5), split_by="given")
    statistics = DatasetStatistics(results, "sars", FEW)
    assert share_of_rest(statistics) is None
    found = compare(statistics, "PLR+", "RI", 1.0, "auroc")
    assert found.method == "two sources"
    assert found.verdict == "better"
    runs = stats.t.ppf(0.975, 4) * found.sd / math.sqrt(5)
    assert found.high - found.low < 2 * runs + (found.bootstrap_high - found.bootstrap_low)
    assert found.low + found.high == pytest.approx(2 * found.mean)
    assert found.p == pytest.approx(two_source_p(statistics, found))


def two_source_p(statistics: DatasetStatistics, found: PairedDifference) -> float:
    """By Welch's formula, from the resamples of the groups."""
    cells = [statistics.cells(name, found.fraction) for name in (found.first, found.second)]
    column = COLUMN_OF[found.measure]
    drawn = np.mean([statistics.samples(a)[:, column] - statistics.samples(b)[:, column]
                     for a, b in zip(*(one.values() for one in cells), strict=True)], axis=0)  # fmt: skip
    cell = cells[0][0]
    degrees = sum(len(set(cell.groups[cell.labels == label])) - 1 for label in (0, 1))
    a, b = found.sd**2 / len(found.values), drawn[np.isfinite(drawn)].var(ddof=1)
    freedom = (a + b) ** 2 / (a**2 / (len(found.values) - 1) + b**2 / degrees)
    return float(2 * stats.t.sf(abs(found.mean) / math.sqrt(a + b), freedom))


def test_two_sources_of_chance() -> None:
    """Without test groups that differ it is the paired t-test; with them the interval grows; both agree with Welch."""
    rng = np.random.default_rng(3)
    d = rng.normal(0.3, 1, 6)
    interval = stats.ttest_1samp(d, 0).confidence_interval(0.95)
    assert two_source_t(d, 0.0, 9, 0.95)[:2] == pytest.approx((interval.low, interval.high))
    assert two_source_t(d, 0.2, 9, 0.95)[1] > interval.high
    other = rng.normal(0, 2, 10)  # Welch's test of d − other has the same two variances and degrees of freedom
    welch = stats.ttest_ind(d, other, equal_var=False)
    low, high, p = two_source_t(d - other.mean(), other.var(ddof=1) / 10, 9, 0.95)
    bounds = welch.confidence_interval(0.95)
    assert (low, high, p) == pytest.approx((bounds.low, bounds.high, welch.pvalue))
    assert all(math.isnan(value) for value in two_source_t([0.1, 0.1], 0.0, 9, 0.95))
    assert all(math.isnan(value) for value in two_source_t([0.1], 0.1, 9, 0.95))
