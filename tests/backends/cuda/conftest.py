"""The CUDA backend on the host launcher: the same kernels and plans, without a GPU."""

from __future__ import annotations

import pytest

from plr_fast.backends.cuda.launch import Context, HostLauncher
from plr_fast.backends.cuda.memory import NumpyMemory


@pytest.fixture(scope="session", params=["forwards", "backwards"])
def host(request: pytest.FixtureRequest) -> Context:
    """Return a context that runs kernels on NumPy's memory, blocks and threads in one order and in the other."""
    pytest.importorskip(
        "plr_fast._cuda_host", reason="needs the host launcher, which tools/setup.sh dev builds (setup.py, editable)"
    )
    return Context(HostLauncher(backwards=request.param == "backwards"), NumpyMemory())
