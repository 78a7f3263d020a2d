"""What lies in a folder: pictures, volumes, and DICOM files put together to series."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from ..console import progress_bar
from ..errors import DataError, ImageReadError
from .identities import pseudonym
from .manifest import Entry, Listing, check_unique
from .readers import DEFAULTS, ReadOptions, SliceReader, find_reader
from .readers_dicom import DicomReader
from .readers_dicom_series import Series, scan_files, series_of_file

KINDS = "PNG, JPEG, TIFF, DICOM, NIfTI"


@dataclass(frozen=True)
class Source:
    """One source below a folder."""

    path: Path
    """A file, or the folder that a series lies in."""
    name: str
    """Unique name below the folder that was looked through, with forward slashes; "" for a series that is all of it."""
    series: Series | None = None

    @property
    def first(self) -> Path:
        """One of its files."""
        return self.series.files[0] if self.series is not None else self.path


@dataclass
class Sources:
    """All sources below a folder in natural order, and what was no source."""

    found: list[Source] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Names of files that no reader knows."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """How many DICOM files are neither CT slices nor X-rays, by what they are."""


def find_sources(folder: Path, options: ReadOptions = DEFAULTS, *, progress: bool = False) -> Sources:
    """Look through ``folder`` and all below it; DICOM headers are read, nothing else is opened.

    A DICOM series of several files is called after its folder, or ``folder/series-<digits>`` where several series
    share the folder, with digits that stand for its SeriesInstanceUID; one of a single file after that file.

    Raises:
        DataError: a file name is not valid text, or there are DICOM files and pydicom is missing.
    """
    sources = Sources()
    visited: set[Path] = set()  # links may lead in a circle
    with progress_bar(disable=not progress) as bar:
        task = bar.add_task("looking through DICOM headers", total=None, note="", visible=False)

        def visit(path: Path) -> list[Source]:
            if path.resolve() in visited:
                return []
            visited.add(path.resolve())
            at: dict[Path, list[Source]] = {}
            dicom: list[Path] = []
            for child in path.iterdir():
                if child.name.startswith("."):
                    continue
                reader = find_reader(child, options)
                if isinstance(reader, DicomReader):
                    dicom.append(child)
                elif reader is not None:
                    at[child] = [Source(child, _below(folder, child))]
                elif child.is_dir():
                    at[child] = visit(child)
                else:
                    sources.ignored.append(child.name)
            if dicom:
                bar.update(task, visible=True)
                dicom.sort(key=_order)
                for source in _series(folder, path, dicom, options, sources, lambda: bar.advance(task)):
                    at.setdefault(source.first if source.path == path else source.path, []).append(source)
            return [source for child in sorted(at, key=_order) for source in at[child]]

        sources.found = visit(folder)
    sources.ignored.sort(key=natural_key)
    return sources


def resolve_entries(listing: Listing, options: ReadOptions = DEFAULTS, *, progress: bool = False) -> Listing:
    """Look into the folders and DICOM files that the rows of a manifest name.

    A folder that is no source of its own (a series, a patient, a study) gives an entry for each source below it: the
    same label, split and patient; where they are several, their ids are the row's with ``/`` and their names. Rows
    without patient id take that of their DICOM files.

    Raises:
        DataError: as :func:`find_sources`; a folder is named that has no sources, or several but one mask; two rows
            name the same source.
    """
    entries: list[Entry] = []
    notes = list(listing.notes)
    passed_over: Counter[str] = Counter()
    for entry in listing.entries:
        reader = find_reader(entry.path, options)
        if isinstance(reader, DicomReader):
            entries.append(_identified(_with_header(entry, options), options))
        elif reader is None and entry.path.is_dir():
            sources = find_sources(entry.path, options, progress=progress)
            passed_over += sources.passed_over
            if not sources.found:
                raise DataError(f"{entry.where}: the folder {entry.path} holds no {KINDS}")
            if len(sources.found) > 1 and entry.mask is not None:
                raise DataError(
                    f"{entry.where}: the folder {entry.path} holds {len(sources.found)} sources, but one mask is given"
                )
            several = len(sources.found) > 1
            for source in sources.found:
                made = replace(
                    entry,
                    id=f"{entry.id}/{source.name or 'series'}" if several else entry.id,
                    path=source.path,
                    source=PurePath(entry.source, source.name).as_posix(),
                    series=source.series,
                )
                entries.append(_identified(made, options))
        else:
            entries.append(entry)
    if passed_over:
        kinds = ", ".join(f"{count} {kind}" for kind, count in passed_over.most_common())
        notes.append(f"DICOM files that are neither CT slices nor X-rays were passed over ({kinds})")
    check_unique(entries)
    return replace(listing, entries=tuple(entries), notes=tuple(notes))


def entry_reader(entry: Entry, options: ReadOptions) -> SliceReader:
    """The reader of an entry.

    Raises:
        ImageReadError: it is missing or of no known kind.
    """
    if entry.series is not None:
        return DicomReader(options, entry.series)
    return require_reader(entry.path, options)


def require_reader(path: Path, options: ReadOptions = DEFAULTS) -> SliceReader:
    """The reader for ``path``. Raises ``ImageReadError`` where the file is missing or of no known kind."""
    if not path.exists():
        raise ImageReadError(f"{path} does not exist")
    if not (path.is_file() or path.is_dir()):  # opening a pipe would wait for ever
        raise ImageReadError(f"{path} is neither a file nor a folder")
    reader = find_reader(path, options)
    if reader is None:
        raise ImageReadError(f"{path} is of no known kind ({KINDS})")
    return reader


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts "slice 10" behind "slice 9"."""
    parts = re.split(r"(\d+)", text.casefold())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def _order(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    return natural_key(path.name), path.name


def _series(
    folder: Path, path: Path, files: list[Path], options: ReadOptions, sources: Sources, tick: Callable[[], object]
) -> list[Source]:
    """The sources that the DICOM files directly in ``path`` make."""
    scan = scan_files(files, options, tick)
    sources.passed_over += scan.passed_over
    made = [Source(file, _below(folder, file)) for file in scan.broken]
    stacks = [series for series in scan.series if len(series.files) > 1]
    for series in scan.series:
        if len(series.files) == 1:
            made.append(Source(series.files[0], _below(folder, series.files[0]), series))
        else:
            own = path if len(stacks) == 1 else path / f"series-{pseudonym(series.uid, options.patient_salt)[:8]}"
            made.append(Source(path, "" if own == folder else _below(folder, own), series))
    return made


def _with_header(entry: Entry, options: ReadOptions) -> Entry:
    try:
        return replace(entry, series=series_of_file(entry.path, options))
    except ImageReadError:
        return entry  # told when its slices are counted, where the user may have asked to go on without


def _identified(entry: Entry, options: ReadOptions) -> Entry:
    if entry.patient or entry.series is None:
        return entry
    return replace(entry, patient=options.identify(entry.series.patient, entry.series.study))


def _below(folder: Path, path: Path) -> str:
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the file name {os.fsencode(path.name)!r} is not valid UTF-8; rename the file") from error
    return name
