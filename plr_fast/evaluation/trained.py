"""The trained runs that an evaluation is given: opened, named and checked before anything is computed."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import torch

    from ..data.store import SliceStore
    from .figures_curves import TrainingCurve

Kind = Literal["classifier", "restorer"]

_TASK = {"classifier": "finetune", "restorer": "pretrain"}
_COMMAND = {"classifier": "plr-fast finetune", "restorer": "plr-fast pretrain"}


@dataclass(frozen=True)
class TrainedRun:
    """A run folder with its configuration; the network is loaded when asked for.

    Attributes:
        name: unique among the runs of an evaluation; the folder's name, with parent folders where names repeat.
        path: the run folder.
        kind: ``classifier`` or ``restorer``.
        config: content of its config.json.
    """

    name: str
    path: Path
    kind: Kind
    config: Mapping[str, Any]

    def setting(self, key: str, default: Any = None) -> Any:
        """One value of the run's configuration."""
        settings = self.config.get("config", self.config)
        return settings.get(key, default)

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the store that the run was trained on."""
        value = self.config.get("store_fingerprint")
        return str(value) if value else None

    def model(self) -> torch.nn.Module:
        """The trained network in evaluation mode.

        Raises:
            CheckpointError: missing or damaged.
        """
        return load_network(self.path, self.kind)

    def facts(self) -> dict[str, object]:
        """What the report says of the run."""
        from .run_settings import told_settings

        found: dict[str, object] = {"folder": str(self.path)}
        if self.config.get("init_name"):
            found["initialisation"] = self.config["init_name"]
        recorded = ("init_kind", "train_slices", "train_groups", "train_groups_available")
        found.update({key: self.config[key] for key in recorded if self.config.get(key) is not None})
        found.update(told_settings(self.kind, self.config.get("config", self.config)))
        if self.fingerprint:
            found["store fingerprint"] = self.fingerprint[:16]
        shares = [_number(row.get("data_share")) for row in metrics(self)]
        if shares and not math.isnan(mean := sum(shares) / len(shares)):
            found["share of training time waiting for data"] = f"{mean:.1%}"
        for key in ("plr_fast", "torch", "git_commit"):
            if self.config.get(key):
                found[key.replace("_", " ")] = self.config[key]
        return found


def load_network(path: Path, kind: Kind) -> torch.nn.Module:
    """Load the best checkpoint of a run folder, in evaluation mode."""
    from ..training import load_classifier, load_unet

    model: torch.nn.Module = load_classifier(path) if kind == "classifier" else load_unet(path)
    return model.eval()


def read_config(path: Path) -> Mapping[str, Any]:
    """Read a run's config.json."""
    from ..training import load_run_config

    config: Mapping[str, Any] = load_run_config(path)
    return config


def open_runs(classifiers: Sequence[Path], restorers: Sequence[Path]) -> tuple[list[TrainedRun], list[TrainedRun]]:
    """Open all run folders and give each a name of its own.

    Raises:
        CheckpointError: a folder is missing, has no best checkpoint, or is a run of the other kind; the message names
            the folder and the command that makes such a run.
        ConfigError: the same folder twice.
    """
    both: list[tuple[Path, Kind]] = [(Path(path), "classifier") for path in classifiers]
    both += [(Path(path), "restorer") for path in restorers]
    seen: set[Path] = set()
    for path, kind in both:
        if path.resolve() in seen:
            raise ConfigError(f"the run folder {path} is given twice")
        seen.add(path.resolve())
        _check_folder(path, kind)
    runs = [
        TrainedRun(name, path, kind, _config_of_kind(path, kind))
        for name, (path, kind) in zip(unique_names([path for path, _ in both]), both, strict=True)
    ]
    return [run for run in runs if run.kind == "classifier"], [run for run in runs if run.kind == "restorer"]


def check_stores(runs: Sequence[TrainedRun], store: SliceStore, *, allow_other: bool) -> list[str]:
    """Compare the store with those the runs were trained on; return warnings.

    Raises:
        ConfigError: a run was trained on another store (or with other splits) and ``allow_other`` is False: slices of
            the split may have been seen in training.
    """
    warnings = []
    for run in runs:
        if run.fingerprint is None:
            warnings.append(
                f"{run.name}: its config.json does not say which store it was trained on; slices of this split may "
                "have been seen in training."
            )
        elif run.fingerprint != store.fingerprint:
            if not allow_other:
                raise ConfigError(
                    f"run {run.path} was trained on another store (fingerprint {run.fingerprint[:12]}…) than "
                    f"{store.path} ({store.fingerprint[:12]}…): slices evaluated here may have been seen in its "
                    "training. Give the store of the run, or go on with --allow-other-store if this store is meant "
                    "to be another one (external validation)"
                )
            warnings.append(
                f"{run.name} was trained on another store (fingerprint {run.fingerprint[:12]}…). That is right for an "
                "external validation only: if the stores share patients, the results are inflated."
            )
    return warnings


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Folder names; where several are alike, as many parent folders are put before them as it takes."""
    resolved = [path.resolve() for path in paths]
    names = [path.name for path in resolved]
    depth = 1
    while len(set(names)) < len(names) and depth < max(len(path.parts) for path in resolved):
        depth += 1
        repeated = {name for name in names if names.count(name) > 1}
        names = [
            "/".join(path.parts[-depth:]) if name in repeated else name
            for name, path in zip(names, resolved, strict=True)
        ]
    return names


def metrics(run: TrainedRun) -> list[dict[str, str | None]]:
    """The rows of a run's metrics.csv, none where it is missing or unreadable."""
    try:
        with (run.path / "metrics.csv").open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def training_curve(run: TrainedRun) -> TrainingCurve | None:
    """The course of a run from its metrics.csv, or None when that is missing, empty or has no loss."""
    from .figures_curves import TrainingCurve

    rows = metrics(run)
    if not rows or not {"train_loss", "val_loss"} & set(rows[0]):
        return None

    def column(key: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.array([_number(row.get(key)) for row in rows], dtype=np.float64)

    score = next((key for key in ("val_accuracy", "val_auroc") if key in rows[0]), "")
    epochs = column("epoch") if "epoch" in rows[0] else np.arange(1, len(rows) + 1, dtype=np.float64)
    return TrainingCurve(
        run.name,
        epochs,
        column("train_loss"),
        column("val_loss"),
        column(score) if score else np.full(len(rows), math.nan),
        score.removeprefix("val_"),
        weighted="val_mse" in rows[0],
    )


def _number(text: str | None) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def _check_folder(path: Path, kind: Kind) -> None:
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise CheckpointError(f"{kind} run folder {path} {what}; give a folder made by '{_COMMAND[kind]}'")
    from ..training.checkpoint import find_checkpoint

    if find_checkpoint(path / "checkpoints" / "best") is None:
        raise CheckpointError(
            f"{kind} run folder {path} has no checkpoint (checkpoints/best/model.safetensors): it was stopped before "
            f"its first epoch ended, or it is no run folder; finish it with '{_COMMAND[kind]} --resume'"
        )


def _config_of_kind(path: Path, kind: Kind) -> Mapping[str, Any]:
    config = read_config(path)
    made_by = config.get("kind")
    if made_by is not None and made_by != _TASK[kind]:
        other = "restorers" if kind == "classifier" else "classifiers"
        raise CheckpointError(f"{path} was made by '{made_by}', it is no {kind}; give it with --{other}")
    return config
