"""Where a run stands, and how that goes to disk and back.

A run's state after any optimiser step is: weights, optimiser, scheduler, and :class:`State`. Samples and augmentation
depend on (seed, epoch, index) alone, so nothing else is needed to go on from there with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import CheckpointError
from ..files import require_space
from .average import Average
from .checkpoint import (
    Checkpoint,
    find_checkpoint,
    flatten_optimizer,
    load_checkpoint,
    save_checkpoint,
    unflatten_optimizer,
)
from .errors import DivergenceError
from .record import best_checkpoint, last_checkpoint
from .schedules import Schedule

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass
class State:
    """Where a run stands; all of it goes through JSON unchanged.

    Attributes:
        epoch: Epochs closed (trained, validated, logged).
        samples: Samples of the current epoch that all ranks together have trained on.
        step: Optimiser steps since the start.
        loss_sum: Sum of the training loss over those samples.
        seconds: Wall time since the start, stops left out.
        best_epoch: The best epoch, from 1; 0 before the first.
        best_score: What made it the best.
        history: One row for each closed epoch.
    """

    epoch: int = 0
    samples: int = 0
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best_epoch: int = 0
    best_score: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)


class Keeper:
    """Saves and restores one run; only rank 0 writes.

    With ``average`` that is what the best checkpoint holds, and the last one holds it beside the model.
    """

    def __init__(
        self,
        run: Path,
        fabric: Fabric,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: Schedule,
        average: Average | None = None,
    ) -> None:
        self.last, self.best = last_checkpoint(run), best_checkpoint(run)
        self._average = average.model if average is not None else None
        self._fabric, self._model, self._optimizer, self._scheduler = fabric, model, optimizer, scheduler

    def restore(self) -> State:
        """Read the last checkpoint into model, optimiser and scheduler; returns where it stood.

        Raises:
            CheckpointError: it is damaged or does not fit.
        """
        checkpoint = load_checkpoint(self.last)
        stored = checkpoint.state
        try:
            self._model.load_state_dict(checkpoint.model, strict=True)
            self._optimizer.load_state_dict(unflatten_optimizer(checkpoint.optimizer or {}, stored["optimizer"]))
            self._align()
            if self._average is not None:
                self._average.load_state_dict(checkpoint.average or {}, strict=True)
            self._scheduler.load_state_dict(stored["scheduler"])
            self._fabric.strategy.precision.load_state_dict(stored["precision"])
            return State(**{entry.name: stored["progress"][entry.name] for entry in fields(State)})
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{self.last} is damaged or not of this run: {error}") from error

    def save_last(self, state: State, loss_sum: float) -> None:
        """Save everything needed to go on; ``loss_sum`` is that of all ranks.

        Raises:
            DivergenceError: a weight is NaN or infinite; the former checkpoint is kept.
            StorageError: writing failed; the former checkpoint is kept.
        """
        if self._fabric.is_global_zero:
            self._require_finite(state)
            tensors, numbers = flatten_optimizer(self._optimizer.state_dict())
            content = {
                "progress": {**asdict(state), "loss_sum": loss_sum},
                "optimizer": numbers,
                "scheduler": self._scheduler.state_dict(),
                "precision": self._fabric.strategy.precision.state_dict(),
            }
            average = None if self._average is None else self._average.state_dict()
            save_checkpoint(self.last, Checkpoint(self._model.state_dict(), tensors, content, average))
        self._fabric.barrier()

    def save_best(self, state: State, row: Mapping[str, Any]) -> None:
        """Save the weights as the best, with the epoch's ``row``; raises as :meth:`save_last`."""
        if self._fabric.is_global_zero:
            self._require_finite(state)
            kept = self._model if self._average is None else self._average
            save_checkpoint(self.best, Checkpoint(kept.state_dict(), None, {"row": dict(row)}))
        self._fabric.barrier()

    def require_space(self) -> None:
        """Refuse to start when the disk cannot hold the checkpoints.

        Raises:
            StorageError: so.
        """
        size = sum(tensor.numel() * tensor.element_size() for tensor in self._model.state_dict().values())
        # At the most: last (weights, their average, two averages of the optimiser) twice during a save, and best.
        copies = 7 if self._average is None else 9
        require_space(self.last, copies * size, "saving the checkpoints")

    def diverged(self, what: str, state: State) -> DivergenceError:
        """The error to raise when ``what`` is not finite."""
        found = find_checkpoint(self.last)
        kept = f"the last good state is kept in {found}" if found else "no state had been saved yet"
        rate = self._optimizer.param_groups[0]["lr"]
        return DivergenceError(
            f"{what} after {state.step} steps (epoch {state.epoch + 1}, learning rate {rate:g}); {kept}. Start a new "
            "run with a lower --lr (--norm batch and --precision 32-true help, too), and see that the data hold no NaN"
        )

    def _align(self) -> None:
        """Lay the optimiser's averages out in memory as their weights are: another order takes other code paths."""
        for parameter, values in self._optimizer.state.items():
            for name, value in values.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)

    def _require_finite(self, state: State) -> None:
        for name, tensor in self._model.state_dict().items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise self.diverged(f"the weights {name} are not finite", state)
