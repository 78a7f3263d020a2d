"""What an array is to a kernel: a pointer, a shape and strides, wherever it came from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

# Bytes of one element of the dtypes that kernels know.
ITEMSIZES = {
    "bool": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "uint32": 4, "float32": 4,
    "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip


class Array(NamedTuple):
    """Memory of a device (or of the host, for the host launcher) seen as an array; it keeps its owner alive."""

    pointer: int  # address of the first element, 0 if there is none
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes
    dtype: str  # a key of ITEMSIZES
    owner: object

    @property
    def itemsize(self) -> int:
        return ITEMSIZES[self.dtype]

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie one after the other in row-major order."""
        return not self.size or all(
            stride == wanted
            for n, stride, wanted in zip(self.shape, self.strides, packed(self.shape, self.itemsize), strict=True)
            if n > 1
        )


def packed(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Return the byte strides of a contiguous array."""
    strides: list[int] = []
    step = itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def from_numpy(array: np.ndarray, dtype: str = "") -> Array:
    """Describe an array of the host; ``dtype`` names what its elements stand for, such as "bfloat16" in uint16."""
    return Array(array.ctypes.data if array.size else 0, array.shape, array.strides, dtype or array.dtype.name, array)


def from_torch(tensor: torch.Tensor) -> Array:
    """Describe a tensor, on whatever device it is."""
    dtype, itemsize = str(tensor.dtype).removeprefix("torch."), tensor.itemsize
    strides = tuple(step * itemsize for step in tensor.stride())
    return Array(tensor.data_ptr(), tuple(tensor.shape), strides, dtype, tensor)


def from_cuda_array(value: Any) -> Array:
    """Describe an object with ``__cuda_array_interface__``, such as a CuPy array; its stream is not looked at."""
    interface: dict[str, Any] = value.__cuda_array_interface__
    dtype = np.dtype(interface["typestr"])
    shape = tuple(interface["shape"])
    strides = interface.get("strides") or packed(shape, dtype.itemsize)
    return Array(interface["data"][0], shape, tuple(strides), dtype.name, value)
