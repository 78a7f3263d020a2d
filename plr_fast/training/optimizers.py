"""Optimisers by name."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from .config import FinetuneConfig, TrainConfig


def make_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser that ``config`` names, over all parameters of ``model``; the encoder's are a group of their own
    where they have a learning rate of their own."""
    parameters: Any = model.parameters()
    encoder_lr = config.encoder_lr if isinstance(config, FinetuneConfig) else None
    if encoder_lr is not None:
        encoder = list(cast(Any, model).encoder.parameters())
        theirs = {id(parameter) for parameter in encoder}
        others = [parameter for parameter in model.parameters() if id(parameter) not in theirs]
        parameters = [{"params": others}, {"params": encoder, "lr": encoder_lr}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    if config.optimizer == "adadelta":
        return torch.optim.Adadelta(
            parameters, lr=config.lr, rho=config.rho, eps=config.eps, weight_decay=config.weight_decay
        )
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=config.lr, weight_decay=config.weight_decay)
