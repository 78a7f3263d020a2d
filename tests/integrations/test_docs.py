"""The examples of docs/integrations.md run as they stand there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

TEXT = (Path(__file__).parents[2] / "docs" / "integrations.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## (.+?)\n.*?```python\n(.*?)```", TEXT, flags=re.DOTALL | re.MULTILINE))


def run(title: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(EXAMPLES[title], f"docs/integrations.md, {title}", "exec"), names)
    return names


def test_each_section_has_an_example() -> None:
    assert list(EXAMPLES) == re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)


@pytest.mark.skipif(importlib.util.find_spec("monai") is None, reason="needs MONAI: pip install monai")
def test_monai() -> None:
    pairs = run("MONAI")["pairs"]
    assert len(pairs) == 8
    for pair in pairs:
        assert torch.equal((pair["image"] != pair["target"]).as_tensor(), pair["lesions"].as_tensor())
    assert any(pair["lesions"].any() for pair in pairs)


@pytest.mark.skipif(
    importlib.util.find_spec("batchgeneratorsv2") is None,
    reason="needs batchgeneratorsv2: pip install batchgeneratorsv2",
)
def test_batchgeneratorsv2() -> None:
    np.random.seed(0)
    result = run("batchgeneratorsv2")["result"]
    changed = result["image"] != result["regression_target"]
    assert changed.any()
    assert torch.equal(result["segmentation"] > 0, changed)


def test_anomalib() -> None:
    names = run("anomalib and torchvision")
    assert names["augmented"].shape == (16, 3, 224, 224)
    assert names["masks"].shape == (16, 1, 224, 224)
    assert names["masks"].any()


def test_perlin_numpy() -> None:
    assert run("perlin-numpy")["noise"].shape == (300, 500)
