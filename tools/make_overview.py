"""Make the README's picture from a finished demo: `python tools/make_overview.py DEMO docs/images/overview.png`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from plr_fast import LesionBank, paste_lesions, perlin_noise
from plr_fast.data import SliceStore
from plr_fast.training import load_unet

SIDE, GAP, TITLE = 232, 8, 30
TITLES = ("Perlin noise", "bright patches", "normal slice", "pseudo lesions", "restored by the U-Net")


def main(demo: Path, target: Path) -> None:
    store = SliceStore.open(demo / "store")
    bank = LesionBank.load(demo / "bank.npz")
    unet = load_unet(demo / "pretrain-plr-p")
    normal = store.select("test", 0)
    chosen = normal[[3, len(normal) // 2 + 3]]  # slices that training has not seen, of two patients
    slices = np.array(store.slices[chosen])
    pseudo = paste_lesions(slices, np.array(store.masks[chosen]), bank, seed=99, samples=[0, 1])
    with torch.inference_mode():
        restored = unet(torch.from_numpy(pseudo[:, None] / np.float32(255)))[:, 0].clamp(0, 1)
    columns = (
        perlin_noise((2, SIDE, SIDE), seed=3, dtype="uint8", grey="minmax").numpy(),
        np.stack([patches(bank, 0), patches(bank, 64)]),
        slices,
        pseudo,
        (restored * 255).round().to(torch.uint8).numpy(),
    )
    width, height = len(columns) * (SIDE + GAP) - GAP, TITLE + 2 * (SIDE + GAP) - GAP
    sheet = Image.new("L", (width, height), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for i, (title, pictures) in enumerate(zip(TITLES, columns, strict=True)):
        left = i * (SIDE + GAP)
        draw.text((left + SIDE // 2, TITLE // 2), title, fill=0, font=font, anchor="mm")
        for j, picture in enumerate(pictures):
            place = (left, TITLE + j * (SIDE + GAP))
            sheet.paste(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC), place)
    target.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(target, optimize=True)


def patches(bank: LesionBank, first: int) -> np.ndarray:
    """Return 8 x 8 patches of the bank, centred in their cells."""
    side = int(max(bank.packed.heights.max(), bank.packed.widths.max())) + 2
    sheet = np.full((8 * side, 8 * side), 24, np.uint8)
    for i, patch in enumerate(bank[first : first + 64]):
        top, left = i // 8 * side + (side - patch.shape[0]) // 2, i % 8 * side + (side - patch.shape[1]) // 2
        sheet[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    return sheet


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
