"""The operations: noise, lesion bank, fresh lesions, pasting, blur, shuffle. Light to import (NumPy and torch only)."""

from __future__ import annotations

from . import library  # noqa: F401 registers the operators
from .bank import LesionBank
from .clouds import CloudInfo, paste_clouds
from .filters import gaussian_blur, local_shuffle
from .fresh import FreshLesions
from .masks import MaskIndex, index_masks
from .noise import perlin_noise
from .paste import PasteInfo, paste_lesions

__all__ = [
    "CloudInfo",
    "FreshLesions",
    "LesionBank",
    "MaskIndex",
    "PasteInfo",
    "gaussian_blur",
    "index_masks",
    "local_shuffle",
    "paste_clouds",
    "paste_lesions",
    "perlin_noise",
]
