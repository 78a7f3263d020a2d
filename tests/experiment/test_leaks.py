"""What the splits of an experiment share: looked for once, kept, and told in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plr_fast.data.leakage import LeakageReport, Memory, SharedBetween, leakage
from plr_fast.data.phantom.scans import thorax_phantom
from plr_fast.data.store import SliceRecord, SliceStore, StoreWriter
from plr_fast.errors import DataError
from plr_fast.experiment import leaks
from plr_fast.experiment.leakage_table import leakage_table
from plr_fast.experiment.leaks import keep_leaks, read_leaks
from plr_fast.experiment.results import CellKey
from plr_fast.experiment.tasks import CellTask


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    """Eight slices, the last of which, for testing, is the first once more."""
    chests = thorax_phantom(7, 1, 64, seed=8).slices
    path = tmp_path_factory.mktemp("leaks") / "store"
    with StoreWriter(path, size=64, count=8, class_names=("normal", "covid")) as writer:
        for number in range(8):
            split = "train" if number < 5 else "test"
            record = SliceRecord(id=f"s{number}", group=f"g{number}", split=split, label=number % 2)
            writer.add(chests[number % 7], np.ones((64, 64), np.bool_), record)
        writer.summary["unit"] = "file"
    return SliceStore.open(path)


def cell(store: SliceStore, *, dataset: str = "one", repeat: int = 0, split: str = "a") -> CellTask:
    unused: Any = None
    return CellTask(
        cell=CellKey(dataset, "RI", 1.0, repeat),
        out=unused,
        store=store.path,
        config=unused,
        control=None,
        needs=None,
        threshold=0.5,
        sha256="0" * 64,
        settings={},
        keep=False,
        size=64,
        samples=(5, 0),
        facts={"split_sha256": split},
    )


def test_they_are_looked_for_in_the_first_repeat_of_each_data_set_and_kept(
    store: SliceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_leaks(tmp_path) == []
    cells = [cell(store), cell(store, repeat=1, split="b"), cell(store, dataset="two", split="c")]
    found = keep_leaks(cells, tmp_path)
    assert [(one.dataset, one.repeat, one.split_sha256) for one in found] == [("one", 0, "a"), ("two", 0, "c")]
    assert found[0].report == leakage(store)
    assert found[0].report.pairs[0].equal == 1
    assert read_leaks(tmp_path) == found

    looked = []

    def look(name: str, _: SliceStore) -> LeakageReport:
        looked.append(name)
        return found[0].report

    monkeypatch.setattr(leaks, "_look", look)
    assert keep_leaks(cells, tmp_path) == found
    assert looked == []
    keep_leaks([cell(store, split="other"), *cells[2:]], tmp_path)
    assert looked == ["one"], "another split is looked at"


@pytest.mark.parametrize("text", ["{", "{}x", '[{"dataset": "one"}]', '["one"]'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "leakage.json").write_text(text)
    with pytest.raises(DataError, match=r"leakage.json is damaged .* delete it"):
        read_leaks(tmp_path)


def test_the_table_has_every_count() -> None:
    pairs = (
        SharedBetween("train", "val", 9, 0, 0, 0, 0, 0, 0),
        SharedBetween("train", "test", 1_007, 1, 2, 3, 4, 5, 6),
    )
    report = LeakageReport(pairs, Memory(1_000, 0.75, 0.5), "file")
    table = leakage_table({"phantom": report})
    assert [entry.text for entry in table.rows[1].entries] == ["train → test", "1,007", *"123456", "75.0%"]
    assert table.rows[1].entries[8].value == 0.75
    assert "50.0%" in table.rows[1].entries[8].note
    assert table.rows[0].entries[8].text == "–"
    assert table.notes == report.sentences()
    both = leakage_table({"one": report, "two": report})
    assert [row.section for row in both.rows] == ["one", "one", "two", "two"]
    assert both.notes[-1].startswith("two: ")
