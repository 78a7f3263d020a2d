"""The leakage report as a table, for the page and for CSV."""

from __future__ import annotations

from collections.abc import Mapping

from ...data.leakage import LeakageReport, SharedBetween
from ..table import Column, Entry, Row, Table

_COLUMNS = (
    Column("splits", "Splits", numeric=False),
    Column("slices", "Slices judged"),
    Column("groups", "Groups", group="In both"),
    Column("patients", "Patients", group="In both"),
    Column("equal", "Equal", group="Slices with a counterpart"),
    Column("near", "Near duplicate", group="Slices with a counterpart"),
    Column("relabelled", "Other label", group="Slices with a counterpart"),
    Column("neighbours", "Next slice", group="Slices with a counterpart"),
    Column("memory", "Nearest slice is right", higher_is_better=None),
)
_CAPTION = (
    "What the splits share. Slices judged are those of the second split; counted are those that equal a slice of the "
    "first, pixel for pixel, that show the same at another size, window or crop, whose counterpart has another label, "
    "and that lie next to one in their source. The last column is the share of test slices whose most alike training "
    "slice has their label: what memory alone scores, beside what chance would."
)


def leakage_table(reports: Mapping[str, LeakageReport], *, key: str = "leakage") -> Table:
    """One table of the reports of several stores: data sets, or repeats of one, by name."""
    rows, notes = [], []
    for name, report in reports.items():
        rows += [_row(name, pair, report) for pair in report.pairs]
        prefix = f"{name}: " if len(reports) > 1 else ""
        notes += [prefix + sentence for sentence in report.sentences()]
    return Table(key, "What the splits share", _CAPTION, _COLUMNS, rows, notes)


def _row(name: str, pair: SharedBetween, report: LeakageReport) -> Row:
    counts = (pair.slices, pair.groups, pair.patients, pair.equal, pair.near, pair.relabelled, pair.neighbours)
    memory = Entry("–")
    if report.memory is not None and (pair.first, pair.second) == ("train", "test"):
        note = f"chance {report.memory.chance:.1%}"
        memory = Entry(f"{report.memory.accuracy:.1%}", report.memory.accuracy, note=note)
    entries = (Entry(f"{pair.first} → {pair.second}"), *(Entry(f"{count:,}", float(count)) for count in counts), memory)
    return Row(entries, section=name)
