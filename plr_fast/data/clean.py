"""Which samples are left as they are: drawn for each from (seed, sample id) alone, wherever its batch is made."""

from __future__ import annotations

from typing import Any

from ..backends.reference.philox import Stream
from ..ops.arguments import number

_MASK = 0xFFFFFFFF


def share_of_clean(value: object) -> float:
    """Return a share of samples to leave unaltered as a float.

    Raises:
        TypeError, ValueError: it is no number from 0 up to, but without, 1.
    """
    share = number(value, "clean_share", 0.0, 1.0)
    if share == 1.0:
        raise ValueError("clean_share must be below 1: nothing would be altered")
    return share


def clean_samples(seed: int, samples: Any, share: float) -> Any:
    """Return which samples stay clean: each with the probability ``share``.

    The first word of Philox4x32-10 at counter (0, stream, sample id), key ``seed``, is compared with ``share`` · 2³²:
    integers only, so that every device says the same.

    Args:
        seed: 0..2^64-1.
        samples: ids, int64 (B,), an array of NumPy or CuPy or a tensor of any device, where the answer then is.
        share: 0 up to 1.

    Returns:
        bool (B,).
    """
    # Products of 64 bits wrap in int64, and the masks take its bits: one text for all kinds of array.
    c0, c1 = samples & 0, (samples & 0) + int(Stream.CLEAN)
    c2, c3 = samples & _MASK, (samples >> 32) & _MASK
    k0, k1 = seed & _MASK, seed >> 32
    for _ in range(10):
        a, b = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = ((b >> 32) & _MASK) ^ c1 ^ k0, b & _MASK, ((a >> 32) & _MASK) ^ c3 ^ k1, a & _MASK
        k0, k1 = (k0 + 0x9E3779B9) & _MASK, (k1 + 0xBB67AE85) & _MASK
    return c0 < round(share * 2**32)
