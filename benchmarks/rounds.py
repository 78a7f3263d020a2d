"""Timing of alternatives in turns, so that a machine whose speed drifts treats all of them alike.

One round gives every candidate one turn, in order, and in reverse order in every other round. Within a turn the call
is repeated for some milliseconds; the turn's time is the median of its calls but the first, which finds cold caches.
Ratios are formed round by round, between turns that are a moment apart, and their median is reported.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

ROUNDS = 9
TURN = 0.05  # seconds that a turn lasts at least
SLOW, SLOW_ROUNDS = 0.5, 3  # a call that takes so many seconds is timed in so many rounds only


@dataclass(frozen=True)
class Candidate:
    """One of the things that are compared.

    Attributes:
        label: the row's name in the table.
        call: what is timed.
        items: pixels, images, ... that a call makes.
        amount: the same in words, for the table; "" for none.
        prepare: called before each turn, untimed: it chooses backend, threads, instruction set.
        yardstick: one of the ways to fill the buffer; the fastest of them is what shares are shares of.
    """

    label: str
    call: Callable[[], Any]
    items: int
    amount: str = ""
    prepare: Callable[[], Any] | None = None
    yardstick: bool = False


@dataclass(frozen=True)
class Absent:
    """A candidate that could not be measured, and why; it gets a row all the same."""

    label: str
    reason: str


class Rounds:
    """Call it once a round; ``seconds`` then holds each candidate's time per call, one entry a round."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = list(candidates)
        self.seconds: list[list[float]] = [[] for _ in self.candidates]
        self._count = 0

    def warm_up(self) -> None:
        """Call everything once: compilers run, and memory is touched, outside the rounds."""
        for candidate in self.candidates:
            if candidate.prepare is not None:
                candidate.prepare()
            candidate.call()

    def __call__(self) -> None:
        order = range(len(self.candidates))
        for i in order if self._count % 2 == 0 else reversed(order):
            times = self.seconds[i]
            if len(times) < SLOW_ROUNDS or times[0] < SLOW:
                times.append(turn(self.candidates[i]))
        self._count += 1


def turn(candidate: Candidate) -> float:
    """Return the seconds that a call takes now."""
    if candidate.prepare is not None:
        candidate.prepare()
    times: list[float] = []
    while sum(times) < TURN:
        start = time.perf_counter()
        candidate.call()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:] or times)
