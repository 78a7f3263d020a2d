"""Fixtures for tests on a GPU: each test runs once for each backend of CUDA devices that works here."""

from __future__ import annotations

import os

import pytest
import torch

import plr_fast
from plr_fast import BackendUnavailableError
from plr_fast.ops.homes import missing_gpu


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = os.path.dirname(__file__)  # noqa: PTH120  # as pytest gives paths, too
    why = missing_gpu()
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.gpu)
            if why is not None:
                item.add_marker(pytest.mark.skip(reason=f"no GPU: {why}"))


@pytest.fixture(params=["cuda", "cupy"])
def gpu(request: pytest.FixtureRequest) -> torch.device:
    """Choose a backend of CUDA devices, or skip with its reason; the device to use."""
    try:
        plr_fast.use_backend(request.param)
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    return torch.device("cuda", torch.cuda.current_device())
