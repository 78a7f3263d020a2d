"""Settings as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def yaml_value(value: Any) -> str:
    """``value`` (plain, a Path, or a tuple of such) as YAML in one line."""
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, (tuple, list)):
        value = [str(item) if isinstance(item, Path) else item for item in value]
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("...\n").rstrip("\n")
