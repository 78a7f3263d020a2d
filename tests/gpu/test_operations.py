"""Every operation on a GPU gives the bits of the native backend: as the same calls on NumPy's arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from plr_fast import (
    FreshLesions,
    LesionBank,
    gaussian_blur,
    index_masks,
    local_shuffle,
    paste_clouds,
    paste_lesions,
    perlin_noise,
)

SIZES = [(3, 64, 64), (2, 33, 47), (4, 512, 512), (1, 1, 1), (5, 3, 1000)]
IDS = [5, -2, 2**40, 7, 0]


@pytest.fixture(scope="module")
def bank() -> LesionBank:
    return LesionBank.generate(count=300, images=20, size=128, seed=3)


@pytest.fixture(scope="module")
def fresh() -> FreshLesions:
    return FreshLesions(images=20, size=128, seed=3)


def scene(dtype: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, shape, np.uint8)
    rows, columns = np.mgrid[: shape[-2], : shape[-1]]
    disc = (rows / shape[-2] - 0.5) ** 2 + (columns / shape[-1] - 0.5) ** 2 < 0.16
    masks = np.broadcast_to(disc, shape).copy()
    masks[-1] = shape[0] == 1
    return (images if dtype == np.uint8 else (images / 255).astype(np.float32)), masks


def same(result: Any, expected: np.ndarray) -> None:
    assert result.is_cuda
    host = result.cpu().numpy()
    assert host.dtype == expected.dtype
    np.testing.assert_array_equal(host.view(np.uint8), np.ascontiguousarray(expected).view(np.uint8))


@pytest.mark.parametrize("octaves", [1, 2, 4, 5, 6, 7, 12])
@pytest.mark.parametrize("shape", [*SIZES, (2, 5, 40, 33)], ids=str)
def test_noise(gpu: torch.device, shape: tuple[int, ...], octaves: int) -> None:
    for dtype, grey in (("float32", "fixed"), ("float16", "fixed"), ("uint8", "fixed"), ("uint8", "minmax")):
        settings: dict[str, Any] = {"octaves": octaves, "dtype": dtype, "grey": grey, "seed": 9, "cells": 3.3}
        expected = perlin_noise(shape, **settings, out=np.empty(shape, dtype), samples=IDS[: shape[0]])
        same(perlin_noise(shape, **settings, device=gpu, samples=IDS[: shape[0]]), expected)


def test_noise_bfloat16_tiles_and_strides(gpu: torch.device) -> None:
    host = perlin_noise((3, 65, 72), dtype="bfloat16", tileable=True)
    assert torch.equal(perlin_noise((3, 65, 72), dtype="bfloat16", tileable=True, device=gpu).cpu(), host)
    expected = perlin_noise((3, 65, 72))
    for out in (
        torch.zeros(3, 65, 144, device=gpu)[..., 1:73],
        torch.zeros(65, 72, 3, device=gpu).permute(2, 0, 1),
    ):
        assert perlin_noise((3, 65, 72), out=out) is out
        assert torch.equal(out.cpu(), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("windows", [None, 7])
def test_filters(gpu: torch.device, dtype: Any, shape: tuple[int, ...], windows: int | None) -> None:
    images, _ = scene(dtype, shape)
    given = torch.from_numpy(images).to(gpu)
    blocks = {"grid": (min(10, shape[1]), min(10, shape[2]))}
    for operation, settings in (
        (gaussian_blur, {}),
        (gaussian_blur, {"size": 9, "sigma": 2.0}),
        (local_shuffle, blocks),
        (local_shuffle, {"grid": 1}),
    ):
        arguments: dict[str, Any] = {"seed": 4, "samples": IDS[: shape[0]], "windows": windows, **settings}
        expected = operation(images, **arguments)
        same(operation(given, **arguments), expected)
        copy = given.clone()
        same(operation(copy, **arguments, out=copy), expected)


PASTES: list[dict[str, Any]] = [
    {},
    {"count": (0, 50), "shape": "ellipse", "blend": "max"},
    {"blend": "alpha", "alpha": (0.2, 0.9), "feather": 3},
    {"blend": "add", "alpha": 0.5, "shape": "cloud", "inside": "patch"},
    {"count": 1500, "blend": "alpha", "alpha": 0.5},
]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("settings", PASTES, ids=str)
@pytest.mark.parametrize("kind", ["bank", "fresh"])
def test_paste(
    gpu: torch.device, bank: LesionBank, fresh: FreshLesions, kind: str, settings: dict[str, Any], dtype: Any
) -> None:
    lesions: Any = bank if kind == "bank" else fresh
    moved = lesions.to(gpu)
    for shape in ((4, 512, 512), (2, 33, 47)):
        images, masks = scene(dtype, shape)
        arguments = {"seed": 9, "samples": IDS[: shape[0]], "return_info": True, "lesion_mask": True, **settings}
        expected, told = paste_lesions(images, masks, lesions, **arguments)
        given, lungs = torch.from_numpy(images).to(gpu), torch.from_numpy(masks).to(gpu)
        for source in (lungs, index_masks(lungs)):
            result, info = paste_lesions(given, source, moved, **arguments)
            same(result, expected)
            for name in ("counts", "empty", "skipped", "boxes", "patches", "opacity", "lesion_mask"):
                same(getattr(info, name), getattr(told, name))


CLOUDS: list[dict[str, Any]] = [
    {},
    {"combine": "any", "threshold": (100, 220), "softness": 255, "min_area": 0},
    {"combine": "any", "threshold": (150, 254), "min_area": 900, "octaves": 3, "texture": 200},
    {"blend": "add", "alpha": (0.2, 1.0), "threshold": 254, "min_area": 2**31 - 1, "octaves": 7},
]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("settings", CLOUDS, ids=str)
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_clouds(gpu: torch.device, shape: tuple[int, ...], settings: dict[str, Any], dtype: Any) -> None:
    images, masks = scene(dtype, shape)
    arguments = {"seed": 9, "samples": IDS[: shape[0]], "return_info": True, "lesion_mask": True, **settings}
    expected, told = paste_clouds(images, masks, **arguments)
    result, info = paste_clouds(torch.from_numpy(images).to(gpu), torch.from_numpy(masks).to(gpu), **arguments)
    same(result, expected)
    for name in ("empty", "area", "share", "opacity", "threshold", "draws", "lowered", "lesion_mask"):
        same(getattr(info, name), getattr(told, name))
    assert [("single", "union", "intersection", "")[n] for n in info.combine.tolist()] == told.combine.tolist()


def test_tables_of_fresh_lesions(gpu: torch.device, fresh: FreshLesions) -> None:
    made = FreshLesions(images=20, size=128, seed=3, device=gpu)
    for name, part in vars(fresh._table).items():
        np.testing.assert_array_equal(getattr(made._table, name), part, err_msg=name)
    assert made._centre == fresh._centre


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_mask_index(gpu: torch.device, shape: tuple[int, ...]) -> None:
    _, masks = scene(np.uint8, shape)
    index, expected = index_masks(torch.from_numpy(masks).to(gpu)), index_masks(masks)
    same(index.packed.bits, expected.packed.bits.view(np.int64))
    same(index.packed.before, expected.packed.before.view(np.int32))
    same(index.unpack(), masks)
    same(index[[0, 0]].unpack(), masks[[0, 0]])


def test_cupy_arrays(gpu: torch.device, bank: LesionBank) -> None:
    cupy = pytest.importorskip("cupy")
    images, masks = scene(np.float32, (4, 96, 80))
    given, lungs = cupy.asarray(images), cupy.asarray(masks)
    results = {
        "noise": (perlin_noise((4, 96, 80), out=cupy.empty((4, 96, 80), "float32")), perlin_noise((4, 96, 80)).numpy()),
        "blur": (gaussian_blur(given), gaussian_blur(images)),
        "shuffle": (local_shuffle(given, samples=cupy.arange(4)), local_shuffle(images)),
        "paste": (
            paste_lesions(given, lungs, bank.to(gpu)),
            paste_lesions(images, masks[:], bank, return_info=True)[0],
        ),
        "clouds": (paste_clouds(given, lungs), paste_clouds(images, masks, return_info=True)[0]),
    }
    for name, (result, expected) in results.items():
        assert isinstance(result, cupy.ndarray), name
        np.testing.assert_array_equal(cupy.asnumpy(result), expected, err_msg=name)
    with pytest.raises(TypeError, match="of different libraries"):
        gaussian_blur(given, out=torch.empty(4, 96, 80, device=gpu))
