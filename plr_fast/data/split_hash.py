"""A name for a split: which slices are in which part, whatever their size and order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def split_hash(ids: Iterable[str], splits: Iterable[str]) -> str:
    """SHA-256 (hex) over the slice ids of each part.

    Two stores of the same slices, prepared at different sizes, have the same hash if and only if every slice is in the
    same part in both.
    """
    rows = sorted(f"{split}\0{slice_id}" for slice_id, split in zip(ids, splits, strict=True))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
