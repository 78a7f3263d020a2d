"""Worker processes that live as long as the experiment: torch takes seconds to load, a cell as many to train."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from ...errors import WorkerError
from ...worker_process import how_it_ended, start_worker
from .tasks import Done, Failed, Progress, Stopped, Task
from .worker import Ready, Setup


@dataclass
class Worker:
    """A worker process.

    Attributes:
        number: its place, which a successor takes over; from 0.
        log: file of what it writes to standard error.
        task: what it is at work on.
        ready: whether it has ever answered.
    """

    number: int
    process: subprocess.Popen[bytes]
    connection: Connection[Setup | Task, Ready | Progress | Done | Failed | Stopped]
    log: Path
    task: Task | None = None
    ready: bool = False

    @property
    def idle(self) -> bool:
        return self.ready and self.task is None


class Pool:
    """Workers, one for each of ``devices``.

    Args:
        devices: ``cpu``, ``cuda:0``, …; the same one may stand there several times.
        threads: CPU threads for each.
        logs: folder for what they write to standard error.
    """

    def __init__(self, devices: Sequence[str], threads: int, logs: Path) -> None:
        self._devices, self._threads, self._logs = devices, threads, logs
        self.workers: list[Worker] = []

    def __enter__(self) -> Pool:
        self.workers = [self._start(number) for number in range(len(self._devices))]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()  # what it had to save is saved by now, or is given up
        for worker in self.workers:
            worker.process.wait()
            worker.connection.close()
            with suppress(OSError):
                if worker.log.stat().st_size == 0:
                    worker.log.unlink()

    def give(self, worker: Worker, task: Task) -> None:
        """Let an idle worker do ``task``; its answers come by :meth:`answers`."""
        worker.task = task
        with suppress(BrokenPipeError, ConnectionResetError):  # its death is noticed there
            worker.connection.send(task)

    def answers(self, timeout: float) -> Iterator[tuple[Worker, Task | None, Progress | Done | Failed | Stopped]]:
        """What workers have said within ``timeout`` seconds, with the task that it is about.

        A worker that died gives a :class:`Failed` and is replaced.

        Raises:
            WorkerError: it died before it could work at all.
        """
        heard = wait([worker.connection for worker in self.workers], timeout)
        for worker in [worker for worker in self.workers if worker.connection in heard]:
            try:
                said = worker.connection.recv()
            except (EOFError, ConnectionResetError):
                task, failure = worker.task, self._death(worker)
                self._replace(worker)
                yield worker, task, failure
                continue
            if isinstance(said, Ready):
                worker.ready = True
                continue
            task = worker.task
            if not isinstance(said, Progress):
                worker.task = None
            yield worker, task, said

    def stop(self, seconds: float) -> None:
        """Ask all workers to save and stop; those that take longer than ``seconds`` are left to be killed."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        for worker in self.workers:
            while worker.task is not None and time.monotonic() < deadline and worker.process.poll() is None:
                if not worker.connection.poll(0.1):
                    continue
                try:
                    said = worker.connection.recv()
                except (EOFError, ConnectionResetError):
                    break
                if not isinstance(said, Progress):
                    worker.task = None

    def _start(self, number: int) -> Worker:
        log = self._logs / f"worker-{number}.log"
        with log.open("ab") as stream:
            process, ours = start_worker(
                "plr_fast.experiment.engine.worker",
                threads=self._threads,
                environment=self._environment(number),
                log=stream,
            )
        ours.send(Setup(self._threads, self._devices[number].split(":")[0]))
        return Worker(number, process, ours, log)

    def _environment(self, number: int) -> dict[str, str]:
        """So that a worker sees its own GPU only."""
        kind, _, index = self._devices[number].partition(":")
        if kind != "cuda":
            return {}
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        return {"CUDA_VISIBLE_DEVICES": visible[int(index or 0)] if visible else index or "0"}

    def _replace(self, worker: Worker) -> None:
        worker.connection.close()
        self.workers[worker.number] = self._start(worker.number)

    def _death(self, worker: Worker) -> Failed:
        try:
            code = worker.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            code = worker.process.wait()
        how = how_it_ended(code)
        why = "; most likely memory ran out: try fewer --jobs" if code == -signal.SIGKILL else ""
        told = f"; what it wrote stands in {worker.log}" if worker.log.stat().st_size else ""
        if not worker.ready:
            raise WorkerError(f"a worker process {how} before it began{why}{told}")
        return Failed(f"its worker process {how}{why}{told}")
