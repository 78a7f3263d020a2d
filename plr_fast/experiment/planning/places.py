"""Where the slices and weights of an experiment are: what its file says, and ``--data`` over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import ConfigError
from ...spelling import nearest
from .plan import IMAGENET, PHANTOM, DatasetPlan, Experiment, MethodPlan, Place


def with_data(experiment: Experiment, data: Mapping[str, str]) -> Experiment:
    """``experiment`` with the places that ``data`` fills, and without what is optional and missing.

    Args:
        data: name -> path, as :func:`.plan_reader.load_experiment` has it.

    Raises:
        ConfigError: ``data`` names what is not in the experiment, or what is not optional is missing.
    """
    known = {dataset.name for dataset in experiment.datasets}
    known |= {method.other_place.name for method in experiment.methods if method.other_place}
    known |= {method.name for method in experiment.methods if method.init.startswith(IMAGENET)}
    for name in data:
        if name not in known:
            raise ConfigError(
                f"--data {name}=…: {experiment.path} has no data of that name{nearest(name, known)} "
                f"({', '.join(sorted(known))})"
            )
    left_out: list[str] = []
    datasets = _datasets_there(experiment, data, left_out)
    if not datasets:
        raise ConfigError(f"{experiment.path}: no data set is left: {' '.join(left_out)}")
    methods = _methods_there(experiment, data, [dataset.name for dataset in datasets], left_out)
    if experiment.baseline not in [method.name for method in methods]:
        raise ConfigError(f"{experiment.path}: the baseline {experiment.baseline} is missing: {' '.join(left_out)}")
    return replace(experiment, datasets=tuple(datasets), methods=tuple(methods), left_out=tuple(left_out))


def _datasets_there(experiment: Experiment, data: Mapping[str, str], left_out: list[str]) -> list[DatasetPlan]:
    found = []
    for dataset in experiment.datasets:
        dataset = replace(dataset, place=_filled(dataset.place, data))
        if _is_there(f"data set {dataset.name}", dataset.optional, _missing(dataset.place), left_out):
            found.append(dataset)
    return found


def _methods_there(
    experiment: Experiment, data: Mapping[str, str], there: Sequence[str], left_out: list[str]
) -> list[MethodPlan]:
    found = []
    for method in experiment.methods:
        missing = ""
        if method.datasets is not None:
            named = method.datasets
            method = replace(method, datasets=tuple(name for name in named if name in there))
            if not method.datasets:
                left_out.append(f"The method {method.name} was left out: it runs on {', '.join(named)} alone.")
                continue
        if method.supervised is not None:
            place = _filled(method.supervised.place, data)
            method = replace(method, supervised=replace(method.supervised, place=place))
            missing = _missing(place)
        elif method.pretrain_on is not None:
            place = _filled(method.pretrain_on, data)
            method = replace(method, pretrain_on=place)
            missing = _missing(place)
        elif method.init != "random":
            method, missing = _with_weights(method, data)
        if _is_there(f"method {method.name}", method.optional, missing, left_out):
            found.append(method)
    return found


def _is_there(what: str, optional: bool, missing: str, left_out: list[str]) -> bool:
    """Whether nothing is ``missing``; what is optional is noted in ``left_out``, anything else is an error."""
    if missing and not optional:
        raise ConfigError(missing)
    if missing:
        left_out.append(f"The {what} was left out: {missing}.")
    return not missing


def _filled(place: Place, data: Mapping[str, str]) -> Place:
    if place.name not in data:
        return place
    given = data[place.name]
    if given != PHANTOM and (Path(given).expanduser() / "store.json").is_file():
        return replace(place, source=None, store=Path(given).expanduser(), prepare={})
    return replace(place, source=given if given == PHANTOM else str(Path(given).expanduser()), store=None)


def _missing(place: Place) -> str:
    """Why there are no slices at ``place``, or nothing."""
    if not place.filled:
        return f"{place.where}: {place.name} has no data: give --data {place.name}=PATH (a slice store or a source)"
    path = place.store if place.store is not None else Path(str(place.source))
    if place.source == PHANTOM or path.exists():
        return ""
    return f"{place.where}: the {'store' if place.store else 'source'} {path} of {place.name} does not exist"


def _with_weights(method: MethodPlan, data: Mapping[str, str]) -> tuple[MethodPlan, str]:
    if method.init.startswith(IMAGENET):
        if method.name in data:
            method = replace(method, init=IMAGENET + str(Path(data[method.name]).expanduser()))
        path = method.init.removeprefix(IMAGENET)
        if not path:
            return method, f"{method.where}: {method.name} has no weights: give --data {method.name}=FILE"
    elif method.init.startswith("timm:"):
        return method, ""
    else:
        path = method.init
    if not Path(path).expanduser().exists():
        return method, f"{method.where}: the weights {path} of {method.name} do not exist"
    return method, ""
