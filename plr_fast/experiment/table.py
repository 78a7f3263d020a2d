"""A table as tables are written everywhere: by what computes it, and read by what prints it (CSV, LaTeX, HTML)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Mark = Literal["", "best", "better", "worse"]


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: name in CSV files, unique in its table.
        title: head in print.
        group: columns side by side of equal group stand under a common head (``Accuracy``: ``highest``, ``average``).
        numeric: aligned right, sorted by value.
        higher_is_better: None where neither is.
    """

    key: str
    title: str
    group: str = ""
    numeric: bool = True
    higher_is_better: bool | None = None


@dataclass(frozen=True)
class Entry:
    """What stands at one place.

    Attributes:
        text: as printed; a real minus sign; ``–`` where there is no value.
        value: the number behind it, unrounded: for CSV and for sorting; None where there is none.
        low, high: ends of its interval, if it has one.
        note: second line in print, such as the interval, or why there is no value.
        mark: ``best`` of its column; ``better`` or ``worse`` than the baseline with an interval that leaves out 0.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    mark: Mark = ""


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        entries: one for each column.
        kind: ``result`` (ours, measured), ``control`` (ours, keeps the others honest) or ``paper`` (printed in the
            paper, on its data and splits: no comparison of like with like).
        section: rows one below the other of equal section stand under a common line (``10 % of the labels``).
    """

    entries: Sequence[Entry]
    kind: Literal["result", "control", "paper"] = "result"
    section: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: name of its files and anchor, ``[a-z0-9-]+``.
        title: one line.
        caption: what is seen, how it was made; plain sentences.
        columns, rows: every row has an entry for each column.
        notes: below it, one plain sentence each.
    """

    key: str
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        wrong = [number for number, row in enumerate(self.rows) if len(row.entries) != len(self.columns)]
        if wrong:
            raise ValueError(f"table {self.key}: row {wrong[0]} does not have {len(self.columns)} entries")
