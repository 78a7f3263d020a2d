"""Signals: the first asks the training loop to finish its step and save, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptGuard:
    """Context in which Ctrl-C and SIGTERM only set :attr:`received`; a second signal acts as it did before.

    Outside the main thread, where Python cannot set handlers, it does nothing.

    Args:
        notify: Called (in the handler) with the first signal's number.
    """

    def __init__(self, notify: Callable[[int], None] | None = None) -> None:
        self.received: int | None = None
        self._notify = notify
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            self._restore()
            os.kill(os.getpid(), number)
            return
        self.received = number
        if self._notify is not None:
            self._notify(number)

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            # None stands for a handler that was not set from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def shield_worker(worker: int) -> None:
    """``worker_init_fn`` of the loaders: Ctrl-C reaches the whole process group, but only the main process decides."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A forked worker inherits the guard's handler, which would swallow the loader's own terminate().
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
