"""Which slices a run has learnt from: written beside its record, so that a later run can tell whether it would be
tested on them, even where the store is gone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CheckpointError

if TYPE_CHECKING:
    from ..data.store import SliceStore

SEEN_FILE = "training_slices.json"
FORMAT_VERSION = 2  # 1 had no looks
# File names are ids, and collections that have nothing in common have files of the same names. Perceptual hashes tell:
# of 745 such pairs of two CT collections half differ in 64 of the 128 bits, as slices drawn at random do; the same
# slice in another window or size differs in at most 26, padded instead of squashed in 46 (half of the pairs).
_ENOUGH_PAIRS = 20  # to judge all of them by their median
_NO_MORE_ALIKE = 0.9  # of the median of pairs of different names: measured .94 to 1 by chance, .3 to .88 for the same
_ALIKE = 48  # bits, for fewer pairs, each by itself
# Reading every pixel of more slices than this would hold up the start; their ids must do.
MOST_HASHED = 20_000


@dataclass(frozen=True)
class SeenSlices:
    """Hashes of the slices that a run was trained on, and of their patients; no id can be read from them.

    Attributes:
        size: height and width of the slices in pixels.
        ids: of the slices' ids, 16 hex digits each; with those of the run that it began with.
        looks: perceptual hash of each slice in the order of ``ids``, 32 hex digits; empty where it is not known.
        patients: of the patients' ids, each once.
        pixels: of the slices' pixels; None where there were more than 20,000.
    """

    size: int
    ids: tuple[str, ...]
    looks: tuple[str, ...]
    patients: tuple[str, ...]
    pixels: tuple[str, ...] | None


@dataclass(frozen=True)
class Overlap:
    """Slices that a run is judged by and was trained on, as counts.

    Attributes:
        slices: the slices in question, by id or pixels.
        patients: those of another picture, but of a patient of the same id.
        held_out: slices that it is judged by.
    """

    slices: int
    patients: int
    held_out: int


def seen_slices(store: SliceStore, indices: np.ndarray) -> SeenSlices:
    """What a run that trains on the slices ``indices`` of ``store`` (int64, (n,)) will have seen."""
    ids = tuple(_short(str(name)) for name in store.ids[indices])
    few = len(indices) <= MOST_HASHED
    return SeenSlices(
        size=store.size,
        ids=ids,
        looks=tuple(_looks(store, indices)) if few else ("",) * len(ids),
        patients=tuple(sorted({_short(str(name)) for name in store.patients[indices] if name})),
        pixels=tuple(_pixels(store, indices)) if few else None,
    )


def joined(seen: SeenSlices, before: SeenSlices) -> SeenSlices:
    """What a run has seen that began with the weights of another; that one's pixels only if of the same size."""
    pixels = seen.pixels
    if pixels is not None and before.pixels is not None and before.size == seen.size:
        pixels = tuple(dict.fromkeys((*pixels, *before.pixels)))
    pairs = dict.fromkeys((*zip(seen.ids, seen.looks, strict=True), *zip(before.ids, before.looks, strict=True)))
    ids, looks = tuple(name for name, _ in pairs), tuple(look for _, look in pairs)
    return SeenSlices(seen.size, ids, looks, tuple(sorted({*seen.patients, *before.patients})), pixels)


def to_json(seen: SeenSlices) -> dict[str, object]:
    return {"format_version": FORMAT_VERSION, **asdict(seen)}


def read_seen(run: str | os.PathLike[str]) -> SeenSlices | None:
    """What the run in this folder was trained on; None for runs that did not write it down, and for bare weights.

    Raises:
        CheckpointError: the file is damaged, or a newer version wrote it.
    """
    path = Path(run) / SEEN_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format_version"] > FORMAT_VERSION:
            raise CheckpointError(f"{path} was written by a newer plr_fast; update plr_fast")
        pixels = None if raw["pixels"] is None else tuple(raw["pixels"])
        ids = tuple(raw["ids"])
        looks = tuple(raw["looks"]) if raw["format_version"] > 1 else ("",) * len(ids)
        if len(looks) != len(ids):
            raise ValueError(f"{len(looks)} looks of {len(ids)} slices")
        return SeenSlices(int(raw["size"]), ids, looks, tuple(raw["patients"]), pixels)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def overlap(seen: SeenSlices, store: SliceStore, indices: np.ndarray | None = None) -> Overlap:
    """How much of the slices ``indices`` (int64, (n,); default: ``store``'s validation and test splits) is among
    ``seen``: the same picture (where the sizes allow to compare), the same slice id with a picture that looks like it,
    or the same patient id."""
    held_out = np.flatnonzero(store.splits != "train") if indices is None else indices
    patients = set(seen.patients)
    same = _same_names(seen, store, held_out)
    if seen.pixels is not None and seen.size == store.size and len(held_out) <= MOST_HASHED:
        pictures = set(seen.pixels)
        same |= np.array([digest in pictures for digest in _pixels(store, held_out)], dtype=np.bool_)
    related = np.array([bool(name) and _short(str(name)) in patients for name in store.patients[held_out]], np.bool_)
    return Overlap(int(same.sum()), int((related & ~same).sum()), len(held_out))


def _same_names(seen: SeenSlices, store: SliceStore, held_out: np.ndarray) -> np.ndarray:
    """Which of the slices ``held_out`` have the id of a seen slice and are not shown to be another one."""
    looks: dict[str, list[str]] = {}
    for name, look in zip(seen.ids, seen.looks, strict=True):
        looks.setdefault(name, []).append(look)
    names = [_short(str(name)) for name in store.ids[held_out]]
    same = np.array([name in looks for name in names], dtype=np.bool_)
    # Where a look is not known, the name must do.
    doubtful = [place for place in np.flatnonzero(same).tolist() if all(looks[names[place]])]
    if not doubtful or len(held_out) > MOST_HASHED:
        return same
    own = _bits(_looks(store, held_out[doubtful]))
    theirs = [_bits(looks[names[place]]) for place in doubtful]
    distances = np.array([_distances(look, one).min() for look, one in zip(own, theirs, strict=True)])
    if len(doubtful) >= _ENOUGH_PAIRS:
        half = len(theirs) // 2
        others = [*theirs[half:], *theirs[:half]]
        by_chance = np.median([_distances(look, one).min() for look, one in zip(own, others, strict=True)])
        same[doubtful] = bool(np.median(distances) <= _NO_MORE_ALIKE * by_chance)
    else:
        same[doubtful] = distances <= _ALIKE
    return same


def _looks(store: SliceStore, indices: np.ndarray) -> list[str]:
    from ..data.duplicates import perceptual_hashes, thumbnails

    hashes = perceptual_hashes(thumbnails(store.slices[index] for index in indices))
    return [one.tobytes().hex() for one in hashes]


def _bits(looks: Sequence[str]) -> np.ndarray:
    """bool (N, 128)."""
    packed = np.frombuffer(bytes.fromhex("".join(looks)), np.uint8).reshape(len(looks), -1)
    return np.unpackbits(packed, axis=1).astype(np.bool_)


def _distances(look: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Hamming distance of one hash, bool (128,), to ``others``, bool (N, 128)."""
    found: np.ndarray = (look != others).sum(axis=1)
    return found


def _pixels(store: SliceStore, indices: np.ndarray) -> Iterable[str]:
    return (hashlib.blake2b(store.slices[index].tobytes(), digest_size=8).hexdigest() for index in indices)


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
