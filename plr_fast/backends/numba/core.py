"""The arithmetic that all Numba kernels share; the twin of ``csrc/core/philox.h`` and ``platform.h``."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

STREAM_PERMUTATION = 1
STREAM_LATTICE = 2
STREAM_CANDIDATE = 3
STREAM_PASTE = 4
STREAM_BLUR_WINDOW = 5
STREAM_SHUFFLE_WINDOW = 6
STREAM_SHUFFLE_BLOCK = 7
STREAM_SHUFFLE_INSIDE = 8
STREAM_PLACE = 9
STREAM_FRESH = 11

# 1/255 in two parts: float32, and what it lacks.
GREY_UNIT = np.float32(1.0 / 255.0)
GREY_UNIT_REST = np.float32(1.0 / 255.0 - np.float64(GREY_UNIT))

_U32 = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def _compiled(function: Any, **options: Any) -> Any:
    # No fastmath: the compiler may neither reorder nor fuse, or the bits would change.
    options = {"nogil": True, "error_model": "numpy", "fastmath": False, **options}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to cache in (a read-only installation without a home): compile in each process
        return numba.njit(**options)(function)


def jit(function: Any) -> Any:
    """Decorator of all kernels."""
    return _compiled(function)


def inline(function: Any) -> Any:
    """Decorator of small functions that vanish in their callers."""
    return _compiled(function, inline="always")


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001 - the signature that Numba prescribes
    """``a * b + c`` with one rounding, float32 only."""
    if not (a == b == c == types.float32):
        raise TypingError(f"fma takes three float32, not {a}, {b}, {c}")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - as above
        return builder.fma(*arguments)

    return types.float32(a, b, c), generate


@inline
def grey_to_float(grey):
    """Return grey / 255, rounded once. A table would make the compiler gather, which many CPUs do slowly."""
    return fma(np.float32(grey), GREY_UNIT, np.float32(grey) * GREY_UNIT_REST)


@jit
def philox(seed, sample, stream, index):
    """Return the four words (as uint64) of one counter value; see ``csrc/core/philox.h`` for the counter's layout."""
    c0, c1 = np.uint64(index) & _U32, np.uint64(stream) & _U32
    c2, c3 = np.uint64(sample) & _U32, np.uint64(sample) >> _SHIFT
    k0, k1 = np.uint64(seed) & _U32, np.uint64(seed) >> _SHIFT
    for _ in range(10):
        a = np.uint64(0xD2511F53) * c0
        b = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> _SHIFT) ^ c1 ^ k0, b & _U32, (a >> _SHIFT) ^ c3 ^ k1, a & _U32
        k0 = (k0 + np.uint64(0x9E3779B9)) & _U32
        k1 = (k1 + np.uint64(0xBB67AE85)) & _U32
    return c0, c1, c2, c3


@inline
def below(word, n):
    """Return an integer in [0, n): the high half of ``word * n``."""
    return np.int64((word * np.uint64(n)) >> _SHIFT)


@jit
def fisher_yates(seed, sample, stream, items, count):
    """Shuffle ``items[:count]`` from the end, one word a step, four words from each counter value."""
    words = philox(seed, sample, stream, 0)
    for position in range(count - 1):
        i = count - 1 - position
        if position & 3 == 0:
            words = philox(seed, sample, stream, position >> 2)
        word = words[0]
        lane = position & 3
        if lane == 1:
            word = words[1]
        elif lane == 2:
            word = words[2]
        elif lane == 3:
            word = words[3]
        j = below(word, i + 1)
        items[i], items[j] = items[j], items[i]


@inline
def substream(stream, number):
    return stream + (number << 8)


@jit
def random_box(words, low_height, high_height, low_width, high_width, rows, columns):
    """Return top, left, height, width of a box drawn from four words, anywhere in an image of that size."""
    height = low_height + below(words[0], high_height - low_height + 1)
    width = low_width + below(words[1], high_width - low_width + 1)
    top = below(words[2], rows - height + 1)
    left = below(words[3], columns - width + 1)
    return top, left, height, width
