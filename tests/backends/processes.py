"""Python code in a process of its own, for what could hang, abort or change the whole process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from plr_fast.backends import get_backend
from plr_fast.errors import BackendUnavailableError

POOLS = ["native", "numba"]  # instruction sets share the pool of the native backend: one of them will do
TIMEOUT = 300  # seconds, for a process that takes 2 to 4 on an idle machine


def require(pool: str) -> None:
    """Skip the test where that backend cannot run."""
    try:
        get_backend(pool)
    except BackendUnavailableError as error:
        pytest.skip(str(error))


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``code``; a hang fails the test."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def run_on(pool: str, code: str) -> str:
    """Run ``code`` on the backend ``pool``, prove that it ended well and without complaints; return what it printed."""
    require(pool)
    done = run(code, PLR_FAST_BACKEND=pool)
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr == ""
    return done.stdout
