"""Parameters of kernels as the C++ sees them, for structures that several operations share.

Each class has the fields of the C++ structure of the same name, in the same order; a test compares offsets and sizes
with what the compiled module says. Arrays are passed as addresses.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

Pointer = ctypes.c_uint64  # c_void_p would turn null into None
I32, U32, I64, U64 = ctypes.c_int32, ctypes.c_uint32, ctypes.c_int64, ctypes.c_uint64
F32, F64 = ctypes.c_float, ctypes.c_double

MAX_OCTAVES = 24


class SampleIdsParams(ctypes.Structure):
    """``SampleIds`` of ``csrc/cuda/noise_setup.h``."""

    _fields_ = (("ids", Pointer), ("first", I64), ("step", I64))


class SampleIds(NamedTuple):
    """The ids of a batch's samples: int64 in the device's memory at ``pointer``, or first, first + step, ..."""

    pointer: int = 0
    first: int = 0
    step: int = 1
    owner: object = None  # of the memory

    def params(self) -> SampleIdsParams:
        return SampleIdsParams(self.pointer, self.first, self.step)


# By the name of the C++ structure, for the test of layouts; every module with structures adds its own.
STRUCTURES: dict[str, type[ctypes.Structure]] = {"SampleIds": SampleIdsParams}
