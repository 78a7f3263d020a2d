"""Which slices of a store a training can use; what it lacks is said before any work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from ..data.store import SliceStore


def require_masks(store: SliceStore, corruption: str) -> None:
    """Refuse to paste lesions into slices that have no lung masks.

    Raises:
        DataError: so; says how to go on.
    """
    if corruption == "perlin" and store.info.get("mask_source") == "none":
        raise DataError(
            f"{Path(store.path)} was prepared without lung masks (--masks none), but pseudo lesions are pasted into "
            "lungs: prepare it again without that option, or pretrain with --corruption gaussian or shuffle"
        )


def normal_slices(store: SliceStore, split: str, skip_bad_masks: bool) -> np.ndarray:
    """Indices of the slices to pretrain on: int64, ascending; without those of implausible masks if these are skipped.

    Raises:
        DataError: there are none.
    """
    indices = store.select(split, label=0)
    usable = indices[store.mask_ok[indices]] if skip_bad_masks else indices
    if len(usable) == 0:
        why = f"all {len(indices)} have an implausible lung mask (--no-skip-bad-masks takes them all the same)"
        if len(indices) == 0:
            why = f"none is labelled {store.class_names[0]!r}; prepare a store with such slices in that split"
        raise DataError(f"{Path(store.path)} has no normal slice to use in its {split} split: {why}")
    return cast(np.ndarray, usable)


def labelled_slices(store: SliceStore, split: str) -> np.ndarray:
    """Indices of the slices to fine-tune on: int64, ascending.

    Raises:
        DataError: there are none.
    """
    labelled = store.labelled(split)
    if len(labelled) == 0:
        raise DataError(f"{Path(store.path)} has no labelled slice in its {split} split; prepare a store that has")
    return labelled
