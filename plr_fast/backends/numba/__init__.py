"""The Numba backend: the CPU fallback where the compiled extension is missing, equal to it bit for bit.

Kernels are compiled on first use and cached on disk. They release the GIL, so batches are spread over Python threads;
Numba's own ``parallel=True`` is avoided, because its runtimes do not survive a fork.
"""

from __future__ import annotations

from .filters import blur, shuffle
from .fresh import fresh, fresh_table
from .grey import scale_grey
from .lesions import candidates, cover_patches, cut, paste
from .masks import pack_masks
from .noise import noise

__all__ = [
    "blur",
    "candidates",
    "cover_patches",
    "cut",
    "fresh",
    "fresh_table",
    "noise",
    "pack_masks",
    "paste",
    "scale_grey",
    "shuffle",
]
