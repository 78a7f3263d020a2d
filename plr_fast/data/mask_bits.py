"""The masks of a store in the form that pasting works on, made when they are first needed and kept."""

from __future__ import annotations

import numpy as np

from ..backends.specs import PackedMasks, mask_words
from ..ops import MaskIndex, index_masks
from .store import SliceStore

_MOST_BYTES = 2**30


class StoreMasks:
    """Masks of a store as bits, an eighth of their bytes; each is read and packed once in a process.

    Of a store whose bits would take more than ``most_bytes``, nothing is kept.
    """

    def __init__(self, store: SliceStore, most_bytes: int = _MOST_BYTES) -> None:
        self.store = store
        self.most_bytes = most_bytes
        self._kept: MaskIndex | None = None
        self._packed = np.zeros(0, np.bool_)

    def __reduce__(self) -> tuple[type[StoreMasks], tuple[SliceStore, int]]:
        return StoreMasks, (self.store, self.most_bytes)  # each worker packs what it needs

    def __getitem__(self, chosen: np.ndarray) -> MaskIndex:
        """Return the masks of the slices ``chosen``, int64 (B,)."""
        count, size = len(self.store), self.store.size
        if count * size * mask_words(size) * 8 > self.most_bytes:
            return index_masks(self.store.masks[chosen])
        if self._kept is None:
            # Zeroed memory is only touched where masks are put.
            bits, before = np.zeros((count, size, mask_words(size)), np.uint64), np.zeros((count, size + 1), np.uint32)
            self._bits, self._before = bits, before
            self._kept = MaskIndex(PackedMasks(bits.view(), before.view()), size)
            self._packed = np.zeros(count, np.bool_)
        missing = np.unique(chosen[~self._packed[chosen]])
        if missing.size:
            packed = index_masks(self.store.masks[missing]).packed
            self._bits[missing], self._before[missing] = packed.bits, packed.before
            self._packed[missing] = True
        return self._kept[chosen]
