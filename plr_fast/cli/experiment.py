"""``plr-fast experiment``."""

from __future__ import annotations

from collections.abc import Sequence

from ..experiment.options import ExperimentOptions
from ..experiment.run import run_experiment
from .options import read


def main(arguments: Sequence[str]) -> int:
    run_experiment(read(ExperimentOptions, "experiment", arguments))
    return 0
