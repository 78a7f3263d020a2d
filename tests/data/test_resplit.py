"""Other splits of the same slices: whole groups or single slices, disjoint repeats, and arrays that are shared."""

from __future__ import annotations

import csv
import errno
import json
import os
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from plr_fast.cli.main import main
from plr_fast.data.prepare import write_phantom_store
from plr_fast.data.resplit import ResplitConfig, resplit
from plr_fast.data.split_hash import split_hash
from plr_fast.data.store import SliceRecord, SliceStore, StoreWriter
from plr_fast.data.store_workplace import workplace_of
from plr_fast.errors import ConfigError, DataError, StorageError, StoreError
from plr_fast.evaluation.facts import describe_store
from tests.data.slice_files import DataSet

PATIENTS, EACH, SIZE = 24, 3, 8


@pytest.fixture
def store(tmp_path: Path) -> SliceStore:
    with StoreWriter(tmp_path / "store", size=SIZE, count=PATIENTS * EACH, class_names=("normal", "covid")) as writer:
        for index in range(PATIENTS * EACH):
            patient = index // EACH
            record = SliceRecord(
                f"{patient},{index % EACH}",
                f"patient:{patient}",
                "train",
                patient % 2,
                str(patient),
                "a.png",
                (0.1, 2.0),
            )
            writer.add(np.full((SIZE, SIZE), index, np.uint8), np.ones((SIZE, SIZE), np.bool_), record)
        writer.attach("masks.csv", b"id\n")
        writer.summary["notes"] = ["a note"]
    return SliceStore.open(tmp_path / "store")


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def groups_of(store: SliceStore, split: str) -> set[str]:
    return set(store.groups[store.splits == split].tolist())


def test_same_slices_shared_on_disk_in_other_splits(store, tmp_path):
    path = resplit(store, tmp_path / "other", seed=1, val_fraction=0.25, test_fraction=0.25)
    other = SliceStore.open(path)
    other.verify()
    for name in ("slices.npy", "masks.npy", "masks.csv"):
        assert (path / name).samefile(store.path / name)
    with (store.path / "manifest.csv").open() as a, (path / "manifest.csv").open() as b:
        before, after = list(csv.DictReader(a)), list(csv.DictReader(b))
    assert [row | {"split": ""} for row in before] == [row | {"split": ""} for row in after]
    assert describe_store(other).shared_groups == 0
    assert other.info["summary"] == {
        "groups": PATIENTS,
        "shared_groups": 0,
        "splits": {"train": {"normal": 18, "covid": 18}, "val": {"normal": 9, "covid": 9}}
        | {"test": {"normal": 9, "covid": 9}},
        "notes": ["a note"],
    }
    assert set(store.splits) == {"train"}  # the first is what it was
    assert names_in(tmp_path) == ["other", "store"]


def test_repeats_test_every_group_once_and_then_anew(store, tmp_path):
    made = [SliceStore.open(resplit(store, tmp_path / str(r), repeat=r, test_fraction=0.25)) for r in range(8)]
    tests = [groups_of(other, "test") for other in made]
    for start in (0, 4):
        assert sorted(chain.from_iterable(tests[start : start + 4])) == sorted(set(store.groups.tolist()))
    # The second round is of another seed: none of its parts is one of the first's.
    assert all(part not in tests[:4] for part in tests[4:])
    assert all(not groups_of(other, "val") & groups_of(other, "test") for other in made)
    assert len({split_hash(other.ids, other.splits) for other in made}) == 8


def test_shares_above_one_fold_stay_disjoint_as_long_as_they_can(store, tmp_path):
    # 0.4 is two of five folds: two disjoint repeats, then another seed.
    made = [SliceStore.open(resplit(store, tmp_path / str(r), repeat=r, test_fraction=0.4)) for r in range(3)]
    assert [other.info["resplit"]["fold"] for other in made] == [0, 2, 0]
    assert [other.info["resplit"]["fold_seed"] == 0 for other in made] == [True, True, False]
    assert not groups_of(made[0], "test") & groups_of(made[1], "test")


def test_without_a_test_part_the_validation_parts_are_disjoint(store, tmp_path):
    made = [
        SliceStore.open(resplit(store, tmp_path / str(r), repeat=r, val_fraction=0.25, test_fraction=0))
        for r in range(4)
    ]
    found = [groups_of(other, "val") for other in made]
    assert sorted(chain.from_iterable(found)) == sorted(set(store.groups.tolist()))
    assert all(groups_of(other, "test") == set() for other in made)


def test_single_slices_part_patients_and_that_is_said(store, tmp_path):
    other = SliceStore.open(resplit(store, tmp_path / "other", split_by="slices", val_fraction=0, test_fraction=0.5))
    facts = describe_store(other)
    parts = [set(other.splits[other.groups == group].tolist()) for group in np.unique(other.groups)]
    shared = sum(len(part) > 1 for part in parts)
    assert shared > PATIENTS / 3  # each patient of three slices is parted with probability 3/4
    assert facts.shared_groups == other.info["summary"]["shared_groups"] == shared
    told = [text for text in facts.warnings() if "Split slice by slice" in text]
    assert len(told) == 1
    assert f"{shared} of 24 groups" in told[0]
    for label in (0, 1):  # stratified to the slice
        assert len(other.select("test", label)) == len(other.select("train", label)) == PATIENTS * EACH / 4
    # Back to whole groups: the note goes with its reason.
    honest = SliceStore.open(resplit(other, tmp_path / "honest"))
    assert honest.info["summary"]["notes"] == ["a note"]
    assert describe_store(honest).shared_groups == 0


def test_repeat_0_is_what_prepare_computes(tmp_path):
    write_phantom_store(tmp_path / "phantom", patients=12, slices_per_patient=2, size=32, seed=5)
    store = SliceStore.open(tmp_path / "phantom")
    other = SliceStore.open(resplit(store, tmp_path / "other", seed=5, val_fraction=0.15, test_fraction=0.2))
    assert other.splits.tolist() == store.splits.tolist()
    assert other.fingerprint == store.fingerprint


def test_notes_on_a_split_column_are_dropped(data: DataSet, tmp_path):
    for row in data.rows:
        row["split"] = row["split"].replace("val", "train")
    _, store = data.prepare(split_column="split", patient_column="", allow_shared_groups=True)
    assert any("split column" in note for note in store.info["summary"]["notes"])
    other = SliceStore.open(resplit(store, tmp_path / "other"))
    assert [note for note in other.info["summary"]["notes"] if "split column" in note] == []
    assert "patient ids unknown" in other.info["summary"]["notes"][0]


def test_a_second_call_does_nothing_and_another_is_refused(store, tmp_path):
    path = resplit(store.path, tmp_path / "other", seed=1)
    before = (path / "manifest.csv").stat()
    assert resplit(store.path, path, seed=1) == path
    assert os.path.samestat((path / "manifest.csv").stat(), before)
    with pytest.raises(StoreError, match=r"a store already \(seed was 1, now 2; repeat was 0, now 3\)"):
        resplit(store, path, seed=2, repeat=3)
    with pytest.raises(StoreError, match="made by something else"):
        resplit(path, store.path)
    with pytest.raises(StoreError, match="is the store itself"):
        resplit(store, store.path)
    (path / "slices.npy").unlink()  # damaged: neither accepted nor replaced in silence
    with pytest.raises(StoreError, match="a damaged store"):
        resplit(store, path, seed=1)


def test_other_groups_are_another_store(store, tmp_path):
    path = resplit(store, tmp_path / "other")
    text = (store.path / "manifest.csv").read_text()
    (store.path / "manifest.csv").write_text(text.replace("patient:1,", "patient:0,"))
    with pytest.raises(StoreError, match="of other slices"):
        resplit(store.path, path)


def test_without_hard_links_it_copies(store, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    other = SliceStore.open(resplit(store, tmp_path / "other"))
    other.verify()
    assert not (other.path / "slices.npy").samefile(store.path / "slices.npy")
    assert other.info["pixels_sha256"] == store.info["pixels_sha256"]


def test_nothing_is_left_of_a_failure_and_leftovers_of_a_kill_are_cleared(store, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            "plr_fast.data.resplit.write_json", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))
        )
        with pytest.raises(StorageError, match="could not write"):
            resplit(store, tmp_path / "other")
    assert names_in(tmp_path) == ["store"]
    left = workplace_of(tmp_path / "other") / "store"
    left.mkdir(parents=True)
    (left / "slices.npy").write_bytes(b"half")
    SliceStore.open(resplit(store, tmp_path / "other")).verify()
    assert names_in(tmp_path) == ["other", "store"]


def test_an_unfinished_preparation_is_left_alone(store, tmp_path):
    place = workplace_of(tmp_path / "other")
    place.mkdir()
    (place / "journal.jsonl").write_text("{}\n")
    with pytest.raises(StoreError, match="unfinished preparation"):
        resplit(store, tmp_path / "other")
    assert (place / "journal.jsonl").read_text() == "{}\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split_by": "patients"}, "groups or slices"),
        ({"seed": -1}, "seed"),
        ({"repeat": -1}, "repeat"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "nothing for training"),
        ({"val_fraction": 0.0, "test_fraction": 0.0}, "nothing to split"),
        ({"test_fraction": float("nan")}, "test_fraction"),
    ],
)
def test_wrong_values(changes, message):
    with pytest.raises(ConfigError, match=message):
        ResplitConfig(Path("a"), Path("b"), **changes).validate()


def test_too_few_groups(store, tmp_path):
    first = resplit(store, tmp_path / "first")
    text = (first / "manifest.csv").read_text()
    for patient in range(2, PATIENTS):
        text = text.replace(f"patient:{patient},", f"patient:{patient % 2},")
    (first / "manifest.csv").write_text(text)
    with pytest.raises(DataError, match="one group"):
        resplit(first, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_command(store, tmp_path, capsys):
    out = tmp_path / "other"
    arguments = ["resplit", "--store", str(store.path), "--out", str(out), "--split-by", "slices", "--seed", "7"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "Split slice by slice" not in shown
    assert "split slice by slice" in shown
    other = SliceStore.open(out)
    assert json.loads((out / "store.json").read_text())["resplit"]["seed"] == 7
    assert f"test: {len(other.select('test', 0))} normal, {len(other.select('test', 1))} covid" in shown
    assert main([*arguments[:-1], "8"]) == 1
    assert "seed was 7, now 8" in capsys.readouterr().err


def test_single_slices_of_as_many_groups_part_nothing(tmp_path):
    write_phantom_store(tmp_path / "store", patients=12, slices_per_patient=1, size=32)
    other = SliceStore.open(resplit(tmp_path / "store", tmp_path / "other", split_by="slices"))
    [note] = [note for note in other.info["summary"]["notes"] if "slice by slice" in note]
    assert "no group has slices in several splits" in note
    assert "inflated" not in note
