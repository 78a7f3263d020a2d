"""Writing a slice store: all of it or nothing."""

from __future__ import annotations

import csv
import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from .._version import __version__
from ..errors import DataError, StoreError
from ..files import require_space, storage_error, sync, write_json
from .store_format import COLUMNS, FORMAT_NAME, FORMAT_VERSION, SPLITS, SliceRecord
from .store_workplace import Workplace

# What a row of the manifest takes on disk, roughly; only for the check of free space.
_ROW_BYTES = 256

_ARRAYS = ("slices", "masks")


class Mark(NamedTuple):
    """How far a writer has come: what :meth:`StoreWriter.rollback` goes back to."""

    rows: int
    digests: Mapping[str, Any]
    checksum: int


class StoreWriter:
    """Context manager that writes a slice store at ``path``, in bounded memory.

    Slices are written to a hidden folder beside ``path``, which takes its place when the ``with`` block ends without
    an exception; otherwise (also on Ctrl-C) it is removed and what was at ``path`` stays. The pixels are hashed on
    their way. :attr:`records` may be changed until the block ends, so that groups and splits can be decided when all
    pixels have been seen.

    A writer whose :attr:`keep` is set leaves the hidden folder behind when the block fails, and so does the end of the
    process; the next writer of the same path takes the slices over by :meth:`adopt`, or writes over them.

    Args:
        path: the folder to make.
        size: height and width S of every slice.
        count: how many slices will be added at most; sizes the check of free space.
        class_names: (negative, positive).
        fit: how pictures were brought to S×S, for the record.
        window: the grey window (low, high) applied, for the record; None: none, or several.
        mask_source: where the masks come from, for the record ("computed", "given", ...).
        mask_recipe: method, version and parameters of computed masks, for the record (JSON values).
        sources_sha256: hash of the source files, for the record.
        summary: more to put under "summary" in ``store.json`` (JSON values); may be changed until the block ends.
        overwrite: replace an existing slice store at ``path``. A folder that is no slice store is never replaced.
        allow_shared_groups: let a group have slices in several splits; by default that is an error.

    Raises:
        ValueError: ``size``, ``count`` or ``class_names`` make no sense.
        StoreError: ``path`` exists and may not be replaced, or another process makes it at the moment.
        StorageError: too little space, or writing failed; nothing is left behind unless :attr:`keep` is set.

    Attributes:
        keep: leave behind what was written when the block fails.
        place: the hidden folder.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        size: int,
        count: int,
        class_names: tuple[str, str],
        fit: str = "squash",
        window: tuple[float, float] | None = None,
        mask_source: str = "given",
        mask_recipe: Mapping[str, Any] | None = None,
        sources_sha256: str = "",
        summary: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        allow_shared_groups: bool = False,
    ) -> None:
        if size < 1 or count < 1:
            raise ValueError(f"size and count must be at least 1, not {size} and {count}")
        if len(class_names) != 2 or class_names[0] == class_names[1]:
            raise ValueError(f"class_names must be two different names (negative, positive), not {class_names!r}")
        # A link to a store is followed: what it points at is replaced, not the link.
        self.path = Path(os.path.realpath(path))
        self.size = size
        self.count = count
        self.class_names = class_names
        self.fit = fit
        self.window = window
        self.mask_source = mask_source
        self.mask_recipe = None if mask_recipe is None else dict(mask_recipe)
        self.sources_sha256 = sources_sha256
        self.summary: dict[str, Any] = dict(summary or {})
        self.overwrite = overwrite
        self.allow_shared_groups = allow_shared_groups
        self.records: list[SliceRecord] = []
        self.keep = False
        self.place = Workplace(self.path)
        self._ids: set[str] = set()
        self._folder: Path | None = None
        self._files: dict[str, BinaryIO] = {}
        self._digests = {name: hashlib.sha256() for name in _ARRAYS}
        self._checksum = 0

    def __enter__(self) -> StoreWriter:
        check_target(self.path, overwrite=self.overwrite)  # before a folder is made for it
        existed = self.place.folder.exists()
        self.place.open()
        try:
            check_target(self.path, overwrite=self.overwrite)  # an earlier store may have been put back
            self._require_space()
            for name in _ARRAYS:
                self._files[name] = self._open(self.place.store / f"{name}.npy")
        except OSError as error:
            self._end(keep=existed)
            raise storage_error(error, self.path) from error
        except BaseException:
            self._end(keep=existed)
            raise
        self._folder = self.place.store
        return self

    def add(
        self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8] | npt.NDArray[np.bool_], record: SliceRecord
    ) -> int:
        """Append one slice: ``image`` uint8 (S, S), ``mask`` bool or uint8 0/1 (S, S). Returns its index.

        Raises:
            ValueError: wrong shape, dtype or mask values, or more slices than announced.
            DataError: the id is empty or taken.
            StorageError: writing failed.
        """
        shape = (self.size, self.size)
        if image.shape != shape or image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 {shape}, not {image.dtype} {image.shape}")
        if mask.shape != shape or mask.dtype not in (np.bool_, np.uint8):
            raise ValueError(f"mask must be bool or uint8 {shape}, not {mask.dtype} {mask.shape}")
        if mask.dtype == np.uint8 and mask.max() > 1:
            raise ValueError(f"mask must hold 0 and 1 only, but has {mask.max()}")
        self._check_next(record)
        contents = (image.tobytes(), mask.view(np.uint8).tobytes())
        try:
            for file, content in zip(self._files.values(), contents, strict=True):
                file.write(content)
        except OSError as error:
            raise storage_error(error, self.path) from error
        self._take(contents, record)
        return len(self.records) - 1

    def mark(self) -> Mark:
        """Where the writer is now, for :meth:`rollback`."""
        digests = {name: digest.copy() for name, digest in self._digests.items()}
        return Mark(len(self.records), digests, self._checksum)

    def rollback(self, mark: Mark) -> None:
        """Drop the slices that were added since ``mark``. Raises ``StorageError``."""
        for record in self.records[mark.rows :]:
            self._ids.discard(record.id)
        del self.records[mark.rows :]
        self._digests, self._checksum = dict(mark.digests), mark.checksum
        try:
            for file in self._files.values():
                file.seek(self._offset(mark.rows))
        except OSError as error:
            raise storage_error(error, self.path) from error

    def flush(self) -> int:
        """Hand all slices over to the system, so that they outlive this process; returns a checksum of their pixels.

        Raises:
            StorageError: writing failed.
        """
        try:
            for file in self._files.values():
                file.flush()
        except OSError as error:
            raise storage_error(error, self.path) from error
        return self._checksum

    def adopt(self, records: Sequence[SliceRecord], checksum: int) -> bool:
        """Take the next slices over from an earlier writer of this path that was cut off.

        Args:
            records: what is known about them.
            checksum: what :meth:`flush` returned after them.

        Returns:
            Whether they were there with these pixels; if not, nothing has changed.

        Raises:
            DataError, StorageError, ValueError: as :meth:`add`.
        """
        mark = self.mark()
        length = self.size * self.size
        try:
            for record in records:
                self._check_next(record)
                contents = tuple(file.read(length) for file in self._files.values())
                if any(len(content) != length for content in contents):
                    break
                self._take(contents, record)
        except OSError as error:
            raise storage_error(error, self.path) from error
        if len(self.records) == mark.rows + len(records) and self._checksum == checksum:
            return True
        self.rollback(mark)
        return False

    def read(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Image and mask, uint8 (S, S), of a slice that was added. Raises ``StorageError``."""
        self.flush()
        try:
            slices, masks = (self._row(name, index) for name in _ARRAYS)
        except OSError as error:
            raise storage_error(error, self.path) from error
        return slices, masks

    def attach(self, name: str, content: bytes) -> None:
        """Put one more file into the store, which readers of the store pass over.

        Raises:
            ValueError: ``name`` is a path, or one of the store's own files.
            StorageError: writing failed.
        """
        if self._folder is None:
            raise RuntimeError("StoreWriter.attach works inside its 'with' block only")
        if (
            not name
            or Path(name).name != name
            or name in ("..", *(f"{own}.npy" for own in _ARRAYS), "manifest.csv", "store.json")
        ):
            raise ValueError(f"{name!r} must be the plain name of a file that is not one of the store's own")
        try:
            (self._folder / name).write_bytes(content)
            sync(self._folder / name)
        except OSError as error:
            raise storage_error(error, self.path) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._folder is not None:
                self._finish(self._folder)
        except OSError as failure:
            raise storage_error(failure, self.path) from failure
        finally:
            self._end(keep=self.keep)

    def _finish(self, folder: Path) -> None:
        if not self.records:
            raise DataError(f"no slice to write: {self.path} was not made")
        self._check_records()
        for file in self._files.values():
            # The number of rows is known only now. NumPy pads its headers so that the first axis can grow in place.
            file.flush()
            file.truncate(self._offset(len(self.records)))
            file.seek(0)
            file.write(self._header(len(self.records)))
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self._write_manifest(folder / "manifest.csv")
        write_json(
            folder / "store.json",
            {
                "format": FORMAT_NAME,
                "format_version": FORMAT_VERSION,
                "plr_fast": __version__,
                "size": self.size,
                "count": len(self.records),
                "fit": self.fit,
                "window": self.window,
                "class_names": list(self.class_names),
                "mask_source": self.mask_source,
                "mask_recipe": self.mask_recipe,
                "sources_sha256": self.sources_sha256,
                "pixels_sha256": {name: digest.hexdigest() for name, digest in self._digests.items()},
                "summary": self.summary,
            },
        )
        from .store import SliceStore  # at run time: that module re-exports this one's class

        # Every reader will open the store with this same code: better to fail here, before anything is replaced.
        SliceStore.open(folder)
        sync(folder)
        check_target(self.path, overwrite=self.overwrite)
        self.place.publish()

    def _check_records(self) -> None:
        splits_of: dict[str, set[str]] = {}
        for record in self.records:
            if record.split not in SPLITS:
                raise DataError(f"slice {record.id!r}: split is {record.split!r}, not one of {', '.join(SPLITS)}")
            if record.label not in (-1, 0, 1):
                raise DataError(f"slice {record.id!r}: label is {record.label!r}, not 0, 1 or -1 (unlabelled)")
            if not record.group:
                raise DataError(f"slice {record.id!r} has no group")
            splits_of.setdefault(record.group, set()).add(record.split)
        shared = {group: splits for group, splits in splits_of.items() if len(splits) > 1}
        if shared and not self.allow_shared_groups:
            group, splits = next(iter(shared.items()))
            raise DataError(
                f"{len(shared)} group(s) have slices in several splits, the first is {group!r} in "
                f"{' and '.join(sorted(splits))}: what is learnt there would be tested on the same patient"
            )
        self.summary["groups"] = len(splits_of)
        self.summary["shared_groups"] = len(shared)

    def _write_manifest(self, file: Path) -> None:
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            for record in self.records:
                y, x = record.spacing or ("", "")
                label = "" if record.label < 0 else record.label
                fields = (record.id, record.patient, record.group, label, record.split, record.source)
                writer.writerow((*fields, y, x, int(record.mask_ok)))
        sync(file)

    def _header(self, rows: int) -> bytes:
        stream = BytesIO()
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "|u1", "fortran_order": False, "shape": (rows, self.size, self.size)}
        )
        return stream.getvalue()

    def _offset(self, row: int) -> int:
        return len(self._header(self.count)) + row * self.size * self.size

    def _row(self, name: str, index: int) -> npt.NDArray[np.uint8]:
        with (self.place.store / f"{name}.npy").open("rb") as file:
            file.seek(self._offset(index))
            return np.frombuffer(file.read(self.size * self.size), np.uint8).reshape(self.size, self.size)

    def _open(self, file: Path) -> BinaryIO:
        """The array file, with what an earlier writer left in it, at its first row."""
        stream = file.open("r+b" if file.exists() else "w+b")
        try:
            stream.write(self._header(self.count))
            stream.seek(self._offset(0))
        except BaseException:
            with suppress(OSError):
                stream.close()
            raise
        return stream

    def _require_space(self) -> None:
        files = [self.place.store / f"{name}.npy" for name in _ARRAYS]
        there = sum(file.stat().st_size for file in files if file.exists())
        needed = self.count * (2 * self.size * self.size + _ROW_BYTES) - there
        require_space(self.path, needed, f"the store {self.path}")

    def _check_next(self, record: SliceRecord) -> None:
        if self._folder is None:
            raise RuntimeError("StoreWriter.add works inside its 'with' block only")
        if len(self.records) == self.count:
            raise ValueError(f"only {self.count} slices were announced; slice {record.id!r} is one too many")
        if not record.id or record.id in self._ids:
            raise DataError(f"slice ids must be unique and not empty: {record.id!r} is not")

    def _take(self, contents: Sequence[bytes], record: SliceRecord) -> None:
        for digest, content in zip(self._digests.values(), contents, strict=True):
            digest.update(content)
            self._checksum = zlib.crc32(content, self._checksum)
        self._ids.add(record.id)
        self.records.append(record)

    def _end(self, *, keep: bool) -> None:
        for file in self._files.values():
            # Closing flushes, which a full disk refuses once more; what is lost was not in the journal either.
            with suppress(OSError):
                file.close()
        self._files.clear()
        self._folder = None
        if keep:
            self.place.release()
        else:
            self.place.discard()


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse to put a store where something else is: raises ``StoreError``."""
    if not path.exists():
        return
    if not path.is_dir():
        raise StoreError(f"{path} exists and is not a folder; choose another place for the store")
    if not any(path.iterdir()):
        return
    if not (path / "store.json").is_file():
        raise StoreError(f"{path} exists, holds other files and is no slice store; choose another folder")
    if not overwrite:
        raise StoreError(f"{path} exists already; add --overwrite (overwrite=True) to replace that store")
