"""What the encoders of cells begin with, and the trainings that must come before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, DataError, PlrFastError
from ..planning.plan import IMAGENET, DatasetPlan, Experiment, MethodPlan, Place
from ..planning.settings import changed_settings, derived_seed, repeat_seeds, settings_sha256, training_config
from ..results import dataset_file_name
from .fits import NETWORK, require_fit, require_head
from .stores import Split, open_store
from .tasks import EncoderTask

if TYPE_CHECKING:
    from ...training import FinetuneConfig, PretrainConfig
    from ...training.seen import SeenSlices

_OTHER_VAL = 0.15  # of the slices of no data set of the experiment that an encoder is trained on


class Encoders:
    """The encoders of an experiment; cells with equal ones share a task.

    Attributes:
        tasks: by key.
    """

    def __init__(self, experiment: Experiment, out: Path) -> None:
        self.experiment, self.out = experiment, out
        self.tasks: dict[str, EncoderTask] = {}
        self._fitting: set[str] = set()  # weights that fit, with the networks that they fit into
        self._weights: dict[str, str] = {}  # path of a file of weights -> its hash
        self._seen: dict[str, SeenSlices] = {}  # place in the file -> what is trained on there
        self._new: set[tuple[str, Path]] = set()  # places and splits that have no slice in common
        self._others: dict[tuple[str, str], Split] = {}  # slices of no data set, by name and place in the file

    def begin(
        self, dataset: DatasetPlan, method: MethodPlan, split: Split, config: FinetuneConfig
    ) -> tuple[str, EncoderTask | None]:
        """Hash of what the encoder of a cell begins with, and the task that makes it if there is one.

        Raises:
            ConfigError, DataError, StoreError, CheckpointError: the classifier ``config`` cannot take it.
        """
        if method.pretrain is not None:
            task = self._pretraining(dataset, method, split, config)
        elif method.supervised is not None:
            task = self._supervised(method, config)
        else:
            return self._weights_of(method, config), None
        if method.other_place is not None:
            self._require_new(method.other_place, method, split, config)
        return task.sha256, task

    def _weights_of(self, method: MethodPlan, config: FinetuneConfig) -> str:
        if method.init == "random" or method.init.startswith("timm:"):
            return method.init
        self._require_weights(method, config)
        return self._weights_sha256(method.init)

    def _pretraining(
        self, dataset: DatasetPlan, method: MethodPlan, split: Split, finetune: FinetuneConfig
    ) -> EncoderTask:
        from ...training.usable import normal_slices, require_masks

        where, experiment, repeat = f"{method.where}: {method.name}", self.experiment, split.repeat
        recipe, own = method.recipe or experiment.recipe, method.pretrain or {}
        place, layers = dataset.place, (experiment.pretrain, dataset.pretrain)
        if method.pretrain_on is not None:
            # Settings of the data set are for its own slices, but the network must be that of its cells.
            network = {name: value for name, value in dataset.pretrain.items() if name in NETWORK}
            place, layers = method.pretrain_on, (experiment.pretrain, network)
            split = self._other_slices(place)
        config = training_config(
            "pretrain",
            recipe,
            layers,
            own,
            where=where,
            store=split.store.path,
            run=self.out / "runs" / "x",
            seed=repeat_seeds(experiment.seed, place.name, repeat)["seed"],
        )
        require_fit(config, finetune, where)
        require_head(config, finetune, where)
        _require_patch({name: value for layer in layers for name, value in layer.items()}, method, config, split, where)
        bank = self._weights_sha256(str(config.bank)) if config.bank is not None else None
        sha256 = settings_sha256({"pretrain": changed_settings(config), "bank": bank, "data": split.data_sha256})
        key = f"pretrain-{dataset_file_name(place.name)}-{repeat}-{sha256[:12]}"
        if key not in self.tasks:
            with _told_of(f"{where}: {place.name}"):
                require_masks(split.store, config.corruption)
                train, val = (normal_slices(split.store, part, config.skip_bad_masks) for part in ("train", "val"))
            self.tasks[key] = EncoderTask(
                key=key,
                kind="pretrain",
                place=place.name,
                methods=(),
                config=replace(config, run=self.out / "runs" / "encoders" / key),
                sha256=sha256,
                repeat=repeat,
                dataset=None if method.pretrain_on else dataset.name,
                keep=experiment.keeps(repeat),
                size=split.store.size,
                samples=(config.samples_per_epoch or len(train), len(val)),
            )
        return self._shared(key, method)

    def _supervised(self, method: MethodPlan, finetune: FinetuneConfig) -> EncoderTask:
        from ...training.usable import labelled_slices

        assert method.supervised is not None
        where = f"{method.where}: {method.name} (supervised)"
        place, recipe = method.supervised.place, method.recipe or self.experiment.recipe
        split = self._other_slices(place)
        config = training_config(
            "finetune",
            recipe,
            # The same network as that of the cells, whatever data set or method says of it.
            (self.experiment.finetune, method.finetune, {name: getattr(finetune, name) for name in NETWORK}),
            method.supervised.finetune,
            where=where,
            store=split.store.path,
            run=self.out / "runs" / "x",
            fraction=1.0,
            seed=derived_seed("supervised", self.experiment.seed, place.name),
        )
        require_fit(config, finetune, where)
        sha256 = settings_sha256({"supervised": changed_settings(config), "data": split.data_sha256})
        key = f"supervised-{dataset_file_name(place.name)}-{sha256[:12]}"
        if key not in self.tasks:
            with _told_of(f"{where}: {place.name}"):
                train, val = (labelled_slices(split.store, part) for part in ("train", "val"))
            self.tasks[key] = EncoderTask(
                key=key,
                kind="supervised",
                place=place.name,
                methods=(),
                config=replace(config, run=self.out / "runs" / "encoders" / key),
                sha256=sha256,
                repeat=0,
                dataset=None,
                keep=self.experiment.keeps(0),
                size=split.store.size,
                samples=(len(train), len(val)),
            )
        return self._shared(key, method)

    def _shared(self, key: str, method: MethodPlan) -> EncoderTask:
        self.tasks[key] = self.tasks[key].shared_with(method.name)
        return self.tasks[key]

    def _other_slices(self, place: Place) -> Split:
        """Slices of no data set, the same for all repeats."""
        key = (place.name, place.where)
        if key not in self._others:
            store = open_store(place, self.experiment.recipe, self.out, val_fraction=_OTHER_VAL, test_fraction=0.0)
            self._others[key] = Split(store, 0)
        return self._others[key]

    def _require_new(self, place: Place, method: MethodPlan, split: Split, config: FinetuneConfig) -> None:
        """Refuse slices of ``place`` that the cells of ``split`` are judged on, before an encoder learns from them."""
        from ...training.overlap import overlap
        from ...training.seen import seen_slices

        if config.allow_overlap or (place.where, split.store.path) in self._new:
            return
        if place.where not in self._seen:
            other = self._other_slices(place)
            learnt = other.store.select("train", 0) if method.pretrain_on else other.store.labelled("train")
            self._seen[place.where] = seen_slices(other.store, learnt)
        found = overlap(self._seen[place.where], split.store)
        if found.slices:
            raise ConfigError(
                f"{method.where}: {method.name}: {found.slices} of the {found.held_out} validation and test slices of "
                f"{split.store.path} are among the training slices of {place.name}: results would tell what the "
                "encoder remembers. Take other slices, or go on all the same with finetune: {allow_overlap: true}"
            )
        self._new.add((place.where, split.store.path))

    def _require_weights(self, method: MethodPlan, config: FinetuneConfig) -> None:
        """Refuse weights that the classifier cannot take, before anything is trained."""
        from ...training.initialisation import initialise
        from ...training.networks import make_classifier

        settings = config.to_json()
        kind = repr([method.init, *(settings[name] for name in ("model", *NETWORK, "hidden", "features", "init_head"))])
        if kind in self._fitting:
            return
        try:
            initialise(make_classifier(settings), config)
        except PlrFastError as error:
            raise type(error)(f"{method.where}: {method.name}: {error}") from error
        self._fitting.add(kind)

    def _weights_sha256(self, name: str) -> str:
        if name not in self._weights:
            from ...models.transfer import find_weights
            from ...training.record import file_sha256

            path = Path(name.removeprefix(IMAGENET)).expanduser()
            file = path if path.is_file() else find_weights(path)
            self._weights[name] = file_sha256(file)
        return self._weights[name]


@contextmanager
def _told_of(where: str) -> Iterator[None]:
    """Context whose errors of slices begin with ``where``."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def _require_patch(
    layers: Mapping[str, Any], method: MethodPlan, config: PretrainConfig, split: Split, where: str
) -> None:
    """Refuse lesions that would not be of the size that was meant."""
    from ...training.config.pretrain import SCALED, scaled_lesions

    own = method.pretrain or {}
    if method.recipe is not None and config.reference_size is not None and "reference_size" not in {**layers, **own}:
        for name in SCALED:
            if name in layers and name not in own:
                raise ConfigError(
                    f"{where}: {name} {layers[name]}, given for all methods, would be scaled by reference_size "
                    f"{config.reference_size} of {method.recipe.name}; give this method its own: "
                    f"pretrain: {{{name}: …}} at that size, or {{reference_size: null}}"
                )
    try:
        scaled_lesions(config.to_json(), split.store.size)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
