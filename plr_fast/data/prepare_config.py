"""What ``plr-fast prepare`` can be told."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..errors import ConfigError, DataError
from .identities import salt_or_environment
from .readers import WINDOWS, PatientIds, ReadOptions, WindowName

SourceKind = Literal["folder", "manifest", "phantom"]

MAX_SIZE = 4096


@dataclass(frozen=True)
class PrepareConfig:
    """Make a slice store from pictures, DICOM series and NIfTI volumes in class folders, from a CSV manifest that
    lists them, or from the built-in phantom."""

    source: Path
    """A folder of class folders, a manifest (.csv, .tsv), or the word 'phantom' for the built-in thorax phantom."""
    out: Path
    """The slice store to make, a folder."""
    positive: tuple[str, ...] = ("covid",)
    """Names of the positive class: class folders, or values of the label column (case does not matter)."""
    negative: tuple[str, ...] = ("normal",)
    """Names of the negative class."""
    unlabelled: tuple[str, ...] = ()
    """Names that mean "label unknown"; such slices serve pretraining only. Empty labels always mean that."""
    exclude: tuple[str, ...] = ()
    """Names whose slices are left out."""
    size: int = 224
    """Height and width of the stored slices in pixels."""
    fit: Literal["squash", "pad"] = "squash"
    """squash: resize to the square without keeping the aspect, as the paper does; pad: keep it, with black bars."""
    window: tuple[float, float] | WindowName | None = None
    """Values shown as black and white (not for 8-bit, X-rays): two numbers, or lung (-1350 150, the default in
    Hounsfield units), mediastinum (-160 240), wide (-1000 1000). 16-bit pictures: 0 65535."""
    every: int = 1
    """Series and volumes: of the slices in order, take every k-th."""
    slice_range: tuple[float, float] = (0.0, 1.0)
    """Series and volumes: from where to where slices are taken, 0 the end at the head, 1 the end at the feet."""
    min_lung_share: float = 0.0
    """Leave out slices whose lung mask covers less than this share of the picture."""
    hounsfield: Literal["auto", "yes", "no"] = "auto"
    """Whether series and volumes are in Hounsfield units. auto: CT series are, NIfTI volumes if they reach -500."""
    gaps: Literal["note", "refuse"] = "note"
    """Series in which slices are missing: note it in the report, or treat the series as unreadable (--on-error)."""
    patient_ids: PatientIds = "hash"
    """Patient ids found in DICOM files: stored as pseudonyms (hashed), kept as they are, or passed over."""
    patient_salt: str = field(default="", repr=False)
    """Secret that the pseudonyms depend on; better given as the environment variable PLR_FAST_PATIENT_SALT."""
    source_names: Literal["auto", "keep", "hash"] = "auto"
    """File names in the store: keep, hash, or auto: hash those of DICOM files if patient ids are hashed."""
    names_table: Path | None = None
    """Where to write which file got which hashed name (CSV); holds what hashing hides, so keep it apart."""
    root: Path | None = None
    """Manifest: the folder that its file names are relative to and may not leave (default: the manifest's own)."""
    file_column: str = "file"
    """Manifest: column of the picture files."""
    label_column: str = "label"
    """Manifest: column of the classes; '' if all slices are unlabelled (then clear --positive and --negative too)."""
    id_column: str = ""
    """Manifest: column of unique slice ids (default: the file names)."""
    patient_column: str = ""
    """Manifest: column of the patient ids; an empty field means unknown (see --missing-patient)."""
    split_column: str = ""
    """Manifest: column of given splits (train, val, test and usual spellings); default: splits are computed."""
    order_column: str = ""
    """Manifest: column of numbers that put the slices of a class in sequence, for --block-size."""
    masks: Literal["auto", "none"] = "auto"
    """Lung masks: auto, given (by the next two) or else computed; none, the store has empty masks. For X-rays, on which
    computed masks make no sense: such a store serves fine-tuning, and pretraining by blur or shuffling."""
    mask_column: str = ""
    """Manifest: column of lung mask files; default: masks are computed."""
    mask_dir: Path | None = None
    """Folder of lung masks under the pictures' own relative names, any suffix; default: masks are computed."""
    patient_folders: bool = False
    """Class folders: the folders directly below a class folder are patients."""
    block_size: int = 0
    """Where no patient is known: unparted blocks of so many files in order. 0: each file alone (inflates results)."""
    missing_patient: Literal["together", "separate", "error"] = "together"
    """Files without patient id where others have one: one group per class (cannot leak), each alone (may), or stop."""
    allow_shared_groups: bool = False
    """Accept a given split column that puts one patient, or equal pictures, into several splits."""
    near_duplicates: Literal["report", "group", "off"] = "report"
    """Slices that show the same at another size, window, crop or compression, in different groups: report lists them
    in duplicates.csv, group joins their groups too, so that no split parts them, off does not look for them."""
    val_fraction: float = 0.15
    """Share of the slices for validation; with a split column: taken from its training groups if it names none."""
    test_fraction: float = 0.2
    """Share of the slices for testing (computed splits only). Shares are met as nearly as whole groups allow."""
    seed: int = 0
    """Seed of the computed splits, and of the phantom."""
    fold: int = 0
    """Rotates the computed splits (also validation that is taken from a split column's training groups): with a test
    fraction of 1/q, folds 0..q-1 test every group once."""
    on_error: Literal["stop", "skip"] = "stop"
    """Unreadable pictures: stop at the first, or skip them and name them in the report."""
    overwrite: bool = False
    """Replace a slice store that is already there."""
    phantom_patients: int = 60
    """Phantom: number of patients, half of them positive."""
    phantom_slices: int = 8
    """Phantom: slices of each patient."""
    progress: bool = True
    """Show a progress bar."""
    jobs: int | None = None
    """Processes that read, resize and mask; 1: all in one. Default: one for each CPU that may be used, if it pays."""

    @property
    def kind(self) -> SourceKind:
        """What ``source`` is. Raises ``DataError`` where it is nothing known."""
        if str(self.source) == "phantom":
            return "phantom"
        if self.source.is_dir():
            return "folder"
        if self.source.is_file() and self.source.suffix.lower() in (".csv", ".tsv"):
            return "manifest"
        what = "is neither a folder nor a .csv file" if self.source.exists() else "does not exist"
        raise DataError(f"the source {self.source} {what}; give a folder of class folders, a manifest, or 'phantom'")

    @property
    def class_names(self) -> tuple[str, str]:
        """(negative, positive), several names joined by ``+``."""
        return "+".join(self.negative) or "negative", "+".join(self.positive) or "positive"

    @property
    def window_values(self) -> tuple[float, float] | None:
        """``window`` as two numbers, a name looked up."""
        return WINDOWS[self.window] if isinstance(self.window, str) else self.window

    @property
    def read_options(self) -> ReadOptions:
        """What readers of series and volumes are told."""
        return ReadOptions(
            every=self.every,
            part=self.slice_range,
            hounsfield=self.hounsfield,
            gaps=self.gaps,
            patient_ids=self.patient_ids,
            patient_salt=salt_or_environment(self.patient_salt),
        )

    def pixel_settings(self) -> dict[str, Any]:
        """All options that a slice depends on, beside its file and mask: what makes work that was done useless."""
        values = {
            option.name: getattr(self, option.name) for option in fields(self) if option.name not in _NOT_IN_PIXELS
        }
        return values | {"window": self.window_values, "patient_salt": self.read_options.patient_salt}

    def validate(self) -> None:
        """Check everything that can be checked without opening files.

        Raises:
            ConfigError: a value is out of range, or an option has no meaning for this kind of source.
            DataError: ``source`` is nothing known.
        """
        if not 16 <= self.size <= MAX_SIZE:
            raise ConfigError(f"size must lie in 16..{MAX_SIZE}, not {self.size}")
        for name in ("val_fraction", "test_fraction"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ConfigError(f"{name} must lie in [0, 1), not {getattr(self, name)}")
        if self.val_fraction + self.test_fraction >= 1.0:
            raise ConfigError("val_fraction and test_fraction leave nothing for training; their sum must be below 1")
        for name in ("seed", "fold", "block_size"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must not be negative, but is {getattr(self, name)}")
        if self.jobs is not None and self.jobs < 1:
            raise ConfigError(f"jobs must be at least 1, not {self.jobs}")
        if self.seed >= 2**32:
            raise ConfigError(f"seed must be below 2**32, not {self.seed}")
        if isinstance(self.window, str) and self.window not in WINDOWS:
            raise ConfigError(f"window must be LOW HIGH or one of {', '.join(WINDOWS)}, not {self.window!r}")
        window = self.window_values
        if window is not None and not (all(map(math.isfinite, window)) and window[0] < window[1]):
            raise ConfigError(f"window must be LOW HIGH with LOW < HIGH, not {window}")
        if self.every < 1:
            raise ConfigError(f"every must be at least 1, not {self.every}")
        low, high = self.slice_range
        if not 0.0 <= low < high <= 1.0:
            raise ConfigError(f"slice_range must be two shares 0 <= FROM < TO <= 1, not {low:g} {high:g}")
        if not 0.0 <= self.min_lung_share < 1.0:
            raise ConfigError(f"min_lung_share must lie in [0, 1), not {self.min_lung_share}")
        if self.mask_dir is not None and self.mask_column:
            raise ConfigError("give mask_dir or mask_column, not both")
        if self.masks == "none" and (self.mask_dir is not None or self.mask_column):
            raise ConfigError("masks=none leaves no use for mask_dir and mask_column; give one or the other")
        if self.masks == "none" and self.min_lung_share:
            raise ConfigError("min_lung_share needs lung masks; leave it or masks=none out")
        if not self.file_column:
            raise ConfigError("file_column must name the column of the picture files")
        self._refuse_idle_options()
        if self.kind == "phantom":
            if not 32 <= self.size <= 2048:
                raise ConfigError(f"size must lie in 32..2048 for the phantom, not {self.size}")
            if self.phantom_patients < 1 or self.phantom_slices < 1:
                raise ConfigError("phantom_patients and phantom_slices must be at least 1")

    def _refuse_idle_options(self) -> None:
        # An option that would be passed over in silence is a split or a mask that the user believes in.
        for name, why in self.idle_options().items():
            if getattr(self, name) != getattr(PrepareConfig, name):
                raise ConfigError(f"--{name.replace('_', '-')} has no meaning {why}; leave it out")

    def idle_options(self) -> dict[str, str]:
        """Fields that change nothing for this source and beside the others, and why; those of a config file step
        aside."""
        idle: dict[str, str] = {}
        with suppress(DataError):  # a source that is nothing known is for validate to refuse
            kind = self.kind
            idle = {name: f"for a {kind} as the source" for name, owners in _OPTIONS_OF.items() if kind not in owners}
        if self.split_column and "split_column" not in idle:
            idle["test_fraction"] = "beside --split-column, which names the test rows"
        return idle

    def check_fold(self, splits: Collection[str]) -> None:
        """Refuse ``fold`` where ``splits``, the content of the split column, leave nothing to rotate.

        Raises:
            ConfigError: so.
        """
        if self.fold and "val" in splits:
            raise ConfigError(
                "--fold has no meaning beside --split-column, which names the validation rows; leave it out"
            )


_PICTURES = ("folder", "manifest")
_OPTIONS_OF: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("phantom_patients", "phantom_slices"), ("phantom",)),
    "masks": _PICTURES,
    **dict.fromkeys(("mask_dir", "window", "fit", "block_size", "missing_patient", "exclude", "unlabelled"), _PICTURES),
    **dict.fromkeys(("jobs", "near_duplicates"), _PICTURES),
    **dict.fromkeys(("every", "slice_range", "min_lung_share", "hounsfield", "gaps"), _PICTURES),
    **dict.fromkeys(("patient_ids", "patient_salt", "source_names", "names_table"), _PICTURES),
    **dict.fromkeys(("root", "split_column", "order_column", "mask_column", "file_column"), ("manifest",)),
    **dict.fromkeys(("label_column", "id_column", "patient_column", "allow_shared_groups"), ("manifest",)),
    "patient_folders": ("folder",),
}

# Which sources there are, whose and what they are, and how the work is done. An option that is not named here counts.
_NOT_IN_PIXELS = frozenset(
    (
        *("source", "root", "file_column", "mask_dir", "mask_column", "id_column", "order_column", "label_column"),
        *("positive", "negative", "unlabelled", "exclude", "patient_column", "patient_folders", "missing_patient"),
        *("split_column", "block_size", "val_fraction", "test_fraction", "seed", "fold", "allow_shared_groups"),
        *("source_names", "names_table", "near_duplicates"),
        *("out", "overwrite", "on_error", "progress", "jobs", "phantom_patients", "phantom_slices"),
    )
)
