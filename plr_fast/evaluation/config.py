"""What an evaluation is asked to do, and what it gives back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import ConfigError
from .bootstrap import Comparison
from .metrics import Confusion, MetricValue
from .restoration import RestorationResult
from .thresholds import RULES, Threshold, ThresholdRule

# Fewer resamples than this leave the ends of a 95 % interval to a handful of draws.
MIN_RESAMPLES = 100
MAX_RESAMPLES = 1_000_000


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate trained classifiers and restorers on one split of a slice store and write a report."""

    store: Path
    """Slice store (a folder made by `plr-fast prepare`)."""
    out: Path
    """Folder for the results; files of an earlier evaluation in it are replaced."""
    classifiers: tuple[Path, ...] = ()
    """Run folders of fine-tuned classifiers, compared in one report; the first is the base of the differences."""
    restorers: tuple[Path, ...] = ()
    """Run folders of pretrained restorers (U-Nets)."""
    split: Literal["train", "val", "test"] = "test"
    """Which split to evaluate on."""
    threshold: float | ThresholdRule = 0.5
    """A slice is called positive when its score (a probability) is at least this. Or a rule that chooses it for each
    classifier on the validation split: the greatest balanced accuracy (youden: sensitivity + specificity), accuracy,
    or F1 score. It is never chosen on the split that is evaluated."""
    bootstrap: int = 2000
    """Resamples for the 95 % intervals; 0 leaves intervals out."""
    seed: int = 0
    """Seed of the resamples and of the pseudo lesions of the restoration test."""
    batch_size: int = 16
    """Slices that go through a network at once."""
    examples: int = 3
    """Slices shown in each kind of picture."""
    restoration_slices: int = 200
    """At most so many negative slices are corrupted and restored, spread evenly over the split."""
    cross_corruptions: bool = False
    """Judge each restorer on the corruptions of all restorers, not only on its own."""
    allow_other_store: bool = False
    """Go on (with a warning) when a run was trained on another store, or on this one with other splits: slices of the
    split may then have been seen in training."""
    device: str = "auto"
    """Where the networks run: auto, cpu, cuda, cuda:1."""
    title: str = "plr_fast evaluation"
    """Title of the report."""

    def check(self) -> None:
        """Refuse values that cannot work, before anything is opened.

        Raises:
            ConfigError: names the value and what would be right.
        """
        if not self.classifiers and not self.restorers:
            raise ConfigError("nothing to evaluate: give at least one run folder with --classifiers or --restorers")
        for name in ("batch_size", "restoration_slices"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.examples < 0:
            raise ConfigError(f"examples must be at least 0, not {self.examples}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed must be at least 0 and below 2^63, not {self.seed}")
        if self.bootstrap != 0 and self.bootstrap < MIN_RESAMPLES:
            raise ConfigError(
                f"bootstrap must be 0 (no intervals) or at least {MIN_RESAMPLES}, not {self.bootstrap}; 2000 is usual"
            )
        if self.bootstrap > MAX_RESAMPLES:
            raise ConfigError(f"bootstrap must be at most {MAX_RESAMPLES:,}, not {self.bootstrap:,}; 2000 is usual")
        if isinstance(self.threshold, str):
            if self.threshold not in RULES:
                raise ConfigError(f"threshold must be a number or one of {', '.join(RULES)}, not {self.threshold!r}")
            if self.split == "val":
                raise ConfigError(
                    f"threshold={self.threshold} is chosen on the validation split, which cannot be evaluated with it; "
                    "give a number, or another split"
                )
        elif not 0 < self.threshold < 1:
            raise ConfigError(f"threshold must lie between 0 and 1, not {self.threshold}")
        if self.split not in ("train", "val", "test"):
            raise ConfigError(f"split must be train, val or test, not {self.split!r}")
        out = self.out.resolve()
        for kind, paths in (("store", (self.store,)), ("run", (*self.classifiers, *self.restorers))):
            for path in paths:
                if out == path.resolve():
                    raise ConfigError(f"out is the {kind} folder {path} itself; choose another folder for the results")
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError(f"out is a file: {self.out}; choose a folder for the results")

    def to_json(self) -> dict[str, Any]:
        """The values as JSON allows them."""
        return {
            key: str(value)
            if isinstance(value, Path)
            else [str(item) for item in value]
            if isinstance(value, tuple)
            else value
            for key, value in asdict(self).items()
        }


@dataclass(frozen=True)
class EvaluationResult:
    """What :func:`~plr_fast.evaluation.evaluate` found and wrote.

    Attributes:
        out: the folder with all files.
        report: path of ``report.html``.
        metrics: classifier -> metric -> value on the whole split.
        confusions: classifier -> counts.
        thresholds: classifier -> the score from which on a slice is called positive, and how it was chosen.
        comparison: intervals of each classifier and paired differences.
        restorations: one for each restorer and test set.
        figures: paths of all PNG files.
        warnings: what the reader of the results must know.
        seconds: time taken.
    """

    out: Path
    report: Path
    metrics: dict[str, dict[str, MetricValue]]
    confusions: dict[str, Confusion]
    thresholds: dict[str, Threshold]
    comparison: Comparison
    restorations: list[RestorationResult] = field(repr=False)
    figures: list[Path]
    warnings: list[str]
    seconds: float
