"""plr_fast: pseudo lesions at the speed of memory, and the PLR recipe around them.

The operations import light; data, models and training live in their own subpackages.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .backends import BackendInfo, backends, get_num_threads, set_num_threads, use_backend
from .errors import (
    BackendUnavailableError,
    CheckpointError,
    ConfigError,
    DataError,
    EmptyMaskWarning,
    ImageReadError,
    PlrFastError,
    StorageError,
    StoreError,
)
from .ops import LesionBank, PasteInfo, gaussian_blur, local_shuffle, paste_lesions, perlin_noise

if TYPE_CHECKING:
    from .data.lungs import lung_mask

__all__ = [
    "BackendInfo",
    "BackendUnavailableError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "EmptyMaskWarning",
    "ImageReadError",
    "LesionBank",
    "PasteInfo",
    "PlrFastError",
    "StorageError",
    "StoreError",
    "__version__",
    "backends",
    "gaussian_blur",
    "get_num_threads",
    "local_shuffle",
    "lung_mask",
    "paste_lesions",
    "perlin_noise",
    "set_num_threads",
    "use_backend",
]

# Names whose modules need SciPy or scikit-image: loaded when first asked for.
_LAZY = {"lung_mask": "plr_fast.data.lungs"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
