"""What a data set consists of: entries, as a CSV manifest lists them (class folders: ``manifest_folders``).

Nothing is decoded here: an :class:`Entry` says where a source lies and what is known about it. All rules that can be
checked without opening pictures are checked here, before any work is done.
"""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from ..spelling import nearest

if TYPE_CHECKING:
    from .readers_dicom_series import Series

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Entry:
    """One source of slices: a picture, a page file, a DICOM series or a volume."""

    id: str
    """Unique name; slices of a source with several pages get ``#0000``, ``#0001``, … appended."""
    path: Path
    """Where it lies; of a series, the folder of its files or its only file."""
    source: str
    """The same relative to the root of the data set, with forward slashes; or a pseudonym (``source_names``)."""
    label: int
    """0 = negative class, 1 = positive class, -1 = unlabelled."""
    where: str
    """Where it was listed, for messages."""
    class_name: str = ""
    """The class as its data set calls it."""
    patient: str = ""
    """Patient id; empty where unknown."""
    split: str = ""
    """Given split ("train", "val", "test"); empty where none is given."""
    order: float | None = None
    """Place in the sequence of its class, where known."""
    mask: Path | None = None
    """File of its lung mask, where given."""
    series: Series | None = None
    """What the headers of its DICOM files said, in order; None for any other kind."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it consists of: those of its series, else ``path`` (a file, or a folder as a whole)."""
        return self.series.files if self.series is not None else (self.path,)


@dataclass(frozen=True)
class Columns:
    """Names of the manifest's columns; an empty name means that there is no such column."""

    file: str = "file"
    label: str = "label"
    patient: str = ""
    split: str = ""
    order: str = ""
    id: str = ""
    mask: str = ""


@dataclass(frozen=True)
class Classes:
    """Which names mean what; compared without regard to case."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def table(self) -> dict[str, int | None]:
        """Name (case folded) to label; None for names that are left out.

        Raises:
            DataError: a name is in two lists.
        """
        table: dict[str, int | None] = {}
        lists = (("positive", 1), ("negative", 0), ("unlabelled", -1), ("exclude", None))
        for option, label in lists:
            for name in getattr(self, option):
                if name.casefold() in table and table[name.casefold()] != label:
                    raise DataError(f"the class {name!r} is named twice; each class can mean one thing only")
                table[name.casefold()] = label
        return table


@dataclass(frozen=True)
class Listing:
    """The entries of a data set, in order, and what was noticed on the way."""

    root: Path
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


def read_csv(file: Path, classes: Classes, columns: Columns, root: Path | None = None) -> Listing:
    """Entries of a CSV manifest, one for each row, in order.

    The delimiter (comma, semicolon or tab) is read off the header line. Surrounding blanks of fields don't count. File
    names are relative to ``root`` (default: the manifest's folder) and must stay inside it, links included. An empty
    label means unlabelled.

    Raises:
        DataError: the file cannot be read, a column is missing or occurs twice, a row is malformed, a label or split is
            unknown, an id or file occurs twice, or a file lies outside the root; the message names file and line.
    """
    table = classes.table()
    root = (root or file.parent).resolve()
    rows = _read_rows(file, [name for name in vars(columns).values() if name])
    seen_labels: Counter[str] = Counter()
    entries = []
    for number, row in rows:
        where = f"{file}, line {number}"
        name = row[columns.label] if columns.label else ""
        seen_labels[name] += 1
        label = table.get(name.casefold(), -2 if name else -1)
        if label == -2:
            found = sorted({other[columns.label] for _, other in rows} - {""})
            raise DataError(
                f"{where}: the label {name!r} is neither positive nor negative; the labels here are "
                f"{some(found)}; name each with --positive, --negative, --unlabelled or --exclude"
            )
        if label is None:
            continue
        path = _inside(root, row[columns.file], where)
        source = path.relative_to(root).as_posix()
        entries.append(
            Entry(
                id=row[columns.id] if columns.id else source,
                path=path,
                source=source,
                label=label,
                where=where,
                class_name=name,
                patient=row[columns.patient] if columns.patient else "",
                split=_split(row[columns.split], where) if columns.split else "",
                order=_number(row[columns.order], columns.order, where) if columns.order else None,
                mask=_inside(root, row[columns.mask], where) if columns.mask else None,
            )
        )
    notes = []
    for kind, label in (("positive", 1), ("negative", 0)):
        names = getattr(classes, kind)
        if names and not any(entry.label == label for entry in entries):
            raise DataError(
                f"{file}: no row has the {kind} label {some(names)}; the labels here are "
                f"{some(sorted(seen_labels))}; set --{kind}, or leave it without a name if there is no such class"
            )
    excluded = len(rows) - len(entries)
    if excluded:
        notes.append(f"{excluded} rows were left out by their label ({some(classes.exclude)})")
    check_unique(entries)
    return Listing(root, tuple(entries), tuple(notes))


def _read_rows(file: Path, wanted: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            delimiter = max(",;\t", key=header.count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            names = [name.strip() for name in next(reader, [])]
            _check_columns(file, names, wanted)
            for fields in reader:
                if not any(field.strip() for field in fields):
                    continue  # blank lines at the end are common
                if len(fields) != len(names):
                    raise DataError(
                        f"{file}, line {reader.line_num}: {len(fields)} fields, but the header has {len(names)}"
                    )
                rows.append((reader.line_num, dict(zip(names, (field.strip() for field in fields), strict=True))))
    except OSError as error:
        raise DataError(f"the manifest {file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8 CSV") from error
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}") from error
    if not rows:
        raise DataError(f"{file} has a header but no rows")
    return rows


def _check_columns(file: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    if not any(names):
        raise DataError(f"{file} is empty; its first line must name the columns")
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise DataError(f"{file}: the column {double[0]!r} occurs twice")
    for name in wanted:
        if name not in names:
            raise DataError(
                f"{file} has no column {name!r}; its columns are {', '.join(names)}{nearest(name, names)} "
                "(options like --file-column name other columns)"
            )


def _inside(root: Path, name: str, where: str) -> Path:
    """The path of ``name`` below ``root``; anything that leads outside is refused, by name or by link."""
    if not name:
        raise DataError(f"{where}: a file name is empty")
    if "\0" in name:
        raise DataError(f"{where}: the file name {name!r} contains a NUL character")
    path = Path(os.path.normpath(root / name.replace("\\", "/")))
    if not path.is_relative_to(root) or not path.resolve().is_relative_to(root):
        raise DataError(f"{where}: {name!r} lies outside {root}; set --root to a folder that holds all files")
    return path


def _split(value: str, where: str) -> str:
    split = _SPLIT_NAMES.get(value.casefold())
    if split is None:
        raise DataError(f"{where}: the split {value!r} is none of {', '.join(_SPLIT_NAMES)}")
    return split


def _number(value: str, column: str, where: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: {column} is {value!r}, not a number")
    return number


def check_unique(entries: Iterable[Entry]) -> None:
    """Raise ``DataError`` where an id or a source is empty or occurs twice."""
    keys: Mapping[str, Callable[[Entry], str]] = {"id": lambda entry: entry.id, "file": lambda entry: entry.source}
    for kind, key in keys.items():
        first: dict[str, str] = {}
        for entry in entries:
            if not key(entry):
                raise DataError(f"{entry.where}: the {kind} is empty")
            if key(entry) in first:
                raise DataError(f"{entry.where}: the {kind} {key(entry)!r} occurs already at {first[key(entry)]}")
            first[key(entry)] = entry.where


def some(names: Sequence[str], limit: int = 8) -> str:
    """The first few ``names`` for a message, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:limit]) or "none"
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
