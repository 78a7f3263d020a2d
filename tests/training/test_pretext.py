"""Pretraining with further tasks: losses, validation, stops, ranks, and the head that fine-tuning takes over."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from sklearn.metrics import f1_score, log_loss, roc_auc_score
from torch import Tensor, nn

from plr_fast import LesionBank
from plr_fast.data.datasets import PseudoLesionDataset, collate
from plr_fast.data.store import SliceStore
from plr_fast.errors import CheckpointError, ConfigError
from plr_fast.evaluation.corruptions import make_test_sets
from plr_fast.evaluation.trained import open_runs
from plr_fast.models import PretextOutputs, PretextUNet, UNet
from plr_fast.training import FinetuneConfig, PretrainConfig, finetune, load_classifier, load_unet, pretrain
from plr_fast.training.checkpoint import load_checkpoint
from plr_fast.training.config.pretrain import scaled_lesions
from plr_fast.training.finetuning import FinetuneTask
from plr_fast.training.pretext_meter import PretextMeter, binned_auroc
from plr_fast.training.pretraining import PretrainTask

from .conftest import assert_same_run
from .test_ranks import assert_close_runs, train
from .test_resume import stop_and_resume

Make = Callable[..., PretrainConfig]
MakeFinetune = Callable[..., FinetuneConfig]

TASKS: dict[str, Any] = {
    "clean_share": 0.5,
    "mask_weight": 0.5,
    "presence_weight": 2.0,
    "restore_weight": 3.0,
    "hidden": 8,
}


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def test_loss_and_gradients_are_those_of_plain_loops(pretrain_config: Make) -> None:
    torch.manual_seed(2)
    unet = PretextUNet(1, (2, 2, 2, 2, 3), hidden=3, features="all").double()
    shape = (4, 1, 6, 5)
    batch = {
        "image": torch.rand(shape, dtype=torch.float64),
        "target": torch.rand(shape, dtype=torch.float64),
        "lesion": torch.rand(shape) < 0.3,
        "clean": torch.tensor([True, False, False, True]),
    }
    task = PretrainTask(unet, None, None, pretrain_config(**TASKS))
    loss = task.loss(unet, batch, epoch=0)
    outputs = unet(batch["image"], heads=True)
    assert outputs.altered is not None
    assert outputs.presence is not None

    pixels, mse, mask, presence = 4 * 6 * 5, 0.0, 0.0, 0.0
    gradients = [torch.zeros(shape, dtype=torch.float64) for _ in range(2)] + [torch.zeros(4, dtype=torch.float64)]
    for b in range(4):
        for y in range(6):
            for x in range(5):
                place = (b, 0, y, x)
                error = outputs.restored[place].item() - batch["target"][place].item()
                mse += error**2 / pixels
                gradients[0][place] = 3.0 * 2.0 * error / pixels
                p, truth = sigmoid(outputs.altered[place].item()), bool(batch["lesion"][place])
                mask -= math.log(p if truth else 1.0 - p) / pixels
                gradients[1][place] = 0.5 * (p - truth) / pixels
        p, truth = sigmoid(outputs.presence[b].item()), not bool(batch["clean"][b])
        presence -= math.log(p if truth else 1.0 - p) / 4
        gradients[2][b] = 2.0 * (p - truth) / 4
    assert loss.item() == pytest.approx(3.0 * mse + 0.5 * mask + 2.0 * presence, rel=1e-12)
    parts = {name: part.item() for name, part in task.parts.items()}
    assert parts == pytest.approx({"mse": mse, "mask": mask, "presence": presence}, rel=1e-12)
    parameters = list(unet.parameters())
    expected = torch.autograd.grad(list(outputs), parameters, gradients)
    for ours, theirs in zip(torch.autograd.grad(loss, parameters), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_without_further_tasks_nothing_is_added(pretrain_config: Make) -> None:
    """The network, loss and columns of the paper's task, and a mere factor beside them."""
    plain, scaled = pretrain_config("plain", epochs=1), pretrain_config("scaled", epochs=1, restore_weight=4.0)
    for config in (plain, scaled):
        pretrain(config)
    assert type(load_unet(plain.run)) is type(load_unet(scaled.run)) is UNet
    rows = [
        load_checkpoint(config.run / "checkpoints/last").state["progress"]["history"][0] for config in (plain, scaled)
    ]
    assert [name for name in rows[0] if name.startswith("val_")] == ["val_loss", "val_loss_lungs", "val_identity"]
    assert rows[1]["val_loss"] == pytest.approx(4.0 * rows[1]["val_mse"])
    assert rows[1]["val_identity"] == rows[0]["val_identity"]


def test_it_learns_all_three(pretrain_config: Make) -> None:
    lesions: dict[str, Any] = {"count": (8, 12), "patch": (4, 8)}
    config = pretrain_config(epochs=6, samples_per_epoch=112, lr=1e-2, widths=(6, 8, 8, 8, 8), **lesions, **TASKS)
    pretrain(config)
    with (config.run / "metrics.csv").open(newline="") as handle:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(handle)]
    best = json.loads((config.run / "summary.json").read_text())["best"]
    assert best["val_loss"] == min(row["val_loss"] for row in rows)
    assert best["val_mse"] < 0.5 * best["val_identity"]
    assert best["val_mask_auroc"] > 0.95
    assert best["val_presence_loss"] < 0.1
    for row in rows:
        total = 3.0 * row["val_mse"] + 0.5 * row["val_mask_loss"] + 2.0 * row["val_presence_loss"]
        assert row["val_loss"] == pytest.approx(total, rel=1e-9)


def test_validation_over_batches_is_that_of_all_slices(pretrain_config: Make) -> None:
    """Logits that are no training's, in two batches, against scikit-learn over all of them."""
    generator = torch.Generator().manual_seed(3)
    shape = (7, 1, 9, 8)
    truth = torch.rand(shape, generator=generator) < 0.2
    lungs = torch.rand(shape, generator=generator) < 0.6
    altered = torch.randn(shape, generator=generator) + 1.5 * truth
    clean = torch.tensor([True, False, False, True, True, False, False])
    presence = torch.randn(7, generator=generator)
    pictures = torch.rand(2, *shape, generator=generator)
    meter = PretextMeter(pretrain_config(**TASKS))
    for part in (slice(0, 5), slice(5, 7)):
        outputs = PretextOutputs(pictures[0][part], altered[part], presence[part])
        batch = {"image": pictures[1], "target": pictures[1], "mask": lungs, "lesion": truth, "clean": clean}
        model = nn.Module()
        model.forward = lambda _images, *, heads, outputs=outputs: outputs if heads else None  # type: ignore[method-assign]
        meter.update(model, {name: tensor[part] for name, tensor in batch.items()})
    row = meter.compute(Fabric(accelerator="cpu", devices=1))
    called = altered.sigmoid() >= 0.5
    assert row["val_mask_dice"] == pytest.approx(f1_score(truth.flatten(), called.flatten()))
    assert row["val_mask_loss"] == pytest.approx(log_loss(truth.flatten(), altered.double().sigmoid().flatten()))
    assert row["val_mask_auroc"] == pytest.approx(roc_auc_score(truth[lungs], altered[lungs]), abs=2e-3)
    assert row["val_presence_loss"] == pytest.approx(log_loss(~clean, presence.double().sigmoid()))
    assert row["val_presence_auroc"] == pytest.approx(roc_auc_score(~clean, presence))
    assert row["val_mse"] == pytest.approx((pictures[0] - pictures[1]).square().mean().item())
    assert row["val_identity"] == 0.0


@pytest.mark.parametrize("corruption", ["perlin", "gaussian"])
def test_validation_values_are_those_of_the_best_network(pretrain_config: Make, corruption: str) -> None:
    """The best checkpoint, loaded afresh and applied by hand, gives the row that it was saved with."""
    tasks = {**TASKS, "features": "all"}
    config = pretrain_config(epochs=2, corruption=corruption, batch_size=2, validation_seed=9, **tasks)
    pretrain(config)
    row = json.loads((config.run / "summary.json").read_text())["best"]
    store = SliceStore.open(config.store)
    lesions: dict[str, Any] = {}
    if corruption == "perlin":  # as conftest's
        lesions = {"bank": LesionBank.generate(count=50, images=2, patch=(3, 6), seed=0), "count": (2, 5)}
    data = PseudoLesionDataset(
        store, store.select("val", 0), corruption=corruption, seed=9, clean_share=0.5,  # type: ignore[arg-type]
        lesion_masks=True, clean_flags=True, **lesions,
    )  # fmt: skip
    batch = collate(data.__getitems__(range(len(data))))
    unet = load_unet(config.run)
    assert isinstance(unet, PretextUNet)
    with torch.no_grad():
        outputs = unet(batch["image"], heads=True)
    probability, truth = outputs.altered.double().sigmoid(), batch["lesion"]
    called = probability >= 0.5
    mask_loss = -torch.where(truth, probability, 1.0 - probability).log().mean()
    dice = 2.0 * (called & truth).sum() / (called.sum() + truth.sum())
    presence = outputs.presence.double().sigmoid()
    presence_loss = -torch.where(batch["clean"], 1.0 - presence, presence).log().mean()
    assert row["val_mse"] == pytest.approx((outputs.restored - batch["target"]).square().mean().item(), rel=1e-5)
    assert row["val_mask_loss"] == pytest.approx(mask_loss.item(), rel=1e-5)
    assert row["val_mask_dice"] == pytest.approx(dice.item(), abs=1e-6)
    auroc = roc_auc_score(truth[batch["mask"]].numpy(), probability[batch["mask"]].numpy())
    assert row["val_mask_auroc"] == pytest.approx(auroc, abs=5e-3)
    assert row["val_presence_loss"] == pytest.approx(presence_loss.item(), rel=1e-5)
    assert 0 < batch["clean"].sum() < len(data), "or the next line says nothing"
    assert row["val_presence_auroc"] == pytest.approx(roc_auc_score(~batch["clean"].numpy(), presence.numpy()))


def test_auroc_of_counts() -> None:
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 40, 500)
    labels = generator.random(500) < scores / 60
    counts = [torch.from_numpy(np.bincount(scores[labels == kind], minlength=40)).double() for kind in (False, True)]
    assert binned_auroc(counts[0], counts[1]) == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)
    assert binned_auroc(counts[0], torch.zeros(40)) is None


@pytest.mark.parametrize("step", [2, 3, 7])
def test_a_stop_inside_an_epoch_changes_no_bit(pretrain_config: Make, step: int) -> None:
    changes = {**TASKS, "schedule": "cosine", "ema": 0.9, "optimizer": "adamw", "weight_decay": 0.01}
    straight, stopped = pretrain_config("straight", **changes), pretrain_config("stopped", **changes)
    pretrain(straight)
    progress = stop_and_resume(stopped, PretrainTask, "loss", step)
    assert progress["step"] == step
    assert_same_run(straight.run, stopped.run)


def test_a_stop_in_validation_changes_no_bit(pretrain_config: Make) -> None:
    straight, stopped = pretrain_config("straight", **TASKS), pretrain_config("stopped", **TASKS)
    pretrain(straight)
    stop_and_resume(stopped, PretextMeter, "update", 2)
    assert_same_run(straight.run, stopped.run)


@pytest.mark.parametrize(
    "changes",
    [TASKS, {"clean_share": 0.3, "presence_weight": 1.0, "restore_weight": 0.0, "hidden": 4}],
    ids=["all tasks", "presence alone"],
)
def test_on_two_ranks_as_on_one(pretrain_config: Make, tmp_path: Path, changes: dict[str, Any]) -> None:
    common = {
        "norm": "none",
        "optimizer": "sgd",
        "lr": 0.05,
        "samples_per_epoch": 15,
        "epochs": 2,
        "schedule": "cosine",
    }
    many = pretrain_config("many", batch_size=3, **common, **changes)
    one = pretrain_config("one", batch_size=6, **common, **changes)
    pretrain(one)
    ranks = train(tmp_path / "ranks", many, 2)
    assert_close_runs(one.run, many.run)
    assert ranks.seen(0)["weights"] == ranks.seen(1)["weights"]


@pytest.mark.parametrize(
    "changes",
    [
        {"lesions": "fresh"},
        {"lesions": "clouds", "blend": "alpha", "alpha": (0.3, 0.8)},
        {"corruption": "shuffle"},
        {"precision": "bf16-mixed"},
        {"freeze": True, "samples_per_epoch": 9, "accumulate": 2},
    ],
    ids=str,
)
def test_with_other_options(pretrain_config: Make, changes: dict[str, Any]) -> None:
    config = pretrain_config(epochs=1, **TASKS, **changes)
    pretrain(config)
    unet = load_unet(config.run)
    assert unet(torch.rand(2, 1, 32, 32)).shape == (2, 1, 32, 32)


def test_each_part_of_the_loss_is_logged(pretrain_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from plr_fast.training.logs import EventLog

    logged: dict[str, float] = {}
    monkeypatch.setattr(EventLog, "add", lambda _self, values, _step, prefix="": logged.update(values))
    pretrain(pretrain_config(epochs=1, log_every=1, **TASKS))
    parts = [logged[f"train/{name}_step"] for name in ("mse", "mask", "presence")]
    assert logged["train/loss_step"] == pytest.approx(3.0 * parts[0] + 0.5 * parts[1] + 2.0 * parts[2], rel=1e-5)


# Fine-tuning


def start_of(config: FinetuneConfig) -> dict[str, Tensor]:
    """The weights before the first step."""

    class StoppedError(Exception):
        pass

    def stop(*_arguments: Any) -> Tensor:
        raise StoppedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FinetuneTask, "loss", stop)
        with pytest.raises(StoppedError):
            finetune(config)
    return dict(load_checkpoint(config.run / "checkpoints/last").model)


def test_the_head_is_taken_over_where_it_is_asked_for(pretrain_config: Make, finetune_config: MakeFinetune) -> None:
    before = pretrain_config(epochs=1, features="all", **TASKS)
    pretrain(before)
    source = load_checkpoint(before.run / "checkpoints/best").model
    common = {"init": str(before.run), "features": "all"}
    starts = {choice: start_of(finetune_config(choice, init_head=choice, **common)) for choice in ("auto", "on", "off")}
    random = start_of(finetune_config("random", features="all"))
    for name in ("hidden.weight", "hidden.bias", "output.weight", "output.bias"):
        assert torch.equal(starts["auto"][name], source[name])
        assert torch.equal(starts["on"][name], source[name])
        assert torch.equal(starts["off"][name], random[name])
    assert not torch.equal(source["hidden.weight"], random["hidden.weight"])
    assert torch.equal(starts["off"]["encoder.conv3.weight"], source["encoder.conv3.weight"])
    record = json.loads((before.run.parent / "auto/config.json").read_text())
    assert record["init_kind"] == "PLR-P+"
    with pytest.raises(CheckpointError, match=r"hidden.weight is \(8, 17\) there, \(8, 4\) here.*--features"):
        finetune(finetune_config("misfit", init=str(before.run)))
    finetune(finetune_config("whole", epochs=1, **common))
    assert load_classifier(before.run.parent / "whole")(torch.rand(2, 1, 32, 32)).shape == (2,)


def test_a_head_that_is_not_there(pretrain_config: Make, finetune_config: MakeFinetune) -> None:
    before = pretrain_config(epochs=1)
    pretrain(before)
    with pytest.raises(CheckpointError, match="has no head to take over"):
        finetune(finetune_config("on", init=str(before.run), init_head="on"))
    auto, random = start_of(finetune_config("auto", init=str(before.run))), start_of(finetune_config("random"))
    assert torch.equal(auto["hidden.weight"], random["hidden.weight"])


def test_the_encoder_can_have_a_rate_of_its_own(finetune_config: MakeFinetune) -> None:
    """One step of SGD: half the rate moves the encoder half as far, and the head as before."""
    common: dict[str, Any] = {"optimizer": "sgd", "lr": 0.02, "max_steps": 1, "norm": "none"}
    start = start_of(finetune_config("start", **common))
    same, half = finetune_config("same", **common), finetune_config("half", encoder_lr=0.01, **common)
    ends = []
    for config in (same, half):
        finetune(config)
        ends.append(load_checkpoint(config.run / "checkpoints/last").model)
    for name, before in start.items():
        factor = 0.5 if name.startswith("encoder.") else 1.0
        torch.testing.assert_close(ends[1][name] - before, factor * (ends[0][name] - before), rtol=1e-3, atol=1e-7)
    assert not torch.equal(ends[0]["encoder.conv1.weight"], start["encoder.conv1.weight"])


def test_grey_and_flips_reach_the_training(finetune_config: MakeFinetune) -> None:
    stopped = finetune_config(
        "stopped", brightness=(-0.1, 0.1), contrast=(0.8, 1.2), gamma=(0.8, 1.2), flip=True, encoder_lr=0.05
    )
    straight = replace(stopped, run=stopped.run.parent / "straight")
    finetune(straight)
    stop_and_resume(stopped, FinetuneTask, "loss", 3)
    assert_same_run(straight.run, stopped.run)
    without = replace(straight, run=stopped.run.parent / "without", flip=False)
    finetune(without)
    ends = [load_checkpoint(run / "checkpoints/last").model["output.weight"] for run in (straight.run, without.run)]
    assert not torch.equal(*ends)


# The cosine


def test_the_cosine_is_followed_and_its_end_fixed(pretrain_config: Make) -> None:
    config = pretrain_config(epochs=4, batch_size=14, schedule="cosine", lr=0.01, min_lr=0.001)
    pretrain(config)
    rows = load_checkpoint(config.run / "checkpoints/last").state["progress"]["history"]
    expected = [0.001 + 0.009 * (1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)]
    assert [row["lr"] for row in rows] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(CheckpointError, match=r"epochs was 4, now 6\. The rate of schedule=cosine .* must stay"):
        pretrain(replace(config, epochs=6, resume=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"presence_weight": 1.0}, "clean_share=0 alters all of them"),
        ({"restore_weight": 0.0}, "nothing to learn"),
        ({"clean_share": 1.0}, "clean_share must be at least 0 and below 1"),
        ({"mask_weight": -1.0}, "mask_weight must be at least 0"),
        ({"hidden": 4}, "hidden=4 would have no effect: it is for the head of presence_weight"),
        ({"features": "all", "mask_weight": 1.0}, "features='all' would have no effect"),
        ({"schedule": "cosine", "plateau_patience": 3}, "it is for schedule=plateau"),
        ({"schedule": "cosine", "min_lr": 1.0}, "min_lr must be at most lr"),
        ({"schedule": "step"}, "schedule must be one of plateau, cosine"),
        ({"corruption": "gaussian", "reference_size": 512}, "reference_size=512 would have no effect"),
        ({"reference_size": 0}, "reference_size must be at least 1"),
    ],
)
def test_senseless_pretraining_is_refused(pretrain_config: Make, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pretrain_config(**changes).check()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init_head": "on"}, "init_head='on' would have no effect"),
        ({"augment": "heavy", "flip": True}, "augment=heavy has its own"),
        ({"gamma": (0.0, 1.0)}, "gamma must be a range within 0.1"),
        ({"encoder_lr": 0.0}, "encoder_lr must be a positive number"),
        ({"schedule": "cosine", "plateau_by": "loss"}, "it is for schedule=plateau"),
        ({"features": "some"}, "features must be one of last, all"),
    ],
)
def test_senseless_finetuning_is_refused(finetune_config: MakeFinetune, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        finetune_config(**changes).check()


# Lesions that scale with the slices


def test_lesions_scale_with_the_store() -> None:
    settings = {"patch": [24, 96], "cells": 1.0, "feather": 9, "bank_size": 512, "reference_size": 512}
    assert scaled_lesions(settings, 64) == {"patch": (3, 12), "cells": 8.0, "feather": 1}
    assert scaled_lesions(settings, 1024) == {"patch": (48, 192), "cells": 0.5, "feather": 18}
    assert scaled_lesions({**settings, "cells": [2.0, 4.0]}, 256)["cells"] == (4.0, 8.0)
    assert scaled_lesions({**settings, "patch": [1, 2]}, 64)["patch"] == (1, 1)
    assert scaled_lesions({**settings, "reference_size": None}, 64)["patch"] == (24, 96)
    with pytest.raises(
        ConfigError, match=r"patch \[24, 96\] at reference_size 512 is \(192, 768\) at the store's 4096"
    ):
        scaled_lesions(settings, 4096)


def test_scaled_lesions_are_those_of_the_scaled_settings(pretrain_config: Make) -> None:
    """At 32 pixels half of what is meant for 64; in training and in the evaluation's test set."""
    common: dict[str, Any] = {"epochs": 1, "shape": "ellipse", "blend": "alpha", "alpha": 0.7}
    scaled = pretrain_config("scaled", reference_size=64, patch=(6, 12), cells=2.0, feather=4, **common)
    plain = pretrain_config("plain", patch=(3, 6), cells=4.0, feather=2, **common)
    runs = []
    for config in (scaled, plain):
        pretrain(config)
        runs += open_runs([], [config.run])[1]
    ends = [load_checkpoint(config.run / "checkpoints/last").model for config in (scaled, plain)]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())
    store = SliceStore.open(scaled.store)
    pictures = []
    for run in runs:
        (test_set,), _ = make_test_sets([run], store, store.select("val", 0), seed=0)
        pictures.append(next(test_set.batches(3))[0])
    assert np.array_equal(*pictures)


def test_its_network_is_judged_as_a_restorer(pretrain_config: Make) -> None:
    config = pretrain_config(epochs=1, **TASKS)
    pretrain(config)
    (run,) = open_runs([], [config.run])[1]
    facts = run.facts()
    assert {"clean_share", "mask_weight", "presence_weight", "restore_weight"} <= facts.keys()
    store = SliceStore.open(config.store)
    (test_set,), _ = make_test_sets([run], store, store.select("val", 0), seed=0)
    corrupted, original, _ = next(test_set.batches(3))
    assert (corrupted != original).any(axis=(1, 2)).all(), "no slice is left clean there"
    with torch.no_grad():
        restored = run.model()(torch.from_numpy(corrupted)[:, None])
    assert restored.shape == (3, 1, 32, 32)
