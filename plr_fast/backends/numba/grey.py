"""uint8 grey to float32 in Numba; the twin of ``csrc/cpu/grey_loops.inl``."""

from __future__ import annotations

from ..specs import Float32Array, Uint8Array
from ..threads import for_each_range
from .core import grey_to_float, jit

BLOCK = 1 << 16  # pixels that a thread takes at a time


@jit
def scale(grey, out):
    for i in range(grey.size):
        out[i] = grey_to_float(grey[i])


def scale_grey(images: Uint8Array, out: Float32Array, threads: int) -> None:
    grey, target = images.reshape(-1), out.reshape(-1)

    def body(first: int, last: int) -> None:
        scale(grey[first * BLOCK : last * BLOCK], target[first * BLOCK : last * BLOCK])

    for_each_range(-(-grey.size // BLOCK), threads, body)
