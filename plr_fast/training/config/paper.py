"""The paper's own settings, where they differ from the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

PAPER_PRETRAIN: Mapping[str, Any] = MappingProxyType(
    {
        "optimizer": "sgd",
        "lr": 1e-3,
        "momentum": 0.0,
        "batch_size": 4,
        "norm": "none",
        "count": (30, 30),
        "blend": "replace",
        "patch": (5, 25),
        "samples_per_epoch": 1856,
    }
)
"""The paper's pretraining (III.E, IV), as keyword arguments of :class:`PretrainConfig`; for a store of size 512."""

PAPER_FINETUNE: Mapping[str, Any] = MappingProxyType(
    {
        "optimizer": "adadelta",
        "lr": 0.1,
        "rho": 0.95,
        "eps": 1e-7,
        "batch_size": 16,
        "norm": "none",
        "hidden": 512,
        "zoom": (0.8, 1.2),
        "best_by": "accuracy",
    }
)
"""The paper's fine-tuning (III.E, IV.B), as keyword arguments of :class:`FinetuneConfig`; stores of size 224 or 512."""
