"""Philox4x32-10 (Salmon et al., SC 2011) on Python integers, with the counter layout of ``csrc/core/philox.h``."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import numpy as np

MASK = 0xFFFFFFFF


class Stream(IntEnum):
    """What a draw is for: word 1 of the counter, plus 256 times a substream."""

    PERMUTATION = 1
    LATTICE = 2
    CANDIDATE = 3
    PASTE = 4
    BLUR_WINDOW = 5
    SHUFFLE_WINDOW = 6
    SHUFFLE_BLOCK = 7
    SHUFFLE_INSIDE = 8
    PLACE = 9
    BANK_NOISE = 10
    FRESH = 11
    CLOUD = 12
    CLEAN = 13


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Return the four words of one counter value, as in the paper."""
    k0, k1 = key
    c0, c1, c2, c3 = counter
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & MASK, (a >> 32) ^ c3 ^ k1, a & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return c0, c1, c2, c3


def draw(seed: int, sample: int, stream: int, index: int, substream: int = 0) -> tuple[int, int, int, int]:
    """Return the four words of a sample's stream at ``index``. Negative sample ids count as two's complement."""
    sample &= 0xFFFFFFFFFFFFFFFF
    key = (seed & MASK, seed >> 32)
    return philox(key, (index & MASK, (stream + (substream << 8)) & MASK, sample & MASK, sample >> 32))


def words(seed: int, sample: int, stream: int, substream: int = 0) -> Iterator[int]:
    """Yield the words of a stream one by one."""
    index = 0
    while True:
        yield from draw(seed, sample, stream, index, substream)
        index += 1


def below(word: int, n: int) -> int:
    """Return an integer in [0, n): the high half of ``word * n``."""
    return (word * n) >> 32


def shuffled(items: np.ndarray, stream_words: Iterator[int]) -> np.ndarray:
    """Return a copy of ``items`` after a Fisher-Yates shuffle from the end."""
    items = items.copy()
    for i in range(len(items) - 1, 0, -1):
        j = below(next(stream_words), i + 1)
        items[[i, j]] = items[[j, i]]
    return items


def random_box(
    draws: tuple[int, int, int, int], height: tuple[int, int], width: tuple[int, int], shape: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Return top, left, height, width of a box drawn from four words, anywhere in an image of ``shape``."""
    h = height[0] + below(draws[0], height[1] - height[0] + 1)
    w = width[0] + below(draws[1], width[1] - width[0] + 1)
    return below(draws[2], shape[0] - h + 1), below(draws[3], shape[1] - w + 1), h, w
