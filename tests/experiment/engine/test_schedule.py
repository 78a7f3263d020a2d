"""The order of work, failures that take others along, and the time left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plr_fast.experiment.engine.grid import Grid
from plr_fast.experiment.engine.schedule import Schedule
from plr_fast.experiment.engine.tasks import CellTask, EncoderTask, Failed, Task
from plr_fast.experiment.results import CellKey, Plan
from plr_fast.training import FinetuneConfig, PretrainConfig

METHODS = ("RI", "PLR-P")


def encoder(repeat: int, **changes: Any) -> EncoderTask:
    config = PretrainConfig(store=Path("store"), run=Path("run"), epochs=2)
    values: dict[str, Any] = {"repeat": repeat, "dataset": "one", "keep": repeat == 0, "size": 8, "samples": (10, 2)}
    names: dict[str, Any] = {"key": f"p{repeat}", "kind": "pretrain", "place": "one", "methods": ("PLR-P",)}
    return EncoderTask(config=config, sha256="", **{**names, **values, **changes})


def cell(method: str, repeat: int, fraction: float = 1.0) -> CellTask:
    config = FinetuneConfig(store=Path("store"), run=Path("run"), epochs=2)
    return CellTask(
        cell=CellKey("one", method, fraction, repeat),
        out=Path("out"),
        store=Path("store"),
        config=config,
        control=None,
        needs=f"p{repeat}" if method == "PLR-P" else None,
        threshold=0.5,
        sha256="",
        settings={},
        keep=False,
        size=8,
        samples=(round(20 * fraction), 2),
    )


@pytest.fixture
def grid() -> Grid:
    cells = tuple(cell(method, repeat, fraction) for repeat in (1, 0) for method in METHODS for fraction in (0.1, 1.0))
    plan = Plan("", (), (), "RI", tuple(task.cell for task in cells), 0)
    return Grid(plan, {f"p{repeat}": encoder(repeat) for repeat in range(2)}, cells)


def work_off(schedule: Schedule, seconds: float = 1.0) -> list[str]:
    """Do all one by one; returns the keys in the order of work."""
    order = []
    while (task := schedule.next()) is not None:
        schedule.begin(task)
        schedule.finish(task, seconds)
        order.append(task.key)
    return order


def test_encoders_first_long_before_short_repeat_by_repeat(grid: Grid) -> None:
    order = work_off(Schedule(grid, (), ()))
    assert order == [
        *("p0", "one--plr-p--1--0", "one--ri--1--0", "one--plr-p--0.1--0", "one--ri--0.1--0"),
        *("p1", "one--plr-p--1--1", "one--ri--1--1", "one--plr-p--0.1--1", "one--ri--0.1--1"),
    ]


def test_workers_need_not_wait_for_an_encoder(grid: Grid) -> None:
    schedule = Schedule(grid, (), ())
    begun: list[Task] = []
    while (task := schedule.next()) is not None:
        schedule.begin(task)
        begun.append(task)
    assert [task.key for task in begun] == [
        *("p0", "one--ri--1--0", "one--ri--0.1--0", "p1", "one--ri--1--1", "one--ri--0.1--1"),
    ]
    assert not schedule.over
    schedule.finish(begun[0], 1.0)
    assert schedule.next() is not None


def test_encoders_that_no_open_cell_needs_are_not_trained(grid: Grid) -> None:
    done = {task.key for task in grid.cells if task.repeat == 1 or task.cell.method == "RI"}
    schedule = Schedule(grid, done, ())
    assert (schedule.total, schedule.cells_done) == (8, 6)
    assert work_off(schedule) == ["p0", "one--plr-p--1--0", "one--plr-p--0.1--0"]
    assert work_off(Schedule(grid, done, ["p0"])) == ["one--plr-p--1--0", "one--plr-p--0.1--0"]
    assert work_off(Schedule(grid, (), (), only=["RI"])) == [task.key for task in sorted_ri(grid)]


def sorted_ri(grid: Grid) -> list[CellTask]:
    found = [task for task in grid.cells if task.cell.method == "RI"]
    return sorted(found, key=lambda task: (task.repeat, -task.cost))


def test_an_encoder_goes_when_the_last_cell_that_needs_it_is_done_unless_it_is_kept(grid: Grid) -> None:
    schedule = Schedule(grid, (), ())
    gone = []
    while (task := schedule.next()) is not None:
        schedule.begin(task)
        spent = schedule.finish(task, 1.0)
        gone += [(task.key, spent.key)] if spent is not None else []
    assert gone == [("one--plr-p--0.1--1", "p1")]


def test_a_failed_encoder_takes_its_cells_along_and_no_others(grid: Grid) -> None:
    schedule = Schedule(grid, (), ())
    task = schedule.next()
    assert task is not None
    schedule.begin(task)
    schedule.fail(task, Failed("broken"))
    assert set(schedule.failed) == {"p0", "one--plr-p--1--0", "one--plr-p--0.1--0"}
    assert "pretraining · repeat 0 failed" in schedule.failed["one--plr-p--1--0"][1].message
    assert len(work_off(schedule)) == 7
    assert schedule.over


def test_the_time_left_comes_from_tasks_alike(grid: Grid) -> None:
    schedule = Schedule(grid, (), ())
    assert schedule.seconds_left(1, {}) is None
    first = schedule.next()
    assert isinstance(first, EncoderTask)
    schedule.begin(first)
    schedule.finish(first, 30.0)
    # Nothing is known of cells yet: by cost. The encoder's is 3 × 2 × (30 + 2) × 64 = 12,288, and took 30 s.
    assert schedule.seconds_left(1, {}) == pytest.approx(30.0 + 30.0 * 4 * (7936 + 1024) / 12288)
    for _ in range(2):
        task = schedule.next()
        assert task is not None
        schedule.begin(task)
        schedule.finish(task, 62.0)  # cost: 2 epochs × (3 × 20 + 2) × 64
    # Left: of repeat 0 two of 10 %, of repeat 1 the encoder, two of 100 % and two of 10 %. 10 %: 8 / 62 of the cost.
    expected = 30.0 + 2 * 62.0 + 4 * 8.0
    assert schedule.seconds_left(1, {}) == pytest.approx(expected)
    assert schedule.seconds_left(2, {}) == pytest.approx(expected / 2)
    task = schedule.next()
    assert task is not None
    schedule.begin(task)
    assert schedule.seconds_left(1, {task.key: 0.5}) == pytest.approx(expected - 4.0)
