"""What all benchmarks share: one thread everywhere, groups, and throughput as extra information.

Run them with `python -m benchmarks`, which also writes the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numba
import pytest
import torch

import plr_fast

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
    """``measure(group, items, unit, call)`` times ``call``, which does ``items`` of ``unit``, under ``group``."""

    def run(group: str, items: int, unit: str, call: Callable[[], Any]) -> Any:
        benchmark.group = group
        benchmark.extra_info.update(items=items, unit=unit)
        return benchmark.pedantic(call, rounds=7, warmup_rounds=2, iterations=1)

    return run
