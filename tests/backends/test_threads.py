"""Threads: results never depend on them, and they survive fork, spawn, loaders and company."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import plr_fast

SHAPE = (9, 33, 47)


def expected() -> torch.Tensor:
    plr_fast.set_num_threads(1)
    return plr_fast.perlin_noise(SHAPE, seed=3)


class Noise(Dataset[tuple[torch.Tensor, int]]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return plr_fast.perlin_noise((1, 33, 47), seed=3, samples=[index])[0], plr_fast.get_num_threads()


def test_number_of_threads_changes_nothing(backend: str) -> None:
    one = expected()
    for n in (2, 3, 16):
        plr_fast.set_num_threads(n)
        assert torch.equal(plr_fast.perlin_noise(SHAPE, seed=3), one)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_loader_workers(backend: str, method: str) -> None:
    one = expected()
    plr_fast.set_num_threads(2)
    plr_fast.perlin_noise(SHAPE, seed=3)  # the parent has used its threads before it forks
    plr_fast.set_num_threads(None)
    loader = DataLoader(Noise(), batch_size=2, num_workers=2, multiprocessing_context=method)
    images, threads = (torch.cat(parts) for parts in zip(*loader, strict=True))
    assert torch.equal(images, one[:6])
    assert threads.tolist() == [1] * 6, "a loader's worker uses one thread unless told otherwise"


def _in_child(queue: multiprocessing.Queue[float]) -> None:
    plr_fast.set_num_threads(2)
    queue.put(float(plr_fast.perlin_noise(SHAPE, seed=3).sum()))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_makes_threads_of_its_own(backend: str) -> None:
    one = expected()
    plr_fast.set_num_threads(2)
    plr_fast.perlin_noise(SHAPE, seed=3)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == float(one.sum())
    child.join(timeout=60)
    assert child.exitcode == 0


def test_many_callers_at_once(backend: str) -> None:
    one = expected()
    plr_fast.set_num_threads(2)
    with ThreadPoolExecutor(32) as pool:
        for result in pool.map(lambda _: plr_fast.perlin_noise(SHAPE, seed=3), range(100)):
            assert torch.equal(result, one)


def test_process_ends_while_threads_sleep() -> None:
    code = "import plr_fast; plr_fast.set_num_threads(4); plr_fast.perlin_noise((8, 64, 64))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (-1, ValueError), (4096, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_bad_numbers(n: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="n must be"):
        plr_fast.set_num_threads(n)  # type: ignore[arg-type]


def test_default_is_what_this_process_may_use() -> None:
    import os

    plr_fast.set_num_threads(None)
    assert 1 <= plr_fast.get_num_threads() <= (os.cpu_count() or 1)
