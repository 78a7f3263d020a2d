"""Sheets of slices with the outlines of their masks."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plr_fast.data.lungs.masks import MaskQuality
from plr_fast.data.lungs.quality import no_mask
from plr_fast.data.lungs.sheet import (
    MASK_COLOUR,
    TRUTH_COLOUR,
    mask_sheet,
    png,
    worst_masks,
    worst_masks_sheet,
)


def quality(doubt: float) -> MaskQuality:
    return dataclasses.replace(no_mask("made up"), doubt=doubt)


def test_the_worst_come_first() -> None:
    doubts = [0.5, float("inf"), 0.7, 2.0, 0.7, 0.1]
    assert worst_masks([quality(doubt) for doubt in doubts], 4) == [1, 3, 2, 4]
    assert worst_masks([quality(doubt) for doubt in doubts]) == [1, 3, 2, 4, 0, 5]


def test_outlines_are_drawn_where_the_masks_are() -> None:
    picture = np.full((60, 120), 100, np.uint8)  # twice as wide as high: half of its place stays empty
    mask, truth = np.zeros((2, 60, 120), np.bool_)
    mask[10:30, 20:50] = True
    truth[40:50, 60:110] = True
    sheet = mask_sheet([picture], [mask], ["a name"], truths=[truth], cell=120)
    for colour, (top, bottom, left, right) in ((MASK_COLOUR, (10, 30, 20, 50)), (TRUTH_COLOUR, (40, 50, 60, 110))):
        rows, columns = np.nonzero((sheet == colour).all(axis=2))
        offset = sheet.shape[0] - 120
        assert (rows.min() - offset, rows.max() - offset, columns.min(), columns.max()) == (
            top, bottom - 1, left, right - 1,
        )  # fmt: skip
    assert (sheet[-120 + 20, 30] == 100).all()  # inside the outline the slice is as it was


def test_sizes_may_differ_and_long_captions_are_broken() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, shape).astype(np.uint8) for shape in ((50, 50), (16, 300), (300, 16), (64, 40))]
    masks = [picture > 200 for picture in pictures]
    sheet = mask_sheet(pictures, masks, ["x" * 500, "two\nlines", "", "word " * 50], columns=3, cell=64)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 3 * 64 + 2 * 4
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(sheet)))), sheet)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"slices": [], "masks": [], "captions": []}, "at least one"),
        ({"captions": []}, "as many masks and captions"),
        ({"truths": []}, "as many masks"),
        ({"masks": [np.zeros((8, 9), bool)]}, r"slices\[0\] must be uint8 \(H, W\) with masks of its shape"),
        ({"slices": [np.zeros((8, 8), np.float32)]}, r"slices\[0\] must be uint8"),
        ({"columns": 0}, "columns must be at least 1"),
    ],
)
def test_wrong_sheets(changes: dict[str, Any], text: str) -> None:
    good: dict[str, Any] = {"slices": [np.zeros((8, 8), np.uint8)], "masks": [np.zeros((8, 8), bool)], "captions": [""]}
    arguments = good | changes
    with pytest.raises(ValueError, match=text):
        mask_sheet(arguments.pop("slices"), arguments.pop("masks"), arguments.pop("captions"), **arguments)


def test_wrong_worst_sheets() -> None:
    with pytest.raises(ValueError, match="equally many"):
        worst_masks_sheet([np.zeros((8, 8), np.uint8)], [np.zeros((8, 8), bool)], [])
