"""What splits share is looked for once, kept, and looked for again when it must be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from plr_fast.data.leakage import leakage
from plr_fast.data.prepare import write_phantom_store
from plr_fast.data.store import SliceStore
from plr_fast.errors import DataError
from plr_fast.experiment.engine import leaks
from plr_fast.experiment.engine.grid import build_grid
from plr_fast.experiment.engine.leaks import FILE, keep_leaks, read_leaks
from plr_fast.experiment.engine.tasks import CellTask
from plr_fast.experiment.planning.plan_reader import load_experiment

TEXT = """\
finetune: {widths: [2, 2, 4, 4, 4]}
seed: SEED
datasets:
  - {name: whole, store: STORE, repeats: 2, test_fraction: 0.25}
  - {name: single, store: STORE, split_by: slices, repeats: 2, test_fraction: 0.25}
methods: [{name: RI, kind: paper}]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("leaks") / "store"
    write_phantom_store(path, patients=16, slices_per_patient=3, size=32)
    return path


def cells_of(store: Path, out: Path, seed: int = 0) -> Sequence[CellTask]:
    out.mkdir(exist_ok=True)
    plan = out.parent / "plan.yaml"
    plan.write_text(TEXT.replace("STORE", str(store)).replace("SEED", str(seed)))
    return build_grid(load_experiment(plan), out).cells


def test_the_first_repeat_of_each_data_set_is_looked_at(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cells = cells_of(store, out)
    found = keep_leaks(cells, out)
    assert [(one.dataset, one.repeat) for one in found] == [("whole", 0), ("single", 0)]
    for one in found:
        task = next(task for task in cells if task.cell.dataset == one.dataset)
        assert one.split_sha256 == task.facts["split_sha256"]
        assert one.report == leakage(SliceStore.open(task.store))
    whole, single = ({(p.first, p.second): p for p in one.report.pairs} for one in found)
    assert whole["train", "test"].patients == 0
    assert single["train", "test"].patients > 0
    assert read_leaks(out) == found


def test_only_other_splits_are_looked_at_again(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    first = keep_leaks(cells_of(store, out), out)
    asked: list[str] = []

    def look(name: str, store: SliceStore) -> object:
        asked.append(name)
        return leakage(store)

    monkeypatch.setattr(leaks, "_look", look)
    assert keep_leaks(cells_of(store, out), out) == first
    assert asked == []
    keep_leaks([task for task in cells_of(store, out) if task.cell.dataset == "single"], out)
    assert [one.dataset for one in read_leaks(out)] == ["single"]
    others = keep_leaks(cells_of(store, out, seed=1), out)
    assert asked == ["whole", "single"]
    assert {one.split_sha256 for one in others}.isdisjoint(one.split_sha256 for one in first)


@pytest.mark.parametrize("text", ["{", "[1]", '[{"dataset": "whole"}]', '{"whole": 1}', "null", b"\xff"])
def test_a_damaged_file_is_named_and_made_anew(store: Path, tmp_path: Path, text: str | bytes) -> None:
    out = tmp_path / "out"
    cells = [task for task in cells_of(store, out) if task.cell.dataset == "single"]
    (out / FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=r"leakage\.json is damaged .* delete it"):
        read_leaks(out)
    found = keep_leaks(cells, out)
    assert read_leaks(out) == found
    assert json.loads((out / FILE).read_text())[0]["dataset"] == "single"


def test_nothing_was_looked_at(tmp_path: Path) -> None:
    assert read_leaks(tmp_path) == []
