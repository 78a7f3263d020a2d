"""Gaussian blur (PLR-G) and local shuffle (PLR-L) of 16 images of 512x512."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import plr_fast
from benchmarks.peers import genesis_shuffle

BATCH, SIZE = 16, 512


def images(dtype: Any) -> np.ndarray:
    grey = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE), np.uint8)
    return grey if dtype == np.uint8 else (grey / 255).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("backend", ["native", "numba"])
def test_blur(measure: Any, backend: str, dtype: Any) -> None:
    plr_fast.use_backend(backend)
    source = images(dtype)
    out = np.empty_like(source)
    measure(
        f"blur 5x5, {np.dtype(dtype)}",
        BATCH,
        "image",
        lambda: plr_fast.gaussian_blur(source, out=out, check=False),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_blur_opencv(measure: Any, dtype: Any) -> None:
    cv2 = pytest.importorskip("cv2")
    cv2.setNumThreads(1)
    source = images(dtype)
    out = np.empty_like(source)

    def blur() -> None:
        for i in range(BATCH):
            cv2.GaussianBlur(source[i], (5, 5), 0, dst=out[i])

    blur()
    difference = np.abs(plr_fast.gaussian_blur(source).astype(float) - out)
    assert difference.max() <= (1 if dtype == np.uint8 else 1e-6), "the same blur is compared"
    measure(f"blur 5x5, {np.dtype(dtype)}", BATCH, "image", blur)


@pytest.mark.parametrize("backend", ["native", "numba"])
def test_shuffle_grid(measure: Any, backend: str) -> None:
    plr_fast.use_backend(backend)
    source = images(np.float32)
    out = np.empty_like(source)
    measure(
        "shuffle, 10x10 grid, float32", BATCH, "image", lambda: plr_fast.local_shuffle(source, out=out, check=False)
    )


@pytest.mark.parametrize("backend", ["native", "numba"])
def test_shuffle_windows(measure: Any, backend: str) -> None:
    plr_fast.use_backend(backend)
    source = images(np.float32)
    out = np.empty_like(source)
    measure(
        "shuffle, 1,000 windows, float32",
        BATCH,
        "image",
        lambda: plr_fast.local_shuffle(source, windows=1000, out=out, check=False),
    )


def test_shuffle_windows_genesis(measure: Any) -> None:
    source = images(np.float32)[0]
    generator = np.random.default_rng(0)
    measure("shuffle, 1,000 windows, float32", 1, "image", lambda: genesis_shuffle(source, 1000, generator))
