"""Label fractions (IV.B): nested subsets of the labelled training groups or slices, stratified by class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from ..errors import ConfigError, DataError


def label_subset(
    indices: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, fraction: float, seed: int
) -> np.ndarray:
    """Choose a share of the labelled slices by whole groups; with slice ids as ``groups``, slice by slice.

    The groups of each class (a group with any positive slice counts as positive) are put in an order that depends on
    (seed, group name) alone; the first ``fraction`` of them, rounded, at least one, are taken. So a smaller fraction
    is a subset of a larger one, no patient is parted, and a group that joins the data later moves no other.

    Args:
        indices: int64 (n,), the labelled slices to choose from (store indices).
        labels: int8 (N,), 0 or 1 at ``indices``.
        groups: str (N,), the group of each slice; or its id, for the paper's way of counting slices.
        fraction: 0 < fraction <= 1.
        seed: Draws the order; another seed gives another subset.

    Returns:
        int64, sorted, a subset of ``indices`` that holds both classes.

    Raises:
        ConfigError: ``fraction`` out of range.
        DataError: a class has no labelled slice in ``indices``, or none in the subset.
    """
    if not 0.0 < fraction <= 1.0:
        raise ConfigError(f"fraction must be above 0 and at most 1 (10 % is 0.1), not {fraction}")
    chosen_labels, chosen_groups = labels[indices], groups[indices]
    _require_both(chosen_labels, "the labelled training slices")
    names, inverse = np.unique(chosen_groups, return_inverse=True)
    positive = np.zeros(len(names), bool)
    np.logical_or.at(positive, inverse, chosen_labels == 1)
    take = np.zeros(len(names), bool)
    for members in (np.flatnonzero(positive), np.flatnonzero(~positive)):
        ordered = _shuffled(names, members, seed)
        take[ordered[: _rounded(fraction * len(ordered))]] = True
    subset = np.sort(indices[take[inverse]])
    _require_both(labels[subset], f"a fraction of {fraction:g} (subset_seed={seed})")
    return subset.astype(np.int64)


def _shuffled(names: np.ndarray, members: np.ndarray, seed: int) -> Sequence[int]:
    def rank(index: int) -> bytes:
        return hashlib.sha256(f"{seed}\0{names[index]}".encode()).digest()

    return sorted(members.tolist(), key=rank)


def _rounded(count: float) -> int:
    # Half up: Python's round() would send 0.5, 1.5 and 2.5 to 0, 2 and 2.
    return max(1, int(count + 0.5))


def _require_both(labels: np.ndarray, where: str) -> None:
    for value, name in ((0, "negative (label 0)"), (1, "positive (label 1)")):
        if not (labels == value).any():
            raise DataError(f"{where} hold no {name} slice; both classes are needed to train a classifier")
