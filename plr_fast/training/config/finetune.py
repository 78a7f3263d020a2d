"""What fine-tuning is asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ...errors import ConfigError
from .base import OptimizerName, TrainConfig
from .idle import idle_encoder_options, idle_optimizer_options, idle_schedule_options, refuse_idle

BestBy = Literal["loss", "accuracy", "balanced_accuracy", "auroc"]

IMAGENET = "imagenet:"
"""What stands before the file of published weights in ``init``."""
PRETRAINED = "timm:pretrained"
"""``init`` by the weights that timm offers itself."""


@dataclass(frozen=True)
class FinetuneConfig(TrainConfig):
    """Train a classifier of slices, from scratch or from a pretrained encoder (the paper's sections III.D, III.E)."""

    model: Literal["plr", "danet"] = "plr"
    """The network: plr, the paper's classifier on the encoder that pretraining trains; danet, its external baseline
    (table V, Hu et al.): ShuffleNetV2 with heavy augmentation, to which widths, norm and hidden mean nothing."""
    danet_scale: float = 1.0
    """Width of danet's ShuffleNetV2: 0.5, 1.0, 1.5 or 2.0."""
    init: str = "random"
    """Where the encoder comes from: random (RI: He et al.); the folder of a run (PLR-P, PLR-G, PLR-L of pretraining;
    fine-tuning on other pictures, such as the paper's PneuXray); or imagenet:FILE, published weights of VGG-13 (of
    ShuffleNetV2 for danet), .pth or .safetensors, whose kernels for RGB are added up for grey. VGG-13 needs its widths
    and, without batch norm, --norm none. For a timm encoder FILE holds its weights under timm's names, and
    timm:pretrained means those that timm itself downloads."""
    init_name: str = ""
    """What to call that in tables; by default RI, ImageNet, PLR-P, PLR-G, PLR-L or supervised, told from `init`."""
    init_normalise: bool = True
    """With imagenet: fold ImageNet's input normalisation into the first convolution, so that our grey in [0, 1] means
    the same to it, but for the picture's border. Off: only add up the kernels."""
    init_inflate: bool = False
    """Take the encoder of a run with another context: kernels for one slice are shared out among the slices, or those
    of several added up. Otherwise that is refused."""
    init_head: Literal["auto", "on", "off"] = "auto"
    """Take over the head as well, from a pretraining run with presence_weight: auto, where the run has one; on, or
    refuse; off. The head of a fine-tuning run, which tells other classes apart, is always left behind."""
    optimizer: OptimizerName = "adadelta"
    """Update rule; the paper's."""
    lr: float = 0.1
    """Initial learning rate; the paper's."""
    encoder_lr: float | None = None
    """Initial learning rate of the encoder, where it shall be another than that of the head."""
    hidden: int = 512
    """Neurons of the fully connected layer; the paper's."""
    features: Literal["last", "all"] = "last"
    """What is pooled before it: the deepest level, the paper's way, or all levels, joined."""
    fraction: float = 1.0
    """Share of the labelled training groups (patients or blocks; see `fraction_by`) to use, at least one of each
    class. Smaller shares are subsets of larger ones."""
    subset_seed: int | None = None
    """Seed of that choice; `seed` by default."""
    augment: Literal["auto", "zoom-shear", "heavy"] = "auto"
    """What is done to training slices: zoom-shear, the paper's; heavy, sixteen operations in the manner of Hu et al.,
    zoom and shear within the next two settings' ranges among them; auto, heavy for danet and zoom-shear else."""
    zoom: tuple[float, float] = (0.8, 1.2)
    """Range of the random zoom factor; the paper's. 1 1 switches it off."""
    shear: tuple[float, float] = (-0.2, 0.2)
    """Range of the random shear angle in radians: our reading of the paper's one range for zooming and shearing.
    0 0 switches it off."""
    brightness: tuple[float, float] = (0.0, 0.0)
    """Range of what is added to grey in [0, 1], after the next two; 0 0 (the paper's) switches it off."""
    contrast: tuple[float, float] = (1.0, 1.0)
    """Range of the factor that grey is multiplied by; 1 1 (the paper's) switches it off."""
    gamma: tuple[float, float] = (1.0, 1.0)
    """Range of the exponent of grey, its logarithm drawn evenly; 1 1 (the paper's) switches it off."""
    flip: bool = False
    """Flip a random half of the training slices from left to right. The paper does not."""
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
        self._range("brightness", -1.0, 1.0)
        self._range("contrast", 0.0, 10.0)
        self._range("gamma", 0.1, 10.0)
        self._require(
            "encoder_lr", self.encoder_lr is None or 0.0 < self.encoder_lr < math.inf, "a positive number, or left out"
        )
        self._choice("features", ("last", "all"))
        self._choice("init_head", ("auto", "on", "off"))
        self._choice("class_weight", ("none", "balanced"))
        self._choice("best_by", get_args(BestBy))
        self._choice("fraction_by", ("groups", "slices"))
        self._choice("plateau_by", ("accuracy", "loss"))
        self._choice("augment", ("auto", "zoom-shear", "heavy"))
        self._choice("model", ("plr", "danet"))
        self._choice("danet_scale", (0.5, 1.0, 1.5, 2.0))
        self._check_init()
        refuse_idle(self)

    @property
    def heavy(self) -> bool:
        """Whether the heavy augmentation is used."""
        return self.augment == "heavy" or (self.augment == "auto" and self.model == "danet")

    def idle_options(self) -> dict[str, str]:
        """Fields that change nothing beside the others, and why."""
        idle = idle_optimizer_options(self) | idle_encoder_options(self) | idle_schedule_options(self)
        if self.heavy:
            idle |= dict.fromkeys(("brightness", "contrast", "gamma", "flip"), "augment=heavy has its own")
        if self.model == "danet":
            idle |= dict.fromkeys(
                ("encoder", "widths", "norm", "hidden", "features", "init_head"), "model=danet is a network of its own"
            )
        else:
            idle["danet_scale"] = "it is for model=danet"
        if self.encoder != "plr":
            idle["norm"] = f"encoder={self.encoder} has its own normalisation"
        published = self.init == PRETRAINED or self.init.startswith(IMAGENET)
        if not published:
            idle["init_normalise"] = f"it is for init={IMAGENET}FILE"
        if self.init == "random" or published:
            idle |= dict.fromkeys(("init_inflate", "init_head"), "it is for the init of a run")
        return idle

    def _check_init(self) -> None:
        if self.init == PRETRAINED and self.encoder == "plr":
            raise ConfigError(f"init={PRETRAINED!r} is for encoders of timm only; give {IMAGENET}FILE, or a run")
        # A run that is resumed has its weights; the encoder that it began with may be gone.
        if self.init in ("random", PRETRAINED) or self.resume:
            return
        path = Path(self.init.removeprefix(IMAGENET))
        if not path.exists():
            raise ConfigError(f"init must be 'random', the folder of a run, or {IMAGENET}FILE; {path} does not exist")
        if not self.init.startswith(IMAGENET) and path.suffix in (".pth", ".pt", ".bin"):
            raise ConfigError(f"init is a file of weights; published ImageNet weights are given as {IMAGENET}{path}")
