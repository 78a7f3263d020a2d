"""Readers: one source (a picture, a page file, a DICOM series, a volume) gives one or many raw slices.

A reader knows a file format and nothing else: it yields raw values with what the format says about them, and
:func:`to_grey` turns those into bytes afterwards, by one rule for all formats. A new format is one class with the
methods of :class:`SliceReader`, given to :func:`register_reader`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import DataError, ImageReadError
from .identities import is_placeholder, pseudonym

LUNG_WINDOW = (-1350.0, 150.0)
"""Hounsfield units shown as black and white by default: the lung window, centre -600, width 1500."""

WindowName = Literal["lung", "mediastinum", "wide"]

WINDOWS: Mapping[str, tuple[float, float]] = {
    "lung": LUNG_WINDOW,
    "mediastinum": (-160.0, 240.0),  # centre 40, width 400
    "wide": (-1000.0, 1000.0),
}
"""Windows by name, (black, white) in Hounsfield units."""

Note = tuple[str, str]
"""Something to know about a source: the matter, the same words for all sources that share it, and the details."""

PatientIds = Literal["hash", "keep", "none"]


@dataclass(frozen=True)
class ReadOptions:
    """What readers of series and volumes are told; pictures have no use for it."""

    every: int = 1
    """Of the slices in order, take every k-th."""
    part: tuple[float, float] = (0.0, 1.0)
    """From where to where slices are taken: 0 is the first slice at the head, 1 the last at the feet."""
    hounsfield: Literal["auto", "yes", "no"] = "auto"
    """Whether the values of CT series and volumes are Hounsfield units; auto: as each reader finds out."""
    gaps: Literal["note", "refuse"] = "note"
    """Series in which slices are missing: note it, or refuse them."""
    patient_ids: PatientIds = "hash"
    """What becomes of the patient ids that sources state: a pseudonym, themselves, or nothing."""
    patient_salt: str = field(default="", repr=False)
    """Salt of the pseudonyms."""

    def chosen(self, count: int) -> range:
        """Which of ``count`` slices are taken; at least one where there are any."""
        start = min(math.floor(self.part[0] * count), count - 1)
        return range(max(start, 0), max(math.ceil(self.part[1] * count), start + 1), self.every)

    def identify(self, patient: str, study: str) -> str:
        """What the store calls a patient whom a source calls ``patient`` in the study ``study`` (a UID)."""
        if self.patient_ids == "none":
            return ""
        if not is_placeholder(patient):
            return patient if self.patient_ids == "keep" else pseudonym(patient, self.patient_salt)
        return f"study-{pseudonym(study, self.patient_salt)}" if study else ""


DEFAULTS = ReadOptions()


@dataclass(frozen=True)
class RawSlice:
    """One slice as its file has it."""

    pixels: npt.NDArray[Any]
    """(H, W): uint8 = ready grey; anything else = values that a window turns into grey. Row 0 is the front (top)."""
    page: int | None = None
    """Position in its source, from 0; None where the source is this one slice."""
    hounsfield: bool = False
    """The values are Hounsfield units (slope and intercept already applied)."""
    spacing: tuple[float, float] | None = None
    """Millimetres between pixel centres (y, x), where the source says so."""
    patient: str = ""
    """Patient id, where the source says so."""
    notes: tuple[Note, ...] = ()
    """What was noticed about the source up to this slice, each once."""


class SliceReader(Protocol):
    """Reads one kind of source."""

    @property
    def names_patients(self) -> bool:
        """Whether sources of this kind can say whose they are; a plain attribute will do."""
        ...

    def claims(self, path: Path) -> bool:
        """Whether ``path`` (a file, or a folder that is one source) is of this kind, judged by its name or its
        folder's listing; must be cheap and must not fail."""
        ...

    def count(self, path: Path) -> int:
        """How many slices :meth:`read` will yield; reads headers at most. Raises ``ImageReadError``."""
        ...

    def read(self, path: Path) -> Iterator[RawSlice]:
        """Yield the slices in order. Raises ``ImageReadError``, which names the file and the reason."""
        ...


_registered: list[SliceReader] = []


def register_reader(reader: SliceReader) -> None:
    """Add a reader; it is asked before those that are already there."""
    _registered.insert(0, reader)


def unregister_reader(reader: SliceReader) -> None:
    """Remove a reader that :func:`register_reader` added."""
    _registered.remove(reader)


def registered_readers() -> tuple[SliceReader, ...]:
    """The readers that were added, the latest first."""
    return tuple(_registered)


def find_reader(path: Path, options: ReadOptions = DEFAULTS) -> SliceReader | None:
    """The reader that claims ``path``, or None; ``options`` are for the built-in readers of series and volumes."""
    from .readers_dicom import DicomReader
    from .readers_nifti import NiftiReader
    from .readers_pillow import PictureReader  # Pillow is loaded only by those who read pictures

    # DICOM comes last: it looks into files whose names say nothing.
    built_in: tuple[SliceReader, ...] = (PictureReader(), NiftiReader(options), DicomReader(options))
    for reader in (*_registered, *built_in):
        if reader.claims(path):
            return reader
    return None


def window_of(raw: RawSlice, window: tuple[float, float] | None) -> tuple[float, float] | None:
    """The window that :func:`to_grey` shows ``raw`` through: ``window``, or the default for such values, if any."""
    if raw.pixels.dtype == np.uint8:
        return None
    if window is None and raw.hounsfield:
        return LUNG_WINDOW
    if window is None and raw.pixels.dtype == np.uint16:
        return 0.0, 65535.0
    return window


@contextmanager
def access_errors(path: Path) -> Iterator[None]:
    """Context that names a file which is missing or may not be read, by an ``ImageReadError``."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageReadError(f"{path} does not exist") from error
    except PermissionError as error:
        raise ImageReadError(f"{path} may not be read: {error.strerror}") from error


def to_grey(raw: RawSlice, window: tuple[float, float] | None, name: str) -> npt.NDArray[np.uint8]:
    """Grey bytes (H, W) of a raw slice called ``name``.

    uint8 stays as it is. Hounsfield units are shown through ``window`` (default :data:`LUNG_WINDOW`); other values
    through ``window``, for which uint16 has the default 0..65535. Low and high become 0 and 255, linear between,
    rounded to nearest, clipped outside.

    Raises:
        ImageReadError: the slice is empty, not two-dimensional, or has NaN or infinite values.
        DataError: values whose range nobody knows (signed or floating, not Hounsfield) and no ``window``.
    """
    pixels = raw.pixels
    if pixels.ndim != 2 or pixels.size == 0:
        raise ImageReadError(f"{name}: expected a picture of two dimensions, found shape {pixels.shape}")
    if pixels.dtype == np.uint8:
        return pixels
    window = window_of(raw, window)
    if window is None:
        low, high = pixels.min(), pixels.max()
        raise DataError(
            f"{name} holds {pixels.dtype} values ({low:g} to {high:g}) of unknown meaning; say which are to be black "
            "and white with --window LOW HIGH"
        )
    if not np.isfinite(pixels).all():
        raise ImageReadError(f"{name} has pixels that are NaN or infinite")
    low, high = window
    scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    grey: npt.NDArray[np.uint8] = np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)
    return grey
