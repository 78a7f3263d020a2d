"""The slice store: prepared slices, lung masks and their manifest in one folder, read through memory maps.

A store is a folder of four files:

- ``manifest.csv``: one row for each slice, in array order: ``id``, ``patient``, ``group`` (the unit that splits never
  part), ``label`` (0 negative class, 1 positive class, empty unlabelled), ``split`` ("train", "val" or "test"),
  ``source`` (file), ``spacing_y`` and ``spacing_x`` (millimetres or empty), ``mask_ok`` (0 or 1).
- ``slices.npy``: uint8 (N, S, S).
- ``masks.npy``: uint8 0/1 (N, S, S), 1 where there is lung.
- ``store.json``: format version, size, class names, window, hashes, and a summary of how the store was made;
  ``mask_recipe`` holds method, version and parameters of computed masks.

Where masks were computed there are also ``masks.csv`` (area, number of regions, doubt, ... of each mask) and
``masks_worst.png`` (the masks most in doubt, to look at); readers of a store do without them.

Nothing in a store is pickled. :class:`SliceStore` reads one, :class:`StoreWriter` makes one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import StoreError
from .store_format import MAKE_AGAIN, SPLITS, SliceRecord, fingerprint, map_array, read_info, read_manifest
from .store_writer import StoreWriter
from .volumes import adjacent_rows, with_neighbours

__all__ = ["SPLITS", "SliceRecord", "SliceStore", "StoreWriter"]


class SliceStore:
    """A slice store, read-only. Open it with :meth:`open`.

    Pickling (as spawned DataLoader workers do) sends only the path; the copy opens the same files again and refuses
    them when they have changed in between.

    Attributes:
        path: the folder.
        slices: uint8 (N, S, S), memory-mapped, read-only.
        masks: uint8 0/1 (N, S, S), memory-mapped, read-only.
        labels: int8 (N,): 0 negative, 1 positive, -1 unlabelled.
        groups, splits, ids, patients, sources: str (N,).
        mask_ok: bool (N,): False where the computed lung mask looked implausible; the mask itself is kept as it came.
        spacings: float64 (N, 2): millimetres between pixel centres (y, x), NaN where unknown.
        size: S.
        class_names: (negative, positive).
        info: the content of ``store.json``.
        fingerprint: SHA-256 (hex) over ids, labels, splits and the hashes of all pixels: names the data of a run.
    """

    path: Path
    slices: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int8]
    groups: npt.NDArray[np.str_]
    splits: npt.NDArray[np.str_]
    ids: npt.NDArray[np.str_]
    patients: npt.NDArray[np.str_]
    sources: npt.NDArray[np.str_]
    mask_ok: npt.NDArray[np.bool_]
    spacings: npt.NDArray[np.float64]
    size: int
    class_names: tuple[str, str]
    info: Mapping[str, Any]
    fingerprint: str
    _adjacent: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None  # found when first asked for

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> SliceStore:
        """Open the store at ``path``; reads the manifest and the array headers, no pixels.

        Raises:
            StoreError: the store is missing, incomplete, damaged (truncated or mismatching files), or was written by
                a newer version; the message names the file and says how to mend it.
        """
        store = cls()
        store.path = Path(path)
        store.info = MappingProxyType(read_info(store.path))
        store.size = store.info["size"]
        negative, positive = store.info["class_names"]
        store.class_names = (negative, positive)
        manifest = read_manifest(store.path / "manifest.csv")
        count = len(manifest.ids)
        if count != store.info["count"]:
            raise StoreError(
                f"{store.path / 'manifest.csv'} has {count} rows, but store.json speaks of "
                f"{store.info['count']} slices; {MAKE_AGAIN}"
            )
        shape = (count, store.size, store.size)
        store.slices = map_array(store.path / "slices.npy", shape)
        store.masks = map_array(store.path / "masks.npy", shape)
        store.labels = _frozen(np.array(manifest.labels, dtype=np.int8))
        store.mask_ok = _frozen(np.array(manifest.mask_ok, dtype=np.bool_))
        store.spacings = _frozen(np.array(manifest.spacings, dtype=np.float64))
        for name in ("ids", "patients", "groups", "splits", "sources"):
            setattr(store, name, _frozen(np.array(getattr(manifest, name), dtype=np.str_)))
        pixels = store.info["pixels_sha256"]
        store.fingerprint = fingerprint(manifest.ids, manifest.labels, manifest.splits, pixels)
        return store

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        counts = ", ".join(f"{split} {int(np.sum(self.splits == split))}" for split in SPLITS)
        return f"SliceStore({str(self.path)!r}, {len(self)} slices of {self.size}x{self.size}: {counts})"

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return _reopen, (str(self.path.absolute()), self.fingerprint)

    def select(self, split: str | None = None, label: int | None = None) -> npt.NDArray[np.int64]:
        """Indices of the slices of one split and/or one label (0, 1, or -1 for unlabelled): int64, ascending.

        Raises:
            ValueError: ``split`` or ``label`` is none of the known values.
        """
        chosen = np.ones(len(self), dtype=np.bool_)
        if split is not None:
            if split not in SPLITS:
                raise ValueError(f"split must be one of {', '.join(SPLITS)} or None, not {split!r}")
            chosen &= self.splits == split
        if label is not None:
            if label not in (-1, 0, 1):
                raise ValueError(f"label must be 0, 1, -1 (unlabelled) or None, not {label!r}")
            chosen &= self.labels == label
        return np.flatnonzero(chosen).astype(np.int64, copy=False)

    def labelled(self, split: str) -> npt.NDArray[np.int64]:
        """Indices of the slices of one split whose label is known: int64, ascending; raises as :meth:`select`."""
        indices = self.select(split)
        chosen: npt.NDArray[np.int64] = indices[self.labels[indices] >= 0]
        return chosen

    def neighbours(self, indices: npt.NDArray[np.int64], context: int) -> npt.NDArray[np.int64]:
        """Rows of the slices around each of ``indices`` (B,): int64 (B, 2·context + 1), the slice itself in the middle.

        What neighbours are is told in :mod:`plr_fast.data.volumes`: the ends of a volume, and slices beside a gap, are
        repeated.

        Raises:
            ValueError: ``context`` is negative.
            DataError: ``context`` is not 0 and the store holds no volumes.
        """
        if context < 0:
            raise ValueError(f"context must be at least 0, not {context}")
        if context == 0:
            return np.asarray(indices, np.int64)[:, None]
        if self._adjacent is None:
            self._adjacent = adjacent_rows(self)
        return with_neighbours(indices, context, *self._adjacent)

    def verify(self) -> None:
        """Read all pixels and compare them with the hashes taken when the store was written.

        Raises:
            StoreError: a file has changed since.
        """
        for name, expected in self.info["pixels_sha256"].items():
            array = self.slices if name == "slices" else self.masks
            digest = hashlib.sha256()
            for image in array:
                digest.update(image.tobytes())
            if digest.hexdigest() != expected:
                raise StoreError(f"{self.path / name}.npy is not what was written (its hash differs); {MAKE_AGAIN}")


def _reopen(path: str, expected: str) -> SliceStore:
    store = SliceStore.open(path)
    if store.fingerprint != expected:
        raise StoreError(f"{path} was changed while it was in use; start the run again")
    return store


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array
