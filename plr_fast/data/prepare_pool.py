"""Preparing sources in several processes, handing their slices on in the order of the sources, in bounded memory."""

from __future__ import annotations

import pickle
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..backends.threads import available_cpus
from ..errors import ConfigError, WorkerError
from ..files import storage_error
from ..worker_process import how_it_ended, start_worker
from .manifest import Entry
from .prepare_images import How, PreparedSlice, hash_entry, key_of, prepare_slices
from .prepare_worker import Failed, Finished, part_of
from .readers import SliceReader, registered_readers

AHEAD = 3
"""Sources for each worker that may be at work or waiting for their turn to enter the store."""

_WORTH_IT = 64  # a worker takes seconds to start: it must have some slices to prepare
_QUEUED = 2  # sources that a worker has been told of: it shall not wait for the parent


@dataclass(frozen=True)
class Prepared:
    """One source whose slices can be had. The functions raise what is wrong with it."""

    key: str
    """Of the source, as :func:`key_of` told before it was read."""
    slices: Iterator[PreparedSlice]
    """To be used up before the next source is asked for."""
    hashes: Callable[[], bytes]
    """Of its files; to be called after that."""


def choose_jobs(asked: int | None, slices: int, sources: int) -> int:
    """How many processes are to prepare ``slices`` of ``sources``: ``asked``, or what machine and work call for."""
    if asked is not None:
        return max(1, min(asked, sources))
    if _not_portable():
        return 1
    return max(1, min(available_cpus(), slices // _WORTH_IT, sources))


@contextmanager
def prepared(entries: Sequence[Entry], how: How, jobs: int, folder: Path) -> Iterator[Iterator[Prepared]]:
    """Context with each of ``entries`` prepared, in their order; with ``jobs`` = 1 in this process as it is asked for.

    Otherwise workers leave the slices of the next few sources as files in ``folder``. They end with the context, and
    when this process ends, however it does.

    Raises:
        ConfigError: a registered reader cannot be sent to other processes.
        WorkerError: a worker died; the message names the source.
        StorageError: the files could not be written or read.
    """
    if jobs == 1:
        yield (Prepared(key_of(entry), prepare_slices(entry, how), partial(hash_entry, entry)) for entry in entries)
        return
    unfit = _not_portable()
    if unfit:
        raise ConfigError(f"{unfit} cannot be used in worker processes; define it in a module, or give --jobs 1")
    pool = _Pool(entries, how, folder)
    try:
        pool.start(jobs)
        with closing(pool.results()) as results:
            yield results
    finally:
        pool.end()


def _not_portable() -> str:
    """The reader that another process could not load, if there is one."""
    for reader in registered_readers():
        try:
            pickle.dumps(reader)
        except Exception:
            return f"the reader {type(reader).__qualname__}"
        if type(reader).__module__ == "__main__":
            return f"the reader {type(reader).__qualname__} of the main script"
    return ""


_Result: TypeAlias = tuple[str, Finished | Failed]
"""Key of the source, and what became of it."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection[Any, Any]
    queue: deque[int] = field(default_factory=deque)  # sources it was told of; it is at work on the first


class _Pool:
    def __init__(self, entries: Sequence[Entry], how: How, folder: Path) -> None:
        self._entries, self._how, self._folder = entries, how, folder
        self._workers: list[_Worker] = []
        self._sent = 0

    def start(self, count: int) -> None:
        readers: list[SliceReader] = list(registered_readers())
        for _ in range(count):
            self._workers.append(_Worker(*start_worker("plr_fast.data.prepare_worker")))
        for worker in self._workers:
            self._send(worker, (self._how, readers, self._folder))

    def end(self) -> None:
        for worker in self._workers:
            worker.process.kill()  # it holds nothing that needs an orderly end
        for worker in self._workers:
            worker.process.wait()
            worker.connection.close()
        self._workers.clear()

    def results(self) -> Generator[Prepared]:
        done: dict[int, _Result] = {}
        for number in range(len(self._entries)):
            self._hand_out(number)
            while number not in done:
                done.update(self._receive())
                self._hand_out(number)
            key, result = done.pop(number)
            part = part_of(self._folder, number)
            yield Prepared(key, _read(part, result, self._how.size), partial(_hashes, result))
            part.unlink(missing_ok=True)

    def _hand_out(self, first: int) -> None:
        """Keep all workers busy, but not too far ahead of the source that is needed ``first``."""
        while self._sent < min(len(self._entries), first + AHEAD * len(self._workers)):
            worker = min(self._workers, key=lambda worker: len(worker.queue))
            if len(worker.queue) >= _QUEUED:
                return
            worker.queue.append(self._sent)
            self._send(worker, (self._sent, self._entries[self._sent]))
            self._sent += 1

    def _send(self, worker: _Worker, message: Any) -> None:
        try:
            worker.connection.send(message)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death(worker) from error

    def _receive(self) -> Iterator[tuple[int, _Result]]:
        ready = wait([worker.connection for worker in self._workers])
        for worker in self._workers:
            if worker.connection in ready:
                try:
                    number, *result = worker.connection.recv()
                except (EOFError, ConnectionResetError) as error:
                    raise self._death(worker) from error
                worker.queue.remove(number)
                yield number, tuple(result)

    def _death(self, worker: _Worker) -> WorkerError:
        try:
            code = worker.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            code = 0
        how = how_it_ended(code)
        if not worker.queue:
            return WorkerError(f"a worker process {how} before it began; try --jobs 1")
        entry = self._entries[worker.queue[0]]
        why = (
            "; most likely memory ran out: try fewer --jobs"
            if code == -signal.SIGKILL
            else "; try --jobs 1, and look at that source"
        )
        return WorkerError(f"a worker process {how} while it prepared {entry.path} (listed at {entry.where}){why}")


def _read(part: Path, result: Finished | Failed, size: int) -> Iterator[PreparedSlice]:
    if isinstance(result, Failed):
        raise result.error from RuntimeError(result.where)
    try:
        with part.open("rb") as stream:
            for facts in result.facts:
                pixels = np.frombuffer(stream.read(2 * size * size), np.uint8).reshape(2, size, size)
                yield PreparedSlice(pixels[0], pixels[1].view(np.bool_), facts)
    except OSError as error:
        raise storage_error(error, part) from error


def _hashes(result: Finished | Failed) -> bytes:
    if isinstance(result, Failed):
        raise result.error from RuntimeError(result.where)
    return result.hashes
