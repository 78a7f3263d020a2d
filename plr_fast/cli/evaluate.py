"""``plr-fast evaluate``."""

from __future__ import annotations

from collections.abc import Sequence

from ..evaluation import EvaluateConfig, evaluate
from .options import read_with_config
from .results import print_results


def main(arguments: Sequence[str]) -> int:
    print_results(evaluate(read_with_config(EvaluateConfig, "evaluate", arguments)))
    return 0
