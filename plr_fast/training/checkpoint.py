"""Checkpoints: a folder of safetensors and JSON that is replaced as a whole or not at all.

``model.safetensors`` (the network's state dict), ``optimizer.safetensors`` (the optimiser's tensors, absent in a best
checkpoint), ``average.safetensors`` (the averaged weights, where a run keeps them) and ``state.json`` (everything else:
position, history, scheduler, the optimiser's numbers). A new one is written beside the old one, flushed, and swapped in
by two renames; a kill between them leaves the old one under ``.NAME.old``, where :func:`find_checkpoint` looks as well.
Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..errors import CheckpointError
from ..files import storage_error, sync
from ..models.transfer import MODEL_FILE

OPTIMIZER_FILE = "optimizer.safetensors"
AVERAGE_FILE = "average.safetensors"
STATE_FILE = "state.json"
FORMAT_VERSION = 1


@dataclass
class Checkpoint:
    """What a checkpoint holds: tensors of the model and (but in a best one) of the optimiser, the JSON state, and the
    averaged model where there is one."""

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor] | None
    state: dict[str, Any]
    average: dict[str, Tensor] | None = None


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``folder``, replacing the one that is there only when all of it is on the disk.

    Raises:
        StorageError: writing failed (full disk, no permission); the former checkpoint is as it was.
    """
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    state = {"format_version": FORMAT_VERSION, **checkpoint.state}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if new.exists():
            shutil.rmtree(new)
        new.mkdir()
        _write_tensors(new / MODEL_FILE, checkpoint.model)
        if checkpoint.optimizer is not None:
            _write_tensors(new / OPTIMIZER_FILE, checkpoint.optimizer)
        if checkpoint.average is not None:
            _write_tensors(new / AVERAGE_FILE, checkpoint.average)
        _write(new / STATE_FILE, (json.dumps(encode(state), indent=1, allow_nan=False) + "\n").encode())
        sync(new)
        if folder.exists():
            if old.exists():
                shutil.rmtree(old)
            folder.rename(old)
        new.rename(folder)
        sync(folder.parent)
        if old.exists():
            shutil.rmtree(old)
    except OSError as error:
        # Give back the room, so that a user who frees nothing can at least resume.
        shutil.rmtree(new, ignore_errors=True)
        raise storage_error(error, folder) from error


def find_checkpoint(folder: Path) -> Path | None:
    """``folder`` if a checkpoint is there, else the one that a kill left under its second name, else None."""
    for candidate in (folder, folder.with_name(f".{folder.name}.old")):
        if (candidate / STATE_FILE).is_file():
            return candidate
    return None


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read the checkpoint at ``folder``.

    Raises:
        CheckpointError: it is missing, damaged, or was written by a newer version; the message names the file.
    """
    found = find_checkpoint(folder)
    if found is None:
        raise CheckpointError(f"there is no checkpoint at {folder}")
    try:
        state = decode(json.loads((found / STATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{found / STATE_FILE} is damaged: {error}") from error
    version = state.get("format_version") if isinstance(state, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(f"{found / STATE_FILE} is damaged: it names no format_version")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{found} was written in format {version}, this plr_fast reads up to {FORMAT_VERSION}; update plr_fast"
        )
    optimizer, average = found / OPTIMIZER_FILE, found / AVERAGE_FILE
    return Checkpoint(
        model=_read_tensors(found / MODEL_FILE),
        optimizer=_read_tensors(optimizer) if optimizer.is_file() else None,
        state=state,
        average=_read_tensors(average) if average.is_file() else None,
    )


def flatten_optimizer(state_dict: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state dict into tensors (``"parameter/name"``) and what JSON can hold."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for parameter, values in state_dict["state"].items():
        numbers[str(parameter)] = {}
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{parameter}/{name}"] = value
            else:
                numbers[str(parameter)][name] = value
    return tensors, {"state": numbers, "param_groups": [dict(group) for group in state_dict["param_groups"]]}


def unflatten_optimizer(tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of :func:`flatten_optimizer`; tuples of hyperparameters come back as lists, which torch accepts."""
    state = {int(parameter): dict(values) for parameter, values in numbers["state"].items()}
    for key, tensor in tensors.items():
        parameter, name = key.split("/", 1)
        state[int(parameter)][name] = tensor
    return {"state": state, "param_groups": [dict(group) for group in numbers["param_groups"]]}


def encode(value: Any) -> Any:
    """Make ``value`` fit strict JSON: infinities and NaN (a fresh scheduler's best) become ``{"float": "inf"}``."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def decode(value: Any) -> Any:
    """The reverse of :func:`encode`."""
    if isinstance(value, dict):
        if set(value) == {"float"}:
            return float(value["float"])
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    _write(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def _write(path: Path, content: bytes) -> None:
    # Plain writes rather than safetensors' own: a full disk must surface as the OSError that it is.
    path.write_bytes(content)
    sync(path)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; the checkpoint is incomplete") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
