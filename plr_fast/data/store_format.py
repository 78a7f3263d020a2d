"""The files of a slice store: names, columns, versions, and how each is read back and checked."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .._version import __version__
from ..errors import StoreError

FORMAT_NAME = "plr_fast slice store"
FORMAT_VERSION = 1
COLUMNS = ("id", "patient", "group", "label", "split", "source", "spacing_y", "spacing_x", "mask_ok")
SPLITS = ("train", "val", "test")
MAKE_AGAIN = "make the store again with 'plr-fast prepare --overwrite'"

_LABELS = {"": -1, "0": 0, "1": 1}


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


def fingerprint(records: Iterable[SliceRecord], pixels: Mapping[str, str]) -> str:
    """SHA-256 over ids, labels and splits in order, and the hashes of the pixels."""
    digest = hashlib.sha256()
    for record in records:
        # JSON keeps the fields apart whatever characters an id contains.
        digest.update(json.dumps([record.id, record.label, record.split]).encode())
    digest.update(json.dumps(dict(sorted(pixels.items()))).encode())
    return digest.hexdigest()


def read_info(path: Path) -> dict[str, Any]:
    """The checked content of ``store.json`` of the store at ``path``; raises ``StoreError``."""
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
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


def read_manifest(file: Path) -> list[SliceRecord]:
    """The rows of ``manifest.csv``, each checked; raises ``StoreError`` with the line."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise StoreError(f"{file} lacks the column(s) {', '.join(missing)}; {MAKE_AGAIN}")
            records: list[SliceRecord] = []
            seen: set[str] = set()
            for row in reader:
                where = f"{file}, line {reader.line_num}"
                record = _parse_row(row, where)
                if record.id in seen:
                    raise StoreError(f"{where}: the id {record.id!r} occurs twice; {MAKE_AGAIN}")
                seen.add(record.id)
                records.append(record)
    except FileNotFoundError as error:
        raise StoreError(f"{file} is missing; {MAKE_AGAIN}") from error
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise StoreError(f"{file} cannot be read: {error}; {MAKE_AGAIN}") from error
    return records


def _parse_row(row: Mapping[str | None, Any], where: str) -> SliceRecord:
    # DictReader files surplus fields under None and fills missing ones with None.
    if None in row or None in row.values():
        raise StoreError(f"{where}: the number of fields differs from the header's; {MAKE_AGAIN}")
    if row["label"] not in _LABELS:
        raise StoreError(f"{where}: label is {row['label']!r}, not 0, 1 or empty")
    if row["split"] not in SPLITS:
        raise StoreError(f"{where}: split is {row['split']!r}, not one of {', '.join(SPLITS)}")
    if row["mask_ok"] not in ("0", "1"):
        raise StoreError(f"{where}: mask_ok is {row['mask_ok']!r}, not 0 or 1")
    spacing = None
    if row["spacing_y"] or row["spacing_x"]:
        try:
            spacing = (float(row["spacing_y"]), float(row["spacing_x"]))
        except ValueError as error:
            raise StoreError(f"{where}: spacing is not a number: {error}") from error
    return SliceRecord(
        id=row["id"],
        group=row["group"],
        split=row["split"],
        label=_LABELS[row["label"]],
        patient=row["patient"],
        source=row["source"],
        spacing=spacing,
        mask_ok=row["mask_ok"] == "1",
    )


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
