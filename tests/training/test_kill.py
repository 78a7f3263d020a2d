"""SIGKILL and Ctrl-C against real processes, at moments that nobody chose."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plr_fast.training import FinetuneConfig, PretrainConfig, TrainConfig, finetune, pretrain
from plr_fast.training.record import read_record

from .conftest import assert_same_run
from .rank_processes import PRELOAD, context, wait_for_step

# What a user's script would say; settings come as JSON.
SCRIPT = """
import json, sys
from pathlib import Path
from plr_fast.training import PretrainConfig, TrainingInterrupted, pretrain
values = json.loads(sys.argv[1])
for name in ("widths", "count", "patch"):
    values[name] = tuple(values[name])
values |= {"store": Path(values["store"]), "run": Path(values["run"])}
try:
    pretrain(PretrainConfig(**values))
except TrainingInterrupted as stop:
    print(stop)
    sys.exit(128 + stop.signal)
"""


def wait_for_a_save(run: Path, alive: Callable[[], bool]) -> None:
    """Wait until a checkpoint is being written."""
    deadline = time.monotonic() + 60
    while not (run / "checkpoints/.last.new").exists():
        assert alive(), "the run ended by itself"
        assert time.monotonic() < deadline, "nothing was saved"


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("pretrain", {"optimizer": "adam"}),
        ("pretrain", {"num_workers": 2, "optimizer": "sgd", "momentum": 0.9, "accumulate": 2}),
        ("finetune", {"num_workers": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.get('num_workers', 0)} workers",
)
def test_killed_again_and_again_the_run_ends_with_the_same_bits(
    kind: str,
    changes: dict[str, Any],
    pretrain_config: Callable[..., PretrainConfig],
    finetune_config: Callable[..., FinetuneConfig],
    uninterrupted: Callable[..., Path],
) -> None:
    train, make = (pretrain, pretrain_config) if kind == "pretrain" else (finetune, finetune_config)
    killed = make("killed", epochs=8, checkpoint_every=1, early_stop=0, resume=True, **changes)
    # Children of a server that has the imports done: a new interpreter for each kill would take seconds.
    context.set_forkserver_preload(PRELOAD)
    chance = random.Random(kind)
    starts = [0]
    for step in (2, 5, 8, 11):
        process = context.Process(target=forking, args=(train, killed))
        process.start()
        try:
            wait_for_step(killed.run, process.is_alive, step)
            if step % 2:
                wait_for_a_save(killed.run, process.is_alive)
            time.sleep(chance.uniform(0, 0.02))
        finally:
            process.kill()
            process.join()
        assert process.exitcode == -signal.SIGKILL
        starts.append(step)
    assert not (killed.run / "summary.json").exists()
    train(killed)  # type: ignore[operator]
    assert_same_run(uninterrupted(kind, epochs=8, early_stop=0, **changes), killed.run)
    begun = [entry["step"] for entry in read_record(killed.run)["starts"]]
    assert len(begun) == len(starts)
    assert all(left >= right for left, right in zip(begun, starts, strict=True))


def forking(train: Callable[[TrainConfig], object], config: TrainConfig) -> None:
    # A process of a fork server would start its workers from another one, with the imports still to do.
    multiprocessing.set_start_method("fork", force=True)
    train(config)


def test_ctrl_c_on_a_process_saves_and_says_how_to_go_on(
    pretrain_config: Callable[..., PretrainConfig], uninterrupted: Callable[..., Path]
) -> None:
    stopped = pretrain_config("stopped", epochs=15, checkpoint_every=3, num_workers=1)
    command = [sys.executable, "-c", SCRIPT, json.dumps(stopped.to_json())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_step(stopped.run, lambda: process.poll() is None, 6)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert "--resume" in output
    assert "--resume" in errors
    assert "Traceback" not in errors
    pretrain(replace(stopped, resume=True))
    assert_same_run(uninterrupted("pretrain", epochs=15), stopped.run)
