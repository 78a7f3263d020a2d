"""What the cells of an experiment come to together, in words: for the page, the model card and the checklists alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .results import CellResult


def time_spent(cells: Sequence[CellResult]) -> str:
    """How long ``cells`` took, without a full stop; an encoder that several begin with counts once."""
    encoders: dict[object, float] = {}
    for cell in cells:
        seconds = cell.facts.get("pretrain_seconds")
        if seconds:
            encoders[cell.facts.get("pretrain") or cell.facts.get("pretrain_run") or cell.key] = float(seconds)
    fitting = duration(sum(cell.seconds for cell in cells))
    text = f"Fitting and judging {counted(len(cells), 'classifier')} took {fitting}"
    if encoders:
        text += f", and {counted(len(encoders), 'pretraining')} {duration(sum(encoders.values()))}"
    return f"{text}, added up over workers"


def cell_warnings(cells: Sequence[CellResult]) -> list[str]:
    """What ``cells`` warned of, each thing once and in the order of the cells, with how many of them say it."""
    told: Counter[str] = Counter()
    for cell in cells:
        found = cell.facts.get("warnings", ())
        told.update(list(dict.fromkeys(map(str, found if isinstance(found, (list, tuple)) else [found]))))
    return [
        f"{text.rstrip('.')} ({count:,} of {counted(len(cells), 'result')})" if len(cells) > 1 else text
        for text, count in told.items()
    ]


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def counted(number: int, what: str) -> str:
    """``1 slice``, ``1,200 slices``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
