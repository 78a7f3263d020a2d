"""Charts of a metric: against the share of labels, and as differences to the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...evaluation.figures import WIDTH, new_figure, short_labels, shorten, styled
from .spreads import GREY, INK, Look, Spread, columns_for, offsets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Sections = Sequence[tuple[str, Sequence[Spread]]]


def fractions_figure(
    methods: Mapping[str, Mapping[float, Spread]], *, title: str, baseline: str, styles: Mapping[str, Look]
) -> Figure:
    """A metric against the share of labels: a panel for each method, every repeat a dot, mean and interval.

    In each panel the baseline's means are repeated as a thin black line.

    Args:
        methods: method -> share of the labels in (0, 1] -> what its repeats gave; at least one of each.
        title: of the metric.
        baseline: name of the method that stands in all panels; may be absent.
        styles: method -> look.
    """
    fractions = sorted({fraction for spreads in methods.values() for fraction in spreads})
    places = {fraction: place for place, fraction in enumerate(fractions)}
    columns = columns_for(len(methods))
    rows = -(-len(methods) // columns)
    labels = dict(zip(methods, short_labels(list(methods), 22 if columns > 1 else 40), strict=True))
    with styled():
        figure = new_figure(WIDTH, 0.45 + rows * (1.5 if columns > 1 else 2.6))
        first: Axes | None = None
        for number, (name, spreads) in enumerate(methods.items()):
            axes = figure.add_subplot(rows, columns, number + 1, sharex=first, sharey=first)
            first = first or axes
            if baseline in methods and name != baseline:
                known = {places[fraction]: spread.mean for fraction, spread in methods[baseline].items()}
                axes.plot(list(known), list(known.values()), color=INK, linewidth=0.8, zorder=1)
            _over_fractions(axes, {places[fraction]: spreads[fraction] for fraction in spreads}, styles[name])
            axes.set_title(labels[name], fontsize=8.5, color=GREY if styles[name].colour == GREY else INK)
            axes.label_outer()
            if number + columns >= len(methods):
                axes.tick_params(labelbottom=True)
        if first is not None:
            first.set_xticks(range(len(fractions)), [f"{100 * fraction:g}" for fraction in fractions])
            first.set_xlim(-0.45, len(fractions) - 0.55)
        figure.supxlabel("Share of the training labels (%)", fontsize=8.8)
        figure.supylabel(title, fontsize=8.8)
    return figure


def forest_figure(
    sections: Sections, *, label: str, styles: Mapping[str, Look], zero: bool, lower_is_better: bool = False
) -> Figure:
    """Methods below each other, every repeat a dot, mean and interval; a panel for each section.

    Args:
        sections: (heading, methods); panels of equal width below each other on one axis.
        label: of that axis.
        styles: method -> look.
        zero: the values are differences: a line at 0, always in view, and a filled marker only where the interval
            leaves 0 out.
        lower_is_better: turns the words at the ends of a difference's axis.
    """
    count = sum(len(spreads) for _, spreads in sections)
    with styled():
        figure = new_figure(WIDTH, 0.7 + 0.28 * len(sections) + 0.26 * count)
        grid = figure.add_gridspec(len(sections), 1, height_ratios=[len(spreads) + 0.4 for _, spreads in sections])
        panels: list[Axes] = []
        for place, (heading, spreads) in enumerate(sections):
            axes = figure.add_subplot(grid[place], sharex=panels[0] if panels else None)
            panels.append(axes)
            if zero:
                axes.axvline(0, color=INK, linewidth=0.9, zorder=1)
            for row, spread in enumerate(spreads):
                _across(axes, row, spread, styles[spread.name], zero=zero)
            axes.set_yticks(range(len(spreads)), short_labels([spread.name for spread in spreads], 22))
            for text, spread in zip(axes.get_yticklabels(), spreads, strict=True):
                text.set_color(GREY if spread.control else INK)
            axes.set_ylim(len(spreads) - 0.4, -0.6)
            axes.set_title(shorten(heading, 60), loc="left")
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            if place + 1 < len(sections):
                axes.tick_params(labelbottom=False)
        if zero:
            low, high = panels[-1].get_xlim()
            aside = 0.1 * (high - low)
            panels[-1].set_xlim(min(low, -aside), max(high, aside))
            ends = ("better  ←  ", "  →  worse") if lower_is_better else ("worse  ←  ", "  →  better")
            label = f"{ends[0]}{label}{ends[1]}"
        panels[-1].set_xlabel(label)
    return figure


def _over_fractions(axes: Axes, spreads: Mapping[int, Spread], look: Look) -> None:
    ordered = sorted(spreads)
    means = [spreads[place].mean for place in ordered]
    axes.plot(ordered, means, color=look.colour, linestyle=look.dashes, linewidth=1.3, zorder=2)
    for place in ordered:
        spread = spreads[place]
        axes.plot(
            place + offsets(len(spread.values), 0.22), spread.values, ".", color=look.colour, markersize=4.5,
            alpha=0.45, markeredgewidth=0, zorder=3,
        )  # fmt: skip
        if spread.has_interval:
            axes.plot([place, place], [spread.low, spread.high], color=look.colour, linewidth=1.8, zorder=4)
        axes.plot(place, spread.mean, look.marker, color=look.colour, markeredgecolor="white", markersize=5.5, zorder=5)


def _across(axes: Axes, row: int, spread: Spread, look: Look, *, zero: bool) -> None:
    # Dots above their interval: neither hides the other.
    axes.plot(
        spread.values, row - 0.2 + offsets(len(spread.values), 0.12), ".", color=look.colour, markersize=4.5, alpha=0.5,
        markeredgewidth=0, zorder=2,
    )  # fmt: skip
    if not math.isfinite(spread.mean):
        return
    y = row + 0.14
    if spread.has_interval:
        axes.plot([spread.low, spread.high], [y, y], color=look.colour, linestyle=look.dashes, linewidth=1.6, zorder=3)
    certain = not zero or spread.leaves_zero_out
    axes.plot(
        spread.mean, y, look.marker, color=look.colour, markersize=6, zorder=4,
        markerfacecolor=look.colour if certain else "white", markeredgecolor="white" if certain else look.colour,
    )  # fmt: skip
