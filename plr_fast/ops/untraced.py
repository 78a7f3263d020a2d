"""The public operations for calls that torch.compile must leave alone: with NumPy arrays, or ``return_info``.

Importing this loads Dynamo, so only :mod:`plr_fast.ops.tracing` does, while Dynamo runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from .clouds import clouds
from .filters import blur, shuffle
from .noise import noise
from .paste import paste

_REASON = (
    "operations on NumPy arrays, and pasting with a MaskIndex, FreshLesions, lesion_mask or return_info, are not part "
    "of a graph: pass torch tensors"
)


def _outside(function: Callable[..., Any]) -> Callable[..., Any]:
    disable: Any = torch.compiler.disable
    shows_reason = "reason" in inspect.signature(disable).parameters  # torch 2.7 and newer
    disabled: Callable[..., Any] = disable(function, **({"reason": _REASON} if shows_reason else {}))
    return disabled


perlin_noise = _outside(noise)
paste_clouds = _outside(clouds)
paste_lesions = _outside(paste)
gaussian_blur = _outside(blur)
local_shuffle = _outside(shuffle)
