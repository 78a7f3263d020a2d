"""Square patches of real lesions, of unaltered lung and of pseudo lesions: what table III compares and figure 7 shows.

Real patches are windows of slices that are nearly all lesion. The paper's blur and shuffling alter whole slices, so
their patches are the same windows of lung before and after; what is pasted is cut out by the box that it was pasted in.
All are resized to one size, as the paper does (V.C). Sets are functions of their arguments and the seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import LesionBank, gaussian_blur, local_shuffle, paste_lesions
from ..errors import DataError
from .lesion_slices import Grey, LesionSlice, Mask

if TYPE_CHECKING:
    from ..data.store import SliceStore

WINDOW, SHARE, SIZE = 64, 0.9, 32
"""Side of windows and of patches in pixels (paper V.C), and the share of a window that must be lesion (our choice)."""

_WALL = 3  # pixels beside a lesion's outline that are not called free of it
_LEAST_BOX = 4  # smaller pasted patches are slivers cut off by the picture's edge


@dataclass(frozen=True)
class PatchSet:
    """Patches of one kind.

    Attributes:
        patches: uint8 (N, S, S).
        origins: str (N,): name of the slice that each was cut from; empty where it lies in no slice.
        groups: str (N,): patient, or what stands for it; empty where it lies in no slice.
    """

    patches: Grey
    origins: NDArray[np.str_]
    groups: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.patches)


@dataclass(frozen=True)
class LungSlice:
    """A slice and where its lung is free of lesions.

    Attributes:
        name, group: as of :class:`~plr_fast.evaluation.lesion_slices.LesionSlice`.
        image: uint8 (H, W).
        free: bool (H, W).
    """

    name: str
    group: str
    image: Grey
    free: Mask


def lesion_patches(
    slices: Sequence[LesionSlice],
    count: int = 1000,
    *,
    window: int = WINDOW,
    share: float = SHARE,
    size: int = SIZE,
    seed: int = 0,
) -> PatchSet:
    """Windows of which more than ``share`` is lesion, in turn from all slices that have some.

    Args:
        slices: real lesions, see :func:`~plr_fast.evaluation.lesion_slices.read_lesion_slices`.
        count: most patches; fewer where there are no more windows a quarter of a window apart.
        window: side of the windows in the slices' own pixels.
        share: of the window's pixels, 0 <= share < 1.
        size: side of the patches in pixels.
        seed: of the places.

    Raises:
        ValueError: an argument out of range.
        DataError: no window has so much lesion; tells the most that was found, and where.
    """
    regions = [(one.name, one.group, one.image, one.lesion) for one in slices]
    return _cut(regions, count, window, share, size, seed, "lesion")


def lung_patches(
    slices: Sequence[LungSlice],
    count: int = 1000,
    *,
    window: int = WINDOW,
    share: float = SHARE,
    size: int = SIZE,
    seed: int = 0,
    alter: Callable[[Grey], Grey] | None = None,
) -> PatchSet:
    """Windows of which more than ``share`` is free lung; with ``alter`` of the slices after it, at the same places.

    Args and errors as of :func:`lesion_patches`; ``alter`` takes and gives uint8 (1, H, W), such as :func:`blurred`.
    """
    regions = [
        (one.name, one.group, one.image if alter is None else alter(one.image[None])[0], one.free) for one in slices
    ]
    return _cut(regions, count, window, share, size, seed, "lung without lesions")


def blurred(images: Grey) -> Grey:
    """PLR-G at the paper's settings (III.B): 5 × 5, sigma 0. uint8 (B, H, W) to the same."""
    return np.asarray(gaussian_blur(images))


def shuffled(images: Grey, *, seed: int = 0) -> Grey:
    """PLR-L at the paper's settings (III.B): 100 blocks. uint8 (B, H, W) to the same."""
    return np.asarray(local_shuffle(images, seed=seed))


def bank_patches(bank: LesionBank, count: int = 1000, *, size: int = SIZE) -> PatchSet:
    """The first patches of a bank as they are, which is how ``blend="replace"`` pastes them (the paper's PLR-P)."""
    patches = np.stack([_resized(patch, size) for patch in bank[:count]])
    return PatchSet(patches, *(np.zeros(len(patches), np.str_) for _ in range(2)))


def pasted_patches(
    slices: Sequence[LungSlice],
    bank: LesionBank,
    count: int = 1000,
    *,
    paste: Mapping[str, Any],
    share: float = SHARE,
    size: int = SIZE,
    seed: int = 0,
) -> PatchSet:
    """The boxes of pseudo lesions as they lie in the lung: what blends and soft edges leave of it is seen in them.

    Args:
        slices: free lung to paste into.
        bank: whose patches.
        count: most patches; fewer where slices and lesions are few.
        paste: keywords of :func:`plr_fast.paste_lesions`, such as ``{"shape": "cloud", "blend": "add"}``.
        share: of a box, more than which must be free lung; others show the chest's wall rather than a lesion.
        size: side of the patches in pixels.
        seed: of places and opacity.

    Raises:
        ValueError: an argument out of range.
        DataError: nothing could be pasted.
    """
    rows: list[list[tuple[str, str, Grey]]] = []
    for number, one in enumerate(slices):
        images, info = paste_lesions(
            one.image[None], one.free[None], bank, seed=seed, samples=[number], return_info=True, **paste
        )
        picture, row = np.asarray(images)[0], []
        for top, left, height, width in info.boxes[0, : int(info.counts[0])]:
            box = slice(top, top + height), slice(left, left + width)
            if min(height, width) >= _LEAST_BOX and one.free[box].mean() > share and picture[box].any():
                row.append((one.name, one.group, _resized(picture[box], size)))
        rows.append(row)
    chosen = _in_turn(rows, count)
    if not chosen:
        raise DataError(
            f"no pseudo lesion lies in the lungs of {len(slices)} slices by more than {share:.0%} of its box"
        )
    return _patch_set(chosen)


def constant_patch(level: int, *, size: int = SIZE) -> PatchSet:
    """One patch of the grey ``level``, 1..255: what a measure of likeness must not prefer."""
    if not 1 <= level <= 255:
        raise ValueError(f"level must be 1..255, not {level}")
    return PatchSet(np.full((1, size, size), level, np.uint8), np.zeros(1, np.str_), np.zeros(1, np.str_))


def free_lung(slices: Sequence[LesionSlice]) -> list[LungSlice]:
    """The lung beside the lesions, in slices whose lung mask can be computed and is plausible; may be empty."""
    from scipy.ndimage import binary_closing, binary_dilation

    from ..data.lungs.masks import lung_mask

    found = []
    for one in slices:
        if min(one.image.shape) < 16:
            continue
        mask, quality = lung_mask(one.image, return_quality=True)
        if quality[0].ok:
            free = binary_closing(mask | one.lesion) & ~binary_dilation(one.lesion, iterations=_WALL)
            found.append(LungSlice(one.name, one.group, one.image, free))
    return found


def store_lung(store: SliceStore, *, split: str = "train", most: int = 100) -> list[LungSlice]:
    """Lung of ``most`` negative slices of a store, spread over its groups; those with implausible masks are left out.

    Raises:
        DataError: there are none; names the store.
    """
    chosen = store.select(split, 0)
    chosen = chosen[store.mask_ok[chosen] & np.array([store.masks[index].any() for index in chosen], bool)]
    if not len(chosen):
        raise DataError(f"{store.path} has no {store.class_names[0]} slices with a lung mask in its {split} split")
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, most).round().astype(int))]
    return [
        LungSlice(
            str(store.ids[index]), str(store.groups[index]), np.array(store.slices[index]), store.masks[index] != 0
        )
        for index in chosen
    ]


def _cut(
    regions: Sequence[tuple[str, str, Grey, Mask]],
    count: int,
    window: int,
    share: float,
    size: int,
    seed: int,
    what: str,
) -> PatchSet:
    if count < 1 or window < 1 or size < 1 or not 0 <= share < 1:
        raise ValueError(
            f"count, window and size must be at least 1 and share in [0, 1), not {count}, {window}, {size}, {share}"
        )
    rows: list[list[tuple[str, str, Grey]]] = []
    fullest = (0.0, "none is as large as the square")
    for number, (name, group, image, region) in enumerate(regions):
        if min(image.shape) < window:
            rows.append([])
            continue
        shares = _window_sums(region, window) / window**2
        if shares.max() > fullest[0]:
            fullest = float(shares.max()), name
        places = _apart(shares > share, max(1, window // 4), count, np.random.default_rng([seed, number]))
        cuts = (image[y : y + window, x : x + window] for y, x in places)
        rows.append([(name, group, _resized(cut, size)) for cut in cuts if cut.any()])  # black has no distribution
    chosen = _in_turn(rows, count)
    if not chosen:
        raise DataError(
            f"in none of {len(regions)} slices a square of {window} pixels is {what} by more than {share:.0%}; the "
            f"most is {fullest[0]:.0%} ({fullest[1]}): choose a smaller window or share"
        )
    return _patch_set(chosen)


def _window_sums(region: Mask, window: int) -> NDArray[np.int64]:
    """Pixels of ``region`` in each window, by its top left corner."""
    total = np.zeros((region.shape[0] + 1, region.shape[1] + 1), np.int64)
    total[1:, 1:] = region.cumsum(0, np.int64).cumsum(1)
    return total[window:, window:] - total[:-window, window:] - total[window:, :-window] + total[:-window, :-window]


def _apart(allowed: Mask, spacing: int, most: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Random places among those allowed, at least ``spacing`` apart along one of the axes."""
    places = np.argwhere(allowed)
    places = places[rng.permutation(len(places))]
    while len(places) and most:
        y, x = places[0]
        yield int(y), int(x)
        places = places[np.abs(places - places[0]).max(axis=1) >= spacing]
        most -= 1


def _in_turn(rows: Sequence[Sequence[tuple[str, str, Grey]]], count: int) -> list[tuple[str, str, Grey]]:
    """One of each slice, then the second of each, until there are ``count``; in the order of the slices."""
    rounds = sorted((turn, number) for number, row in enumerate(rows) for turn in range(len(row)))[:count]
    return [rows[number][turn] for number, turn in sorted((number, turn) for turn, number in rounds)]


def _patch_set(chosen: Sequence[tuple[str, str, Grey]]) -> PatchSet:
    names, groups, patches = zip(*chosen, strict=True)
    return PatchSet(np.stack(patches), np.array(names, np.str_), np.array(groups, np.str_))


def _resized(patch: NDArray[Any], size: int) -> Grey:
    from PIL import Image

    if patch.shape == (size, size):
        return np.array(patch)
    return np.asarray(Image.fromarray(np.ascontiguousarray(patch)).resize((size, size), Image.Resampling.BILINEAR))
