"""``plr-fast pretrain``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..training import PretrainConfig, pretrain
from .options import read_with_config


def main(arguments: Sequence[str]) -> int:
    result = pretrain(read_with_config(PretrainConfig, "pretrain", arguments))
    if result.rank == 0:
        sys.stdout.write(f"{result.run}: {result.epochs} epochs, best validation MSE {result.best_metric:.5g}\n")
    return 0
