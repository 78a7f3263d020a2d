"""From the layers of an experiment to the settings of one training, and the hash that names them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from ...errors import ConfigError, PlrFastError
from ...recipes import Recipe
from ...recipes.sections import config_class

if TYPE_CHECKING:
    from ...data.prepare_config import PrepareConfig
    from ...training import FinetuneConfig, PretrainConfig
    from ...training.config import TrainConfig

Settings = Mapping[str, Any]

MEANING = 1
"""Raised when equal settings come to mean another result; cells of before are then computed again."""

# What changes no result, or is named by other means: data and weights by their hashes.
_NOT_NAMED = frozenset(
    {
        *("store", "run", "resume", "init", "init_name", "bank", "recipe", "allow_overlap"),
        *("accelerator", "devices", "num_nodes", "data_device", "num_workers", "threads", "collective_timeout"),
        *("checkpoint_every", "checkpoint_epochs", "checkpoint_seconds", "log_every", "tensorboard", "progress"),
    }
)
# A run of an experiment takes seconds and can be repeated: fewer files, fewer waits for the disk.
_QUIET: Settings = {"progress": False, "tensorboard": False, "checkpoint_epochs": 0, "checkpoint_seconds": 20.0}


@overload
def training_config(
    section: Literal["pretrain"],
    recipe: Recipe,
    layers: Sequence[Settings],
    own: Settings,
    *,
    where: str,
    pending: bool = False,
    **fixed: Any,
) -> PretrainConfig: ...
@overload
def training_config(
    section: Literal["finetune"],
    recipe: Recipe,
    layers: Sequence[Settings],
    own: Settings,
    *,
    where: str,
    pending: bool = False,
    **fixed: Any,
) -> FinetuneConfig: ...
def training_config(
    section: Literal["pretrain", "finetune"],
    recipe: Recipe,
    layers: Sequence[Settings],
    own: Settings,
    *,
    where: str,
    pending: bool = False,
    **fixed: Any,
) -> PretrainConfig | FinetuneConfig:
    """The ``PretrainConfig`` or ``FinetuneConfig`` of ``recipe`` with ``layers`` over it, and ``own`` over those.

    Settings of the layers that lose their meaning beside others (``blend`` beside ``corruption: gaussian``) step
    aside; those in ``own`` must have an effect. ``fixed`` are what the experiment gives: store, run, seeds. With
    ``pending`` the run that it begins with is still to come.

    Raises:
        ConfigError: a setting is out of range, or one of ``own`` would have no effect; begins with ``where``.
    """
    kind = config_class(section)
    values: dict[str, Any] = {**_QUIET, **{name: setting.value for name, setting in recipe.given(section).items()}}
    for layer in (*layers, own, fixed):
        values.update(layer)
    config: PretrainConfig | FinetuneConfig = kind(**values, recipe=recipe.label)
    defaults: dict[str, Any] = {field.name: field.default for field in fields(kind)}
    for _ in range(2):  # what steps aside may rob another of its meaning
        idle = [name for name in config.idle_options() if name not in own]
        config = replace(config, **{name: defaults[name] for name in idle})
    try:
        # A run that is resumed needs what it began with no more.
        replace(config, resume=pending).check()
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return config


def prepare_config(
    recipe: Recipe, own: Settings, *, source: str, out: Path, where: str, **shares: float
) -> PrepareConfig:
    """Settings of preparing ``source``: of the recipe's only those that mean something for such a source.

    Raises:
        ConfigError, DataError: as ``PrepareConfig.validate``; begins with ``where``.
    """
    from ...data.prepare_config import PrepareConfig
    from ...errors import DataError

    given = {name: setting.value for name, setting in recipe.given("prepare").items()}
    given = {name: given[name] for name in given if name not in ("source", "out", "val_fraction", "test_fraction")}
    config = PrepareConfig(**{"source": Path(source), "out": out, "progress": True, **shares, **given, **own})
    try:
        # The recipe speaks of sources of all kinds.
        idle = {name: getattr(PrepareConfig, name) for name in config.idle_options() if name not in own}
        config = replace(config, **idle)
        config.validate()
    except (ConfigError, DataError) as error:
        raise type(error)(f"{where}: {in_words_of_a_file(error)}") from None
    return config


def in_words_of_a_file(error: PlrFastError) -> str:
    """The message of ``error`` for people who gave settings of prepare in a file."""
    return f"{error} (here, --NAME is NAME of prepare)" if "--" in str(error) else str(error)


def named_settings(config: TrainConfig) -> dict[str, Any]:
    """Those settings of a training that its result depends on, all of them, as JSON has them."""
    found: dict[str, Any] = json.loads(json.dumps(config.to_json()))
    return {name: value for name, value in found.items() if name not in _NOT_NAMED}


def changed_settings(config: TrainConfig) -> dict[str, Any]:
    """Those of :func:`named_settings` that are not the defaults."""
    defaults = {entry.name: entry.default for entry in fields(config) if entry.default is not MISSING}
    plain = json.loads(json.dumps(defaults, default=str))
    return {name: value for name, value in named_settings(config).items() if plain.get(name, MISSING) != value}


def settings_sha256(facts: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of plain facts, whatever their order."""
    return hashlib.sha256(json.dumps({"meaning": MEANING, **facts}, sort_keys=True).encode()).hexdigest()


def derived_seed(*parts: object) -> int:
    """A seed below 2**31 that depends on all of ``parts``."""
    text = json.dumps([str(part) for part in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def repeat_seeds(seed: int, dataset: str, repeat: int) -> dict[str, int]:
    """Of all trainings of a repeat, whatever else is in the grid: ``seed``, and ``subset_seed`` for the labels."""
    parts = (seed, dataset, repeat)
    return {"seed": derived_seed("training", *parts), "subset_seed": derived_seed("labels", *parts)}
