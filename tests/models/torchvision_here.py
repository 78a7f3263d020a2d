"""torchvision and timm for comparison, also where torchvision's compiled operations do not fit the installed torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch


def torchvision_models() -> ModuleType:
    """``torchvision.models``, or skip the test."""
    _import("torchvision")
    return _import("torchvision.models")


def real_timm() -> ModuleType:
    """``timm``, or skip the test."""
    _import("torchvision")
    return _import("timm")


def _import(name: str) -> ModuleType:
    """Import a library or skip.

    A torchvision without its compiled operations (built for another torch) fails at import, when it describes them to
    torch; these comparisons need none of them, so that their descriptions may be dropped.
    """
    real = torch.library.register_fake

    def tolerant(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, str) and operation.startswith("torchvision::") and not _exists(operation):
            return _unchanged
        return real(operation, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(torch.library, "register_fake", tolerant)
        module: ModuleType = pytest.importorskip(name, exc_type=ImportError)
        return module


def _exists(operation: str) -> bool:
    return hasattr(torch.ops.torchvision, operation.partition("::")[2])


def _unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function
