"""What splits share is counted as it was planted, and told in sentences and a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from plr_fast.data.duplicates import thumbnails
from plr_fast.data.leakage import leakage
from plr_fast.data.nearest import nearest_correlations
from plr_fast.data.phantom.scans import thorax_phantom
from plr_fast.data.store import SliceRecord, SliceStore, StoreWriter
from plr_fast.data.volumes import followers

SIZE = 224


@pytest.fixture(scope="module")
def chests() -> np.ndarray:
    return thorax_phantom(16, 1, SIZE, seed=8).slices


def write(path: Path, rows: list[tuple[np.ndarray, str, dict]]) -> SliceStore:
    """A store of (picture, split, columns); ids, groups and patients differ where no column says otherwise."""
    with StoreWriter(
        path, size=SIZE, count=len(rows), class_names=("normal", "covid"), allow_shared_groups=True
    ) as writer:
        for number, (picture, split, columns) in enumerate(rows):
            record = {"id": chr(97 + number), "group": f"g{number}", "split": split, "label": number % 2} | columns
            writer.add(picture, np.ones((SIZE, SIZE), np.bool_), SliceRecord(**record))
        writer.summary["unit"] = "file"
    return SliceStore.open(path)


def test_what_was_planted_is_counted(chests, tmp_path):
    brighter = (chests[1] * 0.9 + 12).astype(np.uint8)
    blank = np.full((SIZE, SIZE), 3, np.uint8)
    store = write(
        tmp_path / "store",
        [
            (chests[0], "train", {"label": 0, "group": "a", "patient": "P"}),
            (chests[1], "train", {"label": 1}),
            (chests[2], "train", {"label": 0}),
            (chests[0], "train", {"label": 0}),  # equal within one split: no leak
            ((chests[0] * 0.9 + 12).astype(np.uint8), "train", {"label": 0}),  # near: its equals are told as such
            (blank, "train", {"label": 0}),
            (chests[3], "train", {"label": 0, "id": "series#0004"}),
            (chests[0], "test", {"label": 1, "group": "a"}),  # equal, another label, shared group
            (brighter, "test", {"label": 1}),  # near
            (chests[4], "test", {"label": 0, "patient": "P"}),  # shared patient
            (blank, "test", {"label": 0}),  # equal, but says nothing
            (chests[5], "test", {"label": 0, "id": "series#0005"}),  # next to one
            (chests[6], "test", {"label": 0, "id": "series#0009"}),
            (chests[0], "test", {"label": -1}),  # equal, unlabelled: no other label
            (chests[7], "val", {"label": 1}),
        ],
    )
    done: list[int] = []
    report = leakage(store, advance=done.append)
    assert sum(done) == 2 * len(store)
    assert [(pair.first, pair.second) for pair in report.pairs] == [
        ("train", "val"),
        ("train", "test"),
        ("val", "test"),
    ]
    shared = report.pairs[1]
    assert (shared.slices, shared.groups, shared.patients) == (7, 1, 1)
    assert (shared.equal, shared.near, shared.relabelled, shared.neighbours) == (2, 1, 1, 1)
    assert report.pairs[0].nothing
    assert report.pairs[2].nothing
    assert not report.clean
    told = report.sentences()
    assert told[0] == (
        "train and test (7 slices): groups in both: 1; patients in both: 1; slices that equal one of train: 2; near "
        "duplicates of one: 1; slices next to one: 1."
    )
    assert told[1] == "Slices of test that show the same as one of train and have another label: 1."


def test_a_clean_store_says_so(chests, tmp_path):
    store = write(tmp_path / "store", [(chest, ("train", "test")[k // 8], {}) for k, chest in enumerate(chests)])
    report = leakage(store)
    assert report.clean
    assert report.sentences()[0].startswith("No group, patient, equal or near-duplicate slice")
    assert len(report.pairs) == 1  # there is no validation part


def test_without_labels_there_is_no_memory(chests, tmp_path):
    store = write(
        tmp_path / "store", [(chest, ("train", "test")[k // 8], {"label": -1}) for k, chest in enumerate(chests)]
    )
    assert leakage(store).memory is None


def test_memory_is_a_nearest_neighbour_classifier(chests, tmp_path):
    rows = [(chest, "train" if k % 3 else "test", {}) for k, chest in enumerate(chests)]
    store = write(tmp_path / "store", rows)
    small = thumbnails(chests).reshape(len(chests), -1).astype(float)
    train, test = store.select("train"), store.select("test")
    judge = KNeighborsClassifier(1, metric="correlation").fit(small[train], store.labels[train])
    memory = leakage(store).memory
    assert memory is not None
    assert memory.accuracy == pytest.approx(judge.score(small[test], store.labels[test]))
    share = store.labels[train].mean()
    assert memory.chance == pytest.approx(np.where(store.labels[test] == 1, share, 1 - share).mean())


def test_nearest_of_each_class_is_the_best_correlation():
    generator = np.random.default_rng(0)
    known, asked = (generator.integers(0, 256, (n, 32, 32), dtype=np.uint8) for n in (1100, 5))
    labels = generator.integers(-1, 2, 1100).astype(np.int8)
    found = nearest_correlations(known, labels, asked)
    table = np.corrcoef(asked.reshape(5, -1), known.reshape(1100, -1))[:5, 5:]
    expected = np.stack([table[:, labels == label].max(axis=1) for label in (0, 1)], axis=1)
    assert found == pytest.approx(expected, abs=1e-5)
    assert (nearest_correlations(known, np.zeros(1100, np.int8), asked)[:, 1] == -1).all()
    assert (nearest_correlations(known, labels, np.full((1, 32, 32), 9, np.uint8)) == 0).all()


def test_followers_look_over_splits_and_unknown_patients(chests, tmp_path):
    ids = ["c_1.png", "n_2.png", "c_2.png", "c_4.png", "s#0003", "s#0004"]
    store = write(
        tmp_path / "store",
        [(chests[k], "train" if k % 2 else "test", {"id": name}) for k, name in enumerate(ids)],
    )
    assert followers(store).tolist() == [2, 1, 2, 3, 5, 5]
