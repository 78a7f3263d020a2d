"""What fine-tuning is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ...errors import ConfigError
from .base import OptimizerName, TrainConfig
from .idle import idle_optimizer_options, refuse_idle

BestBy = Literal["loss", "accuracy", "balanced_accuracy", "auroc"]


@dataclass(frozen=True)
class FinetuneConfig(TrainConfig):
    """Train a classifier of slices, from scratch or from a pretrained encoder (the paper's sections III.D, III.E)."""

    init: str = "random"
    """Where the encoder comes from: random (RI: He et al.), or the folder of a pretraining run (PLR)."""
    optimizer: OptimizerName = "adadelta"
    """Update rule; the paper's."""
    lr: float = 0.1
    """Initial learning rate; the paper's."""
    hidden: int = 512
    """Neurons of the fully connected layer; the paper's."""
    fraction: float = 1.0
    """Share of the labelled training groups (patients or blocks; see `fraction_by`) to use, at least one of each
    class. Smaller shares are subsets of larger ones."""
    subset_seed: int | None = None
    """Seed of that choice; `seed` by default."""
    zoom: tuple[float, float] = (0.8, 1.2)
    """Range of the random zoom factor; the paper's. 1 1 switches it off."""
    shear: tuple[float, float] = (-0.2, 0.2)
    """Range of the random shear angle in radians: our reading of the paper's one range for zooming and shearing.
    0 0 switches it off."""
    class_weight: Literal["none", "balanced"] = "none"
    """balanced: the loss of positive slices counts (negatives / positives) times. The paper states no weighting."""
    best_by: BestBy = "loss"
    """What decides on the validation split which epoch is best; of equal ones the lower loss. On few slices the
    accuracies tie too often to choose an epoch by them."""
    fraction_by: Literal["groups", "slices"] = "groups"
    """What `fraction` is a share of: whole groups, or single slices, the paper's way, with which slices of one patient
    count as independent labels."""
    plateau_by: Literal["accuracy", "loss"] = "accuracy"
    """What the learning rate follows on the validation split; the paper's is the accuracy."""
    allow_overlap: bool = False
    """Go on, with a warning, when the run of `init` was trained on slices of this store's validation or test split."""
    recipe: str = ""
    """For the run's record: which named config or file these settings began with. --config fills it in."""

    def check(self) -> None:
        super().check()
        self._require("hidden", self.hidden >= 1, "at least 1")
        self._require("fraction", 0.0 < self.fraction <= 1.0, "above 0 and at most 1")
        self._require("subset_seed", self.subset_seed is None or self.subset_seed >= 0, "at least 0, or left out")
        self._range("zoom", 0.1, 10.0)
        self._range("shear", -1.5, 1.5)
        self._choice("class_weight", ("none", "balanced"))
        self._choice("best_by", get_args(BestBy))
        self._choice("fraction_by", ("groups", "slices"))
        self._choice("plateau_by", ("accuracy", "loss"))
        # A run that is resumed has its weights; the encoder that it began with may be gone.
        if self.init != "random" and not self.resume and not Path(self.init).exists():
            raise ConfigError(f"init must be 'random' or the folder of a pretraining run; {self.init} does not exist")
        refuse_idle(self)

    def idle_options(self) -> dict[str, str]:
        """Fields that change nothing beside the others, and why."""
        return idle_optimizer_options(self)
