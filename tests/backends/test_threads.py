"""Threads inside one process: results never depend on them, any number of callers may come, errors come through."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import plr_fast
from plr_fast.backends.threads import for_each_range, quota_of
from tests.backends.processes import TIMEOUT

SHAPE = (9, 33, 47)


@pytest.fixture
def single() -> Iterator[torch.Tensor]:
    """Give the noise that one thread makes."""
    plr_fast.set_num_threads(1)
    yield plr_fast.perlin_noise(SHAPE, seed=3)
    plr_fast.set_num_threads(None)


def test_number_of_threads_changes_nothing(backend: str, single: torch.Tensor) -> None:
    for n in (2, 3, 16, 1024):
        plr_fast.set_num_threads(n)
        assert torch.equal(plr_fast.perlin_noise(SHAPE, seed=3), single)


def test_a_hundred_callers_at_once(backend: str) -> None:
    bank = plr_fast.LesionBank.generate(40, 8, 64, seed=1)
    images, masks = torch.zeros(6, 40, 50, dtype=torch.uint8), torch.ones(6, 40, 50, dtype=torch.uint8)

    def work(caller: int) -> tuple[torch.Tensor, torch.Tensor]:
        seed = caller % 5
        return (
            plr_fast.perlin_noise(SHAPE, seed=seed),
            plr_fast.paste_lesions(images, masks, bank, seed=seed),
        )

    plr_fast.set_num_threads(1)
    expected = [work(caller) for caller in range(5)]
    plr_fast.set_num_threads(3)
    gate = threading.Barrier(100)

    def work_together(caller: int) -> tuple[torch.Tensor, torch.Tensor]:
        gate.wait(timeout=TIMEOUT)
        return work(caller)

    with ThreadPoolExecutor(100) as callers:
        results = list(callers.map(work_together, range(100)))
    for caller, (noise, pasted) in enumerate(results):
        assert torch.equal(noise, expected[caller % 5][0])
        assert torch.equal(pasted, expected[caller % 5][1])


def test_number_of_threads_changes_in_the_middle_of_work(backend: str, single: torch.Tensor) -> None:
    over = threading.Event()

    def change() -> None:
        n = 0
        while not over.is_set():
            plr_fast.set_num_threads(1 + n % 7)
            n += 1

    changer = threading.Thread(target=change)
    changer.start()
    try:
        with ThreadPoolExecutor(4) as callers:
            for result in callers.map(lambda _: plr_fast.perlin_noise(SHAPE, seed=3), range(200)):
                assert torch.equal(result, single)
    finally:
        over.set()
        changer.join()


@pytest.mark.parametrize(
    ("n", "error"),
    [(0, ValueError), (-1, ValueError), (4096, ValueError), (2.0, TypeError), (True, TypeError), ("2", TypeError)],
)
def test_bad_numbers(n: object, error: type[Exception]) -> None:
    before = plr_fast.get_num_threads()
    with pytest.raises(error, match="n must be"):
        plr_fast.set_num_threads(n)  # type: ignore[arg-type]
    assert plr_fast.get_num_threads() == before


def test_default_is_what_this_process_may_use() -> None:
    assert 1 <= plr_fast.get_num_threads() <= (os.cpu_count() or 1)
    plr_fast.set_num_threads(5)
    assert plr_fast.get_num_threads() == 5
    plr_fast.set_num_threads(None)
    assert 1 <= plr_fast.get_num_threads() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity")
def test_default_follows_a_change_of_affinity(backend: str, single: torch.Tensor) -> None:
    plr_fast.set_num_threads(None)
    usable = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(usable)})
        assert plr_fast.get_num_threads() == 1
        assert torch.equal(plr_fast.perlin_noise(SHAPE, seed=3), single)
    finally:
        os.sched_setaffinity(0, usable)
    assert plr_fast.get_num_threads() <= len(usable)
    assert torch.equal(plr_fast.perlin_noise(SHAPE, seed=3), single)


QUOTAS = [
    # /proc/self/cgroup, the files of the groups, CPUs
    ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),  # version 2, a container with a view of its own
    ("0::/\n", {"cpu.max": "max 100000\n"}, None),
    ("0::/a.slice/job\n", {"a.slice/cpu.max": "200000 100000\n", "a.slice/job/cpu.max": "max 100000\n"}, 2.0),
    ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "50000 100000\n", "cpu.max": "max 1\n"}, 0.5),
    ("0::/docker/4f\n", {"cpu.max": "300000 100000\n"}, 3.0),  # a name from outside the container
    ("2:cpu,cpuacct:/j\n", {"cpu,cpuacct/j/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/j/cpu.cfs_period_us": "100000\n"}, 2.5),  # noqa: E501
    ("1:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ("3:cpuset:/j\n", {"cpuset/j/cpu.cfs_quota_us": "1\n", "cpuset/j/cpu.cfs_period_us": "100000\n"}, None),
    ("0::/\n", {"cpu.max": "nonsense\n"}, None),
    ("0::/\n", {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("groups", "files", "cpus"), QUOTAS)
def test_quota_of_control_groups(tmp_path: Path, groups: str, files: dict[str, str], cpus: float | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert quota_of(groups, tmp_path) == cpus


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 64])
def test_ranges_cover_everything_once(count: int, threads: int) -> None:
    seen: list[int] = []
    for_each_range(count, threads, lambda first, last: seen.extend(range(first, last)))
    assert sorted(seen) == list(range(count))


def test_an_exception_comes_through_once_all_work_is_done() -> None:
    done: list[int] = []
    running = threading.Semaphore(0)

    def body(first: int, last: int) -> None:
        if first == 0:
            running.acquire(timeout=TIMEOUT)  # so that the error is no later than the work of the others
            raise MemoryError(f"range {first}..{last}")
        running.release()
        done.extend(range(first, last))

    with pytest.raises(MemoryError, match=r"range 0\.\.10"):
        for_each_range(40, 4, body)
    assert sorted(done) == list(range(10, 40)), "no helper works on after the call has ended"
    seen: list[int] = []
    for_each_range(40, 4, lambda first, last: seen.extend(range(first, last)))
    assert sorted(seen) == list(range(40)), "the helpers survive an exception"


def test_nested_ranges_finish() -> None:
    seen: list[int] = []

    def outer(first: int, last: int) -> None:
        for i in range(first, last):
            for_each_range(6, 3, lambda a, b, i=i: seen.extend(10 * i + k for k in range(a, b)))

    for_each_range(5, 3, outer)
    assert sorted(seen) == [10 * i + k for i in range(5) for k in range(6)]
