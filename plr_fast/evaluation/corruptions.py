"""The fixed sets of corrupted slices that restorers are judged on, made from the settings they were trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..training.config.pretrain import CLOUDS, NOISE, as_range, cloud_settings, scaled_lesions
from .restoration import RestorationTestSet
from .trained import TrainedRun

if TYPE_CHECKING:
    from ..data.store import SliceStore
    from .metrics import IntArray

# Far from the seeds that training and validation use by default, so that a test repeats neither their lesions nor
# their places; two numbers because bank and placement are drawn apart.
_PLACE_SEED, _BANK_SEED = 2_000_003, 3_000_017

_PASTE_KEYS = ("count", "blend", "alpha", "feather", "shape", "inside")
_BANK_KEYS = ("patch", "bank_count", "bank_images", "bank_size", "threshold", *NOISE, "lacunarity")


def corruption_settings(run: TrainedRun) -> dict[str, Any]:
    """What decides how a restorer's training pictures were corrupted; equal for runs that share a test set."""
    corruption = run.setting("corruption", "perlin")
    settings: dict[str, Any] = {"corruption": corruption}
    if corruption != "perlin":
        return settings | _given(run, ("windows",))
    if run.setting("lesions") == "clouds":
        return settings | {"lesions": "clouds"} | _given(run, (*NOISE, "lacunarity", "blend", "alpha", *CLOUDS))
    # Fresh lesions follow the same rule as a bank's, so a bank tests them.
    settings |= _given(run, (*_PASTE_KEYS, "bank"))
    if settings.get("blend") not in ("alpha", "add"):
        settings.pop("alpha", None)
        if settings.get("shape", "rectangle") == "rectangle":
            settings.pop("feather", None)
    if "bank" not in settings:
        settings |= _given(run, (*_BANK_KEYS, "reference_size"))
    return settings


def _given(run: TrainedRun, keys: Sequence[str]) -> dict[str, Any]:
    return {key: run.setting(key) for key in keys if run.setting(key) is not None}


def make_test_sets(
    runs: Sequence[TrainedRun], store: SliceStore, indices: IntArray, *, seed: int
) -> tuple[list[RestorationTestSet], dict[str, str]]:
    """One test set for each distinct corruption among ``runs``.

    Lesions come from a bank of the run's own settings but another seed, so that no training saw them; a bank that was
    given as a file is used as it is (its patches are then the training's, in other places). Slices come with as many
    neighbours as the run that takes most.

    Args:
        runs: restorers.
        store: where the slices are.
        indices: store indices of negative slices with lungs, int64 (N,).
        seed: of the evaluation; another seed gives other lesions in other places.

    Returns:
        The test sets, and run name -> name of its own test set.

    Raises:
        ConfigError, ValueError: settings that no corruption can be made of.
        DataError: a run takes neighbours and the store holds no volumes.
    """
    distinct: list[dict[str, Any]] = []
    own: dict[str, int] = {}
    for run in runs:
        settings = corruption_settings(run)
        if settings not in distinct:
            distinct.append(settings)
        own[run.name] = distinct.index(settings)
    names = _names([str(settings["corruption"]) for settings in distinct])
    # Neighbours change nothing about the slice in the middle: all restorers are judged on the same pictures.
    context = max((int(run.setting("context", 0)) for run in runs), default=0)
    sets = [
        RestorationTestSet(name, _readable(settings), _dataset(settings, store, indices, seed, context), indices)
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
    names = {"bank_count": "count", "bank_images": "images", "bank_size": "size"}
    options = {names.get(key, key): as_range(settings[key]) for key in _BANK_KEYS if key in settings}
    return LesionBank.generate(seed=seed + _BANK_SEED, **options)


def _dataset(settings: dict[str, Any], store: SliceStore, indices: IntArray, seed: int, context: int) -> Any:
    from ..data.datasets import PseudoLesionDataset

    options: dict[str, Any] = {"corruption": settings["corruption"], "seed": seed + _PLACE_SEED, "context": context}
    if settings["corruption"] != "perlin":
        options["windows"] = settings.get("windows")
    elif settings.get("lesions") == "clouds":
        options |= {"lesions": "clouds", "clouds": cloud_settings(settings)}
    else:
        settings = settings | scaled_lesions(settings, store.size)
        options["bank"] = bank_of(settings, seed)
        options |= {key: as_range(settings[key]) for key in _PASTE_KEYS if key in settings}
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
