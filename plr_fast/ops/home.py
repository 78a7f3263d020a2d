"""Where the arrays of a call live: what operations need of that place, and the host's memory.

An operation asks the home of its arrays for the backend, for new arrays, and for whatever is said differently by NumPy,
torch and CuPy; so there is one text of it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch

from ..backends import active_backend
from ..backends.specs import Int64Array


class Home(Protocol):
    """What operations need of the library and the device that their arrays come from."""

    device: str  # "cpu", "cuda:0", ...: for messages and comparisons
    on_host: bool

    def backend(self) -> Any:
        """Return what runs operations on such arrays: a backend, with the caller's stream where there is one."""

    def holds(self, value: object) -> bool:
        """Tell whether an array lives here."""

    def dtype(self, array: Any) -> str:
        """Return the name of an array's dtype."""

    def contiguous(self, array: Any) -> Any:
        """Return the array itself, or a copy in row-major order."""

    def is_contiguous(self, array: Any) -> bool:
        """Tell whether the array's elements lie in row-major order without gaps."""

    def has_rows(self, array: Any) -> bool:
        """Tell whether the elements of each row (along the last axis) lie one after the other."""

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Return a new uninitialised array.

        Raises:
            MemoryError: there is no memory for it.
        """

    def zeros(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Return a new array of zeros."""

    def numbers(self, count: int, step: int) -> Any:
        """Return 0, step, 2 * step, ..., int64."""

    def cast(self, array: Any, dtype: str) -> Any:
        """Return the values as another dtype."""

    def upload(self, array: np.ndarray) -> Any:
        """Return a copy of an array of the host."""

    def download(self, array: Any) -> np.ndarray:
        """Return the values on the host; waits for them."""

    def samples(self, ids: Any, batch: int) -> Any:
        """Return the ids of samples as the backend takes them, from int64 on the host or an array of this home."""

    def chosen(self) -> AbstractContextManager[Any]:
        """Return what lets the library's own operators run on the device of its arrays, whichever is current."""

    def wait(self) -> None:
        """Wait until everything on the caller's stream is done."""

    def wait_for_device(self) -> None:
        """Wait until everything on all streams of the device is done."""

    def recording(self) -> bool:
        """Tell whether the caller's stream is recorded for a CUDA graph: nothing may wait, nothing is done yet."""

    def overlap(self, first: Any, second: Any) -> bool:
        """Tell whether two arrays share memory; on devices, whether their address ranges do."""

    def same_memory(self, first: Any, second: Any) -> bool:
        """Tell whether two arrays begin at the same address."""


# NumPy takes microseconds to make up these names, and some time to understand them.
_DTYPES = {name: np.dtype(name) for name in ("uint8", "bool", "float32", "float16", "int32", "int64")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class HostHome:
    """NumPy arrays, and torch tensors of the CPU seen as such."""

    device = "cpu"
    on_host = True

    def backend(self) -> Any:
        return active_backend()

    def holds(self, value: object) -> bool:
        return isinstance(value, np.ndarray) or (isinstance(value, torch.Tensor) and value.is_cpu)

    def dtype(self, array: np.ndarray) -> str:
        return _NAMES.get(array.dtype) or array.dtype.name

    def contiguous(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array)

    def is_contiguous(self, array: np.ndarray) -> bool:
        return array.flags.c_contiguous

    def has_rows(self, array: np.ndarray) -> bool:
        return array.strides[-1] == array.itemsize or array.shape[-1] == 1

    def empty(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        return np.empty(shape, _DTYPES.get(dtype, dtype))

    def zeros(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        return np.zeros(shape, dtype)

    def numbers(self, count: int, step: int) -> np.ndarray:
        return np.arange(count, dtype=np.int64) * step

    def cast(self, array: np.ndarray, dtype: str) -> np.ndarray:
        return array.astype(dtype)

    def upload(self, array: np.ndarray) -> np.ndarray:
        return array

    def download(self, array: np.ndarray) -> np.ndarray:
        return array

    def samples(self, ids: Int64Array, batch: int) -> Int64Array:  # noqa: ARG002
        return ids

    def chosen(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def wait(self) -> None:
        pass

    def wait_for_device(self) -> None:
        pass

    def recording(self) -> bool:
        return False

    def overlap(self, first: np.ndarray, second: np.ndarray) -> bool:
        return np.shares_memory(first, second)

    def same_memory(self, first: np.ndarray, second: np.ndarray) -> bool:
        return first.ctypes.data == second.ctypes.data


HOST = HostHome()
