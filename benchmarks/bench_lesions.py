"""The paper-size bank, and pasting 30 patches into each of 64 slices of 512x512, a quarter of them lung."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import plr_fast
from benchmarks.peers import numba_paste_loop, numpy_paste
from plr_fast import LesionBank, paste_lesions

BATCH, SIZE, COUNT = 64, 512, 30


@pytest.fixture(scope="module")
def bank() -> LesionBank:
    return LesionBank.generate()


@pytest.fixture(scope="module")
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(BATCH, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    lungs = [((y - 256) / 180) ** 2 + ((x - centre) / 62) ** 2 < 1 for centre in (150, 362)]
    mask = lungs[0] | lungs[1]
    assert 0.2 < mask.float().mean() < 0.3
    return images, mask.expand(BATCH, SIZE, SIZE).contiguous()


@pytest.mark.parametrize("backend", ["native", "numba"])
def test_bank(measure: Any, backend: str) -> None:
    plr_fast.use_backend(backend)
    bank = measure("bank: 5,000 patches from 500 noise images of 512x512", 5000, "patch", LesionBank.generate)
    assert len(bank) == 5000


def test_bank_noise_alone(measure: Any) -> None:
    out = torch.empty(20, SIZE, SIZE, dtype=torch.uint8)

    def noise() -> None:
        for first in range(0, 500, 20):
            ids = range(first, first + 20)
            plr_fast.perlin_noise(out.shape, samples=ids, dtype="uint8", grey="minmax", out=out)

    measure("bank: 5,000 patches from 500 noise images of 512x512", 5000, "patch", noise)


@pytest.mark.parametrize("backend", ["native", "numba"])
def test_paste_in_place(measure: Any, bank: LesionBank, scene: tuple[torch.Tensor, torch.Tensor], backend: str) -> None:
    plr_fast.use_backend(backend)
    images, masks = scene[0].clone(), scene[1]
    measure(
        "paste in place, float32", BATCH, "image", lambda: paste_lesions(images, masks, bank, out=images, check=False)
    )


def test_numba_rejection_loop(measure: Any, bank: LesionBank, scene: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, masks = scene[0].numpy().copy(), scene[1].numpy()
    patches = np.zeros((len(bank), 25, 25), np.float32)
    for i, patch in enumerate(bank):
        patches[i, : patch.shape[0], : patch.shape[1]] = patch / 255
    sides = np.stack([bank.packed.heights, bank.packed.widths], axis=1)
    measure("paste in place, float32", BATCH, "image", lambda: numba_paste_loop(images, masks, patches, sides, COUNT))


def test_numpy_slices(measure: Any, bank: LesionBank, scene: tuple[torch.Tensor, torch.Tensor]) -> None:
    images, masks = scene[0].numpy().copy(), scene[1].numpy()
    patches = [(patch / 255).astype(np.float32) for patch in bank]
    generator = np.random.default_rng(0)
    measure("paste in place, float32", BATCH, "image", lambda: numpy_paste(images, masks, patches, COUNT, generator))


@pytest.mark.parametrize("backend", ["native", "numba"])
def test_paste_to_a_buffer(
    measure: Any, bank: LesionBank, scene: tuple[torch.Tensor, torch.Tensor], backend: str
) -> None:
    plr_fast.use_backend(backend)
    images, masks = scene
    out = torch.empty_like(images)
    measure(
        "paste to a buffer, float32", BATCH, "image", lambda: paste_lesions(images, masks, bank, out=out, check=False)
    )


def test_copy_alone(measure: Any, scene: tuple[torch.Tensor, torch.Tensor]) -> None:
    out = torch.empty_like(scene[0])
    measure("paste to a buffer, float32", BATCH, "image", lambda: out.copy_(scene[0]))
