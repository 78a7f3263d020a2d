"""The slices of an experiment: prepared once for each data set, split anew for each repeat."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ...console import console
from ...data.resplit import resplit
from ...data.split_hash import split_hash
from ...data.store import SliceStore
from ...errors import ConfigError, DataError
from ...files import require_space, storage_error
from ..planning.plan import DatasetPlan, Place
from ..planning.settings import derived_seed, in_words_of_a_file, prepare_config, settings_sha256
from ..results import DatasetInfo, Unit, dataset_file_name

if TYPE_CHECKING:
    from ...data.prepare_config import PrepareConfig
    from ...recipes import Recipe


@dataclass(frozen=True)
class Split:
    """The slices of one repeat.

    Attributes:
        store: with the repeat's splits.
        repeat: which.
    """

    store: SliceStore
    repeat: int

    @cached_property
    def sha256(self) -> str:
        """Of which slice is in which part."""
        return split_hash(self.store.ids.tolist(), self.store.splits.tolist())

    @cached_property
    def data_sha256(self) -> str:
        """Of all that a training sees of the slices: ids, labels, splits, pixels, groups, doubtful masks."""
        store = self.store
        rest = json.dumps([store.groups.tolist(), store.patients.tolist(), store.mask_ok.tolist()])
        return hashlib.sha256((store.fingerprint + rest).encode(errors="surrogateescape")).hexdigest()


def prepare_settings(place: Place, recipe: Recipe, out: Path, **shares: float) -> PrepareConfig:
    """How ``place`` is prepared; the folder's name tells other settings apart."""
    where, run = f"{place.where}: {place.name}", out / "stores" / "x"
    config = prepare_config(recipe, place.prepare, source=str(place.source), out=run, where=where, **shares)
    # Without where it lies: the folder of an experiment may be moved.
    digest = settings_sha256({**config.pixel_settings(), "all": repr(replace(config, jobs=None, out=Path()))})[:8]
    return replace(config, out=out / "stores" / f"{dataset_file_name(place.name)}-{digest}")


def open_store(place: Place, recipe: Recipe, out: Path, **shares: float) -> SliceStore:
    """The store of ``place``, prepared now if it is not there yet.

    Raises:
        ConfigError, DataError, StoreError, StorageError: as preparing or opening it does.
    """
    if place.store is not None:
        return SliceStore.open(place.store)
    config = prepare_settings(place, recipe, out, **shares)
    if not (config.out / "store.json").is_file():
        from ...data.prepare import prepare

        console.print(f"preparing {place.name} from {place.source}", markup=False, highlight=False, soft_wrap=True)
        try:
            prepare(config)
        except (ConfigError, DataError) as error:
            raise type(error)(f"{place.where}: {place.name}: {in_words_of_a_file(error)}") from error
    return SliceStore.open(config.out)


def split_folder(dataset: DatasetPlan, base: SliceStore, repeat: int, out: Path, seed: int) -> Path:
    """Where the store of a repeat is or will be."""
    if dataset.split_by == "given":
        return base.path
    how = [dataset.split_by, dataset.val_fraction, dataset.test_fraction, _split_seed(dataset, seed)]
    content = json.dumps([base.fingerprint, base.groups.tolist(), base.patients.tolist()])
    digest = settings_sha256({"how": how, "of": hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()})
    return out / "splits" / f"{dataset_file_name(dataset.name)}-{repeat}-{digest[:8]}"


def make_split(dataset: DatasetPlan, base: SliceStore, repeat: int, out: Path, seed: int) -> Split:
    """The slices of ``dataset`` as repeat number ``repeat`` splits them.

    Raises:
        DataError: too few groups, or a part lacks a class.
        StorageError: no room.
    """
    folder = split_folder(dataset, base, repeat, out, seed)
    if dataset.split_by != "given":
        resplit(
            _near(base, out),
            folder,
            split_by=dataset.split_by,
            seed=_split_seed(dataset, seed),
            repeat=repeat,
            val_fraction=dataset.val_fraction,
            test_fraction=dataset.test_fraction,
        )
    split = Split(SliceStore.open(folder), repeat)
    _require_classes(dataset, split)
    return split


def describe(dataset: DatasetPlan, base: SliceStore) -> DatasetInfo:
    """What tables say of a data set."""
    summary = base.info.get("summary") or {}
    unit = dataset.unit or summary.get("unit", "file")
    return DatasetInfo(
        name=dataset.name,
        class_names=base.class_names,
        slices=len(base),
        groups=len(np.unique(base.groups)),
        unit=cast(Unit, unit if unit in ("patient", "block") else "file"),
        split_by=dataset.split_by,
        note=dataset.note,
        paper_table=dataset.paper_table,
    )


def _split_seed(dataset: DatasetPlan, seed: int) -> int:
    return derived_seed("split", seed, dataset.name)


def _near(base: SliceStore, out: Path) -> SliceStore:
    """``base`` itself where its files can be linked to from ``out``, else a copy there: one for all repeats."""
    if base.path.stat().st_dev == out.stat().st_dev:
        return base
    content = hashlib.sha256(f"{base.path.resolve()} {base.fingerprint}".encode()).hexdigest()[:8]
    copy = out / "stores" / f"copy-{content}"
    if not (copy / "store.json").is_file():
        size = sum(file.stat().st_size for file in base.path.iterdir() if file.is_file())
        require_space(out, size, f"a copy of {base.path}")
        part = copy.with_name(f".{copy.name}.part")
        try:
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(base.path, part)
            part.rename(copy)
        except OSError as error:
            raise storage_error(error, copy) from error
    return SliceStore.open(copy)


def _require_classes(dataset: DatasetPlan, split: Split) -> None:
    for part in ("train", "val", "test"):
        found = set(split.store.labels[split.store.labelled(part)].tolist())
        if found != {0, 1}:
            lacking = [name for value, name in enumerate(split.store.class_names) if value not in found]
            raise DataError(
                f"{dataset.name}, repeat {split.repeat}: the {part} part has no slice of {' and '.join(lacking)}; "
                "give larger fractions, or more groups"
            )


def require_writable(out: Path) -> None:
    """Make ``out``; refuse a folder that holds something else.

    Raises:
        ConfigError: so.
        StorageError: it cannot be made.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"out is a file: {out}; choose a folder")
    ours = {"plan.json", "cells", "runs", "splits", "stores", "superseded", "logs", ".lock", "failures.json"}
    if out.is_dir() and (found := {path.name for path in out.iterdir()}) and not found & ours:
        raise ConfigError(f"{out} is not empty and holds no experiment: choose another --out")
    try:
        (out / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, out) from error
