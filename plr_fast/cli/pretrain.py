"""``plr-fast pretrain``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..training import PretrainConfig, pretrain
from .options import read_with_config


def main(arguments: Sequence[str]) -> int:
    config = read_with_config(PretrainConfig, "pretrain", arguments)
    result = pretrain(config)
    if result.rank == 0:
        value = "MSE" if config.restores_alone else "loss"
        sys.stdout.write(f"{result.run}: {result.epochs} epochs, best validation {value} {result.best_metric:.5g}\n")
    return 0
