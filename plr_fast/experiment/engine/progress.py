"""What an experiment shows while it runs: the whole, and each running task; plain lines where there is no terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ...console import console as default_console
from ..tally import duration
from .tasks import CellTask, Task


class Board:
    """Context that shows the progress of a grid.

    Args:
        total: cells of this call's part of the grid.
        done: those that are there already.
        console: where to; default the package's, on standard error.
    """

    def __init__(self, total: int, done: int, console: Console | None = None) -> None:
        self._console = console or default_console
        self._live = self._console.is_terminal
        self._total, self._done = total, done
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bars = Progress(*columns, console=self._console, disable=not self._live, refresh_per_second=4)
        self._rows: dict[str, TaskID] = {}
        self._left: float | None = None

    def __enter__(self) -> Board:
        self._bars.__enter__()
        self._whole = self._bars.add_task("cells", total=self._total, completed=self._done, note="")
        self._show_whole()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for row in self._rows.values():
            self._bars.remove_task(row)
        self._bars.__exit__(kind, error, trace)

    def begin(self, task: Task) -> None:
        self._rows[task.key] = self._bars.add_task(escape(f"  {task.label}"), total=1.0, note="")

    def progress(self, task: Task, share: float, note: str) -> None:
        if task.key in self._rows:
            self._bars.update(self._rows[task.key], completed=share, note=note)

    def finish(self, task: Task, note: str, seconds: float) -> None:
        self._remove(task)
        if isinstance(task, CellTask):
            self._done += 1
        self._show_whole()
        self._line(f"{self._done}/{self._total}  {task.label}: {note}, {seconds:.1f} s{self._left_text('; ')}")

    def fail(self, task: Task, message: str) -> None:
        self._remove(task)
        self._console.print(f"[red]failed:[/red] {escape(task.label)}: {escape(message)}", soft_wrap=True)

    def left(self, seconds: float | None) -> None:
        """Show the estimated time left."""
        self._left = seconds
        self._show_whole()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _line(self, text: str) -> None:
        if not self._live:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _show_whole(self) -> None:
        self._bars.update(
            self._whole, completed=self._done, note=f"{self._done} of {self._total}{self._left_text(', ')}"
        )

    def _left_text(self, before: str) -> str:
        return "" if self._left is None else f"{before}about {duration(self._left)} left"

    def _remove(self, task: Task) -> None:
        if task.key in self._rows:
            self._bars.remove_task(self._rows.pop(task.key))
