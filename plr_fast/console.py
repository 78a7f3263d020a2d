"""The terminal: one rich console for messages, one form of progress bar for all long work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Messages go to stderr, so that a command's stdout can be piped.
console = Console(stderr=True)


@contextmanager
def progress_bar(*, disable: bool = False) -> Iterator[Progress]:
    """Yield a rich ``Progress``; tasks may carry a ``note`` field (a short text behind the bar)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    # Into a file, a bar would leave nothing but empty lines.
    shown = console.is_terminal or console.is_jupyter
    with Progress(*columns, console=console, disable=disable or not shown) as progress:
        yield progress
