"""What tools/gpu_check.sh runs on a GPU machine: that it reaches everything, within its time."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from plr_fast.backends.cuda import sources
from tests.backends.cuda.device import pretended

TOOLS = Path(__file__).parents[3] / "tools"
CALL_SECONDS = 480  # for all of it


def test_the_sanitizer_sees_every_kernel() -> None:
    pytest.importorskip("plr_fast._cuda_host", reason="needs the host launcher, which tools/setup.sh dev builds")
    specification = importlib.util.spec_from_file_location("gpu_sanitize", TOOLS / "gpu_sanitize.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    with pretended() as home:
        module.main(home.device, "cpu")
    assert {kernel for kernel, _, _ in home.launcher.launched} == set(sources.kernel_units())


def test_the_steps_fit_into_one_call() -> None:
    text = (TOOLS / "gpu_check.sh").read_text(encoding="utf-8")
    steps = {
        name: int(seconds) for name, seconds in re.findall(r'^ *(?:if ! )?step "?\$?(\w+)"? (\d+)', text, re.MULTILINE)
    }
    tools = re.search(r"for tool in ([\w ]+); do", text)
    budget = re.search(r"^budget=(\d+)", text, re.MULTILINE)
    assert tools is not None
    assert budget is not None
    assert steps.keys() == {"build", "backends", "tests", "tool", "bench"}
    all_steps = sum(steps.values()) + steps["tool"] * (len(tools[1].split()) - 1)
    # Beside them, Python starts once to ask for the GPU, and what does not end is killed five seconds later.
    assert all_steps <= int(budget[1]) <= CALL_SECONDS - 15
