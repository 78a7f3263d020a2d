"""Running an experiment: what is there, what is to be done, and the loop that has it done."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from ..console import console
from ..errors import ConfigError, DataError, ExperimentError, PlrFastError, StorageError
from ..files import write_json
from ..folder_lock import locked
from ..spelling import nearest
from .engine.grid import Grid, build_grid
from .engine.leaks import keep_leaks
from .engine.pool import Pool
from .engine.progress import Board
from .engine.schedule import Schedule, kinds_of
from .engine.stores import require_writable
from .engine.tasks import CellTask, Done, Failed, Progress, Stopped, Task
from .engine.train_cell import is_trained, same_settings
from .finish import finish
from .options import ExperimentOptions, devices_and_threads
from .planning.plan import Experiment
from .planning.plan_reader import load_experiment
from .results import CellResult, Results, read_cell, read_results, write_plan

FAILURES = "failures.json"
_SAVING = 60.0  # seconds that workers have to save after Ctrl-C


def run_experiment(options: ExperimentOptions) -> Results:
    """Do what is still to be done of an experiment, then make tables and report of all that is there.

    Returns:
        The results, also where cells are missing because of ``options.only``; of a dry run without cells, also where
        there are some.

    Raises:
        ConfigError, DataError, StoreError: something cannot work; nothing has been trained.
        ExperimentError: cells have failed (all others are done); the message names them.
        WorkerError: workers cannot be started.
        StorageError: the disk is full or not writable.
        KeyboardInterrupt: Ctrl-C; running trainings are saved, and the next call goes on.
    """
    options.check()
    experiment = load_experiment(options.config, options.places(), keep=options.keep, need_data=not options.report_only)
    _check_only(experiment, options.only)
    out = options.out or Path("experiments") / experiment.name
    if options.report_only:
        results = _retold(read_results(out), experiment)
        # No lock is taken: what is not of these results may be the newer work of an experiment that runs.
        finish(results, out, lesions=options.lesions, examples=options.examples, drop=False)
        return results
    devices, share = devices_and_threads(options.devices, options.jobs)
    threads = options.threads or share
    require_writable(out)
    with locked(out, f"another plr-fast experiment works in {out}: wait for it, or choose another --out"):
        grid = build_grid(experiment, out)
        done, pace = _look(grid, out)
        trained = [key for key, task in grid.encoders.items() if is_trained(task.config)]
        only = set(options.only) or None
        schedule = Schedule(grid, done, trained, only)
        for kinds, cost, seconds in pace:
            schedule.pace.add_known(kinds, cost, seconds)
        if options.dry_run:
            from .engine.dry_run import show

            show(experiment, grid, schedule, done, out, devices=devices, threads=threads)
            return Results(out, grid.plan, ())
        write_plan(out, grid.plan)
        keep_leaks(grid.cells, out)
        _sweep(grid, done)
        for sentence in experiment.left_out:
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        if schedule.waiting:
            _work(schedule, out, devices[: len(schedule.waiting)], threads)
        failures = _write_failures(schedule, out)
        results = read_results(out)
        try:
            finish(results, out, lesions=options.lesions, examples=options.examples)
        except PlrFastError as error:
            if not failures:
                raise
            # What failed first is what must be mended first.
            raise ExperimentError(f"{failures}\nand the report could not be made: {error}") from error
        if failures:
            raise ExperimentError(failures)
    return results


def _retold(results: Results, experiment: Experiment) -> Results:
    """``results`` with the title and the card that the file has now: neither changes a result."""
    plan = results.plan
    facts = {**plan.facts, "card": dict(experiment.card)}
    return replace(results, plan=replace(plan, title=experiment.title, facts=facts))


def _work(schedule: Schedule, out: Path, devices: Sequence[str], threads: int) -> None:
    """Have all tasks done that can be; raises ``KeyboardInterrupt`` once what is running was saved."""
    running: dict[str, float] = {}  # key -> share that is done
    fatal: Failed | None = None
    with Pool(devices, threads, out / "logs") as pool, Board(schedule.total, schedule.cells_done) as board:
        try:
            while not (schedule.over or (fatal is not None and not schedule.running)):
                for worker in pool.workers:
                    if worker.idle and fatal is None and (task := schedule.next()) is not None:
                        schedule.begin(task)
                        running[task.key] = 0.0
                        board.begin(task)
                        pool.give(worker, task)
                for _, task_, said in pool.answers(0.5):
                    if task_ is None:
                        continue
                    if isinstance(said, Progress):
                        running[task_.key] = said.share
                        board.progress(task_, said.share, said.note)
                        continue
                    running.pop(task_.key, None)
                    fatal = _note(schedule, board, task_, said) or fatal
                board.left(schedule.seconds_left(len(pool.workers), running))
        except KeyboardInterrupt:
            if running:
                board.say(f"saving {len(running)} running trainings; once more to quit at once")
                pool.stop(_SAVING)
            board.say(
                f"{schedule.cells_done} of {schedule.total} cells are done; the same command goes on where this one "
                "stopped"
            )
            raise


def _note(schedule: Schedule, board: Board, task: Task, said: Done | Failed | Stopped) -> Failed | None:
    """Take down what became of ``task``; returns the failure if all others must fail, too."""
    if isinstance(said, Stopped):
        said = Failed("it was stopped by a signal; it goes on at the next call")
    if isinstance(said, Failed):
        schedule.fail(task, said)
        board.fail(task, said.message)
        return said if said.fatal else None
    spent = schedule.finish(task, said.seconds)
    if spent is not None:
        shutil.rmtree(spent.config.run, ignore_errors=True)
    board.finish(task, said.note, said.seconds)
    return None


def _look(grid: Grid, out: Path) -> tuple[set[str], list[tuple[list[tuple[str, ...]], float, float]]]:
    """Keys of the cells that are there, and their kinds, costs and seconds; results of other settings step aside."""
    done: set[str] = set()
    known: list[tuple[list[tuple[str, ...]], float, float]] = []
    for task in grid.cells:
        cell = _standing(task, out)
        if cell is None and _come_back(out, task.key, task.sha256[:12]):
            cell = _standing(task, out)  # equal hashes do not tell of a default that has changed since
        if cell is not None:
            done.add(task.key)
            known.append((kinds_of(task), task.cost, cell.seconds))
            if task.needs is not None and "pretrain_seconds" in cell.facts:
                encoder = grid.encoders[task.needs]
                known.append((kinds_of(encoder), encoder.cost, float(cell.facts["pretrain_seconds"])))
    return done, known


def _standing(task: CellTask, out: Path) -> CellResult | None:
    """The result in ``cells`` if it is of the very settings of ``task``; what else is there steps aside."""
    try:
        cell = read_cell(out, task.cell)
    except DataError as error:
        console.print(f"{error}: done so now", markup=False, highlight=False, soft_wrap=True)
        _step_aside(out, task.key, "damaged")
        return None
    if cell is None:
        return None
    if cell.settings_sha256 == task.sha256 and same_settings(cell.facts.get("settings"), dict(task.settings)):
        return cell
    _step_aside(out, task.key, cell.settings_sha256[:12])
    return None


def _step_aside(out: Path, name: str, mark: str) -> None:
    """Move a cell's files to ``superseded``, from where they come back should the former settings do so."""
    (out / "superseded").mkdir(exist_ok=True)
    for suffix in (".json", ".csv"):  # the JSON first: without it there is no cell
        path = out / "cells" / f"{name}{suffix}"
        if path.exists():
            path.replace(out / "superseded" / f"{name}-{mark}{suffix}")


def _come_back(out: Path, name: str, mark: str) -> bool:
    former = out / "superseded" / f"{name}-{mark}.json"
    if not (former.is_file() and former.with_suffix(".csv").is_file()):
        return False
    for suffix in (".csv", ".json"):
        former.with_suffix(suffix).replace(out / "cells" / f"{name}{suffix}")
    return True


def _sweep(grid: Grid, done: Collection[str]) -> None:
    """Remove the runs that a kill has kept from being removed."""
    needed = {task.needs for task in grid.cells if task.key not in done}
    for task in grid.cells:
        if task.key in done and not task.keep:
            shutil.rmtree(task.config.run, ignore_errors=True)
    for key, encoder in grid.encoders.items():
        if key not in needed and not encoder.keep:
            shutil.rmtree(encoder.config.run, ignore_errors=True)


def _write_failures(schedule: Schedule, out: Path) -> str:
    """Write down what failed, and return it in a few lines; empty if nothing did."""
    path = out / FAILURES
    if not schedule.failed:
        path.unlink(missing_ok=True)
        return ""
    content = [
        {"task": key, "label": task.label, "message": failure.message, "traceback": failure.trace}
        for key, (task, failure) in schedule.failed.items()
    ]
    where = f" ({path} has everything)"
    try:
        write_json(path, content)
    except StorageError:
        where = ""  # no room; what is told now is then all there is
    rows = [f"  {task.label}: {failure.message}" for task, failure in schedule.failed.values()]
    more = f"\n  … and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"{len(rows)} tasks failed; the same command tries them again{where}:\n" + "\n".join(rows[:5]) + more


def _check_only(experiment: Experiment, only: Sequence[str]) -> None:
    names = [method.name for method in experiment.methods]
    for name in only:
        if name in names:
            continue
        for sentence in experiment.left_out:
            if sentence.startswith(f"The method {name} was left out: "):
                raise ConfigError(f"--only {name}: {sentence}")
        raise ConfigError(f"--only {name}: there is no such method{nearest(name, names)} ({', '.join(names)})")
