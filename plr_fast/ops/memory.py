"""Memory for results that nobody gave an ``out`` for.

Linux hands out fresh memory page by page, at the first touch. In pages of 4 KiB that takes about twice as long as
filling it, in huge pages of 2 MiB half as long. So large results ask for huge pages before they are written. They are
ordinary torch tensors otherwise, and nothing is kept when the last one is gone.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Sequence
from functools import cache

import torch

_LARGE = 4 * 2**20  # bytes; malloc gives smaller blocks again and again, and they hold few huge pages


def fresh(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Return an uninitialised tensor on the CPU, aligned to 64 bytes, in huge pages where the system grants them.

    Raises:
        MemoryError: there is not enough memory.
    """
    try:
        tensor = torch.empty(shape, dtype=dtype, device="cpu")
    except RuntimeError as error:  # torch's way of saying that memory is out
        raise MemoryError(f"no memory for a result of shape {tuple(shape)} and {dtype}: {error}") from None
    if tensor.nbytes >= _LARGE:
        _ask_for_huge_pages(tensor.data_ptr(), tensor.nbytes)
    return tensor


def _ask_for_huge_pages(address: int, size: int) -> None:
    """Advise the whole pages inside a block. It is advice: where it cannot be given or taken, nothing is lost."""
    advise = _madvise()
    if advise is None:
        return
    page = mmap.PAGESIZE
    start, end = -(-address // page) * page, (address + size) // page * page
    advise(start, end - start, mmap.MADV_HUGEPAGE)


@cache
def _madvise() -> Callable[[int, int, int], int] | None:
    """Return the C library's ``madvise``; None where there is none, or it knows no huge pages (not on Linux)."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    try:
        function = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    function.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    function.restype = ctypes.c_int
    return function
