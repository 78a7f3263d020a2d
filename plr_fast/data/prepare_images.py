"""From a source on disk to what the store holds: grey bytes of one size, and a lung mask of the same size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import ImageReadError
from .manifest import Entry
from .readers import DEFAULTS, Note, ReadOptions, to_grey
from .sources import entry_reader, require_reader

if TYPE_CHECKING:
    from .lungs.cache import MaskCache
    from .lungs.quality import MaskQuality

Fit = Literal["squash", "pad"]

_JPEG = (".jpg", ".jpeg")
_LEAST_SIDE = 16  # smaller pictures are beyond lung_mask


@dataclass(frozen=True)
class PreparedSlice:
    """One slice as it goes into the store."""

    image: npt.NDArray[np.uint8]
    """(S, S)."""
    mask: npt.NDArray[np.bool_]
    """(S, S), True in the lungs."""
    mask_ok: bool
    """Whether the mask is plausible (computed) or has any pixel (given)."""
    quality: MaskQuality | None
    """What is known about a computed mask; None for a given one."""
    page: int | None
    """Position in its source; None where the source is this one slice."""
    spacing: tuple[float, float] | None
    """Millimetres (y, x) between the pixel centres of ``image``; None where unknown."""
    patient: str
    """Patient id as the source itself states it; mostly empty."""
    brightest: int | None
    """Largest value of an unsigned 16-bit source, None for others; shows a window badly chosen."""
    notes: tuple[Note, ...] = ()
    """What was noticed about the source up to this slice."""


def prepare_entry(
    entry: Entry,
    *,
    size: int,
    fit: Fit,
    window: tuple[float, float] | None,
    cache: MaskCache | None = None,
    options: ReadOptions = DEFAULTS,
    min_lung_share: float = 0.0,
) -> tuple[PreparedSlice, ...]:
    """Read, window, resize and mask all slices of ``entry``; only their small forms are kept in memory.

    Computed masks are taken from ``cache`` where it has an equal slice. Slices whose mask covers less than
    ``min_lung_share`` of the picture are left out; that may be all.

    Raises:
        ImageReadError: the source or its mask is unreadable, or the mask does not fit the picture.
        DataError: the meaning of the values is unknown and no ``window`` is given.
    """
    reader = entry_reader(entry, options)
    masks = _read_masks(entry.mask, options) if entry.mask is not None else None
    prepared: list[PreparedSlice] = []
    notes: list[Note] = []
    raw, quality = None, None
    for raw in reader.read(entry.path):
        notes += raw.notes
        name = str(entry.path) if raw.page is None else f"{entry.path}, page {raw.page}"
        grey = to_grey(raw, window, name)
        content = _resize(grey, size, fit)
        if masks is None:
            mask, quality = _compute_mask(content, cache)
            mask_ok = quality.ok
        else:
            quality = None
            mask = _given_mask(masks, grey.shape, content.shape, name, entry.mask)
            mask_ok = bool(mask.any())
        if mask.mean() < min_lung_share:
            continue
        spacing = None
        if raw.spacing is not None:
            (y, x), (height, width) = raw.spacing, content.shape
            spacing = (y * grey.shape[0] / height, x * grey.shape[1] / width)
        prepared.append(
            PreparedSlice(
                image=_centre(content, size),
                mask=_centre(mask, size),
                mask_ok=mask_ok,
                quality=quality,
                page=raw.page,
                spacing=spacing,
                patient=raw.patient,
                brightest=int(raw.pixels.max()) if raw.pixels.dtype == np.uint16 and not raw.hounsfield else None,
                notes=tuple(notes),
            )
        )
        notes.clear()
    if masks is not None and next(masks, None) is not None:
        raise ImageReadError(f"the mask {entry.mask} has more pages than {entry.path}")
    if raw is None:
        raise ImageReadError(f"{entry.path} holds no slices")
    return tuple(prepared)


def hash_source(*paths: Path) -> bytes:
    """SHA-256 of files, with their names; of all files of a folder."""
    digest = hashlib.sha256()
    for file in (file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))):
        if not file.is_file():
            continue
        digest.update(file.name.encode(errors="surrogateescape"))
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.digest()


def _resize(grey: npt.NDArray[np.uint8], size: int, fit: Fit) -> npt.NDArray[np.uint8]:
    """(h, w) with max(h, w) = size ("pad": aspect kept) or h = w = size ("squash"); bicubic, antialiased."""
    height, width = _fitted(grey.shape, size, fit)
    if grey.shape == (height, width):
        return grey
    return np.array(Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC))


def _fitted(shape: tuple[int, ...], size: int, fit: Fit) -> tuple[int, int]:
    if fit == "squash":
        return size, size
    height, width = shape
    longest = max(height, width)
    return max(1, round(height * size / longest)), max(1, round(width * size / longest))


def _centre(content: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Put ``content`` into the middle of a black square."""
    height, width = content.shape
    if (height, width) == (size, size):
        return content
    square = np.zeros((size, size), dtype=content.dtype)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = content
    return square


def _compute_mask(content: npt.NDArray[np.uint8], cache: MaskCache | None) -> tuple[npt.NDArray[np.bool_], MaskQuality]:
    from .lungs.masks import lung_mask  # SciPy and scikit-image are loaded only where masks are computed
    from .lungs.quality import no_mask

    found = cache.find(content) if cache is not None else None
    if found is not None:
        return found
    if min(content.shape) < _LEAST_SIDE:  # a strip, padded: no lung to find
        return np.zeros(content.shape, dtype=np.bool_), no_mask(f"the picture is less than {_LEAST_SIDE} pixels wide")
    mask, (quality,) = lung_mask(content, return_quality=True)
    return mask, quality


def _read_masks(path: Path, options: ReadOptions) -> Iterator[npt.NDArray[np.bool_]]:
    """Masks of a mask file, page by page: True where it is not black (JPEG: brighter than half, as it has noise)."""
    for raw in require_reader(path, options).read(path):
        yield raw.pixels > 127 if path.suffix.lower() in _JPEG else raw.pixels != 0


def _given_mask(
    masks: Iterator[npt.NDArray[np.bool_]],
    shape: tuple[int, ...],
    fitted: tuple[int, ...],
    name: str,
    file: Path | None,
) -> npt.NDArray[np.bool_]:
    mask = next(masks, None)
    if mask is None:
        raise ImageReadError(f"the mask {file} has fewer pages than its picture: none for {name}")
    if mask.shape != shape:
        raise ImageReadError(
            f"the mask {file} is {mask.shape[1]}×{mask.shape[0]}, but its picture {name} is {shape[1]}×{shape[0]}"
        )
    if mask.shape == fitted:
        return mask
    # Box averaging and one half: the share of lung decides, without the overshoot of the picture's filter.
    grey = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    scaled: npt.NDArray[np.bool_] = np.asarray(grey.resize((fitted[1], fitted[0]), Image.Resampling.BOX)) >= 128
    return scaled
