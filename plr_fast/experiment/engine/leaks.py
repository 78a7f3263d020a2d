"""What test and training slices of an experiment share: looked for once, before anything is trained, and kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...console import console, progress_bar
from ...data.leakage import LeakageReport, Memory, SharedBetween, leakage
from ...data.store import SliceStore
from ...errors import DataError
from ...files import write_json
from .tasks import CellTask

FILE = "leakage.json"


@dataclass(frozen=True)
class Leaks:
    """What was found in one repeat of a data set.

    Attributes:
        dataset: its name.
        repeat: whose splits were looked at.
        split_sha256: hash of those splits.
        report: what they share.
    """

    dataset: str
    repeat: int
    split_sha256: str
    report: LeakageReport


def keep_leaks(cells: Sequence[CellTask], out: Path) -> list[Leaks]:
    """Look at the splits of each data set's first repeat, unless that was done, and write ``leakage.json``.

    One repeat, because a look takes as long as reading all slices, and repeats are split by one rule. A damaged file is
    made anew.
    """
    try:
        before = read_leaks(out)
    except DataError as error:
        console.print(f"{error}: done so now", markup=False, highlight=False, soft_wrap=True)
        before = []
    known = {(one.dataset, one.split_sha256): one for one in before}
    first: dict[str, CellTask] = {}
    for task in cells:
        first.setdefault(task.cell.dataset, task)
    found = []
    for name, task in first.items():
        split = str(task.facts["split_sha256"])
        if (name, split) not in known:
            store = SliceStore.open(task.store)
            known[name, split] = Leaks(name, task.repeat, split, _look(name, store))
        found.append(known[name, split])
    write_json(
        out / FILE,
        [
            {"dataset": o.dataset, "repeat": o.repeat, "split_sha256": o.split_sha256, "report": o.report.to_json()}
            for o in found
        ],
    )
    return found


def _look(name: str, store: SliceStore) -> LeakageReport:
    with progress_bar() as progress:
        task = progress.add_task(f"{name}: what its splits share", total=2 * len(store), note="")
        return leakage(store, advance=lambda count: progress.advance(task, count))


def read_leaks(out: Path) -> list[Leaks]:
    """What :func:`keep_leaks` found; empty where it has not looked.

    Raises:
        DataError: the file is damaged; names it.
    """
    path = out / FILE
    if not path.is_file():
        return []
    try:
        return [
            Leaks(
                one["dataset"],
                one["repeat"],
                one["split_sha256"],
                LeakageReport(
                    tuple(SharedBetween(**pair) for pair in one["report"]["pairs"]),
                    Memory(**one["report"]["memory"]) if one["report"]["memory"] else None,
                    one["report"]["unit"],
                ),
            )
            for one in json.loads(path.read_text(encoding="utf-8"))
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}): delete it to have the splits looked at again") from error
