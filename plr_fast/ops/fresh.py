"""Fresh lesions: patches made from noise as they are needed, an endless supply with the bank's statistics."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch

from ..backends import active_backend, get_num_threads
from ..backends.specs import FRESH_ROUNDS, LATTICE_PERIOD, FreshSpec, FreshTable, NoiseSpec, PatchBank, Uint8Array
from ..errors import DataError
from .arguments import ids_at, integer, pair, require_memory, seed_value
from .bank import LARGEST_PATCH
from .homes import HOST, Home, home_on
from .noise import cell_count, octave_settings, perlin_noise

_TRIALS = 1024  # patches made beforehand, to see whether and how patches of these settings are found
_LARGEST_TRIAL = 256  # pixels along a side; larger patches take long, so only the first few are tried
_AT_ONCE = 64  # trials, so that settings that give none are found out early
_CENTRE_MARGIN = 16  # grey levels below the darkest centre of all trials
_MOST_PATCHES = 2**24 - 1  # per sample: streams count them in 24 bits


@dataclass(frozen=True)
class FreshSettings:
    """What fresh lesions are made from; the same settings give the same patches on every backend."""

    images: int
    size: int
    threshold: int
    patch: tuple[int, int]
    cells: float
    octaves: int
    persistence: float
    lacunarity: float
    seed: int

    def noise(self) -> NoiseSpec:
        cells = (1.0, self.cells, self.cells)
        return NoiseSpec(self.seed, cells, self.octaves, self.persistence, self.lacunarity, False, "minmax")


class FreshLesions:
    """All patches that could be cut from some noise images, drawn without end and without making the images.

    Patch n of a sample is found as the bank's are (paper III.B): boxes of random size at random places of random
    images, the first whose mean grey is above the threshold. It depends on the seed of the draw, the sample id and n
    alone. Only a small table is kept (about half a KiB per image), and a patch costs a few microseconds.

    Most candidates end at a look at their centre: a box is made as a whole only if its centre is brighter than the
    darkest centre of 1,024 trial patches less 16 grey levels. Patches with a darker centre, fewer than one in a
    thousand, are never made. Where sides may be above 256 pixels, there is no such look.

    Args:
        images: noise images to cut from, 1..2^24: those of :meth:`plr_fast.LesionBank.generate` with this ``seed``.
        size: height and width of the noise images in pixels.
        threshold: patches have a mean grey above this, 0..254.
        patch: smallest and largest side in pixels (the paper's 15 +- 10).
        cells, octaves, persistence, lacunarity: see :func:`plr_fast.perlin_noise`.
        seed: 0..2^64-1, of the noise images.
        device: where images will be that patches are pasted into, see :meth:`to`; the table is made there.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of range.
        BackendUnavailableError: no such device here, or none that operations run on.
        DataError: bright patches are so rare that 4,096 candidates do not always hold one; the message tells how grey
            they were.
    """

    def __init__(
        self,
        images: int = 500,
        size: int = 512,
        threshold: int = 180,
        patch: tuple[int, int] = (5, 25),
        *,
        cells: float = 4,
        octaves: int = 4,
        persistence: float = 0.5,
        lacunarity: float = 2,
        seed: int = 0,
        device: object = None,
    ) -> None:
        home = HOST if device is None else home_on(device)
        low, high = pair(patch, "patch", 1, LARGEST_PATCH)
        self.settings = FreshSettings(
            images=integer(images, "images", 1, 2**24),
            size=integer(size, "size", 1, 2**15),
            threshold=integer(threshold, "threshold", 0, 254),
            patch=(low, high),
            cells=cell_count(cells),
            **octave_settings(octaves, persistence, lacunarity),
            seed=seed_value(seed),
        )
        if high > self.settings.size:
            raise ValueError(f"patch must fit into the noise images, {size} pixels wide, not be up to {high} pixels")
        at_once = 4 * self.settings.size**2 * min(get_num_threads(), self.settings.images)
        table = self.settings.images * (520 + 2 * self.settings.octaves)
        require_memory(table + at_once, f"a table of {images} noise images of {size} x {size} pixels")
        _images(self.settings, 1)  # refuses settings that the noise would refuse
        self._home: Home = home
        self._placed = _table_of(home, self.settings)  # in the home's memory
        self._centre = _darkest_centre(home, self.settings, self._placed)
        parts = (getattr(self._placed, field.name) for field in fields(FreshTable))
        self._table = FreshTable(*(home.download(part) for part in parts))
        home.wait()  # from here on the table may be used on any stream

    @property
    def device(self) -> str:
        """Where images must be that patches are pasted into: "cpu", "cuda:0", ..."""
        return self._home.device

    def to(self, device: object) -> FreshLesions:
        """Return these lesions for images on a device, or themselves if they are that already.

        Raises:
            ValueError, BackendUnavailableError: no such device here, or none that operations run on.
        """
        return self.at(home_on(device))

    def at(self, home: Home) -> FreshLesions:
        """Return these lesions for images of a home."""
        if home.device == self.device:
            return self
        moved = copy(self)
        moved._move(home)
        return moved

    def _move(self, home: Home) -> None:
        table = self._table
        parts = (table.low, table.scale, table.permutation, table.offsets)
        self._home, self._placed = home, FreshTable(*(home.upload(part) for part in parts))
        home.wait()  # from here on the table may be used on any stream

    def patches(
        self, samples: Sequence[int] | torch.Tensor | np.ndarray, count: int | tuple[int, int], *, seed: int = 0
    ) -> PatchBank:
        """Make ``count`` patches for each sample, for pasting: patch n of sample b is entry ``b * count + n``.

        Args:
            samples: ids of the samples, integers that fit int64.
            count: patches per sample, 0..2^24-1. A pair (low, high) makes as many as :func:`plr_fast.paste_lesions`
                draws with the same seed; entries stand ``high`` apart all the same.
            seed: 0..2^64-1.

        Returns:
            The patches, packed; height and width are 0 where there is none (beyond the sample's count, or, hardly ever,
            no bright patch among 4,096 candidates).

        Raises:
            TypeError, ValueError: an argument of the wrong type or out of range.
            MemoryError: the patches would not fit into this machine's memory.
        """
        if not isinstance(samples, (Sequence, torch.Tensor, np.ndarray)):
            raise TypeError(f"samples must be a sequence of integers, not {type(samples).__name__}")
        ids, counts = ids_at(self._home, samples, len(samples)), pair(count, "count", 0, _MOST_PATCHES)
        return self.make(self._home, ids, len(samples), counts, seed_value(seed))

    def make(self, home: Home, ids: Any, batch: int, count: tuple[int, int], seed: int) -> PatchBank:
        """Make patches in the memory of images, from ids as its backend takes them.

        Raises:
            ValueError: the lesions are for images elsewhere; the message names both places.
        """
        if home.device != self.device:
            raise ValueError(
                f"bank is on {self.device}, but images on {home.device}: call bank.to('{home.device}') once"
            )
        return _make(home, self.settings, self._placed, self._centre, ids, batch, count, seed)

    def draw(self, count: int, *, sample: int = 0, seed: int = 0) -> list[Uint8Array]:
        """Return the first ``count`` patches of one sample, uint8 arrays (height, width), to look at."""
        ids = ids_at(HOST, [sample], 1)
        most = pair(count, "count", 0, _MOST_PATCHES)
        packed = _make(HOST, self.settings, self._table, self._centre, ids, 1, most, seed_value(seed))
        boxes = zip(packed.offsets, packed.heights, packed.widths, strict=True)
        return [packed.pixels[i : i + h * w].reshape(h, w).copy() for i, h, w in boxes if h > 0]

    def __getstate__(self) -> dict[str, Any]:
        # The home and what lies there stay in their process.
        return {"settings": self.settings, "_table": self._table, "_centre": self._centre, "device": self.device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.settings, self._table, self._centre = state["settings"], state["_table"], state["_centre"]
        self._move(HOST if state["device"] == HOST.device else home_on(state["device"]))

    def __eq__(self, other: object) -> bool:
        return self.settings == other.settings if isinstance(other, FreshLesions) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.settings)

    def __repr__(self) -> str:
        return f"FreshLesions({', '.join(f'{key}={value}' for key, value in asdict(self.settings).items())})"


def _table_of(home: Home, settings: FreshSettings) -> FreshTable:
    """Return the table of the noise images, made in the memory of ``home``."""
    table = FreshTable(
        home.empty((settings.images,), "float32"),
        home.empty((settings.images,), "float32"),
        home.empty((settings.images, 2 * LATTICE_PERIOD), "uint8"),
        home.empty((settings.images, settings.octaves, 2), "uint8"),
    )
    home.backend().fresh_table(table, settings.noise(), settings.size, get_num_threads())
    return table


def _make(
    home: Home,
    settings: FreshSettings,
    table: FreshTable,
    centre: int,
    ids: Any,
    batch: int,
    count: tuple[int, int],
    seed: int,
) -> PatchBank:
    side, slots = settings.patch[1], batch * count[1]
    require_memory(slots * (side * side + 16), f"{count[1]} fresh patches for each of {batch} samples")
    packed = PatchBank(
        home.empty((slots * side * side,), "uint8"),
        home.numbers(slots, side * side),
        home.empty((slots,), "int32"),
        home.empty((slots,), "int32"),
    )
    spec = FreshSpec(settings.noise(), settings.size, settings.patch, settings.threshold, centre)
    home.backend().fresh(ids, table, spec, seed, count, packed, get_num_threads())
    return packed


def _darkest_centre(home: Home, settings: FreshSettings, table: FreshTable) -> int:
    """Return the grey that the centre of a candidate must be above, -1 for any; see :class:`FreshLesions`."""
    small = settings.patch[1] <= _LARGEST_TRIAL
    darkest = 255
    for first in range(0, _TRIALS if small else _AT_ONCE, _AT_ONCE):
        # Samples that no data set has: trials are no patches of anybody.
        ids = -1 - np.arange(first, first + _AT_ONCE, dtype=np.int64)
        trials = _make(home, settings, table, -1, home.samples(ids, _AT_ONCE), _AT_ONCE, (1, 1), settings.seed)
        found = int((trials.heights > 0).sum())
        if found < _AT_ONCE:
            _give_up(settings, found)
        centres = trials.offsets + trials.heights // 2 * trials.widths + trials.widths // 2
        darkest = min(darkest, int(trials.pixels[centres].min()))
    return max(-1, darkest - _CENTRE_MARGIN) if small else -1


def _give_up(settings: FreshSettings, found: int) -> None:
    images = _images(settings, min(settings.images, 16))
    rows = np.empty((len(images), 256, 5), np.int32)
    ids = np.arange(len(images), dtype=np.int64)
    active_backend().candidates(images, ids, settings.seed, settings.patch, 0, rows, get_num_threads())
    grey = rows[..., 0] // (rows[..., 3] * rows[..., 4])
    median, high = (int(np.quantile(grey, q)) for q in (0.5, 0.99))
    raise DataError(
        f"patches are too rare: {found} of {_AT_ONCE} were found among {FRESH_ROUNDS:,} candidates each. "
        f"The mean grey of candidates has median {median}, 99th percentile {high}, maximum {int(grey.max())}, and the "
        f"threshold is {settings.threshold}. Lower the threshold, use fewer cells or smaller patches."
    )


def _images(settings: FreshSettings, count: int) -> Uint8Array:
    """Return the first ``count`` noise images as a whole, uint8 (count, size, size)."""
    out = np.empty((count, settings.size, settings.size), np.uint8)
    perlin_noise(
        out.shape, cells=settings.cells, octaves=settings.octaves, persistence=settings.persistence,
        lacunarity=settings.lacunarity, seed=settings.seed, dtype="uint8", grey="minmax", out=out,
    )  # fmt: skip
    return out
