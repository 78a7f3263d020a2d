"""How long trainings take on this machine and how large networks are, measured by a few steps of each kind."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .tasks import EncoderTask, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUDGET = 1.5  # seconds for one step that is timed, if a single slice is faster than that
_NETWORK = ("encoder", "widths", "norm", "context", "batch_size", "optimizer", "model", "danet_scale", "hidden")


@dataclass(frozen=True)
class Speed:
    """Of one kind of network.

    Attributes:
        train, judge: seconds for one slice in training and in validation.
        size: bytes of its weights.
    """

    train: float
    judge: float
    size: int


class Stopwatch:
    """Times steps, once for each kind of network and size of slice.

    Args:
        threads: CPU threads that each worker will have.
        device: where it will train: ``cpu``, ``cuda:0``, ``mps``.
    """

    def __init__(self, threads: int, device: str) -> None:
        self._threads, self._device = threads, device
        self._known: dict[str, Speed] = {}

    @property
    def kinds(self) -> int:
        """How many kinds of network were timed."""
        return len(self._known)

    def seconds(self, task: Task) -> float:
        """The longest that ``task`` takes: all its epochs, none left out by an early stop."""
        if not isinstance(task, EncoderTask) and task.control is not None:
            return 1.0
        speed = self.speed(task)
        train, val = task.samples
        return task.config.epochs * (train * speed.train + val * speed.judge)

    def speed(self, task: Task) -> Speed:
        """Of the network of ``task``, measured now if it is the first of its kind."""
        settings = task.config.to_json()
        kind = type(task.config).__name__
        key = json.dumps([kind, task.size, [settings.get(name) for name in _NETWORK]])
        if key not in self._known:
            with _threads(self._threads):
                self._known[key] = _measure(task, kind == "PretrainConfig", self._device)
        return self._known[key]


def _measure(task: Task, restores: bool, device: str) -> Speed:
    import torch
    from torch.nn import functional as F

    from ...training.networks import input_channels, make_classifier, make_unet
    from ...training.optimizers import make_optimizer

    config, settings = task.config, task.config.to_json()
    model: Any = (make_unet(settings) if restores else make_classifier(settings)).to(device)
    if device == "cpu":
        model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(config, model)
    channels = input_channels(settings)

    def images(count: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.rand(count, channels, task.size, task.size, generator=generator).to(device)

    def step(batch: torch.Tensor) -> None:
        output = model(batch)
        loss = F.mse_loss(output, batch[:, :1]) if restores else output.square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def timed(batch: torch.Tensor, *, train: bool) -> float:
        model.train(train)
        started = time.perf_counter()
        if train:
            step(batch)
        else:
            with torch.no_grad():
                model(batch)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() - started

    pair = images(2)  # batch norm needs two
    timed(pair, train=True)
    alone = timed(pair, train=True) / 2
    count = max(2, min(config.batch_size, int(_BUDGET / max(alone, 1e-6))))
    batch = images(count)
    rounds = 3 if alone * count < _BUDGET / 3 else 1
    train = _median([timed(batch, train=True) for _ in range(rounds)]) / count
    judge = _median([timed(batch, train=False) for _ in range(rounds)]) / count
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    return Speed(train, judge, size)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
