"""What an experiment would do: the grid, what of it is there, and the time and room that the rest will take."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..planning.plan import Experiment
from ..tally import duration
from .estimate import Stopwatch
from .grid import Grid
from .schedule import Schedule
from .tasks import CellTask, EncoderTask, Task

_COPIES = 7  # of the weights while a run saves: last twice with two averages of the optimiser each, and best


def show(
    experiment: Experiment,
    grid: Grid,
    schedule: Schedule,
    done: Collection[str],
    out: Path,
    *,
    devices: Sequence[str],
    threads: int,
    console: Console | None = None,
) -> None:
    """Print it; trains some steps of each network to know its speed where no finished cell tells it."""
    console = console or Console()
    for dataset in experiment.datasets:
        console.print(_table(grid, dataset.name, done))
    encoders = [task for task in schedule.waiting if isinstance(task, EncoderTask)]
    cells = [task for task in schedule.waiting if isinstance(task, CellTask)]
    controls = sum(task.control is not None for task in cells)
    rows = [
        f"to do: {len(cells)} of {len(grid.cells)} cells ({controls} of them without a network), and {len(encoders)} "
        "encoders before them"
    ]
    rows += list(experiment.left_out)
    if schedule.waiting:
        watch = Stopwatch(threads, devices[0])
        known = [schedule.pace.seconds(task) for task in schedule.waiting]
        times = [
            found if found is not None else watch.seconds(task)
            for found, task in zip(known, schedule.waiting, strict=True)
        ]
        rows.append(_time_row(schedule.waiting, times, known, watch, len(devices), threads, devices[0]))
        rows.append(_disk_row(schedule.waiting, watch, len(devices), out))
    rows.append(f"folder: {out}")
    for row in rows:
        console.print(row, markup=False, highlight=False, soft_wrap=True)


def _table(grid: Grid, dataset: str, done: Collection[str]) -> Table:
    info = next(entry for entry in grid.plan.datasets if entry.name == dataset)
    cells = [task for task in grid.cells if task.cell.dataset == dataset]
    fractions = sorted({task.cell.fraction for task in cells}, reverse=True)
    title = (
        f"{escape(dataset)}: {info.slices:,} slices of {grid.sizes[dataset]}×{grid.sizes[dataset]}, "
        f"{info.groups:,} groups ({info.unit}), split by {info.split_by}; repeats done / all"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    table.add_column("kind")
    for fraction in fractions:
        slices = [int(task.facts["train_slices"]) for task in cells if task.cell.fraction == fraction]
        table.add_column(f"{fraction:.0%} ({_span(slices)} slices)", justify="right")
    for method in grid.plan.methods:
        entries = []
        for fraction in fractions:
            found = [task for task in cells if task.cell.method == method.name and task.cell.fraction == fraction]
            entries.append(f"{sum(task.key in done for task in found)} / {len(found)}" if found else "")
        if any(entries):
            table.add_row(escape(method.name), method.kind, *entries)
    return table


def _time_row(
    tasks: Sequence[Task],
    times: Sequence[float],
    known: Sequence[float | None],
    watch: Stopwatch,
    workers: int,
    threads: int,
    device: str,
) -> str:
    training = sum(time for task, time in zip(tasks, times, strict=True) if isinstance(task, EncoderTask))
    whole = max(sum(times) / workers, max(times))
    how = []
    if any(found is not None for found in known):
        how.append("times of finished tasks")
    if watch.kinds:
        how.append(f"a few steps of {watch.kinds} networks, timed now (loading, saving and early stops left out)")
    return (
        f"estimated time: {duration(whole)} with {workers} workers of {threads} threads on {device} (encoders "
        f"{duration(training / workers)}, cells {duration((sum(times) - training) / workers)}), from "
        f"{' and '.join(how) or 'what controls usually take'}"
    )


def _disk_row(tasks: Sequence[Task], watch: Stopwatch, workers: int, out: Path) -> str:
    """Of what is still to be trained; networks of finished tasks have their room already."""
    networks = [task for task in tasks if isinstance(task, EncoderTask) or task.control is None]
    sizes = {task.key: watch.speed(task).size for task in _first_of_each_kind(networks)}
    largest = max(sizes.values(), default=0)
    kept = sum(largest for task in networks if task.keep)
    between = sum(largest for task in networks if isinstance(task, EncoderTask) and not task.keep)
    count = sum(task.keep for task in networks)
    return (
        f"more room on the disk of {out}: at most {_bytes(kept)} for {count} networks that are kept, and "
        f"{_bytes(between + _COPIES * workers * largest)} in between"
    )


def _first_of_each_kind(tasks: Iterable[Task]) -> list[Task]:
    found: dict[str, Task] = {}
    for task in tasks:
        settings = task.config.to_json()
        kind = repr((type(task.config), [settings.get(name) for name in ("encoder", "widths", "norm", "model")]))
        found.setdefault(kind, task)
    return list(found.values())


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _bytes(count: float) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"
