"""What a slice store keeps about its computed lung masks, and taking masks over from an earlier store.

A mask may be taken over where nothing that it depends on has changed: the pixels of the slice as they are stored, and
the recipe (method, version, parameters) that the store names. Everything else is computed anew.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import StoreError
from ..store import SliceStore
from ..store_format import picture_digest
from .quality import MaskQuality

QUALITY_FILE = "masks.csv"

_COLUMNS = ("id", *(field.name for field in fields(MaskQuality)))


def quality_table(ids: Sequence[str], qualities: Sequence[MaskQuality]) -> str:
    """The text of ``masks.csv``: a row for each slice, in the store's order."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for identity, quality in zip(ids, qualities, strict=True):
        values = (getattr(quality, name) for name in _COLUMNS[1:])
        writer.writerow((identity, *(int(value) if isinstance(value, bool) else value for value in values)))
    return stream.getvalue()


def read_qualities(store: SliceStore) -> list[MaskQuality]:
    """The quality of each computed mask of ``store``, in its order.

    Raises:
        StoreError: ``masks.csv`` is missing (given masks, or an earlier version), damaged, or of other slices.
    """
    file = store.path / QUALITY_FILE
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, strict=True))
        if [row["id"] for row in rows] != store.ids.tolist():
            raise ValueError("its ids are not those of the manifest")
        return [_parse(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise StoreError(f"{file} does not say how good the lung masks are: {error}") from error


class MaskCache:
    """Computed masks of an earlier store, found by the pixels of their slices."""

    def __init__(self, store: SliceStore, qualities: Sequence[MaskQuality]) -> None:
        self._store, self._qualities = store, qualities
        self._place = {picture_digest(picture): index for index, picture in enumerate(store.slices)}

    @classmethod
    def open(cls, path: Path, recipe: Mapping[str, Any], *, size: int, fit: str) -> MaskCache | None:
        """The masks of the store at ``path``, or None where there is none whose masks may be taken over.

        It must be whole (its hashes are checked), of the same ``size``, its masks computed by the same ``recipe``,
        and its slices not padded: which part of a padded slice was looked at is not kept.
        """
        if fit != "squash":
            return None
        try:
            store = SliceStore.open(path)
            same = (store.size, store.info.get("fit"), store.info.get("mask_source"), store.info.get("mask_recipe"))
            if same != (size, fit, "computed", dict(recipe)):
                return None
            store.verify()
            return cls(store, read_qualities(store))
        except StoreError:
            return None  # what is wrong with the earlier store is told where it is replaced

    def find(self, picture: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], MaskQuality] | None:
        """Mask (S, S) and quality of an equal slice, or None."""
        index = self._place.get(picture_digest(picture))
        if index is None:
            return None
        return np.array(self._store.masks[index], dtype=np.bool_), self._qualities[index]


def _parse(row: Mapping[str, str]) -> MaskQuality:
    kinds = {field.name: str(field.type) for field in fields(MaskQuality)}
    values: dict[str, Any] = {}
    for name, kind in kinds.items():
        text = row[name]
        if kind == "bool":
            values[name] = {"0": False, "1": True}[text]
        else:
            values[name] = {"int": int, "float": float, "str": str}[kind](text)
    return MaskQuality(**values)
