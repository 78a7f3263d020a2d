"""``plr-fast finetune``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..training import FinetuneConfig, finetune
from .options import read_with_config


def main(arguments: Sequence[str]) -> int:
    config = read_with_config(FinetuneConfig, "finetune", arguments)
    result = finetune(config)
    if result.rank == 0:
        sys.stdout.write(
            f"{result.run}: {result.epochs} epochs, best validation {config.best_by} {result.best_metric:.5g}\n"
        )
    return 0
