"""Who runs kernels: the compiled module on a GPU, the host launcher in tests (and CuPy, in a module of its own)."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

from .memory import Memory

LARGEST_GRID = (2**31 - 1, 65535, 65535)  # blocks along x, y, z


class Launch(NamedTuple):
    """One launch of a kernel: its name without ``plr_``, its blocks along x, y and z, its parameters."""

    kernel: str
    grid: tuple[int, int, int]
    params: ctypes.Structure


class Launcher(Protocol):
    """Runs kernels by name. ``kernels`` tells for each its unit (the .cu file), threads and bytes of parameters."""

    name: str

    def kernels(self) -> dict[str, tuple[str, int, int]]: ...

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


class ExtensionLauncher:
    """Launches by ``plr_fast._cuda``."""

    name = "cuda"

    def __init__(self) -> None:
        from plr_fast import _cuda

        self._module = _cuda
        self._kernels = _cuda.kernels()
        self._multiprocessors = cache(_cuda.multiprocessors)

    def kernels(self) -> dict[str, tuple[str, int, int]]:
        return self._kernels

    def multiprocessors(self, device: int) -> int:
        return self._multiprocessors(device)

    def launch(self, launch: Launch, device: int, stream: int) -> None:
        self._module.launch(launch.kernel, launch.grid, launch.params, device, stream)


class HostLauncher:
    """Runs the same kernels on memory of the host, one thread after the other. For tests; needs a development build.

    ``backwards`` lets the last block and the last thread begin: kernels may not depend on that.
    """

    name = "host"

    def __init__(self, multiprocessors: int = 4, *, backwards: bool = False) -> None:
        from plr_fast import _cuda_host

        self._module = _cuda_host
        self._multiprocessors = multiprocessors
        self._backwards = backwards

    def kernels(self) -> dict[str, tuple[str, int, int]]:
        return self._module.kernels()

    def multiprocessors(self, device: int) -> int:  # noqa: ARG002
        return self._multiprocessors

    def launch(self, launch: Launch, device: int, stream: int) -> None:
        if any(blocks > most for blocks, most in zip(launch.grid, LARGEST_GRID, strict=True)):
            raise RuntimeError(f"launching {launch.kernel}: a grid of {launch.grid} blocks is larger than CUDA allows")
        self._module.launch(launch.kernel, launch.grid, launch.params, device, stream, self._backwards)
