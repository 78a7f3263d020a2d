"""uint8 grey to float32: the division, rounded once, on every backend and instruction set."""

from __future__ import annotations

import numpy as np
import pytest

from plr_fast.backends import active_backend


@pytest.mark.parametrize("size", [1, 255, 256, 65_536, 65_537, 200_001])
@pytest.mark.parametrize("threads", [1, 3])
def test_grey_is_divided_and_rounded_once(backend: str, size: int, threads: int) -> None:
    grey = np.arange(size).astype(np.uint8)
    out = np.full(size + 1, 7, np.float32)
    active_backend().scale_grey(grey, out[:size], threads)
    np.testing.assert_array_equal(out[:size], grey / np.float32(255))
    assert out[size] == 7, "nothing is written beyond the end"
