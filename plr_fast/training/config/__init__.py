"""What a training run is asked to do, and what it gives back.

The defaults are those of the product; where the paper states another value, the field says so, and the named configs of
:mod:`plr_fast.recipes` hold the paper's.
"""

from .base import TrainConfig
from .finetune import FinetuneConfig
from .pretrain import PretrainConfig
from .result import RunResult

__all__ = ["FinetuneConfig", "PretrainConfig", "RunResult", "TrainConfig"]
