"""Arrays of the host as the plans of the CUDA backend take them."""

from __future__ import annotations

import numpy as np

from plr_fast.backends import native
from plr_fast.backends.cuda.arrays import Array, from_numpy
from plr_fast.backends.cuda.masks import Masks
from plr_fast.backends.cuda.params import SampleIds
from plr_fast.backends.specs import PackedMasks, mask_words


def optional(array: np.ndarray | None) -> Array | None:
    return None if array is None else from_numpy(array)


def packed(masks: PackedMasks) -> Masks:
    return Masks(from_numpy(masks.bits), from_numpy(masks.before))


def pack(masks: np.ndarray) -> PackedMasks:
    """Return masks (B, H, W) as bits, by the native backend."""
    batch, height, width = masks.shape
    made = PackedMasks(
        np.empty((batch, height, mask_words(width)), np.uint64), np.empty((batch, height + 1), np.uint32)
    )
    native.pack_masks(masks, made, 1)
    return made


def sample_ids(ids: np.ndarray) -> SampleIds:
    return SampleIds(ids.ctypes.data, owner=ids)


def off_by(array: np.ndarray, elements: int) -> np.ndarray:
    """Return a contiguous copy that begins so many elements after an aligned place."""
    size = array.size + elements + 64
    room = np.empty(size, array.dtype)
    start = -(room.ctypes.data // array.itemsize) % (64 // array.itemsize) + elements
    copy = room[start : start + array.size].reshape(array.shape)
    copy[...] = array
    return copy
