"""A worker process of ``plr-fast prepare``: gets sources, leaves their slices in files, and says what it found.

``prepare_pool`` starts it; the connection between the two carries, in this order: (how, readers, folder) once, then
(number, entry) to the worker and (number, key, :class:`Finished` or :class:`Failed`) back.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from ..files import storage_error
from .manifest import Entry
from .prepare_images import How, SliceFacts, hash_entry, key_of, prepare_slices
from .readers import register_reader


@dataclass(frozen=True)
class Finished:
    """What became of a source. Its pixels lie in the file :func:`part_of`, for each slice image and mask, S·S bytes."""

    facts: tuple[SliceFacts, ...]
    hashes: bytes


@dataclass(frozen=True)
class Failed:
    """Why a source has no slices."""

    error: Exception
    where: str
    """The traceback, which an exception loses on its way to another process."""


def part_of(folder: Path, number: int) -> Path:
    """The file with the slices of source ``number``."""
    return folder / f"{number}.part"


def main(descriptor: int) -> None:
    """Work until the other end of the connection is closed, by the parent's will or its death."""
    connection: Connection[Any, Any] = Connection(descriptor)
    try:
        how, readers, folder = connection.recv()
        for reader in reversed(readers):
            register_reader(reader)
        while True:
            number, entry = connection.recv()
            key = key_of(entry)  # before it is read: what changes from now on is seen by whoever goes on later
            connection.send((number, key, _work(entry, how, part_of(folder, number))))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _work(entry: Entry, how: How, part: Path) -> Finished | Failed:
    try:
        try:
            return Finished(tuple(_write(entry, how, part)), hash_entry(entry))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except Exception as error:
        where = f"in a worker process:\n{traceback.format_exc()}"
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return Failed(RuntimeError(where), where)
        return Failed(error, where)


def _write(entry: Entry, how: How, part: Path) -> Iterator[SliceFacts]:
    with _storage(part), part.open("wb") as stream:
        for found in prepare_slices(entry, how):
            stream.write(found.image.data)
            stream.write(found.mask.view(np.uint8).data)
            yield found.facts


@contextmanager
def _storage(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # readers turn theirs into an ImageReadError, which is none
        raise storage_error(error, part) from error
