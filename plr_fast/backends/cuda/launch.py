"""Who runs kernels: what plans ask of a launcher, and the one of the host, for tests.

Those of GPUs are in ``extension`` (compiled by nvcc) and ``cupy_launcher`` (compiled by CuPy when first used).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from .memory import Memory

LARGEST_GRID = (2**31 - 1, 65535, 65535)  # blocks along x, y, z


class Launch(NamedTuple):
    """One launch of a kernel: its name without ``plr_``, its blocks along x, y and z, its parameters."""

    kernel: str
    grid: tuple[int, int, int]
    params: ctypes.Structure


class Launcher(Protocol):
    """Runs kernels by name."""

    name: str

    def describe(self) -> str:
        """Say what this launcher is, for :func:`plr_fast.backends`."""

    def threads(self, kernel: str, device: int) -> int:
        """Return how many threads a block of the kernel has."""

    def multiprocessors(self, device: int) -> int:
        """Return how many multiprocessors a device has: plans make so many blocks that all are busy."""

    def launch(self, launch: Launch, device: int, stream: int) -> None:
        """Queue a launch on a stream (its cudaStream_t as a number) of a device, and return at once.

        Raises:
            RuntimeError: CUDA refused; the message has the name of its error.
        """


@dataclass(frozen=True)
class Context:
    """Where a call runs: what launches, where scratch comes from, on which device and stream."""

    launcher: Launcher
    memory: Memory
    device: int = 0
    stream: int = 0

    def run(self, *launches: Launch) -> None:
        """Queue launches, one after the other."""
        for launch in launches:
            self.launcher.launch(launch, self.device, self.stream)

    @property
    def multiprocessors(self) -> int:
        return self.launcher.multiprocessors(self.device)


class HostLauncher:
    """Runs the same kernels on memory of the host, one thread after the other. For tests; needs a development build.

    ``backwards`` lets the last block and the last thread begin: kernels may not depend on that.
    """

    name = "host"

    def __init__(self, multiprocessors: int = 4, *, backwards: bool = False) -> None:
        from plr_fast import _cuda_host

        self._module = _cuda_host
        self._threads = {name: threads for name, (_unit, threads, _bytes) in _cuda_host.kernels().items()}
        self._multiprocessors = multiprocessors
        self._backwards = backwards

    def describe(self) -> str:
        return "CUDA kernels on the host, for tests"

    def threads(self, kernel: str, device: int) -> int:  # noqa: ARG002
        return self._threads[kernel]

    def multiprocessors(self, device: int) -> int:  # noqa: ARG002
        return self._multiprocessors

    def launch(self, launch: Launch, device: int, stream: int) -> None:
        if any(blocks > most for blocks, most in zip(launch.grid, LARGEST_GRID, strict=True)):
            raise RuntimeError(f"launching {launch.kernel}: a grid of {launch.grid} blocks is larger than CUDA allows")
        self._module.launch(launch.kernel, launch.grid, launch.params, device, stream, self._backwards)
