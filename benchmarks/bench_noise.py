"""Octave noise, 64 images of 512x512 float32 into a reused buffer, against filling memory and what users have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import plr_fast
from benchmarks.peers import numba_textbook_noise, torch_broadcast_noise

SHAPE = (64, 512, 512)
PIXELS = 64 * 512 * 512
SETTINGS = [(4, 1), (4, 4), (4, 6), (64, 1)]


def group(cells: int, octaves: int) -> str:
    return f"noise, {cells} cells, {octaves} octave{'s' if octaves > 1 else ''}"


@pytest.fixture(scope="module")
def buffer() -> torch.Tensor:
    return torch.empty(SHAPE)


@pytest.mark.parametrize(("cells", "octaves"), SETTINGS)
def test_fill_with_a_constant(measure: Any, buffer: torch.Tensor, cells: int, octaves: int) -> None:
    measure(group(cells, octaves), PIXELS, "pixel", lambda: buffer.fill_(0.5))


@pytest.mark.parametrize(("cells", "octaves"), SETTINGS)
@pytest.mark.parametrize("backend", ["native", "numba"])
def test_plr_fast(measure: Any, buffer: torch.Tensor, backend: str, cells: int, octaves: int) -> None:
    plr_fast.use_backend("reference")
    expected = plr_fast.perlin_noise((1, 64, 64), cells=cells, octaves=octaves)
    plr_fast.use_backend(backend)
    torch.testing.assert_close(
        plr_fast.perlin_noise((1, 64, 64), cells=cells, octaves=octaves), expected, atol=1e-5, rtol=0
    )
    measure(
        group(cells, octaves),
        PIXELS,
        "pixel",
        lambda: plr_fast.perlin_noise(SHAPE, cells=cells, octaves=octaves, out=buffer),
    )


@pytest.mark.parametrize(("cells", "octaves"), SETTINGS)
def test_torch_broadcast_eager(measure: Any, cells: int, octaves: int) -> None:
    generator = torch.Generator().manual_seed(0)
    measure(
        group(cells, octaves), 8 * 512 * 512, "pixel", lambda: torch_broadcast_noise(8, 512, cells, octaves, generator)
    )


@pytest.mark.parametrize(("cells", "octaves"), SETTINGS)
def test_numba_textbook_loop(measure: Any, cells: int, octaves: int) -> None:
    out = np.empty((512, 512), np.float32)
    permutation = np.random.default_rng(0).permutation(256)
    angles = np.arange(256) * (np.pi / 128)
    gradients = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    measure(
        group(cells, octaves),
        512 * 512,
        "pixel",
        lambda: numba_textbook_noise(out, permutation, gradients, float(cells), octaves),
    )
