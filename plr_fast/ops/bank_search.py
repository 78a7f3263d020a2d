"""The search for bright patches: candidates of all images in rounds, the first that are bright enough are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from ..backends import active_backend, get_num_threads
from ..backends.specs import Int64Array, PatchBank, Uint8Array
from ..errors import DataError
from .bank_settings import BankSettings, ImageNoise, image_groups
from .noise import perlin_noise

_CHUNK_BYTES = 8 * 2**20  # noise images held at a time, and as much for their candidates
_FIRST_ROUNDS = 24  # candidates per wanted patch, spread over the images, before the first look at the acceptance


@dataclass(frozen=True)
class _Accepted:
    """Accepted candidates: their number in candidate order, height, width, and pixels one after the other."""

    rows: Int64Array  # (n, 3): order, height, width
    pixels: Uint8Array

    def lengths(self) -> Int64Array:
        lengths: Int64Array = self.rows[:, 1] * self.rows[:, 2]
        return lengths


def search(settings: BankSettings, max_candidates: int) -> PatchBank:
    """Look at rounds of candidates over all images until enough are accepted.

    Raises:
        DataError: too few of ``max_candidates`` are.
    """
    found = _Accepted(np.empty((0, 3), np.int64), np.empty(0, np.uint8))
    groups = image_groups(settings)
    accepted, seen, rounds = 0, 0, 0
    grey = np.zeros(256, np.int64)
    step = rounds_at_first(settings)
    while accepted < settings.count:
        step = min(step, (max_candidates - seen) // settings.images)
        if step < 1:
            give_up(settings, seen, accepted, grey)
        parts = [found]
        latest = np.iinfo(np.int64).max  # in candidate order, nothing after this can be among the first `count`
        for noise, ids in groups:
            for chunk in _chunks(settings, noise, ids, rounds, step):
                new, number = _accept(settings, chunk, latest, grey)
                parts.append(new)
                accepted += number
                if sum(len(part.rows) for part in parts) > 2 * settings.count:
                    parts = [_first(settings.count, parts)]
                    latest = int(parts[0].rows[-1, 0])
        found = _first(settings.count, parts)
        rounds += step
        seen += step * settings.images
        step = more_rounds(settings, accepted, rounds)
    lengths = found.lengths()
    heights, widths = found.rows[:, 1].astype(np.int32), found.rows[:, 2].astype(np.int32)
    return PatchBank(found.pixels, np.cumsum(lengths) - lengths, heights, widths)


@dataclass(frozen=True)
class _Chunk:
    """Some noise images of equal settings and their candidates."""

    images: Uint8Array  # (n, size, size)
    ids: Int64Array  # (n,)
    candidates: np.ndarray  # int32 (n, rounds, 5): grey sum, top, left, height, width
    first: int  # number of the first round


def _chunks(settings: BankSettings, noise: ImageNoise, ids: Int64Array, first: int, step: int) -> Iterator[_Chunk]:
    """Yield the images ``ids`` with ``step`` rounds of candidates from ``first`` on; each chunk overwrites the last."""
    size = settings.size
    most = max(1, min(len(ids), _CHUNK_BYTES // (size * size), _CHUNK_BYTES // (20 * step) + 1))
    buffer = np.empty((most, size, size), np.uint8)
    rows = np.empty((most, step, 5), np.int32)
    for start in range(0, len(ids), most):
        some = ids[start : start + most]
        images, candidates = buffer[: len(some)], rows[: len(some)]
        perlin_noise(
            images.shape, cells=noise.cells, octaves=noise.octaves, persistence=noise.persistence,
            lacunarity=settings.lacunarity, seed=settings.seed, samples=some, dtype="uint8", grey="minmax", out=images,
        )  # fmt: skip
        active_backend().candidates(
            images, some, settings.seed, settings.patch, first, candidates, get_num_threads()
        )  # fmt: skip
        yield _Chunk(images, some, candidates, first)


def _accept(settings: BankSettings, chunk: _Chunk, latest: int, grey: np.ndarray) -> tuple[_Accepted, int]:
    """Return the chunk's bright patches up to ``latest`` in candidate order, and the number of all bright ones.

    ``grey`` counts the candidates of each mean grey.
    """
    total, area = chunk.candidates[..., 0], chunk.candidates[..., 3] * chunk.candidates[..., 4]
    grey += np.bincount((total // area).reshape(-1), minlength=256)
    image, number = np.nonzero(total > settings.threshold * area)
    order = (chunk.first + number) * settings.images + chunk.ids[image]
    early = order <= latest
    image, number, order, bright = image[early], number[early], order[early], len(order)
    boxes = np.empty((len(order), 5), np.int64)
    boxes[:, 0] = image
    boxes[:, 1:] = chunk.candidates[image, number, 1:]
    rows = np.column_stack([order, boxes[:, 3:]])
    return _Accepted(rows, _cut(chunk.images, boxes)), bright


def _cut(images: Uint8Array, boxes: Int64Array) -> Uint8Array:
    """Return the pixels of ``boxes`` (image, top, left, height, width), one after the other."""
    ends = np.cumsum(boxes[:, 3] * boxes[:, 4])
    pixels = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    active_backend().cut(images, boxes, ends - boxes[:, 3] * boxes[:, 4], pixels, get_num_threads())
    return pixels


def _first(count: int, parts: list[_Accepted]) -> _Accepted:
    """Return the first ``count`` in candidate order, sorted."""
    rows = np.concatenate([part.rows for part in parts])
    whole = _Accepted(rows, np.concatenate([part.pixels for part in parts]))
    lengths = whole.lengths()
    first = np.argsort(rows[:, 0])[:count]
    # Packed pixels are an image of one row, and each patch a stretch of it.
    boxes = np.zeros((len(first), 5), np.int64)
    boxes[:, 2] = (np.cumsum(lengths) - lengths)[first]
    boxes[:, 3] = 1
    boxes[:, 4] = lengths[first]
    return _Accepted(rows[first], _cut(whole.pixels[None, None], boxes))


def rounds_at_first(settings: BankSettings) -> int:
    """Return how many rounds of candidates to look at before anything is known."""
    return -(-_FIRST_ROUNDS * settings.count // settings.images)


def more_rounds(settings: BankSettings, accepted: int, rounds: int) -> int:
    """Return how many more rounds give what is missing, at the rate seen so far and with a little to spare."""
    missing = (settings.count - accepted) * 1.1 / max(accepted, 1) * rounds
    return max(1, min(int(missing) + 1, 4 * rounds))


def give_up(settings: BankSettings, seen: int, accepted: int, grey: np.ndarray) -> NoReturn:
    """Raise the error that tells how grey the candidates were."""
    if not seen:
        raise DataError(
            f"max_candidates allows less than one for each of the {settings.images} images: raise it, or take fewer "
            "images"
        )
    shares = np.cumsum(grey) / seen
    median, high, highest = (int(np.searchsorted(shares, q)) for q in (0.5, 0.99, 1.0))
    raise DataError(
        f"only {accepted} of {settings.count} patches found among {seen:,} candidates: their mean grey has median "
        f"{median}, 99th percentile {high}, maximum {highest}, and the threshold is {settings.threshold}. "
        "Lower the threshold, use fewer cells or smaller patches, or ask for fewer patches (in Python: raise "
        "max_candidates)."
    )
