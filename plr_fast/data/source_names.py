"""File names in a store: folders of hospitals are called after patients, so what hides those hides the names, too."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Literal

from ..files import write_text
from .identities import pseudonym
from .manifest import Entry, Listing, check_unique
from .readers import ReadOptions, find_reader
from .readers_dicom import DicomReader

SourceNames = Literal["auto", "keep", "hash"]


def hide_names(
    listing: Listing,
    names: SourceNames,
    options: ReadOptions,
    *,
    keep_ids: bool = False,
    table: Path | None = None,
) -> tuple[Listing, bool]:
    """Replace names of sources by ``class/<digits>`` (see :func:`~plr_fast.data.identities.pseudonym`).

    Args:
        listing: the sources.
        names: "hash" all, "keep" all, or "auto": hash those of DICOM files if patient ids are hashed.
        options: what becomes of patient ids, and the salt.
        keep_ids: ids were given by the user and stay.
        table: where to write a CSV file with the columns ``source`` (as in the store) and ``file``.

    Returns:
        The listing, and whether any name was replaced.

    Raises:
        StorageError: ``table`` cannot be written.
    """
    hidden = [
        names == "hash" or (names == "auto" and options.patient_ids == "hash" and _is_dicom(entry))
        for entry in listing.entries
    ]
    entries = tuple(
        _hidden(entry, options.patient_salt, keep_ids) if hide else entry
        for entry, hide in zip(listing.entries, hidden, strict=True)
    )
    check_unique(entries)
    if table is not None:
        write_text(table, _table(listing.entries, entries))
    return replace(listing, entries=entries), any(hidden)


def _is_dicom(entry: Entry) -> bool:
    # Files that are damaged have no series, but names.
    return entry.series is not None or isinstance(find_reader(entry.path), DicomReader)


def _hidden(entry: Entry, salt: str, keep_id: bool) -> Entry:
    name = "/".join(filter(None, (entry.class_name, pseudonym(entry.source, salt))))
    return replace(entry, source=name, id=entry.id if keep_id else name)


def _table(before: Sequence[Entry], after: Sequence[Entry]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("source", "file"))
    writer.writerows((new.source, old.source) for old, new in zip(before, after, strict=True))
    return text.getvalue()
