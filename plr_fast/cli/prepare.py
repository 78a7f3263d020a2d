"""``plr-fast prepare``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from ..data.prepare import PrepareConfig, prepare
from .options import read_with_config


def main(arguments: Sequence[str]) -> int:
    report = prepare(read_with_config(PrepareConfig, "prepare", arguments))
    console = Console()
    console.print(report.table())
    for line in report.lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0
