"""What pretraining is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import ConfigError
from .base import OptimizerName, TrainConfig


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
