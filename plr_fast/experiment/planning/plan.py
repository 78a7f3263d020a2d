"""An experiment as its file describes it: data sets, methods, label fractions, and the settings of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...recipes import Recipe
from ..results import MethodKind, Unit

SplitBy = Literal["groups", "slices", "given"]
Keep = Literal["all", "first", "none"]

PHANTOM = "phantom"
IMAGENET = "imagenet:"


@dataclass(frozen=True)
class Place:
    """Where slices come from.

    Attributes:
        name: what ``--data NAME=PATH`` calls it.
        source: what ``plr-fast prepare`` reads (``phantom``, a folder, a manifest), or None.
        store: a slice store that is there, or None; without either, ``--data`` must say.
        prepare: settings of prepare over the recipe's, for a source.
        where: file and line, for messages.
    """

    name: str
    source: str | None
    store: Path | None
    prepare: Mapping[str, Any]
    where: str

    @property
    def filled(self) -> bool:
        return self.source is not None or self.store is not None


@dataclass(frozen=True)
class DatasetPlan:
    """A data set; see :class:`plr_fast.experiment.results.DatasetInfo` for what is not explained here.

    Attributes:
        repeats: how many times all methods are trained, each time on another split with other seeds.
        val_fraction, test_fraction: shares of the slices.
        optional: left out, and said so, when its data are not there.
        unit: what the groups of the store are, where its own word for them is wrong; None: the store knows.
    """

    place: Place
    split_by: SplitBy
    repeats: int
    val_fraction: float
    test_fraction: float
    pretrain: Mapping[str, Any]
    finetune: Mapping[str, Any]
    paper_table: Literal["IV", "V"] | None
    note: str
    optional: bool
    unit: Unit | None = None

    @property
    def name(self) -> str:
        return self.place.name


@dataclass(frozen=True)
class SupervisedPlan:
    """An encoder that is fine-tuned on other slices first, once for all cells (the paper's PneuXray)."""

    place: Place
    finetune: Mapping[str, Any]


@dataclass(frozen=True)
class MethodPlan:
    """A method: how a classifier's encoder begins, and what is different in its training.

    Attributes:
        recipe: whose settings lie under all others; None: the experiment's.
        pretrain: settings of its pretraining; None: it has none.
        pretrain_on: slices to pretrain on, of no data set of the experiment; None: the data set's own.
        finetune: settings of its fine-tuning.
        init: ``random``, ``imagenet:FILE``, a run's folder or a file of weights; ``imagenet:`` alone waits for
            ``--data``.
        supervised: what its encoder is fine-tuned on first.
        control: no network, but this (:mod:`..engine.controls`).
        optional: left out, and said so, when its file or data are not there.
        datasets, fractions: where it runs; None: everywhere.
    """

    name: str
    kind: MethodKind
    about: str
    recipe: Recipe | None
    pretrain: Mapping[str, Any] | None
    pretrain_on: Place | None
    finetune: Mapping[str, Any]
    init: str
    supervised: SupervisedPlan | None
    control: str | None
    optional: bool
    datasets: tuple[str, ...] | None
    fractions: tuple[float, ...] | None
    where: str

    @property
    def other_place(self) -> Place | None:
        """The slices beside those of the data sets that its encoder is trained on."""
        return self.supervised.place if self.supervised is not None else self.pretrain_on


@dataclass(frozen=True)
class FractionPlan:
    """A share of the labels.

    Attributes:
        repeats: of each data set's repeats only so many; None: all.
    """

    fraction: float
    repeats: int | None
    finetune: Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """An experiment file. Make one with :func:`plr_fast.experiment.planning.plan_reader.load_experiment`.

    Settings are laid over each other in this order, the last counts: recipe, experiment, data set, fraction, method.
    """

    name: str
    path: Path
    text: str
    title: str
    recipe: Recipe
    pretrain: Mapping[str, Any]
    finetune: Mapping[str, Any]
    evaluate: Mapping[str, Any]
    seed: int
    baseline: str
    keep: Keep
    datasets: tuple[DatasetPlan, ...]
    methods: tuple[MethodPlan, ...]
    fractions: tuple[FractionPlan, ...]
    card: Mapping[str, str] = field(default_factory=dict)
    """What its authors add to the model card and the checklists; see :mod:`.card_facts`."""
    left_out: tuple[str, ...] = field(default=())
    """What was optional and is not there, in plain sentences."""

    def keeps(self, repeat: int) -> bool:
        """Whether the networks of ``repeat`` stay when no training needs them any more."""
        return self.keep == "all" or (self.keep == "first" and repeat == 0)
