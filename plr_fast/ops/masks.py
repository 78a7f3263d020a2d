"""Masks made ready for pasting, once for many calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..backends import get_num_threads
from ..backends.specs import PackedMasks, mask_words
from .arguments import array_of, mask_batch, planes
from .homes import HOST, Home, home_of, home_on


class MaskIndex:
    """Masks of a batch in the form that pasting works on; :func:`index_masks` makes one.

    It holds the masks as bits (an eighth of their bytes) and the number of set pixels before each row, so that
    choosing a lung pixel takes no pass over the mask. Immutable; pickles. It lives where the masks did: on the CPU as
    NumPy arrays, on a CUDA device as torch tensors (of int64 and int32, with the same bits) or CuPy arrays.

    Attributes:
        packed: uint64 bits (B, H, words) and uint32 counts (B, H + 1), as the backends read them.
        shape: (B, H, W).
    """

    def __init__(self, packed: PackedMasks, width: int) -> None:
        if isinstance(packed.bits, np.ndarray):
            packed.bits.flags.writeable = packed.before.flags.writeable = False
        self.packed = packed
        batch, height = packed.bits.shape[:2]
        self.shape: tuple[int, int, int] = (int(batch), int(height), width)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def home(self) -> Home:
        """The library and device of the arrays."""
        return home_of(self.packed.bits, "masks")

    @property
    def device(self) -> str:
        """Where the index lives: "cpu", "cuda:0", ..."""
        return self.home.device

    def to(self, device: object) -> MaskIndex:
        """Return the index on a device (as tensors there), or itself if it is there already.

        Raises:
            ValueError, BackendUnavailableError: no such device here, or none that operations run on.
        """
        there = home_on(device)
        if there.device == self.device:
            return self
        bits, before = (self.home.download(part) for part in (self.packed.bits, self.packed.before))
        if there.on_host:
            return MaskIndex(PackedMasks(bits.view(np.uint64), before.view(np.uint32)), self.shape[2])
        bits, before = there.upload(bits.view(np.int64)), there.upload(before.view(np.int32))
        return MaskIndex(PackedMasks(bits, before), self.shape[2])

    def __getitem__(self, indices: slice | Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> MaskIndex:
        """Return the index of some of the masks: a slice of them (a view), or any indices, also repeated (a copy).

        Of an index on a GPU, indices in a tensor there keep the host from waiting.
        """
        home = self.home
        if not home.on_host:
            chosen: Any = (
                indices if isinstance(indices, slice) or home.holds(indices) else home.upload(np.asarray(indices))
            )
            with home.chosen():
                parts = [home.contiguous(part[chosen]) for part in (self.packed.bits, self.packed.before)]
            return MaskIndex(PackedMasks(*parts), self.shape[2])
        chosen = indices if isinstance(indices, slice) else np.atleast_1d(np.asarray(indices))
        if not isinstance(chosen, slice) and chosen.size == 0:
            chosen = slice(0)
        bits = np.ascontiguousarray(self.packed.bits[chosen])
        return MaskIndex(PackedMasks(bits, np.ascontiguousarray(self.packed.before[chosen])), self.shape[2])

    def __repr__(self) -> str:
        return f"MaskIndex({self.shape[0]} masks of {self.shape[1]}x{self.shape[2]})"

    @property
    def counts(self) -> Any:
        """Set pixels of each mask, int64 (B,), where the index lives."""
        return self.home.cast(self.packed.before[:, -1], "int64")

    def unpack(self) -> Any:
        """Return the masks, bool (B, H, W), where the index lives."""
        if not self.home.on_host:
            with self.home.chosen():
                places = (self.packed.bits[..., None] >> self.home.numbers(64, 1)) & 1
            return self.home.cast(places.reshape(*self.shape[:2], -1)[..., : self.shape[2]], "bool")
        rows = np.unpackbits(self.packed.bits.view(np.uint8), axis=2, count=self.shape[2], bitorder="little")
        return rows.view(np.bool_)


def index_masks(masks: torch.Tensor | np.ndarray) -> MaskIndex:
    """Make masks ready for :func:`plr_fast.paste_lesions`, which takes the result in place of masks.

    Worth it wherever the same masks are used more than once: pasting itself then reads next to nothing of them.

    Args:
        masks: bool or uint8 (non-zero = lung), (B, H, W) or (B, 1, H, W), torch, NumPy or CuPy, on the CPU or a CUDA
            device.

    Raises:
        TypeError, ValueError: wrong kind, rank, dtype or device.
        BackendUnavailableError: nothing here can run on their device.
    """
    home = home_of(masks, "masks")
    shape = planes(array_of(home, masks, "masks"), "masks").shape
    return pack(mask_batch(masks, tuple(shape), home=home), home)


def pack(masks: Any, home: Home = HOST) -> MaskIndex:
    """Return the index of checked masks (B, H, W)."""
    batch, height, width = masks.shape
    # torch knows little of unsigned numbers; kernels look at bits alone.
    bits, counts = ("uint64", "uint32") if home.on_host else ("int64", "int32")
    packed = PackedMasks(home.empty((batch, height, mask_words(width)), bits), home.empty((batch, height + 1), counts))
    home.backend().pack_masks(masks, packed, get_num_threads())
    return MaskIndex(packed, width)
