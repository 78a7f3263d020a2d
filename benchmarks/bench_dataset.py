"""Pairs per second of the data set over a store of 256 slices of 512x512, one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plr_fast import LesionBank
from plr_fast.data import PseudoLesionDataset, SliceStore
from plr_fast.data.store import SliceRecord, StoreWriter

COUNT, SIZE, BATCH = 256, 512, 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    path: Path = tmp_path_factory.mktemp("bench") / "store"
    generator = np.random.default_rng(0)
    with StoreWriter(path, size=SIZE, count=COUNT, class_names=("normal", "covid")) as writer:
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[100:400, 80:220] = mask[100:400, 290:430] = 1
        for i in range(COUNT):
            picture = generator.integers(0, 256, (SIZE, SIZE), np.uint8)
            writer.add(picture, mask, SliceRecord(id=str(i), group=str(i), split="train", label=0))
    return SliceStore.open(path)


@pytest.mark.parametrize("corruption", ["perlin", "gaussian", "shuffle"])
def test_pairs(measure: Any, store: SliceStore, corruption: Any) -> None:
    bank = LesionBank.generate()
    dataset = PseudoLesionDataset(store, np.arange(COUNT), corruption=corruption, bank=bank)

    def epoch() -> None:
        for first in range(0, COUNT, BATCH):
            dataset.__getitems__(range(first, first + BATCH))

    measure("data set: pairs of float32 512x512, fetched by 16", COUNT, "pair", epoch)
