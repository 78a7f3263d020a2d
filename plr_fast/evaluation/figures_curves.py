"""Figures of numbers: intervals, ROC and precision-recall curves, confusion matrices, training curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .bootstrap import Difference, Interval
from .figures import WIDTH, line_style, marker, new_figure, short_labels, shorten, styled
from .metrics import METRICS, Confusion, FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# More curves than this have their legend below the panel: inside, it would cover them.
_CURVES_INSIDE = 3


@dataclass(frozen=True)
class TrainingCurve:
    """The course of one run.

    Attributes:
        name: of the run.
        epochs: float64 (E,).
        train_loss, val_loss: float64 (E,), NaN where not recorded.
        score: float64 (E,), the validation score (accuracy or the like), NaN where not recorded.
        score_name: what ``score`` is; empty when there is none.
        weighted: the losses are sums of several tasks' losses, each times its weight.
    """

    name: str
    epochs: FloatArray
    train_loss: FloatArray
    val_loss: FloatArray
    score: FloatArray
    score_name: str = ""
    weighted: bool = False


def roc_figure(
    labels: IntArray, scores: Mapping[str, FloatArray], auroc: Mapping[str, Interval], thresholds: Mapping[str, float]
) -> Figure:
    """ROC curves of all classifiers, with the point of the threshold in use. Needs both classes."""
    from sklearn.metrics import roc_curve

    labels_of = dict(zip(scores, short_labels(list(scores)), strict=True))
    with styled():
        figure, axes = _square(len(scores))
        axes.plot([0, 1], [0, 1], color="#8A929C", linewidth=0.9, linestyle=(0, (2, 2)), label="chance")
        for index, (name, values) in enumerate(scores.items()):
            false_rate, true_rate, _ = roc_curve(labels, values, drop_intermediate=False)
            axes.plot(
                false_rate, true_rate, **line_style(index), label=f"{labels_of[name]}  {with_bounds(auroc[name])}"
            )
            called = values >= thresholds[name]
            _operating_point(axes, index, np.mean(called[labels == 0]), np.mean(called[labels == 1]))
        axes.set(xlabel="False positive rate (1 − specificity)", ylabel="True positive rate (recall)")
        _unit_square(axes)
        _legend(figure, axes, len(scores), "AUROC", "lower right")
    return figure


def precision_recall_figure(
    labels: IntArray, scores: Mapping[str, FloatArray], average: Mapping[str, Interval], thresholds: Mapping[str, float]
) -> Figure:
    """Precision-recall curves of all classifiers, with the point of the threshold in use. Needs both classes."""
    from sklearn.metrics import precision_recall_curve

    prevalence = float(np.mean(labels))
    labels_of = dict(zip(scores, short_labels(list(scores)), strict=True))
    with styled():
        figure, axes = _square(len(scores))
        axes.axhline(
            prevalence,
            color="#8A929C",
            linewidth=0.9,
            linestyle=(0, (2, 2)),
            label=f"always positive  {prevalence:.3f}",
        )
        for index, (name, values) in enumerate(scores.items()):
            precision, recall, _ = precision_recall_curve(labels, values)
            axes.plot(
                recall,
                precision,
                drawstyle="steps-post",
                **line_style(index),
                label=f"{labels_of[name]}  {with_bounds(average[name])}",
            )
            called = values >= thresholds[name]
            if called.any():
                _operating_point(axes, index, np.mean(called[labels == 1]), np.mean(labels[called]))
        axes.set(xlabel="Recall", ylabel="Precision")
        _unit_square(axes)
        _legend(figure, axes, len(scores), "Average precision", "lower left")
    return figure


def confusion_figure(name: str, counts: Confusion, class_names: tuple[str, str], threshold: float) -> Figure:
    """One classifier's confusion matrix: counts, and the share of the true class in each cell."""
    matrix = counts.matrix()
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros((2, 2)), where=totals > 0)
    with styled():
        figure = new_figure(WIDTH * 0.62, WIDTH * 0.6)
        axes = figure.add_subplot()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row in range(2):
            for column in range(2):
                share = f"{shares[row, column]:.1%}" if totals[row, 0] else "none"
                axes.text(
                    column,
                    row,
                    f"{matrix[row, column]:,}\n{share}",
                    ha="center",
                    va="center",
                    fontsize=12,
                    linespacing=1.5,
                    color="white" if shares[row, column] > 0.55 else "#16191D",
                )
        labels = [shorten(label, 14) for label in class_names]
        axes.set_xticks([0, 1], labels)
        axes.set_yticks([0, 1], labels, rotation=90, va="center")
        axes.set(xlabel=f"Called (threshold {threshold:.4g})", ylabel="True class")
        axes.set_title(shorten(name, 32))
        axes.grid(visible=False)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.axhline(0.5, color="white", linewidth=2)
        axes.axvline(0.5, color="white", linewidth=2)
    return figure


def intervals_figure(intervals: Mapping[str, Mapping[str, Interval]]) -> Figure:
    """All metrics of all classifiers as points with their intervals."""
    names = list(intervals)
    labels = short_labels(names)
    with styled():
        rows = len(METRICS)
        figure = new_figure(WIDTH, 0.75 + rows * (0.22 + 0.14 * len(names)))
        axes = figure.add_subplot()
        reach = min(0.32, 0.14 * (len(names) - 1))
        offsets = np.linspace(-reach, reach, len(names))
        for index, name in enumerate(names):
            for row, metric in enumerate(METRICS):
                _whisker(axes, intervals[name][metric.key], row + offsets[index], index)
            axes.plot([], [], marker(index), color=line_style(index)["color"], label=labels[index])
        for row in range(1, rows, 2):
            axes.axhspan(row - 0.5, row + 0.5, color="#F3F5F7", zorder=0)
        axes.set_yticks(
            range(rows),
            [metric.title + ("" if metric.higher_is_better else " (lower is better)") for metric in METRICS],
        )
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        figure.legend(loc="outside upper center", ncols=_columns(labels))
    return figure


def differences_figure(differences: Mapping[tuple[str, str], Mapping[str, Difference]]) -> Figure:
    """Paired differences of all metrics, one panel for each pair of classifiers."""
    pairs = list(differences)
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    labels = dict(zip(names, short_labels(names, 18), strict=True))
    with styled():
        rows = len(METRICS)
        figure = new_figure(WIDTH, 0.5 + len(pairs) * (0.55 + 0.21 * rows))
        panels = stacked(figure, len(pairs))
        for index, (pair, axes) in enumerate(zip(pairs, panels, strict=True)):
            axes.axvline(0, color="#16191D", linewidth=0.9)
            for row, metric in enumerate(METRICS):
                _whisker(axes, differences[pair][metric.key].interval, row, index)
            axes.set_yticks(range(rows), [metric.title for metric in METRICS])
            axes.set_ylim(rows - 0.5, -0.5)
            axes.set_title(f"{labels[pair[0]]} − {labels[pair[1]]}", loc="left")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
        bound = max(abs(value) for value in panels[-1].get_xlim())
        panels[-1].set_xlim(-bound, bound)
        panels[-1].set_xlabel("Difference (Brier score: negative is better)")
    return figure


def training_figure(curves: Sequence[TrainingCurve], *, loss: str) -> Figure:
    """Loss (and validation score, where recorded) of all runs over their epochs.

    Args:
        curves: at least one.
        loss: name of the loss for the axis, for example ``MSE``.
    """
    from matplotlib.ticker import MaxNLocator

    labels = short_labels([curve.name for curve in curves])
    scored = [curve for curve in curves if np.isfinite(curve.score).any()]
    with styled():
        figure = new_figure(WIDTH, 4.9 if scored else 3.1)
        panels = stacked(figure, 2 if scored else 1)
        for index, curve in enumerate(curves):
            colour = line_style(index)["color"]
            few: dict[str, Any] = {"marker": marker(index), "markersize": 3.5} if len(curve.epochs) < 25 else {}
            panels[0].plot(curve.epochs, curve.train_loss, color=colour, linestyle=(0, (2, 1.5)), linewidth=1.1)
            panels[0].plot(curve.epochs, curve.val_loss, color=colour, linestyle="-", **few)
            panels[0].plot([], [], color=colour, marker=marker(index), markersize=4, label=labels[index])
            if scored:
                panels[1].plot(curve.epochs, curve.score, color=colour, **few)
        positive = [values[np.isfinite(values)] for curve in curves for values in (curve.train_loss, curve.val_loss)]
        known = np.concatenate(positive) if positive else np.empty(0)
        if known.size and known.min() > 0 and known.max() / known.min() > 8:
            panels[0].set_yscale("log")
        panels[0].set_ylabel(f"{loss} (training dashed)")
        if scored:
            panels[1].set_ylabel(f"Validation {scored[0].score_name}")
        panels[-1].set_xlabel("Epoch")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside upper center", ncols=_columns(labels))
    return figure


def _square(count: int) -> tuple[Figure, Axes]:
    """A figure with one square panel, and room below it for the legend where there are many curves."""
    below = 0.0 if count <= _CURVES_INSIDE else 0.3 + 0.15 * count
    figure = new_figure(WIDTH * 0.8, WIDTH * 0.8 + below)
    return figure, figure.add_subplot()


def _operating_point(axes: Axes, index: int, x: np.floating[Any], y: np.floating[Any]) -> None:
    """Mark where on its curve a classifier stands at the threshold in use."""
    axes.plot(
        x, y, marker(index), color=line_style(index)["color"], markeredgecolor="white", markersize=7, clip_on=False,
        zorder=5,
    )  # fmt: skip


def _legend(figure: Figure, axes: Axes, count: int, title: str, place: Literal["lower left", "lower right"]) -> None:
    options: dict[str, Any] = {
        "title": title,
        "title_fontproperties": {"weight": "bold", "size": 8},
        "alignment": "left",
    }
    if count <= _CURVES_INSIDE:
        axes.legend(loc=place, **options)
    else:
        figure.legend(loc="outside lower center", borderpad=1, **options)


def _columns(labels: Sequence[str]) -> int:
    """How many legend entries fit beside each other."""
    return max(1, min(len(labels), 3, 66 // (8 + max(len(label) for label in labels))))


def stacked(figure: Figure, count: int) -> list[Axes]:
    """``count`` panels below each other with one shared x axis, labelled at the lowest only."""
    panels = [figure.add_subplot(count, 1, 1)]
    panels += [figure.add_subplot(count, 1, place + 1, sharex=panels[0]) for place in range(1, count)]
    for panel in panels[:-1]:
        panel.tick_params(labelbottom=False)
    return panels


def with_bounds(interval: Interval, digits: int = 3) -> str:
    """``0.912 (0.871–0.948)``, ``0.912`` without an interval, ``undefined`` without a value."""
    if not math.isfinite(interval.value):
        return "undefined"
    value = f"{interval.value:.{digits}f}"
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return value
    return f"{value} ({interval.low:.{digits}f}–{interval.high:.{digits}f})"


def _whisker(axes: Axes, interval: Interval, y: float, index: int) -> None:
    if not math.isfinite(interval.value):
        return
    colour = line_style(index)["color"]
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        axes.plot([interval.low, interval.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot(interval.value, y, marker(index), color=colour, markeredgecolor="white", markersize=6)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.set_aspect("equal")
