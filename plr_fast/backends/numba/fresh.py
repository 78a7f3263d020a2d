"""Fresh patches in Numba; the twin of ``csrc/core/fresh.h`` and the loops over it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..specs import (
    FRESH_ROUNDS,
    LATTICE_PERIOD,
    Float32Array,
    FreshSpec,
    FreshTable,
    Int32Array,
    Int64Array,
    NoiseSpec,
    PatchBank,
)
from ..tables import amplitudes, axis_table, frequencies, gradients
from ..threads import for_each_range
from .core import (
    STREAM_FRESH,
    STREAM_LATTICE,
    STREAM_PASTE,
    STREAM_PERMUTATION,
    below,
    fisher_yates,
    fma,
    inline,
    jit,
    philox,
    random_box,
    substream,
)
from .noise import noise

_CHUNK_BYTES = 4 * 2**20  # noise images held at a time: they should still be cached when their extremes are looked for


class Scheme(NamedTuple):
    """The tables behind square noise images: both axes share them, by octave and pixel."""

    slot: Int32Array  # (octaves, size) entry of `lattice` before the pixel
    lattice: Int32Array  # (octaves, longest)
    at: Float32Array  # (octaves, 4, size) d, dm, s, sd
    gradient: Float32Array  # (octaves, 2, 256) times amplitude / bound


@lru_cache(maxsize=4)
def scheme(spec: NoiseSpec, size: int) -> Scheme:
    axes = [axis_table(size, cells, False) for _, _, cells in frequencies(spec)]
    lattice = np.zeros((spec.octaves, max(axis.lattice.size for axis in axes)), np.int32)
    gradient = np.empty((spec.octaves, 2, LATTICE_PERIOD), np.float32)
    for o, (axis, scale) in enumerate(zip(axes, amplitudes(spec, 2), strict=True)):
        lattice[o, : axis.lattice.size] = axis.lattice
        gradient[o] = gradients(2)[:2] * scale
    at = np.stack([np.stack([axis.d, axis.dm, axis.s, axis.sd]) for axis in axes])
    return Scheme(np.stack([axis.slot for axis in axes]), lattice, at, gradient)


@inline
def lerp(a, b, t):
    return fma(t, b - a, a)


@jit
def extremes(image):
    """Return the smallest and the largest value; by columns, which vectors can do."""
    lows, highs = image[0].copy(), image[0].copy()
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            value = image[y, x]
            lows[x] = value if value < lows[x] else lows[x]
            highs[x] = value if value > highs[x] else highs[x]
    return lows.min(), highs.max()


@jit
def table_rows(seed, images, first, octaves, low, scale, permutation, offsets):
    for n in range(images.shape[0]):
        number = first + n
        lowest, highest = extremes(images[n])
        flat = not highest - lowest > np.float32(1e-30)
        scale[number] = np.float32(0.0) if flat else np.float32(255.0) / (highest - lowest)
        low[number] = np.float32(0.0) if flat else lowest
        p = permutation[number]
        for i in range(256):
            p[i] = i
        fisher_yates(seed, number, STREAM_PERMUTATION, p, 256)
        p[256:] = p[:256]
        for o in range(octaves):
            words = philox(seed, number, substream(STREAM_LATTICE, o), 0)
            offsets[number, o, 0] = words[0] & np.uint64(255)
            offsets[number, o, 1] = words[1] & np.uint64(255)


def fresh_table(table: FreshTable, noise: NoiseSpec, size: int, threads: int) -> None:
    images = len(table.low)
    step = min(images, max(threads, _CHUNK_BYTES // (4 * size * size)))
    buffer = np.empty((step, size, size), np.float32)
    for start in range(0, images, step):
        ids = np.arange(start, min(start + step, images))
        _float_noise(buffer[: len(ids)], ids, noise, threads)

        def fill(first: int, last: int, start: int = start) -> None:
            table_rows(
                np.uint64(noise.seed), buffer[first:last], start + first, noise.octaves, table.low, table.scale,
                table.permutation, table.offsets,
            )  # fmt: skip

        for_each_range(len(ids), threads, fill)


def _float_noise(out: Float32Array, ids: NDArray[np.int64], spec: NoiseSpec, threads: int) -> None:
    noise(out, ids, spec._replace(format="float32"), threads)


@jit
def grey_at(t, p, offsets, low, scale, row, column, terms):
    """Grey of one pixel of an image: the operations of :func:`grey_box` in the same order. ``terms`` is scratch."""
    total = np.float32(0.0)
    octaves = t.slot.shape[0]
    for o in range(octaves):
        k, j = t.slot[o, column], t.slot[o, row]
        before = p[(t.lattice[o, k] + offsets[o, 0]) & 255]
        after = p[(t.lattice[o, k + 1] + offsets[o, 0]) & 255]
        lower = (t.lattice[o, j] + offsets[o, 1]) & 255
        upper = (t.lattice[o, j + 1] + offsets[o, 1]) & 255
        g00, g10, g01, g11 = p[lower + before], p[lower + after], p[upper + before], p[upper + after]
        d, dm, s = t.at[o, 0, column], t.at[o, 1, column], t.at[o, 2, column]
        e0 = lerp(t.gradient[o, 0, g00] * d, t.gradient[o, 0, g10] * dm, s)
        f0 = lerp(t.gradient[o, 1, g00], t.gradient[o, 1, g10], s)
        e1 = lerp(t.gradient[o, 0, g01] * d, t.gradient[o, 0, g11] * dm, s)
        f1 = lerp(t.gradient[o, 1, g01], t.gradient[o, 1, g11], s)
        total = e0 if o == 0 else total + e0
        terms[o, 0], terms[o, 1], terms[o, 2] = f0, (e1 - f1) - e0, f1 - f0
    for o in range(octaves):
        total = fma(t.at[o, 0, row], terms[o, 0], total)
        total = fma(t.at[o, 2, row], terms[o, 1], total)
        total = fma(t.at[o, 3, row], terms[o, 2], total)
    return np.int64(fma(total - low, scale, np.float32(0.5)))


@jit
def grey_box(t, p, offsets, low, scale, top, left, height, width, scratch, grey):
    """Fill ``grey`` (flat) with a box of an image, row by row, and return the sum.

    ``scratch`` (octaves, 5, columns) holds for each octave E, F of the lattice row below, D0 and D1 up to the next, and
    the sum of E up to this octave; see ``csrc/core/noise.h``.
    """
    octaves = t.slot.shape[0]
    total = 0
    for y in range(top, top + height):
        changed = False
        for o in range(octaves):
            e0, f0, d0, d1 = scratch[o, 0], scratch[o, 1], scratch[o, 2], scratch[o, 3]
            slot = t.slot[o, y]
            if y == top or slot != t.slot[o, y - 1]:
                changed = True
                lower = (t.lattice[o, slot] + offsets[o, 1]) & 255
                upper = (t.lattice[o, slot + 1] + offsets[o, 1]) & 255
                last = -1
                gx00 = gx10 = gx01 = gx11 = np.float32(0.0)
                gy00 = gy10 = gy01 = gy11 = np.float32(0.0)
                for i in range(width):
                    k = t.slot[o, left + i]
                    if k != last:
                        last = k
                        before = p[(t.lattice[o, k] + offsets[o, 0]) & 255]
                        after = p[(t.lattice[o, k + 1] + offsets[o, 0]) & 255]
                        gx00, gy00 = t.gradient[o, 0, p[lower + before]], t.gradient[o, 1, p[lower + before]]
                        gx10, gy10 = t.gradient[o, 0, p[lower + after]], t.gradient[o, 1, p[lower + after]]
                        gx01, gy01 = t.gradient[o, 0, p[upper + before]], t.gradient[o, 1, p[upper + before]]
                        gx11, gy11 = t.gradient[o, 0, p[upper + after]], t.gradient[o, 1, p[upper + after]]
                    d, dm, s = t.at[o, 0, left + i], t.at[o, 1, left + i], t.at[o, 2, left + i]
                    e = lerp(gx00 * d, gx10 * dm, s)
                    f = lerp(gy00, gy10, s)
                    f1 = lerp(gy01, gy11, s)
                    e0[i], f0[i] = e, f
                    d0[i] = (lerp(gx01 * d, gx11 * dm, s) - f1) - e
                    d1[i] = f1 - f
            if changed:
                base, sums = scratch[o - 1, 4], scratch[o, 4]
                for i in range(width):
                    sums[i] = e0[i] if o == 0 else base[i] + e0[i]
        row, base = scratch[octaves], scratch[octaves - 1, 4]
        values = row[0]
        for i in range(width):
            values[i] = base[i]
        for o in range(octaves):
            f0, d0, d1 = scratch[o, 1], scratch[o, 2], scratch[o, 3]
            dy, v, vdy = t.at[o, 0, y], t.at[o, 2, y], t.at[o, 3, y]
            for i in range(width):
                values[i] = fma(vdy, d1[i], fma(v, d0[i], fma(dy, f0[i], values[i])))
        line = (y - top) * width
        for i in range(width):
            value = np.int32(fma(values[i] - low, scale, np.float32(0.5)))
            grey[line + i] = np.uint8(value)
            total += value
    return total


@jit
def fresh_patches(samples, t, table, seed, patch, threshold, centre, count, pixels, heights, widths, first, last):
    low, scale, permutation, offsets = table
    size, images = t.slot.shape[1], low.shape[0]
    side = patch[1]
    scratch = np.empty((t.slot.shape[0] + 1, 5, side), np.float32)
    terms = np.empty((t.slot.shape[0], 3), np.float32)
    for i in range(first, last):
        sample, number = samples[i // count[1]], i % count[1]
        heights[i] = 0
        widths[i] = 0
        if number >= count[0] + below(philox(seed, sample, STREAM_PASTE, 0)[0], count[1] - count[0] + 1):
            continue
        stream = substream(STREAM_FRESH, number)
        for r in range(FRESH_ROUNDS):
            words = philox(seed, sample, stream, 2 * r)
            top, left, height, width = random_box(words, patch[0], side, patch[0], side, size, size)
            m = below(philox(seed, sample, stream, 2 * r + 1)[0], images)
            p, shift = permutation[m], offsets[m]
            if grey_at(t, p, shift, low[m], scale[m], top + height // 2, left + width // 2, terms) <= centre:
                continue
            grey = pixels[i * side * side : (i + 1) * side * side]
            total = grey_box(t, p, shift, low[m], scale[m], top, left, height, width, scratch, grey)
            if total > threshold * height * width:
                heights[i] = height
                widths[i] = width
                break


def fresh(
    samples: Int64Array,
    table: FreshTable,
    spec: FreshSpec,
    seed: int,
    count: tuple[int, int],
    out: PatchBank,
    threads: int,
) -> None:
    tables = scheme(spec.noise, spec.size)
    images = (table.low, table.scale, table.permutation, table.offsets)

    def make(first: int, last: int) -> None:
        fresh_patches(
            samples, tables, images, np.uint64(seed), spec.patch, spec.threshold, spec.centre, count, out.pixels,
            out.heights, out.widths, first, last,
        )  # fmt: skip

    for_each_range(len(out.heights), threads, make)
