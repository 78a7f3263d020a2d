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
NEEDS = {"RandPseudoLesion": "monai", "RandPseudoLesiond": "monai", "PseudoLesionTransform": "batchgeneratorsv2"}

# Stands in for an environment without the libraries, whether they are here or not.
WITHOUT_LIBRARIES = f"""
import importlib.abc, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LIBRARIES}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
from plr_fast import integrations
for name in integrations.__all__:
    try:
        print(name, getattr(integrations, name).__module__)
    except ModuleNotFoundError as error:
        print(name, error.name, error)
print(integrations.PerlinAnomalyGenerator.__base__)
"""


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    loaded = "print([name for name in " + repr(LIBRARIES) + " if name in sys.modules])"
    assert run(f"import plr_fast.integrations, plr_fast.ops, sys; {loaded}") == "[]\n"


def test_a_missing_library_is_named_with_the_mend_and_the_rest_works() -> None:
    lines = run(WITHOUT_LIBRARIES).splitlines()
    said = {name: rest for name, _, rest in (line.partition(" ") for line in lines[:-1])}
    assert set(said) == set(integrations.__all__)
    for name, library in NEEDS.items():
        message = f"this adapter of plr_fast needs {library}, which is not installed: pip install {library}"
        assert said.pop(name) == f"{library} {message}"
    assert set(said.values()) == {"plr_fast.integrations.anomalib", "plr_fast.integrations.perlin_numpy"}
    assert lines[-1] == "<class 'torch.nn.modules.module.Module'>"


def test_a_library_that_fails_by_itself_keeps_its_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'other'"), required("library"):
        raise ModuleNotFoundError("No module named 'other'", name="other")


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match=r"'plr_fast\.integrations' has no attribute 'nothing'"):
        _ = integrations.nothing
    assert set(integrations.__all__) <= set(dir(integrations))
