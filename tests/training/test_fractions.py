"""Label fractions: nested, by group, stratified, seeded."""

from __future__ import annotations

import numpy as np
import pytest

from plr_fast.errors import ConfigError, DataError
from plr_fast.training.fractions import label_subset


def data(groups_per_class: tuple[int, int] = (20, 30)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of 1 to 4 slices in random order, with some unlabelled slices between."""
    generator = np.random.default_rng(1)
    names, labels = [], []
    for label, count in enumerate(groups_per_class):
        for group in range(count):
            size = int(generator.integers(1, 5))
            names += [f"{label}-{group}"] * size
            labels += [label] * size
    names += ["none"] * 5
    labels += [-1] * 5
    order = generator.permutation(len(names))
    label_array, name_array = np.array(labels, np.int8)[order], np.array(names)[order]
    return np.flatnonzero(label_array >= 0), label_array, name_array


def test_smaller_fractions_are_subsets_and_groups_stay_whole() -> None:
    indices, labels, groups = data()
    previous: set[int] = set()
    for fraction in (0.01, 0.1, 0.3, 0.5, 0.77, 1.0):
        subset = label_subset(indices, labels, groups, fraction=fraction, seed=0)
        assert previous <= set(subset.tolist())
        assert (np.diff(subset) > 0).all()
        chosen = set(groups[subset])
        assert set(indices[np.isin(groups[indices], list(chosen))].tolist()) == set(subset.tolist())
        previous = set(subset.tolist())
    assert previous == set(indices.tolist())


@pytest.mark.parametrize(("fraction", "negatives", "positives"), [(0.1, 2, 3), (0.5, 10, 15), (0.001, 1, 1)])
def test_each_class_gives_its_share_of_groups(fraction: float, negatives: int, positives: int) -> None:
    indices, labels, groups = data()
    chosen = set(groups[label_subset(indices, labels, groups, fraction=fraction, seed=4)])
    assert sum(name.startswith("0-") for name in chosen) == negatives
    assert sum(name.startswith("1-") for name in chosen) == positives


def test_seed_decides_and_the_order_of_slices_does_not() -> None:
    _, labels, groups = data()

    def chosen(seed: int, order: np.ndarray) -> set[str]:
        rearranged = np.flatnonzero(labels[order] >= 0)
        return set(groups[order][label_subset(rearranged, labels[order], groups[order], fraction=0.3, seed=seed)])

    straight, mixed = np.arange(len(labels)), np.random.default_rng(9).permutation(len(labels))
    assert chosen(0, straight) == chosen(0, mixed)
    assert len({frozenset(chosen(seed, straight)) for seed in range(5)}) == 5


def test_a_group_that_joins_leaves_the_order_of_the_others() -> None:
    indices, labels, groups = data((20, 30))
    more_indices, more_labels, more_groups = data((20, 31))
    few = set(groups[label_subset(indices, labels, groups, fraction=0.5, seed=2)])
    more = set(more_groups[label_subset(more_indices, more_labels, more_groups, fraction=0.5, seed=2)])
    assert len(few - more) <= 1


def test_a_mixed_group_counts_as_positive() -> None:
    labels = np.array([0, 1, 0, 0], np.int8)
    groups = np.array(["mixed", "mixed", "a", "b"])
    subset = label_subset(np.arange(4), labels, groups, fraction=0.5, seed=0)
    assert {"mixed"} < set(groups[subset])
    assert len(subset) == 3


def test_a_missing_class_is_said() -> None:
    labels = np.array([0, 0, 1], np.int8)
    with pytest.raises(DataError, match="no positive"):
        label_subset(np.array([0, 1]), labels, np.array(["a", "b", "c"]), fraction=1.0, seed=0)


def test_slices_are_nested_too() -> None:
    indices, labels, groups = data()
    ids = np.array([f"{group}/{number}" for number, group in enumerate(groups)])
    previous: set[int] = set()
    for fraction in (0.1, 0.3, 0.5, 1.0):
        subset = set(label_subset(indices, labels, ids, fraction=fraction, seed=0).tolist())
        assert previous <= subset
        for label in (0, 1):
            members = np.flatnonzero(labels == label)
            assert len(subset & set(members.tolist())) == int(fraction * len(members) + 0.5)
        previous = subset


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.01, float("nan")])
def test_bad_fractions_are_refused(fraction: float) -> None:
    indices, labels, groups = data()
    with pytest.raises(ConfigError, match="fraction"):
        label_subset(indices, labels, groups, fraction=fraction, seed=0)
