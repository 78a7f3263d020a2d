"""What the results of an experiment say about themselves, in plain sentences: for the model card and the checklists.

Every sentence is made of :class:`~plr_fast.experiment.results.Results`; what they do not hold has no sentence here, and
is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..evidence.calibration import BINS
from ..evidence.significance import against_baseline
from ..evidence.statistics import DatasetStatistics
from ..results import CellResult, DatasetInfo, Results
from ..tally import cell_warnings, time_spent

UNITS: Mapping[str, str] = {"patient": "patients", "block": "blocks of neighbouring files", "file": "files"}

NOTHING: Mapping[str, str] = {
    "leaks": "Test and training data were not checked for shared or similar pictures",
    "controls": "No controls were run",
    "warnings": "",
    "missing_cells": "",
    "clusters": "",
}
"""What it means that a key has no sentence: the text, or nothing worth telling. Of others: it was not recorded."""

_PARTED = {
    "groups": "whole {unit} fall into one part; no part shares any with another",
    "slices": "single slices were drawn, so one patient may have slices in several parts and results are inflated",
    "given": "the store's own split, the same in all repeats",
}
_MOST_GROUPS = 20  # fewer make rough intervals


def known_facts(
    results: Results, statistics: Mapping[str, DatasetStatistics], leaks: Sequence[str] = ()
) -> dict[str, str]:
    """Sentences by key; a key is left out where nothing is known.

    Args:
        results: the experiment.
        statistics: of its data sets, see :func:`~plr_fast.experiment.evidence.statistics.experiment_statistics`.
        leaks: what a check of test against training data found; empty: there was none.
    """
    found = {
        "task": _task(results),
        "goal": _goal(results),
        "data": _each(results, _data),
        "encoder_slices": _encoder_slices(results),
        "units": _each(results, _units),
        "partitions": _each(results, lambda info: _partitions(info, results)),
        "sizes": _each(results, lambda info: _sizes(results.select(dataset=info.name))),
        "events": _each(results, lambda info: _events(info, results.select(dataset=info.name))),
        "preprocessing": _preprocessing(results.cells),
        "inputs": _preprocessing(results.cells),
        "model": _model(results.cells),
        "initialisations": _initialisations(results),
        "training": _training(results.cells),
        "selection": _selection(results.cells),
        "fractions": _fractions(results),
        "imbalance": _imbalance(results.cells),
        "output": _output(results.cells),
        "metrics": "AUROC, balanced accuracy of the hard labels, accuracy, precision, recall, F1, Brier score and "
        f"expected calibration error ({BINS} bins of equal mass), on the test slices of each repeat",
        "uncertainty": _uncertainty(statistics),
        "controls": _controls(results),
        "performance": _performance(results, statistics),
        "clusters": _clusters(results),
        "internal": "Tested on held-out parts of the same data sets only" if results.cells else "",
        "leaks": " ".join(leaks),
        "missing_cells": _missing(results),
        "warnings": _warnings(results.cells),
        "software": _software(results.plan.facts, results.cells),
        "hardware": _hardware(results),
        "seeds": f"Seed {results.plan.seed}; every split, label subset and initialisation is derived from it",
        "hashes": _hashes(results),
        "ensembles": "No ensembles: each cell is one classifier" if results.cells else "",
        "tuning": "No setting was tuned within the experiment: its file fixes them" if results.plan.config else "",
        "updating": "The classifiers were neither updated nor recalibrated after their training"
        if results.cells
        else "",
    }
    return {key: text for key, text in found.items() if text}


def setting(cell: CellResult, name: str) -> Any:
    """A setting of the fine-tuning as the cell recorded it, or None."""
    settings = cell.facts.get("settings")
    part = settings.get("finetune") if isinstance(settings, Mapping) else None
    return part.get(name) if isinstance(part, Mapping) else None


def distinct(values: Sequence[Any]) -> list[Any]:
    """Those that are not None, each once, in their order."""
    found: list[Any] = []
    for value in values:
        if value is not None and value not in found:
            found.append(value)
    return found


def span(values: Sequence[float]) -> str:
    """``12`` or ``12 to 40``, with separators of thousands."""
    low, high = min(values), max(values)
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def _each(results: Results, tell: Callable[[DatasetInfo], str]) -> str:
    sentences = [(info.name, tell(info)) for info in results.plan.datasets]
    return "; ".join(f"{name}: {text}" for name, text in sentences if text)


def _task(results: Results) -> str:
    classes = distinct([f"{info.class_names[1]} or {info.class_names[0]}" for info in results.plan.datasets])
    return f"Deep networks that call a CT slice {' / '.join(classes)}"


def _goal(results: Results) -> str:
    names = [method.name for method in results.plan.methods if method.name != results.plan.baseline]
    return (
        f"Comparison of {len(results.plan.methods)} ways to begin or replace the training of a classifier: "
        f"{', '.join(names)} against the baseline {results.plan.baseline}"
    )


def _data(info: DatasetInfo) -> str:
    text = f"{info.slices:,} slices, classes {info.class_names[0]} and {info.class_names[1]}"
    return f"{text}. {info.note.rstrip('.')}" if info.note else text


def _encoder_slices(results: Results) -> str:
    """What encoders learnt from that is no training part of a data set; empty where that was not recorded."""
    names = results.plan.facts.get("encoder_slices")
    found: dict[str, list[Any]] = {}
    for cell in results.cells:
        found.setdefault(cell.key.method, []).append(cell.facts.get("encoder_slices"))
    texts = []
    for method in results.plan.methods:
        name = names.get(method.name) if isinstance(names, Mapping) else None
        facts = distinct(found.get(method.name, ()))
        if name is not None or facts:
            texts.append(f"{method.name}: {' and '.join(_learnt(name, one) for one in facts or [{}])}")
    if not texts:
        return (
            ""
            if names is None
            else "None: encoders trained in the experiment saw the training and validation parts only"
        )
    return (
        f"{'; '.join(texts)}. Test slices were compared with these by id and picture only: other slices of the same "
        "people would not be noticed under other ids"
    )


def _learnt(name: str | None, facts: Mapping[str, Any]) -> str:
    """Slices of an encoder; without facts, as cells of earlier versions have none, their name alone."""
    normal = "normal " if facts.get("kind") == "pretrain" else ""
    slices = f"{facts['train_slices']:,} {normal}slices" if facts.get("train_slices") else "slices"
    text = f"{slices} of {name or 'other data'}"
    if facts.get("store_fingerprint"):
        text += f" (store {facts['store_fingerprint'][:16]})"
    return f"{text}, and {facts['val_slices']:,} to choose the epoch" if facts.get("val_slices") else text


def _units(info: DatasetInfo) -> str:
    return f"{info.groups:,} {UNITS[info.unit]}" + ("" if info.unit == "patient" else "; patients are not known")


def _partitions(info: DatasetInfo, results: Results) -> str:
    repeats = len({key.repeat for key in results.plan.cells if key.dataset == info.name})
    how = _PARTED[info.split_by].format(unit=UNITS[info.unit])
    return f"{how}; {repeats} repeat{'s' if repeats != 1 else ''}, shared by all methods"


def _sizes(cells: Sequence[CellResult]) -> str:
    if not cells:
        return ""
    full = [cell for cell in cells if cell.key.fraction == max(one.key.fraction for one in cells)]
    share = f"{100 * full[0].key.fraction:g} % of the labels"
    text = (
        f"{span([cell.train_slices for cell in full])} labelled training slices of "
        f"{span([cell.train_groups for cell in full])} groups at {share}"
    )
    validation = distinct([cell.facts.get("val_slices") for cell in cells])
    if validation:
        text += f", {span(validation)} validation slices"
    groups = [len(set(cell.groups.tolist())) for cell in cells]
    return f"{text}, {span([len(cell.labels) for cell in cells])} test slices of {span(groups)} groups"


def _events(info: DatasetInfo, cells: Sequence[CellResult]) -> str:
    if not cells:
        return ""
    positives = [int(cell.labels.sum()) for cell in cells]
    text = (
        f"{span(positives)} {info.class_names[1]} slices of {span([len(cell.labels) for cell in cells])} in a test set"
    )
    trained = distinct([cell.facts.get("train_positives") for cell in cells])
    return f"{text}, {span(trained)} in the labelled training sets" if trained else text


def _preprocessing(cells: Sequence[CellResult]) -> str:
    sizes = distinct([cell.facts.get("size") for cell in cells])
    if not sizes:
        return ""
    return f"Grey slices of {' / '.join(f'{size} × {size}' for size in sizes)} pixels, 8 bits, scaled to 0..1"


def _model(cells: Sequence[CellResult]) -> str:
    kinds = distinct([_network(cell) for cell in cells])
    return "; ".join(kinds)


def _network(cell: CellResult) -> str | None:
    widths = setting(cell, "widths")
    if widths is None:
        return None
    encoder = setting(cell, "encoder")
    begin = "encoder of ten 3 × 3 convolutions" if encoder in (None, "plr") else f"encoder {encoder}"
    hidden = setting(cell, "hidden")
    return (
        f"{begin}, widths {'-'.join(map(str, widths))}, norm {setting(cell, 'norm')}"
        + (f", global average pooling, {hidden} hidden neurons, one logit" if hidden is not None else "")
    )  # fmt: skip


def _initialisations(results: Results) -> str:
    return "; ".join(
        f"{method.name}: {method.about}" if method.about else method.name
        for method in results.plan.methods
        if method.kind != "control"
    )


def _training(cells: Sequence[CellResult]) -> str:
    texts = []
    for label, name in (
        ("optimiser", "optimizer"),
        ("learning rate", "lr"),
        ("batch size", "batch_size"),
        ("at most epochs", "epochs"),
        ("augmentation", "augment"),
    ):
        values = distinct([setting(cell, name) for cell in cells])
        if values:
            texts.append(f"{label} {' / '.join(map(str, values))}")
    return ", ".join(texts)


def _selection(cells: Sequence[CellResult]) -> str:
    rules = distinct([setting(cell, "best_by") for cell in cells])
    return f"The epoch that is best on validation slices by {' / '.join(map(str, rules))}" if rules else ""


def _fractions(results: Results) -> str:
    fractions = sorted({key.fraction for key in results.plan.cells}, reverse=True)
    by_groups = any(setting(cell, "fraction_by") == "groups" for cell in results.cells) and min(fractions) < 1
    counted = ", counted in whole groups" if by_groups else ""
    return f"{', '.join(f'{100 * fraction:g} %' for fraction in fractions)} of the training part's labels{counted}"


def _imbalance(cells: Sequence[CellResult]) -> str:
    weights = distinct([setting(cell, "class_weight") for cell in cells])
    return f"Class weights in the loss: {' / '.join(map(str, weights))}" if weights else ""


def _output(cells: Sequence[CellResult]) -> str:
    if not cells:
        return ""
    values = sorted({cell.threshold for cell in cells})
    limit = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:.3g} to {values[-1]:.3g}"
    rules = distinct([cell.facts.get("threshold_rule") for cell in cells])
    chosen = f", chosen on validation slices by {' / '.join(rules)}" if rules else ""
    return f"A probability; called positive from {limit} on{chosen}"


def _uncertainty(statistics: Mapping[str, DatasetStatistics]) -> str:
    if not any(one.test_sets for one in statistics.values()):
        return ""
    sampling = next(iter(statistics.values())).sampling
    ways = {
        True: "a t-interval of the variances between repeats and between test groups",
        False: "the corrected resampled t-test",
    }
    tests = [ways[one] for one in distinct([one.info.split_by == "given" for one in statistics.values()])]
    return (
        f"Mean and standard deviation over repeats; {sampling.confidence:.0%} intervals from {sampling.resamples:,} "
        f"bootstrap resamples of repeats and test groups; paired differences to the baseline by {' / '.join(tests)}, "
        "p with Holm's correction"
    )


def _controls(results: Results) -> str:
    names = [method.name for method in results.plan.methods if method.kind == "control"]
    return f"{', '.join(names)}, to see what simpler means reach" if names else ""


def _performance(results: Results, statistics: Mapping[str, DatasetStatistics]) -> str:
    texts = []
    for one in statistics.values():
        differences = [pair for pair in against_baseline(one, "auroc") if np.isfinite(pair.mean)]
        if not differences:
            continue
        for verdict in ("better", "worse"):
            found = [f"{pair.first} ({100 * pair.fraction:g} %)" for pair in differences if pair.verdict == verdict]
            if found:
                texts.append(f"{one.info.name}: {verdict} in AUROC than {results.plan.baseline}: {', '.join(found)}")
        reasons = distinct([pair.reason for pair in differences])
        if all(pair.reason for pair in differences):
            texts.append(
                f"{one.info.name}: nothing can be said of differences to {results.plan.baseline} ({reasons[0]})"
            )
        elif not any(pair.verdict for pair in differences):
            texts.append(
                f"{one.info.name}: no method differs from {results.plan.baseline} in AUROC by an interval that leaves "
                "out 0"
            )
    return "; ".join(texts)


def _clusters(results: Results) -> str:
    few = [
        f"{info.name}: {min(len(set(cell.groups.tolist())) for cell in cells)}"
        for info in results.plan.datasets
        if (cells := results.select(dataset=info.name))
        and min(len(set(cell.groups.tolist())) for cell in cells) < _MOST_GROUPS
    ]
    return f"Test sets of few groups make intervals rough ({'; '.join(few)} groups)" if few else ""


def _missing(results: Results) -> str:
    left_out = results.plan.facts.get("left_out") or ()
    texts = [f"{len(results.missing)} of {len(results.plan.cells)} cells are not finished"] if results.missing else []
    return "; ".join([*texts, *map(str, left_out)])


def _warnings(cells: Sequence[CellResult]) -> str:
    return " ".join(f"{text.rstrip('.')}." for text in cell_warnings(cells))


def _software(facts: Mapping[str, Any], cells: Sequence[CellResult]) -> str:
    names = ("plr_fast", "torch", "numpy", "scikit-learn", "python")
    own = distinct([cell.facts.get("plr_fast") for cell in cells])
    known = {**facts, "plr_fast": " / ".join(own)} if own else facts  # cells may be older than the plan
    return ", ".join(f"{name} {known[name]}" for name in names if name in known)


def _hardware(results: Results) -> str:
    if not results.cells:
        return ""
    places = distinct([results.plan.facts.get("processor"), results.plan.facts.get("system")])
    text = time_spent(results.cells)
    return f"{text}; on {', '.join(places)}" if places else text


def _first(hashes: Sequence[str], what: str) -> str:
    return f"{what} {hashes[0][:16]}" if len(hashes) == 1 else f"{len(hashes)} {what}s, the first {hashes[0][:16]}"


def _hashes(results: Results) -> str:
    stores = distinct([cell.facts.get("store_fingerprint") for cell in results.cells])
    splits = distinct([cell.facts.get("split_sha256") for cell in results.cells])
    texts = [_first(splits, "split")] if splits else []
    if stores:
        texts.append(_first(stores, "store"))
    if results.plan.facts.get("recipe"):
        texts.append(f"recipe {results.plan.facts['recipe']}")
    return ", ".join(texts)
