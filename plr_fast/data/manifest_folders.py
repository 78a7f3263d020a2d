"""Data sets laid out as class folders, and masks laid out as their pictures are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePath

from ..errors import DataError
from .manifest import Classes, Entry, Listing, some
from .readers import find_reader


def scan_folders(root: Path, classes: Classes, *, patient_folders: bool = False) -> Listing:
    """Entries found in class folders: ``root/<class>/**``, each class in natural order of file names.

    Hidden files and files that no reader knows are passed over. Links are followed: whoever
    made the folder made them. ``order`` is the place
    within the class folder.

    Args:
        root: the folder that holds the class folders.
        classes: which folders mean what.
        patient_folders: the folder directly below the class folder is the patient id.

    Raises:
        DataError: ``root`` or a class folder is missing or has no pictures, or a file name is not valid text.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give a folder of class folders, a .csv manifest, or 'phantom'")
    table = classes.table()
    if all(label is None for label in table.values()):
        raise DataError("no class folder is named; say which are which, e.g. --positive covid --negative normal")
    found = {path.name.casefold(): path for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != "."}
    entries: list[Entry] = []
    notes: list[str] = []
    for name, label in table.items():
        if label is None:
            continue
        if name not in found:
            raise DataError(
                f"{root} has no folder {name!r}; its folders are {some([path.name for path in found.values()])}; "
                "name the class folders with --positive and --negative"
            )
        folder = found[name]
        paths, ignored = _sources(folder)
        if not paths:
            raise DataError(f"{folder} holds no pictures (PNG, JPEG, TIFF)")
        if ignored:
            notes.append(f"{folder}: {len(ignored)} files are no pictures and were passed over ({some(ignored)})")
        for order, path in enumerate(paths):
            parts = path.relative_to(folder).parts
            if patient_folders and len(parts) < 2:
                raise DataError(f"{path} lies in no patient folder; move it into one, or leave --patient-folders off")
            source = _text(path.relative_to(root).as_posix())
            patient = parts[0] if patient_folders else ""
            entries.append(Entry(source, path, source, label, str(path), folder.name, patient, order=float(order)))
    others = [path.name for key, path in found.items() if key not in table]
    if others:
        notes.append(f"{root}: folders that name no class were passed over ({some(others)})")
    return Listing(root, tuple(entries), tuple(notes))


def find_masks(entries: Iterable[Entry], folder: Path) -> dict[str, Path]:
    """The mask file of each entry (by id): ``folder`` / source, with any known suffix.

    Raises:
        DataError: ``folder`` is missing, or some entries have no mask; the message counts and names them.
    """
    if not folder.is_dir():
        raise DataError(f"the mask folder {folder} does not exist")
    by_stem: dict[str, Path] = {}
    for path in _sources(folder)[0]:
        by_stem.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    masks, missing = {}, []
    for entry in entries:
        path = folder / entry.source
        mask = path if path.is_file() else by_stem.get(PurePath(entry.source).with_suffix("").as_posix())
        if mask is None:
            missing.append(entry.source)
        else:
            masks[entry.id] = mask
    if missing:
        raise DataError(
            f"{len(missing)} pictures have no mask in {folder}: {some(missing)}; masks must lie there under the "
            "pictures' own relative names"
        )
    return masks


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts "slice 10" behind "slice 9"."""
    parts = re.split(r"(\d+)", text.casefold())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def _sources(folder: Path) -> tuple[list[Path], list[str]]:
    """Sources below ``folder`` in natural order, and the names of files that no reader knows."""
    found: list[Path] = []
    ignored: list[str] = []
    visited: set[Path] = set()  # links may lead in a circle

    def visit(path: Path) -> None:
        if path.resolve() in visited:
            return
        visited.add(path.resolve())
        for child in sorted(path.iterdir(), key=lambda child: (natural_key(child.name), child.name)):
            if child.name.startswith("."):
                continue
            if find_reader(child) is not None:
                found.append(child)
            elif child.is_dir():
                visit(child)
            else:
                ignored.append(child.name)

    visit(folder)
    return found, ignored


def _text(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the file name {os.fsencode(name)!r} is not valid UTF-8; rename the file") from error
    return name
