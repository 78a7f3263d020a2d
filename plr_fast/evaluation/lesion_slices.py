"""Slices with outlined real lesions: pictures or volumes in one folder, masks of the same names in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.readers import RawSlice, find_reader, to_grey
from ..errors import DataError

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]

MOST_OF_A_VOLUME = 16
"""Slices that are kept of one volume, spread over those with lesions: a few hundred scans fit into memory."""

_WHITE_FROM = 128


@dataclass(frozen=True)
class LesionSlice:
    """A slice and its lesions.

    Attributes:
        name: file, and the page behind a ``#`` where it has several.
        group: patient where known, else the file; slices of one group are never compared with each other.
        image: uint8 (H, W).
        lesion: bool (H, W).
    """

    name: str
    group: str
    image: Grey
    lesion: Mask


def read_lesion_slices(
    images: Path,
    masks: Path | None = None,
    *,
    groups: Mapping[str, str] | None = None,
    window: tuple[float, float] | None = None,
) -> list[LesionSlice]:
    """Read all slices that have lesions, in the order of their files' names.

    A mask is named as its image but for the suffix. Masks whose greatest value is below 128 hold numbers of classes:
    whatever is not zero is lesion; in others lesions are what is at least half as white as the whitest pixel.

    Args:
        images: folder of PNG, JPEG, TIFF or NIfTI files; or, without ``masks``, one with ``images`` and ``masks``.
        masks: folder of masks.
        groups: file name -> patient. Default: each file is a group of its own.
        window: (black, white) for values that are not bytes; default: the lung window for Hounsfield units.

    Raises:
        DataError: no such folder, no images, a mask that is missing or of another size, a file that ``groups`` leaves
            out, or no lesions at all; names the file.
        ImageReadError: a file that cannot be read; names it.
    """
    if masks is None:
        images, masks = images / "images", images / "masks"
    pictures, outlines = _by_stem(images), _by_stem(masks)
    lacking = [path for stem, path in pictures.items() if stem not in outlines]
    if lacking:
        raise DataError(
            f"{lacking[0]} has no mask in {masks}"
            + (f", nor have {len(lacking) - 1} others" if len(lacking) > 1 else "")
            + "; masks are named as their images. Take images without masks out of the folder (a slice without "
            "lesions has a black mask)"
        )
    found: list[LesionSlice] = []
    for stem, path in pictures.items():
        if groups is not None and path.name not in groups:
            raise DataError(f"{path.name} has no patient in the list given; add it there, or leave the list out")
        group = stem if groups is None else groups[path.name]
        kept = _read_pair(path, outlines[stem], group, window)
        if len(kept) > MOST_OF_A_VOLUME:
            places = np.linspace(0, len(kept) - 1, MOST_OF_A_VOLUME).round().astype(int)
            kept = [kept[place] for place in places]
        found += kept
    if not found:
        raise DataError(f"all {len(pictures)} masks in {masks} are empty: no lesions to look at")
    return found


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; lesions are a folder with 'images' and 'masks', or two folders")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file() or find_reader(path) is None:
            continue
        stem = path.name.removesuffix(".gz").rsplit(".", 1)[0]
        if stem in found:
            raise DataError(f"{found[stem]} and {path.name} differ in their suffix alone: which belongs to the mask?")
        found[stem] = path
    if not found:
        raise DataError(f"{folder} holds no PNG, JPEG, TIFF, NIfTI or DICOM files")
    return found


def _read_pair(path: Path, mask: Path, group: str, window: tuple[float, float] | None) -> list[LesionSlice]:
    outlines = [outline.pixels for outline in _read(mask)]
    whitest = max(float(outline.max()) for outline in outlines)
    least = whitest / 2 if whitest >= _WHITE_FROM else 0.5
    kept, count = [], 0
    for count, image in enumerate(_read(path), start=1):
        name = path.name if image.page is None else f"{path.name}#{image.page}"
        if count > len(outlines):
            continue  # counted, for the message below
        lesion = outlines[count - 1] >= least
        if image.pixels.shape != lesion.shape:
            raise DataError(
                f"{path} is {_size(image.pixels)} pixels and its mask {mask} is {_size(lesion)}: make both of one size"
            )
        if lesion.any():
            kept.append(LesionSlice(name, image.patient or group, to_grey(image, window, name), lesion))
    if count != len(outlines):
        raise DataError(f"{path} has {count} slices and {mask} has {len(outlines)}")
    return kept


def _size(pixels: NDArray[Any]) -> str:
    return "×".join(str(side) for side in reversed(pixels.shape))


def _read(path: Path) -> Iterator[RawSlice]:
    reader = find_reader(path)
    assert reader is not None  # only such files were taken
    return iter(reader.read(path))
