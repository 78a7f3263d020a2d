"""Where a store is made: a hidden folder beside its place, held by one process at a time, moved when complete."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ..errors import StoreError
from ..files import storage_error, sync

_BUSY = (errno.EAGAIN, errno.EACCES)
_LOCK = "lock"


class Workplace:
    """The folder ``.NAME.unfinished`` beside the store ``NAME``, of which one process at a time can take possession.

    It has ``store`` (the store that is being made), ``journal.jsonl`` and ``parts`` (of a preparation that can go on),
    ``lock`` (free again when the process that holds it ends, however it ends) and, for the moment in which one store
    replaces another, ``replaced``: whoever holds the folder next puts that one back if it is needed.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = workplace_of(target)
        self.store = self.folder / "store"
        self.journal = self.folder / "journal.jsonl"
        self.parts = self.folder / "parts"
        self._replaced = self.folder / "replaced"
        self._lock = -1

    def open(self) -> None:
        """Make the folder, take possession of it, and put an earlier store back where a kill left none.

        Raises:
            StoreError: another process makes this store at the moment.
            StorageError: the folder cannot be made.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            while self._lock < 0:
                self.folder.mkdir(exist_ok=True)
                self._lock = self._try_lock()
            self._put_back()
            self.store.mkdir(exist_ok=True)
        except OSError as error:
            self.release()
            raise storage_error(error, self.target) from error
        except BaseException:
            self.release()
            raise

    def publish(self) -> None:
        """Move the store to its place; an earlier one steps aside, and comes back if that fails. Empties the folder."""
        if self.target.exists():
            # A folder cannot be renamed over a filled one.
            self.target.replace(self._replaced)
            try:
                self.store.replace(self.target)
            except BaseException:
                self._replaced.replace(self.target)
                raise
        else:
            self.store.replace(self.target)
        sync(self.target.parent)
        self.discard()

    def discard(self) -> None:
        """Remove the folder and all that it holds."""
        if self._lock < 0:
            return  # it may be another's by now
        with suppress(OSError):
            for child in self.folder.iterdir():
                if child.is_dir():
                    shutil.rmtree(child, ignore_errors=True)
                elif child.name != _LOCK:
                    child.unlink(missing_ok=True)
            # Last: until then nobody else can be here.
            (self.folder / _LOCK).unlink(missing_ok=True)
            self.folder.rmdir()
        self.release()

    def release(self) -> None:
        """Let others have the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _try_lock(self) -> int:
        """The descriptor of the lock, or -1 where the folder was removed meanwhile."""
        file = self.folder / _LOCK
        try:
            lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            return -1
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                os.close(lock)
                raise StoreError(
                    f"another process makes the store {self.target} at the moment; wait for it, or choose another place"
                ) from error
            # A file system without locks: those who prepare one store twice at once are on their own there.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), file.stat()):
                return lock
        os.close(lock)
        return -1

    def _put_back(self) -> None:
        """After a kill between the two steps of :meth:`publish`."""
        if not self._replaced.exists():
            return
        if not self.target.exists():
            self._replaced.replace(self.target)
        elif self.store.exists():
            raise StoreError(
                f"{self._replaced} holds the store that was at {self.target} before, and something else is there now; "
                "move one of them elsewhere"
            )
        else:
            shutil.rmtree(self._replaced, ignore_errors=True)


def workplace_of(store: str | os.PathLike[str]) -> Path:
    """The folder in which the store at ``store`` is made (links followed)."""
    target = Path(os.path.realpath(store))
    return target.with_name(f".{target.name}.unfinished")


def put_back(store: str | os.PathLike[str]) -> None:
    """Give a store that was stepping aside when its replacement was killed its place again.

    Raises:
        StoreError, StorageError: as :meth:`Workplace.open`.
    """
    if (workplace_of(store) / "replaced").exists():
        place = Workplace(Path(os.path.realpath(store)))
        place.open()
        place.release()


def unfinished(store: str | os.PathLike[str]) -> Path | None:
    """The folder of an unfinished preparation of the store at ``store`` that can go on, or None."""
    folder = workplace_of(store)
    return folder if (folder / "journal.jsonl").exists() else None
