"""Sheets of slices with the outline of their lung masks, to look at: the masks most in doubt first."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .quality import MaskQuality

Picture = npt.NDArray[np.uint8]

MASK_COLOUR, TRUTH_COLOUR = (255, 60, 60), (60, 220, 60)

_CAPTION, _LINES = 40, 3
_LETTER = 6  # width of a letter in pixels, roughly
_GAP = 4


def worst_masks(qualities: Sequence[MaskQuality], count: int = 10) -> list[int]:
    """Indices of the ``count`` masks with the largest ``doubt``, worst first; the earlier of two equals first."""
    return sorted(range(len(qualities)), key=lambda index: (-qualities[index].doubt, index))[:count]


def mask_sheet(
    slices: Sequence[npt.NDArray[Any]],
    masks: Sequence[npt.NDArray[Any]],
    captions: Sequence[str],
    *,
    truths: Sequence[npt.NDArray[Any]] | None = None,
    columns: int = 5,
    cell: int = 240,
) -> Picture:
    """Slices side by side, the outline of the mask in red (over that of the true mask in green), captions above.

    Args:
        slices: uint8 grey (H, W) each, of any sizes; shown with their aspect, the longer side as long as ``cell``.
        masks: bool or 0/1, each of the shape of its slice.
        captions: text for each slice; lines are broken at the cell's width, and cut after three.
        truths: true masks, as ``masks``.
        columns: slices in a row.
        cell: side of a slice's place in pixels.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        ValueError: no slices, lengths or shapes that differ, slices that are not uint8 (H, W).
    """
    lists = [masks, captions] + ([truths] if truths is not None else [])
    if not len(slices) or any(len(other) != len(slices) for other in lists):
        raise ValueError(f"{len(slices)} slices need as many masks and captions, and at least one of each")
    if columns < 1 or cell < 16:
        raise ValueError(f"columns must be at least 1 and cell at least 16, not {columns} and {cell}")
    columns = min(columns, len(slices))
    rows = -(-len(slices) // columns)
    sheet = np.full((rows * (cell + _CAPTION + _GAP) - _GAP, columns * (cell + _GAP) - _GAP, 3), 24, np.uint8)
    for index, picture in enumerate(slices):
        lines = [(masks[index], MASK_COLOUR)]
        if truths is not None:
            lines.insert(0, (truths[index], TRUTH_COLOUR))
        if picture.ndim != 2 or picture.dtype != np.uint8 or any(mask.shape != picture.shape for mask, _ in lines):
            raise ValueError(f"slices[{index}] must be uint8 (H, W) with masks of its shape, not {picture.dtype} "
                             f"{picture.shape} with {[mask.shape for mask, _ in lines]}")  # fmt: skip
        top, left = (index // columns) * (cell + _CAPTION + _GAP), (index % columns) * (cell + _GAP)
        sheet[top : top + _CAPTION, left : left + cell] = _caption(captions[index], cell)
        drawn = _draw(picture, lines, cell)
        sheet[top + _CAPTION :, left:][: drawn.shape[0], : drawn.shape[1]] = drawn
    return sheet


def worst_masks_sheet(
    slices: Sequence[npt.NDArray[Any]],
    masks: Sequence[npt.NDArray[Any]],
    qualities: Sequence[MaskQuality],
    names: Sequence[str] | None = None,
    *,
    count: int = 10,
) -> Picture:
    """:func:`mask_sheet` of the ``count`` masks most in doubt, worst first, each with its name, area and reason.

    Raises:
        ValueError: as :func:`mask_sheet`; or lengths differ, or ``count`` is below 1.
    """
    names = [str(index) for index in range(len(slices))] if names is None else names
    if count < 1 or not len(slices) == len(masks) == len(qualities) == len(names):
        raise ValueError("slices, masks, qualities and names must be equally many, and count at least 1")
    worst = worst_masks(qualities, count)
    return mask_sheet(
        [slices[index] for index in worst],
        [masks[index] for index in worst],
        [describe(names[index], qualities[index]) for index in worst],
    )


def describe(name: str, quality: MaskQuality) -> str:
    """Two lines: name, area and number of regions; why the mask is not plausible, or how it was found."""
    parts = f"{quality.components} part" + ("s" if quality.components != 1 else "")
    judged = f"doubt {quality.doubt:.2f}: {quality.reason or quality.method}"
    return f"{name}, {quality.area_share:.1%}, {parts}\n{judged}"


def png(sheet: Picture) -> bytes:
    """The sheet as the content of a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, format="PNG")
    return stream.getvalue()


def _draw(picture: Picture, lines: list[tuple[npt.NDArray[Any], tuple[int, int, int]]], cell: int) -> Picture:
    from PIL import Image

    from .morphology import outline  # SciPy is loaded only where something is drawn

    factor = cell / max(picture.shape)
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    grey = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    drawn = np.repeat(grey[:, :, None], 3, axis=2)
    for mask, colour in lines:
        large = Image.fromarray(np.asarray(mask).astype(np.uint8) * np.uint8(255)).resize(
            size, Image.Resampling.BILINEAR
        )
        drawn[outline(np.pad(np.asarray(large) >= 128, 1))[1:-1, 1:-1]] = colour
    return drawn


def _caption(text: str, width: int) -> Picture:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, _CAPTION), (24, 24, 24))
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, max(1, width // _LETTER))]
    ImageDraw.Draw(image).multiline_text((2, 0), "\n".join(lines[:_LINES]), fill=(240, 240, 160), spacing=1)
    return np.asarray(image)
