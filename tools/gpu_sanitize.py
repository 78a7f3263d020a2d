"""Run every kernel once on small arrays, for compute-sanitizer, under which all takes a hundred times as long."""

from __future__ import annotations

import torch

import plr_fast
from plr_fast.ops.homes import home_of


def main(device: str = "cuda", memory: str = "cuda") -> None:
    """Call every operation on ``device``, whose tensors lie in ``memory`` (for tests without a GPU: the CPU's)."""
    shape = (2, 37, 52)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=memory)
    masks = torch.zeros(shape, dtype=torch.bool, device=memory)
    masks[:, 5:30, 6:45] = True
    floats = images / 255
    settings = {"images": 3, "size": 64, "patch": (3, 9), "threshold": 120, "octaves": 2, "cells": 2}
    bank = plr_fast.LesionBank.generate(count=20, **settings, device=device)
    fresh = plr_fast.FreshLesions(**settings, device=device)
    for octaves in (1, 2, 3, 4, 5, 6, 7):
        plr_fast.perlin_noise(shape, octaves=octaves, device=device)
        plr_fast.perlin_noise((2, 3, 9, 17), octaves=octaves, dtype="float16", device=device)
    for grey in ("fixed", "minmax"):
        plr_fast.perlin_noise(shape, dtype="uint8", grey=grey, device=device)
    for batch in (images, floats):
        for size in (3, 5, 9):
            plr_fast.gaussian_blur(batch, size=size)
            plr_fast.gaussian_blur(batch, size=size, windows=3)
        plr_fast.local_shuffle(batch, grid=3)
        plr_fast.local_shuffle(batch, windows=4)
        for form in ("rectangle", "ellipse", "cloud"):
            plr_fast.paste_lesions(batch, masks, bank, count=5, shape=form, blend="alpha", feather=1)
            plr_fast.paste_lesions(
                batch, plr_fast.index_masks(masks), fresh, count=5, shape=form, inside="patch", return_info=True
            )
        for form in ("single", "any"):  # the second with a lesion that no draw gives
            plr_fast.paste_clouds(batch, masks, octaves=2, combine=form, min_area=0 if form == "single" else 500)
    large = torch.randint(0, 256, (1, 200, 200), dtype=torch.uint8, device=memory)
    for batch in (large, large / 255):
        plr_fast.local_shuffle(batch, grid=1)  # too large for shared memory
    home_of(large, "images").backend().scale_grey(images, torch.empty_like(floats), 0)
    home_of(large, "images").wait()


if __name__ == "__main__":
    main()
