"""Which slices of a store a run has learnt from, told by what it wrote down of them (:mod:`.seen`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .seen import MOST_HASHED, SeenSlices, looks_of, name_hash, pixels_of

if TYPE_CHECKING:
    from ..data.store import SliceStore

# File names are ids, and collections that have nothing in common have files of the same names. Perceptual hashes of 128
# bits tell. The same slice at another size differs in at most 20 of them, and so do 91 to 99.8 % in the harshest of the
# windows tried (SARS-CoV-2 CT, UCSD COVID-CT, chest X-rays). Of 745 pairs of the same name in the two CT collections
# the nearest differ in 32; by chance, 1 pair in 20,000 of the two, and 1 in 6,000 of X-rays of different children
# (who lie alike), differ in no more than 20. At 26, where the windows of CT end, it would be 1 in 1,800 and in 470.
_SAME = 20  # bits, at most: the same slice, whatever the others of a name are
# Padded instead of squashed, a slice differs in 46 bits (half of the pairs), slices drawn at random in 52 to 64: only
# many pairs tell, by their median.
_ENOUGH_PAIRS = 20
_NO_MORE_ALIKE = 0.9  # of the median of pairs of different names: measured .94 to 1 by chance, .3 to .88 for the same
_SHIFTS = 8  # ways to pair them with different names
_ALIKE = 48  # bits, for fewer pairs, each by itself


@dataclass(frozen=True)
class Overlap:
    """Slices that a run is judged by and was trained on, as counts.

    Attributes:
        slices: the slices in question, by id or pixels.
        patients: those of another picture, but of a patient of the same id; 0 where the pictures show that the ids are
            another collection's.
        held_out: slices that it is judged by.
    """

    slices: int
    patients: int
    held_out: int


def overlap(seen: SeenSlices, store: SliceStore, indices: np.ndarray | None = None) -> Overlap:
    """How much of the slices ``indices`` (int64, (n,); default: ``store``'s validation and test splits) is among
    ``seen``: the same picture (where the sizes allow to compare), the same slice id with a picture that looks like it,
    or the same patient id.

    Where 20 or more slices have the id of a seen slice, and none is the same, patients of the same id are no evidence
    either: both number theirs from 1. Where no slice ids are equal nothing can be known, and patients count."""
    held_out = np.flatnonzero(store.splits != "train") if indices is None else indices
    patients = set(seen.patients)
    named, same = _same_names(seen, store, held_out)
    if seen.pixels is not None and seen.size == store.size and len(held_out) <= MOST_HASHED:
        pictures = set(seen.pixels)
        same |= np.array([digest in pictures for digest in pixels_of(store, held_out)], dtype=np.bool_)
    related = np.array([bool(name) and name_hash(str(name)) in patients for name in store.patients[held_out]], np.bool_)
    if named.sum() >= _ENOUGH_PAIRS and not same.any():
        related[:] = False
    return Overlap(int(same.sum()), int((related & ~same).sum()), len(held_out))


def _same_names(seen: SeenSlices, store: SliceStore, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the slices ``held_out`` have the id of a seen slice, and which of these are not shown to be another one:
    bool (n,) each."""
    looks: dict[str, list[str]] = {}
    for name, look in zip(seen.ids, seen.looks, strict=True):
        looks.setdefault(name, []).append(look)
    names = [name_hash(str(name)) for name in store.ids[held_out]]
    named = np.array([name in looks for name in names], dtype=np.bool_)
    same = named.copy()
    # Where a look is not known, the name must do.
    known = [place for place in np.flatnonzero(named).tolist() if all(looks[names[place]])]
    if known and len(held_out) <= MOST_HASHED:
        own = _bits(looks_of(store, held_out[known]))
        same[known] = _same_pictures(own, [_bits(looks[names[place]]) for place in known])
    return named, same


def _same_pictures(own: np.ndarray, theirs: Sequence[np.ndarray]) -> np.ndarray:
    """Whether each look of ``own``, bool (n, 128), is that of the slice with the looks ``theirs``, n of bool (N, 128):
    bool (n,)."""
    distances = _nearest(own, theirs)
    same = distances <= _SAME
    rest = np.flatnonzero(~same)
    if len(rest) < _ENOUGH_PAIRS:
        same[rest] = distances[rest] <= _ALIKE
    else:
        # Of slices far from each other in the store: neighbours may be of one scan.
        shifts = np.linspace(len(rest) // 4, 3 * len(rest) // 4, _SHIFTS, dtype=np.int64)
        others = [[theirs[place] for place in np.roll(rest, shift).tolist()] for shift in shifts.tolist()]
        by_chance = np.median([_nearest(own[rest], one) for one in others])
        same[rest] = np.median(distances[rest]) <= _NO_MORE_ALIKE * by_chance
    return same


def _nearest(own: np.ndarray, theirs: Sequence[np.ndarray]) -> np.ndarray:
    """Smallest Hamming distance of each look of ``own`` to those of ``theirs`` at the same place."""
    return np.array([(look != looks).sum(axis=1).min() for look, looks in zip(own, theirs, strict=True)])


def _bits(looks: Sequence[str]) -> np.ndarray:
    """bool (N, 128)."""
    packed = np.frombuffer(bytes.fromhex("".join(looks)), np.uint8).reshape(len(looks), -1)
    return np.unpackbits(packed, axis=1).astype(np.bool_)
