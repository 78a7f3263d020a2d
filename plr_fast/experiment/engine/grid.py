"""The grid of an experiment whose slices are there: every training with its settings, and what must be done first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, PlrFastError
from ..planning.plan import DatasetPlan, Experiment, FractionPlan, MethodPlan
from ..planning.settings import changed_settings, named_settings, repeat_seeds, settings_sha256, training_config
from ..results import CellKey, DatasetInfo, Plan
from .encoders import Encoders
from .plan_record import make_plan
from .stores import Split, describe, make_split, open_store
from .tasks import CellTask, EncoderTask

if TYPE_CHECKING:
    from ...evaluation.thresholds import ThresholdRule
    from ...training import FinetuneConfig


@dataclass(frozen=True)
class Grid:
    """What an experiment comes to.

    Attributes:
        plan: for the results' folder.
        encoders: by key, those that cells begin with.
        cells: in the order of the plan.
        sizes: data set -> height and width of its slices.
    """

    plan: Plan
    encoders: Mapping[str, EncoderTask]
    cells: tuple[CellTask, ...]
    sizes: Mapping[str, int] = field(default_factory=dict)


def build_grid(experiment: Experiment, out: Path) -> Grid:
    """Prepare and split the slices where that is not done yet, and settle every training's settings.

    Raises:
        ConfigError, DataError, StoreError: something cannot work; nothing has been trained yet.
        StorageError: no room for the slices.
    """
    return _Builder(experiment, out).grid()


class _Builder:
    def __init__(self, experiment: Experiment, out: Path) -> None:
        self.experiment, self.out = experiment, out
        self.encoders = Encoders(experiment, out)
        self.cells: list[CellTask] = []
        self.resolved: dict[str, dict[str, Any]] = {}  # method -> settings, as the first repeat has them

    def grid(self) -> Grid:
        infos: list[DatasetInfo] = []
        sizes: dict[str, int] = {}
        for dataset in self.experiment.datasets:
            shares = {"val_fraction": dataset.val_fraction, "test_fraction": dataset.test_fraction}
            base = open_store(dataset.place, self.experiment.recipe, self.out, **shares)
            infos.append(describe(dataset, base))
            sizes[dataset.name] = base.size
            repeats = max(self._repeats(dataset, entry) for entry in self.experiment.fractions)
            splits = [make_split(dataset, base, number, self.out, self.experiment.seed) for number in range(repeats)]
            for entry in self.experiment.fractions:
                for method in self.experiment.methods:
                    if _runs(method, dataset, entry):
                        for split in splits[: self._repeats(dataset, entry)]:
                            self._cell(dataset, method, entry, split)
        plan = make_plan(self.experiment, infos, [task.cell for task in self.cells], self.resolved, self._threshold())
        return Grid(plan, self.encoders.tasks, tuple(self.cells), sizes)

    def _repeats(self, dataset: DatasetPlan, entry: FractionPlan) -> int:
        return min(dataset.repeats, entry.repeats or dataset.repeats)

    def _cell(self, dataset: DatasetPlan, method: MethodPlan, entry: FractionPlan, split: Split) -> None:
        experiment, key = self.experiment, CellKey(dataset.name, method.name, entry.fraction, split.repeat)
        seeds = repeat_seeds(experiment.seed, dataset.name, split.repeat)
        begins = method.pretrain is not None or method.supervised is not None
        config = training_config(
            "finetune",
            method.recipe or experiment.recipe,
            (experiment.finetune, dataset.finetune, entry.finetune),
            method.finetune,
            where=f"{method.where}: {method.name}",
            pending=begins,
            store=split.store.path,
            run=self.out / "runs" / "cells" / key.file_name,
            init=str(self.out / "runs" / "x") if begins else method.init,
            fraction=entry.fraction,
            seed=seeds["seed"],
            subset_seed=seeds["subset_seed"],
            init_name=method.name,
        )
        threshold = self._threshold()
        init, encoder = self.encoders.begin(dataset, method, split, config)
        if encoder is not None:
            # Its slices are training slices of the very same split; equal pictures in other parts are warned of.
            own = encoder.dataset is not None
            config = replace(config, init=str(encoder.config.run), allow_overlap=own or config.allow_overlap)
        train = _training_slices(split, config)
        if method.control is None:
            named = {"finetune": changed_settings(config), "init": init}
            record: dict[str, Any] = {"finetune": named_settings(config), "init": init}
            if encoder is not None:
                record["encoder"] = named_settings(encoder.config)  # so that changed defaults of its show, too
        else:
            own_settings = {name: getattr(config, name) for name in ("fraction", "fraction_by", "seed", "subset_seed")}
            named = record = {"control": method.control, **own_settings}
        record = {**record, "threshold": threshold}
        sha256 = settings_sha256({**named, "threshold": threshold, "data": split.data_sha256})
        config = replace(config, run=config.run.with_name(f"{key.file_name}-{sha256[:12]}"))
        self._resolved(method, encoder, config)
        self.cells.append(
            CellTask(
                cell=key,
                out=self.out,
                store=split.store.path,
                config=config,
                control=method.control,
                needs=encoder.key if encoder is not None else None,
                threshold=threshold,
                sha256=sha256,
                settings=record,
                keep=experiment.keeps(split.repeat),
                size=split.store.size,
                samples=(train[0], len(split.store.labelled("val"))),
                facts={
                    "split_sha256": split.sha256,
                    "store_fingerprint": split.store.fingerprint,
                    "size": split.store.size,
                    "seed": config.seed,
                    "subset_seed": config.subset_seed,
                    "train_slices": train[0],
                    "train_groups": train[1],
                    "val_slices": len(split.store.labelled("val")),
                    "test_slices": len(split.store.labelled("test")),
                    "recipe": config.recipe,
                },
            )
        )

    def _threshold(self) -> float | ThresholdRule:
        given = self.experiment.recipe.given("evaluate")
        otherwise = given["threshold"].value if "threshold" in given else 0.5
        value: float | ThresholdRule = self.experiment.evaluate.get("threshold", otherwise)
        if isinstance(value, float) and not 0.0 < value < 1.0:
            raise ConfigError(f"{self.experiment.path}: evaluate.threshold must lie between 0 and 1, not {value:g}")
        return value

    def _resolved(self, method: MethodPlan, encoder: EncoderTask | None, config: FinetuneConfig) -> None:
        if method.name in self.resolved:
            return
        found: dict[str, Any] = {"name": method.name, "kind": method.kind}
        if method.control is not None:
            found["control"] = method.control
        else:
            if encoder is not None:
                found[encoder.kind] = named_settings(encoder.config)
                if encoder.dataset is None:
                    found[f"{encoder.kind}_on"] = encoder.place
            elif method.init != "random":
                found["init"] = method.init
            found["finetune"] = named_settings(config)
        self.resolved[method.name] = found


def _runs(method: MethodPlan, dataset: DatasetPlan, entry: FractionPlan) -> bool:
    return (method.datasets is None or dataset.name in method.datasets) and (
        method.fractions is None or entry.fraction in method.fractions
    )


def _training_slices(split: Split, config: FinetuneConfig) -> tuple[int, int]:
    """Slices and groups that a cell learns from; raises ``DataError`` where they lack a class."""
    import numpy as np

    from ...training.fractions import label_subset

    store = split.store
    units = store.groups if config.fraction_by == "groups" else store.ids
    assert config.subset_seed is not None
    try:
        chosen = label_subset(
            split.store.labelled("train"), store.labels, units, fraction=config.fraction, seed=config.subset_seed
        )
    except PlrFastError as error:
        raise type(error)(f"{store.path.name}: {error}") from error
    return len(chosen), len(np.unique(store.groups[chosen]))


def dependents(grid: Grid) -> dict[str, list[CellTask]]:
    """Encoder's key -> the cells that begin with it."""
    found: dict[str, list[CellTask]] = defaultdict(list)
    for cell in grid.cells:
        if cell.needs is not None:
            found[cell.needs].append(cell)
    return found
