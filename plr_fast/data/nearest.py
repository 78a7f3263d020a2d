"""The nearest training slice: what one would score by remembering."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .duplicates import Thumbnails

_BLOCK = 1024


def nearest_correlations(known: Thumbnails, labels: npt.NDArray[np.int8], asked: Thumbnails) -> npt.NDArray[np.float32]:
    """Correlation of each of ``asked``, uint8 (N, 32, 32), with the most alike of ``known`` of either class: float32
    (N, 2), negative and positive, -1 where there is none. ``labels`` are those of ``known``, 0 or 1 (others count for
    neither). A picture of one grey value has correlation 0 with everything.
    """
    best = np.full((len(asked), 2), -1.0, np.float32)
    first = _unit(asked)
    for label in (0, 1):
        members = known[labels == label]
        for start in range(0, len(members), _BLOCK):
            block = _unit(members[start : start + _BLOCK])
            for top in range(0, len(asked), _BLOCK):
                rows = slice(top, top + _BLOCK)
                best[rows, label] = np.maximum(best[rows, label], (first[rows] @ block.T).max(axis=1))
    return best


def _unit(pictures: Thumbnails) -> npt.NDArray[np.float32]:
    """Thumbnails (N, 32, 32) as rows (N, 1024) of mean 0 and length 1; those of one grey value become 0."""
    rows = pictures.reshape(len(pictures), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 1.0, rows / np.maximum(length, 1.0), np.float32(0.0))
