"""Every initialisation of a fine-tuning run: what is loaded, and what the run's record says of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from plr_fast.errors import ConfigError
from plr_fast.models import Classifier, load_imagenet
from plr_fast.training import FinetuneConfig, PretrainConfig, finetune, pretrain
from plr_fast.training.record import file_sha256

from .conftest import write_store

Make = Callable[..., FinetuneConfig]
MakePretrain = Callable[..., PretrainConfig]
VGG = (64, 128, 256, 512, 512)


def record(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run / "config.json").read_text())
    return loaded


def vgg13_state() -> dict[str, torch.Tensor]:
    widths = [width for width in VGG for _ in range(2)]
    places = (0, 2, 5, 7, 10, 12, 15, 17, 20, 22)
    state = {}
    for place, inputs, outputs in zip(places, [3, *widths[:-1]], widths, strict=True):
        layer = nn.Conv2d(inputs, outputs, 3)
        state |= {f"features.{place}.{name}": tensor for name, tensor in layer.state_dict().items()}
    return state


def test_random_is_ri(finetune_config: Make) -> None:
    config = finetune_config(max_steps=1)
    finetune(config)
    facts = record(config.run)
    assert (facts["init_kind"], facts["init_name"]) == ("RI", "RI")
    assert facts["init_sha256"] is None
    assert facts["init_source"] is None


@pytest.mark.parametrize(("corruption", "kind"), [("perlin", "PLR-P"), ("gaussian", "PLR-G"), ("shuffle", "PLR-L")])
def test_pretraining_runs_go_by_the_papers_names(
    corruption: str, kind: str, finetune_config: Make, pretrain_config: MakePretrain
) -> None:
    before = pretrain_config(corruption=corruption, max_steps=1, seed=7)
    pretrain(before)
    file = before.run / "checkpoints/best/model.safetensors"
    for number, init in enumerate((before.run, before.run / "checkpoints/best", file)):
        config = finetune_config(f"run{number}", init=str(init), max_steps=1)
        finetune(config)
        facts = record(config.run)
        assert facts["init_kind"] == kind
        assert facts["init_sha256"] == file_sha256(file)
        assert facts["init_source"]["seed"] == 7
        assert facts["init_source"]["kind"] == "pretrain"


def test_a_fine_tuning_run_is_a_supervised_initialisation(finetune_config: Make, tmp_path: Path) -> None:
    # The paper's PneuXray: the same loop on other pictures. Its head stays behind, whatever its size.
    xrays = write_store(tmp_path / "xrays", normals=8)
    first = finetune_config("xray", store=xrays, max_steps=2, hidden=5)
    finetune(first)
    config = finetune_config("ct", init=str(first.run), init_name="PneuXray", max_steps=1)
    finetune(config)
    facts = record(config.run)
    assert (facts["init_kind"], facts["init_name"]) == ("supervised", "PneuXray")
    assert facts["init_source"]["init_kind"] == "RI"
    assert facts["init_source"]["store_fingerprint"] == record(first.run)["store_fingerprint"]


def test_weights_of_unknown_origin_are_a_file(finetune_config: Make, pretrain_config: MakePretrain) -> None:
    before = pretrain_config(max_steps=1)
    pretrain(before)
    lone = before.run.parent / "elsewhere" / "weights.safetensors"
    lone.parent.mkdir()
    shutil.copy(before.run / "checkpoints/best/model.safetensors", lone)
    config = finetune_config(init=str(lone), max_steps=1)
    finetune(config)
    assert record(config.run)["init_kind"] == "file"


def test_imagenet_weights_reach_the_run(finetune_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "vgg13.pth"
    torch.save(vgg13_state(), file)
    expected = Classifier(VGG, "none", 8)
    load_imagenet(expected, file)
    config = finetune_config(init=f"imagenet:{file}", widths=VGG, norm="none", max_steps=1, lr=1e-30)
    finetune(config)
    facts = record(config.run)
    assert (facts["init_kind"], facts["init_sha256"]) == ("ImageNet", file_sha256(file))
    from plr_fast.training import load_classifier

    found = load_classifier(config.run).encoder.state_dict()
    for name, tensor in expected.encoder.state_dict().items():
        torch.testing.assert_close(found[name], tensor)
    # The file is not needed any more.
    file.unlink()
    finetune(finetune_config(init=config.init, widths=VGG, norm="none", max_steps=2, resume=True, lr=1e-30))
    assert record(config.run)["init_kind"] == "ImageNet"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init": "nowhere"}, "nowhere does not exist"),
        ({"init": "imagenet:nowhere.pth"}, r"nowhere\.pth does not exist"),
        ({"init_normalise": False}, "init_normalise=False would have no effect: it is for init=imagenet:FILE"),
    ],
)
def test_senseless_settings_are_refused(finetune_config: Make, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        finetune(finetune_config(**changes))


def test_a_bare_weights_file_points_at_the_right_spelling(finetune_config: Make, tmp_path: Path) -> None:
    (tmp_path / "vgg13.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"given as imagenet:.*vgg13\.pth"):
        finetune(finetune_config(init=str(tmp_path / "vgg13.pth")))


def test_a_run_from_before_a_setting_existed_can_be_resumed(finetune_config: Make) -> None:
    config = finetune_config(max_steps=1)
    finetune(config)
    written = record(config.run)
    del written["config"]["init_name"]
    (config.run / "config.json").write_text(json.dumps(written))
    finetune(finetune_config(max_steps=2, resume=True))
