"""Pretraining end to end: it learns, on training normals only, and leaves what it promises."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plr_fast import LesionBank
from plr_fast.data.datasets import PseudoLesionDataset
from plr_fast.data.store import SliceStore
from plr_fast.errors import ConfigError, DataError, StoreError
from plr_fast.training import DivergenceError, PretrainConfig, load_unet, pretrain
from plr_fast.training.checkpoint import load_checkpoint
from plr_fast.training.pretraining import PretrainTask, RestorationMeter

from .conftest import assert_same_run, write_store

Make = Callable[..., PretrainConfig]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[int], torch.Tensor, torch.Tensor]]:
    """(seed of the data set, keys, slices fetched, corrupted images) of every batch."""
    seen: list[tuple[int, list[int], torch.Tensor, torch.Tensor]] = []
    fetch = PseudoLesionDataset.__getitems__

    def watched(self: PseudoLesionDataset, keys: Any) -> Any:
        batch = fetch(self, keys)
        seen.append((self.seed, list(keys), batch.tensors["index"].clone(), batch.tensors["image"].clone()))
        return batch

    monkeypatch.setattr(PseudoLesionDataset, "__getitems__", watched)
    return seen


def test_restores_better_than_doing_nothing(pretrain_config: Make) -> None:
    config = pretrain_config(epochs=8, samples_per_epoch=112, lr=1e-2, widths=(6, 8, 8, 8, 8))
    result = pretrain(config)
    summary = json.loads((config.run / "summary.json").read_text())
    assert summary["best"]["val_loss"] < 0.5 * summary["best"]["val_identity"]
    assert (
        result.best_metric
        == summary["best"]["val_loss"]
        == min(row["val_loss"] for row in load_checkpoint(config.run / "checkpoints/last").state["progress"]["history"])
    )


def test_validation_values_are_those_of_the_best_network(pretrain_config: Make) -> None:
    """The best checkpoint, loaded afresh and applied by hand, gives the row that it was saved with."""
    config = pretrain_config(epochs=2)
    pretrain(config)
    row = json.loads((config.run / "summary.json").read_text())["best"]
    store = SliceStore.open(config.store)
    bank = LesionBank.generate(count=50, images=2, patch=(3, 6), seed=0)
    data = PseudoLesionDataset(store, store.select("val", 0), bank=bank, count=(2, 5), seed=config.validation_seed)
    samples = [data[index] for index in range(len(data))]
    unet = load_unet(config.run)
    with torch.no_grad():
        errors = [(unet(s["image"][None])[0] - s["target"]).square().double() for s in samples]
    masks = [s["mask"] for s in samples]
    identity = np.mean([(s["image"] - s["target"]).square().double().mean() for s in samples])
    lungs = sum((e * m).sum().item() for e, m in zip(errors, masks, strict=True)) / sum(m.sum().item() for m in masks)
    assert row["val_loss"] == pytest.approx(np.mean([e.mean() for e in errors]), rel=1e-5)
    assert row["val_identity"] == pytest.approx(identity, rel=1e-5)
    assert row["val_loss_lungs"] == pytest.approx(lungs, rel=1e-5)


def test_sees_training_normals_only_new_each_epoch_and_validates_on_the_same(
    pretrain_config: Make, fetched: Any
) -> None:
    config = pretrain_config(epochs=2, early_stop=0)
    pretrain(config)
    store = SliceStore.open(config.store)
    normals, validation = set(store.select("train", 0).tolist()), set(store.select("val", 0).tolist())
    by_seed: dict[int, dict[int, dict[int, torch.Tensor]]] = {}
    runs = 0
    for seed, keys, indices, images in fetched:
        for key, index, image in zip(keys, indices.tolist(), images, strict=True):
            epoch = key >> 32
            if seed == config.validation_seed and index in by_seed.get(seed, {}).get(runs, {}):
                runs += 1
            by_seed.setdefault(seed, {}).setdefault(runs if seed != config.seed else epoch, {})[index] = image
    training, checks = by_seed[config.seed], by_seed[config.validation_seed]
    assert set(by_seed) == {config.seed, config.validation_seed}
    assert [set(epoch) for epoch in training.values()] == [normals, normals]
    assert not any(torch.equal(training[0][index], training[1][index]) for index in normals)
    assert [set(check) for check in checks.values()] == [validation, validation]
    assert all(torch.equal(checks[0][index], checks[1][index]) for index in validation)


@pytest.mark.parametrize("corruption", ["gaussian", "shuffle"])
def test_other_corruptions_train_too(pretrain_config: Make, corruption: str) -> None:
    config = pretrain_config(epochs=1, corruption=corruption)
    assert pretrain(config).epochs == 1
    assert json.loads((config.run / "summary.json").read_text())["best"]["val_identity"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"freeze": True, "samples_per_epoch": 9},
        {"lesions": "fresh", "shape": "cloud", "inside": "patch"},
        {"lesions": "clouds", "blend": "alpha", "alpha": (0.3, 0.8), "cloud_threshold": (100, 140)},
        {"corruption": "shuffle", "windows": 20},
        {"cells": (2.0, 8.0), "octaves": (1, 3), "blend": "add", "alpha": 0.5},
    ],
)
def test_kinds_of_lesions(pretrain_config: Make, fetched: Any, changes: dict[str, Any]) -> None:
    config = pretrain_config(epochs=2, early_stop=0, **changes)
    assert pretrain(config).epochs == 2
    epochs: dict[int, dict[int, torch.Tensor]] = {}
    for seed, keys, _, images in fetched:
        if seed == config.seed:
            for key, image in zip(keys, images, strict=True):
                epochs.setdefault(key >> 32, {})[key % 2**32] = image
    same = [torch.equal(epochs[0][position], epochs[1][position]) for position in epochs[0]]
    assert len(same) == (9 if config.freeze else len(epochs[0]))
    assert all(same) if config.freeze else not any(same)


def test_paper_settings_run(pretrain_config: Make) -> None:
    from plr_fast.recipes import load_config

    small = pretrain_config(samples_per_epoch=8, epochs=1)
    names = ("samples_per_epoch", "epochs", "widths", "accelerator", "tensorboard", "progress", "threads", "bank_count")
    names += ("bank_images", "patch")
    changes = {name: getattr(small, name) for name in names}
    config = load_config("sars-cov-2").pretrain(store=small.store, run=small.run, **changes)
    pretrain(config)
    numbers = load_checkpoint(config.run / "checkpoints/last").state["optimizer"]["param_groups"][0]
    assert (numbers["lr"], numbers["momentum"]) == (1e-3, 0.0)


def test_reads_normal_training_slices_only(pretrain_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fetched while it trains: normal slices of the training split, and of the validation split to validate."""
    fetched: dict[int, set[int]] = {}
    fetch = PseudoLesionDataset._slices

    def watched(self: PseudoLesionDataset, chosen: np.ndarray) -> Any:
        fetched.setdefault(self.seed, set()).update(chosen.tolist())
        return fetch(self, chosen)

    monkeypatch.setattr(PseudoLesionDataset, "_slices", watched)
    config = pretrain_config(epochs=2)
    pretrain(config)
    store = SliceStore.open(config.store)
    assert fetched[config.seed] == set(store.select("train", 0).tolist())
    assert fetched[config.validation_seed] == set(store.select("val", 0).tolist())
    assert len(fetched) == 2


def test_samples_per_epoch_and_max_steps(pretrain_config: Make) -> None:
    config = pretrain_config(epochs=5, samples_per_epoch=20, max_steps=7)
    result = pretrain(config)
    history = load_checkpoint(config.run / "checkpoints/last").state["progress"]["history"]
    assert [row["step"] for row in history] == [5, 7]
    assert result.epochs == 2
    assert json.loads((config.run / "summary.json").read_text())["stopped"] == "max_steps reached"


def test_run_folder_holds_what_was_promised(pretrain_config: Make) -> None:
    config = pretrain_config(tensorboard=True, epochs=2)
    result = pretrain(config)
    assert result.run == config.run
    assert result.best == config.run / "checkpoints/best"
    with (config.run / "metrics.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    record = json.loads((config.run / "config.json").read_text())
    assert record["kind"] == "pretrain"
    assert record["store_fingerprint"] == SliceStore.open(config.store).fingerprint
    assert record["config"]["count"] == [2, 5]
    assert {"plr_fast", "torch", "git_commit", "starts"} <= set(record)
    assert any((config.run / "logs").iterdir())
    assert sorted(path.name for path in (config.run / "checkpoints").iterdir()) == ["best", "last"]
    suffixes = {path.suffix for path in config.run.rglob("*") if path.is_file() and path.parent.name != "logs"}
    assert suffixes <= {".json", ".yaml", ".csv", ".safetensors", ""}


def test_the_learning_rate_follows_the_plateau_and_early_stop_ends(
    pretrain_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RestorationMeter, "compute", lambda _self, _fabric: {"val_loss": 1.0})
    config = pretrain_config(epochs=50, lr=1.0, plateau_patience=1, plateau_factor=0.5, early_stop=5)
    result = pretrain(config)
    history = load_checkpoint(config.run / "checkpoints/last").state["progress"]["history"]
    # The first epoch is the best; after each two more without a better one the rate is halved.
    assert [row["lr"] for row in history] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]
    assert result.epochs == 6
    summary = json.loads((config.run / "summary.json").read_text())
    assert summary["best"]["epoch"] == 1
    assert "no better epoch" in summary["stopped"]


def test_workers_change_nothing(pretrain_config: Make) -> None:
    alone, helped = pretrain_config("alone", epochs=2), pretrain_config("helped", epochs=2, num_workers=2)
    pretrain(alone)
    pretrain(helped)
    assert_same_run(alone.run, helped.run)


def test_the_callers_random_state_is_untouched(pretrain_config: Make) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    pretrain(pretrain_config(epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_nan_loss_stops_and_keeps_the_last_good_state(pretrain_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    config = pretrain_config(checkpoint_every=2)
    loss, calls = PretrainTask.loss, 0

    def spoilt(self: PretrainTask, *arguments: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return loss(self, *arguments) * (torch.nan if calls == 6 else 1.0)

    monkeypatch.setattr(PretrainTask, "loss", spoilt)
    with pytest.raises(DivergenceError, match=r"training loss is nan after 5 steps.*last good state is kept in"):
        pretrain(config)
    kept = load_checkpoint(config.run / "checkpoints/last")
    assert kept.state["progress"]["step"] == 4
    assert all(bool(tensor.isfinite().all()) for tensor in kept.model.values())


def test_nan_weights_are_never_saved(pretrain_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    config = pretrain_config(checkpoint_every=1)
    loss = PretrainTask.loss

    def spoilt(self: PretrainTask, *arguments: Any) -> torch.Tensor:
        value = loss(self, *arguments)
        # A finite loss whose gradient is not.
        return value + torch.sqrt(self.model.encoder.conv1.bias[0] * 0)  # type: ignore[union-attr, index]

    monkeypatch.setattr(PretrainTask, "loss", spoilt)
    with pytest.raises(DivergenceError, match=r"the weights encoder\.conv1\.bias are not finite after 1 steps"):
        pretrain(config)
    assert load_checkpoint(config.run / "checkpoints/last").state["progress"]["step"] == 0


def test_a_folder_that_holds_a_run_is_not_overwritten(pretrain_config: Make) -> None:
    config = pretrain_config(epochs=1)
    pretrain(config)
    before = (config.run / "checkpoints/last/state.json").read_bytes()
    with pytest.raises(ConfigError, match=r"already holds a run.*--resume"):
        pretrain(config)
    assert (config.run / "checkpoints/last/state.json").read_bytes() == before


def test_a_folder_of_something_else_is_refused(pretrain_config: Make) -> None:
    config = pretrain_config()
    config.run.mkdir()
    (config.run / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="not empty and holds no run"):
        pretrain(config)
    assert [path.name for path in config.run.iterdir()] == ["thesis.txt"]


def test_two_processes_cannot_train_in_one_folder(pretrain_config: Make) -> None:
    from plr_fast.folder_lock import locked

    config = pretrain_config()
    with locked(config.run, "busy"), pytest.raises(ConfigError, match="another process"):
        pretrain(config)
    assert pretrain(config).epochs == 3


def test_a_store_without_usable_normals_is_said(pretrain_config: Make, tmp_path: Path) -> None:
    store = write_store(tmp_path / "positives", normals=0, val=2)
    with pytest.raises(DataError, match="no normal slice to use in its train split: none is labelled 'normal'"):
        pretrain(pretrain_config(store=store))
    store = write_store(tmp_path / "unmasked")
    manifest = store / "manifest.csv"
    header, *rows = manifest.read_text().splitlines()
    assert header.split(",")[-1] == "mask_ok"
    manifest.write_text("\n".join([header, *[row[:-1] + "0" for row in rows]]) + "\n")
    with pytest.raises(DataError, match="all 14 have an implausible lung mask"):
        pretrain(pretrain_config("second", store=store))
    assert pretrain(pretrain_config("third", store=store, skip_bad_masks=False, epochs=1)).epochs == 1


def test_a_missing_store_is_said(pretrain_config: Make, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        pretrain(pretrain_config(store=tmp_path / "nowhere"))


def test_a_lost_store_ends_a_resumption_clearly(pretrain_config: Make, tmp_path: Path) -> None:
    store = write_store(tmp_path / "store")
    pretrain(pretrain_config(store=store, epochs=1))
    shutil.rmtree(store)
    with pytest.raises(StoreError, match="store"):
        pretrain(pretrain_config(store=store, epochs=2, resume=True))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # torch's, of a worker that met the cut
@pytest.mark.parametrize(("workers", "cut"), [(0, True), (1, True), (0, False)])
def test_a_store_that_is_cut_or_vanishes_ends_the_run_with_its_last_state(
    pretrain_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, cut: bool
) -> None:
    store = write_store(tmp_path / "store")
    whole = (store / "slices.npy").read_bytes()
    loss, calls = PretrainTask.loss, 0

    def cutting(self: PretrainTask, *arguments: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 6 and cut:
            os.truncate(store / "slices.npy", 4096)
        elif calls == 6:
            (store / "slices.npy").unlink()
        return loss(self, *arguments)

    config = pretrain_config(store=store, checkpoint_every=1, num_workers=workers, epochs=20)
    with monkeypatch.context() as patch:
        patch.setattr(PretrainTask, "loss", cutting)
        with pytest.raises(StoreError, match=r"slices\.npy (was cut|went away).*--resume"):
            pretrain(config)
    kept = load_checkpoint(config.run / "checkpoints/last").state["progress"]["step"]
    assert kept >= 5  # with workers the end may come inside the step of the cut
    (store / "slices.npy").write_bytes(whole)
    pretrain(replace(config, epochs=3, resume=True))
    straight = pretrain_config("straight", store=store)
    pretrain(straight)
    assert_same_run(straight.run, config.run)


def test_batch_norm_on_a_single_value_is_refused_before_training(pretrain_config: Make, tmp_path: Path) -> None:
    store = write_store(tmp_path / "tiny", size=16, normals=13)
    with pytest.raises(ConfigError, match="batch of one"):
        pretrain(pretrain_config(store=store))
    assert pretrain(pretrain_config("plain", store=store, norm="none", epochs=1)).epochs == 1


def test_a_bank_file_is_used_and_remembered(pretrain_config: Make, tmp_path: Path) -> None:
    path = tmp_path / "bank.npz"
    LesionBank.generate(count=20, images=2, patch=(3, 6), seed=1).save(path)
    config = pretrain_config(bank=path, epochs=1)
    pretrain(config)
    assert len(json.loads((config.run / "config.json").read_text())["bank_sha256"]) == 64


def test_accelerators_that_are_not_there_are_a_clear_error(pretrain_config: Make) -> None:
    with pytest.raises(ConfigError, match="accelerator='abacus'"):
        pretrain(pretrain_config(accelerator="abacus"))
