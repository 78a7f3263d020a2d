"""Fresh patches, cut from whole noise images by the textbook formula."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..specs import FRESH_ROUNDS, FreshSpec, FreshTable, Int64Array, NoiseSpec, PatchBank, Uint8Array
from .noise import octave_noise, permutation, to_format
from .philox import Stream, below, draw, random_box


@lru_cache(maxsize=512)
def image(spec: NoiseSpec, size: int, number: int) -> Uint8Array:
    """Return noise image ``number`` as uint8 (size, size)."""
    return to_format(octave_noise((size, size), number, spec), spec.format)


def fresh_table(table: FreshTable, noise: NoiseSpec, size: int, threads: int) -> None:  # noqa: ARG001 - one thread
    for m in range(len(table.low)):
        values = octave_noise((size, size), m, noise)
        low, high = float(values.min()), float(values.max())
        flat = high - low <= 1e-30
        table.low[m], table.scale[m] = (0, 0) if flat else (low, 255 / (high - low))
        table.permutation[m] = np.tile(permutation(noise.seed, m), 2)
        for o in range(noise.octaves):
            table.offsets[m, o] = [word & 255 for word in draw(noise.seed, m, Stream.LATTICE, 0, substream=o)[:2]]


def fresh(
    samples: Int64Array,
    table: FreshTable,
    spec: FreshSpec,
    seed: int,
    count: tuple[int, int],
    out: PatchBank,
    threads: int,  # noqa: ARG001 - one thread
) -> None:
    out.heights[:] = out.widths[:] = 0
    for b, sample in enumerate(int(s) for s in samples):
        drawn = count[0] + below(draw(seed, sample, Stream.PASTE, 0)[0], count[1] - count[0] + 1)
        for number in range(drawn):
            patch = first_bright(spec, len(table.low), seed, sample, number)
            if patch is None:
                continue
            i = b * count[1] + number
            out.pixels[out.offsets[i] :][: patch.size] = patch.reshape(-1)
            out.heights[i], out.widths[i] = patch.shape


def first_bright(spec: FreshSpec, images: int, seed: int, sample: int, number: int) -> Uint8Array | None:
    """Return the first candidate that is bright enough, as a view into its image."""
    for r in range(FRESH_ROUNDS):
        words = draw(seed, sample, Stream.FRESH, 2 * r, substream=number)
        top, left, height, width = random_box(words, spec.patch, spec.patch, (spec.size, spec.size))
        m = below(draw(seed, sample, Stream.FRESH, 2 * r + 1, substream=number)[0], images)
        patch = image(spec.noise, spec.size, m)[top : top + height, left : left + width]
        if patch[height // 2, width // 2] <= spec.centre:
            continue
        if int(patch.sum(dtype=np.int64)) > spec.threshold * height * width:
            return patch
    return None
