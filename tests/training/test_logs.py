"""Logs: the CSV reads back exactly; events survive a resumption; a failing event log does not end training."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from plr_fast.training.logs import EventLog, write_metrics


def test_csv_reads_back_exactly(tmp_path: Path) -> None:
    history = [
        {"epoch": 1, "loss": 1 / 3, "auroc": None},
        {"epoch": 2, "loss": 1.2345678901234567e-20, "auroc": 0.5},
    ]
    write_metrics(tmp_path / "metrics.csv", history)
    with (tmp_path / "metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in history]
    assert [row["auroc"] for row in rows] == ["", "0.5"]


def test_no_epoch_is_an_empty_file(tmp_path: Path) -> None:
    write_metrics(tmp_path / "metrics.csv", [])
    assert (tmp_path / "metrics.csv").read_text() == ""


def test_events_beyond_the_checkpoint_are_hidden_after_a_resumption(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = EventLog(tmp_path, step=0)
    for step in (1, 2, 3, 4):
        first.add({"loss": float(step), "auroc": None}, step, prefix="epoch/")
    first.close()
    time.sleep(1.1)  # the files' names order them by whole seconds
    second = EventLog(tmp_path, step=2)  # the last checkpoint before a kill was at step 2
    second.add({"loss": 30.0}, 3, prefix="epoch/")
    second.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["scalars"] == ["epoch/loss"]
    assert [(event.step, event.value) for event in events.Scalars("epoch/loss")] == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_switched_off_it_writes_nothing(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "logs", step=0, enabled=False)
    log.add({"loss": 1.0}, 1)
    log.flush()
    log.close()
    assert not (tmp_path / "logs").exists()


def test_a_failing_log_is_said_once_and_then_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    log = EventLog(tmp_path / "logs", step=0)
    log.add({"loss": 1.0}, 1)
    log.close()
    assert capsys.readouterr().err.count("Training goes on") == 1
