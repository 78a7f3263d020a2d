"""From a source on disk to what the store holds: grey bytes of one size, and a lung mask of the same size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import ImageReadError
from .manifest import Entry
from .readers import DEFAULTS, Note, ReadOptions, to_grey, window_of
from .sources import entry_reader, require_reader
from .store_format import picture_digest

if TYPE_CHECKING:
    from .lungs.cache import MaskCache
    from .lungs.quality import MaskQuality

Fit = Literal["squash", "pad"]

_JPEG = (".jpg", ".jpeg")
_LEAST_SIDE = 16  # smaller pictures are beyond lung_mask


@dataclass(frozen=True)
class SliceFacts:
    """What is known about one prepared slice, beside its pixels."""

    page: int | None
    """Position in its source; None where the source is this one slice."""
    spacing: tuple[float, float] | None
    """Millimetres (y, x) between the pixel centres of the stored slice; None where unknown."""
    patient: str
    """Patient id as the source itself states it; mostly empty."""
    mask_ok: bool
    """Whether the mask is plausible (computed) or has any pixel (given)."""
    quality: MaskQuality | None
    """What is known about a computed mask; None for a given one."""
    mask_reused: bool
    """Whether the mask was taken over from an earlier store."""
    brightest: int | None
    """Largest value of an unsigned 16-bit source, None for others; shows a window badly chosen."""
    window: tuple[float, float] | None
    """Values shown as black and white; None where the source was grey already (8-bit)."""
    digest: str
    """Names the pixels, to find equal slices; empty where they are all of one grey."""
    notes: tuple[Note, ...] = ()
    """What was noticed about the source up to this slice."""


@dataclass(frozen=True)
class PreparedSlice:
    """One slice as it goes into the store."""

    image: npt.NDArray[np.uint8]
    """(S, S)."""
    mask: npt.NDArray[np.bool_]
    """(S, S), True in the lungs."""
    facts: SliceFacts


@dataclass(frozen=True)
class How:
    """How sources become slices."""

    size: int
    """Height and width S."""
    fit: Fit
    """As in ``PrepareConfig``."""
    window: tuple[float, float] | None
    """As ``PrepareConfig.window_values``."""
    cache: MaskCache | None = None
    """Masks of an earlier store, taken over where it has an equal slice."""
    options: ReadOptions = DEFAULTS
    """What readers are told."""
    min_lung_share: float = 0.0
    """As in ``PrepareConfig``."""
    masks: bool = True
    """False: masks are empty and none is computed, or called implausible."""


def prepare_slices(entry: Entry, how: How) -> Iterator[PreparedSlice]:
    """Read, window, resize and mask the slices of ``entry``, one by one: no more than one is in memory at a time.

    Slices whose mask covers less than ``min_lung_share`` of the picture are left out; that may be all.

    Raises:
        ImageReadError: the source or its mask is unreadable, or the mask does not fit the picture.
        DataError: the meaning of the values is unknown and no ``window`` is given.
    """
    reader = entry_reader(entry, how.options)
    masks = _read_masks(entry.mask, how.options) if entry.mask is not None else None
    notes: list[Note] = []
    raw = None
    for raw in reader.read(entry.path):
        notes += raw.notes
        name = str(entry.path) if raw.page is None else f"{entry.path}, page {raw.page}"
        grey = to_grey(raw, how.window, name)
        content = _resize(grey, how.size, how.fit)
        quality, reused = None, False
        if not how.masks:
            mask = np.zeros(content.shape, dtype=np.bool_)
        elif masks is None:
            mask, quality, reused = _compute_mask(content, how.cache)
        else:
            mask = _given_mask(masks, grey.shape, content.shape, name, entry.mask)
        if mask.mean() < how.min_lung_share:
            continue
        spacing = None
        if raw.spacing is not None:
            (y, x), (height, width) = raw.spacing, content.shape
            spacing = (y * grey.shape[0] / height, x * grey.shape[1] / width)
        image = _centre(content, how.size)
        facts = SliceFacts(
            page=raw.page,
            spacing=spacing,
            patient=raw.patient,
            mask_ok=not how.masks or (bool(mask.any()) if quality is None else quality.ok),
            quality=quality,
            mask_reused=reused,
            brightest=int(raw.pixels.max()) if raw.pixels.dtype == np.uint16 and not raw.hounsfield else None,
            window=window_of(raw, how.window),
            digest="" if image.min() == image.max() else picture_digest(image).hex(),
            notes=tuple(notes),
        )
        notes.clear()
        yield PreparedSlice(image, _centre(mask, how.size), facts)
    if masks is not None and next(masks, None) is not None:
        raise ImageReadError(f"the mask {entry.mask} has more pages than {entry.path}")
    if raw is None:
        raise ImageReadError(f"{entry.path} holds no slices")


def hash_entry(entry: Entry) -> bytes:
    """SHA-256 of the source and of its mask file, where given, one behind the other. Raises ``ImageReadError``."""
    return hash_source(*entry.files) + (hash_source(entry.mask) if entry.mask is not None else b"")


def hash_source(*paths: Path) -> bytes:
    """SHA-256 of files, with their names; of all files of a folder. Raises ``ImageReadError``."""
    digest = hashlib.sha256()
    try:
        for file in (file for path in paths for file in _files_of(path)):
            digest.update(file.name.encode(errors="surrogateescape"))
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise ImageReadError(f"{error.filename} cannot be read: {error.strerror or error}") from error
    return digest.digest()


def key_of(entry: Entry) -> str:
    """What tells whether a source is the same as before: a hash of its id and of path, size and time of its files."""
    files = [path for path in (*entry.files, entry.mask) if path is not None]
    text = json.dumps([entry.id, *([str(path), *_identity(path)] for path in files)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _identity(path: Path) -> list[int]:
    """How many files, bytes in all, latest change in ns; nothing where there is nothing."""
    try:
        found = [file.stat() for file in _files_of(path)]
    except OSError:
        return []
    return [len(found), sum(stat.st_size for stat in found), max((stat.st_mtime_ns for stat in found), default=0)]


def _files_of(path: Path) -> list[Path]:
    """The file itself, or all files of a folder in order."""
    return sorted(child for child in path.rglob("*") if child.is_file()) if path.is_dir() else [path]


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


def _compute_mask(
    content: npt.NDArray[np.uint8], cache: MaskCache | None
) -> tuple[npt.NDArray[np.bool_], MaskQuality, bool]:
    """Mask, what is known about it, and whether it was taken from ``cache``."""
    from .lungs.masks import lung_mask  # SciPy and scikit-image are loaded only where masks are computed
    from .lungs.quality import no_mask

    found = cache.find(content) if cache is not None else None
    if found is not None:
        return (*found, True)
    if min(content.shape) < _LEAST_SIDE:  # a strip, padded: no lung to find
        quality = no_mask(f"the picture is less than {_LEAST_SIDE} pixels wide")
        return np.zeros(content.shape, dtype=np.bool_), quality, False
    mask, (quality,) = lung_mask(content, return_quality=True)
    return mask, quality, False


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
