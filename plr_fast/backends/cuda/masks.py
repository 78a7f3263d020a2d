"""Plans of packing masks into bits."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from ..specs import mask_words
from .arrays import Array
from .launch import Context, Launch
from .params import I32, I64, STRUCTURES, U32, Pointer

_ROWS = 8  # of a block


class PackMasksParams(ctypes.Structure):
    """``PackMasksParams`` of ``csrc/cuda/mask_kernels.h``."""

    _fields_ = (
        ("masks", Pointer),
        ("bits", Pointer),
        ("before", Pointer),
        ("height", I64),
        ("width", I64),
        ("words", I32),
        ("whole", I32),
        ("row_blocks", U32),
    )


STRUCTURES.update(PackMasksParams=PackMasksParams)


class Masks(NamedTuple):
    """Packed masks on a device: the arrays of :class:`plr_fast.backends.specs.PackedMasks`."""

    bits: Array  # uint64 or int64 (B, H, words)
    before: Array  # uint32 or int32 (B, H + 1)


def pack_masks(context: Context, masks: Array, out: Masks) -> None:
    """Fill ``out`` from ``masks`` (B, H, W), uint8 or bool, contiguous, non-zero = set."""
    batch, height, width = masks.shape
    if batch == 0:
        return
    row_blocks = -(-height // _ROWS)
    whole = width % 16 == 0 and masks.pointer % 16 == 0
    params = PackMasksParams(
        masks.pointer, out.bits.pointer, out.before.pointer, height, width, mask_words(width), whole, row_blocks
    )
    context.run(Launch("pack_rows", (batch * row_blocks, 1, 1), params), Launch("count_rows", (batch, 1, 1), params))
