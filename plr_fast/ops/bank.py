"""The lesion bank: bright patches cut from noise images (paper III.B)."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import numpy as np

from .._version import __version__
from ..backends import get_num_threads
from ..backends.specs import MAX_OCTAVES, PatchBank, Shape, Uint8Array
from ..errors import DataError
from ..files import atomic_path
from . import bank_device
from .arguments import integer, number, pair, require_memory, seed_value
from .bank_search import search
from .bank_settings import BankSettings, varied
from .homes import HOST, Home, home_on
from .noise import cell_count

FORMAT_VERSION = 2  # 1: one noise setting for all images
LARGEST_PATCH = 2048  # the sum of its grey fits 32 bits
_COVERS_KEPT = 4


class LesionBank(Sequence[Uint8Array]):
    """A sequence of patches, each a uint8 array (height, width); packed in one buffer.

    Make one with :meth:`generate` (the paper's 5,000 patches in well under a second per core) or read one with
    :meth:`load`. To paste into images on a GPU, take :meth:`to` the GPU once: patches then lie there as well.

    Attributes:
        packed: the patches in the host's memory.
        settings: what they were made from.
    """

    def __init__(self, packed: PatchBank, settings: BankSettings) -> None:
        self.packed = packed
        self.settings = settings
        self._covers: dict[tuple[Shape, int], Uint8Array] = {}
        self._recorded: dict[tuple[Shape, int], Uint8Array] = {}  # those that CUDA graphs read at each replay
        self._home: Home = HOST
        self._placed = packed  # in the home's memory

    @property
    def device(self) -> str:
        """Where images must be that patches are pasted into: "cpu", "cuda:0", ..."""
        return self._home.device

    def to(self, device: object) -> LesionBank:
        """Return the bank for images on a device, or itself if it is that already. The patches stay on the host, too.

        Raises:
            ValueError, BackendUnavailableError: no such device here, or none that operations run on.
        """
        return self.at(home_on(device))

    def at(self, home: Home) -> LesionBank:
        """Return the bank for images of a home."""
        if home.device == self.device:
            return self
        bank = LesionBank(self.packed, self.settings)
        bank._home = home
        parts = (self.packed.pixels, self.packed.offsets, self.packed.heights, self.packed.widths)
        bank._placed = PatchBank(*(home.upload(part) for part in parts))
        home.wait()  # from here on the patches may be used on any stream
        return bank

    def placed(self, home: Home) -> PatchBank:
        """Return the patches in the memory of images.

        Raises:
            ValueError: they are not there; the message names both places.
        """
        if home.device == self.device:
            return self._placed
        raise ValueError(f"bank is on {self.device}, but images on {home.device}: call bank.to('{home.device}') once")

    def __reduce__(self) -> Any:
        return _unpickled, (self.packed, self.settings, self.device)

    @classmethod
    def generate(
        cls,
        count: int = 5000,
        images: int = 500,
        size: int = 512,
        threshold: int = 180,
        patch: tuple[int, int] = (5, 25),
        *,
        cells: float | list[float] | tuple[float, float] = 4,
        octaves: int | list[int] | tuple[int, int] = 4,
        persistence: float | list[float] | tuple[float, float] = 0.5,
        lacunarity: float = 2,
        seed: int = 0,
        max_candidates: int = 2**22,
        device: object = None,
    ) -> LesionBank:
        """Cut ``count`` patches from ``images`` noise images, as the paper does (III.B).

        Candidates have height and width uniform in ``patch``, each on its own, and lie anywhere in their image.
        Candidate number r of every image comes before candidate r + 1 of any, and the first ``count`` with mean grey
        above ``threshold`` are kept, so all images contribute. The noise is uint8, stretched to each image's own
        extremes.

        Args:
            count: patches wanted, 1..2^24.
            images: noise images to cut from, at least 1.
            size: height and width of the noise images in pixels.
            threshold: keep patches whose mean grey is above this, 0..254.
            patch: smallest and largest side in pixels (the paper's 15 +- 10).
            cells, octaves, persistence: see :func:`plr_fast.perlin_noise`; more than one value makes clouds of several
                sizes. A list is gone through in turn, image by image; from a tuple (low, high), both ends included,
                each image draws its own: an integer for ``octaves``, else one of 17 values at equal distances.
            lacunarity: see :func:`plr_fast.perlin_noise`.
            seed: 0..2^64-1.
            max_candidates: give up after looking at so many.
            device: where images will be, as with :meth:`to`. On a GPU the search runs there if all images have the same
                noise settings and fit (1 GiB); otherwise on the CPU. The patches are the same.

        Raises:
            TypeError, ValueError: an argument of the wrong type or out of range.
            DataError: too few candidates are bright enough; the message tells how grey they were.
            BackendUnavailableError: there is no such device, or nothing that can run on it.
        """
        home = HOST if device is None else home_on(device)
        low, high = pair(patch, "patch", 1, LARGEST_PATCH)
        settings = BankSettings(
            count=integer(count, "count", 1, 2**24),
            images=integer(images, "images", 1, 2**24),
            size=integer(size, "size", 1, 2**15),
            threshold=integer(threshold, "threshold", 0, 254),
            patch=(low, high),
            cells=varied(cells, "cells", cell_count),
            octaves=varied(octaves, "octaves", lambda value: integer(value, "octaves", 1, MAX_OCTAVES)),
            persistence=varied(persistence, "persistence", lambda value: number(value, "persistence", 0.0, 16.0)),
            lacunarity=number(lacunarity, "lacunarity", 1.0, 64.0),
            seed=seed_value(seed),
        )
        if high > settings.size:
            raise ValueError(f"patch must fit into the noise images, {size} pixels wide, not be up to {high} pixels")
        require_memory(settings.count * high * high, f"a bank of {count} patches")
        most = integer(max_candidates, "max_candidates", 1, 2**32)
        if home.on_host or not bank_device.can_search(settings, most):
            return cls(search(settings, most), settings).at(home)
        placed, packed = bank_device.search(home, settings, most)
        bank = cls(packed, settings)
        bank._home, bank._placed = home, placed
        return bank

    def __len__(self) -> int:
        return len(self.packed.offsets)

    @overload
    def __getitem__(self, index: int) -> Uint8Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Uint8Array]: ...

    def __getitem__(self, index: int | slice) -> Uint8Array | list[Uint8Array]:
        """Return patch ``index`` as a view (height, width), or a list of them."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(f"patch {index} of a bank of {len(self)}")
        height, width = int(self.packed.heights[i]), int(self.packed.widths[i])
        start = int(self.packed.offsets[i])
        return self.packed.pixels[start : start + height * width].reshape(height, width)

    def __iter__(self) -> Iterator[Uint8Array]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LesionBank):
            return NotImplemented
        mine, theirs = asdict(self.packed), asdict(other.packed)
        return all(np.array_equal(mine[key], theirs[key]) for key in mine)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"LesionBank({len(self)} patches, {self.settings})"

    def cover(self, shape: Shape, feather: int = 0) -> Uint8Array:
        """Return how much of each of its pixels a patch covers in that shape, uint8, packed like the patches.

        0 is nothing, 255 all of it; "rectangle" covers everything. The formula is in ``csrc/core/lesions.h``. The
        last few tables are kept.
        """
        return self._home.download(self.placed_cover(self._home, shape, feather))

    def placed_cover(self, home: Home, shape: Shape, feather: int = 0) -> Any:
        """Return what :meth:`cover` does, in the memory of images."""
        packed = self.placed(home)
        key = (shape, 0 if shape == "cloud" else feather)
        if key not in self._covers:
            if shape == "rectangle":
                table = home.upload(np.full_like(self.packed.pixels, 255))
            else:
                table = home.empty(self.packed.pixels.shape, "uint8")
                home.backend().cover_patches(packed, shape, feather, table, get_num_threads())
            if home.recording():
                return table  # which holds something when the graph runs, and must not be kept for other calls
            if len(self._covers) == _COVERS_KEPT:
                home.wait_for_device()  # calls on other streams may still read the table that goes
            home.wait()
            self._covers = dict([*self._covers.items(), (key, table)][-_COVERS_KEPT:])
            return table
        if home.recording():
            self._recorded[key] = self._covers[key]
        return self._covers[key]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bank to ``path`` (.npz, no pickle), atomically.

        Raises:
            StorageError: the disk is full or the folder cannot be written.
        """
        header = {"format_version": FORMAT_VERSION, "plr_fast": __version__, "settings": self.settings.as_json()}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **asdict(self.packed))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LesionBank:
        """Read a bank that :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            DataError: the file is damaged, is no bank, or was written by a newer version.
        """
        try:
            with Path(path).open("rb") as raw_file, np.load(raw_file, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                if header["format_version"] > FORMAT_VERSION:
                    raise DataError(f"{path} was written by plr_fast {header['plr_fast']}, newer than this: upgrade")
                packed = PatchBank(file["pixels"], file["offsets"], file["heights"], file["widths"])
            settings = BankSettings.from_json(header["settings"])
        except (OSError, EOFError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise DataError(f"{path} cannot be read as a lesion bank: {error}") from error
        except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path} is damaged or is no lesion bank") from error
        if not is_sound(packed):
            raise DataError(f"{path} is damaged: its patches do not fit its pixels")
        return cls(packed, settings)

    def contact_sheet(self, path: str | os.PathLike[str], *, rows: int = 16, columns: int = 24, scale: int = 2) -> None:
        """Write a PNG of the first ``rows * columns`` patches, each centred in its cell, enlarged ``scale`` times."""
        from PIL import Image

        side = max(int(self.packed.heights.max()), int(self.packed.widths.max())) + 2
        sheet = np.full((rows * side, columns * side), 32, np.uint8)
        for i, patch in enumerate(self[: rows * columns]):
            height, width = patch.shape
            top = i // columns * side + (side - height) // 2
            left = i % columns * side + (side - width) // 2
            sheet[top : top + height, left : left + width] = patch
        sheet = sheet.repeat(scale, axis=0).repeat(scale, axis=1)
        with atomic_path(Path(path)) as temporary:
            Image.fromarray(sheet).save(temporary, format="PNG")


def _unpickled(packed: PatchBank, settings: BankSettings, device: str) -> LesionBank:
    bank = LesionBank(packed, settings)
    return bank if device == bank.device else bank.to(device)


def is_sound(packed: PatchBank) -> bool:
    """Tell whether the arrays have the right dtypes, and every patch lies inside the pixels."""
    n = len(packed.offsets)
    kinds = [str(a.dtype) for a in (packed.pixels, packed.offsets, packed.heights, packed.widths)]
    return (
        kinds == ["uint8", "int64", "int32", "int32"]
        and n > 0
        and packed.heights.shape == packed.widths.shape == (n,)
        and bool(((packed.heights > 0) & (packed.widths > 0) & (packed.offsets >= 0)).all())
        and int((packed.offsets + packed.heights.astype(np.int64) * packed.widths).max()) <= packed.pixels.size
    )
