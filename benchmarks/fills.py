"""The yardstick: filling a buffer with one constant, in the ways that Python users have."""

from __future__ import annotations

import ctypes

import numpy as np
import torch

from benchmarks.rounds import Candidate


def fills(buffer: torch.Tensor) -> list[Candidate]:
    """Return ways to fill ``buffer``, contiguous; shares of fill speed are of the fastest one in the same run."""
    array = buffer.numpy()
    size = buffer.numel() * buffer.element_size()
    ways = {
        "fill: torch fill_": lambda: buffer.fill_(1),
        "fill: numpy.copyto": lambda: np.copyto(array, 1, casting="unsafe"),
        "fill: memset of the C library": lambda: ctypes.memset(array.ctypes.data, 1, size),
    }
    return [Candidate(label, call, buffer.numel(), yardstick=True) for label, call in ways.items()]
