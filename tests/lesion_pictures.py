"""Folders of pictures with lesions and their masks, as data sets of segmented lesions have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from plr_fast.data import thorax_phantom


def write_lesion_folder(folder: Path, *, patients: int, slices: int, size: int, radius: int) -> Path:
    """Write ``images`` and ``masks``: phantom slices with a rough bright disc in the lung of each."""
    phantom = thorax_phantom(patients, slices, size, positive_share=0.0, seed=0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    y, x = np.mgrid[:size, :size]
    for i, (picture, lung) in enumerate(zip(phantom.slices, phantom.masks, strict=True)):
        place = np.argwhere(lung)[lung.sum() // 3]
        mask = (y - place[0]) ** 2 + (x - place[1]) ** 2 < radius**2
        rough = 120 + 15 * gaussian_filter(np.random.default_rng(i).normal(size=mask.shape), 1)
        Image.fromarray(np.where(mask, rough, picture).astype(np.uint8)).save(folder / "images" / f"{i}.png")
        Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(folder / "masks" / f"{i}.png")
    return folder
