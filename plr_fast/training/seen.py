"""Which slices a run has learnt from: written beside its record, so that a later run can tell whether it would be
tested on them, even where the store is gone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CheckpointError

if TYPE_CHECKING:
    from ..data.store import SliceStore

SEEN_FILE = "training_slices.json"
FORMAT_VERSION = 1
# Reading every pixel of more slices than this would hold up the start; their ids must do.
MOST_HASHED = 20_000


@dataclass(frozen=True)
class SeenSlices:
    """Hashes of the slices that a run was trained on, and of their patients; no id can be read from them.

    Attributes:
        size: height and width of the slices in pixels.
        ids: of the slices' ids, 16 hex digits each; with those of the run that it began with.
        patients: of the patients' ids, each once.
        pixels: of the slices' pixels; None where there were more than 20,000.
    """

    size: int
    ids: tuple[str, ...]
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
    return SeenSlices(
        size=store.size,
        ids=tuple(_short(str(name)) for name in store.ids[indices]),
        patients=tuple(sorted({_short(str(name)) for name in store.patients[indices] if name})),
        pixels=tuple(_pixels(store, indices)) if len(indices) <= MOST_HASHED else None,
    )


def joined(seen: SeenSlices, before: SeenSlices) -> SeenSlices:
    """What a run has seen that began with the weights of another; that one's pixels only if of the same size."""
    pixels = seen.pixels
    if pixels is not None and before.pixels is not None and before.size == seen.size:
        pixels = tuple(dict.fromkeys((*pixels, *before.pixels)))
    ids = tuple(dict.fromkeys((*seen.ids, *before.ids)))
    return SeenSlices(seen.size, ids, tuple(sorted({*seen.patients, *before.patients})), pixels)


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
        return SeenSlices(int(raw["size"]), tuple(raw["ids"]), tuple(raw["patients"]), pixels)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def overlap(seen: SeenSlices, store: SliceStore, indices: np.ndarray | None = None) -> Overlap:
    """How much of the slices ``indices`` (int64, (n,); default: ``store``'s validation and test splits) is among
    ``seen``: the same picture (where the sizes allow to compare), the same slice id, or the same patient id."""
    held_out = np.flatnonzero(store.splits != "train") if indices is None else indices
    known, patients = set(seen.ids), set(seen.patients)
    same = np.array([_short(str(name)) in known for name in store.ids[held_out]], dtype=np.bool_)
    if seen.pixels is not None and seen.size == store.size and len(held_out) <= MOST_HASHED:
        pictures = set(seen.pixels)
        same |= np.array([digest in pictures for digest in _pixels(store, held_out)], dtype=np.bool_)
    related = np.array([bool(name) and _short(str(name)) in patients for name in store.patients[held_out]], np.bool_)
    return Overlap(int(same.sum()), int((related & ~same).sum()), len(held_out))


def _pixels(store: SliceStore, indices: np.ndarray) -> Iterable[str]:
    return (hashlib.blake2b(store.slices[index].tobytes(), digest_size=8).hexdigest() for index in indices)


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
