"""Plans of copying, and of uint8 grey to float32."""

from __future__ import annotations

import ctypes

from .arrays import Array
from .launch import Context, Launch
from .params import I32, I64, STRUCTURES, Pointer
from .tiles import GROUP

_THREADS = 256
_PIECES = 4  # of a thread
_BYTES = 16  # of a piece


class CopyParams(ctypes.Structure):
    """``CopyParams`` of ``csrc/cuda/copies.h``."""

    _fields_ = (("from", Pointer), ("to", Pointer), ("count", I64), ("whole", I32))


STRUCTURES.update(CopyParams=CopyParams)


def copy(context: Context, source: int, target: int, size: int) -> None:
    """Copy ``size`` bytes from one address of the device to another; they must not overlap."""
    if size == 0:
        return
    params = CopyParams(source, target, size, source % _BYTES == 0 and target % _BYTES == 0)
    context.run(Launch("copy_bytes", (-(-size // (_THREADS * _PIECES * _BYTES)), 1, 1), params))


def scale_grey(context: Context, images: Array, out: Array) -> None:
    """Fill ``out`` (float32) with ``images`` (uint8) / 255, contiguous arrays of the same shape."""
    if images.size == 0:
        return
    whole = images.pointer % GROUP == 0 and out.pointer % (GROUP * out.itemsize) == 0
    params = CopyParams(images.pointer, out.pointer, images.size, whole)
    context.run(Launch("scale_grey", (-(-images.size // (_THREADS * _PIECES * GROUP)), 1, 1), params))
