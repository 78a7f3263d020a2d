"""Data sets laid out as class folders, and masks laid out as their pictures are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath

from ..errors import DataError
from .manifest import Classes, Entry, Listing, some
from .readers import DEFAULTS, ReadOptions
from .sources import KINDS, Sources, find_sources


def scan_folders(
    root: Path,
    classes: Classes,
    *,
    patient_folders: bool = False,
    options: ReadOptions = DEFAULTS,
    progress: bool = False,
) -> Listing:
    """Entries found in class folders: ``root/<class>/**``, each class in natural order of file names.

    Hidden files and files that no reader knows are passed over. Links are followed: whoever
    made the folder made them. ``order`` is the place
    within the class folder. DICOM files that lie in one folder are put together to series by their headers.

    Args:
        root: the folder that holds the class folders.
        classes: which folders mean what.
        patient_folders: the folder directly below the class folder is the patient id.
        options: how series and volumes are read.
        progress: show a bar while headers are read.

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
    passed_over: Counter[str] = Counter()
    for name, label in table.items():
        if label is None:
            continue
        if name not in found:
            raise DataError(
                f"{root} has no folder {name!r}; its folders are {some([path.name for path in found.values()])}; "
                "name the class folders with --positive and --negative"
            )
        folder = found[name]
        sources = find_sources(folder, options, progress=progress)
        passed_over += sources.passed_over
        if not sources.found:
            raise DataError(f"{folder} holds no {_what(sources)}")
        if sources.ignored:
            notes.append(
                f"{folder}: {len(sources.ignored)} files are no pictures and were passed over ({some(sources.ignored)})"
            )
        for order, source in enumerate(sources.found):
            below = source.first.relative_to(folder).parts
            if patient_folders and len(below) < 2:
                raise DataError(
                    f"{source.first} lies in no patient folder; move it into one, or leave --patient-folders off"
                )
            known = options.identify(source.series.patient, source.series.study) if source.series is not None else ""
            name_below = PurePath(folder.name, source.name).as_posix()
            entries.append(
                Entry(
                    id=name_below,
                    path=source.path,
                    source=name_below,
                    label=label,
                    where=str(source.path),
                    class_name=folder.name,
                    patient=below[0] if patient_folders else known,
                    order=float(order),
                    series=source.series,
                )
            )
    if passed_over:
        notes.append(_passed_over(passed_over))
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
    for found in find_sources(folder).found:
        if found.path.is_file():
            by_stem.setdefault(_stem(found.name), found.path)
    masks, missing = {}, []
    for entry in entries:
        path = folder / entry.source
        mask = path if path.is_file() else by_stem.get(entry.source) or by_stem.get(_stem(entry.source))
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


def _stem(name: str) -> str:
    """A relative name without its suffix, ``.nii.gz`` being one."""
    return name[:-7] if name.lower().endswith(".nii.gz") else PurePath(name).with_suffix("").as_posix()


def _what(sources: Sources) -> str:
    """What a folder lacks, and what its DICOM files are instead."""
    return f"pictures ({KINDS})" + (f"; {_passed_over(sources.passed_over)}" if sources.passed_over else "")


def _passed_over(counts: Counter[str]) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return f"{counts.total()} DICOM files are neither CT slices nor X-rays and were passed over ({kinds})"
