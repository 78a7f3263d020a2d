"""Where a call's scratch memory comes from: the allocator of the library whose arrays the call was given.

Such allocators reuse memory in the order of the stream, so scratch may be dropped as soon as its launches are queued.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...errors import DeviceMemoryError

if TYPE_CHECKING:
    import torch

ALIGNMENT = 256  # bytes: of every piece, as cudaMalloc has it


class Memory(Protocol):
    """Gives memory of one device."""

    def empty(self, size: int) -> tuple[int, object]:
        """Return the address of ``size`` uninitialised bytes, aligned to 256, and the object that keeps them alive."""


class Pieces:
    """Adds up what a call needs, to get it in one allocation.

    >>> pieces = Pieces()
    >>> first, second = pieces.add(100), pieces.add(7)
    >>> pieces.size, second
    (512, 256)
    """

    def __init__(self) -> None:
        self.size = 0

    def add(self, size: int) -> int:
        """Return where a piece of ``size`` bytes begins."""
        start = self.size
        self.size += -(-size // ALIGNMENT) * ALIGNMENT
        return start

    def add_all(self, sizes: Iterable[int]) -> list[int]:
        """Return where each of these pieces begins."""
        return [self.add(size) for size in sizes]


class NumpyMemory:
    """Memory of the host, for the host launcher."""

    def empty(self, size: int) -> tuple[int, object]:
        # Filled, so that nothing works by the accident of zeroed pages.
        whole = np.full(size + ALIGNMENT, 0xA5, np.uint8)
        address = whole.ctypes.data
        return address + -address % ALIGNMENT, whole


class TorchMemory:
    """Memory of torch's caching allocator, on the current stream of a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def empty(self, size: int) -> tuple[int, object]:
        import torch

        with device_memory(str(self.device)):
            tensor = torch.empty(size, dtype=torch.uint8, device=self.device)
        return tensor.data_ptr(), tensor


class CupyMemory:
    """Memory of CuPy's pool of a device, on the current stream."""

    def __init__(self, index: int) -> None:
        self.index = index

    def empty(self, size: int) -> tuple[int, object]:
        import cupy

        with cupy.cuda.Device(self.index), device_memory(f"cuda:{self.index}"):
            block: Any = cupy.cuda.alloc(size)
        return int(block.ptr), block


class device_memory(AbstractContextManager[None]):  # noqa: N801  # reads as a function where it is used
    """Turns torch's and CuPy's out-of-memory errors into ours: the same sentence for both, theirs behind it."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if type(error).__name__ != "OutOfMemoryError":  # torch's and CuPy's bear the same name
            return
        theirs = " ".join(str(error).split())
        said = theirs[: theirs.find(" is free.") + 9] if " is free." in theirs else theirs  # torch says much more
        raise DeviceMemoryError(
            f"no memory on {self.device}: pass fewer images at a time, or an out that is used again. {said}"
        ) from error
