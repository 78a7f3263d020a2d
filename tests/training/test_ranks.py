"""Runs on several processes: what one process would do, and an end that all share."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from plr_fast.errors import CheckpointError, ConfigError
from plr_fast.training import FinetuneConfig, PretrainConfig, TrainConfig, finetune, pretrain
from plr_fast.training.checkpoint import load_checkpoint
from plr_fast.training.launch import with_devices

from .conftest import assert_same_run
from .rank_processes import Ranks, command, started, wait_for_step

MakePretrain = Callable[..., PretrainConfig]
MakeFinetune = Callable[..., FinetuneConfig]


def train(folder: Path, config: TrainConfig, world_size: int) -> Ranks:
    """Run ``config`` on so many processes to its end."""
    with started(folder, [config] * world_size) as ranks:
        codes = ranks.wait()
    assert codes == [0] * world_size, ranks.said()
    return ranks


def assert_close_runs(first: Path, second: Path, tolerance: float = 2e-5) -> None:
    a, b = (load_checkpoint(run / "checkpoints/last") for run in (first, second))
    assert a.model.keys() == b.model.keys()
    for name, tensor in a.model.items():
        torch.testing.assert_close(b.model[name], tensor, rtol=1e-4, atol=tolerance, msg=name)
    rows = [result.state["progress"]["history"] for result in (a, b)]
    for left, right in zip(*rows, strict=True):
        for name in set(left) - {"seconds", "data_share"}:
            assert right[name] == pytest.approx(left[name], rel=1e-4, abs=1e-6), name


# 14 training samples in steps of 6: 6, 6, 2, of which the third of three ranks has none; 15: two ranks share 3
# unevenly. 3 validation slices.
@pytest.mark.parametrize(
    ("world_size", "shared", "changes"),
    [
        (2, {"batch_size": 3}, {"norm": "none", "optimizer": "sgd", "lr": 0.05, "samples_per_epoch": 15}),
        (3, {"batch_size": 2}, {"norm": "batch", "sync_norm": True, "optimizer": "sgd", "lr": 0.05, "num_workers": 1}),
        (3, {"batch_size": 1, "accumulate": 2}, {"norm": "none", "optimizer": "sgd", "lr": 0.05}),
    ],
    ids=["two", "three with shared norm", "three in micro-batches"],
)
def test_pretraining_on_many_is_pretraining_on_one(
    pretrain_config: MakePretrain, tmp_path: Path, world_size: int, shared: dict[str, Any], changes: dict[str, Any]
) -> None:
    many = pretrain_config("many", epochs=2, progress=True, tensorboard=True, **shared, **changes)
    one = pretrain_config("one", epochs=2, batch_size=6, **changes)
    ranks = train(tmp_path / "ranks", many, world_size)
    alone = train(tmp_path / "alone", one, 1)
    assert_close_runs(one.run, many.run)
    seen = [ranks.seen(rank) for rank in range(world_size)]
    assert len({rank["weights"] for rank in seen}) == 1  # bit for bit
    # Each sample is the same, wherever it is made, and all are there.
    together = {key: digest for rank in seen for key, digest in rank["samples"].items()}
    assert together == alone.seen(0)["samples"]
    assert all(rank["samples"].items() <= together.items() for rank in seen)
    # One writer.
    said = ranks.said()
    assert (
        said.count("training and 3 validation samples") == said.count("epoch 1:") == said.count("2 epochs, best") == 1
    )
    assert len(list((many.run / "logs").iterdir())) == 1
    record = json.loads((many.run / "config.json").read_text())
    assert len(record["starts"]) == 1
    assert (record["config"]["devices"], record["config"]["num_nodes"]) == (world_size, 1)
    with (many.run / "metrics.csv").open(newline="") as handle:
        assert len(list(csv.DictReader(handle))) == 2


def test_finetuning_on_two_is_finetuning_on_one(finetune_config: MakeFinetune, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"norm": "none", "optimizer": "sgd", "lr": 0.05, "class_weight": "balanced", "epochs": 2}
    many, one = finetune_config("many", batch_size=4, **changes), finetune_config("one", batch_size=8, **changes)
    finetune(one)
    train(tmp_path / "ranks", many, 2)
    assert_close_runs(one.run, many.run)


def test_a_run_goes_on_with_another_number_of_ranks_inside_an_epoch(
    pretrain_config: MakePretrain, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"norm": "none", "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "epochs": 2}
    straight = pretrain_config("straight", batch_size=6, **settings)
    pretrain(straight)
    moved = pretrain_config("moved", batch_size=2, accumulate=3, checkpoint_every=1, **settings)
    stopped_at = []
    for world_size, accumulate, step in ((3, 1, 2), (1, 3, 4)):
        config = replace(moved, accumulate=accumulate, resume=bool(stopped_at))
        with started(tmp_path / f"moved{step}", [config] * world_size) as ranks:
            wait_for_step(moved.run, lambda ranks=ranks: ranks.alive, step)  # type: ignore[misc]
            for process in ranks.processes:
                process.kill()
            ranks.wait()
        stopped_at.append(load_checkpoint(moved.run / "checkpoints/last").state["progress"])
    last = replace(moved, batch_size=3, accumulate=1, resume=True)
    train(tmp_path / "last", last, 2)
    assert_close_runs(straight.run, moved.run)
    with pytest.raises(CheckpointError, match="batch_size × accumulate × devices × num_nodes was 6, now 3"):
        pretrain(replace(last, epochs=3))


def test_a_signal_to_one_rank_saves_and_ends_all(pretrain_config: MakePretrain, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"batch_size": 2, "checkpoint_every": 2, "epochs": 6}
    straight, stopped = pretrain_config("straight", **settings), pretrain_config("stopped", **settings)
    ranks = train(tmp_path / "straight-ranks", straight, 2)
    assert ranks.seen(0)["weights"] == ranks.seen(1)["weights"]  # and the running statistics, each rank's own till then
    for rank, number, step in ((1, signal.SIGTERM, 4), (0, signal.SIGINT, 10)):
        with started(tmp_path / f"ranks{rank}", [replace(stopped, resume=rank == 0)] * 2) as ranks:
            wait_for_step(stopped.run, lambda ranks=ranks: ranks.alive, step)  # type: ignore[misc]
            victim = ranks.processes[rank].pid
            assert victim is not None
            os.kill(victim, number)
            codes = ranks.wait()
        assert codes == [128 + number] * 2
        said = ranks.said()
        assert said.count("interrupted and saved") == said.count("plr-fast: interrupted") == 1
        assert "Traceback" not in said
    train(tmp_path / "resumed", replace(stopped, resume=True), 2)
    assert_same_run(straight.run, stopped.run)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_the_others_with_one_message(
    pretrain_config: MakePretrain, tmp_path: Path, rank: int
) -> None:
    config = pretrain_config("killed", epochs=500, batch_size=2, checkpoint_every=1)
    with started(tmp_path / "ranks", [config] * 3) as ranks:
        wait_for_step(config.run, lambda: ranks.alive, 3)
        ranks.processes[rank].kill()
        codes = ranks.wait(30)
    assert codes.pop(rank) == -signal.SIGKILL
    assert codes == [1, 1]
    assert ranks.said().count("another process of this run has ended") == 1
    assert ranks.said().count("--resume") == 1
    assert "Traceback" not in ranks.said()
    assert load_checkpoint(config.run / "checkpoints/last").state["progress"]["step"] >= 3


def test_a_rank_that_hangs_is_given_up_in_time(pretrain_config: MakePretrain, tmp_path: Path) -> None:
    config = pretrain_config("hanging", epochs=500, batch_size=2, checkpoint_every=1, collective_timeout=2.0)
    with started(tmp_path / "ranks", [config] * 2) as ranks:
        wait_for_step(config.run, lambda: ranks.alive, 3)
        victim = ranks.processes[1].pid
        assert victim is not None
        os.kill(victim, signal.SIGSTOP)
        ranks.processes[0].join(30)
        assert ranks.processes[0].exitcode == 1
    assert "did not answer for 2 s (collective_timeout)" in ranks.said()


def test_an_error_of_one_rank_is_said_once_and_ends_all(pretrain_config: MakePretrain, tmp_path: Path) -> None:
    good = pretrain_config("mixed", batch_size=2)
    with started(tmp_path / "lost", [good, replace(good, store=tmp_path / "nowhere")]) as ranks:
        assert ranks.wait(30) == [1, 1]
    assert ranks.said().count("plr-fast pretrain:") == 1
    assert "nowhere" in ranks.said()
    assert not (good.run / "checkpoints").exists()
    (good.run / "thesis.txt").write_text("precious")  # the first rank's to refuse
    with started(tmp_path / "full", [good, good]) as ranks:
        assert ranks.wait(30) == [1, 1]
    assert ranks.said().count("plr-fast pretrain:") == ranks.said().count("not empty and holds no run") == 1


def test_ranks_with_other_data_are_refused(pretrain_config: MakePretrain, tmp_path: Path) -> None:
    from .conftest import write_store

    good = pretrain_config("mixed", batch_size=2)
    other = replace(good, store=write_store(tmp_path / "other", normals=8))
    with started(tmp_path / "ranks", [good, other]) as ranks:
        assert ranks.wait(30) == [1, 1]
    assert ranks.said().count("do not see the same data") == 1


def test_torchrun_passes_ctrl_c_on_and_the_command_itself_can_start_processes(
    pretrain_config: MakePretrain, tmp_path: Path
) -> None:
    """The two commands of the docs, as a shell runs them; Ctrl-C reaches torchrun and, twice, each rank."""
    config = pretrain_config("run", epochs=200, batch_size=2, checkpoint_every=1)
    words = [word.replace("--run", "--run-folder") if word == "--run" else word for word in command(config)]
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "plr_fast",
    ]
    process = subprocess.Popen(
        [*torchrun, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        wait_for_step(config.run, lambda: process.poll() is None, 3)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=180)
    finally:
        process.kill()
    assert process.returncode != 0
    assert output.count("interrupted and saved") == 1
    step = load_checkpoint(config.run / "checkpoints/last").state["progress"]["step"]
    more = command(replace(config, resume=True, epochs=step // 4 + 2, devices=2))
    done = subprocess.run(
        [sys.executable, "-m", "plr_fast", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("epochs, best validation MSE") == 1
    record = json.loads((config.run / "config.json").read_text())
    assert [start["step"] for start in record["starts"]] == [0, step]


def test_devices_come_from_torchrun_or_slurm_and_contradictions_are_refused(
    pretrain_config: MakePretrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = pretrain_config()
    assert (with_devices(config).devices, with_devices(config).num_nodes) == (1, 1)
    with pytest.raises(ConfigError, match="num_nodes=2 needs something that starts the processes of all machines"):
        with_devices(replace(config, num_nodes=2))
    assert with_devices(replace(config, devices=3)).devices == 3
    with monkeypatch.context() as patch:
        for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "GROUP_WORLD_SIZE": "2"}.items():
            patch.setenv(name, value)
        assert (with_devices(config).devices, with_devices(config).num_nodes) == (4, 2)
        assert with_devices(replace(config, devices=4)).num_nodes == 2
        with pytest.raises(
            ConfigError, match="devices=2 contradicts torchrun, which has started 4 processes on each of 2"
        ):
            pretrain(replace(config, devices=2))
        patch.setenv("WORLD_SIZE", "9")
        with pytest.raises(ConfigError, match="9 processes on 2 machines"):
            pretrain(config)
    for name, value in {"SLURM_NTASKS": "6", "SLURM_NNODES": "3", "SLURM_JOB_NAME": "train"}.items():
        monkeypatch.setenv(name, value)
    assert (with_devices(config).devices, with_devices(config).num_nodes) == (2, 3)
