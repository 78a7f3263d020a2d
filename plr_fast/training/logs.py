"""What a run writes about itself: ``metrics.csv`` (one row for each epoch) and TensorBoard events."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from ..console import console
from ..files import write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

Row = Mapping[str, float | int | None]


def write_metrics(path: Path, history: Sequence[Row]) -> None:
    """Write ``history`` as CSV, atomically and as a whole: after a resumption no row is lost or doubled.

    Undefined values (the AUROC of a single class) are empty cells; floats are written so that they read back exactly.
    """
    text = io.StringIO()
    if history:
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    write_text(path, text.getvalue())


class EventLog:
    """TensorBoard events of a run; does nothing when ``enabled`` is False.

    The events are a view of what ``metrics.csv`` and the checkpoints hold: if they cannot be written, that is said
    once and training goes on.

    Args:
        folder: Where the events go.
        step: Steps done at the start; events beyond it, left by a run that was killed, are hidden.
    """

    def __init__(self, folder: Path, *, step: int, enabled: bool = True) -> None:
        self._writer: SummaryWriter | None = None
        if not enabled:
            return
        from torch.utils.tensorboard.writer import SummaryWriter

        try:
            self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        except OSError as error:
            self._give_up(error)

    def add(self, values: Row, step: int, prefix: str = "") -> None:
        """Log ``values`` at ``step``; those that are None are left out."""
        if self._writer is None:
            return
        try:
            for name, value in values.items():
                if value is not None:
                    self._writer.add_scalar(prefix + name, value, step)
        except OSError as error:
            self._give_up(error)

    def flush(self) -> None:
        self._call("flush")

    def close(self) -> None:
        self._call("close")
        self._writer = None

    def _call(self, method: str) -> None:
        if self._writer is not None:
            try:
                getattr(self._writer, method)()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._writer = None
        console.print(
            f"[yellow]TensorBoard events are no longer written: {escape(str(error))}. Training goes on.[/yellow]",
            soft_wrap=True,
        )
