"""``plr-fast doctor``: what this installation can do here, and why something is missing."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from .. import __version__
from ..backends import active_name, backends, get_num_threads
from ..backends.threads import available_cpus
from ..errors import BackendUnavailableError
from ..ops.arguments import machine_memory
from .options import read

PACKAGES = (
    "torch", "numpy", "numba", "scipy", "scikit-image", "scikit-learn", "lightning-fabric", "pillow", "safetensors",
    "tensorboard", "matplotlib", "tyro", "rich", "jinja2", "pyyaml",
)  # fmt: skip
VARIABLES = ("PLR_FAST_BACKEND", "PLR_FAST_ISA", "PLR_FAST_DEBUG")


@dataclass(frozen=True)
class DoctorConfig:
    """Report versions, backends, threads and devices; exit status 1 if the operations do not work."""

    json: bool = False
    """Print JSON instead of tables."""


def main(arguments: Sequence[str]) -> int:
    config = read(DoctorConfig, "doctor", arguments)
    facts = examine()
    if config.json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        show(facts)
    return 0 if facts["self-test"] == "passed" else 1


def examine() -> dict[str, Any]:
    """Return all that the doctor knows, as JSON allows it."""
    return {
        "plr_fast": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": f"{available_cpus()} of {os.cpu_count()} usable by this process",
        "memory": f"{machine_memory() / 2**30:.1f} GiB",
        "threads": get_num_threads(),
        "gpu": gpu(),
        "self-test": self_test(),
        "backends": [asdict(info) for info in backends()],
        "packages": {name: version(name) for name in PACKAGES},
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return f"missing: pip install {package}"


def gpu() -> str:
    """Say which GPU torch can train on, or why none."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return f"{', '.join(names)} for training; the operations of this version run on the CPU"
    if torch.version.cuda is None:
        return "none: this torch is a CPU build"
    return f"none: torch is built for CUDA {torch.version.cuda}, but finds no device or driver"


def self_test() -> str:
    """Compare the backend in use with the float64 reference on a little noise."""
    import numpy as np

    from ..backends import get_backend
    from ..backends.specs import NoiseSpec

    spec = NoiseSpec(1, (1.0, 3.0, 3.5), 3, 0.5, 2.0, False, "float32")
    results = []
    try:
        for name in (active_name(), "reference"):
            out = np.empty((1, 19, 23), np.float32)
            get_backend(name).noise(out, np.zeros(1, np.int64), spec, 1)
            results.append(out)
    except (BackendUnavailableError, ValueError) as error:
        return f"failed: {error}"
    worst = float(np.abs(results[0] - results[1]).max())
    return "passed" if worst < 1e-5 else f"failed: noise differs from the reference by {worst:.2g}"


def show(facts: Mapping[str, Any]) -> None:
    console = Console()
    console.print(section("plr_fast", [(k, str(v)) for k, v in facts.items() if not isinstance(v, (dict, list))]))
    table = section("backends, in order of preference", [])
    for info in facts["backends"]:
        state = "in use" if info["active"] else "available" if info["available"] else "missing"
        table.add_row(info["name"], f"{state}: {info['detail']}")
    console.print(table)
    console.print(section("packages", list(facts["packages"].items())))
    if facts["environment"]:
        console.print(section("environment", list(facts["environment"].items())))


def section(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table
