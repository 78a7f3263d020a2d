"""Which task comes next, what has become of each, and how long the rest will take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from .grid import Grid, dependents
from .tasks import CellTask, EncoderTask, Failed, Task


class Schedule:
    """The work of one call.

    Repeats come one after the other, so that what is there at any time is complete repeats; within one, encoders
    before the cells that wait for them, and long tasks before short ones, so that workers end together.

    Args:
        grid: all of the experiment.
        done: keys of the cells that are there.
        trained: keys of the encoders that are there.
        only: names of the methods that this call is about; None: all.
    """

    def __init__(
        self, grid: Grid, done: Collection[str], trained: Collection[str], only: Collection[str] | None = None
    ) -> None:
        cells = [task for task in grid.cells if only is None or task.cell.method in only]
        self.total = len(cells)
        self.cells_done = sum(task.key in done for task in cells)
        open_cells = [task for task in cells if task.key not in done]
        needed = {task.needs for task in open_cells if task.needs is not None} - set(trained)
        encoders = [grid.encoders[key] for key in sorted(needed)]
        self.waiting: list[Task] = sorted([*encoders, *open_cells], key=_order)
        self.running: dict[str, Task] = {}
        self.failed: dict[str, tuple[Task, Failed]] = {}
        self.pace = Pace()
        self._there = set(trained)
        self._encoders, self._dependents = grid.encoders, dependents(grid)
        self._open = {task.key for task in grid.cells if task.key not in done}

    @property
    def over(self) -> bool:
        """Whether nothing is left that could be done."""
        return not self.running and self.next() is None

    def next(self) -> Task | None:
        """The task to begin with next, or None while all others wait for running ones."""
        return next((task for task in self.waiting if self._ready(task)), None)

    def begin(self, task: Task) -> None:
        self.waiting.remove(task)
        self.running[task.key] = task

    def finish(self, task: Task, seconds: float) -> EncoderTask | None:
        """Note that ``task`` is done; returns its encoder if that may go now: no cell of the whole grid waits for it,
        and it is not to be kept."""
        del self.running[task.key]
        self.pace.add(task, seconds)
        if isinstance(task, EncoderTask):
            self._there.add(task.key)
            return None
        self.cells_done += 1
        self._open.discard(task.key)
        if task.needs is None:
            return None
        encoder = self._encoders[task.needs]
        open_still = any(cell.key in self._open for cell in self._dependents[task.needs])
        return None if encoder.keep or open_still else encoder

    def fail(self, task: Task, failure: Failed) -> None:
        """Note a failure; cells that wait for this encoder fail with it."""
        self.running.pop(task.key, None)
        self.failed[task.key] = (task, failure)
        for other in list(self.waiting):
            if isinstance(other, CellTask) and other.needs == task.key:
                self.waiting.remove(other)
                self.failed[other.key] = (other, Failed(f"not begun, because {task.label} failed"))

    def seconds_left(self, workers: int, shares: dict[str, float]) -> float | None:
        """Estimated time left, or None while nothing is known; ``shares`` are those done of the running tasks."""
        open_tasks = [(task, 1.0) for task in self.waiting]
        open_tasks += [(task, 1.0 - shares.get(key, 0.0)) for key, task in self.running.items()]
        estimates = [(self.pace.seconds(task), share) for task, share in open_tasks]
        if any(seconds is None for seconds, _ in estimates):
            return None
        times = [seconds * share for seconds, share in estimates if seconds is not None]
        return max(sum(times) / workers, max(times, default=0.0))

    def _ready(self, task: Task) -> bool:
        return isinstance(task, EncoderTask) or task.needs is None or task.needs in self._there


class Pace:
    """Seconds of tasks by their cost, learnt from those that are done: like from like, else from the rest."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])

    def add(self, task: Task, seconds: float) -> None:
        self.add_known(kinds_of(task), task.cost, seconds)

    def add_known(self, kinds: Iterable[tuple[str, ...]], cost: float, seconds: float) -> None:
        for kind in kinds:
            entry = self._sums[kind]
            entry[0] += seconds
            entry[1] += cost

    def seconds(self, task: Task) -> float | None:
        """Estimated time of ``task`` from its start to its end; None where nothing like it was done."""
        for kind in kinds_of(task):
            if kind in self._sums:
                seconds, cost = self._sums[kind]
                return task.cost * seconds / cost if cost else 0.0
        return None


def kinds_of(task: Task) -> list[tuple[str, ...]]:
    """What tasks may be compared with it, the most like first."""
    if isinstance(task, EncoderTask):
        return [(task.kind, task.place), (task.kind,), ("network",)]
    cell = task.cell
    if task.control is not None:
        return [("control", task.control), ("control",)]
    fraction = f"{cell.fraction:g}"
    return [
        ("cell", cell.dataset, cell.method, fraction),
        ("cell", cell.dataset, fraction),
        ("cell", cell.dataset),
        ("cell",),
        ("network",),
    ]


def _order(task: Task) -> tuple[int, int, float, str]:
    return (task.repeat, 0 if isinstance(task, EncoderTask) else 1, -task.cost, task.key)
