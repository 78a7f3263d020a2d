"""Near duplicates while a store is made: looked for, written down, and kept together where that is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..console import progress_bar
from ..errors import DataError
from .duplicates import FILE, PARTED_NOTE, NearDuplicates, duplicates_table, near_duplicates, thumbnails
from .manifest import some
from .store import SliceRecord, StoreWriter


@dataclass(frozen=True)
class NearCounts:
    """Pairs of near duplicates of which the group or the label differs (no split parts the others)."""

    pairs: int
    slices: int
    """Slices in such pairs."""
    clusters: int
    """Sets of slices that hang together by such pairs."""
    across_splits: int
    """Pairs of which one slice is in another split than the other."""
    across_labels: int
    """Pairs with two labels: the same picture is called positive and negative."""
    groups_joined: int
    """Groups that were joined with another to keep pairs together."""


def find_near_duplicates(
    writer: StoreWriter,
    groups: Sequence[str],
    given: Sequence[str],
    equal: Sequence[tuple[int, int]],
    *,
    progress: bool,
) -> NearDuplicates:
    """Near duplicates among the slices of ``writer`` that differ in group, label or given split.

    ``equal`` pairs (the first of its kind, a later one) are told of elsewhere.
    """
    count = len(writer.records)
    labels = [record.label for record in writer.records]
    kinds = [f"{label} {split} {group}" for label, split, group in zip(labels, given, groups, strict=True)]
    with progress_bar(disable=not progress) as bar:
        task = bar.add_task("looking for near duplicates", total=count, note="")
        pictures = thumbnails(writer.read(index)[0] for index in range(count))
        alike = np.unique(np.array(kinds), return_inverse=True)[1]
        found = near_duplicates(pictures, alike=alike, advance=lambda rows: bar.advance(task, rows))
    first = np.arange(count)
    for one, other in equal:
        first[other] = one
    near = first[found.pairs[:, 0]] != first[found.pairs[:, 1]]
    return NearDuplicates(found.pairs[near], found.likeness[near], found.distances[near])


def note_near_duplicates(
    writer: StoreWriter,
    found: NearDuplicates,
    groups: Sequence[str],
    given: Sequence[str],
    *,
    joined: int,
    notes: list[str],
) -> NearCounts:
    """Put the list of pairs into the store and what matters of it into ``notes``, once splits are known.

    ``groups`` are those of the slices before near duplicates were joined, ``given`` their given splits or empty.
    """
    records = writer.records
    labels = [record.label for record in records]
    splits = [record.split for record in records]
    opposed = [pair for pair in found.pairs.tolist() if sorted(labels[row] for row in pair) == [0, 1]]
    counts = NearCounts(
        pairs=len(found),
        slices=len(np.unique(found.pairs)),
        clusters=len(found.clusters()),
        across_splits=found.where(splits),
        across_labels=len(opposed),
        groups_joined=joined,
    )
    if found:
        ids = [record.id for record in records]
        writer.attach(FILE, duplicates_table(found, ids, labels, groups).encode(errors="surrogateescape"))
    if counts.across_splits:
        # Given splits are kept as they are.
        without = " and without the split column" if found.where(given) else ""
        notes.append(
            f"{counts.across_splits} {PARTED_NOTE} ({FILE}): results may be inflated; prepare with "
            f"--near-duplicates group{without} to keep them together"
        )
    if counts.across_labels:
        shown = some([_pair(records, pair) for pair in opposed])
        notes.append(f"{counts.across_labels} pairs of near-duplicate slices have different labels: {shown}")
    return counts


def check_given(found: NearDuplicates, records: Sequence[SliceRecord], given: Sequence[str]) -> None:
    """Refuse to join what the given splits part. Raises ``DataError``."""
    apart = [_pair(records, pair) for pair in found.pairs.tolist() if len({given[row] for row in pair}) > 1]
    if apart:
        raise DataError(
            f"{len(apart)} pairs of near-duplicate slices lie in different given splits: {some(apart)}; take one of "
            "each out of the manifest, leave the split column out, or accept the leak with --near-duplicates report"
        )


def _pair(records: Sequence[SliceRecord], pair: Sequence[int]) -> str:
    return " ~ ".join(records[row].id for row in pair)
