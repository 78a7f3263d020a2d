"""The order of samples: a pure function of (seed, epoch), shared out over ranks, resumable anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

EPOCH_STRIDE = 2**32


def encode(epoch: int, index: int) -> int:
    """Return one integer that carries both epoch and index, for a data set to take apart.

    It travels through the sampler, so that workers learn the epoch with each request, also persistent ones and those
    that prefetch across an epoch's end.
    """
    return epoch * EPOCH_STRIDE + index


def decode(key: int, default_epoch: int) -> tuple[int, int]:
    """Return (epoch, index) of a key; a plain index below 2^32 belongs to ``default_epoch``."""
    epoch, index = divmod(int(key), EPOCH_STRIDE)
    return (epoch or default_epoch), index


class EpochSampler(Sampler[int]):
    """Yields ``encode(epoch, index)`` in an order that depends on ``seed`` and the epoch alone.

    Rank r of R takes positions r, r + R, r + 2R, ... of the common order, so the set of samples of an epoch is the
    same for any number of ranks. Where the length does not divide, the last ranks have one sample fewer; nothing is
    repeated.

    Args:
        length: samples in the data set.
        seed: 0..2^63-1.
        shuffle: a new permutation every epoch; otherwise 0, 1, 2, ...
        rank, world_size: this process and how many there are.
    """

    def __init__(self, length: int, *, seed: int = 0, shuffle: bool = True, rank: int = 0, world_size: int = 1) -> None:
        if not 0 <= length < EPOCH_STRIDE:
            raise ValueError(f"length must be 0..2^32-1, not {length}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be 0..{world_size - 1}, not {rank}")
        self.length = length
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.set_epoch(0)

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Go to ``epoch``, and skip the first ``start`` samples of this rank (to go on after an interruption)."""
        if not 0 <= epoch < 2**31:
            raise ValueError(f"epoch must be 0..2^31-1, not {epoch}")
        if start < 0:
            raise ValueError(f"start must be at least 0, not {start}")
        self.epoch = epoch
        self.start = start

    def order(self) -> np.ndarray:
        """Return the indices of this rank in this epoch, int64, before ``start`` is skipped."""
        if self.shuffle:
            # Keyed by (seed, epoch): nothing to save, nothing to advance. NumPy keeps the raw words of a bit generator
            # the same for ever, but not what Generator.permutation makes of them.
            words = np.random.Philox(key=[self.seed, self.epoch]).random_raw(self.length)
            everyone = np.argsort(words, kind="stable")
        else:
            everyone = np.arange(self.length)
        return everyone[self.rank :: self.world_size]

    def __iter__(self) -> Iterator[int]:
        for index in self.order()[self.start :]:
            yield encode(self.epoch, int(index))

    def __len__(self) -> int:
        mine = -(-(self.length - self.rank) // self.world_size)
        return max(0, mine - self.start)
