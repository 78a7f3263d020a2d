"""Philox against the vectors that its authors publish (Random123, kat_vectors), and compiled against reference."""

from __future__ import annotations

import numpy as np
import pytest

from plr_fast.backends.numba.core import philox as numba_philox
from plr_fast.backends.reference.philox import below, draw, philox

VECTORS = [
    ((0, 0), (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0xA4093822, 0x299F31D0),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("key", "counter", "expected"), VECTORS)
def test_published_vectors(key: tuple[int, int], counter: tuple[int, int, int, int], expected: tuple[int, ...]) -> None:
    assert philox(key, counter) == expected
    seed, sample = key[0] | key[1] << 32, counter[2] | counter[3] << 32
    words = numba_philox(np.uint64(seed), np.uint64(sample), np.uint64(counter[1]), np.uint64(counter[0]))
    assert tuple(int(w) for w in words) == expected


@pytest.mark.parametrize("sample", [0, 1, 2**40 + 3, -1, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("seed", [0, 5, 2**64 - 1])
def test_compiled_equals_reference(seed: int, sample: int) -> None:
    native = pytest.importorskip("plr_fast._native")
    for stream, index in [(1, 0), (7 + (300 << 8), 2**32 - 1)]:
        expected = draw(seed, sample, stream, index)
        assert tuple(native.philox(seed, sample, stream, index)) == expected
        words = numba_philox(np.uint64(seed), np.int64(sample), stream, index)
        assert tuple(int(w) for w in words) == expected


def test_below_is_uniform_over_the_range() -> None:
    words = [w for i in range(3000) for w in draw(1, 2, 3, i)]
    counts = np.bincount([below(w, 7) for w in words], minlength=7)
    expected = len(words) / 7
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 22.5  # 99.9 % quantile at 6 degrees of freedom
