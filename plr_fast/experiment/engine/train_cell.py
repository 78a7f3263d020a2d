"""What a worker does for a task: train an encoder, or train and judge the classifier of a cell."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...console import console
from ...errors import CheckpointError
from ...training.record import CONFIG_FILE, SUMMARY_FILE, file_sha256, read_record
from ...training.watch import watched
from ..planning.settings import named_settings
from ..results import CellResult, write_cell
from .controls import control
from .tasks import CellTask, Done, EncoderTask

if TYPE_CHECKING:
    import torch

    from ...data.store import SliceStore
    from ...evaluation.metrics import FloatArray, IntArray
    from ...training import FinetuneConfig, PretrainConfig

Tell = Callable[[float, str], None]
"""Called with the share that is done and a few words."""

_ENCODER_SLICES = ("kind", "store_fingerprint", "train_slices", "val_slices")  # of the record of an encoder's run


def do_task(task: EncoderTask | CellTask, *, threads: int, accelerator: str, tell: Tell) -> Done:
    """Do ``task`` and leave its result on disk.

    Args:
        task: what is to be done; a run that was stopped goes on where it was saved.
        threads: CPU threads for torch.
        accelerator: ``cpu``, ``cuda`` or ``mps``.
        tell: called with the progress.

    Raises:
        PlrFastError: as training and judging do.
    """
    started = time.perf_counter()
    here: dict[str, Any] = {"threads": threads, "accelerator": accelerator, "devices": 1, "num_nodes": 1}
    if isinstance(task, EncoderTask):
        _train(replace(task.config, **here), tell)
        summary = _summary(Path(task.config.run))
        _tidy(Path(task.config.run), keep=True)
        (name, value), *_ = summary["best_metric"].items()
        return Done(time.perf_counter() - started, f"{name} {value:.4g}, {summary['epochs']} epochs")
    task = replace(task, config=replace(task.config, **here))
    cell = _control(task, started) if task.control else _network(task, started, tell)
    write_cell(task.out, cell)
    _tidy(Path(task.config.run), keep=task.keep)
    return Done(time.perf_counter() - started, _figures(cell))


def is_trained(config: FinetuneConfig | PretrainConfig) -> bool:
    """Whether the run of ``config`` is finished, with these very settings."""
    run = Path(config.run)
    if not (run / SUMMARY_FILE).is_file() or not (run / "checkpoints" / "best" / "model.safetensors").is_file():
        return False
    try:
        recorded = read_record(run)["config"]
    except (CheckpointError, KeyError):
        return False
    now = named_settings(config)
    if now.get("precision") == "auto":
        del now["precision"]  # the record has what it came to on the device
    return same_settings(recorded, now)


def same_settings(recorded: Any, now: Any) -> bool:
    """Whether plain settings are the same as far as both know them: a setting that is new to the program had its
    default's effect before, or the hash would tell."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        return all(same_settings(recorded[name], now[name]) for name in recorded.keys() & now.keys())
    return bool(recorded == now)


def _network(task: CellTask, started: float, tell: Tell) -> CellResult:
    from ...data.store import SliceStore
    from ...evaluation.inference import choose_device, predict
    from ...evaluation.leaks import check_seen
    from ...evaluation.thresholds import Threshold, choose_threshold
    from ...evaluation.trained import TrainedRun
    from ...training import load_classifier

    config, run = task.config, Path(task.config.run)
    encoder = _encoder_facts(task)
    said = _train(config, tell)
    tell(1.0, "judging")
    store = SliceStore.open(task.store)
    model = load_classifier(run)
    device = choose_device(config.accelerator if config.accelerator != "gpu" else "cuda")

    def scores_of(indices: IntArray) -> FloatArray:
        return predict(model, store, indices, name=task.label, batch_size=64, device=device)

    test = store.labelled("test")
    threshold = Threshold(task.threshold) if not isinstance(task.threshold, str) else None
    if threshold is None:
        val = store.labelled("val")
        threshold = choose_threshold(store.labels[val], scores_of(val), task.threshold)  # type: ignore[arg-type]
    scores = scores_of(test)
    record = read_record(run)
    trained = TrainedRun(task.cell.method, run, "classifier", record)
    warnings = [*said, *check_seen([trained], store, test)]
    if threshold.no_better_than_chance:
        warnings.append(f"no threshold tells the classes apart on validation by {threshold.rule}")
    summary = _summary(run)
    facts = {
        **encoder,
        **({"run": _below(run, task.out)} if task.keep else {}),
        "init_kind": record.get("init_kind"),
        "init_sha256": record.get("init_sha256"),
        "epochs": summary["epochs"],
        "steps": summary["steps"],
        "stopped": summary["stopped"],
        "best": summary["best"],
        "train_positives": record.get("train_positives"),
        "positive_weight": record.get("positive_weight"),
        "threshold_rule": threshold.rule,
        "device": _device_name(device),
        "threads": config.threads,
        "resumed": len(record["starts"]) - 1,
        "torch": record["torch"],
    }
    return _result(task, store, test, scores, threshold.value, summary["seconds"], started, facts, warnings)


def _control(task: CellTask, started: float) -> CellResult:
    from ...data.store import SliceStore
    from ...training.fractions import label_subset

    config, store = task.config, SliceStore.open(task.store)
    units = store.groups if config.fraction_by == "groups" else store.ids
    assert config.subset_seed is not None
    assert task.control is not None
    train = label_subset(
        store.labelled("train"), store.labels, units, fraction=config.fraction, seed=config.subset_seed
    )
    test = store.labelled("test")
    scores = np.asarray(control(task.control)(store, train, test, config.seed), np.float64)
    threshold = task.threshold if isinstance(task.threshold, float) else 0.5
    facts = {"control": task.control}
    return _result(task, store, test, scores, threshold, 0.0, started, facts, [])


def _result(
    task: CellTask,
    store: SliceStore,
    test: IntArray,
    scores: FloatArray,
    threshold: float,
    trained: float,
    started: float,
    facts: dict[str, Any],
    warnings: list[str],
) -> CellResult:
    from ..._version import __version__

    # What training took before it was stopped counts; what this call did beside it, too.
    seconds = max(time.perf_counter() - started, trained)
    return CellResult(
        key=task.cell,
        ids=store.ids[test],
        groups=store.groups[test],
        labels=store.labels[test],
        scores=scores,
        threshold=threshold,
        seconds=round(seconds, 3),
        train_slices=int(task.facts["train_slices"]),
        train_groups=int(task.facts["train_groups"]),
        settings_sha256=task.sha256,
        facts={
            **task.facts,
            **facts,
            "settings": dict(task.settings),
            "plr_fast": __version__,
            "warnings": list(dict.fromkeys(warnings)),
        },
    )


def _train(config: FinetuneConfig | PretrainConfig, tell: Tell) -> list[str]:
    """Train or go on; returns what the training had to say."""
    from ...training import FinetuneConfig, finetune, pretrain

    run = Path(config.run)
    if run.is_dir() and not (run / CONFIG_FILE).is_file():
        shutil.rmtree(run)  # a kill came before anything was recorded
    resume = run.is_dir()

    def watcher(_kind: str, done: float, epochs: int) -> None:
        tell(done / epochs, f"epoch {min(int(done) + 1, epochs)} of {epochs}")

    def go(resume: bool) -> None:
        if isinstance(config, FinetuneConfig):
            finetune(replace(config, resume=resume))
        else:
            pretrain(replace(config, resume=resume))

    with watched(watcher), listened() as said:
        try:
            go(resume)
        except CheckpointError:
            if not resume:
                raise
            # What is left of it is damaged, or of a version with other defaults.
            shutil.rmtree(run)
            go(False)
    return said


@contextmanager
def listened() -> Iterator[list[str]]:
    """Context in which messages do not go to the terminal; its lines stand in the list after it."""
    lines: list[str] = []
    with console.capture() as capture:
        yield lines
    lines += [line.strip() for line in capture.get().splitlines() if line.strip()]


def _encoder_facts(task: CellTask) -> dict[str, Any]:
    """What a cell tells of the run that it begins with."""
    if task.needs is None:
        return {}
    run = Path(task.config.init)
    summary, record = _summary(run), read_record(run)
    # With the slices of the cell, of equal splits, it has seen nothing but the cell's own training part.
    own = record.get("store_fingerprint") in (None, task.facts.get("store_fingerprint"))
    return {
        **({"pretrain_run": _below(run, task.out)} if task.keep else {}),
        "pretrain": task.needs,
        "pretrain_seconds": summary["seconds"],
        "pretrain_epochs": summary["epochs"],
        "pretrain_best": summary["best"],
        "pretrain_sha256": file_sha256(run / "checkpoints" / "best" / "model.safetensors"),
        **({} if own else {"encoder_slices": {name: record.get(name) for name in _ENCODER_SLICES}}),
    }


def _tidy(run: Path, *, keep: bool) -> None:
    """Leave of a finished run what pictures and other cells need, or nothing."""
    if not keep:
        shutil.rmtree(run, ignore_errors=True)
        return
    shutil.rmtree(run / "checkpoints" / "last", ignore_errors=True)


def _summary(run: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((run / SUMMARY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{run / SUMMARY_FILE} cannot be read: {error}; delete {run} to repeat the run"
        ) from error
    return found


def _below(path: Path, folder: Path) -> str:
    return path.resolve().relative_to(folder.resolve()).as_posix()


def _device_name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _figures(cell: CellResult) -> str:
    from sklearn.metrics import roc_auc_score

    right = np.mean((cell.scores >= cell.threshold) == (cell.labels == 1))
    return f"AUROC {roc_auc_score(cell.labels, cell.scores):.3f}, accuracy {right:.3f}"
