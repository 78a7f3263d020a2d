"""Memory for fetched batches, used again once nobody holds the batch any more.

Fresh memory costs a page fault for every 4 KiB, which takes longer than filling it. A training loop drops each batch
before it asks for the next but one, so a few buffers serve a whole epoch.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import get_worker_info

_ALIGNMENT = 64


class BufferPool:
    """Hands out tensors over memory that it keeps, and the memory again when the tensor and all its views are gone.

    In a worker of a ``DataLoader`` tensors lie in shared memory instead: the process that gets them maps it, and
    nothing is copied on the way.

    Args:
        most: buffers kept. What is asked for beyond that is ordinary memory.
    """

    def __init__(self, most: int = 12) -> None:
        self.most = most
        self._kept: list[tuple[np.ndarray, weakref.ref[np.ndarray]]] = []  # memory, and the view that was handed out

    def __reduce__(self) -> tuple[type[BufferPool], tuple[int]]:
        return BufferPool, (self.most,)  # the memory stays in its process

    def tensor(self, shape: Sequence[int], dtype: type[np.generic]) -> torch.Tensor:
        """Return a contiguous tensor of any content, to be handed on."""
        if get_worker_info() is not None:
            return _shared(shape, dtype)
        return torch.from_numpy(self.array(shape, dtype))  # it keeps the array alive, and so do all views of it

    def array(self, shape: Sequence[int], dtype: type[np.generic]) -> np.ndarray:
        """Return a contiguous array of any content, for use inside this process."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        memory = self._free(size)
        if memory is None:
            memory = _aligned(size)
        view = memory.view(dtype).reshape(tuple(shape))
        if len(self._kept) < self.most:
            self._kept.append((memory, weakref.ref(view)))
        return view

    def _free(self, size: int) -> np.ndarray | None:
        """Take out memory of that size which nobody uses; taken out, no other thread can choose it as well."""
        # The latest first: it may still lie in a cache.
        for tries in range(len(self._kept) - 1, -1, -1):
            try:
                memory, view = self._kept.pop(tries)
            except IndexError:  # another thread has it
                return None
            unused = view() is None
            if unused and memory.nbytes == size:
                return memory
            if not unused or len(self._kept) < self.most - 1:
                self._kept.insert(tries, (memory, view))
        return None


def _aligned(size: int) -> np.ndarray:
    """Return bytes that begin at a cache line, in huge pages where NumPy gets them."""
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size]


def _shared(shape: Sequence[int], dtype: type[np.generic]) -> torch.Tensor:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]  # as torch's own collate does
    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    flat: torch.Tensor = torch.empty(0, dtype=kind, device="cpu").set_(storage)
    return flat.view(tuple(shape))
