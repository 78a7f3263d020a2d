"""The reading part of preparation: each source into the store, in order, going on where an earlier call ended."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from rich.progress import Progress, TaskID

from ..console import console, progress_bar
from ..errors import DataError, ImageReadError
from ..files import storage_error
from .lungs.quality import MaskQuality
from .manifest import Entry, some
from .prepare_config import PrepareConfig
from .prepare_images import How, SliceFacts, key_of
from .prepare_journal import Done, Journal
from .prepare_pool import Prepared, choose_jobs, prepared
from .readers import Note
from .store import SliceRecord, StoreWriter


@dataclass
class Work:
    """What gathers while sources are read."""

    config: PrepareConfig
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)  # those that were read
    entry_of: list[int] = field(default_factory=list)  # index into entries, for each slice
    equal: list[tuple[int, int]] = field(default_factory=list)  # indices of equal slices: the first one, a later one
    windows: set[tuple[float, float]] = field(default_factory=set)  # that values were shown through
    brightest: int = -1  # of all unsigned 16-bit pictures
    qualities: list[MaskQuality] = field(default_factory=list)  # of computed masks, for each slice
    masks_reused: int = 0
    resumed: int = 0  # slices of an earlier call
    noticed: dict[str, list[str]] = field(default_factory=dict)  # matter of a note: sources with the details

    def __post_init__(self) -> None:
        self.sources = hashlib.sha256()
        self._first_with: dict[bytes, int] = {}

    def skip(self, entry: Entry, error: ImageReadError) -> None:
        """Note an unreadable source, or raise ``error`` where the user wants to stop."""
        if self.config.on_error == "stop":
            raise ImageReadError(f"{error} (listed at {entry.where}); add --on-error skip to go on without") from error
        self.skipped.append((entry.source, _left_out(entry, error)))

    def take(self, entry: Entry, done: Done, first: int) -> None:
        """Note a source that was read; its slices have the indices from ``first`` on."""
        self.sources.update(bytes.fromhex(done.hashes))
        if not done.facts:
            self._notice(entry, [("no slice has the least share of lung that is asked for", "")])
            return
        patient = entry.patient or next((facts.patient for facts in done.facts if facts.patient), "")
        self.entries.append(entry if entry.patient == patient else replace(entry, patient=patient))
        for index, facts in enumerate(done.facts, first):
            self._notice(entry, facts.notes)
            self.entry_of.append(len(self.entries) - 1)
            if facts.quality is not None:
                self.qualities.append(facts.quality)
            self.masks_reused += facts.mask_reused
            if facts.window is not None:
                self.windows.add(facts.window)
            self.brightest = max(self.brightest, -1 if facts.brightest is None else facts.brightest)
            if facts.digest:
                earlier = self._first_with.setdefault(bytes.fromhex(facts.digest), index)
                if earlier != index:
                    self.equal.append((earlier, index))

    def source_notes(self) -> list[str]:
        """One sentence for each matter that readers noticed, with the sources that it concerns."""
        return [f"{len(sources)} source(s): {matter}: {some(sources)}" for matter, sources in self.noticed.items()]

    def _notice(self, entry: Entry, notes: Sequence[Note]) -> None:
        for matter, details in notes:
            self.noticed.setdefault(matter, []).append(f"{entry.source} ({details})" if details else entry.source)


def read_all(entries: Sequence[Entry], counts: Sequence[int], work: Work, writer: StoreWriter, how: How) -> None:
    """Bring the slices of ``entries``, which promise ``counts``, into the store.

    What an earlier, unfinished call has left is taken over as far as settings and sources are the same. From the first
    source on that was read, what ``writer`` leaves behind serves the next call.

    Raises:
        DataError, ImageReadError, StorageError, WorkerError: as :func:`~plr_fast.data.prepare.prepare`.
    """
    config = work.config
    settings = config.pixel_settings() | {"masks": writer.mask_recipe, "versions": _versions()}
    journal = Journal(writer.place.journal, settings)
    writer.keep = writer.place.journal.exists()
    with closing(journal), progress_bar(disable=not config.progress) as bar:
        display = _Display(bar, counts, work)
        try:
            first = _go_on(entries, work, writer, journal, display)
            if journal.differing and config.progress:
                console.print(
                    f"{writer.place.folder} holds an unfinished preparation with other settings "
                    f"({', '.join(journal.differing)}); starting anew",
                    markup=False,
                    highlight=False,
                )
            writer.keep = bool(work.entries)
            shutil.rmtree(writer.place.parts, ignore_errors=True)
            writer.place.parts.mkdir()
            journal.begin()
        except OSError as error:
            raise storage_error(error, writer.path) from error
        display.begin()
        jobs = choose_jobs(config.jobs, sum(counts[first:]), len(entries) - first)
        with prepared(entries[first:], how, jobs, writer.place.parts) as sources:
            for entry, source in zip(entries[first:], sources, strict=True):
                _read(entry, source, work, writer, journal, display)
    writer.sources_sha256 = work.sources.hexdigest()
    if not work.entries:
        why = f"can be read; the first: {work.skipped[0][1]}" if work.skipped else "has the lung share asked for"
        raise DataError(f"none of the {len(entries)} files {why}")


def _read(entry: Entry, source: Prepared, work: Work, writer: StoreWriter, journal: Journal, display: _Display) -> None:
    mark = writer.mark()
    facts = []
    try:
        for found in source.slices:
            writer.add(found.image, found.mask, _record(entry, found.facts))
            facts.append(found.facts)
            display.slice_done()
        done = Done(source.key, tuple(facts), source.hashes().hex(), writer.flush())
    except ImageReadError as error:
        writer.rollback(mark)
        work.skip(entry, error)
        done = Done(source.key, (), "", mark.checksum, skipped=str(error))
    else:
        work.take(entry, done, mark.rows)
    try:
        journal.add(done)
    except OSError as error:
        raise storage_error(error, writer.path) from error
    writer.keep = bool(work.entries)
    display.source_done()


def _go_on(entries: Sequence[Entry], work: Work, writer: StoreWriter, journal: Journal, display: _Display) -> int:
    """Take over what an earlier call has done; returns how many sources that were."""
    first = 0
    for entry, done in zip(entries, journal.earlier(), strict=False):
        if done.key != key_of(entry) or (done.skipped and work.config.on_error == "stop"):
            break
        if done.skipped:
            work.skip(entry, ImageReadError(done.skipped))
        elif writer.adopt([_record(entry, facts) for facts in done.facts], done.checksum):
            work.take(entry, done, len(writer.records) - len(done.facts))
        else:
            break
        journal.accept()
        first += 1
        display.source_done()
    work.resumed = len(writer.records)
    return first


def _record(entry: Entry, facts: SliceFacts) -> SliceRecord:
    return SliceRecord(
        id=entry.id if facts.page is None else f"{entry.id}#{facts.page:04d}",
        group="",  # both are fixed when all pictures have been seen
        split="",
        label=entry.label,
        patient=entry.patient or facts.patient,
        source=entry.source,
        spacing=facts.spacing,
        mask_ok=facts.mask_ok,
    )


def _left_out(entry: Entry, error: ImageReadError) -> str:
    """Why a source is left out; for a series of several files also what goes with the one that is at fault."""
    if entry.series is None or len(entry.series.files) < 2:
        return str(error)
    return f"the series {entry.path} ({len(entry.series.frames)} slices) is left out, because {error}"


def _versions() -> list[str]:
    from PIL import __version__ as pillow

    from .._version import __version__

    return [__version__, pillow]


class _Display:
    """The progress bar: slices done, how fast, and how many sources were unreadable."""

    def __init__(self, bar: Progress, counts: Sequence[int], work: Work) -> None:
        self._bar, self._counts, self._work = bar, counts, work
        self._task: TaskID = bar.add_task("checking what is there", total=sum(counts), note="")
        self._sources = self._position = self._begun_at = 0
        self._since = time.perf_counter()

    def begin(self) -> None:
        """From here on slices are prepared; what came before was taken over."""
        self._begun_at, self._since = self._position, time.perf_counter()
        # A task of its own: the time left shall not be judged by how fast things were taken over.
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task("preparing", total=sum(self._counts), completed=self._position, note="")

    def slice_done(self) -> None:
        self._bar.advance(self._task)

    def source_done(self) -> None:
        self._position += self._counts[self._sources]
        self._sources += 1
        rate = (self._position - self._begun_at) / max(time.perf_counter() - self._since, 1e-3)
        unreadable = f", {len(self._work.skipped)} unreadable" if self._work.skipped else ""
        self._bar.update(self._task, completed=self._position, note=f"{rate:.0f} slices/s{unreadable}")
