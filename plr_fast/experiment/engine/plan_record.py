"""What the results' folder says of the grid: plan.json, with every value resolved."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from ..._version import __version__
from ...machine import processor, usable_cpus
from ..planning.controls import CONTROLS
from ..planning.plan import DatasetPlan, Experiment, MethodPlan
from ..results import CellKey, DatasetInfo, MethodInfo, Plan


def make_plan(
    experiment: Experiment,
    infos: Iterable[DatasetInfo],
    cells: Iterable[CellKey],
    resolved: Mapping[str, Mapping[str, Any]],
    threshold: float | str,
) -> Plan:
    """The plan of the results' folder.

    Args:
        experiment: the file.
        infos: its data sets, as their stores describe them.
        cells: all of the grid.
        resolved: method -> its settings, as its first cell has them.
        threshold: of all cells, or the rule that chooses it.
    """
    return Plan(
        title=experiment.title,
        methods=tuple(MethodInfo(method.name, method.kind, _about(method)) for method in experiment.methods),
        datasets=tuple(infos),
        baseline=experiment.baseline,
        cells=tuple(cells),
        seed=experiment.seed,
        config=_config_text(experiment, resolved, threshold),
        facts={
            "experiment": experiment.name,
            "file": experiment.text,
            "recipe": experiment.recipe.label,
            "method_recipes": {method.name: method.recipe.label for method in experiment.methods if method.recipe},
            "encoder_slices": {
                method.name: method.other_place.name for method in experiment.methods if method.other_place
            },
            "left_out": list(experiment.left_out),
            "card": dict(experiment.card),
            "plr_fast": __version__,
            "python": platform.python_version(),
            "torch": version("torch"),
            "numpy": version("numpy"),
            "scikit-learn": version("scikit-learn"),
            "system": f"{platform.system()} {platform.release()}",
            "processor": f"{processor()}, {usable_cpus()} CPUs usable",
        },
    )


def _config_text(experiment: Experiment, resolved: Mapping[str, Mapping[str, Any]], threshold: float | str) -> str:
    content = {
        "title": experiment.title,
        "recipe": experiment.recipe.label,
        "seed": experiment.seed,
        "baseline": experiment.baseline,
        "keep": experiment.keep,
        "evaluate": {"threshold": threshold},
        "datasets": [
            {
                "name": dataset.name,
                "split_by": dataset.split_by,
                "repeats": dataset.repeats,
                **_shares(dataset),
                **({"unit": dataset.unit} if dataset.unit else {}),
                "pretrain": _plain(dataset.pretrain),
                "finetune": _plain(dataset.finetune),
            }
            for dataset in experiment.datasets
        ],
        "fractions": [
            {"fraction": entry.fraction, "repeats": entry.repeats, "finetune": _plain(entry.finetune)}
            for entry in experiment.fractions
        ],
        "methods": list(resolved.values()),
    }
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return "# Settings of each method as its first cell has them (data set, fraction and repeat of that cell).\n" + text


def _about(method: MethodPlan) -> str:
    if method.about:
        return method.about
    if method.control is not None:
        return CONTROLS[method.control]
    if method.pretrain is not None:
        where = method.pretrain_on.name if method.pretrain_on else "the training part"
        return f"pretrained on the normal slices of {where}"
    if method.supervised is not None:
        return f"fine-tuned on {method.supervised.place.name} first"
    return "random weights (He et al.)" if method.init == "random" else f"weights from {Path(method.init).name}"


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for name, value in settings.items()
    }


def _shares(dataset: DatasetPlan) -> dict[str, float]:
    """Of the parts; the store's own splits have none."""
    if dataset.split_by == "given":
        return {}
    return {"val_fraction": dataset.val_fraction, "test_fraction": dataset.test_fraction}
