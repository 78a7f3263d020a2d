"""The search for bright patches in the memory of a GPU: all images at once, one look at what was found per attempt."""

from __future__ import annotations

import numpy as np

from ..backends.specs import PatchBank
from .bank_search import give_up, more_rounds, rounds_at_first
from .bank_settings import BankSettings, image_groups
from .homes import Home
from .noise import perlin_noise

_MOST_BYTES = 2**30  # of noise images, and of candidates
_CANDIDATE_BYTES = 20
_MOST_PIXELS = 2**32  # that kernels count patches' pixels up to


def can_search(settings: BankSettings, max_candidates: int) -> bool:
    """Tell whether the search fits a GPU: images of one setting, that can be held at once with all candidates."""
    return (
        len(image_groups(settings)) == 1
        and settings.images * settings.size**2 <= _MOST_BYTES
        and max_candidates * _CANDIDATE_BYTES <= _MOST_BYTES
        and settings.count * settings.patch[1] ** 2 < _MOST_PIXELS
    )


def search(home: Home, settings: BankSettings, max_candidates: int) -> tuple[PatchBank, PatchBank]:
    """Return what :func:`plr_fast.ops.bank_search.search` would, in the home's memory and on the host.

    Raises:
        DataError: too few of ``max_candidates`` are bright enough.
        DeviceMemoryError: the device has no room for the images.
    """
    count, images = settings.count, settings.images
    backend = home.backend()
    ids = home.samples(np.arange(images, dtype=np.int64), images)
    noise = image_groups(settings)[0][0]
    pictures = home.empty((images, settings.size, settings.size), "uint8")
    perlin_noise(
        pictures.shape, cells=noise.cells, octaves=noise.octaves, persistence=noise.persistence,
        lacunarity=settings.lacunarity, seed=settings.seed, dtype="uint8", grey="minmax", out=pictures,
    )  # fmt: skip
    orders, boxes = home.empty((count,), "int64"), home.empty((count, 5), "int64")
    offsets, found = home.empty((count,), "int64"), home.empty((2,), "int64")
    pixels = home.empty((count * settings.patch[1] ** 2,), "uint8")
    rounds, accepted, step = 0, 0, rounds_at_first(settings)
    grey = home.zeros((256,), "int32")
    while accepted < count:
        step = min(step, (max_candidates - rounds * images) // images)
        if step < 1:
            give_up(settings, rounds * images, accepted, home.download(grey).astype(np.int64))
        # Candidates cost so little that those of earlier attempts are made again.
        rounds += step
        candidates = home.empty((images, rounds, 5), "int32")
        grey = home.zeros((256,), "int32")
        backend.candidates(pictures, ids, settings.seed, settings.patch, 0, candidates, 0)
        backend.pick(
            candidates, ids, images, 0, settings.patch, settings.threshold, (found, grey, orders, boxes, offsets)
        )  # fmt: skip
        accepted = int(home.download(found)[1])
        step = more_rounds(settings, accepted, rounds)
    backend.cut(pictures, boxes, offsets, pixels, 0)
    sides = home.download(boxes)[:, 3:]
    lengths = sides[:, 0] * sides[:, 1]
    pixels = pixels[: int(lengths.sum())]
    heights, widths = (home.contiguous(home.cast(boxes[:, axis], "int32")) for axis in (3, 4))
    host = PatchBank(
        home.download(pixels), np.cumsum(lengths) - lengths, *(sides[:, i].astype(np.int32) for i in (0, 1))
    )
    return PatchBank(pixels, offsets, heights, widths), host
