"""The result charts of one data set, with their words: what the statistics found, drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...evaluation.draw import Album
from ...evaluation.figures import listing
from ..evidence.significance import PairedDifference, compare
from ..evidence.statistics import MEASURE_BY_KEY, DatasetStatistics
from ..results import Plan
from .charts import forest_figure, fractions_figure
from .curves import RocBand, reliability_panels, roc_band, roc_panels
from .p_by_m import Setting, methods_by_setting, p_by_m_figure
from .spreads import Look, Spread, looks, spoken

CHARTED = ("auroc", "accuracy")
"""Metrics with charts; tables have all of them."""
_LISTED = 4  # methods that a text alternative tells in full, for each fraction


class DatasetCharts:
    """Draws the charts of one data set.

    Args:
        album: takes the figures.
        plan: of the experiment.
        statistics: of the data set.
        about: ends the titles, for example the name of the data set; may be empty.
    """

    def __init__(self, album: Album, plan: Plan, statistics: DatasetStatistics, about: str) -> None:
        self.album, self.plan, self.statistics = album, plan, statistics
        self.about = f": {about}" if about else ""
        self.controls = [method.name for method in plan.methods if method.kind == "control"]
        self.names = [method.name for method in plan.methods]
        self.styles: Mapping[str, Look] = looks(self.names, self.controls, plan.baseline)

    def draw_all(self) -> None:
        """All charts that the finished cells allow."""
        for measure in CHARTED:
            self.metric(measure)
        for measure in CHARTED:
            self.differences(measure)
        judged = [fraction for fraction in self.statistics.fractions if self._judged(fraction)]
        for fraction in dict.fromkeys(judged[-1:] + judged[:1]):  # the least and the most labels
            self.roc(fraction)
            self.reliability(fraction)
        self.p_by_m("auroc")

    def metric(self, measure: str) -> None:
        """A metric against the share of labels, or by method where there is one share only."""
        title = MEASURE_BY_KEY[measure].title
        found: dict[str, dict[float, Spread]] = {}
        for fraction in self.statistics.fractions:
            for name in self._judged(fraction):
                summary = self.statistics.summary(name, fraction, measure)
                values = self._values(self.statistics.values(name, fraction, measure))
                spread = Spread(name, values, summary.low, summary.high, name in self.controls)
                if math.isfinite(spread.mean):
                    found.setdefault(name, {})[fraction] = spread
        found = {name: found[name] for name in self.names if name in found}
        if not found:
            return
        fractions = sorted({fraction for spreads in found.values() for fraction in spreads})
        one_share = len(fractions) == 1
        if one_share:
            rows = [spreads[fractions[0]] for spreads in found.values()]
            figure = forest_figure([(self._share(fractions[0]), rows)], label=title, styles=self.styles, zero=False)
        else:
            figure = fractions_figure(found, title=title, baseline=self.plan.baseline, styles=self.styles)
        told = " ".join(
            f"At {self._share(fraction)}: "
            + self._told([spreads[fraction] for spreads in found.values() if fraction in spreads])
            for fraction in fractions
        )
        split = "all on one test set" if self.statistics.info.split_by == "given" else "each on its own split"
        line = "" if one_share else f" The thin black line in each panel is {self.plan.baseline}, to compare with."
        self.album.add(
            f"{measure}-by-fraction{self.about}",
            figure,
            section="performance",
            title=f"{title} by share of the labels{self.about}" if not one_share else f"{title} by method{self.about}",
            caption=f"Dots: repeats, {split}. Markers: their mean. Bars: {self._interval} of the mean"
            f"{self._grey}.{line} Look at how far repeats lie apart before comparing means." + self._incomplete(found),
            alt=f"{title} of {len(found)} methods. {told}",
        )

    def differences(self, measure: str) -> None:
        """Paired differences to the baseline, a panel for each share of labels."""
        info = MEASURE_BY_KEY[measure]
        sections: list[tuple[str, list[Spread]]] = []
        told: list[str] = []
        for fraction in reversed(self.statistics.fractions):
            rows = []
            for name in self._judged(fraction):
                if name == self.plan.baseline:
                    continue
                found = compare(self.statistics, name, self.plan.baseline, fraction, measure)
                if found.values:
                    rows.append(self._difference(found))
            if rows:
                sections.append((f"{self._share(fraction)}", rows))
                told.append(f"At {self._share(fraction)}: {self._told(rows, signed=True)}")
        if not sections:
            return
        self.album.add(
            f"{measure}-differences{self.about}",
            forest_figure(
                sections,
                label=f"{info.title}: method − {self.plan.baseline}",
                styles=self.styles,
                zero=True,
                lower_is_better=not info.higher_is_better,
            ),
            section="differences",
            title=f"{info.title}: paired differences to {self.plan.baseline}{self.about}",
            caption=f"Each dot is one repeat: both methods had the same labelled and the same test slices. Bars: "
            f"{self.statistics.sampling.confidence:.0%} interval of the mean difference, as in the table of "
            "differences (none with fewer than three repeats). Filled markers: the interval leaves 0 out; hollow ones: "
            f"it does not, so these repeats show no difference{self._grey}. Intervals are not corrected for the number "
            "of comparisons; the table's p-values are.",
            alt=f"Differences of {info.title} to {self.plan.baseline}. {' '.join(told)}",
        )

    def roc(self, fraction: float) -> None:
        """ROC curves at one share of the labels."""
        bands: dict[str, RocBand] = {}
        areas: dict[str, str] = {}
        for name in self._judged(fraction):
            cells = self.statistics.cells(name, fraction).values()
            band = roc_band([(cell.labels.astype(np.int64), cell.scores) for cell in cells])
            if band is not None:
                bands[name] = band
                summary = self.statistics.summary(name, fraction, "auroc")
                spread = f" ± {summary.sd:.3f}" if math.isfinite(summary.sd) else ""
                areas[name] = f"{summary.mean:.3f}{spread}"
        if not bands:
            return
        one = max(band.repeats for band in bands.values()) == 1
        band_words = "" if one else " (band: ± one standard deviation over repeats, not an interval of the mean)"
        self.album.add(
            f"roc-{100 * fraction:g}{self.about}",
            roc_panels(bands, areas, baseline=self.plan.baseline, styles=self.styles),
            section="curves",
            title=f"ROC curves at {self._share(fraction)}{self.about}",
            caption=f"Mean over repeats at equal false positive rates{band_words}; in the corner the mean AUROC of the "
            f"repeats ± its standard deviation. Thin black: {self.plan.baseline}. Dashed diagonal: chance{self._grey}.",
            alt="ROC curves, a panel for each method. Mean AUROC: "
            + "; ".join(f"{name} {area}" for name, area in areas.items())
            + ".",
        )

    def reliability(self, fraction: float) -> None:
        """Reliability curves at one share of the labels."""
        found, errors = {}, {}
        for name in self._judged(fraction):
            curve = self.statistics.reliability(name, fraction)
            if curve is not None:
                found[name] = curve
                errors[name] = f"ECE {self.statistics.summary(name, fraction, 'ece').mean:.3f}"
        if not found:
            return
        self.album.add(
            f"reliability-{100 * fraction:g}{self.about}",
            reliability_panels(found, errors, styles=self.styles),
            section="curves",
            title=f"Calibration at {self._share(fraction)}{self.about}",
            caption="Slices of all repeats in bins of equal size by score: the share of them that was positive, with "
            f"{self._interval}. On the diagonal a score of 0.8 means 80 %; below it scores promise too much. ECE: "
            f"expected calibration error, mean over repeats{self._grey}.",
            alt="Reliability curves, a panel for each method. Expected calibration error: "
            + "; ".join(f"{name} {error.removeprefix('ECE ')}" for name, error in errors.items())
            + ".",
        )

    def p_by_m(self, measure: str) -> None:
        """Figure 11, where the experiment is that study."""
        points = methods_by_setting(self.plan)
        title = MEASURE_BY_KEY[measure].title
        for fraction in self.statistics.fractions:
            settings = []
            for name, (lesions, slices) in points.items():
                values = np.array(list(self.statistics.values(name, fraction, measure).values()), dtype=np.float64)
                if (known := values[np.isfinite(values)]).size:
                    settings.append(Setting(lesions, slices, known))
            if not settings:
                continue
            told = "; ".join(f"P {one.lesions}, M {one.slices}: {one.mean:.3f}" for one in settings)
            self.album.add(
                f"fig11-p-by-m-{100 * fraction:g}{self.about}",
                p_by_m_figure(settings, title=title),
                section="study",
                title=f"Lesions in a slice (P) and pseudo slices in an epoch (M) at {self._share(fraction)} (the "
                f"paper's figure 11){self.about}",
                caption="Dots: repeats. Markers: their mean; whiskers: ± one standard deviation over repeats. Epochs "
                "are the same for all, so a larger M also means more steps. The paper drew the validation set's "
                "accuracy; these are test slices. Where whiskers overlap, the order of the points may be chance.",
                alt=f"Mean {title} over repeats. {told}.",
            )

    @property
    def _interval(self) -> str:
        return f"{self.statistics.sampling.confidence:.0%} bootstrap interval"

    @property
    def _grey(self) -> str:
        return "; controls are grey and dashed" if self.controls else ""

    @staticmethod
    def _share(fraction: float) -> str:
        return f"{100 * fraction:g} % of the labels"

    def _judged(self, fraction: float) -> list[str]:
        return [name for name in self.statistics.methods(fraction) if self.statistics.cells(name, fraction)]

    def _values(self, by_repeat: Mapping[int, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Values by repeat, NaN for repeats that are missing here, so that a repeat's dots line up between methods."""
        return np.array([by_repeat.get(repeat, math.nan) for repeat in self.statistics.test_sets], dtype=np.float64)

    def _difference(self, found: PairedDifference) -> Spread:
        return Spread(
            found.first, self._values(found.values), found.low, found.high, control=found.first in self.controls
        )

    def _incomplete(self, found: Mapping[str, Mapping[float, Spread]]) -> str:
        lacking = [
            f"{name} at {fraction:.0%} ({len(self.statistics.cells(name, fraction))} of "
            f"{self.statistics.planned(name, fraction)} repeats)"
            for name, spreads in found.items()
            for fraction in spreads
            if len(self.statistics.cells(name, fraction)) < self.statistics.planned(name, fraction)
        ]
        return f" Not finished: {listing(lacking)}." if lacking else ""

    @staticmethod
    def _told(spreads: Sequence[Spread], *, signed: bool = False) -> str:
        """Means with intervals: all of them, or the first and last few of many by their mean."""
        ordered = sorted(spreads, key=lambda spread: -spread.mean)
        if len(ordered) <= 2 * _LISTED:
            return ", ".join(spoken(spread, signed=signed) for spread in ordered) + "."
        parts = ordered[:_LISTED], ordered[-_LISTED:]
        told = [", ".join(spoken(spread, signed=signed) for spread in part) for part in parts]
        return f"highest {told[0]}; lowest {told[1]}."
