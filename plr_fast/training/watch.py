"""For programs that run many trainings: being told how far the running one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Watcher: TypeAlias = Callable[[str, float, int], None]
"""Called with the kind of run (pretrain, finetune), the epochs done (a float, for it counts steps), and those asked
for. It is called after every step and must be quick."""

_watcher: ContextVar[Watcher | None] = ContextVar("plr_fast_training_watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Context in which runs that are started call ``watcher``."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def current_watcher() -> Watcher | None:
    return _watcher.get()
