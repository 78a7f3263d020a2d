"""The order of samples: a function of (seed, epoch), shared by ranks, resumable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plr_fast.data.sampling import EpochSampler, decode, encode


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1))
def test_keys_carry_epoch_and_index(epoch: int, index: int) -> None:
    assert decode(encode(epoch, index), default_epoch=0) == (epoch, index)


def test_plain_indices_belong_to_the_default_epoch() -> None:
    assert decode(17, default_epoch=5) == (5, 17)


@given(length=st.integers(0, 60), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 1000), ranks=st.integers(1, 7))
def test_ranks_share_the_same_set(length: int, seed: int, epoch: int, ranks: int) -> None:
    alone = EpochSampler(length, seed=seed)
    alone.set_epoch(epoch)
    order = list(alone)
    assert sorted(order) == [encode(epoch, i) for i in range(length)]
    parts = []
    for rank in range(ranks):
        sampler = EpochSampler(length, seed=seed, rank=rank, world_size=ranks)
        sampler.set_epoch(epoch)
        parts.append(list(sampler))
        assert len(parts[-1]) == len(sampler)
        assert parts[-1] == order[rank::ranks]


def test_epochs_and_seeds_differ_and_repeat() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(50, seed=seed)
        sampler.set_epoch(epoch)
        return [key % 2**32 for key in sampler]

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_start_skips_what_is_done() -> None:
    sampler = EpochSampler(10, seed=3)
    sampler.set_epoch(4)
    whole = list(sampler)
    sampler.set_epoch(4, start=7)
    assert list(sampler) == whole[7:]
    assert len(sampler) == 3
    sampler.set_epoch(4, start=99)
    assert list(sampler) == []
    assert len(sampler) == 0


def test_unshuffled_is_in_order() -> None:
    assert list(EpochSampler(4, shuffle=False)) == [0, 1, 2, 3]


def test_bad_arguments() -> None:
    for kwargs in ({"length": -1}, {"length": 2**32}, {"length": 4, "rank": 2, "world_size": 2}):
        with pytest.raises(ValueError, match="must be"):
            EpochSampler(**kwargs)
    with pytest.raises(ValueError, match="epoch"):
        EpochSampler(3).set_epoch(-1)
    with pytest.raises(ValueError, match="start"):
        EpochSampler(3).set_epoch(0, start=-1)
