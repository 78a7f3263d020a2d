"""The reference backend: plain NumPy in float64, written to be read, the oracle of all tests.

Decisions (permutations, patches, places, windows) are integers and equal the other backends' exactly. Values are
computed by the textbook formula in float64 and rounded once at the end, so they differ from the other backends by
rounding errors (noise: below 1e-5).
"""

from __future__ import annotations

from .filters import blur, shuffle
from .fresh import fresh, fresh_table
from .grey import scale_grey
from .lesions import candidates, cover_patches, cut, pack_masks, paste
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
