"""Launching by CuPy: its NVRTC compiles the kernels' text when they are first used, and caches them on disk.

No nvcc is needed, and nothing is compiled at import. CuPy keeps compiled units in ``~/.cupy/kernel_cache``
(``CUPY_CACHE_DIR`` names another place), one for each architecture.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from ...errors import BackendUnavailableError
from . import sources
from .launch import Launch

# As nvcc compiles them: no contraction, so that the bits are the CPU's.
OPTIONS = ("--std=c++17", "--fmad=false")


def load() -> CupyLauncher:
    """Return the launcher.

    Raises:
        BackendUnavailableError: CuPy is missing or unusable, has no NVRTC, or there is no GPU; the message says which.
    """
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise
        raise BackendUnavailableError(f"CuPy is not installed; pip install '{package()}'") from None
    except Exception as error:
        raise BackendUnavailableError(_unusable("cannot be loaded", error)) from None
    version = f"CuPy {cupy.__version__}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError, or ImportError where its CUDA libraries are of another major version
        raise BackendUnavailableError(_unusable("finds no usable GPU", error, version)) from None
    if count == 0:
        raise BackendUnavailableError("there is no GPU here, or CUDA_VISIBLE_DEVICES hides it")
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        raise BackendUnavailableError(_unusable("finds no NVRTC, which compiles the kernels", error, version)) from None
    sources.source_root()
    return CupyLauncher()


def package() -> str:
    """Return the package of CuPy that fits this torch's CUDA, with the CUDA libraries that it needs."""
    import torch

    major = (torch.version.cuda or "13").partition(".")[0]
    return f"cupy-cuda{major}x[ctk]"


def _unusable(what: str, error: Exception, version: str = "CuPy") -> str:
    first = str(error).strip().partition("\n")[0] or type(error).__name__
    return (
        f"{version} is installed but {what} ({first}): it must be the one for the CUDA of this driver; "
        f"pip install '{package()}' fits this torch"
    )


class _Kernel(NamedTuple):
    function: int  # CUfunction
    threads: int
    owner: Any  # keeps the module loaded


class CupyLauncher:
    """Launches kernels that CuPy compiles."""

    name = "cupy"

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy
        self._kernels: dict[tuple[str, int], _Kernel] = {}
        self._ready = threading.local()  # its `devices`: those whose context is current in this thread when chosen
        self._multiprocessors = cache(self._ask_multiprocessors)

    def describe(self) -> str:
        runtime = self._cupy.cuda.runtime
        version = self._cupy.cuda.nvrtc.getVersion()
        names = (runtime.getDeviceProperties(i)["name"].decode() for i in range(runtime.getDeviceCount()))
        return (
            f"CUDA kernels compiled by CuPy {self._cupy.__version__} with NVRTC {version[0]}.{version[1]} when first "
            f"used: {', '.join(names)}"
        )

    def threads(self, kernel: str, device: int) -> int:
        return self._kernel(kernel, device).threads

    def multiprocessors(self, device: int) -> int:
        return self._multiprocessors(device)

    def launch(self, launch: Launch, device: int, stream: int) -> None:
        kernel = self._kernel(launch.kernel, device)
        # The driver takes an array of addresses, one for each argument; it copies what they point at.
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(launch.params))
        with self._on(device):
            try:
                self._cupy.cuda.driver.launchKernel(
                    kernel.function, *launch.grid, kernel.threads, 1, 1, 0, stream, ctypes.addressof(arguments), 0
                )
            except Exception as error:  # CUDADriverError: its text begins with the error's name
                raise RuntimeError(f"launching {launch.kernel}: {error}") from error

    def _ask_multiprocessors(self, device: int) -> int:
        return int(self._cupy.cuda.Device(device).attributes["MultiProcessorCount"])

    def _kernel(self, name: str, device: int) -> _Kernel:
        found = self._kernels.get((name, device))
        if found is None:
            with self._on(device):
                compiled = _module(sources.kernel_units()[name]).get_function(f"plr_{name}")
                try:
                    # The bound that the kernel was compiled with, which is what its blocks have.
                    found = _Kernel(compiled.kernel.ptr, compiled.max_threads_per_block, compiled)
                except Exception as error:
                    raise BackendUnavailableError(_unusable(f"could not compile the kernel {name}", error)) from error
            self._kernels[name, device] = found
        return found

    @contextmanager
    def _on(self, device: int) -> Iterator[None]:
        runtime = self._cupy.cuda.runtime
        before = runtime.getDevice()
        if before != device:
            runtime.setDevice(device)
        try:
            ready = self._ready.__dict__.setdefault("devices", set())
            if device not in ready:
                runtime.free(0)  # the runtime makes its context current, which the driver's functions presume
                ready.add(device)
            yield
        finally:
            if before != device:
                runtime.setDevice(before)


@cache
def _module(unit: str) -> Any:
    import cupy

    # CuPy's cache looks at the text it is given and at the options, not at headers: their hash goes along as a comment.
    text = f"// headers {sources.fingerprint()}\n{sources.unit_source(unit)}"
    folders = tuple(f"-I{folder}" for folder in sources.include_folders())
    return cupy.RawModule(code=text, options=(*OPTIONS, *folders))
