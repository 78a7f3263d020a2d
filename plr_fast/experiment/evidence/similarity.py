"""The paper's table III, how near pseudo lesions are to real ones, with the controls that it lacks."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ... import LesionBank
from ...errors import ConfigError, DataError
from ...evaluation.corruptions import bank_of
from ...evaluation.lesion_patches import (
    SHARE,
    SIZE,
    WINDOW,
    LungSlice,
    PatchSet,
    bank_patches,
    blurred,
    constant_patch,
    free_lung,
    lesion_patches,
    lung_patches,
    pasted_patches,
    shuffled,
    store_lung,
)
from ...evaluation.lesion_slices import LesionSlice, read_lesion_slices
from ...evaluation.patch_likeness import ENERGY_MEASURES, MEASURES, Estimate, Measure, RealReference
from ...evaluation.report_tables import number
from ...training.config.pretrain import as_range, scaled_lesions
from ..table import Column, Entry, Row, Table
from ..writing.table_entries import DASH

if TYPE_CHECKING:
    from ...data.store import SliceStore

PAPER = {"PLR-L": (0.0788, 0.1363), "PLR-G": (0.0587, 0.1185), "PLR-P": (0.0328, 0.0923)}
"""Cosine and Jensen-Shannon distance in the paper's table III."""

CLOUDS_SIDE = 256
"""Longer side in pixels of the slices for which the soft clouds of docs/recipe.md were chosen."""

_COLUMNS = (
    Column("patches", "Patches", numeric=False),
    Column("count", "Number"),
    Column("cosine", "Cosine", "Mean over all pairs (the paper's)"),
    Column("jensen_shannon", "Jensen–Shannon", "Mean over all pairs (the paper's)"),
    Column("grey", "Grey", "Energy distance", higher_is_better=False),
    Column("gradient", "Gradient", "Energy distance", higher_is_better=False),
    Column("spectrum", "Spectrum, dB", "Energy distance", higher_is_better=False),
)


@dataclass(frozen=True)
class LikenessConfig:
    """Compare pseudo lesions with real ones: the paper's table III, with controls."""

    lesions: Path
    """Folder with real lesions: its 'images' and 'masks' (same names), PNG, JPEG, TIFF or NIfTI. With --masks: the
    images themselves."""
    out: Path
    """Folder for the table and a picture of the patches."""
    masks: Path | None = None
    """Folder of masks, white where the lesion is, or with numbers of classes."""
    store: Path | None = None
    """Slice store whose negative slices give the lung; default: what lesions leave free in their own slices."""
    split: Literal["train", "val", "test"] = "train"
    """Split of the store to take slices of."""
    patients: Path | None = None
    """CSV file with columns 'file' and 'patient_id' for the images; patients are then never compared with themselves.
    Default: the file is the patient."""
    also: tuple[str, ...] = ()
    """Named configs or recipe files whose pseudo lesions get a row of their own."""
    count: int = 500
    """Most patches of a kind; the paper has 1,000 and 1,160 real ones."""
    window: int = WINDOW
    """Side of the real patches in pixels of their own slices; in a store they cover the same part of a slice."""
    share: float = SHARE
    """More than this of a window must be lesion (or free lung), from 0 to below 1."""
    bootstrap: int = 2000
    """Resamples of the real slices or patients for the intervals; 0: none."""
    seed: int = 0
    """Seed of places, noise and resamples."""

    def __post_init__(self) -> None:
        if self.count < 1 or self.window < 8 or not 0 <= self.share < 1 or self.bootstrap < 0 or self.seed < 0:
            raise ConfigError(
                "count must be at least 1, window at least 8, share from 0 to below 1, bootstrap and seed not "
                f"negative, not {self.count}, {self.window}, {self.share}, {self.bootstrap}, {self.seed}"
            )
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError(f"out is a file: {self.out}; choose a folder")


@dataclass(frozen=True)
class Similarity:
    """What came out.

    Attributes:
        table: the paper's table III with controls.
        sets: the patches that were compared, by the name of their row.
        estimates: row -> measure -> distance to the real patches with its interval.
    """

    table: Table
    sets: dict[str, PatchSet]
    estimates: dict[str, dict[Measure, Estimate]]


REAL = "Real lesions, other slices"


def similarity(config: LikenessConfig, *, step: Callable[[str, int, int], None] = lambda *_: None) -> Similarity:
    """Read the real lesions, make patches of all kinds, and compare.

    Args:
        config: what to compare.
        step: called with what is done next, steps done, and all steps.

    Raises:
        ConfigError: a setting out of range.
        DataError, ImageReadError, StoreError: real lesions or the store cannot be used; names the file.
    """
    kinds = _kinds(config)
    store, stored = _stored_lung(config)
    step("reading real lesions", 0, len(kinds) + 2)
    slices = read_lesion_slices(config.lesions, config.masks, groups=_patients(config.patients))
    real = lesion_patches(slices, config.count, window=config.window, share=config.share, seed=config.seed)
    step("real against real", 1, len(kinds) + 2)
    reference = RealReference(real, resamples=config.bootstrap, seed=config.seed)
    sets, estimates = {REAL: real}, {REAL: reference.against_itself()}
    level = round(float(real.patches.mean()))
    ground = _Ground.of_store(config, slices, level, store, stored) if store else _Ground.of(config, slices, level)
    for done, (name, kind) in enumerate(kinds.items(), start=2):
        step(name, done, len(kinds) + 2)
        sets[name] = kind(ground)
        estimates[name] = reference.against(sets[name])
    step("", len(kinds) + 2, len(kinds) + 2)
    return Similarity(_table(config, sets, estimates, reference.groups, ground), sets, estimates)


@dataclass(frozen=True)
class _Ground:
    """Where pseudo lesions are made: lung, its windows, and the mean grey of real lesions."""

    lung: list[LungSlice]
    window: int
    count: int
    share: float
    seed: int
    level: int
    source: str

    @classmethod
    def of(cls, config: LikenessConfig, slices: list[LesionSlice], level: int) -> _Ground:
        lung = free_lung(slices)
        if not lung:
            raise DataError(
                f"no plausible lungs are found in the slices of {config.lesions}, perhaps because they are cut to "
                "a part of the lung; give a slice store with --store"
            )
        source = "the lung beside the lesions in the same slices"
        return cls(lung, config.window, config.count, config.share, config.seed, max(1, level), source)

    @classmethod
    def of_store(
        cls, config: LikenessConfig, slices: list[LesionSlice], level: int, store: SliceStore, lung: list[LungSlice]
    ) -> _Ground:
        sides = float(np.median([max(one.image.shape) for one in slices]))
        window = max(8, round(config.window * store.size / sides))
        source = f"{len(lung)} {store.class_names[0]} slices of {store.path.name}, {store.size} pixels a side"
        return cls(lung, window, config.count, config.share, config.seed, max(1, level), source)

    def windows(self, alter: Callable[[np.ndarray], np.ndarray] | None = None) -> PatchSet:
        return lung_patches(self.lung, self.count, window=self.window, share=self.share, seed=self.seed, alter=alter)

    @property
    def side(self) -> float:
        """Usual longer side of the slices in pixels."""
        return float(np.median([max(one.image.shape) for one in self.lung]))

    def recipe(self, settings: dict[str, Any]) -> PatchSet:
        """What pretraining with these settings pastes, or does to slices."""
        if settings["corruption"] != "perlin":
            return self.windows(blurred if settings["corruption"] == "gaussian" else self.shuffled)
        settings = settings | scaled_lesions(settings, round(self.side))
        bank = bank_of(settings, self.seed)
        if settings["blend"] == "replace" and settings["shape"] == "rectangle":
            return bank_patches(bank, self.count)
        soft = ("alpha", "feather") if settings["blend"] in ("alpha", "add") else ()
        keys = ("count", "blend", "shape", "inside", *soft)
        paste = {key: as_range(settings[key]) for key in keys}
        return pasted_patches(self.lung, bank, self.count, paste=paste, share=self.share, seed=self.seed)

    def shuffled(self, images: np.ndarray) -> np.ndarray:
        return shuffled(images, seed=self.seed)

    def clouds(self) -> PatchSet:
        """The soft clouds of docs/recipe.md, as large for these slices as for those that they were chosen for."""
        scale = self.side / CLOUDS_SIDE
        patch = (max(3, round(10 * scale)), max(5, round(50 * scale)))
        bank = LesionBank.generate(count=1000, images=100, cells=8, patch=patch, threshold=150, seed=self.seed)
        paste = {"count": 12, "shape": "cloud", "blend": "add", "alpha": (0.3, 0.7)}
        return pasted_patches(self.lung, bank, self.count, paste=paste, share=self.share, seed=self.seed)


_KINDS: dict[str, Callable[[_Ground], PatchSet]] = {
    "PLR-L": lambda ground: ground.windows(ground.shuffled),
    "PLR-G": lambda ground: ground.windows(blurred),
    "PLR-P": lambda ground: ground.recipe(_settings("sars-cov-2")),
    "Soft clouds": _Ground.clouds,
    "Unaltered lung": _Ground.windows,
    "Constant grey": lambda ground: constant_patch(ground.level),
}


def _kinds(config: LikenessConfig) -> dict[str, Callable[[_Ground], PatchSet]]:
    """Rows of the table but the first of the controls; PLR+ if the package has it."""
    from ...recipes.document import named_configs

    names = list(dict.fromkeys([*(["plr+"] if "plr+" in named_configs() else []), *config.also]))
    settings = [_settings(name) for name in names]  # what is wrong with one is said before any work
    stems = [Path(name).stem for name in names]
    titles = [stem if stems.count(stem) == 1 else name for stem, name in zip(stems, names, strict=True)]
    added = {
        f"Recipe {title}": partial(_Ground.recipe, settings=each) for title, each in zip(titles, settings, strict=True)
    }
    first = {name: kind for name, kind in _KINDS.items() if name not in _CONTROLS}
    return {**first, **added, **{name: kind for name, kind in _KINDS.items() if name in _CONTROLS}}


def _settings(name: str) -> dict[str, Any]:
    """The pretraining settings of a recipe.

    Raises:
        ConfigError: there is no such recipe, or it makes no patches; names it.
    """
    from ...recipes import load_config

    recipe = load_config(name)
    recipe.require("pretrain")
    settings = {key: setting.value for key, setting in recipe.settings("pretrain").items()}
    if settings["corruption"] != "perlin":
        return settings
    if settings["lesions"] == "clouds":
        raise ConfigError(f"{name}: lesions of the kind clouds cover whole slices, no patches: leave it out")
    if settings["bank"] and not Path(settings["bank"]).is_file():
        raise ConfigError(f"{name}: there is no lesion bank {settings['bank']}")
    return settings


def _stored_lung(config: LikenessConfig) -> tuple[SliceStore, list[LungSlice]] | tuple[None, list[LungSlice]]:
    if config.store is None:
        return None, []
    from ...data.store import SliceStore

    store = SliceStore.open(config.store)
    return store, store_lung(store, split=config.split)


_MADE_BY = {"PLR-L": "local shuffling", "PLR-G": "Gaussian blur", "PLR-P": "Perlin noise"}
_CONTROLS = (REAL, "Unaltered lung", "Constant grey")


def _table(
    config: LikenessConfig,
    sets: dict[str, PatchSet],
    estimates: dict[str, dict[Measure, Estimate]],
    groups: int,
    ground: _Ground,
) -> Table:
    rows = []
    for name in (*(name for name in sets if name != REAL), REAL):
        if name in PAPER:
            rows.append(_paper_row(name))
        measured = [_entry(estimates[name][measure], measure) for measure in MEASURES]
        title = f"{name} ({_MADE_BY[name]})" if name in _MADE_BY else name
        count = len(sets[name])
        rows.append(
            Row(
                (Entry(title), Entry(f"{count:,}", count), *measured),
                kind="control" if name in _CONTROLS else "result",
            )
        )
    unit = "slices" if config.patients is None else "patients"
    notes = [
        "Smaller is nearer. Means over pairs reward flatness (look at the constant grey), so a small value there says "
        "little. Energy distances are 0 only for patches distributed like the real ones.",
        f"Real lesions: {len(sets[REAL])} windows of {config.window} pixels, more than {config.share:.0%} lesion, from "
        f"{groups} {unit}; all patches are resized to {SIZE} × {SIZE}. Lung: {ground.source}, windows of "
        f"{ground.window} pixels.",
        f"Intervals: {unit} of the real patches drawn anew, {config.bootstrap:,} times; for energy distances between "
        "real lesions, the middle 95 % of random halvings.",
        "Grey is in grey levels, gradient in grey levels per pixel; spectrum is how power falls with frequency.",
        "The paper's rows are of its own patches, 1,160 real ones of UESTC-COVID-19 against 1,000 of each kind.",
    ]
    if ground.window < SIZE:
        notes.append(
            f"Windows of lung are enlarged from {ground.window} to {SIZE} pixels, which smooths them: gradient and "
            "spectrum then tell of the enlargement, too. A store of larger slices avoids it."
        )
    if config.patients is None:
        notes.append("Patients are unknown here: slices of one patient may have been compared with each other.")
    return Table(
        key="lesion-similarity",
        title="How near pseudo lesions are to real ones (the paper's table III)",
        caption="Distances of patches to patches of real lesions, with controls: unaltered lung, one grey, and real "
        "lesions of other slices.",
        columns=_COLUMNS,
        rows=rows,
        notes=notes,
    )


def _paper_row(name: str) -> Row:
    numbers = [Entry(f"{value:.4f}", value) for value in PAPER[name]]
    nothing = [Entry(DASH) for _ in ENERGY_MEASURES]
    return Row((Entry(f"{name}, as printed in the paper"), Entry("1,000", 1000), *numbers, *nothing), kind="paper")


def _entry(estimate: Estimate, measure: Measure) -> Entry:
    digits = 2 if measure in ENERGY_MEASURES else 3
    if not np.isfinite(estimate.low):
        return Entry(number(estimate.value, digits), estimate.value)
    ends = f"{number(estimate.low, digits)} to {number(estimate.high, digits)}"
    return Entry(number(estimate.value, digits), estimate.value, estimate.low, estimate.high, note=ends)


def _patients(path: Path | None) -> dict[str, str] | None:
    if path is None:
        return None
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return dict(_rows(path, csv.DictReader(lines)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file: {error}") from error


def _rows(path: Path, lines: csv.DictReader[str]) -> Iterator[tuple[str, str]]:
    if not {"file", "patient_id"} <= set(lines.fieldnames or ()):
        raise DataError(f"{path} lacks columns 'file' and 'patient_id'; it has {', '.join(lines.fieldnames or ())}")
    for row in lines:
        if not row["file"] or not row["patient_id"]:
            raise DataError(f"{path} line {lines.line_num}: 'file' or 'patient_id' is empty")
        yield Path(row["file"]).name, row["patient_id"]
