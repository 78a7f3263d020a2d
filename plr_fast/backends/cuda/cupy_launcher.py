"""Launching by CuPy: its NVRTC compiles the kernels' text when they are first used; the result is kept on disk.

No nvcc is needed, and nothing is compiled at import.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import BackendUnavailableError
from ...files import atomic_path
from . import sources
from .launch import Launch

# As nvcc compiles them: no contraction, so that the bits are the CPU's.
OPTIONS = ("--std=c++17", "--fmad=false")
_MAX_THREADS_PER_BLOCK = 0  # the number of this attribute of functions, in the driver


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
        self._modules: dict[tuple[str, int], Any] = {}
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
                try:
                    function = self._module(sources.kernel_units()[name], device).get_function(f"plr_{name}")
                    # The bound that the kernel was compiled with, which is what its blocks have.
                    threads = self._cupy.cuda.driver.funcGetAttribute(_MAX_THREADS_PER_BLOCK, function.ptr)
                except Exception as error:
                    raise BackendUnavailableError(_unusable(f"could not compile the kernel {name}", error)) from error
            found = _Kernel(function.ptr, threads, function)
            self._kernels[name, device] = found
        return found

    def _module(self, unit: str, device: int) -> Any:
        found = self._modules.get((unit, device))
        if found is None:
            capability = self._cupy.cuda.Device(device).compute_capability
            found = self._cupy.cuda.function.Module()
            found.load(_compiled(unit, f"sm_{capability}"))
            self._modules[unit, device] = found
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


def _compiled(unit: str, architecture: str) -> bytes:
    """Return the machine code of a unit, from the cache if it is there.

    CuPy's own way would flush small numbers to zero (``-ftz=true``), and other bits would come out; its cache looks at
    neither headers nor the version of ours.
    """
    import cupy

    nvrtc = cupy.cuda.nvrtc
    options = (*OPTIONS, f"--gpu-architecture={architecture}")
    source = sources.unit_source(unit)
    key = "\0".join((source, sources.fingerprint(), *options, str(nvrtc.getVersion())))
    kept = cache_folder() / f"{unit}-{hashlib.sha256(key.encode()).hexdigest()}.cubin"
    with suppress(OSError):
        code = kept.read_bytes()
        if hashlib.sha256(code[32:]).digest() == code[:32]:
            return code[32:]
    program = nvrtc.createProgram(source, f"{unit}.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*options, *(f"-I{folder}" for folder in sources.include_folders())))
        code = bytes(nvrtc.getCUBIN(program))
    except Exception as error:
        log = nvrtc.getProgramLog(program).strip().partition("\n")[0]
        raise RuntimeError(f"NVRTC for {architecture}: {error} {log}") from error
    finally:
        nvrtc.destroyProgram(program)
    with suppress(OSError):  # without a cache it is compiled again next time
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(kept) as temporary:
            temporary.write_bytes(hashlib.sha256(code).digest() + code)
    return code


def cache_folder() -> Path:
    """Return where compiled kernels are kept: ``PLR_FAST_CACHE``, else ``plr_fast`` in the user's folder of caches."""
    named = os.environ.get("PLR_FAST_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plr_fast"
