"""The networks of an experiment that are still on the disk, to make pictures with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...data.store import SliceStore
from ...errors import CheckpointError, StoreError
from ...evaluation.trained import TrainedRun, read_config
from ..results import CellResult, DatasetInfo, Results


@dataclass(frozen=True)
class ShownRuns:
    """Networks of one repeat of one data set.

    What was trained on the data set's own slices saw the same training part, so one test slice is new to it all.
    Slices of elsewhere that an encoder learnt from were compared with test slices by id and picture only.

    Attributes:
        dataset: whose.
        repeat: of which the networks are; the first that has any.
        store: with the splits of that repeat.
        encoders: method -> what its encoder was pretrained as: a restorer, or a classifier of other pictures.
        classifiers: label fraction -> method -> fine-tuned network.
    """

    dataset: DatasetInfo
    repeat: int
    store: SliceStore
    encoders: Mapping[str, TrainedRun]
    classifiers: Mapping[float, Mapping[str, TrainedRun]]

    @property
    def restorers(self) -> dict[str, TrainedRun]:
        """Method -> its pretraining, of those that learned to restore slices."""
        return {
            name: run
            for name, run in self.encoders.items()
            if run.kind == "restorer" and run.setting("restore_weight", 1.0) > 0
        }


@dataclass
class _Found:
    fingerprints: set[str]  # of the stores that the cells were trained on
    encoders: dict[str, TrainedRun] = field(default_factory=dict)
    classifiers: dict[float, dict[str, TrainedRun]] = field(default_factory=dict)

    def knows_the_store(self) -> TrainedRun | None:
        """A network that was trained on this repeat's slices; an encoder may come from other pictures."""
        tuned = [run for part in self.classifiers.values() for run in part.values()]
        own = [run for run in self.encoders.values() if run.fingerprint in self.fingerprints]
        return next(iter((*tuned, *own)), None)


def shown_runs(results: Results, dataset: DatasetInfo) -> tuple[ShownRuns | None, list[str]]:
    """The networks of the first repeat that has any, or None; and a sentence for each thing that is absent.

    A network is absent when its cell names no run, when its folder was deleted (experiments keep few), or when it
    cannot be read.
    """
    cells = results.select(dataset=dataset.name)
    unreadable: list[str] = []
    for repeat in sorted({cell.key.repeat for cell in cells}):
        missing: list[str] = []
        found = _networks(results.folder, [cell for cell in cells if cell.key.repeat == repeat], missing)
        source = found.knows_the_store()
        if source is None:
            continue
        try:
            store = _store_of(source, results.folder)
        except StoreError as error:
            unreadable.append(f"the slices of {dataset.name}, repeat {repeat}: {error}")
            continue
        # Later repeats are not looked at: what they lack is no loss to the pictures.
        return ShownRuns(dataset, repeat, store, found.encoders, found.classifiers), missing
    return None, unreadable or [f"{dataset.name}: none of {len(cells)} cells kept its networks"]


def _networks(folder: Path, cells: list[CellResult], missing: list[str]) -> _Found:
    found = _Found({str(cell.facts.get("store_fingerprint")) for cell in cells})
    sources: dict[Path, str] = {}
    for cell in cells:
        place = f"{cell.key.dataset}, repeat {cell.key.repeat}"
        pretrained = _path(folder, cell.facts.get("pretrain_run"))
        # Methods that share a pretraining show it once, under the first one's name.
        first = pretrained is not None and sources.setdefault(pretrained, cell.key.method) == cell.key.method
        if pretrained is not None and first and cell.key.method not in found.encoders:
            run = _open(cell.key.method, pretrained, f"the pretraining of {cell.key.method} ({place})", missing)
            if run is not None:
                found.encoders[cell.key.method] = run
        tuned = _path(folder, cell.facts.get("run"))
        if tuned is not None:
            what = f"the classifier {cell.key.method} at {cell.key.fraction:.0%} of the labels ({place})"
            run = _open(cell.key.method, tuned, what, missing)
            if run is not None:
                found.classifiers.setdefault(cell.key.fraction, {})[cell.key.method] = run
    return found


def _path(folder: Path, value: Any) -> Path | None:
    return (folder / str(value)).resolve() if value else None


def _open(name: str, path: Path, what: str, missing: list[str]) -> TrainedRun | None:
    from ...training.checkpoint import find_checkpoint

    if find_checkpoint(path / "checkpoints" / "best") is None:
        missing.append(f"{what} is not kept")
        return None
    try:
        config = read_config(path)
    except CheckpointError as error:
        missing.append(f"{what} cannot be read: {error}")
        return None
    return TrainedRun(name, path, "restorer" if config.get("kind") == "pretrain" else "classifier", config)


def _store_of(run: TrainedRun, folder: Path) -> SliceStore:
    place = Path(str(run.setting("store", "")))
    store = SliceStore.open(place if place.is_absolute() or place.is_dir() else folder / place)
    if run.fingerprint not in (None, store.fingerprint):
        raise StoreError(f"{store.path} has changed since {run.path} was trained on it")
    return store
