"""Figure 7: patches of real lesions beside those of every kind of pseudo lesion, all cut and scaled by one rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...evaluation.draw import Album
from ...evaluation.figures import listing, spread, styled
from ...evaluation.figures_pictures import Grey, grey_panel
from ...evaluation.lesion_patches import (
    SHARE,
    SIZE,
    WINDOW,
    LungSlice,
    PatchSet,
    bank_patches,
    blurred,
    free_lung,
    lesion_patches,
    lung_patches,
    shuffled,
    store_lung,
)
from ...evaluation.lesion_slices import read_lesion_slices
from ...evaluation.sheets import Heading, Strip, build
from ...ops import LesionBank, paste_clouds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...data.store import SliceStore

_SHOWN = 24  # patches of a kind: two rows of twelve
_ACROSS = 12
_PAPER_SIDE = 512  # pixels of the paper's slices, which windows of 64 pixels are cut from


@dataclass(frozen=True)
class PatchRows:
    """What figure 7 shows.

    Attributes:
        kinds: heading -> uint8 (N, S, S), in the order of the figure.
        real: whether the first kind are real lesions.
        window: side of the windows, in the pixels of the slices with lesions (or else of the store).
        source: where lung (and real lesions) came from, in words.
    """

    kinds: Mapping[str, Grey]
    real: bool
    window: int
    source: str


def figure_patches(lesions: Path | None, store: SliceStore | None, *, seed: int = 0) -> PatchRows:
    """Cut the patches of figure 7.

    With ``lesions`` the lung is that of the same pictures beside their lesions, where it can be found by itself; else,
    and without ``lesions``, that of the store's normal slices; with neither, patches made of lung are left out.

    Args:
        lesions: folder with ``images`` and ``masks`` of real lesions, or None.
        store: where lung is taken from otherwise, or None.
        seed: of places and pseudo lesions.

    Raises:
        DataError: the folder is not as it should be, or nothing can be cut from what there is.
        ValueError: neither ``lesions`` nor ``store`` is given.
    """
    if lesions is None and store is None:
        raise ValueError("figure 7 needs a folder of lesions or a store")
    kinds: dict[str, PatchSet] = {}
    sources: list[str] = []
    lung: list[LungSlice] = []
    window = WINDOW
    if lesions is not None:
        slices = read_lesion_slices(lesions)
        kinds["Real lesions"] = lesion_patches(slices, _SHOWN, seed=seed)
        sources.append(f"{len(slices)} slices with outlined lesions in {lesions.name}")
        lung = free_lung(slices)
    if store is not None and not lung:
        window = max(4, round(WINDOW * store.size / _PAPER_SIDE))
        lung = store_lung(store)
        sources.append(f"{store.class_names[0]} training slices of the experiment ({window}×{window} pixels)")
    if lung:
        kinds |= _altered(lung, window, seed)
    kinds["Perlin patches, as they are pasted (PLR-P)"] = bank_patches(LesionBank.generate(_SHOWN, seed=seed))
    shown = {name: found.patches[spread(len(found), _SHOWN)] for name, found in kinds.items()}
    return PatchRows(shown, lesions is not None, WINDOW if lesions is not None else window, listing(sources))


def patches_figure(rows: PatchRows) -> Figure:
    """Each kind of patch under its heading, all grey as they are and to one scale."""
    items: list[Heading | Strip] = []
    for name, patches in rows.kinds.items():
        items.append(Heading(name))
        starts = range(0, len(patches), _ACROSS)
        items += [Strip(patches[start : start + _ACROSS], _ACROSS, grey_panel) for start in starts]
    with styled():
        return build(items)


def draw_patches(album: Album, rows: PatchRows) -> None:
    """Figure 7 of the paper."""
    names = list(rows.kinds)
    missing = "" if rows.real else " No real lesions were given, so there are none to compare with."
    greys = "; ".join(f"{name} {patches.mean():.0f}" for name, patches in rows.kinds.items())
    album.add(
        "fig07-patches",
        patches_figure(rows),
        section="pictures",
        title="Lesions and pseudo lesions, patch by patch (the paper's figure 7)"
        + ("" if rows.real else ": pseudo lesions only"),
        caption=f"Windows of {rows.window}×{rows.window} pixels with more than {SHARE:.0%} of their kind, at random "
        f"places of {rows.source}, resized to {SIZE}×{SIZE}; Perlin patches come from a bank at the paper's settings. "
        "Look for structure: do edges, texture and brightness of a pseudo lesion resemble a real one's, or only its "
        f"mean grey?{missing}",
        alt=f"Rows of small grey patches: {listing(names)}. Mean grey of 0 to 255: {greys}.",
    )


def _altered(lung: Sequence[LungSlice], window: int, seed: int) -> dict[str, PatchSet]:
    """The same windows of lung before and after each alteration."""

    def clouded(images: Grey) -> Grey:
        return np.asarray(paste_clouds(images, np.ones_like(images), seed=seed))

    def reshuffled(images: Grey) -> Grey:
        return shuffled(images, seed=seed)

    kinds = {
        "Lung, unaltered": None,
        "Lung, shuffled (PLR-L)": reshuffled,
        "Lung, blurred (PLR-G)": blurred,
        "Lung under clouds": clouded,
    }
    return {name: lung_patches(lung, _SHOWN, window=window, seed=seed, alter=alter) for name, alter in kinds.items()}
