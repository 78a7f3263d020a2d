"""Which backends exist, which can run here and why not, and which one is in use."""

from __future__ import annotations

import importlib
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

from ..errors import BackendFallbackWarning, BackendUnavailableError
from .specs import Backend

if TYPE_CHECKING:
    from .cuda.launch import Launcher

ENVIRONMENT_VARIABLE = "PLR_FAST_BACKEND"
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class BackendInfo:
    """One row of :func:`backends`."""

    name: str
    device: str  # "cpu" or "cuda"
    available: bool
    active: bool  # in use for arrays of its device
    detail: str  # what it is if available, else why it is not and how to mend that


@dataclass(frozen=True)
class _Entry:
    device: Device
    module: str  # a backend of the CPU; of CUDA, a module whose `load()` returns a launcher
    description: str
    mend: str
    automatic: bool = True  # may be chosen without being asked for


# For each device in order of preference.
_ENTRIES = {
    "native": _Entry(
        "cpu",
        "plr_fast.backends.native",
        "compiled C++",
        "reinstall plr_fast on a machine with a C++17 compiler (PLR_FAST_NATIVE=1 shows what fails)",
    ),
    "numba": _Entry("cpu", "plr_fast.backends.numba", "compiled by Numba on first use", "pip install numba"),
    "reference": _Entry("cpu", "plr_fast.backends.reference", "float64 NumPy, slow, for checks", "", automatic=False),
    "cuda": _Entry("cuda", "plr_fast.backends.cuda.extension", "CUDA kernels compiled by nvcc", ""),
    "cupy": _Entry("cuda", "plr_fast.backends.cuda.cupy_launcher", "CUDA kernels compiled by CuPy", ""),
}


@dataclass
class _Choice:
    """What was asked for, and what that came to when an operation first ran. A new choice is a new object."""

    asked_for: str | None = None  # None: the environment decides
    name: str = ""
    backend: Any = None  # a Backend, or for CUDA a Launcher


_choices: dict[Device, _Choice] = {"cpu": _Choice(), "cuda": _Choice()}


@cache
def _load(name: str) -> Any:
    """Return the backend's module or the launcher, or as a string the reason why it cannot be loaded."""
    entry = _ENTRIES[name]
    try:
        module = importlib.import_module(entry.module)
        return module if entry.device == "cpu" else module.load()
    except Exception as error:  # whatever keeps a backend from loading must not keep the others from working
        return f"{error}; {entry.mend}" if entry.mend else str(error)


def _get(name: str) -> Any:
    if name not in _ENTRIES:
        raise ValueError(f"unknown backend {name!r}; choose one of {', '.join(_ENTRIES)} or 'auto'")
    loaded = _load(name)
    if isinstance(loaded, str):
        raise BackendUnavailableError(f"backend {name!r} is not available: {loaded}")
    return loaded


def get_backend(name: str) -> Backend:
    """Return the backend of the CPU of that name.

    Raises:
        ValueError: no backend of the CPU has that name.
        BackendUnavailableError: it cannot run here; the message says why and how to mend it.
    """
    backend = _get(name)
    if _ENTRIES[name].device != "cpu":
        raise ValueError(f"backend {name!r} works on CUDA devices, not on the CPU")
    return cast(Backend, backend)


def active_name(device: Device = "cpu") -> str:
    """Return the backend in use on a device: the one chosen, else ``PLR_FAST_BACKEND``, else the first that runs."""
    choice = _choices[device]
    if choice.backend is not None:
        return choice.name
    if choice.asked_for:
        return choice.asked_for
    name = _of_environment().get(device)
    if name is not None:
        _get(name)
        return name
    for candidate in _automatic(device):
        if not isinstance(_load(candidate), str):
            return candidate
    reasons = "; ".join(f"{n}: {_load(n)}" for n in _automatic(device))
    where = "" if device == "cpu" else "on CUDA devices "
    raise BackendUnavailableError(f"no backend can run {where}here ({reasons})")


def _automatic(device: Device) -> list[str]:
    return [name for name, entry in _ENTRIES.items() if entry.device == device and entry.automatic]


def _of_environment() -> dict[Device, str]:
    """Return what ``PLR_FAST_BACKEND`` asks for: a name, or one for each device with a comma between them."""
    chosen: dict[Device, str] = {}
    for name in os.environ.get(ENVIRONMENT_VARIABLE, "").lower().split(","):
        name = name.strip()
        if name in ("", "auto"):
            continue
        if name not in _ENTRIES:
            known = ", ".join(_ENTRIES)
            raise ValueError(f"{ENVIRONMENT_VARIABLE}: unknown backend {name!r}; choose one of {known} or 'auto'")
        device = _ENTRIES[name].device
        if device in chosen:
            raise ValueError(
                f"{ENVIRONMENT_VARIABLE} names two backends of one device, {chosen[device]!r} and {name!r}: choose one"
            )
        chosen[device] = name
    return chosen


def active_backend() -> Backend:
    """Return the backend in use on the CPU. Says once per process if that is a fallback nobody asked for.

    The environment is read at the first call and after each :func:`use_backend`, not at every call.
    """
    choice = _choices["cpu"]
    return cast(Backend, choice.backend or _settle("cpu", choice))


def active_launcher() -> Launcher:
    """Return what launches kernels on CUDA devices, chosen as :func:`active_backend` does."""
    choice = _choices["cuda"]
    return cast("Launcher", choice.backend or _settle("cuda", choice))


def _settle(device: Device, choice: _Choice) -> Any:
    name = active_name(device)
    if name == "numba" and not choice.asked_for and device not in _of_environment():
        _say_fallback()
    choice.name, choice.backend = name, _get(name)
    return choice.backend


@cache
def _say_fallback() -> None:
    warnings.warn(
        f"plr_fast runs without its compiled extension ({_load('native')}). The Numba backend gives the same results, "
        f"more slowly; {ENVIRONMENT_VARIABLE}=numba or use_backend('numba') silences this.",
        BackendFallbackWarning,
        stacklevel=4,  # the operation
    )


def use_backend(name: str) -> None:
    """Use the backend ``name`` from now on, in this process, for all arrays of its device.

    On the CPU: "native", "numba", "reference". On CUDA devices: "cuda" (kernels compiled by nvcc when plr_fast was
    installed), "cupy" (compiled by CuPy when first used). The choice for one device leaves the other's as it is; "auto"
    chooses again on both.

    The environment variable ``PLR_FAST_BACKEND`` does the same for a whole process, such as ``numba`` or
    ``native,cupy``; it is read when an operation first runs, and again after ``use_backend("auto")``. A backend that
    was asked for and cannot run is an error, never a silent second choice.

    Raises:
        ValueError: no backend has that name.
        BackendUnavailableError: it cannot run here.
    """
    if name == "auto":
        _choices["cpu"], _choices["cuda"] = _Choice(), _Choice()
        return
    _get(name)
    _choices[_ENTRIES[name].device] = _Choice(name)


def backends() -> list[BackendInfo]:
    """Return all backends, for each device in order of preference: available or not and why, and which are in use."""
    active = set()
    devices: tuple[Device, ...] = ("cpu", "cuda")
    for device in devices:
        with suppress(BackendUnavailableError, ValueError):
            active.add(active_name(device))
    rows = []
    for name, entry in _ENTRIES.items():
        loaded = _load(name)
        if isinstance(loaded, str):
            rows.append(BackendInfo(name, entry.device, False, False, loaded))
            continue
        describe = getattr(loaded, "describe", None)
        detail = describe() if describe is not None else entry.description
        usable = getattr(loaded, "usable", None)
        fit = usable is None or usable()
        rows.append(BackendInfo(name, entry.device, fit, fit and name in active, detail))
    return rows
