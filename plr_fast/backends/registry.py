"""Which backends exist, which can run here and why not, and which one is in use."""

from __future__ import annotations

import importlib
import os
import warnings
from dataclasses import dataclass
from functools import cache
from typing import cast

from ..errors import BackendFallbackWarning, BackendUnavailableError
from .specs import Backend

ENVIRONMENT_VARIABLE = "PLR_FAST_BACKEND"


@dataclass(frozen=True)
class BackendInfo:
    """One row of :func:`backends`."""

    name: str
    device: str  # "cpu"
    available: bool
    active: bool
    detail: str  # what it is if available, else why it is not and how to mend that


@dataclass(frozen=True)
class _Entry:
    module: str
    description: str
    mend: str
    automatic: bool  # may be chosen without being asked for


# In order of preference.
_ENTRIES = {
    "native": _Entry(
        "plr_fast.backends.native",
        "compiled C++",
        "reinstall plr_fast on a machine with a C++17 compiler (PLR_FAST_NATIVE=1 shows what fails)",
        automatic=True,
    ),
    "numba": _Entry("plr_fast.backends.numba", "compiled by Numba on first use", "pip install numba", automatic=True),
    "reference": _Entry("plr_fast.backends.reference", "float64 NumPy, slow, for checks", "", automatic=False),
}


@dataclass
class _Choice:
    """What was asked for, and what that came to when an operation first ran. A new choice is a new object."""

    asked_for: str | None = None  # None: the environment decides
    name: str = ""
    backend: Backend | None = None


_choice = _Choice()


@cache
def _load(name: str) -> Backend | str:
    """Return the backend's module, or the reason why it cannot be loaded."""
    try:
        return cast(Backend, importlib.import_module(_ENTRIES[name].module))
    except Exception as error:  # whatever keeps a backend from loading must not keep the others from working
        return f"{error}; {_ENTRIES[name].mend}"


def get_backend(name: str) -> Backend:
    """Return the backend of that name.

    Raises:
        ValueError: no backend has that name.
        BackendUnavailableError: it cannot run here; the message says why and how to mend it.
    """
    if name not in _ENTRIES:
        raise ValueError(f"unknown backend {name!r}; choose one of {', '.join(_ENTRIES)} or 'auto'")
    loaded = _load(name)
    if isinstance(loaded, str):
        raise BackendUnavailableError(f"backend {name!r} is not available: {loaded}")
    return loaded


def active_name() -> str:
    """Return the name of the backend in use: the one chosen, else ``PLR_FAST_BACKEND``, else the first that runs."""
    if _choice.backend is not None:
        return _choice.name
    name = _asked_for()
    if name != "auto":
        try:
            get_backend(name)
        except ValueError as error:
            raise ValueError(f"{ENVIRONMENT_VARIABLE}: {error}") from None
        return name
    for candidate, entry in _ENTRIES.items():
        if entry.automatic and not isinstance(_load(candidate), str):
            return candidate
    reasons = "; ".join(f"{n}: {_load(n)}" for n, entry in _ENTRIES.items() if entry.automatic)
    raise BackendUnavailableError(f"no backend can run here ({reasons})")


def active_backend() -> Backend:
    """Return the backend in use. Says once per process if that is a fallback nobody asked for.

    The environment is read at the first call and after each :func:`use_backend`, not at every call.
    """
    return _choice.backend or _settle(_choice)


def _settle(choice: _Choice) -> Backend:
    name = active_name()
    if name == "numba" and _asked_for() == "auto":
        _say_fallback()
    choice.name, choice.backend = name, get_backend(name)
    return choice.backend


def _asked_for() -> str:
    return _choice.asked_for or os.environ.get(ENVIRONMENT_VARIABLE, "").strip().lower() or "auto"


@cache
def _say_fallback() -> None:
    warnings.warn(
        f"plr_fast runs without its compiled extension ({_load('native')}). The Numba backend gives the same results, "
        f"more slowly; {ENVIRONMENT_VARIABLE}=numba or use_backend('numba') silences this.",
        BackendFallbackWarning,
        stacklevel=4,  # the operation
    )


def use_backend(name: str) -> None:
    """Use the backend ``name`` ("native", "numba", "reference") from now on, in this process; "auto" chooses again.

    The environment variable ``PLR_FAST_BACKEND`` does the same for a whole process; it is read when an operation first
    runs, and again after ``use_backend("auto")``. A backend that was asked for and cannot run is an error, never a
    silent second choice.

    Raises:
        ValueError: no backend has that name.
        BackendUnavailableError: it cannot run here.
    """
    global _choice
    if name != "auto":
        get_backend(name)
    _choice = _Choice(None if name == "auto" else name)


def backends() -> list[BackendInfo]:
    """Return all backends in order of preference: available or not and why, and which one is in use."""
    try:
        active = active_name()
    except (BackendUnavailableError, ValueError):
        active = ""
    rows = []
    for name, entry in _ENTRIES.items():
        loaded = _load(name)
        if isinstance(loaded, str):
            rows.append(BackendInfo(name, "cpu", False, False, loaded))
            continue
        describe = getattr(loaded, "describe", None)
        detail = describe() if describe is not None else entry.description
        rows.append(BackendInfo(name, "cpu", True, name == active, detail))
    return rows
