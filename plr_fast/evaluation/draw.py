"""Draws all figures of an evaluation, each with its caption and text alternative."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .bootstrap import Comparison, GroupBootstrap, Interval
from .figures import FigureEntry, listing, save
from .figures_curves import (
    TrainingCurve,
    confusion_figure,
    differences_figure,
    intervals_figure,
    precision_recall_figure,
    roc_figure,
    training_figure,
)
from .figures_pictures import (
    DIFFERENCE_RANGE,
    ErrorExample,
    Grey,
    RealExample,
    RestoredExample,
    errors_figure,
    generation_figure,
    real_figure,
    restoration_figure,
)
from .metrics import BoolArray, Confusion, FloatArray, IntArray
from .report_tables import shown_pairs
from .restoration import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Album:
    """Collects the figures of an evaluation while they are written below ``folder``/figures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[FigureEntry] = []

    def add(
        self, name: str, figure: Figure, *, section: str, title: str, caption: str, alt: str, narrow: bool = False
    ) -> None:
        """Write ``figure`` as figures/``name``.png and remember its words."""
        file = f"figures/{file_name(name)}.png"
        taken = {entry.file for entry in self.entries}
        copy = 2
        while file in taken:
            file = f"figures/{file_name(name)}-{copy}.png"
            copy += 1
        save(figure, self.folder / file)
        self.entries.append(FigureEntry(file, section, title, caption, alt, narrow))


def draw_performance(
    album: Album,
    labels: IntArray,
    scores: Mapping[str, FloatArray],
    comparison: Comparison,
    confusions: Mapping[str, Confusion],
    bootstrap: GroupBootstrap,
    class_names: tuple[str, str],
    thresholds: Mapping[str, float],
) -> None:
    """Intervals, differences, confusion matrices, ROC and precision-recall curves."""
    negative, positive = class_names
    names = list(scores)
    percent = f"{bootstrap.confidence:.0%}"
    album.add(
        "intervals",
        intervals_figure(comparison.intervals),
        section="performance",
        title="All metrics with their intervals",
        caption=f"Points: the whole split. Lines: {percent} bootstrap intervals by group.",
        alt="Dot plot of all metrics. " + _spoken(names, comparison, ("accuracy", "auroc", "paper_auc")),
    )
    if comparison.differences:
        chosen = {pair: comparison.differences[pair] for pair in shown_pairs(comparison.differences)}
        album.add(
            "differences",
            differences_figure(chosen),
            section="differences",
            title="Paired differences with their intervals",
            caption=f"Lines: {percent} paired bootstrap intervals. A line that does not touch 0 is a difference that "
            "this test set shows; a point without a line says nothing, as all resamples were alike.",
            alt="Dot plot of the paired differences of all metrics. "
            + " ".join(
                f"Accuracy, {first} minus {second}: {_number(values['accuracy'].interval, signed=True)}."
                for (first, second), values in chosen.items()
            ),
        )
    for name, counts in confusions.items():
        album.add(
            f"confusion-{name}",
            confusion_figure(name, counts, class_names, thresholds[name]),
            section="confusion",
            title=name,
            caption="Slices by true and called class; per cent of the true class.",
            alt=f"Confusion matrix of {name}: of {counts.tn + counts.fp} {negative} slices {counts.tn} were called "
            f"{negative} and {counts.fp} {positive}; of {counts.tp + counts.fn} {positive} slices {counts.tp} were "
            f"called {positive} and {counts.fn} {negative}.",
            narrow=True,
        )
    if len(np.unique(labels)) < 2:
        return
    marker = f"The marker on each curve is the threshold: {_listed(thresholds)}."
    auroc = {name: comparison.intervals[name]["auroc"] for name in names}
    album.add(
        "roc",
        roc_figure(labels, scores, auroc, thresholds),
        section="curves",
        title="ROC curves",
        caption=f"In brackets the {percent} interval of the area. {marker}",
        alt="ROC curves. Area under the curve: " + _values(auroc),
        narrow=True,
    )
    average = {name: comparison.intervals[name]["average_precision"] for name in names}
    album.add(
        "precision-recall",
        precision_recall_figure(labels, scores, average, thresholds),
        section="curves",
        title="Precision-recall curves",
        caption=f"In brackets the {percent} interval of the average precision. {marker}",
        alt="Precision-recall curves. Average precision: " + _values(average),
        narrow=True,
    )


def _listed(thresholds: Mapping[str, float]) -> str:
    """One number where all are alike, else each with its classifier's name."""
    if len(set(thresholds.values())) == 1:
        return f"{next(iter(thresholds.values())):.4g}"
    return ", ".join(f"{name} {value:.4g}" for name, value in thresholds.items())


def draw_errors(
    album: Album,
    errors: Mapping[str, tuple[Sequence[ErrorExample], Sequence[ErrorExample]]],
    class_names: tuple[str, str],
) -> None:
    """The gallery of each classifier's surest errors; nothing for one that made none."""
    for name, (missed, false_alarms) in errors.items():
        if missed or false_alarms:
            album.add(
                f"errors-{name}",
                errors_figure(name, missed, false_alarms),
                section="pictures",
                title=f"Surest errors of {name}",
                caption="The wrongly called slices with the most extreme scores (probability of the positive class): "
                "a place to look for wrong labels, poor pictures and shortcuts.",
                alt=f"Slices that {name} called wrongly with most confidence: {len(missed)} {class_names[1]} slices "
                f"called {class_names[0]} and {len(false_alarms)} {class_names[0]} slices called {class_names[1]}.",
            )


def draw_generation(
    album: Album,
    noise: Sequence[Grey],
    patches: Sequence[Grey],
    corrupted: Picture,
    mask: BoolArray | None = None,
    *,
    about: str = "",
) -> None:
    """Figure 5 of the paper; ``about`` ends its title, the other pictures are those of :func:`generation_figure`."""
    outline = ", outlined" if mask is not None else ""
    album.add(
        f"fig05-pseudo-lesions-{about}",
        generation_figure(noise, patches, corrupted, mask),
        section="pictures",
        title=_about("How a pseudo COVID-19 slice is made (the paper's figure 5)", about),
        caption="(a) Perlin octave noise; (b) patches cut from such noise and kept for their brightness, to scale "
        f"with each other; (c) a normal slice of the test set with patches pasted into its lungs{outline}.",
        alt="Three panels: four cloudy noise images, a grid of small bright cloudy patches of different sizes, and a "
        f"chest CT slice with such patches inside the lungs{outline}.",
    )


def draw_restorations(album: Album, figures: Sequence[Sequence[RestoredExample]], *, about: str = "") -> None:
    """Figure 8 of the paper, one figure for each slice (or for the slices of a single restorer)."""
    for place, rows in enumerate(figures, start=1):
        slices = listing(list(dict.fromkeys(row.slice_id for row in rows)))
        album.add(
            f"fig08-restoration-{place}",
            restoration_figure(rows),
            section="pictures",
            title=_about("Restoration of corrupted slices (the paper's figure 8)", about)
            + (f", slice {place} of {len(figures)}" if len(figures) > 1 else ""),
            caption="The last column is what is still wrong: red is too bright, blue too dark, white is right; the "
            f"scale ends at ±{DIFFERENCE_RANGE:g} of the full grey range. Chosen by place in the store, not by result: "
            f"{slices}.",
            alt=f"{len(rows)} rows of four pictures: a normal slice, the same corrupted, the restored picture, and "
            f"the error that remains. Rows: {listing([row.label for row in rows])}.",
        )


def draw_real(album: Album, examples: Sequence[RealExample], class_name: str, *, about: str = "") -> None:
    """Figure 10 of the paper: one figure for each slice where there are several restorers, else one for all."""
    groups = [list(examples)] if examples and len(examples[0].restored) == 1 else [[example] for example in examples]
    for place, members in enumerate(groups, start=1):
        names = list(members[0].restored)
        layout = (
            "From the left: the slice, what the restorer makes of it, and what it changed, with the lungs' outline"
            if len(names) == 1
            else "Above: the slice and what each restorer makes of it. Below: the lungs' outline, and what was changed"
        )
        album.add(
            f"fig10-real-{place}",
            real_figure(members, class_name),
            section="pictures",
            title=_about(f"Restoration of real {class_name} slices (the paper's figure 10)", about)
            + (f", slice {place} of {len(groups)}" if len(groups) > 1 else ""),
            caption=f"{layout}: blue is darkened (dense tissue taken away), red is brightened. Slices were chosen by "
            "group, not by result.",
            alt=f"{_count(len(members))} of class {class_name}: the slice, the picture restored by {listing(names)}, "
            "and maps of what each restorer darkened or brightened, with the outline of the lungs.",
        )


def draw_training(album: Album, curves: Sequence[TrainingCurve], *, kind: str) -> None:
    """Training curves of all restorers or of all classifiers."""
    if not curves:
        return
    loss, task = ("MSE", "Pretraining") if kind == "restorer" else ("Cross-entropy", "Fine-tuning")
    weighted = [curve.name for curve in curves if curve.weighted]
    if weighted:
        loss = "Loss"
    spoken = " ".join(f"{curve.name}: {len(curve.epochs)} epochs{_best(curve)}." for curve in curves)
    scored = any(np.isfinite(curve.score).any() for curve in curves)
    below = f" Below: validation {curves[0].score_name}." if scored else ""
    others = ", of the others the MSE" if len(weighted) < len(curves) else ""
    sums = f" Of {listing(weighted)} it is the weighted sum over all tasks{others}." if weighted else ""
    album.add(
        f"training-{kind}s",
        training_figure(curves, loss=loss),
        section="training",
        title=task,
        caption=f"Dashed: training loss; solid: validation loss.{sums}{below}",
        alt=f"{task} curves. {spoken}",
    )


def _about(title: str, about: str) -> str:
    return f"{title}: {about}" if about else title


def file_name(name: str) -> str:
    """``name`` with everything but letters, digits, dots and dashes replaced, safe on every file system; ``PLR+`` is
    not ``PLR``."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name.replace("+", "plus")).strip("-.") or "figure"


def _count(number: int) -> str:
    return "A real slice" if number == 1 else f"{number} real slices"


def _best(curve: TrainingCurve) -> str:
    known = curve.val_loss[np.isfinite(curve.val_loss)]
    return f", lowest validation loss {known.min():.4g}" if known.size else ""


def _number(interval: Interval, *, signed: bool = False) -> str:
    if not math.isfinite(interval.value):
        return "undefined"
    form = "+.3f" if signed else ".3f"
    bounds = f" ({interval.low:{form}} to {interval.high:{form}})" if math.isfinite(interval.low) else ""
    return f"{interval.value:{form}}{bounds}"


def _values(intervals: Mapping[str, Interval]) -> str:
    return "; ".join(f"{name} {_number(interval)}" for name, interval in intervals.items()) + "."


def _spoken(names: Sequence[str], comparison: Comparison, keys: Sequence[str]) -> str:
    return " ".join(
        f"{name}: "
        + ", ".join(f"{key.replace('_', ' ')} {_number(comparison.intervals[name][key])}" for key in keys)
        + "."
        for name in names
    )
