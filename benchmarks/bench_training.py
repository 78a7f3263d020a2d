"""Pretraining steps per second: slices in, weights changed; beside a straightforward loop and MONAI's U-Net."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.rounds import Absent, Candidate
from plr_fast import LesionBank
from plr_fast.data import SliceStore
from plr_fast.data.datasets import PseudoLesionDataset, collate
from plr_fast.data.store import SliceRecord, StoreWriter
from plr_fast.models import UNet
from plr_fast.training import PretrainConfig
from plr_fast.training.engine import Engine
from plr_fast.training.launch import start_fabric, with_devices, with_precision
from plr_fast.training.pretraining import _build

COUNT, LESIONS = 64, 30
OURS = "plr_fast: its training loop"
# Side of the slices, batch size, widths, patch sides.
SMALL = (96, 8, (8, 16, 32, 64, 64), (2, 5))
LARGE = (256, 4, (16, 32, 64, 128, 128), (5, 25))

Step = Callable[[], None]


def write_store(path: Path, size: int) -> Path:
    generator = np.random.default_rng(0)
    mask = np.zeros((size, size), np.uint8)
    mask[size // 5 : 4 * size // 5, size // 6 : 3 * size // 7] = 1
    mask |= mask[:, ::-1]
    with StoreWriter(path, size=size, count=COUNT + 4, class_names=("normal", "covid")) as writer:
        for i in range(COUNT + 4):
            picture = generator.integers(0, 256, (size, size), np.uint8)
            split = "train" if i < COUNT else "val"
            writer.add(picture, mask, SliceRecord(id=str(i), group=str(i), split=split, label=0))
    return path


def our_step(config: PretrainConfig) -> Step:
    """One optimiser step of the engine after another, epoch by epoch."""
    config = with_precision(with_devices(config))
    task, facts = _build(config)
    engine = Engine(start_fabric(config), task, config, facts)
    engine.model.train()

    def steps() -> Iterator[None]:
        for epoch in count():
            engine.train_batches.set_epoch(epoch)
            fetched = engine._fetch(engine.train_loader)
            for position in range(0, COUNT, config.batch_size):
                engine._train_step(engine.train_batches.step(position), fetched)
                yield

    endless = steps()
    return lambda: next(endless)


class NumpyPairs:
    """Pairs as scripts make them: slice by slice, patch by patch, with NumPy's generator and slices of arrays."""

    def __init__(self, store: SliceStore, bank: LesionBank, batch: int) -> None:
        self.store, self.batch = store, batch
        self.patches = [np.asarray(bank[i]) for i in range(len(bank))]
        self.lungs = [np.argwhere(mask) for mask in store.masks]
        self.generator = np.random.default_rng(0)

    def __call__(self) -> tuple[torch.Tensor, torch.Tensor]:
        images, targets = [], []
        for index in self.generator.integers(0, COUNT, self.batch):
            target = np.array(self.store.slices[index])
            image, mask = target.copy(), self.store.masks[index]
            for _ in range(LESIONS):
                patch = self.patches[self.generator.integers(len(self.patches))]
                y, x = self.lungs[index][self.generator.integers(len(self.lungs[index]))]
                height, width = patch.shape
                top, left = y - height // 2, x - width // 2
                rows = slice(max(top, 0), min(top + height, image.shape[0]))
                columns = slice(max(left, 0), min(left + width, image.shape[1]))
                part = patch[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
                image[rows, columns] = np.where(mask[rows, columns], part, image[rows, columns])
            images.append(torch.from_numpy(image)[None].float() / 255)
            targets.append(torch.from_numpy(target)[None].float() / 255)
        return torch.stack(images), torch.stack(targets)


def plain_step(network: nn.Module, pairs: Callable[[], tuple[torch.Tensor, torch.Tensor]]) -> Step:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.train()

    def step() -> None:
        image, target = pairs()
        loss = F.mse_loss(network(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # as every loop logs it

    return step


def parameters(network: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.2f} M weights"


@pytest.mark.filterwarnings("ignore")  # peers' warnings are not ours to mend
@pytest.mark.parametrize("setting", [SMALL, LARGE], ids=["96", "256"])
def test_step(compare: Any, tmp_path: Path, setting: Any) -> None:
    size, batch, widths, patch = setting
    path = write_store(tmp_path / "store", size)
    config = PretrainConfig(
        store=path, run=tmp_path / "run", batch_size=batch, widths=widths, patch=patch, count=(LESIONS, LESIONS),
        accelerator="cpu", progress=False, threads=1, bank_count=500, bank_images=50,
    )  # fmt: skip
    store, bank = SliceStore.open(path), LesionBank.generate(count=500, images=50, patch=patch)
    pairs = NumpyPairs(store, bank, batch)
    dataset = PseudoLesionDataset(store, np.arange(COUNT), bank=bank, count=LESIONS)
    unet = UNet(1, 1, widths, "batch")

    def ours_pairs() -> tuple[torch.Tensor, torch.Tensor]:
        found = collate(dataset.__getitems__(range(batch)))
        return found["image"], found["target"]

    candidates = [
        Candidate(OURS, our_step(config), batch, parameters(unet)),
        Candidate("the same U-Net in a plain loop, pairs by NumPy", plain_step(unet, pairs), batch, parameters(unet)),
        Candidate("pairs alone: plr_fast", ours_pairs, batch, f"{batch} images"),
        Candidate("pairs alone: NumPy", pairs, batch, f"{batch} images"),
    ]
    absent = []
    try:
        from monai.networks.nets import BasicUNet
    except ImportError:
        absent.append(Absent("MONAI's BasicUNet in a plain loop, pairs by NumPy", "pip install monai"))
    else:
        monai = BasicUNet(spatial_dims=2, features=(*widths, widths[0]))
        label = "MONAI's BasicUNet in a plain loop, pairs by NumPy"
        candidates.insert(2, Candidate(label, plain_step(monai, pairs), batch, parameters(monai)))
    name = f"pretraining step: {size}x{size}, batch {batch}, widths {'-'.join(map(str, widths))}, one CPU thread"
    compare(name, candidates, unit="image", baseline=OURS, absent=absent)
