"""A running average of the weights (EMA), which is validated and kept as the best instead of the weights themselves."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """The exponential average of a network's weights over the optimiser steps, on the same device.

    In the first steps the factor is (1 + step) / (10 + step) where that is less than ``decay``, so that the random
    weights of the start are soon forgotten. Buffers (the running statistics of batch norm) are averages already and are
    taken as they are.

    Args:
        model: The network; it is copied.
        decay: Share of the average that a step keeps, 0 < decay < 1.

    Attributes:
        model: A network with the averaged weights, in evaluation mode.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights of ``model`` after optimiser step ``step`` (from 1)."""
        keep = min(self._decay, (1 + step) / (10 + step))
        for mine, theirs in zip(self.model.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, 1.0 - keep)
        self.take_buffers(model)

    @torch.no_grad()
    def take_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of ``model``, which may have changed since the last step."""
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
