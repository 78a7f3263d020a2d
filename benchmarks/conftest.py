"""What all benchmarks share: one thread everywhere, and two ways to measure.

Run them with `python -m benchmarks`, which also writes the tables.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numba
import pytest
import torch

import plr_fast
from benchmarks.rounds import ROUNDS, Absent, Candidate, Rounds

Timer = Callable[..., Any]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Everybody gets one thread: what is compared is the work, not the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    plr_fast.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    plr_fast.set_num_threads(None)
    plr_fast.use_backend("auto")


@pytest.fixture
def measure(benchmark: Any) -> Timer:
    """``measure(group, items, unit, call)`` times ``call``, which does ``items`` of ``unit``, under ``group``.

    For what stands alone; things whose ratio matters are measured in turns, by ``compare``.
    """

    def run(group: str, items: int, unit: str, call: Callable[[], Any]) -> Any:
        benchmark.group = group
        benchmark.extra_info.update(items=items, unit=unit)
        return benchmark.pedantic(call, rounds=7, warmup_rounds=2, iterations=1)

    return run


@pytest.fixture
def compare(benchmark: Any) -> Timer:
    """``compare(group, candidates, unit=..., baseline=...)`` times the candidates in turns (see ``benchmarks.rounds``).

    A round of pytest-benchmark is a round of turns: its own statistics are of the sum, ours travel in ``extra_info``.
    """

    def run(
        group: str,
        candidates: Sequence[Candidate],
        *,
        unit: str = "pixel",
        baseline: str,
        absent: Sequence[Absent] = (),
        notes: Sequence[str] = (),
    ) -> None:
        rounds = Rounds(candidates)
        rounds.warm_up()
        gc.collect()
        benchmark.group = group
        wall, cpu = time.perf_counter(), time.process_time()
        benchmark.pedantic(rounds, rounds=ROUNDS, iterations=1)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        benchmark.extra_info.update(
            cpu_share=cpu / wall,
            unit=unit,
            baseline=baseline,
            notes=list(notes),
            absent=[asdict(one) for one in absent],
            candidates=[
                {
                    "label": one.label,
                    "items": one.items,
                    "amount": one.amount,
                    "yardstick": one.yardstick,
                    "seconds": seconds,
                }
                for one, seconds in zip(rounds.candidates, rounds.seconds, strict=True)
            ],
        )

    return run
