"""The settings of a run that are worth telling: those that had an effect, in an order for reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..training import FinetuneConfig, PretrainConfig

# Told even where they are the defaults.
_NETWORK = ("encoder", "widths", "norm", "context")
_CLASSIFIER = (
    *("model", "danet_scale", "init", "allow_overlap"),
    *("fraction", "fraction_by", "class_weight", "augment", "best_by"),
)
_RESTORER = (
    *("corruption", "windows", "lesions", "bank", "count", "blend", "alpha", "patch"),
    *("cloud_combine", "cloud_threshold", "cloud_softness", "cloud_texture"),
)
_TRAINING = ("optimizer", "lr", "batch_size", "epochs", "seed")

# Told never: places, the machine, and what is only shown or saved. (``init_name`` is told from the run's record.)
_HIDDEN = frozenset(
    {
        *("store", "run", "resume", "init_name"),
        *("accelerator", "data_device", "num_workers", "threads", "devices", "num_nodes", "collective_timeout"),
        *("checkpoint_every", "checkpoint_seconds", "log_every", "tensorboard", "progress"),
    }
)


def told_settings(kind: str, settings: Mapping[str, Any]) -> dict[str, object]:
    """Settings that the report names: the main ones, and others that are not the defaults; none without effect.

    Args:
        kind: ``classifier`` or ``restorer``.
        settings: the configuration in the run's config.json; that of an older version may lack some.
    """
    config = _config(kind, settings)
    idle = _idle(config)
    main = (*(_CLASSIFIER if kind == "classifier" else _RESTORER), *_NETWORK, *_TRAINING)
    defaults = {field.name: field.default for field in fields(config)}
    changed = [
        name
        for name, default in defaults.items()
        if name not in main and name not in _HIDDEN and name in settings and _tuple(settings[name]) != default
    ]
    told: dict[str, object] = {
        name: settings[name] for name in (*main, *changed) if settings.get(name) is not None and name not in idle
    }
    if "augment" in told:
        told["augment"] = "heavy" if getattr(config, "heavy", False) else "zoom-shear"
    return told


def _config(kind: str, settings: Mapping[str, Any]) -> FinetuneConfig | PretrainConfig:
    """The settings as their class has them, not checked."""
    from ..training import FinetuneConfig, PretrainConfig

    made = FinetuneConfig if kind == "classifier" else PretrainConfig
    names = {field.name for field in fields(made)} - {"store", "run"}
    given = {name: _tuple(value) for name, value in settings.items() if name in names}
    return made(store=Path(), run=Path(), **given)


def _idle(config: Any) -> set[str]:
    """Names of the settings without effect."""
    idle = set(config.idle_options())
    if getattr(config, "fraction", None) == 1.0:
        idle |= {"fraction_by", "subset_seed"}  # the whole is the same, whatever it is counted in
    if getattr(config, "init", None) == "random":
        idle.add("allow_overlap")
    return idle


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
