"""The results of an experiment on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plr_fast.errors import DataError
from plr_fast.experiment.results import CellKey, read_cell, read_results

from .factory import make_results


def test_what_was_written_is_read_again_to_the_last_bit(tmp_path: Path) -> None:
    written = make_results(tmp_path, write=True)
    found = read_results(tmp_path)
    assert found.plan == written.plan
    assert [cell.key for cell in found.cells] == [cell.key for cell in written.cells]
    for ours, theirs in zip(found.cells, written.cells, strict=True):
        np.testing.assert_array_equal(ours.scores, theirs.scores)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.groups, theirs.groups)
        assert ours.facts == theirs.facts


def test_a_cell_that_is_not_finished_is_missing(tmp_path: Path) -> None:
    gone = CellKey("sars", "PLR-P", 0.1, 2)
    make_results(tmp_path, write=True, missing=[gone])
    assert read_results(tmp_path).missing == (gone,)
    assert read_cell(tmp_path, gone) is None


def test_cells_of_all_methods_have_files_of_their_own() -> None:
    keys = [CellKey("a", name, 0.1, 0) for name in ("PLR", "PLR+", "PLR-P", "PLR P2")]
    assert len({key.file_name for key in keys}) == len(keys)


def test_select_takes_what_was_asked_for(tmp_path: Path) -> None:
    results = make_results(tmp_path, datasets=("sars", "ucsd"))
    chosen = results.select(dataset="ucsd", method="RI", fraction=0.1)
    assert [cell.key for cell in chosen] == [CellKey("ucsd", "RI", 0.1, repeat) for repeat in range(3)]


@pytest.mark.parametrize("harm", ["truncated", "row", "other cell", "version"])
def test_damage_is_named(tmp_path: Path, harm: str) -> None:
    key = make_results(tmp_path, write=True).cells[0].key
    path = tmp_path / "cells" / f"{key.file_name}.json"
    found = json.loads(path.read_text())
    if harm == "truncated":
        path.write_text("{")
    elif harm == "row":
        table = path.with_suffix(".csv")
        table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    elif harm == "other cell":
        path.write_text(json.dumps({**found, "key": {**found["key"], "repeat": 7}}))
    else:
        path.write_text(json.dumps({**found, "format_version": 99}))
    with pytest.raises(DataError, match=key.file_name):
        read_results(tmp_path)


def test_a_folder_without_an_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"plan\.json"):
        read_results(tmp_path)
