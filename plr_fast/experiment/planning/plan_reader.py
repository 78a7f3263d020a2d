"""Reading an experiment file; every mistake is named with its line and the nearest right word."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ...errors import ConfigError
from ...recipes import Recipe, load_config
from ...recipes.document import SUFFIXES
from ...recipes.yaml_nodes import Node, read_yaml
from ...spelling import nearest
from ..results import CellKey, MethodKind, Unit, dataset_file_name
from .card_facts import card_facts
from .controls import CONTROLS
from .places import with_data
from .plan import (
    IMAGENET,
    PHANTOM,
    DatasetPlan,
    Experiment,
    FractionPlan,
    Keep,
    MethodPlan,
    Place,
    SplitBy,
    SupervisedPlan,
)

_TOP = (
    *("title", "recipe", "pretrain", "finetune", "evaluate", "seed", "baseline", "keep"),
    *("datasets", "methods", "fractions", "card"),
)
_PLACE = ("source", "store", "prepare")
_DATASET = (
    *("name", *_PLACE, "split_by", "repeats", "val_fraction", "test_fraction"),
    *("pretrain", "finetune", "paper_table", "note", "optional", "unit"),
)
_METHOD = (
    *("name", "kind", "about", "recipe", "pretrain", "pretrain_on", "finetune", "init", "supervised", "control"),
    *("optional", "datasets", "fractions"),
)

_DEVICES = "--jobs and --devices of plr-fast experiment say it"
_OURS = "the experiment gives each run its own"
_REFUSED_TRAINING: Mapping[str, str] = {
    **dict.fromkeys(("store", "run"), _OURS),
    **dict.fromkeys(("accelerator", "devices", "num_nodes", "threads", "data_device"), _DEVICES),
    "seed": "it follows from the experiment's seed, the data set and the repeat, so that methods are paired",
    "progress": "the experiment shows its own progress",
}
_REFUSED_FINETUNING: Mapping[str, str] = {
    **_REFUSED_TRAINING,
    "subset_seed": _REFUSED_TRAINING["seed"],
    "fraction": "fractions are listed in 'fractions' for all methods",
    "init": "it is a setting of the method: beside 'name', not below 'finetune'",
    "init_name": "the method's name is used",
}
_REFUSED_PREPARE: Mapping[str, str] = {
    **dict.fromkeys(("source", "out", "overwrite", "progress"), _OURS),
    **dict.fromkeys(("val_fraction", "test_fraction", "fold"), "it is a setting of the data set: beside 'name'"),
}
_EVALUATE = ("threshold",)
_LONGEST = 60  # two names, fraction, repeat and a hash make a file's name, which ends at 255 bytes everywhere


def shipped() -> list[str]:
    """Names of the experiments that come with plr_fast."""
    return sorted(path.stem for path in (Path(__file__).parent / "plans").glob("*.yaml"))


def load_experiment(
    name: str | os.PathLike[str],
    data: Mapping[str, str] | None = None,
    *,
    keep: Keep | None = None,
    need_data: bool = True,
) -> Experiment:
    """The experiment that ``name`` says: a name of :func:`shipped`, or a YAML file.

    Args:
        name: what has neither folder nor suffix is the name of a shipped one.
        data: name of a data set, of a method's ``supervised`` or ``pretrain_on`` data, or of a method with
            ``init: 'imagenet:'`` -> its path: a slice store, whatever prepare reads, or the file of weights. It
            replaces what the file says.
        keep: instead of the file's.
        need_data: False: for reading only; nothing is filled in, left out or looked for.

    Raises:
        ConfigError: there is none, something in it is wrong, or data are missing: names file and line, and how to
            mend it.
    """
    path = _find(os.fspath(name))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    experiment = _Reader(path, text).experiment()
    if keep is not None:
        experiment = replace(experiment, keep=keep)
    return with_data(experiment, data or {}) if need_data else experiment


def _find(name: str) -> Path:
    own = Path(__file__).parent / "plans" / f"{name}.yaml"
    if name in shipped():
        return own
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.suffix in SUFFIXES or len(path.parts) > 1:
        raise ConfigError(f"the experiment file {path} {'is a folder' if path.is_dir() else 'does not exist'}")
    raise ConfigError(
        f"there is no experiment {name!r}{nearest(name, shipped())} (known: {', '.join(shipped())}; a file's name ends "
        "in .yaml)"
    )


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def experiment(self) -> Experiment:
        root = read_yaml(self.path, self.text, "an experiment")
        if root.is_empty:
            raise ConfigError(f"{self.path} is empty")
        top = root.mapping(_TOP, required=("datasets", "methods"))
        methods = tuple(self._method(node) for node in top["methods"].items())
        datasets = tuple(self._dataset(node) for node in top["datasets"].items())
        fractions = self._fractions(top["fractions"]) if "fractions" in top else (FractionPlan(1.0, None, {}),)
        # Cells have '+' as 'plus' in methods and leave it out in data sets; tables have it in both.
        self._check_names(top["methods"], [(one.name, CellKey("x", one.name, 1.0, 0)) for one in methods])
        self._check_names(top["datasets"], [(one.name, CellKey(one.name, "x", 1.0, 0)) for one in datasets])
        self._check_names(top["datasets"], [(one.name, CellKey("x", one.name, 1.0, 0)) for one in datasets])
        self._check_places(top["methods"], datasets, methods)
        baseline = str(_get(top, "baseline", str, methods[0].name))
        names = [method.name for method in methods]
        if baseline not in names:
            top["baseline"].fail(
                f"baseline {baseline!r} is no method{nearest(baseline, names)} (there are: {', '.join(names)})"
            )
        for node, method in zip(top["methods"].items(), methods, strict=True):
            for label, chosen, known in (
                ("datasets", method.datasets, [dataset.name for dataset in datasets]),
                ("fractions", method.fractions, [entry.fraction for entry in fractions]),
            ):
                if chosen == ():
                    node.fail(f"{method.name}: {label} is empty: leave it out, or name where the method runs")
                for value in chosen or ():
                    if value not in known:
                        node.fail(f"{method.name}: {label} names {value!r}, which the experiment does not have")
        return Experiment(
            name=self.path.stem,
            path=self.path,
            text=self.text,
            title=_get(top, "title", str, self.path.stem),
            recipe=_recipe(top["recipe"]) if "recipe" in top else load_config("default"),
            pretrain=_settings(top, "pretrain", _REFUSED_TRAINING),
            finetune=_settings(top, "finetune", _REFUSED_FINETUNING),
            evaluate=self._evaluate(top),
            seed=_number(top, "seed", 0, low=0, high=2**63 - 1),
            baseline=baseline,
            keep=_get(top, "keep", Literal["all", "first", "none"], "first"),
            datasets=datasets,
            methods=methods,
            card=card_facts(top["card"].plain, f"{self.path} line {top['card'].line}: card") if "card" in top else {},
            fractions=fractions,
        )

    def _evaluate(self, top: Mapping[str, Node]) -> dict[str, Any]:
        if "evaluate" not in top:
            return {}
        top["evaluate"].mapping(_EVALUATE)
        return top["evaluate"].settings("evaluate", {})

    def _dataset(self, node: Node) -> DatasetPlan:
        found = node.mapping(_DATASET, required=("name",))
        split_by: SplitBy = _get(found, "split_by", Literal["groups", "slices", "given"], "groups")
        if split_by == "given":
            for name in ("val_fraction", "test_fraction"):
                if name in found and "store" in found:
                    found[name].fail(f"{name} has no meaning beside split_by: given, which takes the store's splits")
        shares = {name: _share(found, name, share) for name, share in (("val_fraction", 0.15), ("test_fraction", 0.2))}
        if sum(shares.values()) >= 1.0:
            node.fail("val_fraction and test_fraction leave nothing for training; their sum must be below 1")
        return DatasetPlan(
            place=self._place(node, found, _name(found["name"])),
            split_by=split_by,
            repeats=_number(found, "repeats", 3, low=1, high=1000),
            **shares,
            pretrain=_settings(found, "pretrain", _REFUSED_TRAINING),
            finetune=_settings(found, "finetune", _REFUSED_FINETUNING),
            paper_table=_get(found, "paper_table", Literal["IV", "V"] | None, None),
            note=_get(found, "note", str, ""),
            optional=_get(found, "optional", bool, False),
            unit=_get(found, "unit", Unit | None, None),
        )

    def _place(self, node: Node, found: Mapping[str, Node], name: str) -> Place:
        source, store = _get(found, "source", str | None, None), _get(found, "store", Path | None, None)
        if source is not None and store is not None:
            found["store"].fail(f"{name} has a source and a store: give one")
        if store is not None and "prepare" in found:
            found["prepare"].fail(f"prepare has no meaning beside store: {store}, which is prepared")
        if source is not None and source != PHANTOM:
            source = str(Path(source).expanduser())
        prepare = _settings(found, "prepare", _REFUSED_PREPARE)
        return Place(name, source, store, prepare, f"{self.path} line {node.line}")

    def _method(self, node: Node) -> MethodPlan:
        found = node.mapping(_METHOD, required=("name", "kind"))
        name = _name(found["name"])
        kind: MethodKind = found["kind"].typed(Literal["paper", "ours", "control"])
        pretrain: Mapping[str, Any] | None = None
        if "pretrain" in found:
            if found["pretrain"].is_mapping or found["pretrain"].is_empty:
                pretrain = found["pretrain"].settings("pretrain", _REFUSED_TRAINING)
            elif found["pretrain"].typed(bool):
                pretrain = {}
        elif "recipe" in found and not {"init", "supervised", "control"} & set(found):
            pretrain = {}
        supervised = None
        if "supervised" in found:
            inner = found["supervised"].mapping(("name", *_PLACE, "finetune"))
            label = _name(inner["name"]) if "name" in inner else name
            place = self._place(found["supervised"], inner, label)
            supervised = SupervisedPlan(place, _settings(inner, "finetune", _REFUSED_FINETUNING))
        pretrain_on = None
        if "pretrain_on" in found:
            if pretrain is None:
                found["pretrain_on"].fail(
                    f"pretrain_on has no meaning for {name}, which is not pretrained: give pretrain: {{}} beside it"
                )
            inner = found["pretrain_on"].mapping(("name", *_PLACE), required=("name",))
            pretrain_on = self._place(found["pretrain_on"], inner, _name(inner["name"]))
        ways = [key for key, given in (("pretrain", pretrain is not None), ("supervised", supervised)) if given]
        ways += [key for key in ("init", "control") if key in found]
        if len(ways) > 1:
            node.fail(f"{name} has {' and '.join(ways)}: its encoder can begin in one way only")
        chosen = _get(found, "control", str | None, None)
        if chosen is not None and chosen not in CONTROLS:
            found["control"].fail(f"there is no control {chosen!r}{nearest(chosen, CONTROLS)} ({', '.join(CONTROLS)})")
        if chosen is not None and "finetune" in found:
            found["finetune"].fail(f"finetune has no meaning for the control {chosen}, which trains no network")
        datasets, fractions = (
            _get(found, "datasets", tuple[str, ...] | None, None),
            _get(found, "fractions", tuple[float, ...] | None, None),
        )
        return MethodPlan(
            name=name,
            kind=kind,
            about=_get(found, "about", str, ""),
            recipe=_recipe(found["recipe"]) if "recipe" in found else None,
            pretrain=pretrain,
            pretrain_on=pretrain_on,
            finetune=_settings(found, "finetune", _REFUSED_FINETUNING),
            init=_get(found, "init", str, "random"),
            supervised=supervised,
            control=chosen,
            optional=_get(found, "optional", bool, False),
            datasets=datasets,
            fractions=fractions,
            where=f"{self.path} line {node.line}",
        )

    def _fractions(self, node: Node) -> tuple[FractionPlan, ...]:
        found: list[FractionPlan] = []
        for item in node.items():
            if item.is_mapping:
                inner = item.mapping(("fraction", "repeats", "finetune"), required=("fraction",))
                repeats = _number(inner, "repeats", None, low=1, high=1000)
                settings = _settings(inner, "finetune", _REFUSED_FINETUNING)
                entry = FractionPlan(inner["fraction"].typed(float), repeats, settings)
            else:
                entry = FractionPlan(item.typed(float), None, {})
            if not 0.0 < entry.fraction <= 1.0:
                item.fail(f"a fraction must be above 0 and at most 1 (10 % is 0.1), not {entry.fraction:g}")
            # File names and tables have six digits of it.
            if any(f"{entry.fraction:g}" == f"{other.fraction:g}" for other in found):
                item.fail(f"the fraction {entry.fraction:g} stands there twice")
            found.append(entry)
        return tuple(found)

    def _check_names(self, node: Node, keys: Sequence[tuple[str, CellKey]]) -> None:
        files: dict[str, str] = {}
        for item, (name, key) in zip(node.items(), keys, strict=True):
            file = key.file_name
            if file in files:
                item.fail(
                    f"{name!r} and {files[file]!r} would share their files: names must differ in letters or digits"
                )
            files[file] = name

    def _check_places(self, node: Node, datasets: Sequence[DatasetPlan], methods: Sequence[MethodPlan]) -> None:
        """Names of ``--data`` must mean one thing each."""
        sets = {dataset_file_name(dataset.name): dataset.name for dataset in datasets}
        weights = [method.name for method in methods if method.init.startswith(IMAGENET)]
        others: dict[str, Place] = {}
        for item, method in zip(node.items(), methods, strict=True):
            place = method.other_place
            if place is None:
                continue
            said = f"{method.name}: {place.name!r}"
            file_name = dataset_file_name(place.name)
            if file_name in sets:
                item.fail(
                    f"{said} is the name of the data set {sets[file_name]}: give the slices that an "
                    "encoder is trained on first another name"
                )
            if place.name in weights:
                item.fail(f"{said} is the name of a method with weights of its own: give the slices another name")
            first = others.setdefault(file_name, place)
            if (first.name, first.source, first.store, first.prepare) != (
                *(place.name, place.source, place.store, place.prepare),
            ):
                item.fail(f"{said} is named at {first.where}, too, with other slices: give each a name of its own")


def _recipe(node: Node) -> Recipe:
    name = node.typed(str)
    try:
        return load_config(name)
    except ConfigError as error:
        node.fail(str(error))


def _settings(found: Mapping[str, Node], section: Any, refused: Mapping[str, str]) -> dict[str, Any]:
    return found[section].settings(section, refused) if section in found else {}


def _get(found: Mapping[str, Node], name: str, hint: Any, default: Any) -> Any:
    return found[name].typed(hint) if name in found else default


def _number(found: Mapping[str, Node], name: str, default: Any, *, low: int, high: int) -> Any:
    value = _get(found, name, int, default)
    if name in found and not low <= value <= high:
        found[name].fail(f"{name} must be {low} … {high}, not {value}")
    return value


def _share(found: Mapping[str, Node], name: str, default: float) -> float:
    value: float = _get(found, name, float, default)
    if not 0.0 < value < 1.0:
        found[name].fail(f"{name} must lie between 0 and 1, not {value:g}")
    return value


def _name(node: Node) -> str:
    name = str(node.typed(str)).strip()
    if not any(character.isascii() and character.isalnum() for character in name) or "=" in name:
        node.fail(f"a name needs letters a to z or digits, and no '=', not {name!r}")
    if not name.isprintable() or len(name) > _LONGEST:
        node.fail(f"a name must be one line of at most {_LONGEST} characters, not {name[:_LONGEST]!r}")
    return name
