"""Atomic writing: a reader sees the old file or the new one, never a half.

Everything plr_fast leaves on disk goes through :func:`atomic_path`, so that a kill or a full disk at any moment
loses nothing that was there before.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import StorageError


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; on success flush it to disk and rename it over ``target``.

    Raises:
        StorageError: writing failed (disk full, no permission). ``target`` is as it was before.
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=f".tmp{target.suffix}", dir=target.parent)
    except OSError as error:
        raise storage_error(error, target) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync(temporary)
        # mkstemp makes files private; give the result the permissions that open() would have given it.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
        sync(target.parent)
    except OSError as error:
        raise storage_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` (UTF-8) to ``target`` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON to ``target`` atomically; NaN and infinity are refused by JSON itself."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")


def require_space(folder: str | os.PathLike[str], size: int, what: str) -> None:
    """Refuse to start writing ``size`` bytes of ``what`` into ``folder`` when the disk has less room than that.

    Raises:
        StorageError: the file system that holds ``folder`` has less than ``size`` bytes free.
    """
    existing = Path(folder).absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if size > free:
        raise StorageError(
            errno.ENOSPC,
            f"{what} needs {size / 2**20:,.1f} MiB of disk, but only {free / 2**20:,.1f} MiB are free at {existing}; "
            "free some space or choose another folder",
        )


def storage_error(error: OSError, target: Path) -> StorageError:
    """Turn an ``OSError`` from writing ``target`` into a message that says what is left on disk and what to do."""
    if isinstance(error, StorageError):
        return error
    reason = error.strerror or str(error)
    hint = (
        "free some space and try again (training: with --resume)" if error.errno == errno.ENOSPC else "check the folder"
    )
    return StorageError(error.errno, f"could not write {target}: {reason}; nothing was overwritten; {hint}")


def sync(path: Path) -> None:
    """``fsync`` a file or folder, so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
