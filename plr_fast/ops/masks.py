"""Masks made ready for pasting, once for many calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..backends import active_backend, get_num_threads
from ..backends.specs import PackedMasks, Uint8Array, mask_words
from .arguments import cpu_array, mask_batch, planes


class MaskIndex:
    """Masks of a batch in the form that pasting works on; :func:`index_masks` makes one.

    It holds the masks as bits (an eighth of their bytes) and the number of set pixels before each row, so that
    choosing a lung pixel takes no pass over the mask. Immutable; pickles.

    Attributes:
        packed: uint64 bits (B, H, words) and uint32 counts (B, H + 1), as the backends read them.
        shape: (B, H, W).
    """

    def __init__(self, packed: PackedMasks, width: int) -> None:
        packed.bits.flags.writeable = packed.before.flags.writeable = False
        self.packed = packed
        batch, height = packed.bits.shape[:2]
        self.shape: tuple[int, int, int] = (int(batch), int(height), width)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, indices: slice | Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> MaskIndex:
        """Return the index of some of the masks: a slice of them (a view), or any indices, also repeated (a copy)."""
        chosen = indices if isinstance(indices, slice) else np.atleast_1d(np.asarray(indices))
        if not isinstance(chosen, slice) and chosen.size == 0:
            chosen = slice(0)
        bits = np.ascontiguousarray(self.packed.bits[chosen])
        return MaskIndex(PackedMasks(bits, np.ascontiguousarray(self.packed.before[chosen])), self.shape[2])

    def __repr__(self) -> str:
        return f"MaskIndex({self.shape[0]} masks of {self.shape[1]}x{self.shape[2]})"

    @property
    def counts(self) -> NDArray[np.int64]:
        """Set pixels of each mask, int64 (B,)."""
        return self.packed.before[:, -1].astype(np.int64)

    def unpack(self) -> NDArray[np.bool_]:
        """Return the masks, bool (B, H, W)."""
        rows = np.unpackbits(self.packed.bits.view(np.uint8), axis=2, count=self.shape[2], bitorder="little")
        return rows.view(np.bool_)


def index_masks(masks: torch.Tensor | np.ndarray) -> MaskIndex:
    """Make masks ready for :func:`plr_fast.paste_lesions`, which takes the result in place of masks.

    Worth it wherever the same masks are used more than once: pasting itself then reads next to nothing of them.

    Args:
        masks: bool or uint8 (non-zero = lung), (B, H, W) or (B, 1, H, W), torch or NumPy, on the CPU.

    Raises:
        TypeError, ValueError: wrong kind, rank, dtype or device.
    """
    return pack(mask_batch(masks, planes(cpu_array(masks, "masks"), "masks").shape))


def pack(masks: Uint8Array) -> MaskIndex:
    """Return the index of checked masks (B, H, W)."""
    batch, height, width = masks.shape
    packed = PackedMasks(
        np.empty((batch, height, mask_words(width)), np.uint64), np.empty((batch, height + 1), np.uint32)
    )
    active_backend().pack_masks(masks, packed, get_num_threads())
    return MaskIndex(packed, width)
