"""Lesions outlined by noise over the whole slice, 512x512, a quarter of each slice lung."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import plr_fast
from benchmarks.peers import numpy_clouds
from benchmarks.rounds import Candidate
from plr_fast import paste_clouds, perlin_noise

BATCH, SIZE = 16, 512


def test_clouds(compare: Any) -> None:
    grey = np.random.default_rng(0).integers(0, 120, (BATCH, SIZE, SIZE), np.uint8)
    floats = (grey / 255).astype(np.float32)
    y, x = np.mgrid[:SIZE, :SIZE]
    lungs = [((y - 256) / 180) ** 2 + ((x - centre) / 62) ** 2 < 1 for centre in (150, 362)]
    masks = np.repeat((lungs[0] | lungs[1])[None], BATCH, axis=0)
    assert 0.2 < masks.mean() < 0.3
    noise = np.empty((BATCH, 2, SIZE, SIZE), np.uint8)
    out, grey_out = np.empty_like(floats), np.empty_like(grey)

    def make_noise() -> None:
        perlin_noise((2 * BATCH, SIZE, SIZE), dtype="uint8", grey="minmax", out=noise.reshape(-1, SIZE, SIZE))

    def whole_slices() -> None:
        make_noise()
        numpy_clouds(floats, masks, noise, out)

    def candidate(label: str, call: Callable[[], Any], backend: str = "native", amount: str = "") -> Candidate:
        return Candidate(label, call, BATCH, amount, partial(plr_fast.use_backend, backend))

    clouds = partial(paste_clouds, masks=masks, check=False)
    compare(
        "clouds: noise over whole slices",
        [
            candidate("paste_clouds, uint8", lambda: clouds(grey, out=grey_out)),
            candidate("paste_clouds, uint8, Numba", lambda: clouds(grey, out=grey_out), "numba"),
            candidate("paste_clouds, uint8, even grey", lambda: clouds(grey, out=grey_out, texture=150)),
            candidate("paste_clouds, uint8, union", lambda: clouds(grey, out=grey_out, combine="union")),
            candidate("paste_clouds, float32", lambda: clouds(floats, out=out)),
            candidate("our noise, then NumPy over whole slices, float32", whole_slices),
            candidate("the two noise images alone", make_noise),
        ],
        unit="image",
        baseline="our noise, then NumPy over whole slices, float32",
        notes=["outline and texture 4 octaves of 4 cells each; the union makes a third noise image"],
    )
