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

from plr_fast.training import PretrainConfig, pretrain
from plr_fast.training.record import read_record

from .conftest import assert_same_run
from .rank_processes import wait_for_step

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


def test_killed_again_and_again_the_run_ends_with_the_same_bits(
    pretrain_config: Callable[..., PretrainConfig], uninterrupted: Callable[..., Path]
) -> None:
    killed = pretrain_config("killed", epochs=15, checkpoint_every=3, resume=True)
    # Children of a server that has the imports done: a new interpreter for each kill would take seconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightning_fabric", "plr_fast.training", "plr_fast.data.datasets"])
    chance = random.Random(0)
    for step in (8, 20, 35):
        process = context.Process(target=pretrain, args=(killed,))
        process.start()
        try:
            wait_for_step(killed.run, process.is_alive, step)
            time.sleep(chance.uniform(0, 0.1))
        finally:
            process.kill()
            process.join()
        assert process.exitcode == -signal.SIGKILL
    assert not (killed.run / "summary.json").exists()
    pretrain(killed)
    assert_same_run(uninterrupted("pretrain", epochs=15), killed.run)
    starts = [entry["step"] for entry in read_record(killed.run)["starts"]]
    assert starts[0] == 0
    assert all(start >= step for start, step in zip(starts[1:], (8, 20, 35), strict=True))


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
