"""Reading what a run has left: its configuration and its trained network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import nn

from ..errors import CheckpointError
from ..models import Classifier, DANet, UNet
from .checkpoint import find_checkpoint, load_checkpoint
from .networks import FINETUNE_SETTINGS, PRETRAIN_SETTINGS, make_classifier, make_unet
from .record import read_record

Which = Literal["best", "last"]
Network = TypeVar("Network", bound=nn.Module)


def load_run_config(run: str | os.PathLike[str]) -> dict[str, Any]:
    """The run's ``config.json``: ``kind`` ("pretrain" | "finetune"), ``config`` (all settings), ``store_fingerprint``,
    ``class_names``, ``size``, counts of slices, versions, ``git_commit`` and ``starts``.

    Raises:
        CheckpointError: ``run`` is no run folder, its record is damaged, or a newer version wrote it.
    """
    return read_record(run)


def load_unet(run: str | os.PathLike[str], which: Which = "best") -> UNet:
    """The U-Net that a pretraining run has trained, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: ``run`` is no pretraining run, has no such checkpoint yet, or is damaged.
    """
    return _filled(make_unet(_config(run, "pretrain", PRETRAIN_SETTINGS)), run, which)


def load_classifier(run: str | os.PathLike[str], which: Which = "best") -> Classifier | DANet:
    """The classifier that a fine-tuning run has trained, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: ``run`` is no fine-tuning run, has no such checkpoint yet, or is damaged.
    """
    return _filled(make_classifier(_config(run, "finetune", FINETUNE_SETTINGS)), run, which)


def _config(run: str | os.PathLike[str], kind: str, needed: tuple[str, ...]) -> dict[str, Any]:
    record = read_record(run)
    if record.get("kind") != kind:
        raise CheckpointError(f"{run} is the folder of a {record.get('kind')} run; a {kind} run is needed here")
    config: dict[str, Any] = record["config"]
    missing = [name for name in needed if name not in config]
    if missing:
        raise CheckpointError(f"{run}/config.json does not tell {' and '.join(missing)}: it is damaged or was edited")
    return config


def _filled(model: Network, run: str | os.PathLike[str], which: Which) -> Network:
    folder = Path(run) / "checkpoints" / which
    if find_checkpoint(folder) is None:
        raise CheckpointError(f"{run} has no {which} checkpoint yet: let the run finish its first epoch")
    try:
        model.load_state_dict(load_checkpoint(folder).model, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{folder} does not fit the run's config.json: {error}") from error
    return model.eval()
