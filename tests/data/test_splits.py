"""Groups and splits: nothing that belongs together is ever parted, and the shares are what was asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plr_fast.data.manifest import Entry
from plr_fast.data.splits import check_given_splits, compute_splits, group_entries, join_groups
from plr_fast.errors import DataError


def entry(number: int, *, patient: str = "", name: str = "covid", split: str = "", order: float | None = None) -> Entry:
    source = f"{name}/{number}.png"
    return Entry(source, Path(source), source, int(name == "covid"), f"line {number}", name, patient, split, order)


class TestGroups:
    def test_by_patient(self) -> None:
        found = group_entries([entry(0, patient="a"), entry(1, patient="b"), entry(2, patient="a", name="normal")])
        assert found.groups == ("patient:a", "patient:b", "patient:a")
        assert found.unit == "patient"
        assert found.notes == ()

    def test_blocks_run_in_order_within_each_class(self) -> None:
        # Listed backwards, with a gap in the numbers: the rank counts, not the number.
        entries = [entry(n, order=n + 5 * (n > 3)) for n in range(6, -1, -1)]
        entries += [entry(n, name="normal", order=n) for n in range(4)]
        found = group_entries(entries, block_size=3)
        covid = [f"block:covid:{n // 3:04d}" for n in range(6, -1, -1)]
        assert found.groups == (*covid, *(f"block:normal:{n // 3:04d}" for n in range(4)))
        assert found.unit == "block"
        assert found.notes == ()

    def test_blocks_stay_within_given_splits(self) -> None:
        entries = [entry(n, order=n, split="train" if n < 4 else "test") for n in range(8)]
        found = group_entries(entries, block_size=3)
        assert check_given_splits(found.groups, [e.split for e in entries], allow_shared=False) == 0
        assert len(set(found.groups)) == 4

    def test_blocks_need_an_order(self) -> None:
        with pytest.raises(DataError, match="line 1: blocks need an order; name its column with --order-column"):
            group_entries([entry(0, order=1.0), entry(1)], block_size=2)

    def test_blocks_need_one_sequence(self) -> None:
        with pytest.raises(DataError, match="line 1: the order 7 of class 'covid' occurs already at line 0"):
            group_entries([entry(0, order=7.0), entry(1, order=7.0)], block_size=2)

    def test_each_file_alone_is_said_aloud(self) -> None:
        found = group_entries([entry(0), entry(1)])
        assert found.groups == ("file:covid/0.png", "file:covid/1.png")
        assert found.unit == "file"
        assert "patient ids unknown" in found.notes[0]
        assert "results may be inflated" in found.notes[0]

    def test_missing_patients_stay_together(self) -> None:
        entries = [entry(0, patient="a"), entry(1), entry(2), entry(3, name="normal"), entry(4, split="test")]
        found = group_entries(entries)
        assert found.groups == ("patient:a", "unknown:covid", "unknown:covid", "unknown:normal", "unknown:covid:test")
        assert found.notes == ("4 of 5 files have no patient id: they form 3 group(s) that no split parts",)

    def test_missing_patients_apart(self) -> None:
        found = group_entries([entry(0, patient="a"), entry(1), entry(2)], missing_patient="separate")
        assert found.groups == ("patient:a", "file:covid/1.png", "file:covid/2.png")
        assert "may be inflated" in found.notes[0]

    def test_missing_patients_refused(self) -> None:
        with pytest.raises(DataError, match="2 entries have no patient id, the first at line 1"):
            group_entries([entry(0, patient="a"), entry(1), entry(2)], missing_patient="error")

    def test_missing_patients_in_blocks(self) -> None:
        entries = [entry(0, patient="a", order=0.0), *(entry(n, order=n) for n in range(1, 5))]
        found = group_entries(entries, block_size=2)
        assert found.groups == ("patient:a", *["block:covid:0000"] * 2, *["block:covid:0001"] * 2)


class TestJoin:
    def test_chains_become_one(self) -> None:
        groups, swallowed = join_groups(["d", "a", "b", "c", "a"], [(1, 2), (2, 3), (4, 1), (3, 1)])
        assert groups == ("d", "a", "a", "a", "a")
        assert swallowed == 2

    def test_nothing_to_join(self) -> None:
        assert join_groups(["a", "b", "a"], [(0, 2)]) == (("a", "b", "a"), 0)

    @settings(deadline=None)
    @given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=12))
    def test_agrees_with_scipy(self, count: int, raw: list[tuple[int, int]]) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        pairs = [(a % count, b % count) for a, b in raw]
        groups, swallowed = join_groups([f"g{n}" for n in range(count)], pairs)
        rows, columns = np.array([p[0] for p in pairs], int), np.array([p[1] for p in pairs], int)
        graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(count, count))
        components, expected = connected_components(graph, directed=False)
        assert swallowed == count - components
        for a in range(count):
            assert [groups[a] == groups[b] for b in range(count)] == [expected[a] == expected[b] for b in range(count)]


class TestGivenSplits:
    def test_a_patient_in_two_splits(self) -> None:
        with pytest.raises(DataError, match=r"1 group\(s\) .* 'patient:a \(test, train\)'; .*--allow-shared-groups"):
            check_given_splits(["patient:a", "patient:b", "patient:a"], ["train", "test", "test"], allow_shared=False)

    def test_when_allowed(self) -> None:
        assert check_given_splits(["a", "b", "a"], ["train", "test", "test"], allow_shared=True) == 1


def sizes(splits: list[str]) -> Counter[str]:
    return Counter(splits)


class TestComputed:
    def data(self, patients: int = 40, slices: int = 5) -> tuple[list[int], list[str]]:
        labels = [patient % 2 for patient in range(patients) for _ in range(slices)]
        return labels, [f"p{patient}" for patient in range(patients) for _ in range(slices)]

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1)), min_size=24, max_size=60),
        st.integers(0, 2**32 - 1),
        st.sampled_from([0.1, 0.2, 0.34]),
    )
    def test_no_group_is_ever_parted(self, patients: list[tuple[int, int]], seed: int, fraction: float) -> None:
        patients = [*patients, *[(3, 0)] * 12, *[(3, 1)] * 12]  # enough of both classes
        labels = [label for count, label in patients for _ in range(count)]
        groups = [f"p{number}" for number, (count, _) in enumerate(patients) for _ in range(count)]
        splits = compute_splits(labels, groups, val_fraction=fraction, test_fraction=fraction, seed=seed)
        assert len({*zip(groups, splits, strict=True)}) == len(patients)
        assert set(zip(labels, splits, strict=True)) == {(a, b) for a in (0, 1) for b in ("train", "val", "test")}

    @pytest.mark.parametrize(("val", "test"), [(0.15, 0.2), (0.1, 0.1), (0.0, 0.25), (0.2, 0.0), (0.25, 0.5), (0, 0)])
    def test_shares_are_met_in_each_class(self, val: float, test: float) -> None:
        labels, groups = self.data()
        splits = compute_splits(labels, groups, val_fraction=val, test_fraction=test, seed=3)
        for label in (0, 1):
            found = Counter(split for split, own in zip(splits, labels, strict=True) if own == label)
            # 20 patients of 5 slices in a class; a share p/q with q <= 10 and whole patients is off by two at most.
            assert abs(found["test"] - 100 * test) <= 10
            assert abs(found["val"] - 100 * val) <= 10
            assert (found["test"] == 0) == (test == 0)

    def test_folds_test_every_group_once(self) -> None:
        labels, groups = self.data()
        tested: Counter[str] = Counter()
        for fold in range(5):
            splits = compute_splits(labels, groups, val_fraction=0.15, test_fraction=0.2, seed=1, fold=fold)
            tested.update({group for group, split in zip(groups, splits, strict=True) if split == "test"})
        assert tested == Counter(set(groups))

    def test_seed_decides_and_nothing_else(self) -> None:
        labels, groups = self.data()
        options = {"val_fraction": 0.15, "test_fraction": 0.2}
        np.random.seed(5)  # noqa: NPY002
        before = np.random.get_state()[1].copy()  # type: ignore[union-attr, index]  # noqa: NPY002
        first = compute_splits(labels, groups, seed=1, **options)
        assert first == compute_splits(labels, groups, seed=1, **options)
        assert first != compute_splits(labels, groups, seed=2, **options)
        np.testing.assert_array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002

    def test_unlabelled_slices_are_spread_too(self) -> None:
        labels, groups = self.data()
        labels, groups = [*labels, *[-1] * 40], [*groups, *(f"u{n // 2}" for n in range(40))]
        splits = compute_splits(labels, groups, val_fraction=0.2, test_fraction=0.2, seed=0)
        assert set(splits[-40:]) == {"train", "val", "test"}

    def test_one_class_only(self) -> None:
        splits = compute_splits([0] * 10, [f"p{n}" for n in range(10)], val_fraction=0.2, test_fraction=0.2, seed=0)
        assert sizes(splits) == {"train": 6, "val": 2, "test": 2}

    def test_fewest_groups_possible(self) -> None:
        labels, groups = [0, 0, 0, 1, 1, 1], ["a", "b", "c", "d", "e", "f"]
        splits = compute_splits(labels, groups, val_fraction=0.1, test_fraction=0.1, seed=0)
        assert sizes(splits) == {"train": 2, "val": 2, "test": 2}

    def test_too_few_groups(self) -> None:
        with pytest.raises(DataError, match=r"the class 'covid' has 2 group\(s\), but train, val, test need one each"):
            compute_splits(
                [0] * 9 + [1] * 9,
                [f"p{n}" for n in range(9)] + ["x", "y"] * 4 + ["x"],
                val_fraction=0.2,
                test_fraction=0.2,
                seed=0,
                class_names={1: "covid"},
            )

    def test_groups_that_cannot_be_spread(self) -> None:
        # Three groups hold a slice of the rare class, but two of them are most of the data: no fold can be spared.
        labels, groups = [1, 1, 1, *[0] * 300], ["a", "b", "c", *["a"] * 150, *["b"] * 148, "c", "c"]
        with pytest.raises(DataError, match=r"too few groups are left to make a val part|got no slice of the class"):
            compute_splits(labels, groups, val_fraction=0.05, test_fraction=0.6, seed=0)

    def test_nothing_to_split(self) -> None:
        with pytest.raises(DataError, match="no slices to split"):
            compute_splits([], [], val_fraction=0.2, test_fraction=0.2, seed=0)

    def test_fold_out_of_range(self) -> None:
        labels, groups = self.data()
        with pytest.raises(DataError, match=r"fold is 5, but a test fraction of 1/5 has the folds 0\.\.4 only"):
            compute_splits(labels, groups, val_fraction=0.1, test_fraction=0.2, seed=0, fold=5)
