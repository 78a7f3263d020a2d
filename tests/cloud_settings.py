"""Settings of clouds that every home of arrays is tested with."""

from __future__ import annotations

from typing import Any

CLOUDS: list[dict[str, Any]] = [
    {},
    {"combine": "union", "threshold": 170, "softness": 0},
    {"combine": "intersection", "blend": "add", "alpha": (0.2, 1.0)},
    {"combine": "any", "threshold": (100, 220), "softness": 255},
    {"texture": 200, "alpha": 0.5},
    {"texture": 255, "blend": "add", "alpha": 1},
    {"cells": (2, 5.5), "octaves": 2, "persistence": 0.7, "lacunarity": 3, "texture": (0, 255)},
]
