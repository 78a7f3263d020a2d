"""Fixtures of the data tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.data.slice_files import PER_CLASS, DataSet, lung, picture


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    rows = []
    for number in range(2 * PER_CLASS):
        name = ("normal", "covid")[number // PER_CLASS]
        file = f"{name}/{number}.png"
        for folder, pixels in (("set", picture(number)), ("masks", lung(number))):
            (tmp_path / folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / file)
        split = ("train", "val", "test")[number % PER_CLASS // 4]
        rows.append({"file": file, "label": name, "patient": f"P{number // 2}", "split": split, "order": str(number)})
    return DataSet(tmp_path / "set", rows)
