"""Stores without lung masks: for X-rays, on which a computed mask means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from plr_fast.data.prepare import PrepareConfig, prepare
from plr_fast.data.store import SliceStore
from plr_fast.errors import ConfigError, DataError
from plr_fast.training import PretrainConfig, pretrain
from tests.data.slice_files import DataSet


def store_without_masks(data: DataSet, out: Path) -> SliceStore:
    report = prepare(PrepareConfig(source=data.root, out=out, size=32, masks="none", progress=False))
    assert report.mask_failures == 0
    assert any("no lung masks" in line for line in report.lines())
    return SliceStore.open(out)


def test_masks_are_empty_and_not_called_implausible(data: DataSet, tmp_path: Path) -> None:
    store = store_without_masks(data, tmp_path / "store")
    assert store.info["mask_source"] == "none"
    assert not store.masks[:].any()
    assert store.mask_ok.all()
    assert not (store.path / "masks.csv").exists()


def test_pretraining_refuses_pseudo_lesions_and_takes_blur(data: DataSet, tmp_path: Path) -> None:
    store_without_masks(data, tmp_path / "store")
    small = {"store": tmp_path / "store", "widths": (2, 2, 2, 2, 2), "epochs": 1, "tensorboard": False}
    with pytest.raises(DataError, match=r"without lung masks.*--corruption gaussian or shuffle"):
        pretrain(PretrainConfig(run=tmp_path / "perlin", progress=False, **small))
    pretrain(PretrainConfig(run=tmp_path / "blur", corruption="gaussian", progress=False, **small))


def test_given_masks_contradict_none(data: DataSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="masks=none"):
        PrepareConfig(source=data.root, out=tmp_path / "s", masks="none", mask_dir=tmp_path).validate()
