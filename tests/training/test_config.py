"""Configurations: bad values are named before any work; the paper's values are at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plr_fast.errors import ConfigError
from plr_fast.training import PAPER_FINETUNE, PAPER_PRETRAIN, FinetuneConfig, PretrainConfig

PATHS: dict[str, Any] = {"store": Path("store"), "run": Path("run")}


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"seed": -1},
        {"seed": 2**63},
        {"max_steps": 0},
        {"threads": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"lr": float("inf")},
        {"weight_decay": -1e-4},
        {"rho": 1.0},
        {"momentum": 0.9},  # not with the default optimiser
        {"optimizer": "lion"},
        {"plateau_factor": 1.0},
        {"plateau_patience": -1},
        {"early_stop": -1},
        {"widths": (8, 16, 32, 64)},
        {"widths": (8, 16, 32, 64, 0)},
        {"norm": "layer"},
        {"precision": "8-bit"},
        {"num_workers": -1},
        {"devices": 0},
        {"checkpoint_every": -1},
        {"checkpoint_seconds": float("nan")},
        {"log_every": 0},
    ],
)
@pytest.mark.parametrize("kind", [PretrainConfig, FinetuneConfig])
def test_bad_values_are_named(kind: Any, changes: dict[str, Any]) -> None:
    kind(**PATHS).check()
    with pytest.raises(ConfigError, match=next(iter(changes))):
        kind(**PATHS, **changes).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"corruption": "noise"},
        {"blend": "multiply"},
        {"count": (5, 3)},
        {"count": (-1, 3)},
        {"patch": (0, 5)},
        {"alpha": 1.5},
        {"feather": -1},
        {"shape": "star"},
        {"inside": "box"},
        {"lesions": "frozen"},
        {"lesions": "fresh", "bank": Path("bank.npz")},
        {"bank_count": 0},
        {"bank_images": 0},
        {"samples_per_epoch": 0},
        {"validation_seed": 0},  # the training's
    ],
)
def test_bad_pretraining_values_are_named(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        PretrainConfig(**PATHS, **changes).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"init": "nowhere/at/all"},
        {"hidden": 0},
        {"fraction": 0.0},
        {"fraction": 1.5},
        {"subset_seed": -1},
        {"zoom": (0.0, 1.0)},
        {"zoom": (1.2, 0.8)},
        {"shear": (-2.0, 0.0)},
        {"class_weight": "heavy"},
        {"best_by": "luck"},
    ],
)
def test_bad_finetuning_values_are_named(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        FinetuneConfig(**PATHS, **changes).check()


def test_run_folder_must_not_be_the_store_or_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="store's own folder"):
        PretrainConfig(store=tmp_path, run=tmp_path / "x" / "..").check()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        PretrainConfig(store=tmp_path, run=tmp_path / "file").check()


def test_momentum_is_for_sgd() -> None:
    PretrainConfig(**PATHS, optimizer="sgd", momentum=0.9).check()


def test_the_papers_values_make_valid_configurations() -> None:
    pretrain = PretrainConfig(**PATHS, **PAPER_PRETRAIN)
    pretrain.check()
    assert (pretrain.optimizer, pretrain.lr, pretrain.momentum, pretrain.batch_size) == ("sgd", 1e-3, 0.0, 4)
    assert pretrain.norm == "none"
    finetune = FinetuneConfig(**PATHS, **PAPER_FINETUNE)
    finetune.check()
    assert (finetune.optimizer, finetune.lr, finetune.rho, finetune.eps) == ("adadelta", 0.1, 0.95, 1e-7)
    assert (finetune.batch_size, finetune.hidden, finetune.zoom) == (16, 512, (0.8, 1.2))


def test_json_form_is_plain() -> None:
    plain = PretrainConfig(**PATHS, bank=Path("a/b.npz")).to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["bank"] == str(Path("a/b.npz"))
    assert plain["widths"] == [64, 128, 256, 512, 512]
