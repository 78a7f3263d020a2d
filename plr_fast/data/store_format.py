"""The files of a slice store: names, columns, versions, and how each is read back and checked."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as quoted
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._version import __version__
from ..errors import StoreError
from .store_workplace import workplace_of

FORMAT_NAME = "plr_fast slice store"
FORMAT_VERSION = 1
COLUMNS = ("id", "patient", "group", "label", "split", "source", "spacing_y", "spacing_x", "mask_ok")
SPLITS = ("train", "val", "test")
MAKE_AGAIN = "make the store again with 'plr-fast prepare --overwrite'"

_LABELS = {"": -1, "0": 0, "1": 1}
_FLAGS = {"0": False, "1": True}
_UNKNOWN = (math.nan, math.nan)


@dataclass(frozen=True)
class SliceRecord:
    """What the manifest says about one slice."""

    id: str
    """Name of the slice, unique in its store."""
    group: str
    """The unit that splits never part: a patient, a block of neighbouring slices, or a file."""
    split: str
    """"train", "val" or "test"."""
    label: int = -1
    """0 = negative class, 1 = positive class, -1 = unlabelled."""
    patient: str = ""
    """Patient id; empty where unknown."""
    source: str = ""
    """The file the slice came from, relative to the root of its data set."""
    spacing: tuple[float, float] | None = None
    """Distance between pixel centres (y, x) in millimetres, as stored; None where unknown."""
    mask_ok: bool = True
    """Whether the lung mask is plausible."""


def fingerprint(ids: Iterable[str], labels: Iterable[int], splits: Iterable[str], pixels: Mapping[str, str]) -> str:
    """SHA-256 over ids, labels and splits, one of each for every slice in order, and the hashes of the pixels."""
    # The bytes of json.dumps([id, label, split]), which keep the fields apart whatever characters an id contains; as
    # splits are plain words and labels small numbers, only the id needs the encoder, which is most of the time.
    rows = (f'[{quoted(name)}, {label}, "{split}"]' for name, label, split in zip(ids, labels, splits, strict=True))
    digest = hashlib.sha256("".join(rows).encode())
    digest.update(json.dumps(dict(sorted(pixels.items()))).encode())
    return digest.hexdigest()


def picture_digest(picture: npt.NDArray[np.uint8]) -> bytes:
    """16 bytes that name the pixels of a slice, (S, S); equal slices have equal ones."""
    return hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16).digest()


def read_info(path: Path) -> dict[str, Any]:
    """The checked content of ``store.json`` of the store at ``path``; raises ``StoreError``."""
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        begun = workplace_of(path)
        if begun.exists():
            raise StoreError(
                f"no slice store at {path}: it {what}, but {begun} is an unfinished preparation of it: run the same "
                "'plr-fast prepare' again to go on"
            )
        raise StoreError(f"no slice store at {path}: it {what}; make one with 'plr-fast prepare'")
    file = path / "store.json"
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StoreError(f"{path} is not a slice store: it has no store.json; see 'plr-fast prepare'") from error
    except (ValueError, OSError) as error:
        raise StoreError(f"{file} cannot be read: {error}; {MAKE_AGAIN}") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT_NAME:
        raise StoreError(f"{file} does not describe a plr_fast slice store; check the path")
    version = info.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise StoreError(f"{file}: format_version is {version!r}, not a positive integer; {MAKE_AGAIN}")
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{path} was written by plr_fast {info.get('plr_fast', '(unknown)')} in store format {version}; this is "
            f"plr_fast {__version__}, which reads up to format {FORMAT_VERSION}: update plr_fast, or {MAKE_AGAIN}"
        )
    names, pixels = info.get("class_names"), info.get("pixels_sha256")
    sound = (
        all(isinstance(info.get(key), int) and info[key] > 0 for key in ("size", "count"))
        and isinstance(names, list)
        and len(names) == 2
        and all(isinstance(name, str) for name in names)
        and isinstance(pixels, dict)
        and set(pixels) == {"slices", "masks"}
    )
    if not sound:
        raise StoreError(f"{file} lacks size, count, class_names or pixels_sha256; {MAKE_AGAIN}")
    return info


@dataclass(frozen=True)
class Manifest:
    """The columns of ``manifest.csv``, as :class:`SliceRecord` has them, in array order."""

    ids: list[str] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    spacings: list[tuple[float, float]] = field(default_factory=list)
    """NaN where unknown."""
    mask_ok: list[bool] = field(default_factory=list)


def read_manifest(file: Path) -> Manifest:
    """The rows of ``manifest.csv``, each checked; raises ``StoreError`` with the line."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return _parse(csv.reader(stream, strict=True), file)
    except FileNotFoundError as error:
        raise StoreError(f"{file} is missing; {MAKE_AGAIN}") from error
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise StoreError(f"{file} cannot be read: {error}; {MAKE_AGAIN}") from error


def _parse(reader: Any, file: Path) -> Manifest:
    # One plain loop: a store of 100,000 slices is to open at once.
    header: list[str] = next(reader, [])
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise StoreError(f"{file} lacks the column(s) {', '.join(missing)}; {MAKE_AGAIN}")
    width, pick = len(header), itemgetter(*(header.index(name) for name in COLUMNS))
    found = Manifest()
    seen: set[str] = set()
    for row in reader:
        if len(row) != width:
            if not row:
                continue  # a blank line
            raise StoreError(
                f"{file}, line {reader.line_num}: the number of fields differs from the header's; {MAKE_AGAIN}"
            )
        name, patient, group, label, split, source, y, x, mask_ok = pick(row)
        if name in seen or label not in _LABELS or split not in SPLITS or mask_ok not in _FLAGS:
            raise StoreError(f"{file}, line {reader.line_num}: {_fault(name, label, split, mask_ok)}")
        seen.add(name)
        try:
            found.spacings.append((float(y), float(x)) if y or x else _UNKNOWN)
        except ValueError as error:
            raise StoreError(f"{file}, line {reader.line_num}: spacing is not a number: {error}") from error
        found.ids.append(name)
        found.patients.append(patient)
        found.groups.append(group)
        found.labels.append(_LABELS[label])
        found.splits.append(split)
        found.sources.append(source)
        found.mask_ok.append(_FLAGS[mask_ok])
    return found


def _fault(name: str, label: str, split: str, mask_ok: str) -> str:
    if label not in _LABELS:
        return f"label is {label!r}, not 0, 1 or empty"
    if split not in SPLITS:
        return f"split is {split!r}, not one of {', '.join(SPLITS)}"
    if mask_ok not in _FLAGS:
        return f"mask_ok is {mask_ok!r}, not 0 or 1"
    return f"the id {name!r} occurs twice; {MAKE_AGAIN}"


def map_array(file: Path, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Map a ``.npy`` file of uint8 ``shape``, read-only; raises ``StoreError`` unless it is exactly that."""
    # The size is checked before mapping: reading beyond the end of a mapped file would kill the process (SIGBUS).
    try:
        with file.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise ValueError(f"npy version {version} instead of (1, 0)")
            found, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            start = stream.tell()
            length = os.fstat(stream.fileno()).st_size
    except FileNotFoundError as error:
        raise StoreError(f"{file} is missing; {MAKE_AGAIN}") from error
    except (ValueError, OSError, EOFError) as error:
        raise StoreError(f"{file} is damaged: {error}; {MAKE_AGAIN}") from error
    if dtype != np.uint8 or fortran or tuple(found) != shape:
        raise StoreError(f"{file} holds {dtype} {tuple(found)} instead of uint8 {shape}; {MAKE_AGAIN}")
    expected = start + shape[0] * shape[1] * shape[2]
    if length != expected:
        raise StoreError(f"{file} has {length} bytes instead of {expected}: truncated or damaged; {MAKE_AGAIN}")
    return np.memmap(file, dtype=np.uint8, mode="r", offset=start, shape=shape)
