"""Which slices of a store lie next to each other: what 2.5-D input is made of.

A store has no volumes as such. Slices belong to one volume, and follow each other in the order of a number, where

- they are pages of one source (a multi-page TIFF, a series, a volume file): their ids are ``NAME#0000``, ``NAME#0001``;
- or they are single pictures of one known patient whose names are alike but for their last number: ``p7/slice_2.png``,
  ``p7/slice_10.png``. Without a patient id such numbers prove nothing (they may run on through patients).

In each volume the smallest step between two numbers is taken as the distance of its slices; where the next number is
further away a slice is missing, and the volume ends there as it does at its first and last slice. Slices of different
splits never count as neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import DataError

if TYPE_CHECKING:
    from .store import SliceStore

Rows = npt.NDArray[np.int64]

_PAGE = re.compile(r"(.*)#(\d+)", re.DOTALL)
# The last number but for what belongs to a suffix such as .jp2.
_NUMBERED = re.compile(r"(.*?)(\d+)(\D*?(?:\.[A-Za-z][^./]*)?)", re.DOTALL)


def adjacent_rows(store: SliceStore) -> tuple[Rows, Rows]:
    """For each slice of ``store`` the row of the one before and of the one behind it, or its own row at an end.

    Raises:
        DataError: no slice has a neighbour.
    """
    keys, numbers = _places(store.ids.tolist(), store.patients.tolist(), store.splits.tolist())
    before, after = _adjacent(keys, numbers)
    if np.array_equal(before, after):
        raise DataError(
            f"{store.path} holds no volumes: none of its {len(keys)} slices is a page of a file with several, or one "
            "of the numbered pictures of a known patient. Prepare it from volumes (series, NIfTI, multi-page TIFF), "
            "name the patients, or leave context at 0"
        )
    return before, after


def followers(store: SliceStore) -> Rows:
    """For each slice of ``store`` the row of the one behind it in its source, whatever their splits, or its own row.

    Beside pages and numbered pictures of one patient, numbered pictures of unknown patients count too (``covid_0007``
    and ``covid_0008``): such numbers mostly run through scans slice by slice, and what is asked is where a leak may be.
    """
    count = len(store)
    keys, numbers = _places(store.ids.tolist(), store.patients.tolist(), [""] * count, unknown_patients=True)
    return _adjacent(keys, numbers)[1]


def _adjacent(keys: Rows, numbers: Rows) -> tuple[Rows, Rows]:
    """Rows before and behind each, where ``keys`` (N,) name the volume and ``numbers`` (N,) the place in it."""
    count = len(keys)
    rows = np.arange(count, dtype=np.int64)
    before, after = rows.copy(), rows.copy()
    order = np.lexsort((rows, numbers, keys))
    same = keys[order[1:]] == keys[order[:-1]]
    step = numbers[order[1:]] - numbers[order[:-1]]
    # The smallest step within each volume; equal numbers tell no order.
    smallest = np.full(int(keys.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    usable = same & (step > 0)
    np.minimum.at(smallest, keys[order[1:]][usable], step[usable])
    joined = usable & (step == smallest[keys[order[1:]]])
    before[order[1:][joined]] = order[:-1][joined]
    after[order[:-1][joined]] = order[1:][joined]
    return before, after


def with_neighbours(indices: Rows, context: int, before: Rows, after: Rows) -> Rows:
    """Rows (B, 2·context + 1) around each of ``indices`` (B,), in order; ends of a volume are repeated."""
    columns: list[Rows] = [np.asarray(indices, np.int64)]
    for _ in range(context):
        columns = [before[columns[0]], *columns, after[columns[-1]]]
    return np.stack(columns, axis=1)


def _places(
    ids: Sequence[str], patients: Sequence[str], splits: Sequence[str], *, unknown_patients: bool = False
) -> tuple[Rows, Rows]:
    """A number for the volume of each slice, and the slice's own number in it."""
    volumes: dict[tuple[str, ...], int] = {}
    volume: tuple[str, ...]
    keys, numbers = np.empty(len(ids), np.int64), np.zeros(len(ids), np.int64)
    for row, (name, patient, split) in enumerate(zip(ids, patients, splits, strict=True)):
        if found := _PAGE.fullmatch(name):
            volume, number = ("page", found[1], split), found[2]
        elif (patient or unknown_patients) and (found := _NUMBERED.fullmatch(name)):
            volume, number = ("file", found[1], found[3], patient, split), found[2]
        else:
            volume, number = ("single", name), "0"
        keys[row] = volumes.setdefault(volume, len(volumes))
        # Numbers beyond int64 (a UID, say) are no slice numbers.
        numbers[row] = int(number) if len(number) < 18 else 0
    return keys, numbers
