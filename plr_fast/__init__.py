"""plr_fast: pseudo lesions at the speed of memory, and the PLR recipe around them.

The operations import light; data, models and training live in their own subpackages.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .backends import BackendInfo, backends, get_num_threads, set_num_threads, use_backend
from .errors import (
    BackendFallbackWarning,
    BackendUnavailableError,
    CheckpointError,
    ConfigError,
    DataError,
    DeviceMemoryError,
    EmptyMaskWarning,
    ImageReadError,
    PlrFastError,
    StorageError,
    StoreError,
)

if TYPE_CHECKING:
    from .data.lungs.masks import lung_mask
    from .data.transform import PseudoLesionTransform
    from .ops import (
        CloudInfo,
        FreshLesions,
        LesionBank,
        MaskIndex,
        PasteInfo,
        gaussian_blur,
        index_masks,
        local_shuffle,
        paste_clouds,
        paste_lesions,
        perlin_noise,
    )

__all__ = [
    "BackendFallbackWarning",
    "BackendInfo",
    "BackendUnavailableError",
    "CheckpointError",
    "CloudInfo",
    "ConfigError",
    "DataError",
    "DeviceMemoryError",
    "EmptyMaskWarning",
    "FreshLesions",
    "ImageReadError",
    "LesionBank",
    "MaskIndex",
    "PasteInfo",
    "PlrFastError",
    "PseudoLesionTransform",
    "StorageError",
    "StoreError",
    "__version__",
    "backends",
    "gaussian_blur",
    "get_num_threads",
    "index_masks",
    "local_shuffle",
    "lung_mask",
    "paste_clouds",
    "paste_lesions",
    "perlin_noise",
    "set_num_threads",
    "use_backend",
]

# Loaded when first asked for: the operations bring torch along, lung masks also SciPy and scikit-image. So the command
# line answers at once, and can set what torch reads at its start.
_LAZY = {
    **dict.fromkeys(("CloudInfo", "FreshLesions", "LesionBank", "MaskIndex", "PasteInfo"), "plr_fast.ops"),
    **dict.fromkeys(("gaussian_blur", "index_masks", "local_shuffle"), "plr_fast.ops"),
    **dict.fromkeys(("paste_clouds", "paste_lesions", "perlin_noise"), "plr_fast.ops"),
    "PseudoLesionTransform": "plr_fast.data.transform",
    "lung_mask": "plr_fast.data.lungs.masks",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
