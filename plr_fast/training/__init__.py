"""Training: pretraining by restoration, fine-tuning of the classifier, and reading what runs have left.

Importing this loads torch and NumPy only; Lightning Fabric, TensorBoard and scikit-learn follow when a run starts.
"""

from __future__ import annotations

from .config import FinetuneConfig, PretrainConfig, RunResult, TrainConfig
from .errors import DivergenceError, RankLostError, TrainingInterrupted
from .finetuning import finetune
from .pretraining import pretrain
from .runs import load_classifier, load_run_config, load_unet

__all__ = [
    "DivergenceError",
    "FinetuneConfig",
    "PretrainConfig",
    "RankLostError",
    "RunResult",
    "TrainConfig",
    "TrainingInterrupted",
    "finetune",
    "load_classifier",
    "load_run_config",
    "load_unet",
    "pretrain",
]
