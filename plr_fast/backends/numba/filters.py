"""Gaussian blur and local shuffle in Numba; the twin of ``csrc/core/filters.h`` and the loops over it."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from ..specs import BlurSpec, ImageArray, Int64Array, ShuffleSpec
from ..threads import for_each_range
from .core import (
    STREAM_BLUR_WINDOW,
    STREAM_SHUFFLE_BLOCK,
    STREAM_SHUFFLE_INSIDE,
    STREAM_SHUFFLE_WINDOW,
    fisher_yates,
    fma,
    jit,
    philox,
    random_box,
    substream,
)


@jit
def reflect_101(i, n):
    if n == 1:
        return 0
    period = 2 * n - 2
    i %= period  # Python's sign rule: never negative
    return i if i < n else period - i


@jit
def mirror_row(row, half, padded):
    """Copy a row to the middle of ``padded`` and mirror its ends."""
    width = row.shape[0]
    for x in range(width):
        padded[half + x] = row[x]
    for x in range(half):
        padded[x] = row[reflect_101(x - half, width)]
        padded[half + width + x] = row[reflect_101(width + x, width)]


def weighted(total, weight, value):
    """Return ``total + weight * value``; in kernels fused for float32."""
    return total + weight * value


@overload(weighted)
def _weighted(total, weight, value):  # noqa: ARG001 - the signature that Numba prescribes
    if isinstance(total, types.Float):
        return lambda total, weight, value: fma(weight, value, total)
    return weighted


def finished(total):
    """Return a sum of both passes as a pixel; in kernels, integer sums (weights in 1/65536) round halves upwards."""
    return total


@overload(finished)
def _finished(total):
    if isinstance(total, types.Float):
        return finished
    return lambda total: np.uint8((total + 32768) >> 16)


@jit
def blend(out, row, weight, first):
    """Add a weighted row, or begin with it."""
    if first:
        for x in range(out.shape[0]):
            out[x] = weight * row[x]
    else:
        for x in range(out.shape[0]):
            out[x] = weighted(out[x], weight, row[x])


@jit
def blur_rows(image, weights, rows, padded):
    """The pass along x of a whole image: float32 to float32, or uint8 to int32."""
    width, taps = image.shape[1], weights.shape[0]
    for y in range(image.shape[0]):
        mirror_row(image[y], taps // 2, padded)
        for t in range(taps):
            blend(rows[y], padded[t : t + width], weights[t], t == 0)


@jit
def blur_box(rows, weights, out, top, left, height, width, total):
    """The pass along y inside a box, back to pixels."""
    taps, total = weights.shape[0], total[:width]
    for y in range(top, top + height):
        for t in range(taps):
            row = rows[reflect_101(y + t - taps // 2, rows.shape[0])]
            blend(total, row[left : left + width], weights[t], t == 0)
        for x in range(width):
            out[y, left + x] = finished(total[x])


@jit
def draw_window(seed, sample, stream, number, height, width, rows, columns):
    words = philox(seed, sample, stream, number)
    return random_box(words, height[0], height[1], width[0], width[1], rows, columns)


def blur(images: ImageArray, out: ImageArray, samples: Int64Array, spec: BlurSpec, threads: int) -> None:
    floating = images.dtype == np.float32
    weights = spec.weights if floating else spec.weights_q8
    height, width = images.shape[1:]
    windows = spec.windows
    seed = np.uint64(spec.seed)

    def work(first: int, last: int) -> None:
        kind = np.float32 if floating else np.int32
        rows = np.empty((height, width), kind)
        padded = np.empty(width + len(weights) - 1, kind)
        total = np.empty(width, kind)
        for n in range(first, last):
            blur_rows(images[n], weights, rows, padded)
            if windows.count == 0:
                blur_box(rows, weights, out[n], 0, 0, height, width, total)
                continue
            if not np.shares_memory(out, images):
                out[n] = images[n]
            for number in range(windows.count):
                box = draw_window(
                    seed, samples[n], STREAM_BLUR_WINDOW, number, windows.height, windows.width, height, width
                )
                blur_box(rows, weights, out[n], *box, total)

    for_each_range(len(images), threads, work)


@jit
def shuffle_box(source, target, top, left, height, width, seed, sample, stream, held):
    """Shuffle the pixels of a box: read from ``source``, written to ``target``."""
    i = 0
    for y in range(top, top + height):
        for x in range(left, left + width):
            held[i] = source[y, x]
            i += 1
    fisher_yates(seed, sample, stream, held, height * width)
    i = 0
    for y in range(top, top + height):
        for x in range(left, left + width):
            target[y, x] = held[i]
            i += 1


@jit
def shuffle_grid(source, target, grid, seed, sample, held):
    rows, columns = source.shape
    for by in range(grid[0]):
        top = by * rows // grid[0]
        height = (by + 1) * rows // grid[0] - top
        for bx in range(grid[1]):
            left = bx * columns // grid[1]
            width = (bx + 1) * columns // grid[1] - left
            stream = substream(STREAM_SHUFFLE_BLOCK, by * grid[1] + bx)
            shuffle_box(source, target, top, left, height, width, seed, sample, stream, held)


@jit
def shuffle_windows(source, target, count, height, width, seed, sample, held):
    rows, columns = source.shape
    for number in range(count):
        box = draw_window(seed, sample, STREAM_SHUFFLE_WINDOW, number, height, width, rows, columns)
        stream = substream(STREAM_SHUFFLE_INSIDE, number)
        shuffle_box(source, target, box[0], box[1], box[2], box[3], seed, sample, stream, held)


def shuffle(images: ImageArray, out: ImageArray, samples: Int64Array, spec: ShuffleSpec, threads: int) -> None:
    windows = spec.windows
    seed = np.uint64(spec.seed)

    def work(first: int, last: int) -> None:
        held = np.empty(images[0].size, images.dtype)
        for n in range(first, last):
            if windows.count == 0:
                shuffle_grid(images[n], out[n], spec.grid, seed, samples[n], held)
                continue
            source = images[n]
            if np.shares_memory(out, images):
                source = source.copy()  # windows always take the original pixels
            else:
                out[n] = source
            shuffle_windows(source, out[n], windows.count, windows.height, windows.width, seed, samples[n], held)

    for_each_range(len(images), threads, work)
