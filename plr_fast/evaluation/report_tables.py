"""Results as the tables of the report: plain dictionaries that the template prints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .bootstrap import Difference, Interval
from .facts import SPLITS, StoreFacts
from .metrics import METRICS
from .restoration import IDENTICAL, MEASURES, REGION_TITLES, REGIONS, RestorationResult

Cell = dict[str, Any]
Table = dict[str, Any]

# Digits and scale of each measure in tables: MSE in thousandths, which keeps three columns within a phone's width.
_SHOWN_AS: Mapping[str, tuple[int, float]] = {"mse": (2, 1000.0), "psnr": (2, 1.0), "ssim": (3, 1.0)}

# More pairs than this make a table nobody can read: then only differences against the first classifier are shown.
_MAX_PAIRS = 3


def number(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """A number with a real minus sign; one that would round to 0 in scientific notation."""
    if value != 0 and abs(value) < 0.5 * 10.0**-digits:
        text = f"{value:+.1e}" if signed else f"{value:.1e}"
    else:
        text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "−")


def interval_cell(
    interval: Interval, digits: int = 3, *, scale: float = 1.0, signed: bool = False, mark: bool = False
) -> Cell:
    """A value with its bounds below it, or a dash with the reason why there is none.

    Args:
        scale: factor on what is shown, for small quantities.
        mark: it is a difference: highlight an interval that leaves out 0, and say so in words; never one without width,
            in which all resamples were alike.
    """
    if not math.isfinite(interval.value):
        identical = interval.reason == IDENTICAL
        text, note = ("∞", "identical") if identical else ("–", interval.reason or "undefined")
        if identical and mark:
            text, note = "–", "baseline is identical"
        return {"text": text, "bounds": "", "note": note, "marked": False}
    value = number(interval.value * scale, digits, signed=signed)
    cell: Cell = {"text": value, "bounds": "", "note": "", "marked": False}
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        low, high = (number(end * scale, digits, signed=signed) for end in (interval.low, interval.high))
        cell["bounds"] = f"{low} to {high}"
        if mark and interval.has_no_width:
            cell["note"] = "interval without width"
        elif mark and (interval.low > 0 or interval.high < 0):
            cell["marked"], cell["note"] = True, "excludes 0"
    if interval.undefined:
        cell["note"] = f"undefined in {interval.undefined:.0%} of resamples"
    return cell


def performance_table(intervals: Mapping[str, Mapping[str, Interval]], confidence: float) -> Table:
    """Metrics down, classifiers across: stays narrow enough for a phone."""
    names = list(intervals)
    rows = [
        {
            "title": metric.title + ("" if metric.higher_is_better else " (lower is better)"),
            "cells": [interval_cell(intervals[name][metric.key]) for name in names],
        }
        for metric in METRICS
    ]
    return {
        "id": "table-performance",
        "title": "Metrics of each classifier",
        "note": f"Below each value its {confidence:.0%} bootstrap interval.",
        "head": ["Metric", *names],
        "numeric": True,
        "groups": [{"title": "", "rows": rows}],
    }


def shown_pairs(differences: Mapping[tuple[str, str], object]) -> list[tuple[str, str]]:
    """All pairs where they are few, otherwise those against the first classifier."""
    everything = list(differences)
    if len(everything) <= _MAX_PAIRS:
        return everything
    base = everything[0][1]
    return [pair for pair in everything if pair[1] == base]


def differences_table(differences: Mapping[tuple[str, str], Mapping[str, Difference]], confidence: float) -> Table:
    """Paired differences, metrics down, pairs across."""
    chosen = shown_pairs(differences)
    rows = [
        {
            "title": metric.title + ("" if metric.higher_is_better else " (negative is better)"),
            "cells": [interval_cell(differences[pair][metric.key].interval, signed=True, mark=True) for pair in chosen],
        }
        for metric in METRICS
    ]
    return {
        "id": "table-differences",
        "title": "Differences between classifiers on the same slices",
        "note": f"Below each value its {confidence:.0%} paired bootstrap interval, not corrected for many comparisons.",
        "head": ["Metric", *(f"{first} − {second}" for first, second in chosen)],
        "numeric": True,
        "groups": [{"title": "", "rows": rows}],
    }


def restoration_table(results: Sequence[RestorationResult], number_of: int, about: str) -> Table:
    """All restorers on one test set, with the corrupted pictures themselves as the baseline of each region."""

    def cells(values: Mapping[str, Interval], *, change: bool = False) -> list[Cell]:
        return [
            interval_cell(values[measure], digits, scale=scale, signed=change, mark=change)
            for measure, (digits, scale) in _SHOWN_AS.items()
        ]

    groups = []
    for region in REGIONS:
        first = results[0].summary[region]
        corrupted = {measure: first[measure]["corrupted"] for measure in MEASURES}
        rows: list[dict[str, Any]] = [{"title": "corrupted (baseline)", "baseline": True, "cells": cells(corrupted)}]
        for result in results:
            restored = {measure: result.summary[region][measure]["restored"] for measure in MEASURES}
            change = {measure: result.gains[region][measure].interval for measure in MEASURES}
            foreign = "" if result.own else " (trained for another corruption)"
            rows.append({"title": result.restorer + foreign, "cells": cells(restored)})
            rows.append({"title": "its change", "cells": cells(change, change=True)})
        groups.append({"title": REGION_TITLES[region].capitalize(), "rows": rows})
    return {
        "id": f"table-restoration-{number_of}",
        "title": f"Restoration test “{results[0].test_set}”",
        "note": about,
        "head": ["Picture", "MSE × 1000", "PSNR (dB)", "SSIM"],
        "numeric": True,
        "groups": groups,
    }


def data_table(facts: StoreFacts, split: str) -> Table:
    """Slices and groups by split and class."""
    names = {0: facts.class_names[0], 1: facts.class_names[1], -1: "unlabelled"}
    by_key = {(count.split, count.label): count for count in facts.counts}
    rows = []
    for name in SPLITS:
        for label in (0, 1, -1):
            count = by_key.get((name, label))
            if count is not None:
                mark = " (evaluated here)" if name == split else ""
                cells = [{"text": names[label]}, {"text": f"{count.slices:,}"}, {"text": f"{count.groups:,}"}]
                rows.append({"title": name + mark, "cells": cells})
    return {
        "id": "table-data",
        "title": "Slices and groups by split and class",
        "note": "A group (patient, or contiguous block where patients are unknown) is never parted by a split.",
        "head": ["Split", "Class", "Slices", "Groups"],
        "numeric": False,
        "groups": [{"title": "", "rows": rows}],
    }


def facts_table(identifier: str, title: str, values: Mapping[str, object], head: tuple[str, str]) -> Table:
    """Two columns: name and value."""
    rows = [{"title": key, "cells": [{"text": plain(value)}]} for key, value in values.items()]
    return {
        "id": identifier,
        "title": title,
        "note": "",
        "head": list(head),
        "numeric": False,
        "groups": [{"title": "", "rows": rows}],
    }


def runs_table(rows: Sequence[tuple[str, Mapping[str, object]]]) -> Table:
    """One row for each run, with what its configuration says."""
    return {
        "id": "table-runs",
        "title": "Runs",
        "note": "From the config.json of each run folder.",
        "head": ["Run", "Settings"],
        "numeric": False,
        "groups": [
            {
                "title": "",
                "rows": [
                    {
                        "title": name,
                        "cells": [{"text": "; ".join(f"{key} {plain(item)}" for key, item in values.items())}],
                    }
                    for name, values in rows
                ],
            }
        ],
    }


def plain(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items()) or "–"
    return str(value)
