"""What a run shows on the terminal: bars, a line for each epoch, and what to do after a stop. Silent where told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.markup import escape
from rich.progress import TaskID

from ..console import console, progress_bar
from .watch import Watcher, current_watcher


class Display:
    """Context that shows the bars of one run.

    Args:
        kind: Name of the task.
        run: The run's folder.
        epochs: Epochs asked for.
        enabled: False for a silent run, and on all ranks but the first.
    """

    def __init__(self, kind: str, run: Path, *, epochs: int, enabled: bool) -> None:
        self.kind, self.run, self.enabled = kind, run, enabled
        self._context = progress_bar(disable=not enabled)
        self._epochs = epochs
        self._watcher: Watcher | None = current_watcher()
        self._epochs_done, self._steps, self._steps_done = 0, 0, 0  # steps of the current epoch's training

    def __enter__(self) -> Display:
        self._bars = self._context.__enter__()
        self._overall = self._bars.add_task(self.kind, total=self._epochs, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, trace)

    def training_bar(self, epoch: int, total: int, completed: int = 0) -> TaskID:
        self._steps, self._steps_done = total, completed
        self._tell()
        return self.bar(f"epoch {epoch}", total, completed)

    def training_step(self, bar: TaskID) -> None:
        self.advance(bar)
        self._steps_done += 1
        self._tell()

    def bar(self, description: str, total: int, completed: int = 0) -> TaskID:
        return self._bars.add_task(description, total=total, completed=completed, note="")

    def advance(self, bar: TaskID) -> None:
        self._bars.update(bar, advance=1)

    def note(self, bar: TaskID, note: str) -> None:
        self._bars.update(bar, note=note)

    def remove(self, bar: TaskID) -> None:
        self._bars.remove_task(bar)

    def started(self, *, samples: int, validation: int, device: str) -> None:
        self._say(f"{self._where}: {samples} training and {validation} validation samples, on {device}")

    def nothing_to_resume(self) -> None:
        self._say(f"{self._where}: nothing to resume there, starting from the beginning")

    def resumed(self, epoch: int, step: int) -> None:
        self._say(f"{self._where}: resumed after {epoch} epochs, {step} steps")
        self._bars.update(self._overall, completed=epoch)
        self._epochs_done = epoch

    def other_split(self, former: str) -> None:
        self._say(
            f"{self._where}: until now a step was split into {former}; batch norm takes its statistics from each part, "
            "so the weights will differ a little from those of a run that was never split otherwise"
        )

    def signal(self, number: int) -> None:
        # Runs in a signal handler, where writing through Python's buffered streams may find them in use.
        if self.enabled:
            os.write(2, f"\nSignal {number}: finishing this step and saving. Once more to quit at once.\n".encode())

    def saved_for_resume(self) -> None:
        # Said even by a silent run: the user who pressed Ctrl-C wants to know.
        console.print(
            f"{self._where}: interrupted and saved. Continue with the same command and --resume.", soft_wrap=True
        )

    def epoch(self, row: Mapping[str, Any], *, best: int) -> None:
        self._bars.update(self._overall, completed=row["epoch"], note=f"best epoch {best}")
        self._epochs_done, self._steps_done = row["epoch"], 0
        self._tell()
        shown = [(name, value) for name, value in row.items() if name.startswith(("train_", "val_"))]
        text = ", ".join(f"{name} {value:.4g}" for name, value in shown if value is not None)
        self._say(f"epoch {row['epoch']}: {text}, lr {row['lr']:.3g}{' (best so far)' if best == row['epoch'] else ''}")

    def finished(self, reason: str, best: int, name: str, value: float, seconds: float, data_share: float) -> None:
        self._say(
            f"{self._where}: {reason}; best epoch {best} with {name} {value:.5g}; {seconds:.1f} s, "
            f"{data_share:.1%} of the training time waiting for data"
        )

    def _tell(self) -> None:
        if self._watcher is not None:
            share = self._steps_done / self._steps if self._steps else 0.0
            self._watcher(self.kind, self._epochs_done + share, self._epochs)

    @property
    def _where(self) -> str:
        return f"{self.kind} in {escape(str(self.run))}"

    def _say(self, text: str) -> None:
        if self.enabled:
            # No highlighting: a line of numbers in changing colours is hard to read.
            console.print(text, highlight=False, soft_wrap=True)
