"""Figure 11: how the number of lesions in a slice (P) and of pseudo slices in an epoch (M) act on the result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from ...evaluation.figures import WIDTH, line_style, marker, new_figure, styled
from ...evaluation.metrics import FloatArray
from ..results import Plan
from .spreads import offsets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STUDIED = ("count", "samples_per_epoch")
_LEAST_POINTS = 3


@dataclass(frozen=True)
class Setting:
    """One point of the study.

    Attributes:
        lesions: P, most pseudo lesions in a slice.
        slices: M, pseudo slices in an epoch.
        values: float64 (R,), the metric of each repeat.
    """

    lesions: int
    slices: int
    values: FloatArray

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Standard deviation over repeats; NaN with one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else float("nan")


def methods_by_setting(plan: Plan) -> dict[str, tuple[int, int]]:
    """Method -> (P, M) of the study in an experiment: methods that differ in these two alone, at least three of them.

    Empty where there is none. ``plan.config`` holds the resolved settings of each method.
    """
    try:
        content = yaml.safe_load(plan.config)
    except yaml.YAMLError:
        return {}
    methods = content.get("methods") if isinstance(content, dict) else None
    groups: dict[str, dict[str, tuple[int, int]]] = {}
    for method in methods if isinstance(methods, list) else []:
        settings = method.get("pretrain") if isinstance(method, dict) else None
        if not isinstance(settings, dict) or (point := _point(settings)) is None:
            continue
        rest = {name: value for name, value in settings.items() if name not in _STUDIED}
        alike = json.dumps([rest, method.get("finetune")], sort_keys=True, default=str)
        groups.setdefault(alike, {})[str(method.get("name"))] = point
    largest = max(groups.values(), key=len, default={})
    return largest if len(set(largest.values())) >= _LEAST_POINTS else {}


def _point(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    count, slices = settings.get("count"), settings.get("samples_per_epoch")
    lesions = count[-1] if isinstance(count, list) and count else count
    return (lesions, slices) if isinstance(lesions, int) and isinstance(slices, int) else None


def p_by_m_figure(settings: Sequence[Setting], *, title: str) -> Figure:
    """The metric over P, a line for each M; every repeat a dot, whiskers of one standard deviation.

    Args:
        settings: at least one; each (P, M) once.
        title: of the metric.
    """
    numbers = sorted({one.lesions for one in settings})
    places = {lesions: place for place, lesions in enumerate(numbers)}
    sizes = sorted({one.slices for one in settings})
    shifts = offsets(len(sizes), 0.12 * (len(sizes) - 1))
    with styled():
        figure = new_figure(WIDTH, 3.3)
        axes = figure.add_subplot()
        for index, (size, shift) in enumerate(zip(sizes, shifts, strict=True)):
            line = sorted((one for one in settings if one.slices == size), key=lambda one: one.lesions)
            style = line_style(index)
            x = [places[one.lesions] + shift for one in line]
            axes.plot(x, [one.mean for one in line], **style, linewidth=1.3, zorder=2)
            for at, one in zip(x, line, strict=True):
                axes.plot(
                    at + offsets(len(one.values), 0.06), one.values, ".", color=style["color"], alpha=0.45,
                    markersize=5, markeredgewidth=0, zorder=3,
                )  # fmt: skip
                if len(one.values) > 1:
                    axes.errorbar(at, one.mean, one.deviation, color=style["color"], capsize=3, linewidth=1.4, zorder=4)
                axes.plot(
                    at, one.mean, marker(index), color=style["color"], markeredgecolor="white", markersize=6.5, zorder=5
                )
            axes.plot([], [], marker=marker(index), **style, label=f"M = {size:,}")
        axes.set_xticks(range(len(numbers)), [str(lesions) for lesions in numbers])
        axes.set_xlim(-0.5, len(numbers) - 0.5)
        axes.set(xlabel="P: pseudo lesions in a slice", ylabel=title)
        figure.legend(loc="outside upper center", ncols=min(4, len(sizes)))
    return figure
