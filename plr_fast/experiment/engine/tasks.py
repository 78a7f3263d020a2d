"""What workers are given to do, and what they give back; all of it is pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..results import CellKey

if TYPE_CHECKING:
    from ...evaluation.thresholds import ThresholdRule
    from ...training import FinetuneConfig, PretrainConfig


@dataclass(frozen=True)
class EncoderTask:
    """An encoder that cells begin with: a pretraining, or a fine-tuning on other slices.

    Attributes:
        key: unique in the grid.
        kind: how it is trained.
        place: the name of the slices that it learns from.
        methods: whose cells begin with it.
        config: its settings; ``run`` is its folder.
        sha256: of all that its weights depend on.
        repeat: for the order of work.
        dataset: the data set whose training part it learns from, or None: slices that are no data set of the
            experiment.
        keep: whether its run stays when no cell needs it any more.
        size: height and width of the slices.
        samples: in an epoch of training, and of validation.
    """

    key: str
    kind: Literal["pretrain", "supervised"]
    place: str
    methods: tuple[str, ...]
    config: PretrainConfig | FinetuneConfig
    sha256: str
    repeat: int
    dataset: str | None
    keep: bool
    size: int
    samples: tuple[int, int]

    @property
    def label(self) -> str:
        """For people."""
        methods = ", ".join(self.methods)
        if self.kind == "supervised":
            return f"{self.place} · {methods} · supervised"
        return f"{self.place} · {methods} · pretraining · repeat {self.repeat}"

    @property
    def cost(self) -> float:
        """For the order of work and the time left; any unit, the same for all tasks."""
        # A U-Net's step is some three times as long as its encoder's.
        return _cost(self) * (3.0 if self.kind == "pretrain" else 1.0)

    def shared_with(self, method: str) -> EncoderTask:
        """The same for one more method."""
        return self if method in self.methods else replace(self, methods=(*self.methods, method))


@dataclass(frozen=True)
class CellTask:
    """A cell of the grid.

    Attributes:
        cell: where in the grid.
        store: with the repeat's splits.
        config: of its fine-tuning; of a control: what fraction and seeds are.
        control: no network, but this.
        needs: key of the :class:`EncoderTask` whose run ``config.init`` is.
        threshold: a number, or the rule that chooses it on the validation split.
        sha256: of all that its result depends on.
        settings: the same as plain facts, for the record.
        facts: what else its result tells.
    """

    cell: CellKey
    out: Path
    store: Path
    config: FinetuneConfig
    control: str | None
    needs: str | None
    threshold: float | ThresholdRule
    sha256: str
    settings: Mapping[str, Any]
    keep: bool
    size: int
    samples: tuple[int, int]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.cell.file_name

    @property
    def label(self) -> str:
        cell = self.cell
        return f"{cell.dataset} · {cell.method} · {cell.fraction:.0%} · repeat {cell.repeat}"

    @property
    def repeat(self) -> int:
        return self.cell.repeat

    @property
    def cost(self) -> float:
        return _cost(self) if self.control is None else 1.0

    @property
    def dataset(self) -> str | None:
        return self.cell.dataset


Task = EncoderTask | CellTask


def _cost(task: Task) -> float:
    train, val = task.samples
    return float(task.config.epochs * (3 * train + val) * task.size**2)


@dataclass(frozen=True)
class Done:
    """A task is done.

    Attributes:
        seconds: that it took now.
        note: its result in a few words.
    """

    seconds: float
    note: str


@dataclass(frozen=True)
class Failed:
    """A task has failed.

    Attributes:
        message: one line.
        trace: the traceback; empty for foreseen errors.
        fatal: whether all others must fail, too (no room on the disk).
    """

    message: str
    trace: str = ""
    fatal: bool = False


@dataclass(frozen=True)
class Stopped:
    """A signal has ended a task; what it had saved is there."""


@dataclass(frozen=True)
class Progress:
    """How far the running task is: ``share`` in 0..1, and a few words."""

    share: float
    note: str
