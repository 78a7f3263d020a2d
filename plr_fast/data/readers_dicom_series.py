"""DICOM headers: which files belong together, in which order, which way up. No pixel is read here.

A *series* is what becomes one source: the axial CT slices of one SeriesInstanceUID, of one size and orientation, from
head to feet by their positions (ImagePositionPatient along the normal), never by their numbers or file names; or one
X-ray picture.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, ImageReadError
from .readers import Note, ReadOptions, access_errors
from .readers_axes import AxialView, axial_view, normal, plane_name

XRAY = ("CR", "DX", "RG")
"""Modalities that are read as X-ray pictures: computed, digital and film radiography."""

_TAGS = [
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "ImageType",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "AcquisitionNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_CT_CLASSES = (  # CT, enhanced CT, legacy converted enhanced CT
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame forms .7.1 to .7.4
_DIRECTORY = "1.2.840.10008.1.3.10"
_SCREENSHOTS = ("SCREEN SAVE", "SCREENSAVE", "DOSE_INFO")

_AS_STORED = AxialView()

_SAME_PLACE = 0.01
"""Millimetres; slices nearer than this lie at one place."""
_NOTABLE_ANGLE = 1.0


@dataclass(frozen=True)
class Frame:
    """One slice of a series."""

    file: Path
    index: int
    """Frame in its file, from 0."""
    page: int
    """Place in the series from 0 at the head, places of missing slices counted."""


@dataclass(frozen=True)
class Series:
    """What one source of DICOM files holds."""

    files: tuple[Path, ...]
    frames: tuple[Frame, ...]
    """From head to feet."""
    uid: str
    """Tells apart the series of a folder."""
    study: str = ""
    patient: str = ""
    """PatientID as it stands in the files."""
    xray: bool = False
    view: AxialView = _AS_STORED
    problem: str = ""
    """Why it cannot be read; names a file."""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Scan:
    """What a number of DICOM files turned out to be."""

    series: tuple[Series, ...]
    broken: tuple[Path, ...]
    """Files that cannot be read; opening them as sources tells why."""
    passed_over: Counter[str]
    """How many files are neither CT slices nor X-rays, by what they are."""


@dataclass(frozen=True)
class _Header:
    """What orders one frame."""

    file: Path
    index: int
    modality: str
    series: str
    study: str
    patient: str
    instance: str
    """SOPInstanceUID."""
    size: tuple[int, int]
    syntax: str
    number: tuple[float, float]
    """AcquisitionNumber, InstanceNumber."""
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None


def require_pydicom() -> Any:
    """The package pydicom. Raises ``DataError`` where it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its decoders are loaded with it, and some are wrapped by old tools
            import pydicom
    except ImportError as error:
        raise DataError(
            'DICOM files are read with pydicom, which is missing; pip install "plr-fast[medical]"'
        ) from error
    return pydicom


@contextmanager
def dicom_errors(path: Path) -> Iterator[None]:
    """Turn whatever pydicom raises on a damaged file into an ``ImageReadError`` that names it; silence its warnings."""
    try:
        with access_errors(path), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that break the letter of the standard in readable files
            yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # damaged files make pydicom raise nearly anything
        raise ImageReadError(f"{path} is damaged or truncated: {error or type(error).__name__}") from error


def read_dataset(path: Path, **options: Any) -> Any:
    """``pydicom.dcmread``, also of files without the preamble. Raises ``ImageReadError`` through ``dicom_errors``."""
    pydicom = require_pydicom()
    try:
        return pydicom.dcmread(path, **options)
    except pydicom.errors.InvalidDicomError as error:
        if path.stat().st_size == 0:
            raise ImageReadError(f"{path} is empty (0 bytes)") from error
        dataset = pydicom.dcmread(path, force=True, **options)
        if "SOPClassUID" not in dataset:
            raise ImageReadError(f"{path} is not a DICOM file, or is damaged") from error
        if "TransferSyntaxUID" not in dataset.file_meta:
            implicit, little = dataset.original_encoding
            uids = pydicom.uid
            plain = uids.ImplicitVRLittleEndian if implicit else uids.ExplicitVRLittleEndian
            dataset.file_meta.TransferSyntaxUID = plain if little else uids.ExplicitVRBigEndian
        return dataset


def scan_files(files: Sequence[Path], options: ReadOptions, tick: Callable[[], object] = lambda: None) -> Scan:
    """Read the headers of ``files`` and put together what belongs together; ``tick`` is called after each file.

    Raises:
        DataError: pydicom is missing.
    """
    require_pydicom()
    headers: dict[str, list[_Header]] = defaultdict(list)
    broken: list[Path] = []
    passed_over: Counter[str] = Counter()
    for file in files:
        try:
            found = _read_headers(file)
        except ImageReadError:
            broken.append(file)
        else:
            if isinstance(found, str):
                passed_over[found] += 1
            else:
                own = str(file) if found[0].modality in XRAY else ""  # each X-ray is a source of its own
                headers[f"{found[0].series}\n{own}"].extend(found)
        tick()
    passed_over.pop("", None)
    series = [made for frames in headers.values() for made in _series_of(frames, options)]
    return Scan(tuple(series), tuple(broken), passed_over)


def series_of_file(file: Path, options: ReadOptions) -> Series:
    """The one file as a series.

    Raises:
        DataError: pydicom is missing.
        ImageReadError: it is unreadable or neither CT nor X-ray.
    """
    found = _read_headers(file)
    if isinstance(found, str):
        raise ImageReadError(f"{file} holds neither CT slices nor an X-ray, but: {found or 'a DICOM directory'}")
    return _series_of(found, options)[0]


def _read_headers(file: Path) -> list[_Header] | str:
    """One header for each frame; or what the file is instead of CT slices or an X-ray ('' = of no interest)."""
    with dicom_errors(file):
        dataset = read_dataset(file, stop_before_pixels=True, specific_tags=_TAGS)
        other = _what_else(file, dataset)
        if other is not None:
            return other
        count = int(dataset.get("NumberOfFrames") or 1)
        # Modality is mandatory, but the class of the object decides where it is missing.
        modality = str(dataset.get("Modality") or "CT")
        shared = _first(dataset, "SharedFunctionalGroupsSequence")
        each = dataset.get("PerFrameFunctionalGroupsSequence") or ()
        if count > 1 and modality == "CT" and len(each) != count:
            raise ImageReadError(f"{file} has {count} frames, but says of {len(each)} where they lie")
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        headers = []
        for index in range(count):
            groups = (each[index] if index < len(each) else None, shared)
            position = _of_frame(groups, "PlanePositionSequence", "ImagePositionPatient", dataset)
            orientation = _of_frame(groups, "PlaneOrientationSequence", "ImageOrientationPatient", dataset)
            headers.append(
                _Header(
                    file=file,
                    index=index,
                    modality=modality,
                    # Files without a series are slices of one where they lie in one folder.
                    series=str(dataset.get("SeriesInstanceUID") or file.parent),
                    study=str(dataset.get("StudyInstanceUID") or ""),
                    patient=str(dataset.get("PatientID") or "").strip(),
                    instance=str(dataset.get("SOPInstanceUID") or file),
                    size=(int(dataset.Rows), int(dataset.Columns)),
                    syntax=syntax,
                    number=(_number(dataset.get("AcquisitionNumber")), _number(dataset.get("InstanceNumber"))),
                    position=_floats(position, 3),
                    orientation=_floats(orientation, 6),
                )
            )
        return headers


def _what_else(file: Path, dataset: Any) -> str | None:
    """None for a CT slice or X-ray; else what the file is ('' for a DICOMDIR). Raises ``ImageReadError``: garbage."""
    kind, modality = str(dataset.get("SOPClassUID") or ""), str(dataset.get("Modality") or "")
    if _DIRECTORY in (kind, str(dataset.file_meta.get("MediaStorageSOPClassUID") or "")):
        return ""
    if "Rows" not in dataset or "Columns" not in dataset:
        if not kind:
            raise ImageReadError(f"{file} is damaged or truncated: it says nowhere what it holds (SOPClassUID)")
        if kind in _CT_CLASSES and modality in ("", "CT"):
            raise ImageReadError(f"{file} is damaged or truncated: it is CT, but has no height and width")
        return f"{modality or 'unknown'} object without pictures"
    types = {str(value).upper() for value in dataset.get("ImageType") or ()}
    if "LOCALIZER" in types:
        return "localizer"
    if modality in XRAY:
        return None  # public X-ray sets are often secondary captures
    if modality != "CT" and (modality or kind not in _CT_CLASSES):
        return f"modality {modality or 'unknown'}"
    captured = kind.startswith(_SECONDARY_CAPTURE) and "ImagePositionPatient" not in dataset
    if captured or types & {*_SCREENSHOTS} or dataset.get("SamplesPerPixel", 1) != 1:
        return "screenshot or secondary capture"
    return None


def _series_of(headers: list[_Header], options: ReadOptions) -> list[Series]:
    """The sources that frames of one SeriesInstanceUID make: one for each size and orientation."""
    parts: dict[tuple[Any, ...], list[_Header]] = defaultdict(list)
    for header in headers:
        turned = None if header.orientation is None else tuple(round(value, 2) + 0.0 for value in header.orientation)
        parts[header.size, turned].append(header)
    made = [(part, _plan(part, options)) for part in parts.values()]
    axial = [series for _, series in made if not series.problem]
    if len(made) == 1 or not axial:
        return [series for _, series in made]
    # Scanners put scouts and reformats into the series of the scan: no reason to refuse the scan.
    dropped = sum(len(part) for part, series in made if series.problem)
    kept = [(part, series) for part, series in made if not series.problem]
    found = []
    for part, series in kept:
        notes = series.notes
        if dropped:
            notes += (("slices of another orientation in a series were passed over", str(dropped)),)
        uid = series.uid if len(kept) == 1 else f"{series.uid} {part[0].size} {part[0].orientation}"
        found.append(replace(series, notes=notes, uid=uid))
    return found


def _plan(headers: list[_Header], options: ReadOptions) -> Series:
    """Order the frames of one series and say what is odd about it."""
    first = headers[0]
    files = tuple(dict.fromkeys(header.file for header in headers))
    by_number = sorted(headers, key=lambda header: (header.number, header.file.name, header.index))
    numbered = tuple(Frame(header.file, header.index, page) for page, header in enumerate(by_number))
    series = Series(
        files, numbered, first.series, first.study, first.patient, xray=first.modality in XRAY, problem=_codec(headers)
    )
    if series.problem or series.xray:
        return series
    notes: list[Note] = []
    direction, view = np.array([0.0, 0.0, 1.0]), _AS_STORED
    if first.orientation is None:
        notes.append(("the orientation is not stated: taken as front up, patient's right on the left", ""))
    else:
        try:
            direction = normal(first.orientation[:3], first.orientation[3:])
        except ValueError:
            return replace(series, problem=f"{first.file}: ImageOrientationPatient is no orientation")
        plane = plane_name(direction)
        if plane != "axial":
            what = f"{first.file} belongs to a series of {len(headers)} {plane} slices"
            return replace(series, problem=f"{what}; only axial ones can be used")
        view = axial_view(first.orientation[:3], first.orientation[3:])
        if view.angle > _NOTABLE_ANGLE:
            notes.append(("the slices are tilted against the patient's axes", f"{view.angle:.0f}°"))
    if all(header.position is not None for header in headers):
        frames, found, gap = _by_position(by_number, direction)
        notes += found
        if gap and options.gaps == "refuse":
            what = f"{first.file} belongs to a series in which slices are missing ({gap})"
            return replace(series, problem=f"{what}; --gaps note accepts that")
    else:
        frames = numbered
        if len(headers) > 1:
            notes.append(("the positions of slices are not stated: ordered by number, head or feet first", ""))
    return replace(series, frames=frames, view=view, notes=tuple(notes))


def _by_position(headers: list[_Header], direction: Any) -> tuple[tuple[Frame, ...], list[Note], str]:
    """Frames from head to feet with their pages, what is odd, and where slices are missing ('' = nowhere)."""
    placed = [(float(np.dot(header.position, direction)), header) for header in headers if header.position is not None]
    placed.sort(key=lambda pair: -pair[0])  # stable: at one place the lowest number stays first
    kept: list[tuple[float, _Header]] = []
    copies, rivals = 0, 0
    for place, header in placed:
        if kept and kept[-1][0] - place < _SAME_PLACE:
            copies += header.instance == kept[-1][1].instance
            rivals += header.instance != kept[-1][1].instance
        else:
            kept.append((place, header))
    notes: list[Note] = []
    if copies:
        notes.append(("copies of a slice were left out", str(copies)))
    if rivals:
        notes.append(
            ("several slices lie at one place (phases or reconstructions?): the first by number was taken", str(rivals))
        )
    steps = [above - below for (above, _), (below, _) in pairwise(kept)]
    step = sorted(steps)[(len(steps) - 1) // 2] if steps else 0.0  # the lower median: of two steps one may be a gap
    pages, gaps = [0], []
    for number, found in enumerate(steps):
        missing = max(round(found / step), 1) - 1 if found >= 1.5 * step else 0
        if missing:
            gaps.append(f"{missing} behind #{pages[-1]:04d}: {found:g} mm where others are {step:g} mm apart")
        pages.append(pages[number] + 1 + missing)
    gap = "; ".join(gaps[:3]) + (f" and {len(gaps) - 3} more" if len(gaps) > 3 else "")
    if gap:
        notes.append(("slices are missing", gap))
    elif steps and max(abs(found - step) for found in steps) > max(0.1, 0.1 * step):
        notes.append(("the slices are unevenly spaced", f"{min(steps):g} to {max(steps):g} mm"))
    frames = tuple(Frame(header.file, header.index, page) for (_, header), page in zip(kept, pages, strict=True))
    return frames, notes, gap


def _codec(headers: list[_Header]) -> str:
    """What is wrong with the transfer syntax of some file; '' where all can be decoded."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    for syntax in dict.fromkeys(header.syntax for header in headers):
        if not syntax or not UID(syntax).is_encapsulated:
            continue
        file = next(header.file for header in headers if header.syntax == syntax)
        what = f"{file} is compressed as {UID(syntax).name} ({syntax})"
        try:
            if not get_decoder(UID(syntax)).is_available:
                return f'{what}, for which no decoder is installed; pip install "plr-fast[codecs]"'
        except NotImplementedError:
            return f"{what}, for which there is no decoder; export it uncompressed"
    return ""


def _of_frame(groups: Sequence[Any], sequence: str, name: str, dataset: Any) -> Any:
    """An attribute of a frame: from its own functional groups, the shared ones, or the data set itself."""
    for group in groups:
        item = None if group is None else _first(group, sequence)
        if item is not None and name in item:
            return item[name].value
    return dataset.get(name)


def _first(dataset: Any, sequence: str) -> Any:
    items = dataset.get(sequence)
    return items[0] if items else None


def _floats(values: Any, count: int) -> tuple[float, ...] | None:
    if values is None or isinstance(values, (str, float, int)) or len(values) != count:
        return None
    found = tuple(float(value) for value in values)
    return found if all(map(math.isfinite, found)) else None


def _number(value: Any) -> float:
    return math.inf if value is None or value == "" else float(value)
