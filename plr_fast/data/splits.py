"""Groups and splits: what must never be parted, and who goes to training, validation and test.

Slices of one patient look alike, and so do neighbouring slices of a scan: a network tested on the neighbours of its
training slices is tested on its memory. Therefore splits are made of whole groups, stratified by label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .manifest import Entry, some

MissingPatient = Literal["together", "separate", "error"]

SPLIT_COLUMN_NOTE = "the split column names"
"""How notes on a given split column begin."""

_LARGEST_DENOMINATOR = 10


@dataclass(frozen=True)
class Grouping:
    """The group of each entry, what kind of group it is, and what the user should know about it."""

    groups: tuple[str, ...]
    unit: Literal["patient", "block", "file"]
    notes: tuple[str, ...] = ()


def group_entries(
    entries: Sequence[Entry], *, block_size: int = 0, missing_patient: MissingPatient = "together"
) -> Grouping:
    """Decide which entries belong together.

    - Patient ids known: one group for each patient. Entries without an id form blocks where ``block_size`` is set;
      otherwise ``missing_patient`` decides: "together" makes one group of them for each class (and given split), which
      cannot leak whoever they are; "separate" lets each be its own group, which may leak; "error" refuses.
    - No patient id at all, but ``block_size``: each class, sorted by ``order``, is cut into contiguous blocks of that
      many entries (within a given split, if there is one). Only the slices at the ends of a block have neighbours in
      another.
    - Neither: each file is its own group (its pages stay together), with a note that results may be inflated.

    Raises:
        DataError: an entry lacks what the rule needs; the message names it.
    """
    known = any(entry.patient for entry in entries)
    groups = [f"patient:{entry.patient}" if entry.patient else "" for entry in entries]
    lacking = [index for index, group in enumerate(groups) if not group]
    notes = []
    if lacking and block_size:
        for index, block in _blocks(entries, lacking, block_size).items():
            groups[index] = block
    elif lacking and known:
        if missing_patient == "error":
            first = entries[lacking[0]]
            raise DataError(f"{len(lacking)} entries have no patient id, the first at {first.where}")
        for index in lacking:
            entry = entries[index]
            names = [entry.class_name.casefold(), *([entry.split] if entry.split else [])]
            groups[index] = f"file:{entry.id}" if missing_patient == "separate" else ":".join(["unknown", *names])
        made = "each is a group of its own, so results may be inflated"
        if missing_patient == "together":
            made = f"they form {len({groups[index] for index in lacking})} group(s) that no split parts"
        notes.append(f"{len(lacking)} of {len(entries)} files have no patient id: {made}")
    elif lacking:
        groups = [f"file:{entry.id}" for entry in entries]
        notes.append(
            "patient ids unknown: each file is split on its own, and results may be inflated by neighbouring slices "
            "in training and test; give a patient column, patient folders, or --block-size"
        )
    unit: Literal["patient", "block", "file"] = "patient" if known else "block" if block_size else "file"
    return Grouping(tuple(groups), unit, tuple(notes))


def join_groups(groups: Sequence[str], pairs: Iterable[tuple[int, int]]) -> tuple[tuple[str, ...], int]:
    """Join the groups of each pair of entries (indices into ``groups``).

    Returns the new groups, each joined one named after its first member, and how many groups were swallowed.
    """
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    rank = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    swallowed = 0
    for first, second in pairs:
        keep, lose = sorted((root(groups[first]), root(groups[second])), key=rank.__getitem__)
        if keep != lose:
            parent[lose] = keep
            swallowed += 1
    return tuple(root(group) for group in groups), swallowed


def check_given_splits(groups: Sequence[str], splits: Sequence[str], *, allow_shared: bool) -> int:
    """Count the groups that lie in several splits; refuse them unless ``allow_shared``.

    Raises:
        DataError: some group lies in several splits and that was not allowed; the message names some.
    """
    splits_of: dict[str, set[str]] = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        splits_of[group].add(split)
    shared = {group: sorted(found) for group, found in splits_of.items() if len(found) > 1}
    if shared and not allow_shared:
        names = [f"{group} ({', '.join(found)})" for group, found in shared.items()]
        raise DataError(
            f"{len(shared)} group(s) have slices in several given splits: {some(names)}; correct the split column, "
            "leave it out to have splits computed, or accept the leak with --allow-shared-groups"
        )
    return len(shared)


def compute_splits(
    labels: Sequence[int] | npt.NDArray[Any],
    groups: Sequence[str] | None,
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    fold: int = 0,
    class_names: Mapping[int, str] | None = None,
) -> list[str]:
    """Split of each slice, by whole groups, stratified by label (scikit-learn's ``StratifiedGroupKFold``).

    A fraction is realised as p of q folds, with q at most 10 and at most the number of groups of the rarest class: the
    nearest such share is taken. ``fold`` rotates which folds are the test (and validation) part: with a test fraction
    of 1/q, folds 0..q-1 give q test parts that together cover every group once. Unlabelled slices are stratified as a
    class of their own. Nothing depends on global random state. Where ``groups`` is None each slice goes its own way
    (``StratifiedKFold``), as the paper has it: neighbours and patients are parted.

    Raises:
        DataError: too few groups of a class for the parts that are wanted, or ``fold`` is out of range.
    """
    labels = np.asarray(labels)
    if not len(labels):
        raise DataError("there are no slices to split")
    names = {-1: "unlabelled", **(class_names or {})}
    parts = ["train", *(["val"] if val_fraction else []), *(["test"] if test_fraction else [])]
    for label, count in _groups_of_class(labels, groups).items():
        if count < len(parts):
            raise DataError(
                f"the class {names.get(label, str(label))!r} has {count} group(s), but {', '.join(parts)} need one "
                "each: give more patients, smaller blocks, or set --val-fraction or --test-fraction to 0"
            )
    result = np.full(len(labels), "train", dtype="<U5")
    rest = np.arange(len(labels))
    for part, share in (("test", test_fraction), ("val", val_fraction / (1.0 - test_fraction))):
        if share:
            members = None if groups is None else [groups[index] for index in rest.tolist()]
            chosen = _pick(labels[rest], members, share, seed, fold, part)
            result[rest[chosen]] = part
            rest = rest[~chosen]
    for part in parts:
        for label in np.unique(labels):
            if not np.any((result == part) & (labels == label)):
                raise DataError(
                    f"the {part} part got no slice of the class {names.get(int(label), str(label))!r}: its groups are "
                    "too few or too uneven; try another --seed or --fold, or larger fractions"
                )
    return [str(part) for part in result]


def folds_of(labels: Sequence[int] | npt.NDArray[Any], groups: Sequence[str] | None, share: float) -> Fraction:
    """The part p/q of the slices that :func:`compute_splits` takes for ``share`` (above 0): p of q folds.

    Raises:
        DataError: some class has one group only.
    """
    limit = min(_LARGEST_DENOMINATOR, *_groups_of_class(np.asarray(labels), groups).values())
    if limit < 2:
        raise DataError("a class has one group only, which cannot be parted: give more patients or smaller blocks")
    nearest = Fraction(share).limit_denominator(limit)
    return min(max(nearest, Fraction(1, limit)), Fraction(limit - 1, limit))


def _pick(
    labels: npt.NDArray[Any], groups: Sequence[str] | None, share: float, seed: int, fold: int, part: str
) -> npt.NDArray[np.bool_]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    try:
        nearest = folds_of(labels, groups, share)
    except DataError as error:
        raise DataError(
            f"too few groups are left to make a {part} part; set smaller fractions or another --seed"
        ) from error
    count = nearest.denominator
    if part == "test" and fold >= count:
        raise DataError(f"fold is {fold}, but a test fraction of {nearest} has the folds 0..{count - 1} only")
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    splitter = kind(n_splits=count, shuffle=True, random_state=seed)
    members = None if groups is None else np.asarray(groups)
    folds = [held_out for _, held_out in splitter.split(np.zeros(len(labels)), labels, members)]
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for number in range(nearest.numerator):
        chosen[folds[(fold + number) % count]] = True
    return chosen


def _groups_of_class(labels: npt.NDArray[Any], groups: Sequence[str] | None) -> dict[int, int]:
    if groups is None:
        found, counts = np.unique(labels, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))
    members: dict[int, set[str]] = defaultdict(set)
    for label, group in zip(labels.tolist(), groups, strict=True):
        members[label].add(group)
    return {label: len(found) for label, found in sorted(members.items())}


def _blocks(entries: Sequence[Entry], indices: Sequence[int], block_size: int) -> dict[int, str]:
    sequences: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    for index in indices:
        entry = entries[index]
        if entry.order is None:
            raise DataError(f"{entry.where}: blocks need an order; name its column with --order-column")
        sequences[entry.class_name.casefold(), entry.split].append((entry.order, index))
    blocks: dict[int, str] = {}
    for (name, split), sequence in sequences.items():
        sequence.sort()
        for (order, index), (following, other) in pairwise(sequence):
            if order == following:
                raise DataError(
                    f"{entries[other].where}: the order {order:g} of class {name!r} occurs already at "
                    f"{entries[index].where}; blocks need one sequence in each class"
                )
        prefix = ":".join(filter(None, ("block", name, split)))
        for place, (_, index) in enumerate(sequence):
            blocks[index] = f"{prefix}:{place // block_size:04d}"
    return blocks
