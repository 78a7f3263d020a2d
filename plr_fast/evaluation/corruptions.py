"""The fixed sets of corrupted slices that restorers are judged on, made from the settings they were trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .restoration import RestorationTestSet
from .trained import TrainedRun

if TYPE_CHECKING:
    from ..data.store import SliceStore
    from .metrics import IntArray

# Far from the seeds that training and validation use by default, so that a test repeats neither their lesions nor
# their places; two numbers because bank and placement are drawn apart.
_PLACE_SEED, _BANK_SEED = 2_000_003, 3_000_017

_PERLIN_KEYS = ("count", "blend", "alpha", "feather", "shape", "inside", "patch", "bank", "bank_count", "bank_images")


def corruption_settings(run: TrainedRun) -> dict[str, Any]:
    """What decides how a restorer's training pictures were corrupted; equal for runs that share a test set."""
    corruption = run.setting("corruption", "perlin")
    settings: dict[str, Any] = {"corruption": corruption}
    if corruption == "perlin":
        settings |= {key: run.setting(key) for key in _PERLIN_KEYS if run.setting(key) is not None}
        if settings.get("blend") not in ("alpha", "add"):
            settings.pop("alpha", None)
            if settings.get("shape", "rectangle") == "rectangle":
                settings.pop("feather", None)
        if "bank" in settings:
            for key in ("patch", "bank_count", "bank_images"):
                settings.pop(key, None)
    return settings


def make_test_sets(
    runs: Sequence[TrainedRun], store: SliceStore, indices: IntArray, *, seed: int
) -> tuple[list[RestorationTestSet], dict[str, str]]:
    """One test set for each distinct corruption among ``runs``.

    Lesions come from a bank of the run's own settings but another seed, so that no training saw them; a bank that was
    given as a file is used as it is (its patches are then the training's, in other places).

    Args:
        runs: restorers.
        store: where the slices are.
        indices: store indices of negative slices with lungs, int64 (N,).
        seed: of the evaluation; another seed gives other lesions in other places.

    Returns:
        The test sets, and run name -> name of its own test set.

    Raises:
        ConfigError, ValueError: settings that no corruption can be made of.
    """
    distinct: list[dict[str, Any]] = []
    own: dict[str, int] = {}
    for run in runs:
        settings = corruption_settings(run)
        if settings not in distinct:
            distinct.append(settings)
        own[run.name] = distinct.index(settings)
    names = _names([str(settings["corruption"]) for settings in distinct])
    sets = [
        RestorationTestSet(name, _readable(settings), _dataset(settings, store, indices, seed), indices)
        for name, settings in zip(names, distinct, strict=True)
    ]
    return sets, {run: names[position] for run, position in own.items()}


def bank_of(settings: dict[str, Any], seed: int) -> Any:
    """The lesion bank of a Perlin test set.

    Raises:
        ConfigError: the bank file of the run is gone.
    """
    from plr_fast import LesionBank

    from ..errors import ConfigError

    if settings.get("bank"):
        path = Path(settings["bank"])
        if not path.is_file():
            raise ConfigError(
                f"the lesion bank {path} that a restorer was trained with is gone; put it back to judge that restorer"
            )
        return LesionBank.load(path)
    options: dict[str, Any] = {"seed": seed + _BANK_SEED}
    if "patch" in settings:
        options["patch"] = tuple(settings["patch"])
    if "bank_count" in settings:
        options["count"] = settings["bank_count"]
    if "bank_images" in settings:
        options["images"] = settings["bank_images"]
    return LesionBank.generate(**options)


def _dataset(settings: dict[str, Any], store: SliceStore, indices: IntArray, seed: int) -> Any:
    from ..data.datasets import PseudoLesionDataset

    options: dict[str, Any] = {"corruption": settings["corruption"], "seed": seed + _PLACE_SEED}
    if settings["corruption"] == "perlin":
        options["bank"] = bank_of(settings, seed)
        count = settings.get("count")
        if count is not None:
            options["count"] = tuple(count) if isinstance(count, (list, tuple)) else int(count)
        options |= {key: settings[key] for key in ("blend", "alpha", "feather", "shape", "inside") if key in settings}
    return PseudoLesionDataset(store, indices, **options)


def _names(corruptions: Sequence[str]) -> list[str]:
    """``perlin``, or ``perlin 1``, ``perlin 2`` where several test sets are of one kind."""
    seen: dict[str, int] = {}
    names = []
    for corruption in corruptions:
        seen[corruption] = seen.get(corruption, 0) + 1
        names.append(f"{corruption} {seen[corruption]}" if corruptions.count(corruption) > 1 else corruption)
    return names


def _readable(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for people: ranges as ``5–25``."""
    readable = {}
    for key, value in settings.items():
        if isinstance(value, (list, tuple)) and len(value) == 2:
            value = str(value[0]) if value[0] == value[1] else f"{value[0]}–{value[1]}"
        readable[key.replace("_", " ")] = value
    return readable
