"""DICOM and NIfTI files made from known volumes, for the tests of their readers.

A volume here is (D, H, W) in the display convention of stores: from head to feet, from front to back, from the
patient's right to the left. In DICOM's patient coordinates that is -z, +y, +x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason='pip install "plr-fast[codecs]"')
pytest.importorskip("nibabel", reason='pip install "plr-fast[codecs]"')

import nibabel as nibabel
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from plr_fast.data.readers import RawSlice, ReadOptions
from plr_fast.data.readers_dicom import DicomReader
from plr_fast.data.readers_dicom_series import Series, scan_files

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
XRAY = "1.2.840.10008.5.1.4.1.1.1.1"
SPACING = (2.5, 0.8, 0.7)  # millimetres z, y, x
STANDARD = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def uid(*names: object) -> str:
    """The same UID for the same names."""
    return generate_uid(entropy_srcs=[str(name) for name in names])


def volume(depth: int = 6, height: int = 12, width: int = 10, seed: int = 0) -> np.ndarray:
    """Hounsfield units in which no flip or turn is like another."""
    return np.random.default_rng(seed).integers(-1024, 1500, (depth, height, width)).astype(np.int16)


def dataset(stored: np.ndarray, kind: str = CT, modality: str = "CT", **tags: Any) -> FileDataset:
    """A data set with one picture or several frames, as ``stored``; ``tags`` by keyword, None takes one out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID = kind
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
    made.Modality = modality
    made.PatientID, made.PatientName = "P1", "Name^Secret"
    made.StudyInstanceUID, made.SeriesInstanceUID = uid("study"), uid("series")
    made.Rows, made.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        made.NumberOfFrames = len(stored)
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * stored.dtype.itemsize
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(stored.dtype.kind == "i")
    made.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    for name, value in tags.items():
        if value is not None:
            setattr(made, name, value)
        elif name in made:
            delattr(made, name)
    return made


def save(made: FileDataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def corner(place: Sequence[int], spacing: Sequence[float] = SPACING) -> list[float]:
    """Patient coordinates of the voxel (z, y, x) of a volume."""
    (k, i, j), (sz, sy, sx) = place, spacing
    return [-50.0 + sx * j, -40.0 + sy * i, 300.0 - sz * k]


def turned(picture: np.ndarray, across: Sequence[float], down: Sequence[float]) -> tuple[np.ndarray, tuple[int, int]]:
    """A slice as a scanner stores it whose columns run ``across`` and whose rows run ``down`` (unit vectors of the
    patient's axes), and the place (row, column) in ``picture`` of its first pixel."""
    place = (0 if across[1] + down[1] > 0 else picture.shape[0] - 1, 0 if across[0] + down[0] > 0 else -1)
    stored = picture[:: 1 if place[0] == 0 else -1, :: 1 if place[1] == 0 else -1]
    if across[0] == 0:
        stored = stored.T
    return stored, (place[0], place[1] % picture.shape[1])


def ct_slices(hounsfield: np.ndarray, orientation: Sequence[float] = STANDARD, **tags: Any) -> list[FileDataset]:
    """The slices of a volume, stored unsigned with slope 1 and intercept -1024, numbered from feet to head."""
    made = []
    for place, picture in enumerate(hounsfield):
        stored, (i, j) = turned(picture, orientation[:3], orientation[3:])
        spacing = SPACING[1:] if orientation[0] != 0 else SPACING[:0:-1]
        values: dict[str, Any] = {
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "ImagePositionPatient": corner((place, i, j)),
            "ImageOrientationPatient": list(orientation),
            "PixelSpacing": list(spacing),
            "InstanceNumber": len(hounsfield) - place,
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
        }
        made.append(dataset((stored.astype(np.int32) + 1024).astype(np.uint16), **(values | tags)))
    return made


def save_series(made: Sequence[FileDataset], folder: Path, *, suffix: str = ".dcm", seed: int = 0) -> list[Path]:
    """Save slices under names in random order."""
    order = np.random.default_rng(seed).permutation(len(made))
    return [save(item, folder / f"IM{order[number]:04d}{suffix}") for number, item in enumerate(made)]


def enhanced_ct(hounsfield: np.ndarray, order: Sequence[int], slopes: Sequence[float], **tags: Any) -> FileDataset:
    """An enhanced CT whose frames are the slices ``order``, each with its own slope."""
    stored = np.stack([hounsfield[k] - np.int16(-1024) for k in order]).astype(np.uint16)
    made = dataset(stored, ENHANCED_CT, **tags)
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(STANDARD))]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=list(SPACING[1:]), SliceThickness=SPACING[0])]
    made.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k, slope in zip(order, slopes, strict=True):
        frame = Dataset()
        frame.PlanePositionSequence = [_item(ImagePositionPatient=corner((k, 0, 0)))]
        frame.PixelValueTransformationSequence = [
            _item(RescaleSlope=slope, RescaleIntercept=-1024 * slope, RescaleType="HU")
        ]
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = frames
    return made


def _item(**values: Any) -> Dataset:
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def one_series(folder: Path, options: ReadOptions | None = None) -> Series:
    """The only series of the files of a folder."""
    scan = scan_files(sorted(folder.iterdir()), options or ReadOptions())
    (found,) = scan.series
    return found


def read_series(folder: Path, **options: Any) -> list[RawSlice]:
    """All slices of the only series in ``folder``."""
    given = ReadOptions(**options)
    return list(DicomReader(given, one_series(folder, given)).read(folder))


def notes_of(slices: Sequence[RawSlice]) -> Mapping[str, str]:
    return dict(note for found in slices for note in found.notes)


def reopened(path: Path) -> FileDataset:
    return pydicom.dcmread(path)
