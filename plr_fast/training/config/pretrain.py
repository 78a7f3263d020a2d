"""What pretraining is asked to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import ConfigError
from .base import OptimizerName, TrainConfig
from .idle import idle_encoder_options, idle_optimizer_options, idle_schedule_options, refuse_idle

NOISE = ("cells", "octaves", "persistence")
PASTE = ("lesions", "bank", "count", "blend", "alpha", "feather", "shape", "inside")
BANK = ("bank_count", "bank_images", "bank_seed", "bank_size", "patch", "threshold", *NOISE, "lacunarity")
SCALED = ("patch", "feather", "cells")
"""What ``reference_size`` scales."""
CLOUDS = ("cloud_combine", "cloud_threshold", "cloud_softness", "cloud_texture")


@dataclass(frozen=True)
class PretrainConfig(TrainConfig):
    """Pretrain a U-Net to restore normal slices from corrupted ones (the paper's sections III.B and III.C)."""

    batch_size: int = 4
    """Samples that one device works on at once; the paper's. See accumulate for larger steps."""
    optimizer: OptimizerName = "adam"
    """Update rule. The paper: sgd. SGD at 1e-3 without momentum is still worse than leaving the input as it is after a
    thousand steps; Adam at 1e-3 removes the lesions in some five hundred."""
    corruption: Literal["perlin", "gaussian", "shuffle"] = "perlin"
    """What spoils the slices: pseudo lesions (PLR-P), Gaussian blur (PLR-G), local pixel shuffling (PLR-L)."""
    count: tuple[int, int] = (30, 30)
    """Fewest and most pseudo lesions in a slice; 30 was best in the paper."""
    blend: Literal["replace", "max", "alpha", "add"] = "replace"
    """How a lesion joins the lung; the paper's is replace."""
    alpha: float | tuple[float, float] = 1.0
    """Opacity of the lesions with blend=alpha or add, or a range to draw each lesion's from."""
    feather: int = 0
    """Width in pixels of the lesions' soft edge with blend=alpha or add."""
    shape: Literal["rectangle", "ellipse", "cloud"] = "rectangle"
    """Outline of a lesion; the paper's is a rectangle. Clouds are soft all over."""
    inside: Literal["centre", "patch"] = "centre"
    """What of a lesion must lie in the lung: its centre (the rest is cut off at the edge), or the whole patch."""
    lesions: Literal["bank", "fresh", "clouds"] = "bank"
    """Where lesions come from: a bank with a fixed number of patches, the paper's way; fresh, made anew from noise for
    every sample, by the same rule (`bank_images`, `bank_seed` and `patch` apply); or clouds, outlined by noise over
    the whole slice (with blend alpha or add)."""
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
    windows: int | None = None
    """gaussian, shuffle: spoil so many random windows instead of the whole slice. The paper speaks of 100 patches that
    are shuffled (the whole slice, in 10 x 10 blocks) and elsewhere of "1000 LPS and 500 GB operations"."""
    bank_size: int = 512
    """Height and width of the noise images in pixels; the paper's."""
    threshold: int = 180
    """Patches have a mean grey above this; the paper's."""
    cells: float | tuple[float, float] = 4.0
    """Lattice cells across a noise image in the first octave, or a range to draw each image's from (bank only). The
    paper shows "different frequencies and amplitudes" without numbers."""
    octaves: int | tuple[int, int] = 4
    """Octaves of the noise, or a range to draw each image's from (bank only). Not stated in the paper."""
    persistence: float | tuple[float, float] = 0.5
    """Amplitude of each octave relative to the one before, or a range (bank only). Not stated in the paper."""
    lacunarity: float = 2.0
    """Cells of each octave relative to the one before. Not stated in the paper."""
    cloud_combine: Literal["single", "union", "intersection", "any"] = "single"
    """lesions=clouds: one noise image makes the outline, either of two, both, or one of the three at random."""
    cloud_threshold: tuple[int, int] = (150, 190)
    """lesions=clouds: noise above this is lesion; a range to draw each slice's from. The lower, the larger."""
    cloud_softness: int = 32
    """lesions=clouds: grey levels of noise over which a lesion fades in."""
    cloud_texture: tuple[int, int] = (110, 210)
    """lesions=clouds: darkest and brightest grey of a lesion."""
    reference_size: int | None = None
    """Side in pixels of the slices that patch, feather and cells are meant for. With it they are scaled to the store's
    size, so that lesions keep their share of the lung; without it they are taken as they are."""
    clean_share: float = 0.0
    """Share of the samples that stay unaltered, drawn for each from `seed` and its number. The paper has none."""
    restore_weight: float = 1.0
    """What the restoration's mean squared error counts in the loss. The paper's is the whole loss."""
    mask_weight: float = 0.0
    """What the second task counts: to predict which pixels were altered, by a second output channel (binary
    cross-entropy, mean over the pixels). With gaussian and shuffle those whose grey has changed. 0 = no such task."""
    presence_weight: float = 0.0
    """What the third task counts: to predict whether the slice was altered at all, by the classifier's own head on the
    encoder (binary cross-entropy); it needs clean_share. Fine-tuning takes the head over. 0 = no such task."""
    hidden: int = 512
    """With presence_weight: neurons of that head. The paper's classifier has 512."""
    features: Literal["last", "all"] = "last"
    """With presence_weight: what the head pools, the deepest level (as the paper's classifier) or all levels."""
    recipe: str = ""
    """For the run's record: which named config or file these settings began with. --config fills it in."""
    data_device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where slices lie and are corrupted. cuda: copied to the GPU that trains, once; the CPU then has hardly any work.
    auto: there if training runs there and they take at most half of its free memory. The samples are the same."""

    def check(self) -> None:
        super().check()
        self._choice("corruption", ("perlin", "gaussian", "shuffle"))
        self._choice("blend", ("replace", "max", "alpha", "add"))
        self._choice("shape", ("rectangle", "ellipse", "cloud"))
        self._choice("inside", ("centre", "patch"))
        self._choice("lesions", ("bank", "fresh", "clouds"))
        self._choice("cloud_combine", ("single", "union", "intersection", "any"))
        if self.corruption == "perlin" and self.lesions != "bank" and self.bank is not None:
            raise ConfigError(f"lesions={self.lesions} makes its own lesions: leave bank out, or choose lesions=bank")
        if self.corruption == "perlin" and self.lesions == "clouds" and self.blend not in ("alpha", "add"):
            raise ConfigError(f"lesions=clouds are blended: choose blend=alpha or add, not {self.blend}")
        self._choice("data_device", ("auto", "cpu", "cuda"))
        if self.data_device == "cuda" and self.accelerator not in ("auto", "cuda", "gpu"):
            raise ConfigError(f"data_device=cuda needs training on a GPU, not accelerator={self.accelerator}")
        self._range("count", 0, 1_000_000)
        self._range("patch", 1, 2048)
        self._number_or_range("alpha", 0.0, 1.0)
        self._number_or_range("cells", 1e-3, 32_768.0)
        self._number_or_range("octaves", 1, 24)
        self._number_or_range("persistence", 0.0, 16.0)
        self._require("lacunarity", 1.0 <= self.lacunarity <= 64.0, "between 1 and 64")
        self._require("threshold", 0 <= self.threshold <= 254, "between 0 and 254")
        self._require("bank_size", 1 <= self.bank_size <= 32_768, "between 1 and 32768")
        if self.patch[1] > self.bank_size and self.reference_size is None:
            raise ConfigError(f"patch must fit into noise images of bank_size {self.bank_size}, not be {self.patch}")
        for name in ("feather", "bank_seed", "validation_seed"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        for name in ("bank_count", "bank_images"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("samples_per_epoch", "windows"):
            self._require(name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1, or left out")
        for name in ("restore_weight", "mask_weight", "presence_weight"):
            self._require(name, 0.0 <= getattr(self, name) < math.inf, "at least 0")
        if not (self.restore_weight or self.mask_weight or self.presence_weight):
            raise ConfigError("restore_weight, mask_weight and presence_weight are all 0: there is nothing to learn")
        self._require("clean_share", 0.0 <= self.clean_share < 1.0, "at least 0 and below 1")
        if self.presence_weight and not self.clean_share:
            raise ConfigError(
                f"presence_weight={self.presence_weight:g} asks which slices were altered, and clean_share=0 alters "
                "all of them: choose e.g. clean_share=0.5"
            )
        self._require("hidden", self.hidden >= 1, "at least 1")
        self._choice("features", ("last", "all"))
        self._require("reference_size", self.reference_size is None or self.reference_size >= 1, "at least 1")
        self._range("cloud_threshold", 0, 254)
        self._range("cloud_texture", 0, 255)
        self._require("cloud_softness", 0 <= self.cloud_softness <= 255, "between 0 and 255")
        if self.validation_seed == self.seed:
            raise ConfigError(f"validation_seed and seed are both {self.seed}: validation would repeat the training's")
        refuse_idle(self)

    @property
    def has_heads(self) -> bool:
        """Whether there are other tasks than restoring."""
        return bool(self.mask_weight or self.presence_weight)

    @property
    def restores_alone(self) -> bool:
        """Whether the loss is the restoration's mean squared error itself, the paper's."""
        return self.restore_weight == 1.0 and not self.has_heads

    def idle_options(self) -> dict[str, str]:
        """Fields that change nothing beside the others, and why."""
        idle = idle_optimizer_options(self) | idle_encoder_options(self) | idle_schedule_options(self)
        if not self.presence_weight:
            idle |= dict.fromkeys(("hidden", "features"), "it is for the head of presence_weight")
        if self.corruption != "perlin":
            lesions = (*PASTE, *BANK, *CLOUDS, "reference_size")
            return idle | dict.fromkeys(lesions, f"corruption={self.corruption} pastes no lesions")
        idle["windows"] = "it is for corruption=gaussian and shuffle"
        if self.lesions != "bank":
            ranges = [name for name in NOISE if isinstance(getattr(self, name), (tuple, list))]
            idle |= dict.fromkeys(ranges, f"lesions={self.lesions} has one noise for all images, so give one number")
        if self.lesions == "clouds":
            patches = (
                *("count", "feather", "shape", "inside", "patch", "threshold", "reference_size"),
                *("bank_count", "bank_images", "bank_seed", "bank_size"),
            )
            return idle | dict.fromkeys(patches, "lesions=clouds are not made of patches")
        idle |= dict.fromkeys(CLOUDS, "it is for lesions=clouds")
        if self.blend not in ("alpha", "add"):
            idle["alpha"] = f"blend={self.blend} knows no opacity; choose blend=alpha or add"
            if self.shape == "rectangle":
                idle["feather"] = f"blend={self.blend} has no soft edges; choose blend=alpha or add"
        if self.shape == "cloud":
            idle["feather"] = "clouds are soft all over"
        if self.lesions == "fresh":
            idle["bank_count"] = "lesions=fresh makes patches without end"
        if self.bank is not None:
            idle |= dict.fromkeys((*BANK, "reference_size"), f"the bank {self.bank} is made already")
        return idle

    def _number_or_range(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if isinstance(value, (tuple, list)):
            self._range(name, low, high)
        else:
            self._require(name, low <= value <= high, f"between {low:g} and {high:g}, or a range within")


def scaled_lesions(settings: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Settings of lesions for slices of ``size`` pixels: those of ``SCALED`` that ``settings`` hold, scaled if these
    hold a ``reference_size``.

    Raises:
        ConfigError: patches of that size do not fit into the noise images.
    """
    found = {name: as_range(settings[name]) for name in SCALED if name in settings}
    reference = settings.get("reference_size")
    if reference is None:
        return found
    factor = size / reference
    if "patch" in found:
        found["patch"] = tuple(max(1, round(side * factor)) for side in found["patch"])
        if found["patch"][1] > (bank_size := settings["bank_size"]):
            raise ConfigError(
                f"patch {settings['patch']} at reference_size {reference} is {found['patch']} at the store's {size}, "
                f"and must fit into noise images of bank_size {bank_size}: choose a larger bank_size"
            )
    if "feather" in found:
        found["feather"] = round(found["feather"] * factor)
    if "cells" in found:
        # Across a noise image, whose size stays: fewer cells are larger ones.
        cells = found["cells"]
        found["cells"] = tuple(n / factor for n in cells) if isinstance(cells, tuple) else cells / factor
    return found


def cloud_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of :func:`plr_fast.paste_clouds` of a run with lesions=clouds; ``settings`` as ``to_json`` gives them,
    of this version."""
    names = (*NOISE, "lacunarity", "blend", "alpha")
    chosen = {name: settings[name] for name in names} | {name.removeprefix("cloud_"): settings[name] for name in CLOUDS}
    return {name: as_range(value) for name, value in chosen.items()}


def as_range(value: Any) -> Any:
    """A range as operations take it: JSON knows no tuples, and a list has another meaning for a bank's noise."""
    return tuple(value) if isinstance(value, list) else value
