"""Controls without a network: what grey levels alone tell, and what copying the nearest training slice scores.

A network that beats neither has learnt nothing about lesions that a histogram or a memory would not give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..data.duplicates import thumbnails
from ..data.nearest import nearest_correlations
from ..errors import DataError

if TYPE_CHECKING:
    from ..data.store import SliceStore

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]

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

    labels = _labels(store, train)
    forest = RandomForestClassifier(
        TREES, class_weight="balanced", max_features="sqrt", n_jobs=1, random_state=np.random.RandomState(seed % 2**32)
    )
    forest.fit(grey_statistics(store, train), labels)
    scores: Scores = forest.predict_proba(grey_statistics(store, test))[:, 1]
    return scores


def nearest_slice_scores(store: SliceStore, train: Rows, test: Rows, seed: int = 0) -> Scores:  # noqa: ARG001 - as all controls
    """How much nearer each of the slices ``test`` (int64, (N,)) is to a positive slice of ``train`` than to a negative:
    float64 (N,) in 0..1, at least 0.5 where the nearest of all is positive.

    Near is the correlation of 32×32 thumbnails; the score is 0.5 + (nearest positive - nearest negative) / 4. ``seed``
    has no effect: nothing is random here.

    Raises:
        DataError: as :func:`grey_forest_scores`.
    """
    labels = _labels(store, train)
    best = nearest_correlations(
        thumbnails(store.slices[index] for index in train.tolist()),
        labels,
        thumbnails(store.slices[index] for index in test.tolist()),
    ).astype(np.float64)
    return np.clip(0.5 + (best[:, 1] - best[:, 0]) / 4, 0.0, 1.0)


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


def _labels(store: SliceStore, train: Rows) -> npt.NDArray[np.int8]:
    labels = store.labels[train]
    if set(labels.tolist()) != {0, 1}:
        counts = [int(np.sum(labels == label)) for label in (0, 1)]
        raise DataError(
            f"a control needs labelled training slices of both classes and no others, but of {len(labels)} slices of "
            f"{store.path} {counts[0]} are {store.class_names[0]} and {counts[1]} {store.class_names[1]}"
        )
    return labels
