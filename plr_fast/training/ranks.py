"""What the processes of one run, its ranks, must agree on, and how they end together."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from ..errors import ConfigError
from .errors import RankLostError
from .task import reduced_sums

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch._C._distributed_c10d import Store

_ASK_SECONDS = 5.0
_SETTLE_SECONDS = 0.2
_LINGER_SECONDS = 1.0
_runs = 0


class Ranks:
    """The ranks of one run; with a single one nothing is sent anywhere.

    Attributes:
        size: How many there are.
        rank: This one, from 0.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.size, self.rank = fabric.world_size, fabric.global_rank
        self._cast: tuple[Tensor, torch.cuda.Event] | None = None

    def describe(self) -> str:
        """The devices in words: "cuda:0", "8 × cuda"."""
        device = self._fabric.device
        return str(device) if self.size == 1 else f"{self.size} × {device.type}"

    def vote(self, stop: int, due: bool) -> tuple[int, bool]:
        """What any rank says: the number of a signal that asks to stop (0: none), and whether it is time to save.

        A signal may reach one of them only, and their clocks differ.

        All ranks must call it as often as the others. On a GPU the answer is that of the call before, so that nobody
        waits for the device; :meth:`settle` gives the last one.
        """
        if self.size == 1:
            return stop, due
        device = self._fabric.device
        total = self._largest(torch.tensor([float(stop), float(due)], device=device))
        if device.type != "cuda":
            return _decided(total)
        answer = torch.empty(2, pin_memory=True)
        answer.copy_(total, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        before, self._cast = self.settle(), (answer, event)
        return before

    def settle(self) -> tuple[int, bool]:
        """The answer to the last :meth:`vote` where that has not given it; else (0, False)."""
        if self._cast is None:
            return 0, False
        (answer, event), self._cast = self._cast, None
        event.synchronize()
        return _decided(answer)

    def sum(self, value: float) -> float:
        """The sum of ``value`` over all ranks."""
        if self.size == 1:
            return value
        return reduced_sums(self._fabric, torch.tensor([value], dtype=torch.float64, device=self._fabric.device))[0]

    def require_same(self, run: Path, facts: Mapping[str, Any], *, checkpoint: bool) -> None:
        """Refuse to train when ranks see different data, or when not all of them see the run's folder.

        Raises:
            ConfigError: so; on all ranks.
        """
        if self.size == 1:
            return
        text = json.dumps(facts, sort_keys=True, default=str)
        mine = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")  # 32 bits: the sum is exact in float64
        if self.sum(float(mine)) != mine * self.size:
            raise ConfigError(
                "the processes of this run do not see the same data: the store (or the bank, or init) differs between "
                "machines; copy one store to all of them, or put it where all can read it"
            )
        if self.sum(float(checkpoint)) not in (0.0, self.size):
            raise ConfigError(f"not all machines see the checkpoint in {run}: run must be a folder that they share")

    def share_buffers(self, module: nn.Module) -> None:
        """Give all ranks the buffers of rank 0 (the running statistics of batch norm), as each step begins with."""
        if self.size > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, 0)

    def _largest(self, values: Tensor) -> Tensor:
        largest = self._fabric.all_reduce(values, reduce_op="max")
        assert isinstance(largest, Tensor)
        return largest


def _decided(votes: Tensor) -> tuple[int, bool]:
    stop, due = votes.tolist()
    return int(stop), due > 0


@contextmanager
def end_together(fabric: Fabric, run: Path, timeout: float) -> Iterator[None]:
    """Context in which an error of one rank soon ends all of them, and only one of them speaks.

    The rank that fails says so in the store that the processes met at, and leaves the process group, at which the
    others' next exchange fails. Their errors then have ``silent`` set. A rank that was killed said nothing: the
    first of those that miss it speaks, with a :class:`RankLostError`.
    """
    if fabric.world_size == 1:
        yield
        return
    board = _board()
    try:
        yield
    except BaseException as error:
        found: BaseException = _lost(run, timeout) if _is_lost(error) else error
        _set_silent(found, not _speaks_first(board, fabric))
        if fabric.device.type == "cpu":
            # gloo's threads want Python's lock to put away what was exchanged, and the group waits for them with it.
            time.sleep(_SETTLE_SECONDS)
            with suppress(Exception):
                dist.destroy_process_group()
        if fabric.is_global_zero:
            time.sleep(_LINGER_SECONDS)  # where this process keeps the store, the others still want to ask it
        if found is error:
            raise
        raise found from error


def met_others() -> bool:
    """Whether this process has been one of several of a run."""
    return _runs > 0


def _board() -> Store:
    """A connection of our own to the store where the processes met; a prefix for each run and restart."""
    from torch._C._distributed_c10d import PrefixStore, TCPStore  # not there on platforms without torch.distributed

    global _runs
    _runs += 1
    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        timeout=timedelta(seconds=_ASK_SECONDS),
    )
    return PrefixStore(f"plr_fast/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{_runs}", store)


def _speaks_first(board: Store, fabric: Fabric) -> bool:
    try:
        return int(board.add("ended", 1)) == 1
    except RuntimeError:
        # The process that kept the store, on the first machine, has gone without a word: one on each machine speaks.
        return fabric.global_rank == 1 or fabric.local_rank == 0


def _is_lost(error: BaseException) -> bool:
    if isinstance(error, dist.DistError):
        return True
    # gloo has no class of errors of its own.
    signs = ("gloo", "Connection closed by peer", "caused pair closure")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def _lost(run: Path, timeout: float) -> RankLostError:
    return RankLostError(
        f"another process of this run has ended, or did not answer for {timeout:g} s (collective_timeout); the last "
        f"good state is in {run}: continue with --resume"
    )


def _set_silent(error: BaseException, silent: bool) -> None:
    error.silent = silent  # type: ignore[attr-defined]
