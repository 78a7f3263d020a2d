"""Importing plr_fast imports no other library; a missing one is named, with the command that installs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plr_fast import integrations
from plr_fast.integrations.required import required

ROOT = Path(__file__).parents[2]
LIBRARIES = ("monai", "batchgenerators", "batchgeneratorsv2", "torchvision", "anomalib", "perlin_numpy")
NEEDS = [("RandPseudoLesion", "monai"), ("RandPseudoLesiond", "monai"), ("PseudoLesionTransform", "batchgeneratorsv2")]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def hidden(libraries: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` where ``libraries`` are not installed, whether they are here or not."""
    finder = f"""
import importlib.abc, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {libraries}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""
    return run(finder + code)


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = f"import plr_fast.integrations, plr_fast.ops, sys; print([name for name in {LIBRARIES} if name in sys.modules])"
    said = run(code)
    assert said.stdout.strip() == "[]", said.stderr


@pytest.mark.parametrize(("name", "library"), NEEDS)
def test_a_missing_library_is_named_with_the_mend(name: str, library: str) -> None:
    said = hidden((library,), f"from plr_fast.integrations import {name}")
    assert said.returncode == 1
    message = f"this adapter of plr_fast needs {library}, which is not installed: pip install {library}"
    assert said.stderr.strip().endswith(f"ModuleNotFoundError: {message}")


def test_the_others_need_no_library() -> None:
    free = [name for name in integrations.__all__ if name not in dict(NEEDS)]
    said = hidden(LIBRARIES, f"from plr_fast.integrations import {', '.join(free)}; print(PerlinAnomalyGenerator.__base__)")
    assert said.stdout.strip() == "<class 'torch.nn.modules.module.Module'>", said.stderr


def test_a_library_that_fails_by_itself_keeps_its_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'other'"), required("library"):
        raise ModuleNotFoundError("No module named 'other'", name="other")


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match=r"'plr_fast\.integrations' has no attribute 'nothing'"):
        _ = integrations.nothing
    assert set(integrations.__all__) <= set(dir(integrations))
