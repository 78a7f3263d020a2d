"""A :class:`~plr_fast.experiment.table.Table` as its template wants it, and small tables of facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ...evaluation.report_tables import plain
from ..table import Column, Entry, Row, Table

_WIDE = 9  # columns from which on print is made smaller
_KIND_WORDS = {"result": "", "control": "control", "paper": "paper’s figure"}
_MARK_WORDS = {"": "", "best": "", "better": "better", "worse": "worse"}


def check_keys(tables: Sequence[Table]) -> None:
    """Keys become anchors of the page.

    Raises:
        ValueError: one is not ``[a-z0-9-]+``, or stands twice.
    """
    seen: set[str] = set()
    for table in tables:
        if not re.fullmatch(r"[a-z0-9-]+", table.key):
            raise ValueError(f"table key {table.key!r} must be made of a-z, 0-9 and hyphens")
        if table.key in seen:
            raise ValueError(f"two tables have the key {table.key!r}")
        seen.add(table.key)


def parts(table: Table) -> dict[str, Any]:
    """Heads (two lines of them where columns have groups), sections of rows, notes and a legend of the marks."""
    grouped = any(column.group for column in table.columns)
    marks = {entry.mark for row in table.rows for entry in row.entries}
    legend = []
    if "best" in marks:
        sections = len({row.section for row in table.rows}) > 1
        legend.append("Bold: the best of its column" + (" within its section." if sections else "."))
    if marks & {"better", "worse"}:
        legend.append("Better, worse: than the baseline, with an interval that leaves out zero.")
    if any(row.kind == "paper" for row in table.rows):
        legend.append("The paper’s figures are printed for orientation only: other data, other splits.")
    return {
        "id": f"table-{table.key}",
        "title": table.title,
        "caption": table.caption,
        "wide": len(table.columns) >= _WIDE,
        "grouped": grouped,
        "top": _top(table.columns) if grouped else [],
        "columns": [
            {
                "title": column.title,
                "name": f"{column.group}, {column.title}" if column.group else column.title,
                "numeric": column.numeric,
                "group": column.group,
                "first": "high" if column.higher_is_better else "low",
                "place": place,
            }
            for place, column in enumerate(table.columns)
        ],
        "sections": [
            {"title": section, "rows": [_row(table, row) for row in rows]}
            for section, rows in groupby(table.rows, key=lambda row: row.section)
        ],
        "notes": [*legend, *table.notes],
    }


def _top(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Common heads with their widths; columns without one stand for themselves, over both lines."""
    top: list[dict[str, Any]] = []
    for place, column in enumerate(columns):
        if column.group and top and top[-1]["title"] == column.group:
            top[-1]["width"] += 1
        else:
            top.append({"title": column.group, "width": 1, "place": place})
    return top


def _row(table: Table, row: Row) -> dict[str, Any]:
    cells = [
        {
            "text": entry.text,
            "value": "" if entry.value is None else repr(float(entry.value)),
            "note": entry.note,
            "numeric": column.numeric,
            "best": entry.mark == "best",
            "mark": _MARK_WORDS[entry.mark],
        }
        for column, entry in zip(table.columns, row.entries, strict=True)
    ]
    return {"kind": row.kind, "tag": _KIND_WORDS[row.kind], "head": cells[0], "cells": cells[1:]}


def facts(key: str, title: str, caption: str, values: Mapping[str, object], heads: tuple[str, str]) -> Table:
    """Two columns: name and value."""
    columns = tuple(Column(head.lower(), head, numeric=False) for head in heads)
    rows = [Row((Entry(name), Entry(plain(value)))) for name, value in values.items()]
    return Table(key, title, caption, columns, rows)


def words(key: str, title: str, caption: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Rows of words and counts; columns in which all values are numbers are set as numbers."""
    numeric = [bool(rows) and all(isinstance(row[place], (int, float)) for row in rows) for place in range(len(heads))]
    columns = [Column(head.lower(), head, numeric=number) for head, number in zip(heads, numeric, strict=True)]
    return Table(
        key,
        title,
        caption,
        columns,
        [
            Row([Entry(f"{one:,}", float(one)) if isinstance(one, (int, float)) else Entry(plain(one)) for one in row])
            for row in rows
        ],
    )
