"""Fixtures for all tests: every backend and instruction set in turn, and the real CT data where they are present."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import plr_fast
from plr_fast.backends import get_backend
from plr_fast.errors import BackendUnavailableError

torch.set_num_threads(1)

DATA_VARIABLE = "PLR_FAST_TEST_DATA"


def variants() -> list[str]:
    """Return the fast backends as test ids; the native one once per instruction set that runs here."""
    names = ["numba"]
    try:
        get_backend("native")
    except BackendUnavailableError:
        return names
    from plr_fast import _native

    return [f"native-{tier}" for tier, supported in _native.tiers() if supported] + names


def activate(variant: str) -> None:
    """Use the backend of that id, and prove that it is the one in use."""
    name, _, tier = variant.partition("-")
    plr_fast.use_backend(name)
    if tier:
        from plr_fast import _native

        _native.select_tier(tier)
        assert _native.tier() == tier
    assert next(info.name for info in plr_fast.backends() if info.active) == name


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name cases after their values, but arrays after their form: what is in them may differ from run to run."""
    return _case(val) if isinstance(val, (dict, list, tuple, torch.Tensor, np.ndarray)) else None


def _case(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_case(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(map(_case, value)) + ")"
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"{type(value).__name__} {tuple(value.shape)} {value.dtype}"
    return getattr(value, "__name__", None) or repr(value)


@pytest.fixture(autouse=True)
def clean_choice() -> Iterator[None]:
    """Each test starts and ends with the automatic choices."""
    plr_fast.use_backend("auto")
    yield
    plr_fast.use_backend("auto")
    plr_fast.set_num_threads(None)
    if any(variant.startswith("native") for variant in variants()):
        from plr_fast import _native

        _native.select_tier("")


@pytest.fixture(params=variants())
def backend(request: pytest.FixtureRequest) -> str:
    """Run the test once for each fast backend and instruction set."""
    activate(request.param)
    return str(request.param)


@pytest.fixture
def real_data() -> Path:
    """Return the folder with the CT data sets, or skip: set PLR_FAST_TEST_DATA, or put them at ../shared/data."""
    place = Path(os.environ.get(DATA_VARIABLE) or Path(__file__).parents[2] / "shared" / "data")
    if not (place / "ct").is_dir():
        pytest.skip(f"no CT data at {place}: set {DATA_VARIABLE} to the folder that holds ct/ and lung/")
    return place
