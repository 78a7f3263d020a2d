"""What ``plr-fast experiment`` is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..errors import ConfigError
from .planning.plan import Keep


@dataclass(frozen=True)
class ExperimentOptions:
    """Train and judge methods × label fractions × repeats × data sets, and make tables and a report of them.

    Each cell of that grid is written once; the same command, called again, goes on where it stopped, even inside a
    training. What an edited file changes is computed again, and nothing else."""

    config: Annotated[str, tyro.conf.Positional]
    """An experiment file (YAML), or the name of one that comes along: phantom-quick, phantom, p-by-m, sars-cov-2,
    sars-cov-2-groups."""
    out: Path | None = None
    """Folder for everything; default experiments/NAME."""
    data: tuple[str, ...] = ()
    """NAME=PATH: where the slices of a data set (or the weights of a method) are: a slice store, or what plr-fast
    prepare reads."""
    jobs: int | None = None
    """Processes that train at the same time; default one for each device, on a CPU one for each two cores."""
    devices: str = "auto"
    """Where to train: cpu, or GPUs as cuda:0,cuda:1; auto: all GPUs that there are, else the CPU."""
    threads: int | None = None
    """CPU threads of each process; default its share of the cores. The last bits of results depend on it."""
    dry_run: bool = False
    """Prepare and split the slices, show the grid and the time and room that it will take, and train nothing."""
    only: tuple[str, ...] = ()
    """Train these methods only."""
    keep: Keep | None = None
    """Which trained networks to keep: all; those of the first repeat, for pictures; none. Default: as the file says,
    else first."""
    report_only: bool = False
    """Train nothing: make tables and report of what is there."""
    lesions: Path | None = None
    """Folder with real lesions (its 'images' and 'masks'): the report then holds the paper's table III and figure 7."""
    examples: int = 2
    """Slices shown in each kind of picture; 0: none."""

    def check(self) -> None:
        """Refuse values that cannot work.

        Raises:
            ConfigError: names the value and what would be right.
        """
        for name in ("jobs", "threads"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.examples < 0:
            raise ConfigError(f"examples must be at least 0, not {self.examples}")
        if self.lesions is not None and not Path(self.lesions).is_dir():
            raise ConfigError(f"lesions is no folder: {self.lesions}")
        if self.dry_run and self.report_only:
            raise ConfigError("give --dry-run or --report-only, not both")
        self.places()

    def places(self) -> dict[str, str]:
        """``data`` as name -> path."""
        found: dict[str, str] = {}
        for entry in self.data:
            name, equals, path = entry.partition("=")
            if not (name and equals and path):
                raise ConfigError(f"--data must be NAME=PATH, not {entry!r}")
            if name in found:
                raise ConfigError(f"--data {name}=… is given twice")
            found[name] = path
        return found


def devices_and_threads(devices: str, jobs: int | None) -> tuple[list[str], int]:
    """The device of each worker, and the CPU threads for each.

    Raises:
        ConfigError: a device is not there.
    """
    from ..backends.threads import available_cpus

    cores = available_cpus()
    names = [name.strip() for name in devices.split(",") if name.strip()]
    if names == ["auto"]:
        names = _gpus() or ["cpu"]
    elif any(name.startswith("cuda") for name in names):
        there = _gpus()
        names = [name if ":" in name else "cuda:0" for name in names]
        if missing := [name for name in names if name.startswith("cuda") and name not in there]:
            raise ConfigError(f"there is no device {missing[0]} (there are: {', '.join([*there, 'cpu'])})")
    if not names or any(not name.startswith("cuda:") and name not in ("cpu", "mps") for name in names):
        raise ConfigError(f"devices must be auto, cpu, mps, or cuda:0,cuda:1 and so on, not {devices!r}")
    default = max(1, cores // 2) if names == ["cpu"] else len(names)
    count = jobs or default
    return [names[number % len(names)] for number in range(count)], max(1, cores // count)


def _gpus() -> list[str]:
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
