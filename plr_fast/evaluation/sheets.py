"""Sheets of pictures: rows of equal square panels, placed to the hundredth of an inch, with headings and a colour bar.

matplotlib's automatic layouts leave uneven gaps between image panels; here every place is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from .figures import WIDTH, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    Draw = Callable[[Axes], AxesImage | None]

GAP = 0.05  # inches between panels
_MARGIN = 0.02
_HEADING, _TITLE, _BAR = 0.2, 0.19, 0.5


@dataclass(frozen=True)
class Heading:
    """A bold line above the rows that belong to it."""

    text: str


@dataclass(frozen=True)
class Row:
    """Panels side by side.

    Attributes:
        draw: what draws each panel; None leaves its place empty. A panel that returns its image may get the colour bar.
        titles: above the panels, one or two lines each; none where empty.
        columns: how many panels would fill the width; sets the panels' size.
    """

    draw: Sequence[Draw | None]
    columns: int
    titles: Sequence[str] = ()

    @property
    def cell(self) -> float:
        return (WIDTH - 2 * _MARGIN - (self.columns - 1) * GAP) / self.columns

    @property
    def title_height(self) -> float:
        lines = max((title.count("\n") + 1 for title in self.titles if title), default=0)
        return 0.05 + lines * (_TITLE - 0.05) if lines else 0.0

    @property
    def height(self) -> float:
        return self.title_height + self.cell + GAP


@dataclass(frozen=True)
class Strip:
    """Small pictures side by side in one panel: many axes take long to draw.

    Attributes:
        pictures: uint8 (N, S, S), grey.
        columns: how many pictures would fill the width; sets their size.
        draw: what draws the strip, uint8 (S, at least N × S).
    """

    pictures: npt.NDArray[np.uint8]
    columns: int
    draw: Callable[[npt.NDArray[np.uint8]], Draw]

    @property
    def cell(self) -> float:
        return Row((), self.columns).cell

    @property
    def joined(self) -> npt.NDArray[np.uint8]:
        """The pictures with white gaps between them, as wide as those between panels."""
        count, side, _ = self.pictures.shape
        gap = max(1, round(side * GAP / self.cell))
        found = np.full((side, count * (side + gap) - gap), 255, np.uint8)
        for number, picture in enumerate(self.pictures):
            found[:, number * (side + gap) :][:, :side] = picture
        return found

    @property
    def height(self) -> float:
        return self.cell + GAP


@dataclass(frozen=True)
class Bar:
    """A colour bar for the last panel above that returned its image.

    Attributes:
        label: below it.
        extend: at which ends values go on beyond the scale.
    """

    label: str
    extend: Literal["neither", "both", "min", "max"] = "both"


def build(items: Sequence[Heading | Row | Strip | Bar]) -> Figure:
    """Put the items below each other on a figure as high as they need."""
    height = 2 * _MARGIN + sum(_height(item) for item in items)
    figure = new_figure(WIDTH, height, free=True)
    top = height - _MARGIN
    image: AxesImage | None = None
    for item in items:
        if isinstance(item, Heading):
            figure.text(
                _MARGIN / WIDTH, (top - 0.03) / height, item.text, va="top", ha="left", fontsize=8.5, fontweight="bold"
            )
        elif isinstance(item, Row):
            image = _place(figure, item, top, height) or image
        elif isinstance(item, Strip):
            joined = item.joined
            width = item.cell * joined.shape[1] / joined.shape[0]
            left, bottom = _MARGIN, top - item.cell
            item.draw(joined)(figure.add_axes((left / WIDTH, bottom / height, width / WIDTH, item.cell / height)))
        elif image is not None:
            left, width = 0.18 * WIDTH, 0.64 * WIDTH
            place = figure.add_axes((left / WIDTH, (top - 0.2) / height, width / WIDTH, 0.09 / height))
            bar = figure.colorbar(image, cax=place, orientation="horizontal", extend=item.extend)
            bar.set_label(item.label, fontsize=7.8, labelpad=2)
            place.tick_params(labelsize=7.5, length=2, pad=1.5)
            bar.outline.set_visible(False)
        top -= _height(item)
    return figure


def _height(item: Heading | Row | Strip | Bar) -> float:
    if isinstance(item, Heading):
        return _HEADING
    return item.height if isinstance(item, (Row, Strip)) else _BAR


def _place(figure: Figure, row: Row, top: float, height: float) -> AxesImage | None:
    image = None
    bottom = top - row.title_height - row.cell
    for column, draw in enumerate(row.draw):
        if draw is None:
            continue
        left = _MARGIN + column * (row.cell + GAP)
        axes = figure.add_axes((left / WIDTH, bottom / height, row.cell / WIDTH, row.cell / height))
        image = draw(axes) or image
        if column < len(row.titles) and row.titles[column]:
            axes.set_title(row.titles[column], fontsize=7.8, pad=3, fontweight="normal", linespacing=1.25)
    return image
