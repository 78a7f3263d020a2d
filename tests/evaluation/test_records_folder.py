"""An evaluation does not mix its files with others, nor replace what it has not made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plr_fast.errors import ConfigError
from plr_fast.evaluation.records import check_folder


def test_new_empty_and_own_folders_are_taken(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    (tmp_path / ".evaluation-x").mkdir()  # left by a kill
    (tmp_path / "figures").mkdir()
    (tmp_path / "report.html").write_text("half an evaluation, killed while it was moved into place")
    check_folder(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"plr_fast": "0.1.0"}))
    (tmp_path / "my-notes.txt").write_text("beside an evaluation anything may lie")
    check_folder(tmp_path)


@pytest.mark.parametrize("content", ["{}", "[1]", "not JSON"])
def test_foreign_results_are_not_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ConfigError, match="is not from an evaluation"):
        check_folder(tmp_path)


def test_folders_with_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "slices.npy").write_text("")
    with pytest.raises(ConfigError, match=r"holds other files \(slices\.npy\)"):
        check_folder(tmp_path)
