"""How images are cut up for blocks of threads: see ``csrc/cuda/groups.h``."""

from __future__ import annotations

import ctypes

from .arrays import Array
from .params import I32, STRUCTURES

GROUP = 4  # neighbouring pixels of a row that a thread works on at a time
_THREADS = 256
_IDLE = 1.15  # this much more threads than groups in a row do no harm


class TilesParams(ctypes.Structure):
    """``Tiles`` of ``csrc/cuda/groups.h``."""

    _fields_ = tuple((name, I32) for name in ("height", "width", "column_bits", "rows", "across", "down"))


STRUCTURES.update(Tiles=TilesParams)


def tiles_for(height: int, width: int, rows: int) -> TilesParams:
    """Cut images of ``height`` x ``width`` pixels so that each thread does ``rows`` rows of a group of pixels."""
    groups = -(-width // GROUP)
    # As wide as possible without idle threads; lines of 8 groups still use whole sectors of memory.
    for bits in range(8, 2, -1):
        across = -(-groups // (1 << bits))
        if across << bits <= _IDLE * groups:
            break
    else:
        bits = min(3, (groups - 1).bit_length())
        across = -(-groups // (1 << bits))
    down = -(-height // ((_THREADS >> bits) * rows))
    return TilesParams(height, width, bits, rows, across, down)


def in_groups(width: int, *arrays: Array | None) -> bool:
    """Return whether every row of these contiguous arrays of images is made of whole, aligned groups."""
    return width % GROUP == 0 and all(a is None or a.pointer % (GROUP * a.itemsize) == 0 for a in arrays)
