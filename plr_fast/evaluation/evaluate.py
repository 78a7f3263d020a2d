"""Evaluation from run folders to report: the order of things, and nothing else."""

from __future__ import annotations

import datetime
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..console import progress_bar
from ..errors import DataError
from ..files import storage_error, write_json, write_text
from . import draw, pictures
from .bootstrap import Comparison, GroupBootstrap, compare_classifiers
from .config import EvaluateConfig, EvaluationResult
from .corruptions import make_test_sets
from .facts import describe_store, environment
from .inference import choose_device, predict, restore
from .leaks import check_seen
from .metrics import FloatArray, IntArray, MetricValue, binary_metrics, confusion
from .records import RESTORATION_COLUMNS, check_folder, csv_text, predictions_csv, results_json
from .report import Findings, render
from .restoration import (
    Pictures,
    RestorationResult,
    RestorationScores,
    RestorationTestSet,
    choose_slices,
    middle,
    score_pictures,
    summarise,
)
from .restoration import rows as restoration_rows
from .thresholds import Threshold, choose_threshold
from .trained import TrainedRun, check_stores, open_runs, training_curve

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

    from ..data.store import SliceStore


def evaluate(config: EvaluateConfig) -> EvaluationResult:
    """Evaluate classifiers and restorers on one split and write a report.

    Writes into ``config.out``: ``report.html`` (self-contained), ``metrics.json``, ``figures/*.png``, and
    ``predictions.csv`` (with classifiers) and ``restoration.csv`` (with restorers). The results of an earlier
    evaluation there are replaced when everything is ready; a stop before leaves them as they were.

    Raises:
        ConfigError: a setting cannot work, or a run was trained on another store and that is not allowed.
        StoreError: the store is missing or damaged.
        DataError: the split has no slices that can be evaluated.
        CheckpointError: a run folder has no usable checkpoint, or its network gives NaN.
        StorageError: the results cannot be written.
    """
    from ..data.store import SliceStore

    started = time.perf_counter()
    config.check()
    check_folder(config.out)
    store = SliceStore.open(config.store)
    classifiers, restorers = open_runs(config.classifiers, config.restorers)
    warnings = check_stores([*classifiers, *restorers], store, allow_other=config.allow_other_store)
    device = choose_device(config.device)
    labelled = _labelled(store, config.split) if classifiers else np.empty(0, dtype=np.int64)
    negatives = _negatives(store, config) if restorers else np.empty(0, dtype=np.int64)
    warnings[:0] = [*check_seen(classifiers, store, labelled), *check_seen(restorers, store, negatives)]
    if config.split == "train":
        warnings.insert(0, "These are training slices: the results say nothing about new patients.")
    labels = store.labels[labelled].astype(np.int64)
    facts = describe_store(store)
    warnings += facts.warnings()

    with _staging(config.out) as folder, progress_bar() as progress:
        album = draw.Album(folder)
        scores = _predict_all(classifiers, store, labelled, config, device, progress)
        chosen = _thresholds(classifiers, store, config, device, progress)
        warnings += _by_chance(chosen)
        limits = {name: threshold.value for name, threshold in chosen.items()}
        points = {name: binary_metrics(labels, values, threshold=limits[name]) for name, values in scores.items()}
        confusions = {name: confusion(labels, values, threshold=limits[name]) for name, values in scores.items()}
        bootstrap, comparison = None, Comparison({}, {})
        if scores:
            bootstrap = GroupBootstrap(store.groups[labelled], labels, resamples=config.bootstrap, seed=config.seed)
            with _step(progress, "Resampling"):
                comparison = compare_classifiers(labels, scores, points, bootstrap, thresholds=limits)
            warnings += _undefined(points)
        restored = _Restorations([], [])
        if restorers:
            restored = _restore_all(restorers, store, negatives, config, device, album, progress)
            warnings += restored.warnings
        with _step(progress, "Figures"):
            if bootstrap is not None:
                draw.draw_performance(
                    album, labels, scores, comparison, confusions, bootstrap, store.class_names, limits
                )
                if config.examples:
                    errors = {
                        name: pictures.surest_errors(store, labelled, labels, values, limits[name], config.examples)
                        for name, values in scores.items()
                    }
                    draw.draw_errors(album, errors, store.class_names)
            for runs, kind in ((restorers, "restorer"), (classifiers, "classifier")):
                curves = [training_curve(run) for run in runs]
                draw.draw_training(album, [curve for curve in curves if curve is not None], kind=kind)
        findings = Findings(
            config=config,
            store=facts,
            environment=environment(device),
            created=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            classifiers=classifiers,
            restorers=restorers,
            comparison=comparison,
            bootstrap=bootstrap,
            thresholds=chosen,
            test_sets=restored.test_sets,
            restorations=restored.results,
            figures=album.entries,
            warnings=warnings,
        )
        with _step(progress, "Report"):
            if scores:
                write_text(folder / "predictions.csv", predictions_csv(store, labelled, scores, limits))
            if restorers:
                write_text(
                    folder / "restoration.csv", csv_text(RESTORATION_COLUMNS, restoration_rows(restored.results, store))
                )
            write_text(folder / "report.html", render(findings, folder))
            seconds = time.perf_counter() - started
            write_json(folder / "metrics.json", results_json(findings, confusions, seconds))

    return EvaluationResult(
        out=config.out,
        report=config.out / "report.html",
        metrics=points,
        confusions=confusions,
        thresholds=chosen,
        comparison=comparison,
        restorations=restored.results,
        figures=[config.out / entry.file for entry in album.entries],
        warnings=warnings,
        seconds=seconds,
    )


class _Restorations:
    """What came of the restorers."""

    def __init__(self, test_sets: list[RestorationTestSet], results: list[RestorationResult]) -> None:
        self.test_sets, self.results = test_sets, results
        self.warnings: list[str] = []


def _thresholds(
    runs: list[TrainedRun], store: SliceStore, config: EvaluateConfig, device: torch.device, progress: Progress
) -> dict[str, Threshold]:
    """The threshold of each classifier: the number that was given, or chosen on the validation split."""
    if not isinstance(config.threshold, str):
        return {run.name: Threshold(config.threshold) for run in runs}
    if not runs:
        return {}
    rule = config.threshold
    indices = _labelled(store, "val")
    labels = store.labels[indices].astype(np.int64)
    if len(np.unique(labels)) < 2:
        raise DataError(
            f"the validation split of {store.path} has slices of one class only, on which no threshold can be chosen "
            f"by {rule}; give --threshold a number"
        )
    scores = _predict_all(runs, store, indices, config, device, progress, what="Choosing the threshold")
    return {name: choose_threshold(labels, values, rule) for name, values in scores.items()}


def _predict_all(
    runs: list[TrainedRun],
    store: SliceStore,
    indices: IntArray,
    config: EvaluateConfig,
    device: torch.device,
    progress: Progress,
    *,
    what: str = "Classifying",
) -> dict[str, FloatArray]:
    scores = {}
    for run in runs:
        task = progress.add_task(f"{what}: {run.name}", total=len(indices), note="")
        scores[run.name] = predict(
            run.model(),
            store,
            indices,
            name=run.name,
            batch_size=config.batch_size,
            device=device,
            advance=_advance(progress, task),
        )
    return scores


def _restore_all(
    runs: list[TrainedRun],
    store: SliceStore,
    indices: IntArray,
    config: EvaluateConfig,
    device: torch.device,
    album: draw.Album,
    progress: Progress,
) -> _Restorations:
    """Score every restorer on its own test set (or on all), and draw the paper's figures 5, 8 and 10."""
    with _step(progress, "Corrupting the test slices"):
        test_sets, own = make_test_sets(runs, store, indices, seed=config.seed)
    by_name = {test_set.name: test_set for test_set in test_sets}
    outcome = _Restorations(test_sets, [])
    shown = pictures.choose_shown(store, store.select(config.split, 1), len(indices), config.examples)
    examples = {
        name: pictures.corrupted_examples(test_set, shown.positions)
        for name, test_set in by_name.items()
        if len(shown.positions)
    }
    context = max(int(run.setting("context", 0)) for run in runs)
    real = pictures.real_stacks(store, shown.real, context)
    bootstrap = GroupBootstrap(
        store.groups[indices], np.zeros(len(indices)), resamples=config.bootstrap, seed=config.seed
    )
    baselines: dict[str, RestorationScores] = {}
    for name, test_set in by_name.items():
        task = progress.add_task(f"Baseline: {name}", total=len(indices), note="")
        baselines[name] = score_pictures(test_set, batch_size=config.batch_size, advance=_advance(progress, task))

    shown_restored: dict[str, tuple[str, Pictures]] = {}
    shown_real: dict[str, Pictures] = {}
    for run in runs:
        model = run.model()

        def process(images: Pictures, model: torch.nn.Module = model, name: str = run.name) -> Pictures:
            return restore(model, images, name=name, device=device)

        for test_set in test_sets if config.cross_corruptions else [by_name[own[run.name]]]:
            task = progress.add_task(f"Restoring: {run.name} on {test_set.name}", total=len(indices), note="")
            scores = score_pictures(test_set, process, batch_size=config.batch_size, advance=_advance(progress, task))
            outcome.results.append(
                summarise(
                    run.name,
                    test_set,
                    own=test_set.name == own[run.name],
                    corrupted=baselines[test_set.name],
                    restored=scores,
                    bootstrap=bootstrap,
                )
            )
        if len(shown.positions):
            shown_restored[run.name] = (own[run.name], process(examples[own[run.name]][0]))
        if len(shown.real):
            shown_real[run.name] = process(real)

    with _step(progress, "Pictures of restorations"):
        perlin = next((test_set for test_set in test_sets if pictures.has_patches(test_set)), None)
        if perlin is not None and perlin.name in examples:
            noise, patches = pictures.noise_and_patches(perlin)
            draw.draw_generation(album, noise, patches, middle(examples[perlin.name][0])[0])
        if shown_restored:
            draw.draw_restorations(
                album, pictures.restored_rows(store, by_name, shown.positions, examples, shown_restored)
            )
        if shown_real:
            draw.draw_real(album, pictures.real_examples(store, shown.real, shown_real), store.class_names[1])
        elif config.examples:
            outcome.warnings.append(
                f"The {config.split} split has no {store.class_names[1]} slice with a usable lung mask: no picture of "
                "real lesions restored."
            )
    return outcome


def _labelled(store: SliceStore, split: str) -> IntArray:
    indices = np.sort(np.concatenate([store.select(split, 0), store.select(split, 1)]))
    if len(indices) == 0:
        raise DataError(
            f"the {split} split of {store.path} has no labelled slice, so classifiers cannot be judged on it; choose "
            f"another split (slices: {_split_sizes(store)})"
        )
    return indices


def _negatives(store: SliceStore, config: EvaluateConfig) -> IntArray:
    candidates = store.select(config.split, 0)
    chosen = choose_slices(store, candidates[store.mask_ok[candidates]], config.restoration_slices)
    if len(chosen) == 0:
        raise DataError(
            f"the {config.split} split of {store.path} has no {store.class_names[0]} slice with a usable lung mask "
            f"({len(candidates)} slices of that class), so restorers cannot be judged on it; choose another split or "
            "leave the restorers out"
        )
    return chosen


def _split_sizes(store: SliceStore) -> str:
    return ", ".join(f"{split} {len(store.select(split))}" for split in ("train", "val", "test"))


def _by_chance(chosen: dict[str, Threshold]) -> list[str]:
    """A warning for each threshold that is no better than calling all slices alike."""
    return [
        f"{name}: no threshold tells the classes apart on validation (the greatest {threshold.measure} there is "
        f"{threshold.reached:.3f}, as high as by calling all slices alike)."
        for name, threshold in chosen.items()
        if threshold.no_better_than_chance
    ]


def _undefined(points: dict[str, dict[str, MetricValue]]) -> list[str]:
    """One warning for each reason why metrics are undefined."""
    reasons: dict[str, list[str]] = {}
    for name, values in points.items():
        for key, value in values.items():
            if value.reason:
                reasons.setdefault(value.reason, []).append(f"{key} of {name}")
    return [f"Undefined, because {reason}: {', '.join(what)}." for reason, what in reasons.items()]


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """Yield a folder inside ``out`` to write to; move its files into place at the end, remove it in any case."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".evaluation-", dir=out))
    except OSError as error:
        raise storage_error(error, out) from error
    try:
        yield folder
        try:
            _remove_old(out)
            # metrics.json goes last: where it stands, all the rest of the same evaluation stands too.
            files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "metrics.json")
            for path in [*files, folder / "metrics.json"]:
                target = out / path.relative_to(folder)
                target.parent.mkdir(exist_ok=True)
                path.replace(target)
        except OSError as error:
            raise storage_error(error, out) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_old(out: Path) -> None:
    """Remove what an earlier evaluation left in ``out`` and this one may not replace: only files that it listed."""
    try:
        figures = [entry["file"] for entry in json.loads((out / "metrics.json").read_text(encoding="utf-8"))["figures"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for name in ["metrics.json", "predictions.csv", "restoration.csv", *figures]:
        path = out / str(name)
        if path.parent in (out, out / "figures"):
            path.unlink(missing_ok=True)


@contextmanager
def _step(progress: Progress, description: str) -> Iterator[None]:
    """Show a step that has no countable parts."""
    task = progress.add_task(description, total=1, note="")
    yield
    progress.update(task, completed=1)


def _advance(progress: Progress, task: object) -> Callable[[int], None]:
    def advance(count: int) -> None:
        progress.advance(task, count)  # type: ignore[arg-type]

    return advance
