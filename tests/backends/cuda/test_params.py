"""Python's structures have the layout of C++'s."""

from __future__ import annotations

import ctypes
from types import ModuleType

import pytest

from plr_fast.backends.cuda import bank, copies, filters, fresh, masks, noise, paste  # noqa: F401  they add their structures
from plr_fast.backends.cuda.params import STRUCTURES


@pytest.fixture(params=["_cuda_host", "_cuda"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    return pytest.importorskip(f"plr_fast.{request.param}", reason=f"plr_fast.{request.param} was not built")


@pytest.mark.parametrize("name", STRUCTURES)
def test_layout_is_that_of_the_compiler(module: ModuleType, name: str) -> None:
    structure: type[ctypes.Structure] = STRUCTURES[name]
    size, fields = module.layouts()[name]
    ours = {}
    for field, *_ in structure._fields_:
        place = getattr(structure, field)
        ours[field] = (place.offset, place.size)
    assert ours == fields
    assert ctypes.sizeof(structure) == size


def test_every_structure_of_the_compiler_is_known(module: ModuleType) -> None:
    assert set(module.layouts()) == set(STRUCTURES)


def test_parameters_of_another_size_are_refused(module: ModuleType) -> None:
    with pytest.raises(ValueError, match="noise_setup have"):
        module.launch("noise_setup", (1, 1, 1), b"too short", 0, 0)
    with pytest.raises(KeyError, match="no kernel is named nothing"):
        module.launch("nothing", (1, 1, 1), b"", 0, 0)
