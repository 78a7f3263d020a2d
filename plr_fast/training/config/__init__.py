"""What a training run is asked to do, and what it gives back.

The defaults are those of the product; where the paper states another value, the field says so, and
:data:`PAPER_PRETRAIN` and :data:`PAPER_FINETUNE` hold the paper's.
"""

from .base import TrainConfig
from .finetune import FinetuneConfig
from .paper import PAPER_FINETUNE, PAPER_PRETRAIN
from .pretrain import PretrainConfig
from .result import RunResult

__all__ = ["PAPER_FINETUNE", "PAPER_PRETRAIN", "FinetuneConfig", "PretrainConfig", "RunResult", "TrainConfig"]
