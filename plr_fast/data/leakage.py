"""What is shared between the splits of a store, and what remembering alone would score on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from .duplicates import near_duplicates, thumbnails
from .nearest import nearest_correlations
from .store import SPLITS, SliceStore
from .store_format import picture_digest
from .volumes import followers

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SharedBetween:
    """What two splits share. Slices are counted in the second, which is judged by what was learnt from the first.

    Attributes:
        first, second: names of the splits.
        slices: all of the second.
        groups, patients: that have slices in both; patients where their ids are known.
        equal: slices with a pixel for pixel equal one in the first (pictures of one grey value are passed over).
        near: slices with a near duplicate in the first that is not equal (:mod:`plr_fast.data.duplicates`).
        relabelled: of the equal and near ones, those whose counterpart has another label.
        neighbours: slices next to one of the first in their source (pages of a file, or numbered pictures).
    """

    first: str
    second: str
    slices: int
    groups: int
    patients: int
    equal: int
    near: int
    relabelled: int
    neighbours: int

    @property
    def nothing(self) -> bool:
        return not (self.groups or self.patients or self.equal or self.near or self.neighbours)


@dataclass(frozen=True)
class Memory:
    """What copying the label of the nearest training slice scores on the test split.

    Attributes:
        slices: labelled test slices.
        accuracy: share of them whose nearest labelled training slice (correlation of 32×32 thumbnails) has their label.
        chance: the same for a training slice drawn at random.
    """

    slices: int
    accuracy: float
    chance: float


@dataclass(frozen=True)
class LeakageReport:
    """See :func:`leakage`.

    Attributes:
        pairs: for each two splits that have slices.
        memory: None where training or test have no labelled slices.
        unit: what a group is, as the store says ("patient", "block", "file"; empty: it does not say).
    """

    pairs: tuple[SharedBetween, ...]
    memory: Memory | None
    unit: str

    @property
    def clean(self) -> bool:
        """Whether nothing that was looked for is shared."""
        return all(pair.nothing for pair in self.pairs)

    def sentences(self) -> list[str]:
        """The same in plain sentences; numbers that are 0 are passed over."""
        told = [_sentence(pair) for pair in self.pairs if not pair.nothing]
        told += [
            f"Slices of {pair.second} that show the same as one of {pair.first} and have another label: "
            f"{pair.relabelled:,}."
            for pair in self.pairs
            if pair.relabelled
        ]
        if not told:
            told = ["No group, patient, equal or near-duplicate slice or neighbouring slice is shared between splits."]
        if self.memory is not None:
            told.append(
                f"Copying the label of the nearest training slice (32×32 thumbnails) is right for "
                f"{self.memory.accuracy:.1%} of {self.memory.slices:,} test slices; one drawn at random would be for "
                f"{self.memory.chance:.1%}."
            )
        return told

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def leakage(store: SliceStore, *, advance: Callable[[int], None] | None = None) -> LeakageReport:
    """Look for what the splits of ``store`` share: groups, patients, equal and near-duplicate slices, neighbouring
    slices; and measure what memory alone would score.

    Reads every slice once (100,000 slices of 224×224: 5 GB), and compares all pairs of slices of different splits.
    ``advance`` is called with the number of slices done, as work goes on; they are gone through twice.
    """
    digests: list[bytes] = []

    def read() -> Any:
        for row in range(len(store)):
            picture = np.asarray(store.slices[row])
            # A single grey value says nothing: every scan has blank ends.
            blank = bool((picture == picture.flat[0]).all())
            digests.append(row.to_bytes(16, "little") + b"blank" if blank else picture_digest(picture))
            if advance is not None:
                advance(1)
            yield picture

    pictures = thumbnails(read())
    equal = _equal_apart(digests, store.splits.tolist(), store.labels.tolist())
    number = np.unique(store.splits, return_inverse=True)[1].astype(np.int64)
    near = near_duplicates(pictures, alike=number, advance=advance).pairs
    different = np.array([digests[a] != digests[b] for a, b in near.tolist()], dtype=np.bool_)
    behind = followers(store)
    rows = np.arange(len(store))
    neighbours = np.stack((rows, behind), axis=1)[behind != rows]
    present = [split for split in SPLITS if np.any(store.splits == split)]
    pairs = tuple(
        _shared(store, first, second, equal, near[different], neighbours) for first, second in combinations(present, 2)
    )
    summary = store.info.get("summary") or {}
    return LeakageReport(pairs, _memory(store, pictures), str(summary.get("unit", "")))


def _equal_apart(digests: Sequence[bytes], splits: Sequence[str], labels: Sequence[int]) -> Rows:
    """Pairs (R, 2) of equal slices of different splits. Of many equal ones the first of each split and label stands for
    the others, or pairs would be too many to list."""
    firsts: dict[bytes, dict[tuple[str, int], int]] = {}
    kinds = list(zip(digests, splits, labels, strict=True))
    for row, (digest, split, label) in enumerate(kinds):
        firsts.setdefault(digest, {}).setdefault((split, label), row)
    found = [
        (other, row)
        for row, (digest, split, _) in enumerate(kinds)
        for (part, _), other in firsts[digest].items()
        if part != split
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _shared(store: SliceStore, first: str, second: str, equal: Rows, near: Rows, neighbours: Rows) -> SharedBetween:
    ours, theirs = store.splits == first, store.splits == second

    def crossing(pairs: Rows) -> Rows:
        """Rows (slice of the first, slice of the second) of the pairs that lie in the two, each way round."""
        both = np.concatenate((pairs, pairs[:, ::-1]))
        found: Rows = both[ours[both[:, 0]] & theirs[both[:, 1]]]
        return found

    same, alike = crossing(equal), crossing(near)
    counterparts = np.concatenate((same, alike))
    labels = store.labels[counterparts]
    relabelled = (labels >= 0).all(axis=1) & (labels[:, 0] != labels[:, 1])
    copies = set(same[:, 1].tolist())
    patients = [set(store.patients[chosen].tolist()) - {""} for chosen in (ours, theirs)]
    return SharedBetween(
        first,
        second,
        slices=int(theirs.sum()),
        groups=len(np.intersect1d(store.groups[ours], store.groups[theirs])),
        patients=len(patients[0] & patients[1]),
        equal=len(copies),
        near=len(set(alike[:, 1].tolist()) - copies),
        relabelled=len(set(counterparts[relabelled, 1].tolist())),
        neighbours=len(set(crossing(neighbours)[:, 1].tolist())),
    )


def _memory(store: SliceStore, pictures: npt.NDArray[np.uint8]) -> Memory | None:
    train, test = (np.flatnonzero((store.splits == split) & (store.labels >= 0)) for split in ("train", "test"))
    if not len(train) or not len(test):
        return None
    best = nearest_correlations(pictures[train], store.labels[train], pictures[test])
    shares = [float(np.mean(store.labels[train] == label)) for label in (0, 1)]
    truth = store.labels[test]
    return Memory(
        slices=len(test),
        accuracy=float(np.mean((best[:, 1] >= best[:, 0]) == (truth == 1))),
        chance=float(np.mean(np.array(shares)[truth])),
    )


def _sentence(pair: SharedBetween) -> str:
    parts = [
        f"{what}: {count:,}"
        for what, count in (
            ("groups in both", pair.groups),
            ("patients in both", pair.patients),
            (f"slices that equal one of {pair.first}", pair.equal),
            ("near duplicates of one", pair.near),
            ("slices next to one", pair.neighbours),
        )
        if count
    ]
    return f"{pair.first} and {pair.second} ({pair.slices:,} slices): {'; '.join(parts)}."
