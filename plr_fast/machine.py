"""The machine in words, for the record of a run: nothing that names a person or a host."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor() -> str:
    """The CPU's model."""
    for row in _rows(Path("/proc/cpuinfo")):
        if row.startswith("model name"):
            return row.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def gpus() -> list[str]:
    """Model and memory of each GPU that torch sees."""
    import torch

    if not torch.cuda.is_available():
        return []
    known = (torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count()))
    return [f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for gpu in known]


def gpu_driver() -> str | None:
    """Version of NVIDIA's kernel module, where there is one."""
    for row in _rows(Path("/proc/driver/nvidia/version")):
        words = row.split()
        numbers = [word for word in words if word[:1].isdigit() and "." in word]
        if "Module" in words and numbers:
            return numbers[0]
    return None


def _rows(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
