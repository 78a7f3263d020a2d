"""Signals: the first asks the training loop to finish its step and save, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptGuard:
    """Context in which Ctrl-C and SIGTERM only set :attr:`received`; a second signal acts as it did before.

    Outside the main thread, where Python cannot set handlers, it does nothing.

    Args:
        notify: Called (in the handler) with the first signal's number.
        merge: Seconds after the first signal during which others count as the same one. torchrun passes on the Ctrl-C
            that the terminal has sent to its processes already.
    """

    def __init__(self, notify: Callable[[int], None] | None = None, merge: float = 0.0) -> None:
        self.received: int | None = None
        self._merge, self._first = merge, 0.0
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
            if time.monotonic() - self._first >= self._merge:
                self._restore()
                os.kill(os.getpid(), number)
            return
        self.received, self._first = number, time.monotonic()
        if self._notify is not None:
            self._notify(number)

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            # None stands for a handler that was not set from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def shield_worker(worker: int) -> None:
    """``worker_init_fn`` of the loaders: signals reach the whole process group, but only the main process decides."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The same for SIGTERM, but the loader itself ends a worker that hangs with a second one.
    signal.signal(signal.SIGTERM, lambda _number, _frame: signal.signal(signal.SIGTERM, signal.SIG_DFL))
