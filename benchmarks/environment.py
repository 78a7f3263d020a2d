"""On what a run was made: machine, compiler, instruction set, versions."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import plr_fast
from benchmarks import noise_peers

LIBRARIES = ("torch", "numpy", "numba", "opencv-python-headless", "pytest-benchmark")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def lines(machine: dict[str, Any]) -> list[str]:
    """Return what a reader must know to judge the figures; ``machine`` is pytest-benchmark's ``machine_info``."""
    native = next(info.detail for info in plr_fast.backends() if info.name == "native")
    libraries = ", ".join(f"{name} {found(name)}" for name in LIBRARIES)
    return [
        f"- {datetime.date.today().isoformat()}, {hardware(machine)}",
        f"- plr_fast {plr_fast.__version__}: {native}",
        f"- Python {platform.python_version()} on {platform.system()} {platform.release()}, {libraries}",
        f"- noise peers: {', '.join(noise_peers.versions())}",
    ]


def hardware(machine: dict[str, Any]) -> str:
    cpu = machine["cpu"]
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [str(cpu.get("brand_raw", platform.processor())), f"{cpus} CPUs"]
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB")
    if HUGE_PAGES.is_file():
        setting = HUGE_PAGES.read_text(encoding="ascii").partition("[")[2].partition("]")[0]
        parts.append(f"transparent huge pages: {setting}")
    return ", ".join(parts)


def found(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"
