"""Facts that stand beside the results: what the store holds, which versions and machine were used."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from .._version import __version__
from ..data.split_hash import split_hash
from ..machine import processor, usable_cpus

if TYPE_CHECKING:
    import torch

    from ..data.store import SliceStore

SPLITS: tuple[str, ...] = ("train", "val", "test")
_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "scikit-image", "matplotlib", "pillow")


@dataclass(frozen=True)
class ClassCount:
    """Slices and groups of one class in one split; ``label`` −1 means unlabelled."""

    split: str
    label: int
    slices: int
    groups: int


@dataclass(frozen=True)
class StoreFacts:
    """What a reader must know of the data.

    Attributes:
        path: as it was given.
        fingerprint: names the data.
        split_sha256: names which slices are in which split, whatever their size.
        size: height and width of the slices.
        class_names: (negative, positive).
        counts: for each split and class that occurs.
        shared_groups: groups that have slices in more than one split.
        bad_masks: slices whose lung mask looked implausible.
        single_groups: whether every slice is a group of its own.
        unknown_patients: slices without a patient id.
        unit: what a group is, as the store says: ``patient``, ``block``, ``file``; empty where it does not say.
        notes: the warnings written down when the store was made.
    """

    path: str
    fingerprint: str
    split_sha256: str
    size: int
    class_names: tuple[str, str]
    counts: tuple[ClassCount, ...]
    shared_groups: int
    bad_masks: int
    single_groups: bool
    unknown_patients: int
    unit: str
    notes: tuple[str, ...]

    @property
    def slices(self) -> int:
        return sum(count.slices for count in self.counts)

    def warnings(self) -> list[str]:
        """What may inflate or distort results, in plain sentences."""
        found = [note[:1].upper() + note[1:] for note in self.notes]
        told = any("patient id" in note for note in self.notes)  # the store knows it best: not to be said twice
        if self.shared_groups:
            found.append(
                f"{self.shared_groups} groups (patients or blocks) have slices in more than one split: results may be "
                "inflated."
            )
        if self.single_groups and not told:
            found.append(
                "Patient ids unknown: every slice is a group of its own, so slices of one patient may stand in "
                "several splits and results may be inflated."
            )
        elif self.unknown_patients and not told:
            share = self.unknown_patients / max(1, self.slices)
            found.append(
                f"Patient ids unknown for {self.unknown_patients:,} slices ({share:.0%}): whether their groups really "
                "keep patients apart cannot be checked."
            )
        if self.bad_masks:
            found.append(
                f"{self.bad_masks:,} of {self.slices:,} lung masks looked implausible when the store was made; "
                "the restoration tests leave those slices out."
            )
        return list(dict.fromkeys(found))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def describe_store(store: SliceStore) -> StoreFacts:
    """Count what ``store`` holds."""
    counts = []
    for split in SPLITS:
        for label in (0, 1, -1):
            indices = store.select(split, label)
            if len(indices):
                counts.append(ClassCount(split, label, len(indices), len(np.unique(store.groups[indices]))))
    pairs = {(str(group), str(split)) for group, split in zip(store.groups, store.splits, strict=True)}
    splits_of_group: dict[str, int] = {}
    for group, _ in pairs:
        splits_of_group[group] = splits_of_group.get(group, 0) + 1
    patients = getattr(store, "patients", None)
    summary = store.info.get("summary") or {}
    notes: Sequence[Any] = summary.get("notes", ()) if isinstance(summary, dict) else ()
    return StoreFacts(
        path=str(store.path),
        fingerprint=str(store.fingerprint),
        split_sha256=split_hash(store.ids.tolist(), store.splits.tolist()),
        size=int(store.size),
        class_names=store.class_names,
        counts=tuple(counts),
        shared_groups=sum(number > 1 for number in splits_of_group.values()),
        bad_masks=int(np.count_nonzero(~np.asarray(store.mask_ok))),
        single_groups=len(splits_of_group) == len(store) > 1,
        unknown_patients=0 if patients is None else int(np.count_nonzero(np.asarray(patients) == "")),
        unit=str(summary.get("unit", "")) if isinstance(summary, dict) else "",
        notes=tuple(str(note) for note in notes),
    )


def environment(device: torch.device) -> dict[str, str]:
    """Versions and machine, for the record; nothing that names a person or a host."""
    import torch

    facts = {"plr_fast": __version__, "python": platform.python_version()}
    facts |= {package: _version(package) for package in _PACKAGES}
    facts["system"] = f"{platform.system()} {platform.release()}"
    facts["processor"] = f"{processor()}, {usable_cpus()} CPUs usable"
    facts["device"] = f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    return facts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"
