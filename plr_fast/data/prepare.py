"""Preparation: from pictures (or the phantom) to a slice store, in bounded memory.

The order of work puts every check that needs no pixels first: options, manifest, groups, splits, free space. Then the
pictures are read one source at a time. Groups and splits are fixed at the end, because equal pictures join groups.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..console import progress_bar
from ..errors import DataError, ImageReadError
from .lungs.cache import QUALITY_FILE, MaskCache, quality_table
from .lungs.sheet import png, worst_masks, worst_masks_sheet
from .manifest import Classes, Columns, Entry, Listing, read_csv, some
from .manifest_folders import find_masks, scan_folders
from .prepare_config import PrepareConfig
from .prepare_duplicates import NearCounts, check_given, find_near_duplicates, note_near_duplicates
from .prepare_images import How
from .prepare_reading import Work, read_all
from .prepare_report import SHEET_FILE, PrepareReport, build_report
from .source_names import hide_names
from .sources import entry_reader, resolve_entries
from .splits import SPLIT_COLUMN_NOTE, check_given_splits, compute_splits, group_entries, join_groups
from .store import SPLITS, SliceRecord, StoreWriter
from .store_workplace import put_back
from .store_writer import check_target

__all__ = ["PrepareConfig", "PrepareReport", "prepare", "write_phantom_store"]


def prepare(config: PrepareConfig) -> PrepareReport:
    """Make the slice store that ``config`` describes.

    Slices whose stored pixels are equal share a group: where the groups were different they are joined (single-grey
    pictures excepted: every scan has blank ends).

    Nothing is ever half done at ``out``. When the work fails, or the process ends, after some source was read, what was
    done stays in a hidden folder beside ``out`` (see ``store_workplace``), and the same call goes on from there; it
    begins anew where an option that the pixels depend on has changed.

    Raises:
        ConfigError: an option is out of range or has no meaning for the source.
        DataError: the data break a rule (see ``manifest`` and ``splits``), or all files are unreadable.
        ImageReadError: a file is unreadable and ``on_error`` is "stop".
        StoreError: ``out`` exists and may not be replaced, or another process prepares it at the moment.
        StorageError: writing failed, e.g. for want of space.
        WorkerError: a worker process died, e.g. for want of memory.
    """
    started = time.perf_counter()
    config.validate()
    if config.kind == "phantom":
        return write_phantom_store(
            config.out,
            patients=config.phantom_patients,
            slices_per_patient=config.phantom_slices,
            size=config.size,
            seed=config.seed,
            val_fraction=config.val_fraction,
            test_fraction=config.test_fraction,
            fold=config.fold,
            class_names=config.class_names,
            overwrite=config.overwrite,
            progress=config.progress,
        )
    put_back(config.out)
    check_target(Path(os.path.realpath(config.out)), overwrite=config.overwrite)
    listing, hidden = _list(config)
    if config.split_column:
        config.check_fold({entry.split for entry in listing.entries})
    work = Work(config, notes=list(listing.notes))
    recipe, cache = None, None
    if config.masks != "none" and not (config.mask_dir or config.mask_column):
        from .lungs.masks import mask_recipe  # torch is loaded only where masks are computed

        recipe = mask_recipe()
        if config.overwrite:
            cache = MaskCache.open(config.out, recipe, size=config.size, fit=config.fit)
    readable, counts = _look_at(listing.entries, work)
    split = _splitter(config)
    how = How(
        config.size,
        config.fit,
        config.window_values,
        cache,
        config.read_options,
        config.min_lung_share,
        masks=config.masks != "none",
    )
    _check_plan(readable, config, split)
    with StoreWriter(
        config.out,
        size=config.size,
        count=sum(counts),
        class_names=config.class_names,
        fit=config.fit,
        mask_source="none" if config.masks == "none" else "given" if recipe is None else "computed",
        mask_recipe=recipe,
        overwrite=config.overwrite,
        allow_shared_groups=config.allow_shared_groups,
    ) as writer:
        read_all(readable, counts, work, writer, how)
        writer.window = work.windows.pop() if len(work.windows) == 1 else None
        unit, joined, near = _fix_groups_and_splits(work, writer, split)
        _note_dark_pictures(work)
        _attach_masks(work, writer)
        report = build_report(
            writer,
            unit=unit,
            started=started,
            duplicates=len(work.equal),
            groups_joined=joined,
            near=near,
            masks_reused=work.masks_reused,
            resumed=work.resumed,
            skipped=work.skipped,
            notes=[*work.notes, *work.source_notes()],
            names_hidden=hidden,
        )
    return replace(report, seconds=time.perf_counter() - started)


def write_phantom_store(
    path: str | os.PathLike[str],
    *,
    patients: int = 60,
    slices_per_patient: int = 8,
    size: int = 224,
    seed: int = 0,
    val_fraction: float = 0.15,
    test_fraction: float = 0.2,
    fold: int = 0,
    class_names: tuple[str, str] = ("normal", "covid"),
    overwrite: bool = False,
    progress: bool = False,
) -> PrepareReport:
    """Make a slice store from the built-in thorax phantom: exact lung masks, splits by patient.

    Raises:
        ValueError: a size is out of range (see ``thorax_phantom``).
        DataError: too few patients for the splits.
        StoreError, StorageError: as :func:`prepare`.
    """
    from .phantom.scans import thorax_phantom

    started = time.perf_counter()
    shares: dict[str, Any] = {"val_fraction": val_fraction, "test_fraction": test_fraction, "seed": seed, "fold": fold}
    names = dict(enumerate(class_names))
    # Half of the patients are positive: enough to see, before they are made, whether there are enough of them.
    compute_splits([k % 2 for k in range(patients)], [str(k) for k in range(patients)], class_names=names, **shares)
    count = max(1, patients * slices_per_patient)
    with (
        StoreWriter(
            path, size=size, count=count, class_names=class_names, mask_source="phantom", overwrite=overwrite
        ) as writer,
        progress_bar(disable=not progress) as bar,
    ):
        task = bar.add_task("making the phantom", total=None, note="")
        phantom = thorax_phantom(patients, slices_per_patient, size, seed=seed)
        bar.update(task, total=count, completed=count)
        groups = [f"patient:{patient}" for patient in phantom.patients]
        splits = compute_splits(phantom.labels, groups, class_names=names, **shares)
        for index, patient in enumerate(phantom.patients):
            record = SliceRecord(
                id=f"{patient}#{index % slices_per_patient:04d}",
                group=groups[index],
                split=splits[index],
                label=int(phantom.labels[index]),
                patient=patient,
                source=f"phantom seed {seed}",
                mask_ok=bool(phantom.masks[index].any()),
            )
            writer.add(phantom.slices[index], phantom.masks[index], record)
        report = build_report(writer, unit="patient", started=started)
    return replace(report, seconds=time.perf_counter() - started)


def _list(config: PrepareConfig) -> tuple[Listing, bool]:
    """The sources, and whether file names are kept out of the store."""
    options, progress = config.read_options, config.progress
    classes = Classes(config.positive, config.negative, config.unlabelled, config.exclude)
    if config.kind == "folder":
        listing = scan_folders(
            config.source, classes, patient_folders=config.patient_folders, options=options, progress=progress
        )
    else:
        columns = Columns(
            file=config.file_column,
            label=config.label_column,
            patient=config.patient_column,
            split=config.split_column,
            order=config.order_column,
            id=config.id_column,
            mask=config.mask_column,
        )
        listing = resolve_entries(read_csv(config.source, classes, columns, config.root), options, progress=progress)
    if config.mask_dir is not None:
        masks = find_masks(listing.entries, config.mask_dir)
        listing = replace(listing, entries=tuple(replace(entry, mask=masks[entry.id]) for entry in listing.entries))
    return hide_names(
        listing,
        config.source_names,
        options,
        keep_ids=config.kind == "manifest" and bool(config.id_column),
        table=config.names_table,
    )


def _look_at(entries: Sequence[Entry], work: Work) -> tuple[list[Entry], list[int]]:
    """The entries that exist and are of a known kind, and how many slices each promises."""
    missing = [entry.source for entry in entries if not entry.path.exists()]
    if missing and work.config.on_error == "stop":
        raise ImageReadError(
            f"{len(missing)} of {len(entries)} files do not exist: {some(missing)}; correct the manifest or --root, or "
            "add --on-error skip to go on without"
        )
    counts = [_count(entry, work) for entry in entries]
    if not any(counts):
        raise DataError(f"none of the {len(entries)} files can be read; the first: {work.skipped[0][1]}")
    return [entry for entry, count in zip(entries, counts, strict=True) if count], [count for count in counts if count]


def _count(entry: Entry, work: Work) -> int:
    """Slices that a source promises; 0 where it is unreadable and skipped."""
    try:
        count = entry_reader(entry, work.config.read_options).count(entry.path)
        if not count:
            raise ImageReadError(f"{entry.path} holds no slices")
    except ImageReadError as error:
        work.skip(entry, error)
        return 0
    return count


_Split = Callable[[tuple[int, ...], tuple[str, ...], float], list[str]]
"""Computes splits from labels, groups and the test fraction."""


def _splitter(config: PrepareConfig) -> _Split:
    # Kept: what was computed to see whether it works out is mostly what is wanted in the end. With 100,000 groups it
    # takes half a minute.
    @lru_cache(maxsize=1)
    def split(labels: tuple[int, ...], groups: tuple[str, ...], test_fraction: float) -> list[str]:
        return compute_splits(
            labels,
            groups,
            val_fraction=config.val_fraction,
            test_fraction=test_fraction,
            seed=config.seed,
            fold=config.fold,
            class_names=dict(enumerate(config.class_names)),
        )

    return split


def _check_plan(entries: Sequence[Entry], config: PrepareConfig, split: _Split) -> None:
    """Fail now, not after an hour of reading, where groups or splits cannot work out."""
    options = config.read_options
    if any(entry.series is None and entry_reader(entry, options).names_patients for entry in entries):
        return  # these sources say only when they are read whose they are
    grouping = group_entries(entries, block_size=config.block_size, missing_patient=config.missing_patient)
    if config.split_column:
        splits = [entry.split for entry in entries]
        check_given_splits(grouping.groups, splits, allow_shared=config.allow_shared_groups)
    given = [entry.split for entry in entries]
    _make_splits(config, [entry.label for entry in entries], grouping.groups, given, [], split)


def _fix_groups_and_splits(work: Work, writer: StoreWriter, split: _Split) -> tuple[str, int, NearCounts | None]:
    """Give each record its group and split; returns what a group is, how many groups were joined for equal pictures,
    and what is known of near duplicates."""
    config, records = work.config, writer.records
    grouping = group_entries(work.entries, block_size=config.block_size, missing_patient=config.missing_patient)
    work.notes.extend(grouping.notes)
    given = [work.entries[entry].split for entry in work.entry_of]
    pairs = [(work.entry_of[first], work.entry_of[second]) for first, second in work.equal]
    _check_equal(work, records, given)
    groups, joined = join_groups(grouping.groups, pairs)
    slice_groups = before = [groups[entry] for entry in work.entry_of]
    found, near_joined = None, 0
    if config.near_duplicates != "off":
        found = find_near_duplicates(writer, before, given, work.equal, progress=config.progress)
    if found and config.near_duplicates == "group":
        if not config.allow_shared_groups:
            check_given(found, records, given)
        pairs = [(work.entry_of[first], work.entry_of[second]) for first, second in found.pairs.tolist()]
        groups, near_joined = join_groups(groups, pairs)
        slice_groups = [groups[entry] for entry in work.entry_of]
    splits = _make_splits(config, [record.label for record in records], slice_groups, given, work.notes, split)
    records[:] = [
        replace(record, group=group, split=part)
        for record, group, part in zip(records, slice_groups, splits, strict=True)
    ]
    near = None
    if found is not None:
        near = note_near_duplicates(writer, found, before, given, joined=near_joined, notes=work.notes)
    return grouping.unit, joined, near


def _attach_masks(work: Work, writer: StoreWriter) -> None:
    """Say how good the computed masks are, slice by slice, and show the worst."""
    if work.qualities:
        ids = [record.id for record in writer.records]
        writer.attach(QUALITY_FILE, quality_table(ids, work.qualities).encode(errors="surrogateescape"))
        worst = worst_masks(work.qualities)
        pictures, masks = zip(*(writer.read(index) for index in worst), strict=True)
        qualities, names = [work.qualities[index] for index in worst], [ids[index] for index in worst]
        writer.attach(SHEET_FILE, png(worst_masks_sheet(pictures, masks, qualities, names)))


def _note_dark_pictures(work: Work) -> None:
    if 0 <= work.brightest < 2**14 and work.config.window is None:
        work.notes.append(
            f"the 16-bit pictures are dark: their largest value is {work.brightest} of 65535; if they hold fewer bits, "
            f"give --window 0 {2 ** max(work.brightest, 1).bit_length() - 1}"
        )


def _check_equal(work: Work, records: Sequence[SliceRecord], given: Sequence[str]) -> None:
    opposed = [f"{records[a].id} = {records[b].id}" for a, b in work.equal if records[a].label != records[b].label]
    if opposed:
        work.notes.append(f"{len(opposed)} equal pictures have different labels: {some(opposed)}")
    apart = [
        f"{records[a].id} ({given[a]}) = {records[b].id} ({given[b]})" for a, b in work.equal if given[a] != given[b]
    ]
    if apart and not work.config.allow_shared_groups:
        raise DataError(
            f"{len(apart)} equal pictures lie in different given splits: {some(apart)}; take one of each out of the "
            "manifest, or accept the leak with --allow-shared-groups"
        )


def _make_splits(
    config: PrepareConfig,
    labels: Sequence[int],
    groups: Sequence[str],
    given: Sequence[str],
    notes: list[str],
    split: _Split,
) -> list[str]:
    """Split of each slice: as given (validation taken from training where none is named), or computed."""
    if not config.split_column:
        return list(split(tuple(labels), tuple(groups), config.test_fraction))
    splits = list(given)
    if "val" not in splits and config.val_fraction:
        train = [index for index, name in enumerate(splits) if name == "train"]
        parts = split(tuple(labels[index] for index in train), tuple(groups[index] for index in train), 0.0)
        for index, part in zip(train, parts, strict=True):
            splits[index] = part
        notes.append(f"{SPLIT_COLUMN_NOTE} no validation rows: {parts.count('val')} training slices were taken")
    elif "val" in splits and config.val_fraction != PrepareConfig.val_fraction:
        notes.append(f"{SPLIT_COLUMN_NOTE} the validation rows: val_fraction={config.val_fraction:g} had no effect")
    notes.extend(f"{SPLIT_COLUMN_NOTE} no {part} rows" for part in SPLITS if part not in splits)
    return splits
