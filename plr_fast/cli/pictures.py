"""Writing grey pictures: single files, and contact sheets to look many over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def comparison(originals: Grey, pseudo: Grey) -> list[tuple[str, Grey]]:
    """Return (title, picture) for each normal slice, the pseudo slice, and their difference: grey where it is 0."""
    panels = []
    for normal, picture in zip(originals, pseudo, strict=True):
        difference = (picture.astype(np.int16) - normal) // 2 + 128
        panels += [("normal", normal), ("pseudo", picture), ("difference", difference.astype(np.uint8))]
    return panels


def captioned(rows: list[tuple[str, list[tuple[str, Grey]]]], gap: int = 4, text: int = 20) -> Grey:
    """Return rows of pictures (of one size) with a caption above each row and a title above each picture.

    Captions and titles too long for their place are broken into lines.
    """
    from PIL import ImageFont

    font = ImageFont.load_default(text - 6)
    height, width = rows[0][1][0][1].shape
    columns = max(len(panels) for _, panels in rows)
    full = columns * (width + gap) - gap
    bands: list[Grey] = []
    for caption, panels in rows:
        bands.append(_text(caption, full, text, font, 250))
        titles = [_text(title, width, text, font, 170) for title, _ in panels]
        top = max(len(title) for title in titles)
        band = np.full((top + height + 2 * gap, full), 24, np.uint8)
        for j, (title, (_, picture)) in enumerate(zip(titles, panels, strict=True)):
            left = j * (width + gap)
            band[: len(title), left : left + width] = title
            band[top : top + height, left : left + width] = picture
        bands.append(band)
    return np.concatenate(bands)


def _text(text: str, width: int, line: int, font: Any, grey: int) -> Grey:
    """Return ``text`` in as many lines as it takes, (lines * line, width)."""
    from PIL import Image, ImageDraw

    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > width - 4 and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    image = Image.new("L", (width, line * len(lines)), 24)
    draw = ImageDraw.Draw(image)
    for i, words in enumerate(lines):
        draw.text((2, i * line + line // 2), words, fill=grey, font=font, anchor="lm")
    return np.asarray(image)
