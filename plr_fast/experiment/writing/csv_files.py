"""CSV: tables with unrounded numbers, and tidy files of every cell, pair and reliability curve."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...files import write_text
from ..evidence.resampled import MEASURES
from ..evidence.significance import all_pairs
from ..evidence.statistics import DatasetStatistics, experiment_statistics
from ..results import Results
from ..table import Table


def table_csv(table: Table) -> str:
    """A table as CSV: ``section``, ``kind``, then each column by its key; numbers unrounded, empty where there is none,
    with ``KEY_low`` and ``KEY_high`` after a column that has intervals, and ``KEY_note`` after one that says why a
    number is missing."""
    head, pick = ["section", "kind"], []
    for place, column in enumerate(table.columns):
        entries = [row.entries[place] for row in table.rows]
        head.append(column.key)
        pick.append((place, "value" if column.numeric else "text"))
        if any(entry.low is not None for entry in entries):
            head += [f"{column.key}_low", f"{column.key}_high"]
            pick += [(place, "low"), (place, "high")]
        if any(entry.note and entry.low is None for entry in entries):
            head.append(f"{column.key}_note")
            pick.append((place, "note"))
    rows = []
    for row in table.rows:
        values = [
            "" if name == "note" and row.entries[place].low is not None else getattr(row.entries[place], name)
            for place, name in pick
        ]
        rows.append([row.section, row.kind, *values])
    return _text(head, rows)


def write_data(results: Results, folder: Path, statistics: Mapping[str, DatasetStatistics] | None = None) -> list[Path]:
    """Write ``cells.csv`` (every cell with all measures), ``pairs.csv`` (paired differences of all methods in all
    measures) and ``reliability.csv`` (curves, repeats pooled), and return their paths.

    Raises:
        DataError: see :class:`~plr_fast.experiment.evidence.statistics.DatasetStatistics`.
        StorageError: writing failed.
    """
    found = statistics or experiment_statistics(results)
    texts = {
        "cells.csv": _cells(results, found),
        "pairs.csv": _pairs(found.values()),
        "reliability.csv": _reliability(found.values()),
    }
    paths = []
    for name, text in texts.items():
        write_text(folder / name, text)
        paths.append(folder / name)
    return paths


def _cells(results: Results, statistics: Mapping[str, DatasetStatistics]) -> str:
    kinds = {method.name: method.kind for method in results.plan.methods}
    head = ["dataset", "method", "kind", "fraction", "repeat", "train_slices", "train_groups"]
    head += ["test_slices", "test_groups", "test_positives", "threshold"]
    head += [measure.key for measure in MEASURES]
    head += ["seconds", "pretrain_seconds", "settings_sha256", "split_sha256"]
    rows = []
    for cell in results.cells:
        key, points = cell.key, statistics[cell.key.dataset].points(cell)
        rows.append(
            [
                *(key.dataset, key.method, kinds[key.method], key.fraction, key.repeat),
                *(cell.train_slices, cell.train_groups, len(cell.labels), len(np.unique(cell.groups))),
                *(int(cell.labels.sum()), cell.threshold),
                *(points[measure.key].value for measure in MEASURES),
                *(cell.seconds, cell.facts.get("pretrain_seconds"), cell.settings_sha256),
                cell.facts.get("split_sha256"),
            ]
        )
    return _text(head, rows)


def _pairs(statistics: Iterable[DatasetStatistics]) -> str:
    head = ["dataset", "fraction", "measure", "first", "second", "difference", "sd", "repeats", "planned"]
    head += ["low", "high", "p", "p_holm", "interval_by", "bootstrap_low", "bootstrap_high", "bootstrap_p"]
    head += ["wins", "ties", "losses", "note"]
    rows = [
        [
            *(one.info.name, pair.fraction, measure.key, pair.first, pair.second, pair.mean, pair.sd),
            *(len(pair.values), pair.planned, pair.low, pair.high, pair.p, pair.p_holm, pair.method),
            *(pair.bootstrap_low, pair.bootstrap_high, pair.bootstrap_p),
            *(pair.wins, pair.ties, pair.losses, pair.reason),
        ]
        for one in statistics
        for measure in MEASURES
        for pair in all_pairs(one, measure.key)
    ]
    return _text(head, rows)


def _reliability(statistics: Iterable[DatasetStatistics]) -> str:
    head = ["dataset", "fraction", "method", "repeats", "bin", "mean_score", "observed", "low", "high", "slices"]
    rows = []
    for one in statistics:
        for fraction in one.fractions:
            for method in one.methods(fraction):
                curve = one.reliability(method, fraction)
                if curve is None:
                    continue
                columns = (curve.mean_score, curve.observed, curve.low, curve.high, curve.slices)
                for place, values in enumerate(zip(*(column.tolist() for column in columns), strict=True), start=1):
                    rows.append([one.info.name, fraction, method, curve.repeats, place, *values])
    return _text(head, rows)


def _text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_field(value) for value in row] for row in rows)
    return text.getvalue()


def _field(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)  # NumPy's own repr names its type
