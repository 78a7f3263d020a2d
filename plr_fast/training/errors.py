"""What can end a training run before its time, beside the errors of :mod:`plr_fast.errors`."""

from __future__ import annotations

from pathlib import Path

from ..errors import PlrFastError


class DivergenceError(PlrFastError, ArithmeticError):
    """The loss or a weight became NaN or infinite; the last good checkpoint is kept."""


class RankLostError(PlrFastError, RuntimeError):
    """Another process of a run on many devices has ended or does not answer; the last good checkpoint is kept."""


class TrainingInterrupted(KeyboardInterrupt):
    """A signal asked the run to end; its state is saved and it can be resumed.

    A ``KeyboardInterrupt``, so that a caller with more work to do (a second run) stops as well.

    Attributes:
        run: The run folder.
        signal: Number of the signal (2 for Ctrl-C, 15 for SIGTERM).
    """

    def __init__(self, run: Path, signal: int) -> None:
        super().__init__(f"training in {run} was interrupted; its state is saved, resume it with --resume")
        self.run = run
        self.signal = signal
