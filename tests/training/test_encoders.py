"""Runs around an encoder of timm (a stand-in that keeps its contract): both trainings, records, what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from plr_fast.errors import CheckpointError, ConfigError
from plr_fast.models import PretextUNet, TimmEncoder
from plr_fast.training import FinetuneConfig, PretrainConfig, finetune, load_classifier, load_unet, pretrain
from tests.models import timm_double

from .conftest import WIDTHS, assert_same_run

Make = Callable[..., FinetuneConfig]
MakePretrain = Callable[..., PretrainConfig]
# What small runs give otherwise, and an encoder of timm has no use for.
PLAIN: dict[str, Any] = {"encoder": "timm:half", "widths": FinetuneConfig.widths}


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = timm_double.make()
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


def test_pretraining_hands_its_encoder_to_fine_tuning(pretrain_config: MakePretrain, finetune_config: Make) -> None:
    before = pretrain_config(**PLAIN, epochs=4, lr=3e-3)
    result = pretrain(before)
    history = [row.split(",") for row in (before.run / "metrics.csv").read_text().splitlines()]
    losses = [float(row[history[0].index("val_loss")]) for row in history[1:]]
    assert losses[-1] < 0.7 * losses[0]
    unet = load_unet(result.run)
    assert isinstance(unet.encoder, TimmEncoder)
    config = finetune_config(**PLAIN, init=str(before.run), max_steps=1, lr=1e-30)
    finetune(config)
    model = load_classifier(config.run)
    parameters = dict(unet.encoder.named_parameters())
    for name, parameter in model.encoder.named_parameters():
        torch.testing.assert_close(parameter, parameters[name])
    assert json.loads((config.run / "config.json").read_text())["init_kind"] == "PLR-P"


def test_further_tasks_go_by_any_encoder(pretrain_config: MakePretrain, finetune_config: Make) -> None:
    before = pretrain_config(
        **PLAIN, epochs=1, clean_share=0.5, mask_weight=1.0, presence_weight=1.0, hidden=8, features="all"
    )
    pretrain(before)
    unet = load_unet(before.run)
    assert isinstance(unet, PretextUNet)
    assert unet.hidden.in_features == sum(unet.encoder.widths)
    config = finetune_config(**PLAIN, init=str(before.run), init_head="on", features="all", max_steps=1, lr=1e-30)
    finetune(config)
    torch.testing.assert_close(load_classifier(config.run).hidden.weight, unet.hidden.weight)


def test_the_same_settings_give_the_same_bits(finetune_config: Make) -> None:
    configs = [finetune_config(run, **PLAIN, epochs=1) for run in ("a", "b")]
    for config in configs:
        finetune(config)
    assert_same_run(configs[0].run, configs[1].run)


def test_timms_own_weights_are_recorded_and_not_needed_again(timm: Any, finetune_config: Make) -> None:
    options = {**PLAIN, "init": "timm:pretrained"}
    with pytest.raises(CheckpointError, match="cannot get its weights"):
        finetune(finetune_config("offline", **options))
    timm.hub["half"] = timm_double.trained(timm, "half").state_dict()
    config = finetune_config(**options, max_steps=1)
    finetune(config)
    first = json.loads((config.run / "config.json").read_text())
    assert first["init_kind"] == "ImageNet"
    assert len(first["init_sha256"]) == 64
    timm.hub.clear()
    finetune(finetune_config(**options, max_steps=2, resume=True))
    assert json.loads((config.run / "config.json").read_text())["init_sha256"] == first["init_sha256"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "resnet34"}, "encoder must be 'plr' or timm:NAME"),
        ({"encoder": "timm:"}, "encoder must be 'plr' or timm:NAME"),
        ({"encoder": "timm:half", "widths": WIDTHS}, r"widths=.* would have no effect: encoder=timm:half has its own"),
        ({**PLAIN, "norm": "none"}, "norm='none' would have no effect: encoder=timm:half has its own"),
        ({**PLAIN, "model": "danet", "hidden": 512}, "encoder='timm:half' would have no effect: model=danet"),
        ({"init": "timm:pretrained"}, "init='timm:pretrained' is for encoders of timm only"),
    ],
)
def test_senseless_settings_are_refused(finetune_config: Make, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        finetune_config(**changes).check()


def test_a_model_that_timm_lacks_is_refused_by_name(pretrain_config: MakePretrain) -> None:
    with pytest.raises(ConfigError, match=r"encoder='timm:hlaf' cannot be had: .*did you mean half"):
        pretrain(pretrain_config(**{**PLAIN, "encoder": "timm:hlaf"}))
