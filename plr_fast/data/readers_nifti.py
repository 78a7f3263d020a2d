"""NIfTI volumes (.nii, .nii.gz) through nibabel: axial slices from head to feet, front up, patient's right on the left.

Slices are cut across the volume along the axis nearest to the patient's, whatever the order and sense of the stored
axes. A volume is never in memory: slices are read through a memory map; a .nii.gz is unpacked once, into a
temporary file that vanishes with the reader.
"""

from __future__ import annotations

import errno
import gzip
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, ImageReadError, PlrFastError, StorageError
from .readers import DEFAULTS, Note, RawSlice, ReadOptions, access_errors
from .readers_axes import MAX_ANGLE, AxialView, axial_view
from .readers_pillow import MAX_PIXELS

SUFFIXES = (".nii", ".nii.gz")

_AIR = -1000.0
_HOUNSFIELD_BELOW = -500.0
"""A volume with values down to here holds air in Hounsfield units; NIfTI itself does not name its unit."""
_NOTABLE_ANGLE = 1.0
_FLAT = 3.0
"""Ratio of in-plane spacings from which slices are seen to cross the scan's own."""
_MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


@dataclass(frozen=True)
class NiftiReader:
    """The :class:`~plr_fast.data.readers.SliceReader` of NIfTI volumes."""

    options: ReadOptions = DEFAULTS
    names_patients = False  # NIfTI has no place for them

    def claims(self, path: Path) -> bool:
        """By suffix, in any case."""
        return path.name.lower().endswith(SUFFIXES) and path.is_file()

    def count(self, path: Path) -> int:
        """Slices that will be read. Raises ``ImageReadError``, ``DataError`` (nibabel is missing)."""
        return len(self.options.chosen(_layout(_load(path), path).count))

    def read(self, path: Path) -> Iterator[RawSlice]:
        """Yield the slices one by one. Errors as :meth:`count`; ``StorageError``: no space to unpack a .nii.gz."""
        layout = _layout(_load(path), path)
        with _unpacked(path, layout) as file, _clear_errors(path):
            image = _load(file)
            # For an uncompressed file this is a memory map.
            stored = image.dataobj.get_unscaled()
            slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
        slices = np.moveaxis(stored.reshape(layout.shape), layout.axis, 0)  # a view: indices read from the map
        if layout.head_last:
            slices = slices[::-1]
        chosen = self.options.chosen(layout.count)
        with _clear_errors(path):
            hounsfield, found = self._hounsfield(slices, chosen, slope, intercept)
        notes, holes = [*layout.notes, *found], False
        for page in chosen:
            with _clear_errors(path):
                pixels = layout.view.apply(_scaled(slices[page], slope, intercept))
                if hounsfield and pixels.dtype.kind == "f" and np.isnan(pixels).any():
                    pixels = np.where(np.isnan(pixels), np.float32(_AIR), pixels)
                    if not holes:
                        notes.append(("voxels that are NaN were made air", ""))
                    holes = True
            place = page if layout.count > 1 else None
            yield RawSlice(pixels, place, hounsfield=hounsfield, spacing=layout.spacing, notes=tuple(notes))
            notes = []

    def _hounsfield(
        self, slices: npt.NDArray[Any], chosen: range, slope: float, intercept: float
    ) -> tuple[bool, list[Note]]:
        if self.options.hounsfield != "auto":
            return self.options.hounsfield == "yes", []
        if slices.dtype.kind == "u" and slope == 1.0 and intercept >= 0.0:
            return False, []
        least = min(_least(_scaled(slices[page], slope, intercept)) for page in chosen)
        if least > _HOUNSFIELD_BELOW:
            return False, []
        return True, [("taken as Hounsfield units for values of -500 and less (--hounsfield no forbids it)", "")]


@dataclass(frozen=True)
class _Layout:
    """How the voxels of a volume lie."""

    shape: tuple[int, int, int]
    axis: int
    """The voxel axis from feet to head."""
    head_last: bool
    """The head has the highest index."""
    view: AxialView
    spacing: tuple[float, float] | None
    end: int
    """Bytes of the unpacked file up to the last voxel."""
    notes: tuple[Note, ...]

    @property
    def count(self) -> int:
        return self.shape[self.axis]


def _load(path: Path) -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise DataError(
            'NIfTI volumes are read with nibabel, which is missing; pip install "plr-fast[medical]"'
        ) from error
    with _clear_errors(path):
        return nibabel.load(path)


def _layout(image: Any, path: Path) -> _Layout:
    """Raises ``ImageReadError`` for what is no volume of grey values."""
    with _clear_errors(path):
        header = image.header
        dtype, shape = header.get_data_dtype(), tuple(int(side) for side in image.shape)
        end = int(image.dataobj.offset) + dtype.itemsize * math.prod(shape)
        if dtype.kind not in "iuf":
            raise ImageReadError(f"{path} holds {'colours' if dtype.names else dtype}, not grey values")
        if math.prod(shape[3:]) != 1 or len(shape) < 2:
            times = "×".join(map(str, shape))
            raise ImageReadError(f"{path} is {times}: not one volume; take out one time point and give that")
        shape3 = (*shape, 1)[:3]
        affine = np.asarray(image.affine, dtype=np.float64)[:3, :3]
        lengths = np.linalg.norm(affine, axis=0)
        notes: list[Note] = []
        if not (int(header["sform_code"]) or int(header["qform_code"])):
            notes.append(("the orientation is not stated: taken as nibabel does, left-anterior-superior", ""))
        if not (np.isfinite(affine).all() and (lengths > 0).all()):
            raise ImageReadError(f"{path} has an affine that turns the volume into nothing:\n{affine}")
        # RAS (+x right, +y front) to DICOM's patient coordinates (+x left, +y back).
        directions = (affine / lengths * np.array([[-1.0], [-1.0], [1.0]])).T
        order = _nearest_axes(directions)
    axis = order[2]
    rows, columns = (voxel_axis for voxel_axis in range(3) if voxel_axis != axis)
    try:
        view = axial_view(directions[columns].tolist(), directions[rows].tolist())
    except ValueError as error:
        raise ImageReadError(f"{path} has a sheared affine; resample the volume onto a rectangular grid") from error
    if view.angle > MAX_ANGLE:
        raise ImageReadError(
            f"{path} lies {view.angle:.0f}° oblique in the patient; resample it onto the patient's axes (limit "
            f"{MAX_ANGLE:.0f}°)"
        )
    if view.angle > _NOTABLE_ANGLE:
        notes.append(("the slices are tilted against the patient's axes", f"{view.angle:.0f}°"))
    if max(shape3[rows], 1) * max(shape3[columns], 1) > MAX_PIXELS or min(shape3) < 1:
        raise ImageReadError(f"{path} claims slices of {shape3[columns]}×{shape3[rows]} pixels; that is no CT")
    unit = _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    spacing = view.spacing(float(lengths[rows]) * unit, float(lengths[columns]) * unit)
    if max(spacing) / min(spacing) > _FLAT:
        notes.append(
            ("axial slices cross the scan's own, which are thicker", f"{spacing[0]:g} × {spacing[1]:g} mm in plane")
        )
    return _Layout(
        shape=(shape3[0], shape3[1], shape3[2]),
        axis=axis,
        head_last=bool(directions[axis][2] > 0),
        view=view,
        spacing=spacing,
        end=end,
        notes=tuple(notes),
    )


def _nearest_axes(directions: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """For each axis of the patient, x, y and z, the voxel axis (a row of ``directions``) that runs along it."""
    return max(
        permutations(range(3)),
        key=lambda order: sum(abs(float(directions[voxel, axis])) for axis, voxel in enumerate(order)),
    )


def _scaled(stored: npt.NDArray[Any], slope: float, intercept: float) -> npt.NDArray[Any]:
    """Values of a slice, in native byte order; float32 where scaling applies."""
    if (slope, intercept) == (1.0, 0.0):
        return stored.astype(stored.dtype.newbyteorder("="))
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _least(values: npt.NDArray[Any]) -> float:
    """The least finite value, or infinity."""
    if values.dtype.kind != "f":
        return float(values.min())
    finite = values[np.isfinite(values)]
    return float(finite.min()) if finite.size else math.inf


@contextmanager
def _unpacked(path: Path, layout: _Layout) -> Iterator[Path]:
    """``path``, or an unpacked copy of a .nii.gz, which no longer has a name once the block begins to use its map.

    Going through a compressed file from head to feet would unpack it anew for every slice: most volumes are stored
    from the feet up.
    """
    if not path.name.lower().endswith(".gz"):
        yield path
        return
    handle, name = tempfile.mkstemp(suffix=".nii", prefix="plr-fast-")
    try:
        with os.fdopen(handle, "wb") as target, _clear_errors(path), gzip.open(path, "rb") as source:
            _copy(source, target, layout.end, path)
        yield Path(name)
    finally:
        with suppress(OSError):
            Path(name).unlink()  # the memory map keeps the content until it is closed


def _copy(source: IO[bytes] | gzip.GzipFile, target: IO[bytes], length: int, path: Path) -> None:
    """Exactly ``length`` bytes: a file that unpacks to more than its header says is not followed."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if length > free:
        raise StorageError(
            errno.ENOSPC,
            f"{path} unpacks to {length / 2**20:,.0f} MiB, but {tempfile.gettempdir()} has {free / 2**20:,.0f} MiB "
            "free; set TMPDIR to a folder with more space",
        )
    while length:
        block = source.read(min(length, 1 << 22))
        if not block:
            raise ImageReadError(f"{path} is damaged or truncated: {length} bytes are missing at its end")
        target.write(block)
        length -= len(block)


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        with access_errors(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (PlrFastError, MemoryError):
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageError(
                errno.ENOSPC, f"no space is left in {tempfile.gettempdir()} to unpack {path}; set TMPDIR"
            ) from error
        raise ImageReadError(f"{path} is damaged or truncated: {error}") from error
    except Exception as error:  # damaged files make nibabel raise nearly anything
        what = "is empty (0 bytes)" if path.stat().st_size == 0 else f"is damaged or no NIfTI file: {error}"
        raise ImageReadError(f"{path} {what}") from error
