"""DICOM through pydicom: CT series and single files, enhanced (multi-frame) CT, and X-rays.

CT slices come from head to feet, front up, patient's right on the left, in Hounsfield units (RescaleSlope and
RescaleIntercept applied, of each frame where they differ), padding made air. X-rays become grey as a viewer shows them:
modality table, then the first VOI table or window (else the picture's own extremes), MONOCHROME1 inverted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ImageReadError
from .readers import DEFAULTS, Note, RawSlice, ReadOptions
from .readers_dicom_series import Frame, Series, dicom_errors, read_dataset, series_of_file
from .readers_pillow import MAX_PIXELS

SUFFIXES = (".dcm", ".dicom", ".ima")

AIR = -1000.0
"""Hounsfield units of air, which padding is given."""

_NO_CT_ABOVE = -200.0
"""Every slice has air in or around the body: values that all lie above this are no Hounsfield units."""
_HOUNSFIELD_TYPES = ("", "HU", "HU_MOD")  # RescaleType; absent means HU for CT


@dataclass(frozen=True)
class DicomReader:
    """The :class:`~plr_fast.data.readers.SliceReader` of DICOM: of ``series``, or of the one file it is asked for."""

    options: ReadOptions = DEFAULTS
    series: Series | None = None

    @property
    def names_patients(self) -> bool:
        """Whether patient ids are taken from the files."""
        return self.options.patient_ids != "none"

    def claims(self, path: Path) -> bool:
        """Files called .dcm, .dicom, .ima, and any other with DICOM's mark behind a preamble of 128 bytes."""
        if not path.is_file():
            return False
        if path.suffix.lower() in SUFFIXES:
            return True
        try:
            with path.open("rb") as stream:
                return stream.read(132)[128:] == b"DICM"
        except OSError:
            return False

    def count(self, path: Path) -> int:
        """Slices of the series, or of the file. Raises ``ImageReadError``, ``DataError`` (pydicom is missing)."""
        return len(self.options.chosen(len(self._plan(path).frames)))

    def read(self, path: Path) -> Iterator[RawSlice]:
        """Yield the slices one by one, one file open at a time. Errors as :meth:`count`."""
        series = self._plan(path)
        chosen = [series.frames[number] for number in self.options.chosen(len(series.frames))]
        patient = self.options.identify(series.patient, series.study)
        notes = series.notes
        if patient.startswith("study-"):
            notes += (("no patient id is stated: the study stands for the patient", ""),)
        single = len(series.frames) == 1
        for file, frames in groupby(chosen, key=lambda frame: frame.file):
            for frame, stored, info in _decode(file, list(frames)):
                with dicom_errors(file):
                    pixels, hounsfield, spacing = self._slice(file, stored, info, series)
                if hounsfield and frame is chosen[0] and pixels.min() > _NO_CT_ABOVE:
                    notes += (_not_hounsfield(float(pixels.min())),)
                yield RawSlice(pixels, None if single else frame.page, hounsfield, spacing, patient, notes)
                notes = ()

    def _plan(self, path: Path) -> Series:
        series = series_of_file(path, self.options) if self.series is None else self.series
        if series.problem:
            raise ImageReadError(series.problem)
        return series

    def _slice(
        self, file: Path, stored: npt.NDArray[Any], info: _FrameInfo, series: Series
    ) -> tuple[npt.NDArray[Any], bool, tuple[float, float] | None]:
        """Values in the display convention, whether they are Hounsfield units, and the spacing (y, x)."""
        if stored.ndim != 2:
            raise ImageReadError(f"{file} is a colour picture; CT slices and X-rays are grey")
        if series.xray:
            return _xray(stored, info), False, info.spacing()
        hounsfield = self.options.hounsfield == "yes" or (
            self.options.hounsfield == "auto" and info.rescale_type.upper() in _HOUNSFIELD_TYPES
        )
        pixels = series.view.apply(_ct_values(file, stored, info, hounsfield=hounsfield))
        spacing = info.spacing()
        return pixels, hounsfield, None if spacing is None else series.view.spacing(*spacing)


@dataclass(frozen=True)
class _FrameInfo:
    """The attributes of one frame: from its functional groups (enhanced objects) or the data set."""

    dataset: Any
    groups: tuple[Any, ...]

    def get(self, name: str, sequence: str = "") -> Any:
        """A value; empty ones count as absent."""
        for group in self.groups:
            items = group.get(sequence) if sequence else None
            if items and items[0].get(name) not in (None, ""):
                return items[0][name].value
        value = self.dataset.get(name)
        return None if value == "" else value

    @property
    def rescale_type(self) -> str:
        return str(self.get("RescaleType", "PixelValueTransformationSequence") or "")

    def rescale(self, file: Path) -> tuple[float, float]:
        slope = self.get("RescaleSlope", "PixelValueTransformationSequence")
        intercept = self.get("RescaleIntercept", "PixelValueTransformationSequence")
        slope, intercept = (1.0 if slope is None else float(slope)), (0.0 if intercept is None else float(intercept))
        if slope == 0.0 or not (math.isfinite(slope) and math.isfinite(intercept)):
            raise ImageReadError(f"{file}: RescaleSlope {slope:g} and RescaleIntercept {intercept:g} make no picture")
        return slope, intercept

    def spacing(self) -> tuple[float, float] | None:
        """Millimetres (rows, columns) as stored; None where not stated or not positive."""
        value = self.get("PixelSpacing", "PixelMeasuresSequence") or self.get("ImagerPixelSpacing")
        if value is None or isinstance(value, (str, float)) or len(value) != 2:
            return None
        row_step, column_step = float(value[0]), float(value[1])
        return (row_step, column_step) if 0 < row_step < math.inf and 0 < column_step < math.inf else None

    def padding(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
        """Which stored values are padding (PixelPaddingValue, up to PixelPaddingRangeLimit)."""
        value = self.dataset.get("PixelPaddingValue")
        if value is None or value == "":
            return None
        limit = self.dataset.get("PixelPaddingRangeLimit")
        bits = 8 * stored.dtype.itemsize
        # Both may be written as signed or unsigned whatever the pixels are: the bits are what counts.
        ends = [_as_stored(int(end), bits, stored.dtype) for end in (value, value if limit in (None, "") else limit)]
        found: npt.NDArray[np.bool_] = (stored >= min(ends)) & (stored <= max(ends))
        return found


def _decode(file: Path, frames: list[Frame]) -> Iterator[tuple[Frame, npt.NDArray[Any], _FrameInfo]]:
    """The stored values of some frames of a file, as they lie in it."""
    with dicom_errors(file):
        several = len(frames) > 1 or frames[0].index > 0
        dataset = read_dataset(file, stop_before_pixels=several)
        height, width = int(dataset.Rows), int(dataset.Columns)
        if height * width > MAX_PIXELS:
            raise ImageReadError(f"{file} claims {width}×{height} pixels (limit {MAX_PIXELS:,}); that is no CT slice")
        if not several:
            if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
                raise ImageReadError(f"{file} has no pixel data")
            from pydicom.pixels import pixel_array

            only = pixel_array(dataset, index=0, raw=True)
        shared = dataset.get("SharedFunctionalGroupsSequence") or ()
        each = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if not several:
        yield frames[0], only, _FrameInfo(dataset, (*each[:1], *shared[:1]))
        return
    from pydicom.pixels import iter_pixels

    stored = iter_pixels(file, indices=[frame.index for frame in frames], raw=True)
    for frame in frames:
        with dicom_errors(file):
            values = next(stored, None)
            if values is None:
                raise ImageReadError(f"{file} has no frame {frame.index}")
        yield frame, values, _FrameInfo(dataset, (*each[frame.index : frame.index + 1], *shared[:1]))


def _ct_values(file: Path, stored: npt.NDArray[Any], info: _FrameInfo, *, hounsfield: bool) -> npt.NDArray[Any]:
    """Rescaled values: int16 where that is exact, else float32."""
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise ImageReadError(f"{file} has pixels that are NaN or infinite")
    slope, intercept = info.rescale(file)
    padding = info.padding(stored)
    if not hounsfield and info.dataset.get("PhotometricInterpretation") == "MONOCHROME1" and stored.dtype.kind != "f":
        stored = _inverted(stored, info)
    values = stored.astype(np.float64) * slope + intercept
    if padding is not None:
        values[padding] = AIR if hounsfield else (values[~padding].min() if not padding.all() else 0.0)
    whole = slope == 1.0 and intercept.is_integer() and stored.dtype.kind != "f"
    if whole and values.min() >= -(2**15) and values.max() < 2**15:
        return values.astype(np.int16)
    return values.astype(np.float32)


def _inverted(stored: npt.NDArray[Any], info: _FrameInfo) -> npt.NDArray[Any]:
    bits = int(info.dataset.get("BitsStored") or 8 * stored.dtype.itemsize)
    total = -1 if info.dataset.get("PixelRepresentation") else 2**bits - 1  # lowest plus highest value
    return total - stored.astype(np.int64)


def _xray(stored: npt.NDArray[Any], info: _FrameInfo) -> npt.NDArray[np.uint8]:
    """Grey bytes as a viewer shows them."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    dataset = info.dataset
    padding = info.padding(stored)
    values = apply_modality_lut(stored, dataset)
    table = dataset.get("VOILUTSequence")
    if table and values.dtype.kind in "ui":
        bits = int(table[0].LUTDescriptor[2])
        shown = apply_voi_lut(values, dataset).astype(np.float64) / (2**bits - 1)
    else:
        values = values.astype(np.float64)
        centre, width = _first_number(dataset.get("WindowCenter")), _first_number(dataset.get("WindowWidth"))
        if centre is not None and width is not None and width >= 1:
            shown = _window(values, centre, width, str(dataset.get("VOILUTFunction") or "LINEAR").upper())
        else:
            inside = values if padding is None or padding.all() else values[~padding]
            low, high = float(inside.min()), float(inside.max())
            shown = (values - low) / ((high - low) or 1.0)
    grey: npt.NDArray[np.uint8] = np.rint(np.clip(shown, 0.0, 1.0) * 255.0).astype(np.uint8)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE":
        grey = np.uint8(255) - grey
    if padding is not None:
        grey[padding] = 0
    return grey


def _window(values: npt.NDArray[np.float64], centre: float, width: float, function: str) -> npt.NDArray[np.float64]:
    """DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3, onto 0..1 (to be clipped)."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if width == 1.0:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1.0) + 0.5


def _first_number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except TypeError:  # several windows: the first is the one to begin with
        number = float(value[0])
    return number if math.isfinite(number) else None


def _as_stored(value: int, bits: int, dtype: np.dtype[Any]) -> int:
    value %= 2**bits
    return value - 2**bits if dtype.kind == "i" and value >= 2 ** (bits - 1) else value


def _not_hounsfield(least: float) -> Note:
    return (
        "the values cannot be Hounsfield units (air would be -1000): give --window LOW HIGH for them",
        f"the least is {least:g}",
    )
