"""The paper's own results, to stand beside ours: its tables IV and V.

They come from its random splits, three repeats and test sets that cannot be rebuilt. What it prints as "AUC" is the
balanced accuracy of hard labels, so it may be compared with our ``paper_auc`` only, never with ``auroc``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

PaperTableName = Literal["IV", "V"]


@dataclass(frozen=True)
class PaperRow:
    """One line of the paper's tables.

    Attributes:
        fraction: of the labelled training set, 0 to 1.
        method: as the paper names it.
        highest, average: metric -> value in [0, 1] over three repeats; what the paper does not report is left out.
            In table IV the highest of each metric is taken on its own, so that those of a line may come from different
            repeats; in table V they fit each other as those of one run do, and three lie below the average.
        auc_is_balanced_accuracy: False where the value under ``paper_auc`` is something else (quoted by the paper).
    """

    fraction: float
    method: str
    highest: Mapping[str, float]
    average: Mapping[str, float]
    auc_is_balanced_accuracy: bool = True


@dataclass(frozen=True)
class PaperTable:
    """One of its tables.

    Attributes:
        name: ``IV`` or ``V``.
        dataset: as the paper names it.
        positives, negatives: slices of its test set (table I).
        rows: in its order.
    """

    name: PaperTableName
    dataset: str
    positives: int
    negatives: int
    rows: tuple[PaperRow, ...]

    @property
    def prevalence(self) -> float:
        """Share of positive slices in its test set."""
        return self.positives / (self.positives + self.negatives)

    def at(self, fraction: float) -> tuple[PaperRow, ...]:
        """Its rows at this label fraction; empty if it has none."""
        return tuple(row for row in self.rows if math.isclose(row.fraction, fraction, rel_tol=1e-9))


@cache
def paper_table(name: PaperTableName) -> PaperTable:
    """Table ``IV`` (SARS-CoV-2) or ``V`` (Jinan) of the paper.

    Raises:
        ValueError: there is no such table here.
    """
    import yaml

    found = yaml.safe_load(resources.files(__package__).joinpath("paper.yaml").read_text(encoding="utf-8"))
    if name not in found["tables"]:
        raise ValueError(f"paper table {name!r} is not known here; known: {', '.join(found['tables'])}")
    table = found["tables"][name]

    def named(values: list[float | None]) -> dict[str, float]:
        return {key: value for key, value in zip(found["columns"], values, strict=True) if value is not None}

    return PaperTable(
        name=name,
        dataset=table["dataset"],
        positives=table["test"]["positive"],
        negatives=table["test"]["negative"],
        rows=tuple(
            PaperRow(
                fraction=float(row["fraction"]),
                method=row["method"],
                highest=named(row["highest"]),
                average=named(row["average"]),
                auc_is_balanced_accuracy=row.get("auc_is_balanced_accuracy", True),
            )
            for row in table["rows"]
        ),
    )
