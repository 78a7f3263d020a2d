"""The pool that batches are fetched into: memory is used again when, and only when, nobody holds it."""

from __future__ import annotations

import gc
import pickle
import threading
from typing import Any

import numpy as np
import pytest
import torch

from plr_fast.data.buffers import BufferPool

SHAPE = (3, 5, 7)


def address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def test_memory_comes_again_when_the_tensor_is_gone() -> None:
    pool = BufferPool()
    tensor = pool.tensor(SHAPE, np.float32)
    assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == (SHAPE, torch.float32, True)
    assert tensor.data_ptr() % 64 == 0
    first = address(tensor)
    del tensor
    assert address(pool.tensor((7, 15), np.float32)) == first, "the shape may differ, the bytes count"


VIEWS: list[Any] = [
    lambda t: t[1:],
    lambda t: t.view(-1),
    lambda t: t.permute(2, 0, 1)[3],
    lambda t: t.numpy()[0],
    lambda t: t.detach(),
    lambda t: t.untyped_storage(),
    lambda t: torch.from_numpy(t.numpy()[1:]),
    lambda t: memoryview(t.numpy()),
]


@pytest.mark.parametrize("view", VIEWS)
def test_never_while_a_view_is_alive(view: Any) -> None:
    pool = BufferPool()
    tensor = pool.tensor(SHAPE, np.float32)
    first = address(tensor)
    held = view(tensor)
    del tensor
    gc.collect()
    assert address(pool.tensor(SHAPE, np.float32)) != first
    del held
    gc.collect()
    assert first in {address(t) for t in [pool.tensor(SHAPE, np.float32) for _ in range(2)]}


def test_no_more_than_asked_for_is_kept() -> None:
    pool = BufferPool(most=3)
    held = [pool.tensor((i + 1, 64), np.uint8) for i in range(8)]
    assert len(pool._kept) == 3
    del held
    # Free memory of other sizes makes room for what is asked for now.
    again = [pool.tensor((100 + i,), np.uint8) for i in range(8)]
    assert len(pool._kept) <= 3
    assert len({address(t) for t in again}) == 8


def test_threads_never_share() -> None:
    pool = BufferPool()
    failures = []

    def work(number: int) -> None:
        for _ in range(300):
            array = pool.array((4096,), np.int64)
            array[:] = number
            if (array != number).any():
                failures.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_pickles_without_its_memory() -> None:
    pool = BufferPool(most=5)
    held = pool.tensor((1000, 1000), np.float32)
    data = pickle.dumps(pool)
    assert len(data) < 1000
    assert pickle.loads(data).most == 5
    assert held.numel() == 10**6


def test_empty_shapes() -> None:
    assert BufferPool().tensor((0, 4), np.bool_).shape == (0, 4)
