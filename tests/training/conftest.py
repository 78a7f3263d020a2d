"""A small slice store, and configurations that train on it in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plr_fast.data.store import SliceRecord, StoreWriter
from plr_fast.training import FinetuneConfig, PretrainConfig, finetune, pretrain

SIZE = 32
WIDTHS = (2, 3, 4, 4, 4)


def write_store(path: Path, *, normals: int = 14, positives: int = 10, val: int = 6, size: int = SIZE) -> Path:
    """Bright-in-the-middle positives, noisy normals; two slices to a group; half of ``val`` are normal."""
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[:size, :size]
    disc = ((rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (size / 2.5) ** 2).astype(np.uint8)
    kinds = (
        [("train", 0)] * normals + [("train", 1)] * positives + [("val", 0)] * (val // 2) + [("val", 1)] * (val // 2)
    )
    kinds += [("test", 0), ("test", 1)]
    with StoreWriter(path, size=size, count=len(kinds), class_names=("normal", "covid")) as writer:
        for number, (split, label) in enumerate(kinds):
            image = generator.integers(20, 60, (size, size)).astype(np.uint8) + 60 * (1 - disc)
            if label:
                image[size // 2 - 4 : size // 2 + 4, size // 2 - 4 : size // 2 + 4] += np.uint8(90)
            name = f"{split}{label}-{number:03d}"
            group = f"{split}{label}-g{number // 2:03d}"
            writer.add(image, disc, SliceRecord(id=name, group=group, split=split, label=label))
    return path


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "store")


COMMON: dict[str, Any] = {
    "epochs": 3,
    "widths": WIDTHS,
    "accelerator": "cpu",
    "tensorboard": False,
    "progress": False,
    "checkpoint_seconds": 0.0,
    "threads": 1,
}


def small_pretraining(store: Path, run: Path, **changes: Any) -> PretrainConfig:
    small: dict[str, Any] = {"batch_size": 4}
    if changes.get("corruption", "perlin") == "perlin" and changes.get("lesions") != "clouds":
        small |= {"bank_images": 2, "patch": (3, 6), "count": (2, 5)}
        if changes.get("lesions") != "fresh":
            small["bank_count"] = 50
    if "bank" in changes:
        small = {"batch_size": 4, "count": (2, 5)}
    return PretrainConfig(**{**COMMON, **small, "store": store, "run": run, **changes})


def small_finetuning(store: Path, run: Path, **changes: Any) -> FinetuneConfig:
    return FinetuneConfig(**{**COMMON, "batch_size": 5, "hidden": 8, "store": store, "run": run, **changes})


@pytest.fixture
def pretrain_config(store_path: Path, tmp_path: Path) -> Callable[..., PretrainConfig]:
    """Make a small configuration: ``pretrain_config(name of the run, **changes)``."""

    def make(run: str = "pretrain", **changes: Any) -> PretrainConfig:
        return small_pretraining(**{"store": store_path, "run": tmp_path / run, **changes})

    return make


@pytest.fixture
def finetune_config(store_path: Path, tmp_path: Path) -> Callable[..., FinetuneConfig]:
    def make(run: str = "finetune", **changes: Any) -> FinetuneConfig:
        return small_finetuning(**{"store": store_path, "run": tmp_path / run, **changes})

    return make


@pytest.fixture(scope="session")
def uninterrupted(store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a run that nothing has disturbed, trained once for all tests that compare with it."""
    done: dict[str, Path] = {}

    def train(kind: str, **changes: Any) -> Path:
        key = f"{kind} {sorted(changes.items())}"
        if key not in done:
            done[key] = tmp_path_factory.mktemp("uninterrupted") / "run"
            if kind == "pretrain":
                pretrain(small_pretraining(store_path, done[key], **changes))
            else:
                finetune(small_finetuning(store_path, done[key], **changes))
        return done[key]

    return train


def assert_same_run(first: Path, second: Path) -> None:
    """The last checkpoints of two runs hold the same bits, and their histories the same rows but for the time."""
    from plr_fast.training.checkpoint import load_checkpoint

    a, b = (load_checkpoint(run / "checkpoints" / "last") for run in (first, second))
    for left, right in ((a.model, b.model), (a.optimizer, b.optimizer)):
        assert left is not None
        assert right is not None
        assert left.keys() == right.keys()
        assert [name for name in left if not torch.equal(left[name], right[name])] == []
    assert a.state["scheduler"] == b.state["scheduler"]
    assert a.state["optimizer"] == b.state["optimizer"]
    assert [_timeless(row) for row in a.state["progress"]["history"]] == [
        _timeless(row) for row in b.state["progress"]["history"]
    ]
    for key in ("epoch", "samples", "step", "best_epoch", "best_score"):
        assert a.state["progress"][key] == b.state["progress"][key]


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("seconds", "data_share")}
