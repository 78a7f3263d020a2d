"""Launching by ``plr_fast._cuda``, which nvcc compiled when plr_fast was installed."""

from __future__ import annotations

import importlib
import re
from functools import cache

from ...errors import BackendUnavailableError
from .launch import Launch

_MEND = (
    "install plr_fast again where nvcc is on PATH (PLR_FAST_CUDA=1 shows what fails), or install CuPy, which compiles "
    "them when they are first used"
)


def load() -> ExtensionLauncher:
    """Return the launcher.

    Raises:
        BackendUnavailableError: this installation has no such module, or there is no GPU that it can use here.
    """
    try:
        _cuda = importlib.import_module("plr_fast._cuda")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "plr_fast._cuda"
        why = (
            "this installation has no compiled CUDA kernels"
            if missing
            else f"the CUDA kernels cannot be loaded: {error}"
        )
        raise BackendUnavailableError(f"{why}; {_MEND}") from None
    try:
        count = _cuda.device_count()
    except RuntimeError as error:  # it names CUDA's error, and what to do about an old driver
        raise BackendUnavailableError(f"no GPU can be used: {error}") from None
    if count == 0:
        raise BackendUnavailableError("there is no GPU here, or CUDA_VISIBLE_DEVICES hides it")
    _, capability, _ = _cuda.device(0)
    if not runs_on(_cuda.architectures, capability):
        raise BackendUnavailableError(
            f"the CUDA kernels were compiled for the architectures {_cuda.architectures}, and this GPU is of "
            f"{capability[0]}{capability[1]}: install plr_fast again with CMAKE_CUDA_ARCHITECTURES="
            f"{capability[0]}{capability[1]}, or install CuPy"
        )
    return ExtensionLauncher()


def runs_on(architectures: str, capability: tuple[int, int]) -> bool:
    """Return whether code compiled for CMake's list of architectures runs on a GPU of that compute capability.

    >>> runs_on("80-real 90", (8, 6)), runs_on("80-real 90", (12, 0)), runs_on("90-real", (8, 0))
    (True, True, False)
    """
    for number, kind in re.findall(r"(\d+)[a-f]?(-real|-virtual)?", architectures):
        major, minor = divmod(int(number), 10)
        machine_code = kind != "-virtual" and capability[0] == major and capability[1] >= minor
        text = kind != "-real" and capability >= (major, minor)  # which the driver compiles
        if machine_code or text:
            return True
    return False


class ExtensionLauncher:
    """Launches by ``plr_fast._cuda``."""

    name = "cuda"

    def __init__(self) -> None:
        from plr_fast import _cuda

        self._module = _cuda
        self._threads = {name: threads for name, (_unit, threads, _bytes) in _cuda.kernels().items()}
        self._multiprocessors = cache(_cuda.multiprocessors)

    def describe(self) -> str:
        driver, runtime = (f"{v // 1000}.{v % 1000 // 10}" for v in self._module.versions())
        gpus = [self._module.device(i) for i in range(self._module.device_count())]
        names = ", ".join(f"{name} ({major}.{minor})" for name, (major, minor), _ in gpus)
        return (
            f"CUDA kernels compiled for {self._module.architectures}, CUDA {runtime}, driver for CUDA {driver}: {names}"
        )

    def threads(self, kernel: str, device: int) -> int:  # noqa: ARG002
        return self._threads[kernel]

    def multiprocessors(self, device: int) -> int:
        return self._multiprocessors(device)

    def launch(self, launch: Launch, device: int, stream: int) -> None:
        self._module.launch(launch.kernel, launch.grid, launch.params, device, stream)
