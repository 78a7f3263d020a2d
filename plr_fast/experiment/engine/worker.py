"""A worker process of ``plr-fast experiment``: is given one task after the other, and says how each went.

``pool`` starts it; the connection carries :class:`Setup` once and tasks to it, and :class:`Ready`, then
:class:`~.tasks.Progress` and one of Done, Failed and Stopped for each task back.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import FrameType
from typing import Any, TypeAlias

from ...errors import PlrFastError, StorageError
from .tasks import Done, Failed, Progress, Stopped, Task

_TOLD_EVERY = 0.3  # seconds


@dataclass(frozen=True)
class Setup:
    """How a worker is to work: CPU threads, and the device type for Lightning Fabric."""

    threads: int
    accelerator: str


@dataclass(frozen=True)
class Ready:
    """The worker has started and waits for tasks."""


ToParent: TypeAlias = "Connection[Ready | Progress | Done | Failed | Stopped, Setup | Task]"


class _Stop(BaseException):
    """SIGTERM, outside of training (which saves by itself)."""


def main(descriptor: int) -> None:
    """Work until the other end of the connection is closed, by the parent's will or its death."""
    connection: ToParent = Connection(descriptor)
    signal.signal(signal.SIGTERM, _raise_stop)
    # Ctrl-C reaches all processes of the terminal; only the parent decides, and says it by SIGTERM.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
        inbox: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
        setup: Setup = inbox.get()
        _prepare(setup)
        connection.send(Ready())
        while True:
            connection.send(_work(inbox.get(), setup, connection))
    except (BrokenPipeError, ConnectionResetError, _Stop):
        pass
    sys.stderr.flush()
    os._exit(0)  # torch's threads are not waited for


def _listen(connection: ToParent, inbox: SimpleQueue[Any]) -> None:
    try:
        while True:
            inbox.put(connection.recv())
    except (EOFError, OSError):
        # The parent is gone, perhaps killed. What is saved is saved; another engine may want this very run.
        os._exit(0)


def _prepare(setup: Setup) -> None:
    import torch

    from ... import set_num_threads

    torch.set_num_threads(setup.threads)
    set_num_threads(setup.threads)
    # What takes seconds to import is imported before the first task is timed.
    for name in ("lightning_fabric", "sklearn.metrics", "plr_fast.data.datasets", "plr_fast.training.finetuning"):
        importlib.import_module(name)
    for name in ("plr_fast.training.pretraining", "plr_fast.evaluation", "plr_fast.experiment.engine.train_cell"):
        importlib.import_module(name)


def _work(task: Task, setup: Setup, connection: ToParent) -> Done | Failed | Stopped:
    from ...training.errors import TrainingInterrupted
    from .train_cell import do_task

    told = 0.0

    def tell(share: float, note: str) -> None:
        nonlocal told
        if time.monotonic() - told >= _TOLD_EVERY:
            told = time.monotonic()
            connection.send(Progress(share, note))

    try:
        return do_task(task, threads=setup.threads, accelerator=setup.accelerator, tell=tell)
    except (TrainingInterrupted, _Stop, KeyboardInterrupt):
        return Stopped()
    except StorageError as error:
        return Failed(str(error), fatal=True)
    except PlrFastError as error:
        return Failed(str(error))
    except Exception as error:
        return Failed(f"{type(error).__name__}: {error}", traceback.format_exc())


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stop
