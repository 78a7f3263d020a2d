"""The paper-size bank, and pasting 30 patches into each of 64 slices of 512x512, a quarter of them lung."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import plr_fast
from benchmarks.peers import numba_paste_loop, numpy_paste
from plr_fast import LesionBank, index_masks, paste_lesions

BATCH, SIZE, COUNT = 64, 512, 30


@pytest.fixture(scope="module")
def bank() -> LesionBank:
    return LesionBank.generate()


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """Return slices (float32) and lung masks (bool): NumPy's memory for everybody, for it comes in large pages."""
    images = np.random.default_rng(0).random((BATCH, SIZE, SIZE), np.float32)
    y, x = np.mgrid[:SIZE, :SIZE]
    lungs = [((y - 256) / 180) ** 2 + ((x - centre) / 62) ** 2 < 1 for centre in (150, 362)]
    mask = lungs[0] | lungs[1]
    assert 0.2 < mask.mean() < 0.3
    return images, np.repeat(mask[None], BATCH, axis=0)


def slices(scene: tuple[np.ndarray, np.ndarray], dtype: str) -> np.ndarray:
    """Return slices of their own for one test."""
    return scene[0].copy() if dtype == "float32" else (scene[0] * 255).astype(np.uint8)


def fresh_samples() -> Iterator[np.ndarray]:
    """Yield sample ids that no call had before: repeated ones would find their lines in the cache."""
    return (np.arange(first, first + BATCH) for first in itertools.count(0, BATCH))


@pytest.mark.parametrize("backend", ["native", "numba"])
def test_bank(measure: Any, backend: str) -> None:
    plr_fast.use_backend(backend)
    bank = measure("bank: 5,000 patches from 500 noise images of 512x512", 5000, "patch", LesionBank.generate)
    assert len(bank) == 5000


def test_bank_of_many_cells(measure: Any) -> None:
    group = "bank: 5,000 patches from 500 noise images of 512x512"
    measure(group, 5000, "patch", lambda: LesionBank.generate(cells=(2, 10)))


def test_bank_noise_alone(measure: Any) -> None:
    out = torch.empty(20, SIZE, SIZE, dtype=torch.uint8)

    def noise() -> None:
        for first in range(0, 500, 20):
            ids = range(first, first + 20)
            plr_fast.perlin_noise(out.shape, samples=ids, dtype="uint8", grey="minmax", out=out)

    measure("bank: 5,000 patches from 500 noise images of 512x512", 5000, "patch", noise)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("backend", ["native", "numba"])
def test_paste_in_place(
    measure: Any, bank: LesionBank, scene: tuple[np.ndarray, np.ndarray], backend: str, dtype: str
) -> None:
    plr_fast.use_backend(backend)
    images, masks, samples = slices(scene, dtype), index_masks(scene[1]), fresh_samples()

    def paste() -> None:
        paste_lesions(images, masks, bank, samples=next(samples), out=images, check=False)

    measure(f"paste in place, {dtype}", BATCH, "image", paste)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_plain_masks_in_place(measure: Any, bank: LesionBank, scene: tuple[np.ndarray, np.ndarray], dtype: str) -> None:
    images, masks, samples = slices(scene, dtype), scene[1], fresh_samples()

    def paste() -> None:
        paste_lesions(images, masks, bank, samples=next(samples), out=images, check=False)

    measure(f"paste in place, {dtype}", BATCH, "image", paste)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_numba_rejection_loop(measure: Any, bank: LesionBank, scene: tuple[np.ndarray, np.ndarray], dtype: str) -> None:
    images, masks = slices(scene, dtype), scene[1]
    patches = np.zeros((len(bank), 25, 25), np.float32)
    for i, patch in enumerate(bank):
        patches[i, : patch.shape[0], : patch.shape[1]] = patch
    patches = patches / 255 if dtype == "float32" else patches.astype(np.uint8)
    sides = np.stack([bank.packed.heights, bank.packed.widths], axis=1)
    measure(f"paste in place, {dtype}", BATCH, "image", lambda: numba_paste_loop(images, masks, patches, sides, COUNT))


@pytest.mark.parametrize("backend", ["native", "numba"])
@pytest.mark.parametrize(
    ("group", "kwargs"),
    [
        ("clouds", {"blend": "alpha", "alpha": (0.3, 0.9), "shape": "cloud"}),
        ("feathered rectangles", {"blend": "alpha", "alpha": (0.3, 0.9), "feather": 4}),
        ("whole patches", {"inside": "patch"}),
        ("marked pixels", {"lesion_mask": np.empty((BATCH, SIZE, SIZE), bool)}),
    ],
)
def test_paste_options(
    measure: Any, bank: LesionBank, scene: tuple[np.ndarray, np.ndarray], backend: str, group: str, kwargs: Any
) -> None:
    plr_fast.use_backend(backend)
    images, masks, samples = slices(scene, "float32"), index_masks(scene[1]), fresh_samples()

    def paste() -> None:
        paste_lesions(images, masks, bank, samples=next(samples), out=images, check=False, **kwargs)

    measure(f"paste in place, float32, {group}", BATCH, "image", paste)


def test_numpy_slices(measure: Any, bank: LesionBank, scene: tuple[np.ndarray, np.ndarray]) -> None:
    images, masks = slices(scene, "float32"), scene[1]
    patches = [(patch / 255).astype(np.float32) for patch in bank]
    generator = np.random.default_rng(0)
    measure("paste in place, float32", BATCH, "image", lambda: numpy_paste(images, masks, patches, COUNT, generator))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("backend", ["native", "numba"])
def test_paste_to_a_buffer(
    measure: Any, bank: LesionBank, scene: tuple[np.ndarray, np.ndarray], backend: str, dtype: str
) -> None:
    plr_fast.use_backend(backend)
    images, masks, samples = slices(scene, dtype), index_masks(scene[1]), fresh_samples()
    out = np.empty_like(images)

    def paste() -> None:
        paste_lesions(images, masks, bank, samples=next(samples), out=out, check=False)

    measure(f"paste to a buffer, {dtype}", BATCH, "image", paste)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("by", ["numpy", "torch"])
def test_copy_alone(measure: Any, scene: tuple[np.ndarray, np.ndarray], by: str, dtype: str) -> None:
    images = slices(scene, dtype)
    out = np.empty_like(images)
    tensors = torch.from_numpy(out), torch.from_numpy(images)
    calls = {"numpy": lambda: np.copyto(out, images), "torch": lambda: tensors[0].copy_(tensors[1])}
    measure(f"paste to a buffer, {dtype}", BATCH, "image", calls[by])


def test_index_masks(measure: Any, scene: tuple[np.ndarray, np.ndarray]) -> None:
    measure("index masks", BATCH, "image", lambda: index_masks(scene[1]))
