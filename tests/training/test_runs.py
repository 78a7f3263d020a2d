"""Reading runs: the trained networks come back as they were, and everything else is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from plr_fast.errors import CheckpointError
from plr_fast.training import (
    FinetuneConfig,
    PretrainConfig,
    finetune,
    load_classifier,
    load_run_config,
    load_unet,
    pretrain,
)
from plr_fast.training.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, store_path: Path) -> tuple[Path, Path]:
    from .conftest import COMMON

    folder = tmp_path_factory.mktemp("runs")
    paths = {"store": store_path, "epochs": 2}
    small = {"bank_count": 20, "bank_images": 2, "patch": (3, 6)}
    pretrain(PretrainConfig(**{**COMMON, **small, **paths, "run": folder / "p", "early_stop": 0}))
    finetune(FinetuneConfig(**{**COMMON, **paths, "run": folder / "f", "hidden": 9, "norm": "none"}))
    return folder / "p", folder / "f"


@pytest.mark.parametrize("which", ["best", "last"])
def test_networks_come_back_bit_for_bit_in_evaluation_mode(runs: tuple[Path, Path], which: str) -> None:
    for run, model in zip(runs, (load_unet(runs[0], which), load_classifier(runs[1], which)), strict=True):  # type: ignore[arg-type]
        stored = load_checkpoint(run / "checkpoints" / which).model
        assert stored.keys() == model.state_dict().keys()
        assert all(torch.equal(tensor, stored[name]) for name, tensor in model.state_dict().items())
        assert not any(module.training for module in model.modules())


def test_the_configuration_comes_back(runs: tuple[Path, Path]) -> None:
    record = load_run_config(runs[1])
    assert record["kind"] == "finetune"
    assert record["config"]["hidden"] == 9
    assert record["class_names"] == ["normal", "covid"]


def test_the_wrong_kind_of_run_is_said(runs: tuple[Path, Path]) -> None:
    with pytest.raises(CheckpointError, match="finetune run; a pretrain run is needed"):
        load_unet(runs[1])
    with pytest.raises(CheckpointError, match="pretrain run; a finetune run is needed"):
        load_classifier(runs[0])


def test_folders_that_are_no_runs_are_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_run_config(tmp_path)
    (tmp_path / "config.json").write_text('{"format_version": 1')
    with pytest.raises(CheckpointError, match="damaged"):
        load_run_config(tmp_path)
    (tmp_path / "config.json").write_text('{"kind": "pretrain"}')
    with pytest.raises(CheckpointError, match="format_version"):
        load_run_config(tmp_path)
    (tmp_path / "config.json").write_text('{"format_version": 7}')
    with pytest.raises(CheckpointError, match="update plr_fast"):
        load_run_config(tmp_path)


def test_a_run_without_a_closed_epoch_is_said(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((runs[0] / "config.json").read_text())
    with pytest.raises(CheckpointError, match="no best checkpoint yet"):
        load_unet(tmp_path)


def test_weights_that_do_not_fit_the_record_are_said(runs: tuple[Path, Path], tmp_path: Path) -> None:
    record = json.loads((runs[0] / "config.json").read_text())
    record["config"]["widths"] = [2, 3, 4, 4, 8]
    (tmp_path / "config.json").write_text(json.dumps(record))
    (tmp_path / "checkpoints").symlink_to(runs[0] / "checkpoints")
    with pytest.raises(CheckpointError, match=r"does not fit the run's config\.json"):
        load_unet(tmp_path)


def test_importing_training_stays_light() -> None:
    heavy = ["lightning_fabric", "tensorboard", "sklearn", "skimage", "matplotlib", "PIL", "scipy"]
    code = f"import sys, plr_fast.training, plr_fast.models; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
