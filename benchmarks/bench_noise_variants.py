"""What changes the speed of our noise: formats, instruction sets, threads, the size of a call, and fresh memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.fills import fills
from benchmarks.noise_settings import Setting
from benchmarks.our_noise import ours, present
from benchmarks.rounds import Absent, Candidate

PLAIN = Setting(64, (512, 512), 4.0, 4)
TINY = Setting(1, (64, 64), 4.0, 4)
TINY_CALLS = 1000
LARGE = Setting(1, (4096, 4096), 4.0, 4)
KEPT = 4

native = pytest.importorskip("plr_fast._native", reason="these compare variants of the compiled extension")


@pytest.fixture(autouse=True)
def same_instruction_set_afterwards() -> Iterator[None]:
    before = native.tier()
    yield
    native.select_tier(before)


@pytest.mark.parametrize("octaves", [4, 1])
def test_formats(compare: Any, octaves: int) -> None:
    setting = replace(PLAIN, octaves=octaves)
    shape = (setting.batch, *setting.sizes)
    formats: dict[str, dict[str, Any]] = {
        "float32": {"dtype": torch.float32},
        "uint8 fixed": {"dtype": torch.uint8, "grey": "fixed"},
        "uint8 minmax": {"dtype": torch.uint8, "grey": "minmax"},
        "float16": {"dtype": torch.float16},
        "bfloat16": {"dtype": torch.bfloat16},
    }
    compare(
        f"formats, {setting.name}",
        [ours(name, setting, torch.empty(shape, dtype=o["dtype"]), **o) for name, o in formats.items()],
        baseline="float32",
    )


@pytest.mark.parametrize(("cells", "octaves"), [(4.0, 1), (4.0, 4), (4.0, 6), (64.0, 1)])
def test_instruction_sets(compare: Any, cells: float, octaves: int) -> None:
    setting = replace(PLAIN, cells=cells, octaves=octaves)
    buffer = torch.empty(setting.batch, *setting.sizes)
    tiers = [name for name, supported in native.tiers() if supported]
    absent = [Absent(name, "absent: this CPU lacks it") for name, supported in native.tiers() if not supported]
    candidates = [ours(tier, setting, buffer, tier=tier) for tier in tiers]
    check_same_bits(candidates, buffer)
    compare(f"instruction sets, {setting.name}", candidates, baseline=tiers[0], absent=absent)


def check_same_bits(candidates: list[Candidate], buffer: torch.Tensor) -> None:
    """Assert that all candidates, which write to ``buffer``, write the same."""
    expected = None
    for one in candidates:
        buffer.zero_()
        assert one.prepare is not None
        one.prepare()
        one.call()
        expected = buffer.clone() if expected is None else expected
        assert torch.equal(buffer, expected), one.label


@pytest.mark.parametrize("octaves", [4, 1])
def test_threads(compare: Any, octaves: int) -> None:
    setting = replace(PLAIN, octaves=octaves)
    buffer = torch.empty(setting.batch, *setting.sizes)
    compare_threads(compare, f"threads, {setting.name}", setting, buffer)


def test_threads_on_one_large_image(compare: Any) -> None:
    buffer = torch.empty(LARGE.batch, *LARGE.sizes)
    compare_threads(compare, f"threads, one image: {LARGE.name}", LARGE, buffer)


def compare_threads(compare: Any, group: str, setting: Setting, buffer: torch.Tensor) -> None:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    counts = [n for n in (1, 2, 4, 8) if n <= max(cpus, 1)]
    absent = [] if cpus > 1 else [Absent("2 threads", "absent: one CPU here")]
    array = buffer.numpy().reshape(-1)
    with ThreadPoolExecutor(max(counts)) as pool:
        # What memory allows: the same buffer filled by as many threads.
        filling = [
            Candidate(f"fill by {n} thread{'s' if n > 1 else ''}", fill_in_parts(array, n, pool), array.size)
            for n in counts
        ]
        noise = [ours(f"{n} thread{'s' if n > 1 else ''}", setting, buffer, threads=n) for n in counts]
        check_same_bits(noise, buffer)
        compare(group, [*noise, *filling], baseline="1 thread", absent=absent)


def fill_in_parts(array: np.ndarray, threads: int, pool: ThreadPoolExecutor) -> Callable[[], None]:
    """Return a call that fills ``array``, a part by each thread (NumPy lets go of the interpreter's lock meanwhile)."""
    parts = np.array_split(array, threads)
    if threads == 1:
        return lambda: array.fill(1)

    def call() -> None:
        for _ in pool.map(lambda part: part.fill(1), parts):
            pass

    return call


def test_tiny_calls(compare: Any) -> None:
    out = torch.empty(TINY.batch, *TINY.sizes)
    array = np.empty(out.shape, np.float32)
    candidates, absent = present(
        [
            ours("native, out a tensor", TINY, out),
            ours("native, out an array", TINY, array),
            ours("native, without out", TINY, None),
            ours("Numba, out a tensor", TINY, out, backend="numba"),
        ]
    )
    compare(
        f"tiny calls, {TINY.name}, {TINY_CALLS:,} calls from Python",
        [many_times(one) for one in candidates],
        unit="call",
        baseline="native, out a tensor",
        absent=absent,
    )


def many_times(candidate: Candidate) -> Candidate:
    def call() -> None:
        one = candidate.call
        for _ in range(TINY_CALLS):
            one()

    return replace(candidate, call=call, items=TINY_CALLS, amount=f"{TINY_CALLS:,} calls")


@pytest.mark.parametrize("octaves", [4, 1])
def test_fresh_memory(compare: Any, octaves: int) -> None:
    setting = replace(PLAIN, octaves=octaves)
    shape = (setting.batch, *setting.sizes)
    buffer = torch.empty(shape)
    fresh = ours("without out, result dropped", setting, None)
    kept: deque[torch.Tensor] = deque(maxlen=KEPT)
    candidates = [
        ours("with out", setting, buffer),
        fresh,
        replace(fresh, label=f"without out, last {KEPT} results kept", call=lambda: kept.append(fresh.call())),
        Candidate("torch.full, result dropped", lambda: torch.full(shape, 0.5), buffer.numel()),
        Candidate("numpy.full, result dropped", lambda: np.full(shape, 0.5, np.float32), buffer.numel()),
    ]
    compare(f"fresh memory, {setting.name}", [*candidates, *fills(buffer)], baseline="with out")
