"""Other splits of a store that is there: for repeats of an experiment, and for the paper's split of single slices.

The new store has the same slices, masks, ids and groups. Its arrays are hard links to those of the first where the file
system allows it, so that ten repeats take the room of one; deleting either store leaves the other whole.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .._version import __version__
from ..errors import ConfigError, DataError, StoreError
from ..files import require_space, storage_error, sync, write_json
from .duplicates import PARTED_NOTE
from .splits import SPLIT_COLUMN_NOTE, compute_splits, folds_of
from .store import SPLITS, SliceStore
from .store_workplace import Workplace
from .store_writer import check_target

SplitBy = Literal["groups", "slices"]

_REWRITTEN = ("manifest.csv", "store.json")
_SLICES_NOTE = "split slice by slice, as in the paper"
_ASKED = ("split_by", "seed", "repeat", "val_fraction", "test_fraction")


@dataclass(frozen=True)
class ResplitConfig:
    """Make another slice store of the same slices in other splits. Pixels are shared with the first (hard links), not
    copied, where the file system allows it."""

    store: Path
    """The slice store that is there."""
    out: Path
    """The slice store to make."""
    split_by: SplitBy = "groups"
    """groups: whole patients or blocks, as prepare does; slices: each slice on its own, as the paper does, which parts
    neighbours and patients and inflates results."""
    seed: int = 0
    """Seed of the splits."""
    repeat: int = 0
    """Which of the splits of this seed: with a test fraction of 1/q, each q repeats in a row test every group once."""
    val_fraction: float = 0.15
    """Share of the slices for validation. Shares are met as nearly as whole groups allow."""
    test_fraction: float = 0.2
    """Share of the slices for testing."""

    def validate(self) -> None:
        """Check the values. Raises ``ConfigError``."""
        if self.split_by not in ("groups", "slices"):
            raise ConfigError(f"split_by must be groups or slices, not {self.split_by!r}")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must lie in 0..2**32 - 1, not {self.seed}")
        if self.repeat < 0:
            raise ConfigError(f"repeat must not be negative, but is {self.repeat}")
        for name in ("val_fraction", "test_fraction"):
            if not (isfinite(getattr(self, name)) and 0.0 <= getattr(self, name) < 1.0):
                raise ConfigError(f"{name} must lie in [0, 1), not {getattr(self, name)}")
        if self.val_fraction + self.test_fraction >= 1.0:
            raise ConfigError("val_fraction and test_fraction leave nothing for training; their sum must be below 1")
        if not self.val_fraction + self.test_fraction:
            raise ConfigError("val_fraction and test_fraction are both 0: there is nothing to split")


def resplit(
    store: SliceStore | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split_by: SplitBy = "groups",
    seed: int = 0,
    repeat: int = 0,
    val_fraction: float = 0.15,
    test_fraction: float = 0.2,
) -> Path:
    """Make a store at ``out`` with the slices of ``store`` in other splits; returns its path (links followed).

    ``split_by="groups"`` keeps each group of the manifest together, stratified by class; repeat 0 gives the splits that
    ``prepare`` computes with this seed. ``"slices"`` splits single slices (stratified too), as the paper does. The
    groups stay in the manifest, so that everything that looks for groups in several splits sees what was done, and a
    note in ``store.json`` says it.

    Repeats are as disjoint as can be: a test fraction that comes to p of q folds gives q // p repeats whose test parts
    share no group (they cover all groups where p is 1); the next repeats are folds of another seed, derived from
    ``seed``, and so on. Where ``test_fraction`` is 0 the same holds of the validation part. (The validation parts of
    repeats with test parts may overlap.)

    All or nothing is written. Where ``out`` is already what this call would make, nothing is done.

    Raises:
        ConfigError: a value is out of range.
        DataError: there are too few groups of some class.
        StoreError: ``store`` is none, or ``out`` is something else already, or is being made by another process.
        StorageError: writing failed, e.g. for want of space.
    """
    config = ResplitConfig(Path(), Path(out), split_by, seed, repeat, val_fraction, test_fraction)
    config.validate()
    source = store if isinstance(store, SliceStore) else SliceStore.open(store)
    target = Path(os.path.realpath(out))
    if target == Path(os.path.realpath(source.path)):
        raise StoreError(f"{target} is the store itself; choose another place for the one with other splits")
    how = _settings(config, source)
    if _is_there(target, how):
        return target
    _check_free(target, how)
    groups = source.groups.tolist() if split_by == "groups" else None
    splits = compute_splits(
        source.labels,
        groups,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        seed=how["fold_seed"],
        fold=how["fold"],
        class_names=dict(enumerate(source.class_names)),
    )
    place = Workplace(target)
    place.open()
    try:
        if _is_there(target, how):  # another process was faster
            return target
        _check_free(target, how)
        if place.journal.exists():
            raise StoreError(
                f"{place.folder} is an unfinished preparation of {target}: finish it with the same 'plr-fast prepare', "
                "delete it, or choose another place"
            )
        for left in place.store.iterdir():  # by a call that was killed
            left.unlink()
        _fill(place.store, source, splits, how)
        place.publish()
    except OSError as error:
        raise storage_error(error, target) from error
    finally:
        if place.journal.exists():
            place.release()
        else:
            place.discard()
    return target


def _settings(config: ResplitConfig, source: SliceStore) -> dict[str, Any]:
    """What the splits depend on, as it stands in ``store.json``."""
    groups = source.groups.tolist() if config.split_by == "groups" else None
    part = folds_of(source.labels, groups, config.test_fraction or config.val_fraction)
    rounds, turn = divmod(config.repeat, part.denominator // part.numerator)
    # One number for each round; that of the first is the seed itself, as prepare takes it.
    fold_seed = int(np.random.SeedSequence([config.seed, rounds]).generate_state(1)[0]) if rounds else config.seed
    values = asdict(config)
    del values["store"], values["out"]
    content = json.dumps(
        [source.ids.tolist(), source.labels.tolist(), source.groups.tolist(), source.patients.tolist()]
    )
    return {
        **values,
        "fold": turn * part.numerator,
        "fold_seed": fold_seed,
        "slices_sha256": hashlib.sha256(content.encode()).hexdigest(),
        "pixels_sha256": dict(source.info["pixels_sha256"]),
    }


def _is_there(target: Path, how: dict[str, Any]) -> bool:
    """Whether ``target`` is a sound store that was made in this way."""
    with suppress(StoreError):
        return bool(SliceStore.open(target).info.get("resplit") == how)
    return False


def _check_free(target: Path, how: dict[str, Any]) -> None:
    """Refuse a place that something else has already; of another resplit, say what it was made with."""
    there = None
    with suppress(StoreError):
        there = SliceStore.open(target)
    if there is None:
        if (target / "store.json").is_file():
            raise StoreError(f"{target} exists already, a damaged store; choose another place, or delete it first")
        check_target(target, overwrite=False)
        return
    made = there.info.get("resplit") or {}
    differences = [
        f"{name} was {made[name]}, now {how[name]}" for name in _ASKED if name in made and made[name] != how[name]
    ]
    why = "; ".join(differences) or ("of other slices" if made else "made by something else than resplit")
    raise StoreError(f"{target} is a store already ({why}); choose another place, or delete it first")


def _fill(folder: Path, source: SliceStore, splits: Sequence[str], how: dict[str, Any]) -> None:
    for file in sorted(source.path.iterdir()):
        if file.is_file() and file.name not in _REWRITTEN:
            _link(Path(os.path.realpath(file)), folder / file.name)
    _write_manifest(source.path / "manifest.csv", folder / "manifest.csv", splits)
    info = {**source.info, "plr_fast": __version__, "resplit": how}
    info["summary"] = {**(info.get("summary") or {}), **_summary(source, splits, how)}
    write_json(folder / "store.json", info)
    SliceStore.open(folder)  # every reader will open it with this same code
    sync(folder)


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:  # another file system, or one without hard links
        require_space(link.parent, file.stat().st_size, f"a copy of {file}")
        shutil.copyfile(file, link)
        sync(link)


def _write_manifest(file: Path, target: Path, splits: Sequence[str]) -> None:
    """The manifest with another split column, and nothing else changed."""
    with (
        file.open(encoding="utf-8", newline="") as lines,
        target.open("w", encoding="utf-8", newline="") as stream,
    ):
        reader, writer = csv.reader(lines, strict=True), csv.writer(stream, lineterminator="\n")
        header = next(reader)
        column = header.index("split")
        writer.writerow(header)
        rows = [row for row in reader if row]
        if len(rows) != len(splits):
            raise DataError(f"{file} was changed while it was read; try again")
        for row, split in zip(rows, splits, strict=True):
            row[column] = split
            writer.writerow(row)
    sync(target)


def _summary(source: SliceStore, splits: Sequence[str], how: dict[str, Any]) -> dict[str, Any]:
    """What changes in the summary of a store with its splits."""
    negative, positive = source.class_names
    names = {0: negative, 1: positive, -1: "unlabelled"}
    labels = sorted(set(source.labels.tolist()), key=list(names).index)
    table = Counter(zip(splits, source.labels.tolist(), strict=True))
    parts_of: dict[str, set[str]] = {}
    for group, split in zip(source.groups.tolist(), splits, strict=True):
        parts_of.setdefault(group, set()).add(split)
    shared = sum(len(parts) > 1 for parts in parts_of.values())
    summary = source.info.get("summary") or {}
    # What tells of splits that are no longer.
    notes = [
        note
        for note in summary.get("notes", ())
        if not (note.startswith((SPLIT_COLUMN_NOTE, _SLICES_NOTE)) or PARTED_NOTE in note)
    ]
    if how["split_by"] == "slices":
        parted = (
            f"{shared} of {len(parts_of)} groups have slices in several splits, so neighbouring slices and slices of "
            "one patient are in training and test, and results are inflated"
        )
        notes.append(f"{_SLICES_NOTE}: {parted if shared else 'no group has slices in several splits all the same'}")
    near = {name: value for name, value in summary.get("near_duplicates", {}).items() if name != "across_splits"}
    return {
        **({"near_duplicates": near} if near else {}),
        "groups": len(parts_of),
        "shared_groups": shared,
        "splits": {split: {names[label]: table[split, label] for label in labels} for split in SPLITS},
        "notes": notes,
    }
