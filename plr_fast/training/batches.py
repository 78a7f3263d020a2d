"""Which samples an optimiser step takes, and what part of them each rank: the same steps for any number of ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch.utils.data import Sampler

from ..data.sampling import EpochSampler, encode


@dataclass(frozen=True)
class Step:
    """One optimiser step as one rank sees it.

    Attributes:
        size: Samples of the step on all ranks together.
        local: Samples of each micro-batch of this rank; 0 where other ranks have some left and this one has none.
    """

    size: int
    local: tuple[int, ...]


class StepBatches(Sampler[list[int]]):
    """Batch sampler: yields the keys of one micro-batch after another, for this rank.

    A step takes the next ``batch_size · accumulate · world_size`` positions of the epoch's common order (see
    :class:`plr_fast.data.sampling.EpochSampler`), the last step what is left. Rank r of R takes positions r, r + R, …
    of the step. So the samples of a step do not depend on the number of ranks, as long as that product is the same, and
    one number, the position, says where an epoch stands.

    Every rank gets as many micro-batches as rank 0, because all must meet when gradients are averaged: a rank that has
    no sample left is given the step's first one, to be counted as none (:meth:`step` says so).

    Args:
        length: Samples of an epoch.
        seed: 0..2^63-1.
        shuffle: A new permutation every epoch; otherwise 0, 1, 2, …
        batch_size: Most samples of a micro-batch.
        accumulate: Micro-batches of a step, at most.
        rank, world_size: This process and how many there are.
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int,
        shuffle: bool,
        batch_size: int,
        accumulate: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._order = EpochSampler(length, seed=seed, shuffle=shuffle)
        self.length, self.batch_size, self.rank, self.world_size = length, batch_size, rank, world_size
        self.step_size = batch_size * accumulate * world_size
        self.start = 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Go to ``epoch``, position ``start`` of the common order."""
        self._order.set_epoch(epoch)
        self.start = start

    def step(self, position: int) -> Step:
        """The step that begins at ``position``."""
        size = min(self.step_size, self.length - position)
        most, mine = (len(range(rank, size, self.world_size)) for rank in (0, self.rank))
        return Step(size, tuple(max(0, min(self.batch_size, mine - k)) for k in range(0, most, self.batch_size)))

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order.order()
        for position in range(self.start, self.length, self.step_size):
            keys = [encode(self._order.epoch, int(index)) for index in order[position : position + self.step_size]]
            mine, first = keys[self.rank :: self.world_size], 0
            for local in self.step(position).local:
                yield mine[first : first + local] or keys[:1]
                first += local

    def __len__(self) -> int:
        """Micro-batches that are left."""
        return sum(len(self.step(position).local) for position in range(self.start, self.length, self.step_size))

    @property
    def smallest(self) -> int:
        """Fewest samples that a network sees at once on any rank."""
        sizes = {min(self.step_size, self.length), self.length % self.step_size or self.step_size}
        shares = {share for size in sizes for share in (size // self.world_size, -(-size // self.world_size))}
        return min(max(share, 1) % self.batch_size or self.batch_size for share in shares)
