"""What a training run gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunResult:
    """What a finished run gives back.

    Attributes:
        run: the run's folder.
        best: folder of the best checkpoint.
        epochs: epochs done.
        best_metric: the best epoch's validation value: MSE (pretraining; the weighted loss where that has
            other parts), loss or accuracy (fine-tuning, ``best_by``).
        seconds: wall time of the training, added up over resumptions.
        rank: which process of a run on many devices this is; only 0 need tell anybody.
    """

    run: Path
    best: Path
    epochs: int
    best_metric: float
    seconds: float
    rank: int = 0
