"""What all figures share: size, fonts, colours, and how they are written.

Figures are made about as wide as a column of a paper, so that they stay readable both on paper and on a phone. They use
matplotlib's object interface with the Agg canvas: no window system, no global state. Every figure comes with a caption
and with a text alternative for readers who cannot see it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.8  # inches
DPI = 240

# Okabe and Ito's colours, which colour-blind readers can tell apart; line styles change too, for print in grey.
COLOURS: tuple[str, ...] = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#56B4E9", "#E69F00", "#000000")
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
MARKERS: tuple[str, ...] = ("o", "s", "^", "D", "v", "P", "X")

# Any, because matplotlib types the keys as literals.
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.8,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E6EA",
    "grid.linewidth": 0.7,
    "axes.edgecolor": "#5B6470",
    "xtick.color": "#3A414B",
    "ytick.color": "#3A414B",
    "text.color": "#16191D",
    "axes.labelcolor": "#16191D",
    "legend.fontsize": 7.8,
    "legend.frameon": False,
    "lines.linewidth": 1.7,
    "figure.facecolor": "white",
    "image.interpolation": "nearest",
    "savefig.dpi": DPI,
}


@dataclass(frozen=True)
class FigureEntry:
    """A figure on disk and the words that go with it.

    Attributes:
        file: path below the evaluation's folder, for example ``figures/roc.png``.
        section: part of the report that shows it: ``performance``, ``differences``, ``confusion``, ``curves``,
            ``pictures`` or ``training``.
        title: short heading.
        caption: what is seen and how it was made.
        alt: text alternative.
        narrow: whether two such figures fit side by side on a wide screen.
    """

    file: str
    section: str
    title: str
    caption: str
    alt: str
    narrow: bool = False

    def to_json(self) -> dict[str, str]:
        return {
            "file": self.file,
            "section": self.section,
            "title": self.title,
            "caption": self.caption,
            "alt": self.alt,
        }


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style of all figures inside the ``with`` block."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(width: float = WIDTH, height: float = 3.6, *, free: bool = False) -> Figure:
    """A figure of the given size in inches, with its own Agg canvas; ``free`` leaves all placing to the caller."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=None if free else "constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG, atomically, without alpha.

    Raises:
        StorageError: writing failed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    picture = Image.fromarray(pixels[..., :3].copy())
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", dpi=(DPI, DPI))


def line_style(index: int) -> dict[str, Any]:
    """Colour and dashes of the ``index``-th thing of a figure; no two of the first 28 are alike."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[(index % len(COLOURS) + index // len(COLOURS)) % len(DASHES)],
    }


def marker(index: int) -> str:
    """Marker of the ``index``-th thing of a figure."""
    return MARKERS[index % len(MARKERS)]


def show_grey(axes: Axes, image: npt.NDArray[np.generic]) -> None:
    """Show a slice, float in [0, 1] or uint8, black to white over the full range, with no ticks."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
    bare(axes)


def bare(axes: Axes) -> None:
    """Take ticks, grid and frame from an image panel."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def shorten(text: str, length: int = 24) -> str:
    """``text`` cut in the middle to at most ``length`` characters."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def short_labels(names: Sequence[str], length: int = 24) -> list[str]:
    """Labels of at most about ``length`` characters that still tell the names apart.

    Where names are too long, the words they all begin and end with are left out first, for those tell nothing; what
    is still too long is cut in the middle; labels that come out alike are numbered.
    """
    if all(len(name) <= length for name in names):
        return list(names)
    words = [re.split(r"(?<=[-_/. ])", name) for name in names]
    shortest = min(len(parts) for parts in words) - 1  # something must be left of each name
    start = end = 0
    if len(names) > 1:
        while start < shortest and len({parts[start] for parts in words}) == 1:
            start += 1
        while end < shortest - start and len({parts[len(parts) - 1 - end] for parts in words}) == 1:
            end += 1
    labels = [
        ("…" if start else "") + "".join(parts[start : len(parts) - end]).strip("-_/. ") + ("…" if end else "")
        for parts in words
    ]
    labels = [shorten(label, length) for label in labels]
    return [label if labels.count(label) == 1 else f"{label} ({place})" for place, label in enumerate(labels, start=1)]


def spread(count: int, wanted: int) -> list[int]:
    """At most ``wanted`` positions in ``range(count)``, evenly spaced, first and last included."""
    if count <= wanted:
        return list(range(count))
    return [int(position) for position in np.linspace(0, count - 1, wanted).round()]


def listing(names: Sequence[str]) -> str:
    """``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
