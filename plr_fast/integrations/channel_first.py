"""Pasting into one channel-first sample, a slice or a volume, as the adapters of medical libraries need it."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch

from ..errors import EmptyMaskWarning
from ..ops import LesionBank, paste_lesions
from ..ops.arguments import Images, cpu_array, integer, number

_OWN = ("check", "out", "return_info", "samples", "seed")  # arguments of paste_lesions that the adapter gives itself


class ChannelFirstPaste:
    """:func:`plr_fast.paste_lesions` for images (C, H, W), and for volumes with one more axis, slice by slice.

    All channels of a slice get the same patches at the same places, so that they stay images of one body.

    Args:
        bank: the patches; ``None``: the paper's bank is made at once.
        value_range: the image values that are black and white. ``None``: 0..255 for uint8, 0..1 for floats, checked.
            With a range any real dtype will do, and values outside are left to be (bone, in a lung window).
        slice_axis: for volumes, the spatial axis (0..2, or -3..-1) along which the slices lie.
        settings: further arguments of ``paste_lesions``: ``count``, ``blend``, ``alpha``, ``feather`` and the like.

    Raises:
        TypeError, ValueError: a setting of the wrong type or out of range.
    """

    def __init__(
        self,
        bank: LesionBank | None,
        value_range: tuple[float, float] | None,
        slice_axis: int,
        settings: dict[str, Any],
    ) -> None:
        if own := sorted(set(_OWN) & set(settings)):
            raise TypeError(f"{', '.join(own)} cannot be set here: the transform gives them itself")
        self.axis = integer(slice_axis, "slice_axis", -3, 2) % 3 + 1  # of the slices in (C, X, Y, Z)
        self.value_range = None if value_range is None else _range(value_range)
        self.settings = settings
        self.bank = LesionBank.generate() if bank is None else bank
        # Refuse bad settings now, not in a worker in the middle of an epoch.
        black = np.zeros((1, 1, 1), np.uint8)
        paste_lesions(black, black + 1, self.bank, return_info=True, **settings)

    def __call__(self, image: Images, mask: torch.Tensor | np.ndarray, seed: int) -> Images:
        """Return ``image`` with lesions, a new contiguous array of the same kind, shape and dtype.

        Args:
            image: (C, H, W) or (C, X, Y, Z), torch or NumPy, on the CPU.
            mask: (1 or C, the same spatial shape), any real dtype; non-zero = lung.
            seed: 0..2^64-1; with the mask, it alone decides what is pasted.

        Raises:
            TypeError, ValueError: wrong kind, rank, dtype, device, values, or a mask of another shape.

        Warns:
            EmptyMaskWarning: the whole mask is empty and the image unchanged (single empty slices are common).
        """
        pixels, lungs = cpu_array(image, "image"), cpu_array(mask, "mask")
        if pixels.ndim not in (3, 4):
            raise ValueError(f"image must be channel first, (C, H, W) or (C, X, Y, Z), not shape {pixels.shape}")
        if lungs.shape[1:] != pixels.shape[1:] or lungs.shape[:1] not in ((1,), pixels.shape[:1]):
            raise ValueError(f"mask must have shape (1, *{pixels.shape[1:]}) like the image, not {lungs.shape}")
        stack = self._slices(pixels)  # (S, C, H, W)
        lungs = np.broadcast_to(self._slices(lungs != 0), stack.shape)
        pasted = self._pasted(
            np.ascontiguousarray(stack).reshape(-1, *stack.shape[2:]),
            np.ascontiguousarray(lungs).reshape(-1, *stack.shape[2:]),
            np.repeat(np.arange(len(stack)), stack.shape[1]),
            seed,
        ).reshape(stack.shape)
        result = np.ascontiguousarray(pasted[0] if pixels.ndim == 3 else np.moveaxis(pasted, 0, self.axis))
        return torch.from_numpy(result) if isinstance(image, torch.Tensor) else result

    def _slices(self, array: np.ndarray) -> np.ndarray:
        return array[None] if array.ndim == 3 else np.moveaxis(array, self.axis, 0)

    def _pasted(self, images: np.ndarray, lungs: np.ndarray, samples: np.ndarray, seed: int) -> np.ndarray:
        """Paste into (N, H, W) of any dtype; pixels that lesions don't change keep their bits."""
        if self.value_range is None and images.dtype == np.uint8:
            return self._paste(images, lungs, samples, seed)
        low, high = self.value_range or _unit_range(images)
        if (low, high) == (0, 1) and images.dtype == np.float32:
            return self._paste(images, lungs, samples, seed)
        grey = ((images.astype(np.float64) - low) / (high - low)).astype(np.float32)
        pasted = self._paste(grey, lungs, samples, seed)
        changed = pasted != grey
        changed &= lungs  # NaN differs from itself
        values = pasted[changed].astype(np.float64) * (high - low) + low
        if images.dtype.kind in "iu":
            limits = np.iinfo(images.dtype)
            values = np.rint(values).clip(limits.min, limits.max)
        result = images.copy()
        result[changed] = values
        return result

    def _paste(self, images: np.ndarray, lungs: np.ndarray, samples: np.ndarray, seed: int) -> np.ndarray:
        pasted: np.ndarray
        pasted, info = paste_lesions(
            images, lungs, self.bank, seed=seed, samples=samples, check=False, return_info=True, **self.settings
        )
        if info.empty.size and info.empty.all():
            warnings.warn("the mask has no lung pixel: the image is unchanged", EmptyMaskWarning, stacklevel=2)
        return pasted


def _range(ends: tuple[float, float]) -> tuple[float, float]:
    values = [number(value, "value_range", -math.inf, math.inf) for value in ends]
    if len(values) != 2 or not values[0] < values[1]:
        raise ValueError(f"value_range must be (low, high) with low < high, not {ends}")
    return values[0], values[1]


def _unit_range(images: np.ndarray) -> tuple[float, float]:
    """Return (0, 1) if the images keep to it: pasting grey into Hounsfield units would be a silent error."""
    if images.dtype.kind != "f":
        raise TypeError(
            f"image must be uint8, or floating in [0, 1], not {images.dtype}: give value_range=(low, high), the values "
            "that are black and white"
        )
    if images.size and not (images.min() >= 0 and images.max() <= 1):  # NaN fails both
        raise ValueError(
            f"image ranges from {images.min():g} to {images.max():g}, but floating images must lie in [0, 1]: scale "
            "them first, or give value_range=(low, high), the values that are black and white"
        )
    return 0.0, 1.0
