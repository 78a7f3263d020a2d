"""The thread pools in forked and spawned processes, also where the fork comes while threads are at work."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import plr_fast
from tests.backends.processes import POOLS, TIMEOUT, require, run_on

SHAPE = (9, 33, 47)


def single() -> torch.Tensor:
    """Return the noise that one thread makes."""
    plr_fast.set_num_threads(1)
    noise = plr_fast.perlin_noise(SHAPE, seed=3)
    plr_fast.set_num_threads(None)
    return noise


class Noise(Dataset[tuple[torch.Tensor, int]]):
    """Items made by as many threads as a worker takes by itself (even ones) or by two (odd ones), and that default."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        plr_fast.use_backend(self.backend)
        plr_fast.set_num_threads(None)
        default = plr_fast.get_num_threads()
        if index % 2:
            plr_fast.set_num_threads(2)
        return plr_fast.perlin_noise((2, 33, 47), seed=3, samples=[index, index + 1]), default


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_loader_workers(pool: str, method: str) -> None:
    require(pool)
    plr_fast.use_backend(pool)
    expected = single()
    plr_fast.set_num_threads(2)
    plr_fast.perlin_noise(SHAPE, seed=3)  # the parent has used its threads before it forks
    loader = DataLoader(Noise(pool), batch_size=3, num_workers=2, multiprocessing_context=method, timeout=TIMEOUT)
    for _ in range(2 if method == "fork" else 1):  # the second time the loader forks again
        images, defaults = (torch.cat(parts) for parts in zip(*loader, strict=True))
        assert torch.equal(images[:, 0], expected[:6])
        assert torch.equal(images[:, 1], expected[1:7])
        assert defaults.tolist() == [1] * 6, "a loader's worker uses one thread unless told otherwise"


def _in_child(pool: str, depth: int, queue: multiprocessing.Queue[tuple[np.ndarray, int]]) -> None:
    plr_fast.use_backend(pool)
    plr_fast.set_num_threads(2)
    noise = plr_fast.perlin_noise(SHAPE, seed=3).numpy()
    threads = len(list(Path("/proc/self/task").iterdir())) if sys.platform == "linux" else 2
    queue.put((noise, threads))
    if depth > 0:
        child = multiprocessing.get_context("fork").Process(target=_in_child, args=(pool, depth - 1, queue))
        child.start()
        child.join(timeout=TIMEOUT)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_children_and_grandchildren_make_threads_of_their_own(pool: str) -> None:
    require(pool)
    plr_fast.use_backend(pool)
    expected = single()
    plr_fast.set_num_threads(2)
    plr_fast.perlin_noise(SHAPE, seed=3)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(pool, 1, queue))
    child.start()
    try:
        for _ in range(2):
            noise, threads = queue.get(timeout=TIMEOUT)
            assert torch.equal(torch.from_numpy(noise), expected)
            assert threads >= 2
        child.join(timeout=TIMEOUT)
        assert child.exitcode == 0
    finally:
        child.kill()
    assert torch.equal(plr_fast.perlin_noise(SHAPE, seed=3), expected), "the parent's threads are as they were"


# A fork copies the pool's locks as they stand, held by threads that the child does not have. Children write to a file
# descriptor and leave with os._exit: what else of Python or torch may break in them is not what is tested.
FORK_WHILE_BUSY = """
    import os, sys, threading, time
    import numpy as np
    import plr_fast

    def noise():
        out = np.empty((8, 24, 40), np.float32)
        plr_fast.perlin_noise(out.shape, seed=3, out=out)
        return out

    plr_fast.set_num_threads(1)
    expected = noise()
    plr_fast.set_num_threads(3)
    noise()
    over = threading.Event()
    wrong = []

    def keep_busy():
        while not over.is_set():
            if not np.array_equal(noise(), expected):
                wrong.append(1)

    busy = [threading.Thread(target=keep_busy) for _ in range(2)]
    for thread in busy:
        thread.start()
    failed = []
    for i in range(60):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(np.array_equal(noise(), expected) for _ in range(3)) else 1)
        patience = time.monotonic() + 30
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid or time.monotonic() > patience:
                break
            time.sleep(0.0005)
        if pid == 0:
            os.kill(child, 9)
            os.waitpid(child, 0)
            failed.append(f"child {i} hangs")
            break
        if status != 0:
            failed.append(f"child {i}: status {status}")
    over.set()
    for thread in busy:
        thread.join()
    print(failed or wrong or "all right")
"""


@pytest.mark.parametrize("pool", POOLS)
def test_fork_while_other_threads_are_at_work(pool: str) -> None:
    assert run_on(pool, FORK_WHILE_BUSY).strip() == "all right"
