"""How far probabilities can be taken at their word: calibration error and reliability curves.

Scores are sorted into bins of equal mass (as many slices in each, up to ties) or of equal width. The expected
calibration error (ECE) is the mean over bins, weighted by their slices, of the distance between the mean score and the
share of positive slices; 0 is perfect. Empty bins are left out. ECE of few slices is too high on average, because
chance alone moves the shares; equal mass suffers less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...evaluation.metrics import NO_SLICES, FloatArray, IntArray, MetricValue, check_scores

Binning = Literal["mass", "width"]
BINS = 10


@dataclass(frozen=True)
class ReliabilityCurve:
    """The points of a reliability diagram, one for each bin that holds a slice, by rising score.

    Attributes:
        mean_score: float64 (B,), in [0, 1].
        observed: float64 (B,), share of positive slices.
        low, high: float64 (B,), bootstrap interval of ``observed``; NaN where there is none.
        slices: int64 (B,), how many each bin holds (a slice tested in several repeats counts in each).
        repeats: how many are pooled.
    """

    mean_score: FloatArray
    observed: FloatArray
    low: FloatArray
    high: FloatArray
    slices: IntArray
    repeats: int


def bin_edges(scores: npt.ArrayLike, *, bins: int = BINS, binning: Binning = "mass") -> FloatArray:
    """Edges of the bins, float64 (bins + 1,): quantiles of the scores, or equal steps from 0 to 1.

    Raises:
        ValueError: fewer than one bin.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    steps = np.linspace(0.0, 1.0, bins + 1)
    if binning == "width":
        return steps
    return np.percentile(np.asarray(scores, dtype=np.float64), 100.0 * steps)


def bin_of(scores: npt.ArrayLike, edges: FloatArray) -> IntArray:
    """Which bin each score falls into, int64 (N,); a score on an inner edge belongs to the lower bin."""
    return np.searchsorted(edges[1:-1], np.asarray(scores, dtype=np.float64)).astype(np.int64)


def membership(scores: npt.ArrayLike, edges: FloatArray) -> FloatArray:
    """The same as float64 (N, bins) of 0 and 1, for sums over bins by one matrix product."""
    return np.eye(len(edges) - 1)[bin_of(scores, edges)]


def expected_calibration_error(
    labels: npt.ArrayLike, scores: npt.ArrayLike, *, bins: int = BINS, binning: Binning = "mass"
) -> MetricValue:
    """ECE in [0, 1]; NaN with a reason where there are no slices.

    Args:
        labels: int (N,), 0 or 1.
        scores: float (N,), probabilities in [0, 1].

    Raises:
        ValueError: see :func:`plr_fast.evaluation.metrics.check_scores`, or fewer than one bin.
    """
    truth, probability = check_scores(labels, scores)
    if truth.size == 0:
        return MetricValue(math.nan, NO_SLICES)
    member = membership(probability, bin_edges(probability, bins=bins, binning=binning))
    # Within a bin of n slices, n · |share − mean score| is |Σ (label − score)|.
    return MetricValue(float(np.abs((truth - probability) @ member).sum() / truth.size))
