"""A small data set of picture files with masks and a manifest, for the tests of preparation."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plr_fast.data import SliceStore
from plr_fast.data.prepare import PrepareConfig, PrepareReport, prepare
from plr_fast.data.store_workplace import workplace_of

SIZE = 32
PER_CLASS = 12


def picture(number: int, height: int = 24, width: int = 40) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width), dtype=np.uint8)


def lung(number: int, height: int = 24, width: int = 40) -> np.ndarray:
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[4:16, 5 : 20 + number % 10] = 255
    return mask


@dataclass
class DataSet:
    """Class folders with masks, and the manifest that lists them."""

    root: Path
    rows: list[dict[str, str]]

    @property
    def manifest(self) -> Path:
        file = self.root / "index.csv"
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        return file

    def file(self, index: int) -> Path:
        return self.root / self.rows[index]["file"]

    def config(self, **changes: Any) -> PrepareConfig:
        values: dict[str, Any] = {
            "source": self.manifest,
            "out": self.root.parent / "store",
            "size": SIZE,
            "mask_dir": self.root.parent / "masks",
            "patient_column": "patient",
            "progress": False,
        }
        return PrepareConfig(**(values | changes))

    def prepare(self, **changes: Any) -> tuple[PrepareReport, SliceStore]:
        report = prepare(self.config(**changes))
        return report, SliceStore.open(report.store)

    def refuse(self, error: type[Exception], message: str, *, kept: bool = False, **changes: Any) -> None:
        """Preparing must fail so, and leave nothing behind but (``kept``) what the next call can go on with."""
        config = self.config(**changes)
        before = set(self.root.parent.iterdir())
        with pytest.raises(error, match=message):
            prepare(config)
        left = {workplace_of(config.out)} if kept else set()
        assert set(self.root.parent.iterdir()) == before | left
