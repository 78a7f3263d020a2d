"""What ``plr-fast prepare`` tells back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .duplicates import FILE
from .prepare_duplicates import NearCounts
from .store import SPLITS, StoreWriter

if TYPE_CHECKING:
    from rich.table import Table


SHEET_FILE = "masks_worst.png"


@dataclass(frozen=True)
class PrepareReport:
    """What became of the pictures."""

    store: Path
    """The slice store."""
    slices: int
    """Slices in it."""
    groups: int
    """Groups that splits never part."""
    unit: str
    """What a group is: "patient", "block" or "file"."""
    splits: Mapping[str, Mapping[str, int]]
    """Slices by split and class name ("unlabelled" for those without label)."""
    split_groups: Mapping[str, int]
    """Groups by split."""
    mask_source: str
    """"computed", "given" or "phantom"."""
    mask_failures: int
    """Slices whose lung mask is implausible (computed) or empty (given)."""
    masks_reused: int
    """Computed masks taken over from the store that was replaced."""
    resumed: int
    """Slices taken over from an unfinished preparation of the same store."""
    duplicates: int
    """Slices that equal an earlier one, pixel for pixel."""
    groups_joined: int
    """Groups that were joined with another because they share a picture."""
    near: NearCounts | None
    """Near duplicates; None where they were not looked for."""
    shared_groups: int
    """Groups in several splits (only where that was allowed)."""
    skipped: tuple[tuple[str, str], ...]
    """Files left out as unreadable, with the reason."""
    notes: tuple[str, ...]
    """What the user should know, one sentence each."""
    seconds: float
    """Time taken."""

    @property
    def mask_failure_share(self) -> float:
        """Share of slices whose lung mask failed, 0..1."""
        return self.mask_failures / self.slices

    def table(self) -> Table:
        """Slices and groups by split, for the terminal."""
        from rich.table import Table

        names = list(dict.fromkeys(name for counts in self.splits.values() for name in counts))
        table = Table(title=f"{self.slices} slices in {self.groups} groups (one per {self.unit})", title_justify="left")
        table.add_column("split")
        for name in (*names, "slices", "groups"):
            table.add_column(name, justify="right")
        for split, counts in self.splits.items():
            numbers = [counts.get(name, 0) for name in names]
            table.add_row(split, *map(str, (*numbers, sum(numbers), self.split_groups[split])))
        return table

    def lines(self) -> list[str]:
        """The rest of the report: masks, duplicates, skipped files and notes, one line each."""
        failed = f"{self.mask_failures} of {self.slices} failed ({self.mask_failure_share:.1%})"
        if self.mask_source == "computed":
            failed += f"; look at the worst in {self.store / SHEET_FILE}"
        if self.masks_reused:
            failed += f"; {self.masks_reused} were taken over from the earlier store"
        masks = f"lung masks {self.mask_source}: {failed}"
        if self.mask_source == "none":
            masks = "no lung masks (masks=none): for fine-tuning, and pretraining by blur or shuffling"
        lines = [
            masks,
            f"{self.duplicates} slices equal another one; {self.groups_joined} groups were joined for that",
        ]
        if self.near is not None:
            lines.append(_near_line(self.near))
        if self.resumed:
            lines.append(f"{self.resumed} slices had been prepared by an earlier call that was cut off")
        lines += [f"skipped: {reason}" for _, reason in self.skipped]
        return [*lines, *self.notes, f"{self.store} was written in {self.seconds:.1f} s"]


def build_report(
    writer: StoreWriter,
    *,
    unit: str,
    started: float,
    duplicates: int = 0,
    groups_joined: int = 0,
    near: NearCounts | None = None,
    masks_reused: int = 0,
    resumed: int = 0,
    skipped: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    names_hidden: bool = False,
) -> PrepareReport:
    """Count what ``writer`` holds, and put the figures into the store's summary.

    ``started`` is a reading of ``time.perf_counter()``; the rest as in :class:`PrepareReport`. With ``names_hidden``
    the summary leaves out sentences, which name files; the report has them.
    """
    records = writer.records
    negative, positive = writer.class_names
    names = {0: negative, 1: positive, -1: "unlabelled"}
    labels = sorted({record.label for record in records}, key=list(names).index)
    table = Counter((record.split, record.label) for record in records)
    groups = {split: {record.group for record in records if record.split == split} for split in SPLITS}
    all_groups = {record.group for record in records}
    report = PrepareReport(
        store=writer.path,
        slices=len(records),
        groups=len(all_groups),
        unit=unit,
        splits={split: {names[label]: table[split, label] for label in labels} for split in SPLITS},
        split_groups={split: len(found) for split, found in groups.items()},
        mask_source=writer.mask_source,
        mask_failures=sum(not record.mask_ok for record in records),
        masks_reused=masks_reused,
        resumed=resumed,
        duplicates=duplicates,
        groups_joined=groups_joined,
        near=near,
        shared_groups=sum(sum(group in found for found in groups.values()) > 1 for group in all_groups),
        skipped=tuple(skipped),
        notes=tuple(notes),
        seconds=time.perf_counter() - started,
    )
    writer.summary.update(
        unit=unit,
        splits=report.splits,
        mask_failures=report.mask_failures,
        duplicates=report.duplicates,
        groups_joined=groups_joined,
        **({} if near is None else {"near_duplicates": asdict(near)}),
        skipped=[[source, "" if names_hidden else reason] for source, reason in report.skipped],
        notes=[] if names_hidden else list(report.notes),
    )
    return report


def _near_line(near: NearCounts) -> str:
    if not near.pairs:
        return "no near duplicates in different groups"
    line = f"{near.pairs} pairs of near duplicates in different groups or classes ({near.slices} slices, {FILE})"
    return f"{line}; {near.groups_joined} groups were joined for that" if near.groups_joined else line
