"""The real kernels, compiled by nvcc: nothing in local memory, nothing spilled, wide stores where they are meant."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from plr_fast.backends.cuda import sources

TOOL = Path(__file__).parents[3] / "tools" / "cuda_report.py"


@pytest.fixture(scope="module")
def report() -> ModuleType:
    specification = importlib.util.spec_from_file_location("cuda_report", TOOL)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("unit", sources.UNITS)
def test_kernels_keep_to_registers(report: ModuleType, unit: str) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not on PATH")
    kernels = report.compile_unit(nvcc, unit, "sm_90")
    assert kernels
    assert all(kernel.registers > 0 for kernel in kernels)
    assert [fault for kernel in kernels for fault in kernel.faults()] == []


def test_units_are_those_of_the_sources(report: ModuleType) -> None:
    assert set(report.units()) == set(sources.UNITS)


SAID = """ptxas info    : Compiling entry function 'plr_noise_rows_2d_4' for 'sm_90'
ptxas info    : Function properties for plr_noise_rows_2d_4
    88 bytes stack frame, 104 bytes spill stores, 196 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 88 bytes cumulative stack size, 33296 bytes smem
"""


def test_faults_are_found(report: ModuleType) -> None:
    ptx = ".visible .entry plr_noise_rows_2d_4(\n)\n{\n st.global.f32 [%rd1], %f1;\n}\n"
    (kernel,) = report.parse(ptx, SAID)
    assert kernel == ("noise_rows_2d_4", 128, 33296, 88, 300, 0)
    assert len(kernel.faults()) == 2
    (wide,) = report.parse(ptx.replace("global.f32", "global.v4.f32"), SAID.replace("88 b", "0 b").replace("104", "0"))
    assert wide.wide_stores == 1


def test_without_nvcc_the_tool_says_so(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, TOOL], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert said.returncode == 77
    assert "nvcc is not on PATH" in said.stderr
