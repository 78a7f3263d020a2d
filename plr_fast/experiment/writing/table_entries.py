"""Numbers as they stand in tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ...evaluation.report_tables import number
from ..evidence.significance import PairedDifference
from ..evidence.statistics import Summary
from ..table import Column, Entry, Row

DASH = "–"


def text_entry(text: str, note: str = "") -> Entry:
    """Words, without a number behind them."""
    return Entry(text, note=note)


def value_entry(value: float, *, digits: int = 3, note: str = "") -> Entry:
    """A number alone; a dash where it is NaN."""
    return Entry(number(value, digits), value, note=note) if math.isfinite(value) else Entry(DASH, note=note)


def interval_text(low: float, high: float, *, signed: bool = False) -> str:
    """``0.851 to 0.893``; empty where there is no interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{number(low, signed=signed)} to {number(high, signed=signed)}"


def repeats_text(done: int, planned: int) -> str:
    """``10``, or ``7 of 10`` where some are missing."""
    return str(done) if done == planned else f"{done} of {planned}"


def repeats_entry(done: int, planned: int) -> Entry:
    """How many repeats stand behind a row."""
    return Entry(repeats_text(done, planned), float(done))


def summary_entry(summary: Summary) -> Entry:
    """``0.873 ± 0.021`` with the interval of the mean below, and why there are fewer values than repeats."""
    if summary.repeats == 0:
        return Entry(DASH, note=summary.reason or "")
    text = number(summary.mean) + (f" ± {number(summary.sd)}" if math.isfinite(summary.sd) else "")
    low, high = summary.low, summary.high
    around = interval_text(low, high)
    if around and math.isclose(low, high, abs_tol=1e-12):  # tells nothing of the uncertainty of the mean
        low, high, around = math.nan, math.nan, "no interval: all resamples alike"
    notes = [around, _gap(summary)]
    return Entry(text, summary.mean, *_ends(low, high), note="; ".join(note for note in notes if note))


def best_entry(summary: Summary) -> Entry:
    """The best of the repeats."""
    return value_entry(summary.best, note=_gap(summary)) if summary.repeats else Entry(DASH, note=summary.reason or "")


def mean_entry(summary: Summary) -> Entry:
    """The mean of the repeats."""
    return value_entry(summary.mean, note=_gap(summary)) if summary.repeats else Entry(DASH, note=summary.reason or "")


def difference_entry(difference: PairedDifference) -> Entry:
    """``+0.021`` with its interval below, marked where that leaves out 0; or why nothing can be said."""
    if not math.isfinite(difference.mean):
        return Entry(DASH, note=difference.reason or "")
    return Entry(
        number(difference.mean, signed=True),
        difference.mean,
        *_ends(difference.low, difference.high),
        note=difference.reason or interval_text(difference.low, difference.high, signed=True),
        mark=difference.verdict,
    )


def bootstrap_entry(difference: PairedDifference) -> Entry:
    """The bootstrap's interval of the same difference."""
    low, high = difference.bootstrap_low, difference.bootstrap_high
    text = interval_text(low, high, signed=True)
    return Entry(text, difference.mean, low, high) if text else Entry(DASH)


def wins_entry(difference: PairedDifference) -> Entry:
    """``7 / 1 / 2``: repeats won, tied and lost."""
    if not difference.values:
        return Entry(DASH)
    return Entry(f"{difference.wins} / {difference.ties} / {difference.losses}", float(difference.wins))


def p_entry(p: float) -> Entry:
    """A p-value."""
    if not math.isfinite(p):
        return Entry(DASH)
    return Entry("< 0.001" if p < 0.001 else f"{p:.3f}", p)


def mark_best(columns: Sequence[Column], rows: Sequence[Row], eligible: Sequence[bool]) -> list[Row]:
    """The rows with the best value of each column marked among those that are eligible (two at least), ties all."""
    entries = [list(row.entries) for row in rows]
    for place, column in enumerate(columns):
        if column.higher_is_better is None:
            continue
        found = [
            (entries[index][place].value, index)
            for index in range(len(rows))
            if eligible[index] and entries[index][place].value is not None
        ]
        values = [value for value, _ in found if value is not None]
        if len(values) < 2:
            continue
        best = max(values) if column.higher_is_better else min(values)
        for value, index in found:
            if value == best:
                entries[index][place] = replace(entries[index][place], mark="best")
    return [replace(row, entries=tuple(entries[index])) for index, row in enumerate(rows)]


def _ends(low: float, high: float) -> tuple[float | None, float | None]:
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def _gap(summary: Summary) -> str:
    if summary.repeats == summary.judged:
        return ""
    return f"in {summary.repeats} of {summary.judged} repeats: {summary.reason}"
