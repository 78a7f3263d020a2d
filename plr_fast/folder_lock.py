"""A folder that one process at a time works in; the lock goes with the process, even by a kill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import ConfigError
from .files import storage_error

_held: set[IO[str]] = set()


@contextmanager
def locked(folder: Path, busy: str) -> Iterator[None]:
    """Hold ``folder`` (made if it is not there) for this process alone, by its file ``.lock``.

    Raises:
        ConfigError: another process holds it; ``busy`` is the message.
        StorageError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise storage_error(error, folder) from error
    with handle:
        try:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(busy) from error
        except (ImportError, OSError):
            pass  # no such locks on this platform or file system: the work goes on without that safety
        _held.add(handle)
        try:
            yield
        finally:
            _held.discard(handle)


def leave_locks() -> None:
    """In a forked child: let go of the parent's locks, or they would outlive a parent that is killed."""
    while _held:
        _held.pop().close()  # closes the child's copy; the parent's lock stays
