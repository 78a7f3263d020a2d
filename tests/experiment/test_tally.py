"""What cells come to together: each thing once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from plr_fast.experiment.results import CellResult
from plr_fast.experiment.tally import cell_warnings, counted, duration, time_spent
from tests.experiment.factory import make_results


def told(cells: tuple[CellResult, ...], **facts: object) -> list[CellResult]:
    return [replace(cell, facts={**cell.facts, **facts}) for cell in cells]


def test_an_encoder_that_cells_share_counts_once(tmp_path: Path) -> None:
    cells = make_results(tmp_path, fractions=(1.0,), repeats=2).cells  # 8 of 1.5 s, each with a pretraining of 3 s
    begin = "Fitting and judging 8 classifiers took 12 s"
    end = ", added up over workers"
    assert time_spent(cells) == f"{begin}, and 8 pretrainings 24 s{end}"
    assert time_spent(told(cells, pretrain="one")) == f"{begin}, and 1 pretraining 3 s{end}"
    assert time_spent(told(cells, pretrain_run="runs/one")) == f"{begin}, and 1 pretraining 3 s{end}"
    assert time_spent([*told(cells[:4], pretrain="one"), *told(cells[4:], pretrain="two")]) == (
        f"{begin}, and 2 pretrainings 6 s{end}"
    )
    assert time_spent(told(cells, pretrain_seconds=None)) == begin + end


def test_a_warning_is_told_once_with_its_cells(tmp_path: Path) -> None:
    cells = make_results(tmp_path, fractions=(1.0,), repeats=2).cells
    several = [*told(cells[:1], warnings=["b.", "a", "b."]), *told(cells[1:3], warnings=["a"]), *cells[3:]]
    assert cell_warnings(several) == ["b (1 of 8 results)", "a (3 of 8 results)"]
    assert cell_warnings(told(cells[:1], warnings="alone")) == ["alone"]
    assert cell_warnings(cells) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (720, "12 min"),
        (5369, "89 min"),
        (5400, "1 h 30 min"),
        (12000, "3 h 20 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_counted() -> None:
    assert [counted(number, "slice") for number in (0, 1, 1200)] == ["0 slices", "1 slice", "1,200 slices"]
