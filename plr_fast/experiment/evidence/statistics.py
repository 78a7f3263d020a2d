"""Means over repeats with intervals, from the scores of every test slice.

Two things make a mean over repeats uncertain: other training runs (other training slices, seeds) and other test
patients. The repeats are not independent: their test sets share groups (patients, blocks), their training sets even
more. So the bootstrap draws both, crossed (Owen, "The pigeonhole bootstrap", 2007): repeats with replacement, and the
groups of the whole data set with replacement within class, with *one* draw of groups for all repeats, methods and
fractions. A group that three repeats tested is drawn or left out in all three. Drawing groups anew for each repeat
would treat the same patients as new ones, and its intervals hold the truth far too seldom (``docs/statistics.md`` has
the simulation). With fewer than three repeats these are kept as they are and the interval speaks of test groups alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ...errors import DataError
from ...evaluation.bootstrap import GroupBootstrap
from ...evaluation.metrics import FloatArray, MetricInfo, MetricValue, binary_metrics
from ..results import CellKey, CellResult, DatasetInfo, Results
from .calibration import BINS, Binning, ReliabilityCurve, bin_edges, expected_calibration_error, membership
from .resampled import COLUMN_OF, MEASURES, TestGroups, resampled_measures

MEASURE_BY_KEY: Mapping[str, MetricInfo] = {measure.key: measure for measure in MEASURES}
ENOUGH_REPEATS = 3


@dataclass(frozen=True)
class Sampling:
    """How intervals are made.

    Attributes:
        resamples: of the bootstrap; 0 for none.
        confidence: of all intervals, 0 < confidence < 1.
    """

    resamples: int = 2000
    confidence: float = 0.95


@dataclass(frozen=True)
class Summary:
    """One measure of one method at one fraction over the repeats.

    Attributes:
        mean, sd: over the repeats in which it is defined; sd with n − 1, NaN for one repeat.
        best: of them: the highest, or the lowest where lower is better.
        low, high: interval of the mean by the crossed bootstrap; NaN where there is none.
        repeats: in which the measure is defined.
        judged: repeats that are finished.
        planned: repeats of the grid.
        undefined: share of resamples without a value.
        reason: why a value is missing in some repeat, or None.
    """

    mean: float
    sd: float
    best: float
    low: float
    high: float
    repeats: int
    judged: int
    planned: int
    undefined: float = 0.0
    reason: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every planned repeat is finished and has a value."""
        return self.repeats == self.planned


class DatasetStatistics:
    """All that tables and charts say of one data set of an experiment.

    Every cell is resampled once, when it is first asked for; then means, differences and reliability curves are sums
    over the same draws.

    Args:
        results: the experiment.
        dataset: name of one of its data sets.
        sampling: of the intervals.

    Raises:
        DataError: cells of one repeat were judged on different slices, which leaves nothing to pair.
        ValueError: no such data set.
    """

    def __init__(self, results: Results, dataset: str, sampling: Sampling | None = None) -> None:
        infos = {info.name: info for info in results.plan.datasets}
        if dataset not in infos:
            raise ValueError(f"no data set {dataset!r} in the experiment; it has {', '.join(infos)}")
        self.info: DatasetInfo = infos[dataset]
        self.plan = results.plan
        self.sampling = sampling or Sampling()
        planned = [key for key in results.plan.cells if key.dataset == dataset]
        self._planned: dict[tuple[str, float], int] = {}
        for key in planned:
            self._planned[key.method, key.fraction] = self._planned.get((key.method, key.fraction), 0) + 1
        self.fractions: tuple[float, ...] = tuple(sorted({key.fraction for key in planned}, reverse=True))
        self._cells: dict[tuple[str, float], dict[int, CellResult]] = {}
        self._tests: dict[int, CellResult] = {}
        for cell in results.select(dataset=dataset):
            key = cell.key
            self._cells.setdefault((key.method, key.fraction), {})[key.repeat] = cell
            _check_same_slices(self._tests.setdefault(key.repeat, cell), cell)
        self._points: dict[CellKey, dict[str, MetricValue]] = {}
        self._samples: dict[CellKey, FloatArray] = {}
        self._drawn_groups: dict[int, tuple[TestGroups, FloatArray]] = {}

    def methods(self, fraction: float) -> tuple[str, ...]:
        """Methods of the grid at this fraction, in the order of the tables."""
        return tuple(method.name for method in self.plan.methods if (method.name, fraction) in self._planned)

    def planned(self, method: str, fraction: float) -> int:
        """Repeats that the grid has for it."""
        return self._planned.get((method, fraction), 0)

    def cells(self, method: str, fraction: float) -> Mapping[int, CellResult]:
        """Its finished cells by repeat."""
        return dict(sorted(self._cells.get((method, fraction), {}).items()))

    @property
    def test_sets(self) -> Mapping[int, CellResult]:
        """For each repeat one of its cells: they share ids, groups and labels."""
        return dict(sorted(self._tests.items()))

    def points(self, cell: CellResult) -> dict[str, MetricValue]:
        """Its measures, in the order of :data:`MEASURES`."""
        if cell.key not in self._points:
            self._points[cell.key] = {
                **binary_metrics(cell.labels, cell.scores, threshold=cell.threshold),
                "ece": expected_calibration_error(cell.labels, cell.scores, binning="mass"),
                "ece_width": expected_calibration_error(cell.labels, cell.scores, binning="width"),
            }
        return self._points[cell.key]

    def values(self, method: str, fraction: float, measure: str) -> dict[int, float]:
        """Its value by repeat; NaN where undefined."""
        return {repeat: self.points(cell)[measure].value for repeat, cell in self.cells(method, fraction).items()}

    def samples(self, cell: CellResult) -> FloatArray:
        """Its measures in each resample of the groups, float64 (R, M)."""
        if cell.key not in self._samples:
            groups, counts = self._drawn(cell.key.repeat)
            self._samples[cell.key] = resampled_measures(cell, groups, counts)
        return self._samples[cell.key]

    def draw_of_repeats(self, repeats: Sequence[int]) -> npt.NDArray[np.int64]:
        """How often each of these repeats counts in each resample, int64 (R, J); equal for equal repeats."""
        if len(repeats) < ENOUGH_REPEATS:
            return np.ones((self.sampling.resamples, len(repeats)), dtype=np.int64)
        stream = np.random.Generator(np.random.Philox(self._seed(1, *repeats)))
        shares = np.full(len(repeats), 1.0 / len(repeats))
        return stream.multinomial(len(repeats), shares, size=self.sampling.resamples).astype(np.int64)

    def summary(self, method: str, fraction: float, measure: str) -> Summary:
        """Mean, spread and interval of a measure."""
        cells = self.cells(method, fraction)
        found = {repeat: self.points(cell)[measure] for repeat, cell in cells.items()}
        defined = {repeat: value.value for repeat, value in found.items() if value.defined}
        reason = next((value.reason for value in found.values() if not value.defined), None)
        if not defined:
            why = reason or "no repeat is finished"
            nan, planned = math.nan, self.planned(method, fraction)
            return Summary(nan, nan, nan, nan, nan, repeats=0, judged=len(cells), planned=planned, reason=why)
        values = np.array(list(defined.values()))
        higher = MEASURE_BY_KEY[measure].higher_is_better
        mean = float(values.mean())
        resampled = self.means([cells[repeat] for repeat in defined], measure)
        if measure in ("ece", "ece_width") and np.isfinite(resampled).any():
            # Resampling adds to this error as chance did in the first place: the interval is moved back by that much.
            resampled = np.maximum(resampled - (np.nanmean(resampled) - mean), 0.0)
        low, high, undefined = percentiles(resampled, self.sampling.confidence)
        return Summary(
            mean=mean,
            sd=float(values.std(ddof=1)) if len(values) > 1 else math.nan,
            best=float(values.max() if higher else values.min()),
            low=low,
            high=high,
            repeats=len(values),
            judged=len(cells),
            planned=self.planned(method, fraction),
            undefined=undefined,
            reason=reason,
        )

    def means(self, cells: Sequence[CellResult], measure: str) -> FloatArray:
        """The mean over cells of different repeats in each resample, float64 (R,); NaN where undefined in all."""
        samples = np.stack([self.samples(cell)[:, COLUMN_OF[measure]] for cell in cells], axis=1)
        return mean_of_drawn(samples, self.draw_of_repeats([cell.key.repeat for cell in cells]))

    def reliability(
        self, method: str, fraction: float, *, bins: int = BINS, binning: Binning = "mass"
    ) -> ReliabilityCurve | None:
        """Reliability curve of the repeats pooled, with crossed bootstrap intervals; None without a finished cell.

        A binomial interval would take a slice tested in ten repeats for ten slices.
        """
        cells = list(self.cells(method, fraction).values())
        if not cells:
            return None
        scores = np.concatenate([cell.scores for cell in cells])
        labels = np.concatenate([cell.labels for cell in cells]).astype(np.float64)
        edges = bin_edges(scores, bins=bins, binning=binning)
        member = membership(scores, edges)
        slices = member.sum(axis=0)
        kept = slices > 0
        draw = self.draw_of_repeats([cell.key.repeat for cell in cells])
        counts = np.zeros((2, self.sampling.resamples, bins))  # all slices, positive slices
        for column, cell in enumerate(cells):
            mine = membership(cell.scores, edges)
            groups, drawn = self._drawn(cell.key.repeat)
            if_positive, if_negative = groups.class_factors(drawn)
            positive = cell.labels[:, None] == 1
            ups = np.nan_to_num(drawn @ groups.sums(mine * positive) * if_positive) * draw[:, column, None]
            downs = np.nan_to_num(drawn @ groups.sums(mine * ~positive) * if_negative) * draw[:, column, None]
            counts += np.stack([ups + downs, ups])
        shares = np.divide(counts[1], counts[0], out=np.full(counts[0].shape, math.nan), where=counts[0] > 0)
        ends = np.array([percentiles(shares[:, place], self.sampling.confidence)[:2] for place in np.flatnonzero(kept)])
        return ReliabilityCurve(
            mean_score=(member.T @ scores)[kept] / slices[kept],
            observed=(member.T @ labels)[kept] / slices[kept],
            low=ends[:, 0],
            high=ends[:, 1],
            slices=slices[kept].astype(np.int64),
            repeats=len(cells),
        )

    def notes(self) -> list[str]:
        """What a reader of the intervals should be told, in plain sentences."""
        if not self._tests or self.sampling.resamples == 0:
            return []
        slices = {
            entry[0]: entry[1:]
            for cell in self._tests.values()
            for entry in zip(cell.ids.tolist(), cell.groups.tolist(), cell.labels.tolist(), strict=True)
        }
        groups, labels = zip(*slices.values(), strict=True)
        return GroupBootstrap(np.array(groups), np.array(labels), resamples=0).notes()

    @cached_property
    def _group_draw(self) -> tuple[FloatArray, Mapping[str, int]]:
        """How often each group of the data set counts, float64 (R, G), and the column of each group."""
        pairs = sorted(
            {
                pair
                for cell in self._tests.values()
                for pair in zip(cell.groups.tolist(), cell.labels.tolist(), strict=True)
            }
        )
        bootstrap = GroupBootstrap(
            np.array([group for group, _ in pairs]),
            np.array([label for _, label in pairs]),
            resamples=self.sampling.resamples,
            seed=int(self._seed(0).generate_state(1)[0]),
            confidence=self.sampling.confidence,
        )
        counts = bootstrap.distribution(lambda weights: weights)
        # A group of both classes has two columns here, alike in every resample; either will do.
        return counts, {group: column for column, (group, _) in enumerate(pairs)}

    def _drawn(self, repeat: int) -> tuple[TestGroups, FloatArray]:
        """The test groups of a repeat, and how often each counts in each resample, float64 (R, G)."""
        if repeat not in self._drawn_groups:
            groups = TestGroups.of(self._tests[repeat])
            counts, column_of = self._group_draw
            self._drawn_groups[repeat] = groups, counts[:, [column_of[name] for name in groups.names.tolist()]]
        return self._drawn_groups[repeat]

    def _seed(self, *more: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([abs(self.plan.seed), *self.info.name.encode(), *more])


def experiment_statistics(results: Results, sampling: Sampling | None = None) -> dict[str, DatasetStatistics]:
    """The statistics of every data set of an experiment, by name; tables and charts may share them."""
    return {info.name: DatasetStatistics(results, info.name, sampling) for info in results.plan.datasets}


def percentiles(samples: FloatArray, confidence: float) -> tuple[float, float, float]:
    """Ends of the percentile interval of ``samples`` (R,), and the share of them that is NaN (left out)."""
    defined = samples[np.isfinite(samples)]
    if defined.size == 0:
        return math.nan, math.nan, 1.0 if samples.size else 0.0
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(defined, [tail, 100.0 - tail])
    return float(low), float(high), 1.0 - defined.size / samples.size


def mean_of_drawn(samples: FloatArray, draw: npt.NDArray[np.int64]) -> FloatArray:
    """Mean of ``samples`` (R, J) over repeats, each as often as ``draw`` (R, J) says, NaN left out: float64 (R,)."""
    known = np.isfinite(samples) * draw
    total = known.sum(axis=1)
    sums = (np.where(np.isfinite(samples), samples, 0.0) * draw).sum(axis=1)
    means: FloatArray = np.full(len(samples), math.nan)
    np.divide(sums, total, out=means, where=total > 0)
    return means


def _check_same_slices(first: CellResult, cell: CellResult) -> None:
    same = (
        np.array_equal(first.ids, cell.ids)
        and np.array_equal(first.labels, cell.labels)
        and np.array_equal(first.groups, cell.groups)
    )
    if not same:
        raise DataError(
            f"cells/{first.key.file_name}.csv and cells/{cell.key.file_name}.csv are of one repeat but of different "
            "test slices, so that methods cannot be compared: delete the older of them (and its .json file) and run "
            "the experiment again"
        )
