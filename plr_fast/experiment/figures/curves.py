"""ROC curves averaged over repeats, and reliability curves, in panels of one method each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...evaluation.figures import WIDTH, new_figure, short_labels, styled
from ...evaluation.metrics import FloatArray, IntArray
from .spreads import INK, Look, columns_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID: FloatArray = np.linspace(0.0, 1.0, 201)
"""False positive rates at which ROC curves of repeats are averaged."""


@dataclass(frozen=True)
class RocBand:
    """The ROC curves of a method's repeats, averaged at equal false positive rates.

    Attributes:
        mean, deviation: float64 (201,), true positive rate at :data:`GRID` and its standard deviation over repeats
            (NaN with one repeat).
        repeats: how many curves there were.
    """

    mean: FloatArray
    deviation: FloatArray
    repeats: int


class Reliability(Protocol):
    """The points of a reliability curve, by rising score; arrays (B,) of the bins that hold slices.

    Attributes:
        mean_score, observed: mean score and share of positives of each bin's slices, in [0, 1].
        low, high: ends of the interval of ``observed``; NaN where there is none.
        slices: how many each bin holds.
    """

    @property
    def mean_score(self) -> FloatArray: ...
    @property
    def observed(self) -> FloatArray: ...
    @property
    def low(self) -> FloatArray: ...
    @property
    def high(self) -> FloatArray: ...
    @property
    def slices(self) -> IntArray: ...


def roc_band(repeats: Sequence[tuple[IntArray, FloatArray]]) -> RocBand | None:
    """Average the ROC curves of (labels, scores) of each repeat; those of one class only are left out, None if all."""
    from sklearn.metrics import roc_curve

    curves = []
    for labels, scores in repeats:
        if len(np.unique(labels)) < 2:
            continue
        false_rate, true_rate, _ = roc_curve(labels, scores, drop_intermediate=False)
        # Where the curve is vertical this gives its upper end, and runs on from there to the lower end of the next.
        curves.append(np.interp(GRID, false_rate, true_rate))
    if not curves:
        return None
    stack = np.stack(curves)
    deviation = stack.std(axis=0, ddof=1) if len(stack) > 1 else np.full(len(GRID), math.nan)
    return RocBand(stack.mean(axis=0), deviation, len(stack))


def roc_panels(
    bands: Mapping[str, RocBand], areas: Mapping[str, str], *, baseline: str, styles: Mapping[str, Look]
) -> Figure:
    """ROC curves: the mean over repeats, a band of one standard deviation, and the baseline's mean in thin black.

    Args:
        bands: method -> its curves; at least one.
        areas: method -> its AUROC as text, below the name.
        baseline: stands in all panels; may be absent.
        styles: method -> look.
    """

    def draw(axes: Axes, name: str) -> None:
        axes.plot([0, 1], [0, 1], color="#8A929C", linewidth=0.8, linestyle=(0, (2, 2)))
        if baseline in bands and name != baseline:
            axes.plot(GRID, bands[baseline].mean, color=INK, linewidth=0.8)
        band, look = bands[name], styles[name]
        if band.repeats > 1:
            low, high = (band.mean - band.deviation).clip(0, 1), (band.mean + band.deviation).clip(0, 1)
            axes.fill_between(GRID, low, high, color=look.colour, alpha=0.22, linewidth=0)
        axes.plot(GRID, band.mean, color=look.colour, linestyle=look.dashes)

    return _unit_panels(
        list(bands), areas, draw, "False positive rate (1 − specificity)", "True positive rate (recall)"
    )


def reliability_panels(
    reliabilities: Mapping[str, Reliability], errors: Mapping[str, str], *, styles: Mapping[str, Look]
) -> Figure:
    """Reliability curves: how often slices of a score were positive. On the diagonal scores can be taken at their word.

    Args:
        reliabilities: method -> its points, the larger the more slices; at least one method.
        errors: method -> its calibration error as text, in the corner.
        styles: method -> look.
    """
    largest = max((int(points.slices.max()) for points in reliabilities.values() if len(points.slices)), default=1)

    def draw(axes: Axes, name: str) -> None:
        axes.plot([0, 1], [0, 1], color="#8A929C", linewidth=0.8, linestyle=(0, (2, 2)))
        points, look = reliabilities[name], styles[name]
        axes.vlines(points.mean_score, points.low, points.high, color=look.colour, linewidth=1.2, alpha=0.7)
        axes.plot(points.mean_score, points.observed, color=look.colour, linestyle=look.dashes, linewidth=1.2)
        axes.scatter(
            points.mean_score, points.observed, s=6 + 24 * points.slices / largest, color=look.colour,
            marker=look.marker, edgecolors="white", linewidths=0.5, zorder=4,
        )  # fmt: skip

    return _unit_panels(list(reliabilities), errors, draw, "Score (probability given)", "Share that was positive")


def _unit_panels(
    names: Sequence[str], below: Mapping[str, str], draw: Callable[[Axes, str], None], x: str, y: str
) -> Figure:
    """Square panels over [0, 1]², side by side, each under a method's name."""
    columns = columns_for(len(names))
    rows = -(-len(names) // columns)
    labels = dict(zip(names, short_labels(names, 66 // columns - 2), strict=True))
    side = min(2.6, (WIDTH - 0.55) / columns)
    with styled():
        figure = new_figure(0.55 + columns * side, 0.4 + rows * (side + 0.25))
        for number, name in enumerate(names):
            axes = figure.add_subplot(rows, columns, number + 1)
            draw(axes, name)
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            axes.set_aspect("equal")
            axes.set_title(labels[name], fontsize=8.5)
            if below.get(name):
                axes.text(
                    0.97, 0.04, below[name], transform=axes.transAxes, ha="right", va="bottom", fontsize=7.3,
                    linespacing=1.25, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
                )  # fmt: skip
            if number % columns:
                axes.tick_params(labelleft=False)
            if number + columns < len(names):
                axes.tick_params(labelbottom=False)
        figure.supxlabel(x, fontsize=8.8)
        figure.supylabel(y, fontsize=8.8)
    return figure
