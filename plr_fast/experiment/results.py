"""What a cell of the grid found, and all of them together: the only thing that tables, figures and reports read.

The folder of an experiment holds ``plan.json`` (:class:`Plan`) and ``cells/NAME.json`` with ``cells/NAME.csv`` beside
it (:class:`CellResult`: facts, and the score of every test slice). The JSON file is written last, so that a cell is
either there as a whole or not at all.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..files import write_json, write_text

FORMAT_VERSION = 1
MethodKind = Literal["paper", "ours", "control"]
Unit = Literal["patient", "block", "file"]


@dataclass(frozen=True)
class MethodInfo:
    """A row of the tables.

    Attributes:
        name: as in tables, for example ``PLR-P``.
        kind: ``paper`` (one of its initialisations), ``ours`` (ours beyond the paper), or ``control`` (keeps the
            comparison honest).
        about: one plain sentence.
    """

    name: str
    kind: MethodKind
    about: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """A data set of the grid.

    Attributes:
        name: as in tables.
        class_names: (negative, positive).
        slices: all of it.
        groups: units that its splits do not part.
        unit: what a group is.
        split_by: ``groups`` (whole groups; the honest way), ``slices`` (the paper's way: neighbours of test slices
            are trained on), or ``given`` (the splits of the store, the same in each repeat).
        note: what a reader must know, in plain sentences; may be empty.
        paper_table: ``IV`` or ``V`` if the paper's figures for this set may stand beside ours, else None.
    """

    name: str
    class_names: tuple[str, str]
    slices: int
    groups: int
    unit: Unit
    split_by: Literal["groups", "slices", "given"]
    note: str = ""
    paper_table: Literal["IV", "V"] | None = None


def dataset_file_name(name: str) -> str:
    """The name of a data set, or of other slices, as names of files have it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


@dataclass(frozen=True)
class CellKey:
    """Where in the grid: the repeats of one data set share their splits, label subsets and seeds over all methods, so
    results of two methods at equal (dataset, fraction, repeat) are paired."""

    dataset: str
    method: str
    fraction: float
    repeat: int

    @property
    def file_name(self) -> str:
        """Name of the cell's files, without suffix."""
        method = re.sub(r"[^a-z0-9]+", "-", self.method.lower().replace("+", "plus")).strip("-")
        return f"{dataset_file_name(self.dataset)}--{method}--{self.fraction:g}--{self.repeat}"


@dataclass(frozen=True)
class Plan:
    """The grid as it was asked for.

    Attributes:
        title: of tables and report.
        methods, datasets: in the order of the tables.
        baseline: name of the method that others are compared with.
        cells: all cells that belong to the grid (some methods or fractions may have fewer repeats).
        seed: of the whole experiment.
        config: the experiment file as text, with every value resolved.
        facts: versions, machine, recipe hashes.
    """

    title: str
    methods: tuple[MethodInfo, ...]
    datasets: tuple[DatasetInfo, ...]
    baseline: str
    cells: tuple[CellKey, ...]
    seed: int
    config: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CellResult:
    """One trained (or fitted) classifier, judged on the test split of its repeat.

    Attributes:
        key: where in the grid.
        ids, groups: str (N,) of the test slices, in the order of the store.
        labels: int8 (N,), 0 or 1.
        scores: float64 (N,), probabilities of the positive class.
        threshold: a slice is called positive when its score is at least this.
        seconds: time that fine-tuning and judging took; pretraining is in ``facts["pretrain_seconds"]``.
        train_slices, train_groups: labelled, in the fraction.
        settings_sha256: of everything that the result depends on; a changed experiment file makes a new cell.
        facts: JSON-like; among others ``run`` and ``pretrain_run`` (folders relative to the experiment's, or absent),
            ``split_sha256``, ``store_fingerprint``, ``warnings``.
    """

    key: CellKey
    ids: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int8]
    scores: npt.NDArray[np.float64]
    threshold: float
    seconds: float
    train_slices: int
    train_groups: int
    settings_sha256: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """A grid and those of its cells that are there.

    Attributes:
        folder: of the experiment.
        plan: the grid.
        cells: the finished ones, in the plan's order.
    """

    folder: Path
    plan: Plan
    cells: tuple[CellResult, ...]

    @property
    def missing(self) -> tuple[CellKey, ...]:
        """Cells that are not there yet."""
        there = {cell.key for cell in self.cells}
        return tuple(key for key in self.plan.cells if key not in there)

    def select(
        self, *, dataset: str | None = None, method: str | None = None, fraction: float | None = None
    ) -> tuple[CellResult, ...]:
        """The cells of these, by repeat within each method and fraction."""
        return tuple(
            cell
            for cell in self.cells
            if (dataset is None or cell.key.dataset == dataset)
            and (method is None or cell.key.method == method)
            and (fraction is None or cell.key.fraction == fraction)
        )


def write_plan(folder: Path, plan: Plan) -> None:
    """Write ``plan.json`` atomically."""
    write_json(folder / "plan.json", {"format_version": FORMAT_VERSION, **asdict(plan)})


def write_cell(folder: Path, cell: CellResult) -> None:
    """Write a finished cell: its scores, then the file that says that it is there."""
    name = cell.key.file_name
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "group", "label", "score"))
    for row in zip(cell.ids.tolist(), cell.groups.tolist(), cell.labels.tolist(), cell.scores.tolist(), strict=True):
        writer.writerow((*row[:3], repr(row[3])))
    write_text(folder / "cells" / f"{name}.csv", text.getvalue())
    facts = {
        "format_version": FORMAT_VERSION,
        "key": asdict(cell.key),
        "slices": len(cell.labels),
        "threshold": cell.threshold,
        "seconds": cell.seconds,
        "train_slices": cell.train_slices,
        "train_groups": cell.train_groups,
        "settings_sha256": cell.settings_sha256,
        "facts": dict(cell.facts),
    }
    write_json(folder / "cells" / f"{name}.json", facts)


def read_cell(folder: Path, key: CellKey) -> CellResult | None:
    """The cell at ``key``, or None if it is not finished.

    Raises:
        DataError: its files are damaged; names the file and says what to do.
    """
    path = folder / "cells" / f"{key.file_name}.json"
    table = path.with_suffix(".csv")
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format_version"] != FORMAT_VERSION:
            raise DataError(
                f"{path} has format {found['format_version']}, not {FORMAT_VERSION}: delete it to repeat it"
            )
        if CellKey(**found["key"]) != key:
            raise DataError(f"{path} is of another cell, {found['key']}: delete it to repeat it")
        with table.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.reader(lines))[1:]
        if len(rows) != found["slices"]:
            raise DataError(f"{table} has {len(rows)} rows, not {found['slices']}: delete {path} to repeat the cell")
        columns: Sequence[Sequence[str]] = list(zip(*rows, strict=True))
        return CellResult(
            key=key,
            ids=np.array(columns[0], dtype=np.str_),
            groups=np.array(columns[1], dtype=np.str_),
            labels=np.array([int(value) for value in columns[2]], dtype=np.int8),
            scores=np.array([float(value) for value in columns[3]], dtype=np.float64),
            threshold=float(found["threshold"]),
            seconds=float(found["seconds"]),
            train_slices=int(found["train_slices"]),
            train_groups=int(found["train_groups"]),
            settings_sha256=str(found["settings_sha256"]),
            facts=found["facts"],
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged ({error}): delete it to repeat the cell") from error


def read_results(folder: Path) -> Results:
    """The experiment in ``folder``, finished or not.

    Raises:
        DataError: there is none, or a file is damaged; names it.
    """
    path = folder / "plan.json"
    if not path.is_file():
        raise DataError(f"{folder} holds no experiment (no plan.json); run plr-fast experiment with it as --out first")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found.pop("format_version")
        if version != FORMAT_VERSION:
            raise DataError(f"{path} has format {version}, not {FORMAT_VERSION}: made by another version of plr_fast")
        plan = Plan(
            title=found["title"],
            methods=tuple(MethodInfo(**one) for one in found["methods"]),
            datasets=tuple(
                DatasetInfo(**{**one, "class_names": tuple(one["class_names"])}) for one in found["datasets"]
            ),
            baseline=found["baseline"],
            cells=tuple(CellKey(**one) for one in found["cells"]),
            seed=found["seed"],
            config=found["config"],
            facts=found["facts"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged ({error}); run plr-fast experiment again") from error
    cells = [read_cell(folder, key) for key in plan.cells]
    return Results(folder, plan, tuple(cell for cell in cells if cell is not None))
