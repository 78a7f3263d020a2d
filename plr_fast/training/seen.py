"""Which slices a run has learnt from: written beside its record, so that a later run can tell whether it would be
tested on them (:mod:`.overlap`), even where the store is gone."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CheckpointError

if TYPE_CHECKING:
    from ..data.store import SliceStore

SEEN_FILE = "training_slices.json"
FORMAT_VERSION = 2  # 1 had no looks
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


def seen_slices(store: SliceStore, indices: np.ndarray) -> SeenSlices:
    """What a run that trains on the slices ``indices`` of ``store`` (int64, (n,)) will have seen."""
    ids = tuple(name_hash(str(name)) for name in store.ids[indices])
    few = len(indices) <= MOST_HASHED
    return SeenSlices(
        size=store.size,
        ids=ids,
        looks=tuple(looks_of(store, indices)) if few else ("",) * len(ids),
        patients=tuple(sorted({name_hash(str(name)) for name in store.patients[indices] if name})),
        pixels=tuple(pixels_of(store, indices)) if few else None,
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
        if wrong := [look for look in looks if not re.fullmatch("([0-9a-f]{32})?", look)]:
            raise ValueError(f"a look must be empty or 32 hex digits, not {wrong[0]!r}")
        return SeenSlices(int(raw["size"]), ids, looks, tuple(raw["patients"]), pixels)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def looks_of(store: SliceStore, indices: np.ndarray) -> list[str]:
    """Perceptual hash of each of the slices ``indices``, 32 hex digits."""
    from ..data.duplicates import perceptual_hashes, thumbnails

    hashes = perceptual_hashes(thumbnails(store.slices[index] for index in indices))
    return [one.tobytes().hex() for one in hashes]


def pixels_of(store: SliceStore, indices: np.ndarray) -> Iterable[str]:
    """Hash of the pixels of each of the slices ``indices``, 16 hex digits."""
    return (hashlib.blake2b(store.slices[index].tobytes(), digest_size=8).hexdigest() for index in indices)


def name_hash(text: str) -> str:
    """Hash of the id of a slice or patient, 16 hex digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
