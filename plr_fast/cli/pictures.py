"""Writing grey pictures: single files, and contact sheets to look many over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import atomic_path

Grey = NDArray[np.uint8]


def write_png(path: Path, picture: Grey) -> None:
    """Write an 8-bit grey picture (H, W) atomically."""
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def contact_sheet(rows: list[list[Grey]], gap: int = 4) -> Grey:
    """Return pictures of one size side by side, row by row, on dark grey."""
    height, width = rows[0][0].shape
    columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap), 48, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            sheet[i * (height + gap) :, j * (width + gap) :][:height, :width] = picture
    return sheet
