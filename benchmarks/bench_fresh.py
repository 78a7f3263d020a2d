"""Fresh lesions: patches per second against a bank of as many new ones, and what they cost where they are pasted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import plr_fast
from benchmarks.rounds import Candidate
from plr_fast import FreshLesions, LesionBank, index_masks, paste_lesions

BATCH, SIZE, COUNT = 64, 512, 30
PATCHES = BATCH * COUNT


def on(backend: str) -> Callable[[], None]:
    return lambda: plr_fast.use_backend(backend)


def test_patches(compare: Any) -> None:
    lesions = FreshLesions()
    packed = lesions.patches(range(BATCH), COUNT)
    assert packed.heights.min() > 0
    assert len(LesionBank.generate(PATCHES)) == PATCHES
    compare(
        "1,920 new patches",
        [
            Candidate("fresh, native", lambda: lesions.patches(range(BATCH), COUNT), PATCHES, prepare=on("native")),
            Candidate("fresh, numba", lambda: lesions.patches(range(BATCH), COUNT), PATCHES, prepare=on("numba")),
            Candidate("a bank, native", lambda: LesionBank.generate(PATCHES), PATCHES, prepare=on("native")),
        ],
        unit="patch",
        baseline="a bank, native",
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
def test_pasting(compare: Any, dtype: torch.dtype) -> None:
    grey = torch.randint(0, 256, (BATCH, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = grey if dtype == torch.uint8 else grey / 255
    masks = torch.zeros(BATCH, SIZE, SIZE, dtype=torch.bool)
    masks[:, 128:384, 64:448] = True
    index, out = index_masks(masks), torch.empty_like(images)

    def pasted(lesions: LesionBank | FreshLesions) -> Callable[[], torch.Tensor]:
        return lambda: paste_lesions(images, index, lesions, out=out, check=False)

    name = str(dtype).removeprefix("torch.")
    compare(
        f"paste 30 patches into a buffer, {name}",
        [
            Candidate("fresh", pasted(FreshLesions()), BATCH),
            Candidate("from a bank", pasted(LesionBank.generate()), BATCH),
        ],
        unit="image",
        baseline="from a bank",
    )
