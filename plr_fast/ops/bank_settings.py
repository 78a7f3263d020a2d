"""What a lesion bank is made from, and the noise settings of each of its images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..backends.reference.philox import MASK, Stream, philox
from ..backends.specs import Int64Array

Number = TypeVar("Number", int, float)

STEPS = 16  # a range of real numbers is drawn from in so many steps: images of equal settings are made together


@dataclass(frozen=True)
class Between(Generic[Number]):
    """A setting drawn for each image, both ends included: any integer, or one of 17 evenly spaced real numbers."""

    low: Number
    high: Number


# One value for all images, a value for each image in turn, or a range.
Varied: TypeAlias = "Number | tuple[Number, ...] | Between[Number]"


@dataclass(frozen=True)
class BankSettings:
    """What a bank was made from; the same settings give the same bank on every backend."""

    count: int
    images: int
    size: int
    threshold: int
    patch: tuple[int, int]
    cells: Varied[float]
    octaves: Varied[int]
    persistence: Varied[float]
    lacunarity: float
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Return plain lists, numbers and dicts."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> BankSettings:
        """Return the settings that :meth:`as_json` gave, also those of banks of one noise setting (format 1)."""
        varied = {name: _from_json(raw[name]) for name in ("cells", "octaves", "persistence")}
        return cls(**{**raw, **varied, "patch": tuple(raw["patch"])})


def _from_json(raw: Any) -> Any:
    if isinstance(raw, dict):
        return Between(**raw)
    return tuple(raw) if isinstance(raw, list) else raw


def varied(value: object, name: str, check: Callable[[object], Number]) -> Varied[Number]:
    """Return a checked setting: a number, a list of numbers for the images in turn, or a pair (low, high) to draw from.

    Raises:
        TypeError, ValueError: what ``check`` raises for a number, an empty list, or a tuple that is no range.
    """
    if isinstance(value, Between):
        value = (value.low, value.high)
    if isinstance(value, list):
        if not value:
            raise ValueError(f"{name} must be a number, a list with at least one, or a range (low, high), not []")
        return tuple(check(number) for number in value)
    if not isinstance(value, tuple):
        return check(value)
    if len(value) != 2:
        raise ValueError(
            f"{name} must be a range (low, high), not {len(value)} values: pass a list to use each in turn"
        )
    low, high = check(value[0]), check(value[1])
    if low > high:
        raise ValueError(f"{name} must be (low, high) with low <= high, not {value}")
    return Between(low, high)


@dataclass(frozen=True)
class ImageNoise:
    """Noise settings of some images."""

    cells: float
    octaves: int
    persistence: float


def image_groups(settings: BankSettings) -> list[tuple[ImageNoise, Int64Array]]:
    """Return the noise settings in use, each with the images made from them (ids, ascending)."""
    ids = np.arange(settings.images, dtype=np.int64)
    values = (settings.cells, settings.octaves, settings.persistence)
    if not any(isinstance(value, (tuple, Between)) for value in values):
        return [(_image_noise(settings, 0, None), ids)]
    words = _words(settings, ids) if any(isinstance(value, Between) for value in values) else None
    groups: dict[ImageNoise, list[int]] = {}
    for m in range(settings.images):
        groups.setdefault(_image_noise(settings, m, words), []).append(m)
    return [(noise, np.array(members, np.int64)) for noise, members in groups.items()]


def _words(settings: BankSettings, ids: Int64Array) -> list[NDArray[np.uint64]]:
    """Return the words that decide the settings of each image: one array per setting."""
    key = (settings.seed & MASK, settings.seed >> 32)
    sample = ids.astype(np.uint64)
    # The reference's Philox is plain arithmetic: it takes arrays for the words of the counter.
    counter: Any = (0, int(Stream.BANK_NOISE), sample & np.uint64(MASK), sample >> np.uint64(32))
    return [np.asarray(words, np.uint64) for words in philox(key, counter)]


def _image_noise(settings: BankSettings, m: int, words: list[NDArray[np.uint64]] | None) -> ImageNoise:
    def value(setting: Any, lane: int) -> Any:
        if isinstance(setting, tuple):
            return setting[m % len(setting)]
        if not isinstance(setting, Between):
            return setting
        assert words is not None
        word = int(words[lane][m])
        if isinstance(setting.low, int):
            return setting.low + (word * (setting.high - setting.low + 1) >> 32)
        step = word * (STEPS + 1) >> 32
        return setting.low + (setting.high - setting.low) * (step / STEPS)

    return ImageNoise(value(settings.cells, 0), value(settings.octaves, 1), value(settings.persistence, 2))
