"""Where the arrays of a call live: the host's memory, or a CUDA device's, as torch tensors or CuPy arrays.

An operation asks the home of its arrays for the backend, for new arrays, and for whatever is said differently by NumPy,
torch and CuPy; so there is one text of it. Homes of devices give the caller's current stream to every launch, take
memory from the library's own allocator, and never wait for the device, but for ``download``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from ..backends import active_backend
from ..backends.cuda.memory import CupyMemory, TorchMemory, device_memory
from ..backends.registry import active_launcher
from ..backends.specs import Int64Array
from ..errors import BackendUnavailableError

if TYPE_CHECKING:
    from ..backends.cuda.arrays import Array
    from ..backends.cuda.launch import Launcher


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

    def wait(self) -> None:
        """Wait until everything on the caller's stream is done."""

    def recording(self) -> bool:
        """Tell whether the caller's stream is recorded for a CUDA graph: nothing may wait, nothing is done yet."""

    def overlap(self, first: Any, second: Any) -> bool:
        """Tell whether two arrays share memory; on devices, whether their address ranges do."""

    def same_memory(self, first: Any, second: Any) -> bool:
        """Tell whether two arrays begin at the same address."""


# NumPy takes microseconds to make up these names.
_NAMES = {np.dtype(name): name for name in ("uint8", "bool", "float32", "float16", "int32", "int64")}


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
        return np.empty(shape, dtype)

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

    def wait(self) -> None:
        pass

    def recording(self) -> bool:
        return False

    def overlap(self, first: np.ndarray, second: np.ndarray) -> bool:
        return np.shares_memory(first, second)

    def same_memory(self, first: np.ndarray, second: np.ndarray) -> bool:
        return first.ctypes.data == second.ctypes.data


class _DeviceHome(ABC):
    """What homes on CUDA devices share."""

    device: str
    on_host = False

    @abstractmethod
    def upload(self, array: np.ndarray) -> Any: ...

    def samples(self, ids: Any, batch: int) -> Any:
        """Describe ids: an array of the device by its address, evenly spaced ones of the host by first and step."""
        from ..backends.cuda.params import SampleIds

        if isinstance(ids, np.ndarray):
            if batch == 0:
                return SampleIds()
            first = int(ids[0])
            step = int(ids[1]) - first if batch > 1 else 1
            if -(2**62) < step < 2**62 and bool((ids[1:] - ids[:-1] == step).all()):
                return SampleIds(0, first, step)
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
        return torch.arange(count, dtype=torch.int64, device=self.torch_device) * step

    def cast(self, array: torch.Tensor, dtype: str) -> torch.Tensor:
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

        with self._chosen():
            stream = int(self._cupy.cuda.get_current_stream(self.index).ptr)
        return CudaBackend(Context(active_launcher(), self._memory, self.index, stream), self.describe)

    def _chosen(self) -> AbstractContextManager[Any]:
        device: AbstractContextManager[Any] = self._cupy.cuda.Device(self.index)
        return device

    def holds(self, value: object) -> bool:
        return isinstance(value, self._cupy.ndarray) and value.device.id == self.index

    def dtype(self, array: Any) -> str:
        return str(array.dtype.name)

    def contiguous(self, array: Any) -> Any:
        with self._chosen():
            return self._cupy.ascontiguousarray(array)

    def is_contiguous(self, array: Any) -> bool:
        return bool(array.flags.c_contiguous)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        with self._chosen(), device_memory(self.device):
            return self._cupy.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: str) -> Any:
        with self._chosen(), device_memory(self.device):
            return self._cupy.zeros(shape, dtype)

    def numbers(self, count: int, step: int) -> Any:
        with self._chosen():
            return self._cupy.arange(count, dtype="int64") * step

    def cast(self, array: Any, dtype: str) -> Any:
        with self._chosen():
            return array.astype(dtype)

    def upload(self, array: np.ndarray) -> Any:
        with self._chosen(), device_memory(self.device):
            return self._cupy.asarray(np.ascontiguousarray(array))

    def download(self, array: Any) -> np.ndarray:
        values: np.ndarray = self._cupy.asnumpy(array)
        return values

    def wait(self) -> None:
        if not self.recording():
            self._cupy.cuda.get_current_stream(self.index).synchronize()

    def recording(self) -> bool:
        return bool(self._cupy.cuda.get_current_stream(self.index).is_capturing())


HOST = HostHome()
# Homes by the device of tensors. Tests that run kernels on the host put another home in the place of the CPU's.
OF_TORCH: dict[torch.device, Home] = {torch.device("cpu"): HOST}
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
        return OF_TORCH[torch.device("cpu")]
    if type(device).__module__.partition(".")[0] == "cupy" and hasattr(device, "id"):
        return _cupy_home(int(device.id))
    try:
        wanted = torch.device(device)  # type: ignore[call-overload]
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{name} is not a device: {str(error).partition(chr(10))[0]}") from None
    if wanted.type == "cpu":
        wanted = torch.device("cpu")
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
