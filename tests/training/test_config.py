"""Configurations: bad values, and options without effect, are named before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plr_fast.errors import ConfigError
from plr_fast.training import FinetuneConfig, PretrainConfig

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
        {"bank_size": 0},
        {"patch": (5, 25), "bank_size": 20},
        {"threshold": 255},
        {"cells": 0.0},
        {"cells": (8.0, 2.0)},
        {"octaves": (0, 3)},
        {"persistence": -1.0},
        {"lacunarity": 0.5},
        {"windows": 0, "corruption": "gaussian"},
        {"lesions": "clouds", "blend": "replace"},
        {"cloud_threshold": (190, 150)},
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
        {"plateau_by": "auroc"},
        {"fraction_by": "patients"},
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


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"alpha": 0.5}, "alpha"),  # with blend=replace
        ({"alpha": (0.3, 0.7), "blend": "max"}, "alpha"),
        ({"feather": 2}, "feather"),
        ({"feather": 2, "blend": "alpha", "shape": "cloud"}, "feather"),
        ({"corruption": "gaussian", "shape": "ellipse"}, "shape"),
        ({"corruption": "shuffle", "patch": (2, 5)}, "patch"),
        ({"corruption": "shuffle", "bank": Path("bank.npz")}, "bank"),
        ({"windows": 5}, "windows"),
        ({"lesions": "fresh", "bank_count": 10}, "bank_count"),
        ({"lesions": "fresh", "cells": (2.0, 4.0)}, "cells"),
        ({"lesions": "clouds", "blend": "add", "octaves": (2, 4)}, "octaves"),
        ({"bank": Path("bank.npz"), "bank_seed": 1}, "bank_seed"),
        ({"bank": Path("bank.npz"), "threshold": 100}, "threshold"),
        ({"cloud_softness": 3}, "cloud_softness"),
        ({"lesions": "clouds", "blend": "alpha", "count": (1, 2)}, "count"),
        ({"rho": 0.9}, "rho"),
        ({"eps": 1e-3}, "eps"),
    ],
)
def test_options_without_effect_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named}=.* no effect"):
        PretrainConfig(**PATHS, **changes).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"blend": "alpha", "alpha": (0.3, 0.7), "feather": 2},
        {"blend": "add", "alpha": 0.5, "shape": "cloud"},
        {"shape": "ellipse", "feather": 3},  # what an ellipse covers depends on its edge, also with replace
        {"corruption": "gaussian", "windows": 500},
        {"lesions": "fresh", "patch": (2, 5), "threshold": 150, "cells": 8.0},
        {"lesions": "clouds", "blend": "add", "alpha": 0.5, "cloud_threshold": (100, 120), "cells": 6.0},
        {"cells": (2.0, 8.0), "octaves": (3, 5), "persistence": (0.3, 0.7)},
        {"bank": Path("bank.npz"), "count": (1, 9)},
        {"optimizer": "adadelta", "rho": 0.9, "eps": 1e-3},
    ],
)
def test_options_with_effect_are_taken(changes: dict[str, Any]) -> None:
    PretrainConfig(**PATHS, **changes).check()


def test_a_config_that_went_through_json_is_the_same() -> None:
    config = PretrainConfig(**PATHS, blend="alpha", alpha=(0.2, 0.4), cells=(2.0, 8.0))
    PretrainConfig(**json.loads(json.dumps(config.to_json()))).check()


def test_finetuning_refuses_settings_of_another_optimiser() -> None:
    with pytest.raises(ConfigError, match=r"rho=0\.9 would have no effect: it is for optimizer=adadelta, not for adam"):
        FinetuneConfig(**PATHS, optimizer="adam", rho=0.9).check()


def test_json_form_is_plain() -> None:
    plain = PretrainConfig(**PATHS, bank=Path("a/b.npz")).to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["bank"] == str(Path("a/b.npz"))
    assert plain["widths"] == [64, 128, 256, 512, 512]
