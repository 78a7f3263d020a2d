"""What a training run is asked to do (each field's docstring is also the command line's help), and what it gives back.

The defaults are those of the product; where the paper states another value, the field says so, and
:data:`PAPER_PRETRAIN` and :data:`PAPER_FINETUNE` hold the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from ..errors import ConfigError

OptimizerName = Literal["sgd", "adam", "adamw", "adadelta"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Widths = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class TrainConfig:
    """What pretraining and fine-tuning have in common."""

    store: Path
    """Slice store (a folder made by `plr-fast prepare`)."""
    run: Path
    """Folder of the run: configuration, logs, checkpoints. It must be new, unless --resume is given."""
    resume: bool = False
    """Go on where the run in this folder stopped (at its start if it never saved). The result is the same as without
    the stop. More epochs than before may be asked for."""
    seed: int = 0
    """Seed of the weights, the order of the samples, the pseudo lesions and the augmentation."""
    epochs: int = 50
    """Passes over the training samples. The paper does not state its number."""
    max_steps: int | None = None
    """Stop after so many optimiser steps even inside an epoch (which is then validated and counted)."""
    batch_size: int = 16
    """Samples of one optimiser step on one device."""
    optimizer: OptimizerName = "adam"
    """Update rule."""
    lr: float = 1e-3
    """Initial learning rate."""
    momentum: float = 0.0
    """Momentum of SGD. 0 is Keras' default, which the paper does not change."""
    weight_decay: float = 0.0
    """Weight decay (decoupled with adamw, else L2). The paper states none."""
    rho: float = 0.95
    """Decay of Adadelta's averages: Keras' default, as the paper was built on Keras (torch's is 0.9)."""
    eps: float = 1e-7
    """Adadelta's epsilon: Keras' default (torch's is 1e-6)."""
    plateau_patience: int = 10
    """Reduce the learning rate after so many epochs without a better validation value. Not stated in the paper."""
    plateau_factor: float = 0.1
    """What the learning rate is multiplied by then. Not stated in the paper; 0.1 is Keras' and torch's default."""
    min_lr: float = 0.0
    """The learning rate is not reduced below this."""
    early_stop: int = 25
    """Stop after so many epochs without a better checkpoint; 0 = never. Not stated in the paper."""
    widths: Widths = (64, 128, 256, 512, 512)
    """Channels of the five levels. The paper gives none; these make the encoder's shapes those of VGG-13."""
    norm: Literal["none", "batch"] = "batch"
    """Normalisation behind each convolution. The paper mentions none; without it training stalls easily: batch norm
    alone gained as much on real CT as pretraining did."""
    num_workers: int = 0
    """Processes that prepare batches; 0 = the training process itself, which the compiled operations make cheap."""
    accelerator: str = "auto"
    """Device type for Lightning Fabric: auto, cpu, cuda, mps."""
    devices: int = 1
    """Devices of this machine to train on."""
    num_nodes: int = 1
    """Machines to train on."""
    precision: Precision = "32-true"
    """Number format: 32-true, or automatic mixed precision with bfloat16 or float16."""
    threads: int | None = None
    """CPU threads for torch; left as they are by default. Another number of threads may change the last bits."""
    checkpoint_every: int = 0
    """Save the state every so many steps, beside the end of each epoch; 0 = not by steps."""
    checkpoint_seconds: float = 300.0
    """Save the state when so many seconds have passed since the last save; 0 = not by time."""
    log_every: int = 20
    """Steps between two entries of the training loss in the TensorBoard log."""
    tensorboard: bool = True
    """Write TensorBoard events to the run's folder `logs`. `metrics.csv` is always written."""
    progress: bool = True
    """Show progress bars and a line for each epoch."""

    def check(self) -> None:
        """Refuse values that cannot work, before anything is opened.

        Raises:
            ConfigError: names the field, its value, and what would be right.
        """
        for name in ("epochs", "batch_size", "devices", "num_nodes", "log_every"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("seed", "num_workers", "early_stop", "plateau_patience", "checkpoint_every"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        self._require("seed", self.seed < 2**63, "below 2^63")
        for name in ("max_steps", "threads"):
            self._require(name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1, or left out")
        for name in ("lr", "eps"):
            self._require(name, 0.0 < getattr(self, name) < math.inf, "a positive number")
        for name in ("weight_decay", "min_lr", "checkpoint_seconds"):
            self._require(name, 0.0 <= getattr(self, name) < math.inf, "at least 0")
        for name in ("momentum", "rho"):
            self._require(name, 0.0 <= getattr(self, name) < 1.0, "at least 0 and below 1")
        self._require("plateau_factor", 0.0 < self.plateau_factor < 1.0, "between 0 and 1")
        self._require("widths", len(self.widths) == 5 and min(self.widths) >= 1, "five positive numbers of channels")
        self._choice("optimizer", ("sgd", "adam", "adamw", "adadelta"))
        self._choice("norm", ("none", "batch"))
        self._choice("precision", ("32-true", "bf16-mixed", "16-mixed"))
        if self.momentum and self.optimizer != "sgd":
            raise ConfigError(f"momentum={self.momentum} is for optimizer='sgd' only, not for {self.optimizer!r}")
        if Path(self.run).exists() and not Path(self.run).is_dir():
            raise ConfigError(f"run is a file: {self.run}; choose a folder")
        if Path(self.run).resolve() == Path(self.store).resolve():
            raise ConfigError(f"run is the store's own folder {self.store}; choose another folder for the run")

    def to_json(self) -> dict[str, Any]:
        """All fields, as JSON allows them."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ConfigError(f"{name} must be {wanted}, not {getattr(self, name)!r}")

    def _choice(self, name: str, allowed: tuple[str, ...]) -> None:
        self._require(name, getattr(self, name) in allowed, f"one of {', '.join(allowed)}")

    def _range(self, name: str, low: float, high: float) -> None:
        first, last = getattr(self, name)
        self._require(name, low <= first <= last <= high, f"a range within {low:g} … {high:g}, the lower end first")


@dataclass(frozen=True)
class PretrainConfig(TrainConfig):
    """Pretrain a U-Net to restore normal slices from corrupted ones (the paper's sections III.B and III.C)."""

    batch_size: int = 4
    """Samples of one optimiser step on one device; the paper's."""
    optimizer: OptimizerName = "adam"
    """Update rule. The paper: sgd. SGD at 1e-3 without momentum is still worse than leaving the input as it is after a
    thousand steps; Adam at 1e-3 removes the lesions in some five hundred."""
    corruption: Literal["perlin", "gaussian", "shuffle"] = "perlin"
    """What spoils the slices: pseudo lesions (PLR-P), Gaussian blur (PLR-G), local pixel shuffling (PLR-L)."""
    count: tuple[int, int] = (30, 30)
    """Fewest and most pseudo lesions in a slice; 30 was best in the paper."""
    blend: Literal["replace", "max", "alpha", "add"] = "replace"
    """How a lesion joins the lung; the paper's is replace."""
    alpha: float = 1.0
    """Opacity of the lesions with blend=alpha or add."""
    feather: int = 0
    """Width in pixels of the lesions' soft edge with blend=alpha or add."""
    shape: Literal["rectangle", "ellipse", "cloud"] = "rectangle"
    """Outline of a lesion; the paper's is a rectangle. Clouds are soft all over."""
    inside: Literal["centre", "patch"] = "centre"
    """What of a lesion must lie in the lung: its centre (the rest is cut off at the edge), or the whole patch."""
    lesions: Literal["bank", "fresh"] = "bank"
    """Where lesions come from: a bank with a fixed number of patches, the paper's way; or fresh, made anew from noise
    for every sample, by the same rule (`bank_images`, `bank_seed` and `patch` apply)."""
    bank: Path | None = None
    """Lesion bank (a .npz file of `plr-fast generate`); without it one is made from the next settings."""
    bank_count: int = 5000
    """Patches in the bank that is made."""
    bank_images: int = 500
    """Noise images that the patches are cut from."""
    bank_seed: int = 0
    """Seed of the bank; independent of `seed`, so that repeated runs share their patches."""
    patch: tuple[int, int] = (5, 25)
    """Smallest and largest side of a patch in pixels. The paper's, at 512×512: scale it with the store's size if the
    lesions shall keep their share of the lung."""
    samples_per_epoch: int | None = None
    """Corrupted slices in an epoch; by default each normal slice once. The paper made 4 from each (1,856 of 464)."""
    freeze: bool = False
    """The same corrupted slices in every epoch, as the paper's fixed set; otherwise each epoch has new ones."""
    skip_bad_masks: bool = True
    """Leave out slices whose lung mask was found implausible."""
    validation_seed: int = 1_000_003
    """Seed of the validation slices' corruption, which is the same in each epoch and in each run."""

    def check(self) -> None:
        super().check()
        self._choice("corruption", ("perlin", "gaussian", "shuffle"))
        self._choice("blend", ("replace", "max", "alpha", "add"))
        self._choice("shape", ("rectangle", "ellipse", "cloud"))
        self._choice("inside", ("centre", "patch"))
        self._choice("lesions", ("bank", "fresh"))
        if self.lesions == "fresh" and self.bank is not None:
            raise ConfigError("lesions=fresh makes its own lesions: leave bank out, or choose lesions=bank")
        self._range("count", 0, 1_000_000)
        self._range("patch", 1, 512)
        self._require("alpha", 0.0 <= self.alpha <= 1.0, "between 0 and 1")
        for name in ("feather", "bank_seed", "validation_seed"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        for name in ("bank_count", "bank_images"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        samples = self.samples_per_epoch
        self._require("samples_per_epoch", samples is None or samples >= 1, "at least 1, or left out")
        if self.validation_seed == self.seed:
            raise ConfigError(f"validation_seed and seed are both {self.seed}: validation would repeat the training's")


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
    """Share of the labelled training groups (patients or blocks) to use, at least one group of each class. Smaller
    shares are subsets of larger ones. The paper draws slices, not groups."""
    subset_seed: int | None = None
    """Seed of that choice; `seed` by default."""
    zoom: tuple[float, float] = (0.8, 1.2)
    """Range of the random zoom factor; the paper's. 1 1 switches it off."""
    shear: tuple[float, float] = (-0.2, 0.2)
    """Range of the random shear angle in radians: our reading of the paper's one range for zooming and shearing.
    0 0 switches it off."""
    class_weight: Literal["none", "balanced"] = "none"
    """balanced: the loss of positive slices counts (negatives / positives) times. The paper states no weighting."""
    best_by: Literal["loss", "accuracy"] = "loss"
    """What decides on the validation split which epoch is best. The learning rate follows the accuracy, as in the
    paper; on few slices the accuracy ties too often to choose an epoch by it."""

    def check(self) -> None:
        super().check()
        self._require("hidden", self.hidden >= 1, "at least 1")
        self._require("fraction", 0.0 < self.fraction <= 1.0, "above 0 and at most 1")
        self._require("subset_seed", self.subset_seed is None or self.subset_seed >= 0, "at least 0, or left out")
        self._range("zoom", 0.1, 10.0)
        self._range("shear", -1.5, 1.5)
        self._choice("class_weight", ("none", "balanced"))
        self._choice("best_by", ("loss", "accuracy"))
        # A run that is resumed has its weights; the encoder that it began with may be gone.
        if self.init != "random" and not self.resume and not Path(self.init).exists():
            raise ConfigError(f"init must be 'random' or the folder of a pretraining run; {self.init} does not exist")


@dataclass(frozen=True)
class RunResult:
    """What a finished run gives back.

    Attributes:
        run: the run's folder.
        best: folder of the best checkpoint.
        epochs: epochs done.
        best_metric: the best epoch's validation value: MSE (pretraining), loss or accuracy (fine-tuning, ``best_by``).
        seconds: wall time of the training, added up over resumptions.
    """

    run: Path
    best: Path
    epochs: int
    best_metric: float
    seconds: float


PAPER_PRETRAIN: Mapping[str, Any] = MappingProxyType(
    {
        "optimizer": "sgd",
        "lr": 1e-3,
        "momentum": 0.0,
        "batch_size": 4,
        "norm": "none",
        "count": (30, 30),
        "blend": "replace",
        "patch": (5, 25),
        "samples_per_epoch": 1856,
    }
)
"""The paper's pretraining (III.E, IV), as keyword arguments of :class:`PretrainConfig`; for a store of size 512."""

PAPER_FINETUNE: Mapping[str, Any] = MappingProxyType(
    {
        "optimizer": "adadelta",
        "lr": 0.1,
        "rho": 0.95,
        "eps": 1e-7,
        "batch_size": 16,
        "norm": "none",
        "hidden": 512,
        "zoom": (0.8, 1.2),
        "best_by": "accuracy",
    }
)
"""The paper's fine-tuning (III.E, IV.B), as keyword arguments of :class:`FinetuneConfig`; stores of size 224 or 512."""


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
