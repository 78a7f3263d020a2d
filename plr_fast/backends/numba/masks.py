"""Masks as bits in Numba; the twin of ``csrc/core/masks.h`` and the loops over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from ..specs import PackedMasks, Uint8Array
from ..threads import for_each_range
from .core import inline, jit

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@intrinsic
def _bit_count(typing_context: Any, word: Any) -> Any:  # noqa: ARG001 - the signature that Numba prescribes
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - as above
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def _lowest_bit(typing_context: Any, word: Any) -> Any:  # noqa: ARG001 - as above
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - as above
        return builder.cttz(arguments[0], context.get_constant(types.boolean, False))

    return types.uint64(types.uint64), generate


@inline
def bit_count(word):
    return np.int64(_bit_count(np.uint64(word)))


@inline
def lowest_bit(word):
    """Return the position of the lowest set bit, 64 for a word that has none."""
    return np.int64(_lowest_bit(np.uint64(word)))


@inline
def low_bits(count):
    return _ALL if count >= 64 else (_ONE << np.uint64(count)) - _ONE


@jit
def kth_in_row(bits, row, k):
    """Return the column of the k-th set pixel of a row that has more than k of them."""
    w = 0
    while w + 1 < bits.shape[1]:
        count = bit_count(bits[row, w])
        if k < count:
            break
        k -= count
        w += 1
    word = bits[row, w]
    for _ in range(k):
        word &= word - _ONE
    return w * 64 + min(lowest_bit(word), 63)


@jit
def last_up_to(numbers, count, k):
    """Return the index of the last of ``count`` ascending numbers, beginning with 0, that is at most ``k``."""
    low = 0
    while count > 1:
        half = count >> 1
        if numbers[low + half] <= k:
            low += half
        count -= half
    return low


@jit
def kth_set_pixel(bits, before, k):
    """Return row and column of the k-th set pixel of a packed mask."""
    row = last_up_to(before, bits.shape[0], k)
    return row, kth_in_row(bits, row, k - np.int64(before[row]))


@inline
def mask_window(bits, row, column):
    """Return the bits of the 64 pixels from (row, column) on, 0 beyond the end of the row."""
    w, shift = column >> 6, np.uint64(column & 63)
    window = bits[row, w] >> shift
    if shift != _ZERO and w + 1 < bits.shape[1]:
        window |= bits[row, w + 1] << (np.uint64(64) - shift)
    return window


@jit
def box_is_set(bits, top, left, height, width):
    """Return whether every pixel of a box is set; a box that leaves the mask is not."""
    if top < 0 or left < 0 or top + height > bits.shape[0] or left + width > bits.shape[1] * 64:
        return False
    for y in range(top, top + height):
        for x in range(0, width, 64):
            if (~mask_window(bits, y, left + x)) & low_bits(width - x) != _ZERO:
                return False
    return True


@jit
def boxes_in_row(bits, top, height, width, row):
    """Set bit x of ``row`` (1, words) where the box of that size with its top left corner at (top, x) is all set."""
    words = row.shape[1]
    for w in range(words):
        row[0, w] = bits[top, w]
    for y in range(top + 1, top + height):
        for w in range(words):
            row[0, w] &= bits[y, w]
    covered = 1
    while covered < width:
        step = min(covered, width - covered)
        skip, shift = step >> 6, np.uint64(step & 63)
        for w in range(words):
            here = row[0, w + skip] if w + skip < words else _ZERO
            following = row[0, w + skip + 1] if w + skip + 1 < words else _ZERO
            if shift != _ZERO:
                here = (here >> shift) | (following << (np.uint64(64) - shift))
            row[0, w] &= here
        covered += step


@jit
def count_boxes(bits, height, width, before, row):
    """Return how many boxes of that size are all set; ``before`` receives those of all earlier rows."""
    count = 0
    for top in range(bits.shape[0] + 1):
        before[top] = count
        if top + height > bits.shape[0]:
            continue
        boxes_in_row(bits, top, height, width, row)
        for w in range(row.shape[1]):
            count += bit_count(row[0, w])
    return count


@jit
def kth_box(bits, height, width, before, row, k):
    """Return the top left corner of the k-th of these boxes in row-major order."""
    top = last_up_to(before, bits.shape[0], k)
    boxes_in_row(bits, top, height, width, row)
    return top, kth_in_row(row, 0, k - np.int64(before[top]))


@jit
def count_rows(bits, before, first, last):
    for n in range(first, last):
        count = 0
        for y in range(bits.shape[1]):
            before[n, y] = count
            for w in range(bits.shape[2]):
                count += bit_count(bits[n, y, w])
        before[n, bits.shape[1]] = count


def pack_masks(masks: Uint8Array, out: PackedMasks, threads: int) -> None:
    used = -(-masks.shape[2] // 8)

    def pack(first: int, last: int) -> None:
        octets = out.bits[first:last].view(np.uint8)
        octets[..., :used] = np.packbits(masks[first:last] != 0, axis=2, bitorder="little")
        octets[..., used:] = 0
        count_rows(out.bits, out.before, first, last)

    for_each_range(len(masks), threads, pack)
