"""Which home an array or a device has, and why there is none for it."""

from __future__ import annotations

import numpy as np
import torch

from ..backends.registry import active_launcher
from ..errors import BackendUnavailableError
from .home import HOST, Home
from .home_devices import CupyHome, TorchHome

__all__ = ["HOST", "OF_TORCH", "Home", "home_of", "home_on", "missing_gpu", "require_gpu", "same_home"]

# Homes by the device of tensors. Tests that run kernels on the host put another home in the place of the CPU's.
_CPU = torch.device("cpu")
OF_TORCH: dict[torch.device, Home] = {_CPU: HOST}
_OF_CUPY: dict[int, Home] = {}


def home_of(value: object, name: str) -> Home:
    """Return where an array lives.

    Raises:
        TypeError: it is no array that operations take.
        ValueError: it is on a device that no backend serves.
        BackendUnavailableError: nothing here can run on its device.
    """
    if isinstance(value, np.ndarray):
        return HOST
    if isinstance(value, torch.Tensor):
        return OF_TORCH.get(value.device) or _torch_home(value.device, name)
    if type(value).__module__.partition(".")[0] == "cupy" and hasattr(value, "__cuda_array_interface__"):
        return _cupy_home(int(value.device.id))  # type: ignore[attr-defined]
    raise TypeError(f"{name} must be a torch tensor, a NumPy or a CuPy array, not {type(value).__name__}")


def home_on(device: object, name: str = "device") -> Home:
    """Return the home of tensors on a device: "cpu", "cuda", "cuda:1", a ``torch.device``, or None for the CPU.

    A ``cupy.cuda.Device`` means CuPy arrays there.

    Raises:
        ValueError: it is no device, or one that no backend serves.
        BackendUnavailableError: there is no such GPU, or nothing that can run on it.
    """
    if device is None:
        return OF_TORCH[_CPU]
    if type(device).__module__.partition(".")[0] == "cupy" and hasattr(device, "id"):
        return _cupy_home(int(device.id))
    try:
        wanted = torch.device(device)  # type: ignore[call-overload]
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{name} is not a device: {str(error).partition(chr(10))[0]}") from None
    if wanted.type == "cpu":
        wanted = _CPU
    if wanted.type == "cuda" and wanted.index is None:
        require_gpu()
        wanted = torch.device("cuda", torch.cuda.current_device())
    return OF_TORCH.get(wanted) or _torch_home(wanted, name)


def _torch_home(device: torch.device, name: str) -> Home:
    if device.type != "cuda":
        raise ValueError(f"{name} is on {device}, but the operations run on the CPU and on CUDA devices alone")
    require_gpu()
    if device.index >= torch.cuda.device_count():
        raise BackendUnavailableError(
            f"{name} is {device}, but torch sees {torch.cuda.device_count()} GPU(s) here, counted from cuda:0"
        )
    active_launcher()  # says now if nothing can launch kernels
    home = OF_TORCH[device] = TorchHome(device)
    return home


def _cupy_home(index: int) -> Home:
    if index not in _OF_CUPY:
        active_launcher()  # says now if nothing can launch kernels
        _OF_CUPY[index] = CupyHome(index)
    return _OF_CUPY[index]


def require_gpu() -> None:
    """Refuse CUDA devices where torch can use none.

    Raises:
        BackendUnavailableError: the message says why, and how to mend it.
    """
    why = missing_gpu()
    if why is not None:
        raise BackendUnavailableError(f"no CUDA device can be used: {why}")


def missing_gpu() -> str | None:
    """Return why torch can use no GPU here, None if it can."""
    if torch.version.cuda is None:
        return "this torch is a CPU build; install one with CUDA (see pytorch.org)"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:  # no driver, a driver too old, no device
        return f"torch for CUDA {torch.version.cuda} says: {' '.join(str(error).split())}"
    return None


def same_home(home: Home, value: object, name: str, others: str = "images") -> None:
    """Refuse an array that lives elsewhere than the others of its call.

    Raises:
        TypeError: it is no array, or not of the library of the others.
        ValueError: it is on another device; the message names both.
    """
    theirs = home_of(value, name)
    if theirs is home:
        return
    if theirs.device == home.device:
        raise TypeError(f"{name} and {others} are on {home.device}, but of different libraries: convert one of them")
    raise ValueError(f"{name} is on {theirs.device}, but {others} on {home.device}: move one of them")
