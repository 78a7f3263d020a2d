"""Figures of slices, in the manner of the paper's figures 5, 8 and 10, and a gallery of a classifier's errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .figures import bare, short_labels, shorten, show_grey, styled
from .metrics import BoolArray
from .restoration import Picture
from .sheets import Bar, Heading, Row, build

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from .sheets import Draw

Grey = npt.NDArray[np.uint8]

# Differences are shown from -this to +this of the full grey range; larger ones take the end colours.
DIFFERENCE_RANGE = 0.4
_RESTORERS_ACROSS = 3


@dataclass(frozen=True)
class RestoredExample:
    """One slice and what became of it: the rows of figure 8.

    Attributes:
        label: of the row (restorer and corruption).
        slice_id: of the original.
        original, corrupted, restored: float32 (S, S) in [0, 1].
    """

    label: str
    slice_id: str
    original: Picture
    corrupted: Picture
    restored: Picture


@dataclass(frozen=True)
class RealExample:
    """A real positive slice and its restorations: one block of figure 10.

    Attributes:
        label: of the slice.
        image: float32 (S, S) in [0, 1].
        mask: lung mask, bool (S, S).
        restored: restorer -> float32 (S, S).
    """

    label: str
    image: Picture
    mask: BoolArray
    restored: dict[str, Picture]


@dataclass(frozen=True)
class ErrorExample:
    """A slice that a classifier called wrongly.

    Attributes:
        label: of the slice.
        image: float32 (S, S) in [0, 1].
        score: probability of the positive class.
        positive: true class.
    """

    label: str
    image: Picture
    score: float
    positive: bool


def generation_figure(
    noise: Sequence[Grey], patches: Sequence[Grey], corrupted: Picture, mask: BoolArray | None = None
) -> Figure:
    """Figure 5: (a) Perlin noise images, (b) lesion-like patches cut from noise, (c) a slice with pasted patches.

    Args:
        noise: four uint8 (H, W) noise images of one size.
        patches: uint8 patches of any sizes; as many as fill a square grid are shown, all to the same scale.
        corrupted: float32 (S, S) in [0, 1].
        mask: lungs, bool (S, S): their outline is drawn, which pseudo lesions keep within.
    """
    titles = ("(a) Perlin noise", "(b) lesion-like patches", "(c) pseudo lesions")
    with styled():
        return build(
            [
                Row(
                    [grey_panel(four_in_one(noise)), grey_panel(contact_sheet(patches)), grey_panel(corrupted, mask)],
                    3,
                    titles,
                )
            ]
        )


def restoration_figure(examples: Sequence[RestoredExample]) -> Figure:
    """Figure 8: original, corrupted, restored, and the error that remains; a row for each example."""
    titles = ("original", "corrupted", "restored", "restored − original")
    items: list[Heading | Row | Bar] = []
    for example in examples:
        items.append(Heading(shorten(example.label, 72)))
        panels = [
            grey_panel(example.original),
            grey_panel(example.corrupted),
            grey_panel(example.restored),
            difference_panel(example.restored - example.original),
        ]
        items.append(Row(panels, len(titles), titles if len(items) == 1 else ()))
    items.append(Bar("too dark   ←   what is still wrong   →   too bright"))
    with styled():
        return build(items)


def real_figure(examples: Sequence[RealExample], class_name: str) -> Figure:
    """Figure 10: real positive slices, each restorer's picture of them, and what it took away or added.

    Beside (one restorer) or below (several) each restored picture stands the map restored − original with the outline
    of the lungs: blue is what the restorer darkened (a dense lesion that it took away), red what it brightened.
    """
    names = list(examples[0].restored)
    items: list[Heading | Row | Bar] = []
    for example in examples:
        items.append(Heading(shorten(f"{class_name} slice {example.label}", 72)))
        first = len(items) == 1
        original = grey_panel(example.image)
        if len(names) == 1:
            restored = example.restored[names[0]]
            row = [original, grey_panel(restored), difference_panel(restored - example.image, example.mask)]
            titles: Sequence[str] = ("original", shorten(f"restored by {names[0]}", 32), "restored − original")
            items.append(Row(row, 3, titles if first else ()))
            continue
        labels = dict(zip(names, short_labels(names, 18), strict=True))
        for start in range(0, len(names), _RESTORERS_ACROSS):
            part = names[start : start + _RESTORERS_ACROSS]
            columns = 1 + min(len(names), _RESTORERS_ACROSS)
            pictures = [grey_panel(example.restored[name]) for name in part]
            maps = [difference_panel(example.restored[name] - example.image, example.mask) for name in part]
            titles = ("original", *(labels[name] for name in part))
            items.append(Row([original, *pictures], columns, titles if first else ()))
            items.append(Row([grey_panel(example.image, example.mask), *maps], columns))
    items.append(Bar("darkened   ←   restored − original   →   brightened"))
    with styled():
        return build(items)


def errors_figure(name: str, missed: Sequence[ErrorExample], false_alarms: Sequence[ErrorExample]) -> Figure:
    """The errors a classifier was surest of: missed positives above, false alarms below; no empty rows."""
    items: list[Heading | Row | Bar] = []
    columns = max(3, len(missed), len(false_alarms))
    for title, examples in (("missed positives", missed), ("false alarms", false_alarms)):
        if examples:
            items.append(Heading(f"{shorten(name, 40)}: {title}"))
            titles = [f"{shorten(example.label, 64 // columns)}\nscore {example.score:.2f}" for example in examples]
            items.append(Row([grey_panel(example.image) for example in examples], columns, titles))
    with styled():
        return build(items)


def four_in_one(noise: Sequence[Grey]) -> Grey:
    """Four images of one size, two by two with a white line between: uint8 (H, W). Fewer leave white places."""
    height, width = noise[0].shape
    border = max(2, width // 50)
    four = np.full((2 * height + border, 2 * width + border), 255, dtype=np.uint8)
    for index, image in enumerate(noise[:4]):
        top, left = (index // 2) * (height + border), (index % 2) * (width + border)
        four[top : top + height, left : left + width] = image
    return four


def contact_sheet(patches: Sequence[Grey], *, background: int = 255) -> Grey:
    """Patches of different sizes on one square grid, each centred in its cell: uint8 (H, W)."""
    side = max(1, int(len(patches) ** 0.5))
    chosen = list(patches)[: side * side]
    cell = max(max(patch.shape) for patch in chosen) + 3
    rows = -(-len(chosen) // side)
    sheet = np.full((rows * cell, side * cell), background, dtype=np.uint8)
    for index, patch in enumerate(chosen):
        height, width = patch.shape
        top = (index // side) * cell + (cell - height) // 2
        left = (index % side) * cell + (cell - width) // 2
        sheet[top : top + height, left : left + width] = patch
    return sheet


def grey_panel(image: npt.NDArray[np.generic], mask: BoolArray | None = None) -> Draw:
    """A panel with a slice, float in [0, 1] or uint8, and the outline of its lungs if ``mask`` is given."""

    def draw(axes: Axes) -> None:
        show_grey(axes, image)
        if mask is not None:
            _outline(axes, mask, "#E69F00")

    return draw


def difference_panel(difference: npt.NDArray[np.floating], mask: BoolArray | None = None) -> Draw:
    """A panel with restored − original (float, (S, S)) from blue to red, and the outline of the lungs if given."""

    def draw(axes: Axes) -> AxesImage:
        shown = axes.imshow(difference, cmap="RdBu_r", vmin=-DIFFERENCE_RANGE, vmax=DIFFERENCE_RANGE)
        bare(axes)
        if mask is not None:
            _outline(axes, mask, "#5B6470")
        return shown

    return draw


def _outline(axes: Axes, mask: BoolArray, colour: str) -> None:
    # The outline of nothing, or of everything, does not exist, and matplotlib warns about it.
    if mask.any() and not mask.all():
        axes.contour(mask, levels=[0.5], colors=[colour], linewidths=0.7)
