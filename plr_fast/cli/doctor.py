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
from rich.text import Text

from .. import __version__
from ..backends import active_name, backends, get_num_threads
from ..backends.specs import NoiseSpec
from ..backends.threads import available_cpus
from ..errors import BackendUnavailableError
from ..ops.arguments import machine_memory
from ..ops.homes import missing_gpu
from .options import read

PACKAGES = (
    "torch", "numpy", "numba", "scipy", "scikit-image", "scikit-learn", "lightning-fabric", "pillow", "safetensors",
    "tensorboard", "matplotlib", "tyro", "rich", "jinja2", "pyyaml",
)  # fmt: skip
VARIABLES = ("PLR_FAST_BACKEND", "PLR_FAST_ISA", "PLR_FAST_DEBUG", "PLR_FAST_CACHE", "CUDA_VISIBLE_DEVICES")


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
    """Say which GPU torch can train on, and whether operations run there; or why there is none."""
    why = missing_gpu()
    if why is not None:
        return f"none: {why}"
    parts = []
    for i in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(i)
        name = torch.cuda.get_device_name(i)
        parts.append(f"cuda:{i} {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    try:
        use = f"operations run there by backend {active_name('cuda')!r}"
    except (BackendUnavailableError, ValueError):
        use = "torch trains there, but operations run on the CPU alone: see the backends"
    return f"{'; '.join(parts)} (torch for CUDA {torch.version.cuda}); {use}"


def self_test() -> str:
    """Compare the backends in use with the float64 reference on a little noise."""
    import numpy as np

    from ..backends import get_backend

    spec = NoiseSpec(1, (1.0, 3.0, 3.5), 3, 0.5, 2.0, False, "float32")
    results = []
    try:
        for name in (active_name(), "reference"):
            out = np.empty((1, 19, 23), np.float32)
            get_backend(name).noise(out, np.zeros(1, np.int64), spec, 1)
            results.append(out)
        if missing_gpu() is None and any(info.device == "cuda" and info.active for info in backends()):
            results.insert(0, _noise_on_gpu(spec))
    except Exception as error:  # whatever keeps an operation from running is what the doctor is asked for
        return f"failed: {' '.join(str(error).split())}"
    worst = max(float(np.abs(result - results[-1]).max()) for result in results)
    return "passed" if worst < 1e-5 else f"failed: noise differs from the reference by {worst:.2g}"


def _noise_on_gpu(spec: NoiseSpec) -> Any:
    from ..ops import perlin_noise

    noise = perlin_noise(
        (1, 19, 23), cells=spec.cells[1:], octaves=spec.octaves, seed=spec.seed, dtype="float32", device="cuda"
    )
    return noise.cpu().numpy()


def show(facts: Mapping[str, Any]) -> None:
    console = Console()
    console.print(section("plr_fast", [(k, str(v)) for k, v in facts.items() if not isinstance(v, (dict, list))]))
    table = section("backends, for each device in order of preference", [], names=2)
    for info in facts["backends"]:
        state = "in use" if info["active"] else "available" if info["available"] else "not usable"
        # As Text: brackets, as in pip's extras, would be markup.
        table.add_row(*map(Text, (info["device"], info["name"], f"{state}: {info['detail']}")))
    console.print(table)
    console.print(section("packages", list(facts["packages"].items())))
    if facts["environment"]:
        console.print(section("environment", list(facts["environment"].items())))


def section(title: str, rows: Sequence[tuple[str, str]], *, names: int = 1) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for _ in range(names):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
