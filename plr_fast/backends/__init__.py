"""The backends behind the operations: native C++, Numba, and the float64 reference, all of one meaning."""

from __future__ import annotations

from .registry import BackendInfo, active_backend, active_name, backends, get_backend, use_backend
from .threads import get_num_threads, set_num_threads

__all__ = [
    "BackendInfo",
    "active_backend",
    "active_name",
    "backends",
    "get_backend",
    "get_num_threads",
    "set_num_threads",
    "use_backend",
]
