"""Homes on CUDA devices: torch tensors and CuPy arrays.

They give the caller's current stream to every launch, take memory from the library's own allocator, and never wait for
the device, but for ``download`` and ``wait``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..backends.cuda.memory import CupyMemory, TorchMemory, device_memory
from ..backends.registry import active_launcher

if TYPE_CHECKING:
    from ..backends.cuda.arrays import Array
    from ..backends.cuda.launch import Launcher


class _DeviceHome(ABC):
    """What homes on CUDA devices share."""

    device: str
    on_host = False

    @abstractmethod
    def upload(self, array: np.ndarray) -> Any: ...

    @abstractmethod
    def recording(self) -> bool: ...

    def chosen(self) -> AbstractContextManager[Any]:
        return nullcontext()  # torch's operators choose the device of their tensors themselves

    def samples(self, ids: Any, batch: int) -> Any:
        """Describe ids: an array of the device by its address, evenly spaced ones of the host by first and step.

        Raises:
            ValueError: they would have to be copied from the host while a CUDA graph is recorded.
        """
        from ..backends.cuda.params import SampleIds

        if isinstance(ids, np.ndarray):
            if batch == 0:
                return SampleIds()
            first = int(ids[0])
            step = int(ids[1]) - first if batch > 1 else 1
            if -(2**62) < step < 2**62 and bool((ids[1:] - ids[:-1] == step).all()):
                return SampleIds(0, first, step)
            if self.recording():  # a replay would copy whatever is in the host's memory by then
                raise ValueError(
                    "samples must be evenly spaced or an integer tensor on the device while a CUDA graph is recorded: "
                    f"a replay cannot copy them from the host; pass torch.tensor(ids, device='{self.device}')"
                )
            ids = self.upload(ids)
        described = self.describe(ids)
        return SampleIds(described.pointer, owner=ids)

    def describe(self, array: Any) -> Array:
        """Describe an array of the device, of any library: a bank of torch's may be pasted into CuPy's images."""
        from ..backends.cuda.arrays import from_cuda_array, from_torch

        return from_torch(array) if isinstance(array, torch.Tensor) else from_cuda_array(array)

    def has_rows(self, array: Any) -> bool:
        described = self.describe(array)
        return described.strides[-1] == described.itemsize or described.shape[-1] == 1

    def overlap(self, first: Any, second: Any) -> bool:
        (start, end), (other_start, other_end) = self._span(first), self._span(second)
        return start < other_end and other_start < end

    def same_memory(self, first: Any, second: Any) -> bool:
        return self.describe(first).pointer == self.describe(second).pointer

    def _span(self, array: Any) -> tuple[int, int]:
        """Return the addresses of an array's first byte and behind its last."""
        described = self.describe(array)
        if described.size == 0:
            return described.pointer, described.pointer
        reach = sum(step * (n - 1) for n, step in zip(described.shape, described.strides, strict=True))
        return described.pointer, described.pointer + reach + described.itemsize


class TorchHome(_DeviceHome):
    """Tensors of a CUDA device, memory of torch's caching allocator, torch's current stream."""

    def __init__(self, device: torch.device, launcher: Launcher | None = None) -> None:
        self.torch_device = device
        self.device = str(device)
        self._launcher = launcher  # None: the one in use
        self._memory = TorchMemory(device)

    def backend(self) -> Any:
        from ..backends.cuda.backend import CudaBackend
        from ..backends.cuda.launch import Context

        launcher = self._launcher or active_launcher()
        return CudaBackend(Context(launcher, self._memory, self.torch_device.index or 0, self._stream()), self.describe)

    def _stream(self) -> int:
        if self.torch_device.type != "cuda":  # memory of the host, for the host launcher
            return 0
        return int(torch.cuda.current_stream(self.torch_device).cuda_stream)

    def holds(self, value: object) -> bool:
        return isinstance(value, torch.Tensor) and value.device == self.torch_device

    def dtype(self, array: torch.Tensor) -> str:
        return str(array.dtype).removeprefix("torch.")

    def contiguous(self, array: torch.Tensor) -> torch.Tensor:
        with device_memory(self.device):
            return array.contiguous()

    def is_contiguous(self, array: torch.Tensor) -> bool:
        return array.is_contiguous()

    def empty(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        with device_memory(self.device):
            return torch.empty(shape, dtype=getattr(torch, dtype), device=self.torch_device)

    def zeros(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        with device_memory(self.device):
            return torch.zeros(shape, dtype=getattr(torch, dtype), device=self.torch_device)

    def numbers(self, count: int, step: int) -> torch.Tensor:
        with device_memory(self.device):
            return torch.arange(count, dtype=torch.int64, device=self.torch_device) * step

    def cast(self, array: torch.Tensor, dtype: str) -> torch.Tensor:
        with device_memory(self.device):
            return array.to(getattr(torch, dtype))

    def upload(self, array: np.ndarray) -> torch.Tensor:
        array = np.ascontiguousarray(array)
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())  # torch warns of read-only memory
        if self.torch_device.type == "cuda":
            tensor = tensor.pin_memory()  # only from pinned memory does the copy go on behind our back
        with device_memory(self.device):
            return tensor.to(self.torch_device, non_blocking=True, copy=True)

    def download(self, array: torch.Tensor) -> np.ndarray:
        return array.cpu().numpy()

    def wait(self) -> None:
        if self.torch_device.type == "cuda" and not self.recording():
            torch.cuda.current_stream(self.torch_device).synchronize()

    def wait_for_device(self) -> None:
        if self.torch_device.type == "cuda":
            torch.cuda.synchronize(self.torch_device)

    def recording(self) -> bool:
        return self.torch_device.type == "cuda" and torch.cuda.is_current_stream_capturing()


class CupyHome(_DeviceHome):
    """CuPy arrays of a CUDA device, memory of CuPy's pool, CuPy's current stream."""

    def __init__(self, index: int) -> None:
        import cupy

        self._cupy = cupy
        self.index = index
        self.device = f"cuda:{index}"
        self._memory = CupyMemory(index)

    def backend(self) -> Any:
        from ..backends.cuda.backend import CudaBackend
        from ..backends.cuda.launch import Context

        with self.chosen():
            stream = int(self._cupy.cuda.get_current_stream(self.index).ptr)
        return CudaBackend(Context(active_launcher(), self._memory, self.index, stream), self.describe)

    def chosen(self) -> AbstractContextManager[Any]:
        device: AbstractContextManager[Any] = self._cupy.cuda.Device(self.index)
        return device

    def holds(self, value: object) -> bool:
        return isinstance(value, self._cupy.ndarray) and value.device.id == self.index

    def dtype(self, array: Any) -> str:
        return str(array.dtype.name)

    def contiguous(self, array: Any) -> Any:
        with self.chosen(), device_memory(self.device):
            return self._cupy.ascontiguousarray(array)

    def is_contiguous(self, array: Any) -> bool:
        return bool(array.flags.c_contiguous)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        with self.chosen(), device_memory(self.device):
            return self._cupy.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: str) -> Any:
        with self.chosen(), device_memory(self.device):
            return self._cupy.zeros(shape, dtype)

    def numbers(self, count: int, step: int) -> Any:
        with self.chosen(), device_memory(self.device):
            return self._cupy.arange(count, dtype="int64") * step

    def cast(self, array: Any, dtype: str) -> Any:
        with self.chosen(), device_memory(self.device):
            return array.astype(dtype)

    def upload(self, array: np.ndarray) -> Any:
        with self.chosen(), device_memory(self.device):
            return self._cupy.asarray(np.ascontiguousarray(array))

    def download(self, array: Any) -> np.ndarray:
        values: np.ndarray = self._cupy.asnumpy(array)
        return values

    def wait(self) -> None:
        if not self.recording():
            self._cupy.cuda.get_current_stream(self.index).synchronize()

    def wait_for_device(self) -> None:
        self._cupy.cuda.Device(self.index).synchronize()

    def recording(self) -> bool:
        return bool(self._cupy.cuda.get_current_stream(self.index).is_capturing())
