"""What repeats gave, as charts take it: plain numbers, with no statistics of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...evaluation.figures import line_style, marker
from ...evaluation.metrics import FloatArray

GREY, INK = "#6B7480", "#16191D"
_CONTROL_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Spread:
    """One method at one place: the values of its repeats, and what was concluded of them.

    Attributes:
        name: of the method.
        values: float64 (R,), one for each repeat, NaN where undefined; in the order of ``repeats`` where that matters.
        low, high: ends of the interval of the mean; NaN where there is none.
        control: drawn apart, in grey and dashed.
    """

    name: str
    values: FloatArray
    low: float = math.nan
    high: float = math.nan
    control: bool = False

    @property
    def mean(self) -> float:
        """Of the defined values; NaN if there are none."""
        known = self.values[np.isfinite(self.values)]
        return float(known.mean()) if known.size else math.nan

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def leaves_zero_out(self) -> bool:
        """Of a difference: whether its interval says that there is one."""
        return self.has_interval and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Look:
    """How a method is drawn in all charts of an experiment."""

    colour: str
    marker: str
    dashes: Any = "-"


def looks(names: Sequence[str], controls: Sequence[str], baseline: str = "") -> dict[str, Look]:
    """A look for each of ``names``: own colours and markers; black for the baseline; grey and dashed for controls."""
    found: dict[str, Look] = {}
    coloured = grey = 0
    for name in names:
        if name in controls:
            found[name] = Look(GREY, _CONTROL_MARKERS[grey % len(_CONTROL_MARKERS)], (0, (3, 1.5)))
            grey += 1
        elif name == baseline:
            found[name] = Look(INK, "o")
        else:
            # Six colours: black, the seventh, is the baseline's.
            found[name] = Look(str(line_style(coloured % 6)["color"]), marker(coloured + 1))
            coloured += 1
    return found


def columns_for(panels: int) -> int:
    """How many panels stand side by side: at most three, no lonely one where that can be helped."""
    return 2 if panels in (2, 4) else min(3, panels)


def offsets(count: int, reach: float) -> FloatArray:
    """Where the dots of ``count`` repeats lie beside their middle: always the same place for the same repeat."""
    return np.zeros(1) if count == 1 else np.linspace(-reach, reach, count)


def spoken(spread: Spread, *, signed: bool = False) -> str:
    """``PLR-P 0.812 (0.790 to 0.834)``."""
    if not math.isfinite(spread.mean):
        return f"{spread.name} undefined"
    form = "+.3f" if signed else ".3f"
    interval = f" ({spread.low:{form}} to {spread.high:{form}})" if spread.has_interval else ""
    return f"{spread.name} {spread.mean:{form}}{interval}".replace("-0.", "−0.")
