"""Stopping and going on: the same bits as without the stop, wherever it comes; or a clear refusal."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from plr_fast.errors import CheckpointError, StorageError
from plr_fast.models import UNet
from plr_fast.training import (
    FinetuneConfig,
    PretrainConfig,
    TrainConfig,
    TrainingInterrupted,
    finetune,
    load_unet,
    pretrain,
)
from plr_fast.training import checkpoint as checkpoint_module
from plr_fast.training.checkpoint import load_checkpoint
from plr_fast.training.finetuning import FinetuneTask
from plr_fast.training.pretraining import PretrainTask, RestorationMeter
from plr_fast.training.state import Keeper, State

from .conftest import assert_same_run, write_store
from .test_checkpoint import files_at_most

MakePretrain = Callable[..., PretrainConfig]
MakeFinetune = Callable[..., FinetuneConfig]
Uninterrupted = Callable[..., Path]


def call_at(patch: pytest.MonkeyPatch, owner: type, method: str, number: int, action: Callable[[], None]) -> None:
    """Do ``action`` at the beginning of the ``number``-th call of a method."""
    original, calls = getattr(owner, method), 0

    def counted(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            action()
        return original(self, *arguments)

    patch.setattr(owner, method, counted)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def start(config: TrainConfig) -> None:
    if isinstance(config, PretrainConfig):
        pretrain(config)
    else:
        assert isinstance(config, FinetuneConfig)
        finetune(config)


def stop_and_resume(config: TrainConfig, owner: type, method: str, number: int) -> dict[str, Any]:
    """Ctrl-C at a call, then resume; returns the progress that was saved in between."""
    with pytest.MonkeyPatch.context() as patch:
        call_at(patch, owner, method, number, press_ctrl_c)
        with pytest.raises(TrainingInterrupted, match="--resume"):
            start(config)
    progress: dict[str, Any] = load_checkpoint(config.run / "checkpoints/last").state["progress"]
    start(replace(config, resume=True))
    return progress


# 14 normals in batches of 4: four steps an epoch, the last of two samples.
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("step", [1, 3, 4, 6, 12])
def test_ctrl_c_in_pretraining_changes_no_bit(
    pretrain_config: MakePretrain, uninterrupted: Uninterrupted, optimizer: str, step: int
) -> None:
    changes: dict[str, Any] = {"optimizer": optimizer, "momentum": 0.9 if optimizer == "sgd" else 0.0}
    stopped = pretrain_config("stopped", **changes)
    progress = stop_and_resume(stopped, PretrainTask, "loss", step)
    assert progress["step"] == step  # the step was finished
    assert_same_run(uninterrupted("pretrain", **changes), stopped.run)


@pytest.mark.parametrize("step", [2, 5, 8])
def test_ctrl_c_in_finetuning_changes_no_bit(
    finetune_config: MakeFinetune, uninterrupted: Uninterrupted, step: int
) -> None:
    changes: dict[str, Any] = {"class_weight": "balanced", "plateau_patience": 0}
    stopped = finetune_config("stopped", **changes)
    progress = stop_and_resume(stopped, FinetuneTask, "loss", step)
    assert progress["step"] == step
    assert_same_run(uninterrupted("finetune", **changes), stopped.run)


def test_ctrl_c_in_validation_changes_no_bit(pretrain_config: MakePretrain, uninterrupted: Uninterrupted) -> None:
    stopped = pretrain_config("stopped")
    progress = stop_and_resume(stopped, RestorationMeter, "update", 2)
    assert (progress["epoch"], progress["samples"]) == (1, 14)
    assert_same_run(uninterrupted("pretrain"), stopped.run)


def test_ctrl_c_too_late_to_stop_the_run_still_stops_the_caller(pretrain_config: MakePretrain) -> None:
    straight, stopped = pretrain_config("straight", epochs=1), pretrain_config("stopped", epochs=1)
    pretrain(straight)
    stop_and_resume(stopped, RestorationMeter, "compute", 1)
    assert_same_run(straight.run, stopped.run)


def test_sigterm_is_a_stop_like_ctrl_c(pretrain_config: MakePretrain, monkeypatch: pytest.MonkeyPatch) -> None:
    call_at(monkeypatch, PretrainTask, "loss", 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(TrainingInterrupted) as caught:
        pretrain(pretrain_config())
    assert caught.value.signal == signal.SIGTERM
    assert isinstance(caught.value, KeyboardInterrupt)


def test_ctrl_c_with_workers_changes_no_bit(pretrain_config: MakePretrain, uninterrupted: Uninterrupted) -> None:
    stopped = pretrain_config("stopped", num_workers=1)
    stop_and_resume(stopped, PretrainTask, "loss", 6)
    assert_same_run(uninterrupted("pretrain"), stopped.run)


@pytest.mark.parametrize("flush", [1, 4, 6, 8, 12, 17, 22, 27, 29])
def test_a_kill_at_any_flush_changes_no_bit(
    pretrain_config: MakePretrain, uninterrupted: Uninterrupted, flush: int
) -> None:
    """The process vanishes at the n-th flush to disk: in the first, a mid-epoch, a best or an epoch's last save."""

    class Killed(BaseException):
        pass

    straight, killed = uninterrupted("pretrain", epochs=2), pretrain_config("killed", epochs=2, checkpoint_every=3)
    left = flush

    def sync(_path: Path) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_module, "sync", sync)
        with pytest.raises(Killed):
            pretrain(killed)
    pretrain(replace(killed, resume=True))
    assert_same_run(straight, killed.run)
    assert sorted(path.name for path in (killed.run / "checkpoints").iterdir()) == ["best", "last"]
    best = [load_checkpoint(run / "checkpoints/best") for run in (straight, killed.run)]
    assert all(torch.equal(tensor, best[1].model[name]) for name, tensor in best[0].model.items())


def test_metrics_have_each_epoch_once_after_many_stops(
    pretrain_config: MakePretrain, uninterrupted: Uninterrupted
) -> None:
    config = pretrain_config(epochs=4, checkpoint_every=1, tensorboard=True)
    for step in (2, 1, 5, 4):  # counted from each start
        with pytest.MonkeyPatch.context() as patch:
            call_at(patch, PretrainTask, "loss", step, press_ctrl_c)
            with pytest.raises(TrainingInterrupted):
                pretrain(config)
        config = replace(config, resume=True)
    pretrain(config)
    tables = []
    for run in (config.run, uninterrupted("pretrain", epochs=4)):
        with (run / "metrics.csv").open(newline="") as handle:
            tables.append([{**row, "seconds": "", "data_share": ""} for row in csv.DictReader(handle)])
    assert tables[0] == tables[1]
    assert [row["epoch"] for row in tables[0]] == ["1", "2", "3", "4"]
    starts = json.loads((config.run / "config.json").read_text())["starts"]
    assert [entry["step"] for entry in starts] == [0, 2, 3, 8, 12]


def test_time_triggers_a_save_within_an_epoch(pretrain_config: MakePretrain, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    save = checkpoint_module.save_checkpoint

    def watched(folder: Path, content: Any) -> None:
        if folder.name == "last":
            saved.append(content.state["progress"]["step"])
        save(folder, content)

    monkeypatch.setattr("plr_fast.training.state.save_checkpoint", watched)
    pretrain(pretrain_config(epochs=1, checkpoint_seconds=1e-9))
    # Before any step, after each of four, and once more when the epoch is closed.
    assert saved == [0, 1, 2, 3, 4, 4]


def test_more_epochs_go_on_from_a_finished_run(pretrain_config: MakePretrain, uninterrupted: Uninterrupted) -> None:
    extended = pretrain_config("extended", epochs=2)
    pretrain(extended)
    result = pretrain(replace(extended, epochs=4, resume=True))
    assert result.epochs == 4
    assert_same_run(uninterrupted("pretrain", epochs=4), extended.run)


def test_resuming_a_finished_run_gives_its_result(pretrain_config: MakePretrain) -> None:
    config = pretrain_config()
    first = pretrain(config)
    state = (config.run / "checkpoints/last/state.json").read_bytes()
    again = pretrain(replace(config, resume=True))
    assert (again.epochs, again.best_metric, again.best) == (first.epochs, first.best_metric, first.best)
    assert (config.run / "checkpoints/last/state.json").read_bytes() == state


def test_nothing_to_resume_starts_from_the_beginning(
    pretrain_config: MakePretrain, uninterrupted: Uninterrupted
) -> None:
    resumed = pretrain_config("resumed", resume=True)
    pretrain(resumed)
    assert_same_run(uninterrupted("pretrain"), resumed.run)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 0.02}, r"lr was 0\.001, now 0\.02"),
        ({"seed": 3, "norm": "none"}, "seed was 0, now 3; norm was 'batch', now 'none'"),
        ({"widths": (2, 3, 4, 4, 8)}, r"widths was \[2, 3, 4, 4, 4\], now \[2, 3, 4, 4, 8\]"),
        ({"blend": "max"}, "blend was 'replace', now 'max'"),
        ({"batch_size": 7}, "batch_size × accumulate × devices × num_nodes was 4, now 7"),
    ],
)
def test_another_configuration_is_refused_by_field(
    pretrain_config: MakePretrain, changes: dict[str, Any], words: str
) -> None:
    config = pretrain_config(epochs=1)
    pretrain(config)
    state = (config.run / "checkpoints/last/state.json").read_bytes()
    with pytest.raises(CheckpointError, match=words):
        pretrain(replace(config, epochs=2, resume=True, **changes))
    assert (config.run / "checkpoints/last/state.json").read_bytes() == state
    assert json.loads((config.run / "config.json").read_text())["config"]["epochs"] == 1


def test_other_data_are_refused(pretrain_config: MakePretrain, tmp_path: Path) -> None:
    config = pretrain_config(epochs=1)
    pretrain(config)
    other = write_store(tmp_path / "other", normals=8)
    with pytest.raises(CheckpointError, match=r"store_fingerprint was [0-9a-f]{12}…, now [0-9a-f]{12}…"):
        pretrain(replace(config, store=other, epochs=2, resume=True))


def test_the_same_data_elsewhere_are_accepted(pretrain_config: MakePretrain, tmp_path: Path) -> None:
    config = pretrain_config(epochs=1)
    pretrain(config)
    moved = tmp_path / "moved"
    shutil.copytree(config.store, moved)
    assert pretrain(replace(config, store=moved, epochs=2, resume=True)).epochs == 2


def test_a_run_of_the_other_kind_is_refused(pretrain_config: MakePretrain, finetune_config: MakeFinetune) -> None:
    config = pretrain_config("shared", epochs=1)
    pretrain(config)
    with pytest.raises(CheckpointError, match="holds a pretrain run, not a finetune run"):
        finetune(finetune_config("shared", resume=True))


def test_a_finetuning_run_resumes_without_its_pretraining_run(
    pretrain_config: MakePretrain, finetune_config: MakeFinetune
) -> None:
    before = pretrain_config(epochs=1)
    pretrain(before)
    straight, stopped = (finetune_config(name, init=str(before.run)) for name in ("straight", "stopped"))
    finetune(straight)
    with pytest.MonkeyPatch.context() as patch:
        call_at(patch, FinetuneTask, "loss", 3, press_ctrl_c)
        with pytest.raises(TrainingInterrupted):
            finetune(stopped)
    with pytest.raises(CheckpointError, match=r"init was .*, now 'random'"):
        finetune(replace(stopped, resume=True, init="random"))
    shutil.rmtree(before.run)
    finetune(replace(stopped, resume=True))
    assert_same_run(straight.run, stopped.run)
    assert len(json.loads((stopped.run / "config.json").read_text())["init_sha256"]) == 64


def test_another_pretrained_encoder_is_refused(pretrain_config: MakePretrain, finetune_config: MakeFinetune) -> None:
    runs = [pretrain_config(f"p{seed}", epochs=1, seed=seed) for seed in (0, 1)]
    for run in runs:
        pretrain(run)
    config = finetune_config(init=str(runs[0].run), epochs=1)
    finetune(config)
    with pytest.raises(CheckpointError, match="init_sha256 was"):
        finetune(replace(config, init=str(runs[1].run), epochs=2, resume=True))


def test_a_damaged_checkpoint_is_refused_by_name(pretrain_config: MakePretrain) -> None:
    config = pretrain_config(epochs=1)
    pretrain(config)
    path = config.run / "checkpoints/last/optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match=r"optimizer\.safetensors is damaged"):
        pretrain(replace(config, epochs=2, resume=True))


def test_a_full_disk_keeps_the_last_checkpoint_and_resuming_changes_no_bit(
    pretrain_config: MakePretrain, uninterrupted: Uninterrupted
) -> None:
    stopped = pretrain_config("stopped", checkpoint_every=1, tensorboard=True)
    step = PretrainTask.loss
    calls = 0

    def filling(self: PretrainTask, *arguments: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 6:
            limit.__enter__()
        return step(self, *arguments)

    limit = files_at_most(2048)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PretrainTask, "loss", filling)
            with pytest.raises(StorageError, match="nothing was overwritten"):
                pretrain(stopped)
    finally:
        limit.__exit__(None, None, None)
    assert load_checkpoint(stopped.run / "checkpoints/last").state["progress"]["step"] == 5
    assert isinstance(load_unet(stopped.run), UNet)
    pretrain(replace(stopped, resume=True))
    assert_same_run(uninterrupted("pretrain"), stopped.run)


def test_too_little_room_is_said_before_training(
    pretrain_config: MakePretrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**6, 10**6 - 100, 100))  # type: ignore[attr-defined]
    call_at(monkeypatch, PretrainTask, "loss", 1, lambda: pytest.fail("training began"))
    with pytest.raises(StorageError, match=r"saving the checkpoints needs .* MiB"):
        pretrain(pretrain_config())


def test_saving_at_the_end_only_gives_the_same_run(
    uninterrupted: Callable[..., Path], pretrain_config: Callable[..., PretrainConfig]
) -> None:
    straight = uninterrupted("pretrain", epochs=2)
    seldom = pretrain_config("seldom", epochs=2, checkpoint_epochs=0)
    pretrain(seldom)
    assert_same_run(Path(seldom.run), straight)


def test_between_saves_no_epoch_is_written(
    pretrain_config: Callable[..., PretrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[tuple[int, int]] = []
    save = Keeper.save_last

    def note(keeper: Keeper, state: State, loss_sum: float) -> None:
        saved.append((state.epoch, state.samples))
        save(keeper, state, loss_sum)

    monkeypatch.setattr(Keeper, "save_last", note)
    pretrain(pretrain_config("second", epochs=5, early_stop=0, checkpoint_epochs=2))
    assert saved == [(0, 0), (2, 0), (4, 0), (5, 0)]
