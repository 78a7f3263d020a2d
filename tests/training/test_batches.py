"""Steps take the same samples for any number of ranks, and a position is enough to go on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plr_fast.data.sampling import EpochSampler
from plr_fast.training.batches import StepBatches

SETTINGS: dict[str, Any] = {"seed": 3, "shuffle": True}


def taken(batches: StepBatches, epoch: int, start: int = 0) -> list[list[list[int]]]:
    """Steps of micro-batches of the keys that count, from ``start`` on."""
    batches.set_epoch(epoch, start)
    keys, steps, position = iter(batches), [], start
    while position < batches.length:
        step = batches.step(position)
        steps.append([next(keys)[:local] for local in step.local])
        position += step.size
    assert next(keys, None) is None
    return steps


@given(
    length=st.integers(1, 60),
    world_size=st.integers(1, 5),
    batch_size=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    epoch=st.integers(0, 3),
    steps_done=st.integers(0, 3),
)
def test_a_step_has_the_next_samples_of_the_common_order(
    length: int, world_size: int, batch_size: int, accumulate: int, epoch: int, steps_done: int
) -> None:
    common = EpochSampler(length, **SETTINGS)
    common.set_epoch(epoch)
    order = list(common)
    size = batch_size * accumulate * world_size
    start = min(steps_done * size, length)
    ranks = [
        StepBatches(length, batch_size=batch_size, accumulate=accumulate, rank=rank, world_size=world_size, **SETTINGS)
        for rank in range(world_size)
    ]
    everyone = [taken(batches, epoch, start) for batches in ranks]
    for number, position in enumerate(range(start, length, size)):
        step = [keys[number] for keys in everyone]
        assert sorted(key for rank in step for batch in rank for key in batch) == sorted(
            order[position : position + size]
        )
        assert len({len(rank) for rank in step}) == 1  # all meet as often
        assert all(len(batch) <= batch_size for rank in step for batch in rank)
        assert len(step[0]) <= accumulate
    assert len(ranks[0]) == sum(len(step) for step in everyone[0])
    for batches in ranks:
        batches.set_epoch(epoch)
        sizes = [len(keys) for keys in batches]
        assert min(sizes) >= batches.smallest
    assert batches.smallest in [len(keys) for rank in ranks for keys in rank]


def test_one_rank_takes_the_order_as_it_comes() -> None:
    batches = StepBatches(10, batch_size=4, **SETTINGS)
    batches.set_epoch(2)
    common = EpochSampler(10, **SETTINGS)
    common.set_epoch(2)
    assert [key for keys in batches for key in keys] == list(common)
    assert [len(keys) for keys in batches] == [4, 4, 2]


def test_a_rank_without_samples_stands_in_for_none() -> None:
    batches = StepBatches(5, batch_size=1, seed=0, shuffle=False, rank=1, world_size=2)
    assert list(batches) == [[1], [3], [4]]
    assert [batches.step(position).local for position in (0, 2, 4)] == [(1,), (1,), (0,)]
    assert batches.step(4).size == 1


@pytest.mark.parametrize(("length", "expected"), [(8, 4), (9, 1), (10, 2), (3, 3)])
def test_the_smallest_batch_is_known(length: int, expected: int) -> None:
    assert StepBatches(length, batch_size=4, seed=0, shuffle=False).smallest == expected
