"""The grid of an experiment whose slices are there: every training with its settings, and what must be done first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, PlrFastError
from ..planning.plan import IMAGENET, DatasetPlan, Experiment, FractionPlan, MethodPlan
from ..planning.settings import changed_settings, derived_seed, named_settings, settings_sha256, training_config
from ..results import CellKey, DatasetInfo, Plan
from .fits import NETWORK, require_fit, require_head
from .plan_record import make_plan
from .stores import Split, describe, make_split, open_store, slug
from .tasks import CellTask, EncoderTask

if TYPE_CHECKING:
    from ...data.store import SliceStore
    from ...evaluation.thresholds import ThresholdRule
    from ...training import FinetuneConfig, PretrainConfig

_SUPERVISED_VAL = 0.15  # of the slices that an encoder is fine-tuned on first


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
        self.encoders: dict[str, EncoderTask] = {}
        self.cells: list[CellTask] = []
        self.tried: set[str] = set()  # weights that fit, with the networks that they fit into
        self.weights: dict[str, str] = {}  # path of a file of weights -> its hash
        self.stores: dict[Path, tuple[SliceStore, str]] = {}  # of supervised encoders
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
        return Grid(plan, self.encoders, tuple(self.cells), sizes)

    def _repeats(self, dataset: DatasetPlan, entry: FractionPlan) -> int:
        return min(dataset.repeats, entry.repeats or dataset.repeats)

    def _cell(self, dataset: DatasetPlan, method: MethodPlan, entry: FractionPlan, split: Split) -> None:
        experiment, key = self.experiment, CellKey(dataset.name, method.name, entry.fraction, split.repeat)
        seeds = _seeds(experiment, dataset, split)
        begins = method.pretrain is not None or method.supervised is not None
        config: FinetuneConfig = training_config(
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
        init, encoder = self._init(dataset, method, split, config)
        if encoder is not None:
            # Its slices are training slices of the very same split; equal pictures in other parts are warned of.
            own = encoder.dataset is not None
            config = replace(config, init=str(encoder.config.run), allow_overlap=own or config.allow_overlap)
        train = _training_slices(split, config)
        if method.control is None:
            named = {"finetune": changed_settings(config), "init": init}
            record: dict[str, Any] = {"finetune": named_settings(config), "init": init}
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
                keep=self._keep(split.repeat),
                size=split.store.size,
                samples=(train[0], len(split.labelled("val"))),
                facts={
                    "split_sha256": split.sha256,
                    "store_fingerprint": split.store.fingerprint,
                    "size": split.store.size,
                    "seed": config.seed,
                    "subset_seed": config.subset_seed,
                    "train_slices": train[0],
                    "train_groups": train[1],
                    "val_slices": len(split.labelled("val")),
                    "test_slices": len(split.labelled("test")),
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

    def _init(
        self, dataset: DatasetPlan, method: MethodPlan, split: Split, config: FinetuneConfig
    ) -> tuple[str, EncoderTask | None]:
        """Hash of what the encoder of a cell begins with, and the task that makes it if there is one."""
        if method.pretrain is not None:
            task = self._pretraining(dataset, method, split, config)
            return task.sha256, task
        if method.supervised is not None:
            task = self._supervised(method, config)
            return task.sha256, task
        if method.init == "random" or method.init.startswith("timm:"):
            return method.init, None
        self._require_weights(method, config)
        return self._weights_sha256(method.init), None

    def _require_weights(self, method: MethodPlan, config: FinetuneConfig) -> None:
        """Refuse weights that the classifier cannot take, before anything is trained."""
        from ...training.initialisation import initialise
        from ...training.networks import make_classifier

        settings = config.to_json()
        kind = repr([method.init, *(settings[name] for name in ("model", *NETWORK, "hidden", "features", "init_head"))])
        if kind in self.tried:
            return
        try:
            initialise(make_classifier(settings), config)
        except PlrFastError as error:
            raise type(error)(f"{method.where}: {method.name}: {error}") from error
        self.tried.add(kind)

    def _require_patch(
        self, dataset: DatasetPlan, method: MethodPlan, config: PretrainConfig, size: int, where: str
    ) -> None:
        """Refuse lesions that would not be of the size that was meant."""
        from ...training.config.pretrain import SCALED, scaled_lesions

        layers = {**self.experiment.pretrain, **dataset.pretrain}
        own = method.pretrain or {}
        if (
            method.recipe is not None
            and config.reference_size is not None
            and "reference_size" not in {**layers, **own}
        ):
            for name in SCALED:
                if name in layers and name not in own:
                    raise ConfigError(
                        f"{where}: {name} {layers[name]}, given for all methods, would be scaled by reference_size "
                        f"{config.reference_size} of {method.recipe.name}; give this method its own: "
                        f"pretrain: {{{name}: …}} at that size, or {{reference_size: null}}"
                    )
        try:
            scaled_lesions(config.to_json(), size)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None

    def _pretraining(
        self, dataset: DatasetPlan, method: MethodPlan, split: Split, finetune: FinetuneConfig
    ) -> EncoderTask:
        where = f"{method.where}: {method.name}"
        seed = _seeds(self.experiment, dataset, split)["seed"]
        config: PretrainConfig = training_config(
            "pretrain",
            method.recipe or self.experiment.recipe,
            (self.experiment.pretrain, dataset.pretrain),
            method.pretrain or {},
            where=where,
            store=split.store.path,
            run=self.out / "runs" / "x",
            seed=seed,
        )
        require_fit(config, finetune, where)
        require_head(config, finetune, where)
        self._require_patch(dataset, method, config, split.store.size, where)
        bank = self._weights_sha256(str(config.bank)) if config.bank is not None else None
        sha256 = settings_sha256({"pretrain": changed_settings(config), "bank": bank, "data": split.data_sha256})
        key = f"pretrain-{slug(dataset.name)}-{split.repeat}-{sha256[:12]}"
        if key in self.encoders:
            known = self.encoders[key]
            name = method.name
            if name not in known.label.split(" · ")[1].split(", "):
                parts = known.label.split(" · ")
                known = replace(known, label=" · ".join([parts[0], f"{parts[1]}, {name}", *parts[2:]]))
                self.encoders[key] = known
            return known
        normals = len(split.store.select("train", 0))
        samples = config.samples_per_epoch or normals
        task = EncoderTask(
            key=key,
            label=f"{dataset.name} · {method.name} · pretraining · repeat {split.repeat}",
            config=replace(config, run=self.out / "runs" / "encoders" / key),
            sha256=sha256,
            repeat=split.repeat,
            dataset=dataset.name,
            keep=self._keep(split.repeat),
            size=split.store.size,
            samples=(samples, len(split.store.select("val", 0))),
        )
        self.encoders[key] = task
        return task

    def _supervised(self, method: MethodPlan, finetune: FinetuneConfig) -> EncoderTask:
        assert method.supervised is not None
        where = f"{method.where}: {method.name} (supervised)"
        place, recipe = method.supervised.place, method.recipe or self.experiment.recipe
        path = place.store or self.out
        if place.store is None or path not in self.stores:
            store = open_store(place, recipe, self.out, val_fraction=_SUPERVISED_VAL, test_fraction=0.0)
            self.stores[store.path] = (store, Split(store, 0).data_sha256)
            path = store.path
        store, data_sha256 = self.stores[path]
        config: FinetuneConfig = training_config(
            "finetune",
            recipe,
            # The same network as that of the cells, whatever data set or method says of it.
            (self.experiment.finetune, method.finetune, {name: getattr(finetune, name) for name in NETWORK}),
            method.supervised.finetune,
            where=where,
            store=store.path,
            run=self.out / "runs" / "x",
            fraction=1.0,
            seed=derived_seed("supervised", self.experiment.seed, place.name),
        )
        require_fit(config, finetune, where)
        sha256 = settings_sha256({"supervised": changed_settings(config), "data": data_sha256})
        key = f"supervised-{slug(place.name)}-{sha256[:12]}"
        if key not in self.encoders:
            train, val = Split(store, 0).labelled("train"), Split(store, 0).labelled("val")
            self.encoders[key] = EncoderTask(
                key=key,
                label=f"{place.name} · {method.name} · supervised",
                config=replace(config, run=self.out / "runs" / "encoders" / key),
                sha256=sha256,
                repeat=0,
                dataset=None,
                keep=self._keep(0),
                size=store.size,
                samples=(len(train), len(val)),
            )
        return self.encoders[key]

    def _weights_sha256(self, name: str) -> str:
        if name not in self.weights:
            from ...models.transfer import find_weights
            from ...training.record import file_sha256

            path = Path(name.removeprefix(IMAGENET)).expanduser()
            file = path if path.is_file() else find_weights(path)
            self.weights[name] = file_sha256(file)
        return self.weights[name]

    def _keep(self, repeat: int) -> bool:
        return self.experiment.keep == "all" or (self.experiment.keep == "first" and repeat == 0)

    def _resolved(self, method: MethodPlan, encoder: EncoderTask | None, config: FinetuneConfig) -> None:
        if method.name in self.resolved:
            return
        found: dict[str, Any] = {"name": method.name, "kind": method.kind}
        if method.control is not None:
            found["control"] = method.control
        else:
            if encoder is not None:
                found["supervised" if method.supervised else "pretrain"] = named_settings(encoder.config)
            elif method.init != "random":
                found["init"] = method.init
            found["finetune"] = named_settings(config)
        self.resolved[method.name] = found


def _runs(method: MethodPlan, dataset: DatasetPlan, entry: FractionPlan) -> bool:
    return (method.datasets is None or dataset.name in method.datasets) and (
        method.fractions is None or entry.fraction in method.fractions
    )


def _seeds(experiment: Experiment, dataset: DatasetPlan, split: Split) -> dict[str, int]:
    """Of all cells of a repeat, whatever else is in the grid."""
    parts = (experiment.seed, dataset.name, split.repeat)
    return {"seed": derived_seed("training", *parts), "subset_seed": derived_seed("labels", *parts)}


def _training_slices(split: Split, config: FinetuneConfig) -> tuple[int, int]:
    """Slices and groups that a cell learns from; raises ``DataError`` where they lack a class."""
    import numpy as np

    from ...training.fractions import label_subset

    store = split.store
    units = store.groups if config.fraction_by == "groups" else store.ids
    assert config.subset_seed is not None
    try:
        chosen = label_subset(
            split.labelled("train"), store.labels, units, fraction=config.fraction, seed=config.subset_seed
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
