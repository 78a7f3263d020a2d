"""A control without a network: what copying the nearest training slice scores.

A network that does not beat it has learnt nothing about lesions that a memory would not give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...data.duplicates import thumbnails
from ...data.nearest import nearest_correlations
from .controls import Rows, Scores, labels_of_both

if TYPE_CHECKING:
    from ...data.store import SliceStore


def nearest_slice_scores(store: SliceStore, train: Rows, test: Rows, seed: int = 0) -> Scores:  # noqa: ARG001 - as all controls
    """How much nearer each of the slices ``test`` (int64, (N,)) is to a positive slice of ``train`` than to a negative:
    float64 (N,) in 0..1, at least 0.5 where the nearest of all is positive.

    Near is the correlation of 32×32 thumbnails; the score is 0.5 + (nearest positive - nearest negative) / 4. ``seed``
    has no effect: nothing is random here.

    Raises:
        DataError: ``train`` does not hold both classes, or holds unlabelled slices.
    """
    labels = labels_of_both(store, train)
    best = nearest_correlations(
        thumbnails(store.slices[index] for index in train.tolist()),
        labels,
        thumbnails(store.slices[index] for index in test.tolist()),
    ).astype(np.float64)
    return np.clip(0.5 + (best[:, 1] - best[:, 0]) / 4, 0.0, 1.0)
