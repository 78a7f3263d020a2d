"""How the learning rate falls in the course of a run."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from .config import TrainConfig


class Schedule(ABC):
    """Sets the learning rate of an optimiser's groups of parameters."""

    def begin_step(self, done: float) -> None:  # noqa: B027
        """Before an optimiser step, of ``done`` (0 … 1) of the run's epochs."""

    def end_epoch(self, value: float) -> None:  # noqa: B027
        """After an epoch; ``value`` is the validation's that the rate follows."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold of it."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The reverse."""


class Plateau(Schedule):
    """Multiply the rate by a factor after so many epochs without a better value (the paper's)."""

    def __init__(self, optimizer: Optimizer, config: TrainConfig, mode: Literal["min", "max"]) -> None:
        self._scheduler = ReduceLROnPlateau(
            optimizer,
            mode=mode,
            factor=config.plateau_factor,
            patience=config.plateau_patience,
            min_lr=config.min_lr,
        )

    def end_epoch(self, value: float) -> None:
        self._scheduler.step(value)

    def state_dict(self) -> dict[str, Any]:
        return self._scheduler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._scheduler.load_state_dict(dict(state))


class Cosine(Schedule):
    """Half a cosine from each group's own rate to ``min_lr``: a function of how much is done, so nothing is kept."""

    def __init__(self, optimizer: Optimizer, min_lr: float) -> None:
        self._optimizer, self._min_lr = optimizer, min_lr
        # Before a checkpoint is loaded, which brings the rates of where it stood.
        self._rates = [float(group["lr"]) for group in optimizer.param_groups]

    def begin_step(self, done: float) -> None:
        share = 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = self._min_lr + (rate - self._min_lr) * share

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        del state


def make_schedule(config: TrainConfig, optimizer: Optimizer, mode: Literal["min", "max"]) -> Schedule:
    """The schedule that ``config`` names; ``mode``: whether less or more is better of what a plateau follows."""
    return Cosine(optimizer, config.min_lr) if config.schedule == "cosine" else Plateau(optimizer, config, mode)
