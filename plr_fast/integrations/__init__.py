"""Adapters for other libraries; importing this package imports none of them.

A name brings its library along when it is first asked for. If that library is missing, a ``ModuleNotFoundError``
says which ``pip`` command installs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .anomalib import PerlinAnomalyGenerator
    from .batchgeneratorsv2 import PseudoLesionTransform
    from .monai import RandPseudoLesion, RandPseudoLesiond
    from .perlin_numpy import (
        generate_fractal_noise_2d,
        generate_fractal_noise_3d,
        generate_perlin_noise_2d,
        generate_perlin_noise_3d,
    )

__all__ = [
    "PerlinAnomalyGenerator",
    "PseudoLesionTransform",
    "RandPseudoLesion",
    "RandPseudoLesiond",
    "generate_fractal_noise_2d",
    "generate_fractal_noise_3d",
    "generate_perlin_noise_2d",
    "generate_perlin_noise_3d",
]

_MODULES = {
    "PerlinAnomalyGenerator": "anomalib",
    "PseudoLesionTransform": "batchgeneratorsv2",
    "RandPseudoLesion": "monai",
    "RandPseudoLesiond": "monai",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULES.get(name, 'perlin_numpy')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
