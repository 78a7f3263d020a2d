"""A control without a network: what grey levels alone tell.

A network that does not beat it has learnt nothing about lesions that a histogram would not give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .controls import Rows, Scores, labels_of_both

if TYPE_CHECKING:
    from ...data.store import SliceStore

BINS = 16
PERCENTILES = (5, 25, 50, 75, 95)
TREES = 300


def grey_statistics(store: SliceStore, indices: Rows) -> Scores:
    """What the forest sees of the slices ``indices``, int64 (N,): float64 (N, 47).

    Of the pixels in the lungs, and again of all pixels: mean, standard deviation, five percentiles (5, 25, 50, 75, 95)
    and the shares of 16 equal grey ranges; last, the share of the slice that is lung. Nothing of where a pixel lies.
    Without a usable lung mask (empty, or marked implausible) all pixels stand for the lungs, and the share is 0.
    """
    table = np.empty((len(indices), 2 * (2 + len(PERCENTILES) + BINS) + 1))
    for row, index in enumerate(indices.tolist()):
        picture, lungs = store.slices[index], np.asarray(store.masks[index]) != 0
        usable = bool(store.mask_ok[index]) and bool(lungs.any())
        everywhere = np.bincount(np.asarray(picture).ravel(), minlength=256)
        inside = np.bincount(np.asarray(picture)[lungs], minlength=256) if usable else everywhere
        table[row] = (*_statistics(inside), *_statistics(everywhere), lungs.mean() if usable else 0.0)
    return table


def grey_forest_scores(store: SliceStore, train: Rows, test: Rows, seed: int) -> Scores:
    """Probability of the positive class of the slices ``test`` (int64, (N,)), by a random forest (scikit-learn's, 300
    trees, classes weighted alike, one thread) over :func:`grey_statistics` of the slices ``train``: float64 (N,).

    Raises:
        DataError: ``train`` does not hold both classes, or holds unlabelled slices.
    """
    from sklearn.ensemble import RandomForestClassifier

    labels = labels_of_both(store, train)
    forest = RandomForestClassifier(
        TREES, class_weight="balanced", max_features="sqrt", n_jobs=1, random_state=np.random.RandomState(seed % 2**32)
    )
    forest.fit(grey_statistics(store, train), labels)
    scores: Scores = forest.predict_proba(grey_statistics(store, test))[:, 1]
    return scores


def _statistics(counts: npt.NDArray[np.int64]) -> Scores:
    """Of a histogram, int64 (256,) with at least one pixel: float64 (23,)."""
    grey = np.arange(256)
    total = counts.sum()
    mean = (counts * grey).sum() / total
    deviation = np.sqrt((counts * (grey - mean) ** 2).sum() / total)
    upto = np.cumsum(counts)
    percentiles = np.searchsorted(upto, np.array(PERCENTILES) / 100 * total)
    ranges = counts.reshape(BINS, -1).sum(axis=1) / total
    return np.concatenate(([mean, deviation], percentiles, ranges))
