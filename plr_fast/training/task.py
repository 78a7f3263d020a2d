"""What the training loop must know of the thing it trains; pretraining and fine-tuning each are one :class:`Task`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist

from ..errors import ConfigError
from .batches import StepBatches
from .config import TrainConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Batch = dict[str, Tensor]


class Meter(ABC):
    """Gathers the validation of one epoch."""

    @abstractmethod
    def update(self, model: nn.Module, batch: Batch) -> None:
        """Add one batch; called without gradients, the model in evaluation mode."""

    @abstractmethod
    def compute(self, fabric: Fabric) -> dict[str, float | None]:
        """The values over all batches of all ranks, by column name (``val_…``); None where undefined."""


class Task(ABC):
    """A model, its data and its objective.

    Attributes:
        kind: Name of the task in the run's record.
        model: The network, initialised.
        train_data: Map-style dataset with a length; item ``epoch · 2³² + i`` is sample ``i`` of that epoch.
        val_data: The same; validation always reads epoch 0.
        best_metric: The column that the best checkpoint is named by.
        plateau: Column that the learning rate follows, and whether less or more is better.
        parts: The parts of the last batch's loss by name, before weighting, detached; empty where it has none.
    """

    kind: ClassVar[str]
    model: nn.Module
    train_data: Any
    val_data: Any
    best_metric: str
    plateau: tuple[str, Literal["min", "max"]]
    parts: Mapping[str, Tensor] = MappingProxyType({})

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch, epoch: int) -> Tensor:
        """The mean training loss over the batch (a scalar)."""

    @abstractmethod
    def meter(self) -> Meter:
        """A fresh meter."""

    @abstractmethod
    def score(self, row: dict[str, Any]) -> Sequence[float]:
        """What the epochs are ordered by (the greatest is the best), first entry first."""


def reduced_sums(fabric: Fabric, sums: Tensor) -> list[float]:
    """Add ``sums`` up over all ranks."""
    total = fabric.all_reduce(sums, reduce_op="sum")
    assert isinstance(total, Tensor)
    return [float(value) for value in total.tolist()]


def gathered(fabric: Fabric, values: Tensor) -> Tensor:
    """Join the 1-D ``values`` of all ranks, which may differ in length, in the order of the ranks."""
    if fabric.world_size == 1:
        return values
    # By sums of zeros and one rank's values, which is exact and needs no equal lengths.
    lengths = torch.zeros(fabric.world_size, dtype=torch.int64, device=values.device)
    lengths[fabric.global_rank] = len(values)
    ends = torch.as_tensor(reduced_sums(fabric, lengths), dtype=torch.int64).cumsum(0).tolist()
    joined = values.new_zeros(ends[-1])
    joined[ends[fabric.global_rank] - len(values) : ends[fabric.global_rank]] = values
    total = fabric.all_reduce(joined, reduce_op="sum")
    assert isinstance(total, Tensor)
    return total


def has_batch_norm(model: nn.Module) -> bool:
    """Whether what ``model`` learns depends on how a step's samples are split into batches."""
    return any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def check_batch_norm(config: TrainConfig, model: nn.Module, size: int, samples: int) -> None:
    """Refuse a batch norm that would meet a batch of one value, whose variance is undefined.

    Args:
        model: The network, with an ``encoder`` whose ``stride`` is that of its coarsest feature map.
        size: Side of the slices in pixels.
        samples: Training samples of an epoch.

    Raises:
        ConfigError: so; says what to change.
    """
    world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    batches = StepBatches(
        samples,
        seed=0,
        shuffle=False,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        world_size=world,
    )
    smallest = batches.smallest
    if world > 1 and config.sync_norm:
        smallest = min(batches.step(position).size for position in range(0, samples, batches.step_size))
    has_norm = has_batch_norm(model)
    stride: int = cast(Any, model).encoder.stride
    if has_norm and size <= stride and smallest == 1:
        raise ConfigError(
            f"batch norm needs more than one value per channel, but slices of {size} pixels leave one at the bottom "
            f"and {samples} samples in batches of {config.batch_size} end in a batch of one; take another batch_size, "
            "larger slices, or a network without (norm='none')"
        )
