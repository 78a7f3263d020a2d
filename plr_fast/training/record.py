"""The run folder: the records of what the run is, and the check that a resumed run is the same run."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import torch

from .._version import __version__
from ..errors import CheckpointError, ConfigError
from ..files import write_json, write_text
from ..machine import gpu_driver, gpus, processor, usable_cpus
from ..yaml_text import yaml_value
from .checkpoint import find_checkpoint
from .config import TrainConfig
from .seen import SEEN_FILE, SeenSlices, to_json

CONFIG_FILE = "config.json"
SETTINGS_FILE = "config.yaml"
SUMMARY_FILE = "summary.json"
FORMAT_VERSION = 1

# What may change between a stop and a resumption without changing the weights. Files are compared by content (facts),
# batch size, accumulation and number of devices by their product.
FREE = frozenset(
    {
        *("store", "run", "resume", "init", "bank", "recipe", "allow_overlap"),
        *("epochs", "max_steps", "early_stop"),
        *("batch_size", "accumulate", "devices", "num_nodes"),
        *("accelerator", "data_device", "num_workers", "threads", "collective_timeout"),
        *("checkpoint_every", "checkpoint_epochs", "checkpoint_seconds", "log_every", "tensorboard", "progress"),
    }
)


SPLIT = ("devices", "num_nodes", "batch_size", "accumulate")
"""What splits the samples of a step: their product must stay."""


def last_checkpoint(run: Path) -> Path:
    return run / "checkpoints" / "last"


def best_checkpoint(run: Path) -> Path:
    return run / "checkpoints" / "best"


def check_run_folder(config: TrainConfig) -> None:
    """Refuse to start anew in a folder that holds a run, before any work is done.

    Raises:
        ConfigError: the folder holds a run and ``config.resume`` is False, or it is not empty and no run.
    """
    run = Path(config.run)
    if (run / CONFIG_FILE).exists() or find_checkpoint(last_checkpoint(run)):
        if not config.resume:
            raise ConfigError(f"{run} already holds a run; continue it with --resume, or choose another folder")
    elif run.is_dir() and any(item.name != ".lock" for item in run.iterdir()):
        raise ConfigError(f"{run} is not empty and holds no run; choose another folder")


def write_record(config: TrainConfig, kind: str, facts: Mapping[str, Any], *, step: int) -> None:
    """Write what the run is, in three files of its folder.

    ``config.json``: the configuration, what the data were, versions, machine, git commit, and each start;
    ``config.yaml``: the settings alone, for ``--config``; ``training_slices.json``: ``facts["training_slices"]``,
    hashes of the slices that it learns from.
    """
    path = Path(config.run) / CONFIG_FILE
    before = read_record(Path(config.run)) if path.exists() else {}
    starts = before.get("starts", [])
    recipe = before.get("recipe") or getattr(config, "recipe", "") or None
    commit = git_commit()
    starts.append(
        {
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "step": step,
            "plr_fast": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": machine(),
            "threads": torch.get_num_threads(),
            "git_commit": commit,
            **{name: getattr(config, name) for name in SPLIT},
            "num_workers": config.num_workers,
        }
    )
    facts = dict(facts)
    seen: SeenSlices | None = facts.pop("training_slices", None)
    record = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "plr_fast": __version__,
        "torch": torch.__version__,
        "git_commit": commit,
        "recipe": recipe,
        "config": config.to_json(),
        **facts,
        "starts": starts,
    }
    write_json(path, record)
    write_text(Path(config.run) / SETTINGS_FILE, settings_yaml(config, kind, recipe))
    if seen is not None:
        write_json(Path(config.run) / SEEN_FILE, to_json(seen))


def machine() -> dict[str, Any]:
    """CPU, GPUs and their driver, as JSON allows it; nothing that names a person or a host."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cpus_usable": usable_cpus(),
        "gpus": gpus(),
        "gpu_driver": gpu_driver(),
    }


def settings_yaml(config: TrainConfig, kind: str, recipe: str | None) -> str:
    """The settings of a run as a config file: ``plr-fast KIND --config FILE --run NEW`` does the run again."""
    begun = f", begun with {recipe}" if recipe else ""
    rows = [
        f"# Settings of a run by plr_fast {__version__}{begun}.",
        f"# The same again: plr-fast {kind} --config THIS_FILE --run NEW_FOLDER",
        f"{kind}:",
    ]
    for name, value in config.to_json().items():
        if name in ("run", "resume", "recipe"):
            continue
        if name in ("store", "bank") and value is not None:
            value = str(Path(value).resolve())
        if name == "init" and Path(value).exists():
            value = str(Path(value).resolve())
        rows.append(f"  {name}: {yaml_value(value)}")
    return "\n".join(rows) + "\n"


def read_record(run: str | os.PathLike[str]) -> dict[str, Any]:
    """Read ``config.json`` of a run.

    Raises:
        CheckpointError: ``run`` is no run folder, its record is damaged, or a newer version wrote it.
    """
    path = Path(run) / CONFIG_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"{run} is not the folder of a training run: it has no {CONFIG_FILE}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(record, dict) or not isinstance(record.get("format_version"), int):
        raise CheckpointError(f"{path} is damaged: it names no format_version")
    if record["format_version"] > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} was written in format {record['format_version']}, this plr_fast reads up to {FORMAT_VERSION}; "
            "update plr_fast"
        )
    return record


def check_same_run(config: TrainConfig, kind: str, facts: Mapping[str, Any]) -> None:
    """Refuse to resume a run under another configuration or on other data.

    Raises:
        CheckpointError: names each field that differs, with both values.
    """
    run = Path(config.run)
    record = read_record(run)
    if record.get("kind") != kind:
        raise CheckpointError(f"{run} holds a {record.get('kind')} run, not a {kind} run; choose another folder")
    ours = config.to_json()
    # A run of an earlier version did not know every setting: it had what is the default now.
    known = {field.name: field.default for field in fields(config) if field.default is not MISSING}
    theirs = {**json.loads(json.dumps(known, default=str)), **record["config"]}
    # The cosine's course depends on its end.
    free = FREE - {"epochs"} if config.schedule == "cosine" else FREE
    differences = [
        f"{name} was {theirs.get(name)!r}, now {value!r}"
        for name, value in ours.items()
        if name not in free and theirs.get(name) != value
    ]
    if "init" in ours and (theirs.get("init") == "random") != (ours["init"] == "random"):
        differences.append(f"init was {theirs.get('init')!r}, now {ours['init']!r}")
    if _samples_per_step(theirs) != _samples_per_step(ours):
        differences.append(
            f"batch_size × accumulate × devices × num_nodes was {_samples_per_step(theirs)}, now "
            f"{_samples_per_step(ours)}"
        )
    differences += [
        f"{name} was {_short(record.get(name))}, now {_short(facts.get(name))}"
        for name in ("store_fingerprint", "init_sha256", "bank_sha256")
        if record.get(name) != facts.get(name)
    ]
    if differences:
        fixed = "epochs" not in free and theirs.get("epochs") != ours["epochs"]
        why = " The rate of schedule=cosine falls towards the last epoch, so their number must stay." if fixed else ""
        raise CheckpointError(
            f"{run} cannot be resumed, it was started otherwise: {'; '.join(differences)}.{why} "
            "Give the former values, or start a new run in another folder"
        )


def other_split(config: TrainConfig) -> str:
    """How the run's steps were split at its former start, in words, if that was otherwise; else empty."""
    former = read_record(Path(config.run))["starts"][-1]
    if all(former.get(name, getattr(config, name)) == getattr(config, name) for name in SPLIT):
        return ""
    return ", ".join(f"{name} {former[name]}" for name in SPLIT)


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def git_commit() -> str | None:
    """The commit of the checkout that this package runs from (with "+changes" if it was edited), or None."""
    package = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        # An installed copy may lie inside somebody else's repository, which says nothing about it.
        git("ls-files", "--error-unmatch", "_version.py")
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _samples_per_step(config: Mapping[str, Any]) -> int:
    return math.prod(int(config[name] or 1) for name in ("batch_size", "accumulate", "devices", "num_nodes"))


def _short(value: Any) -> str:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) > 16 else repr(value)
