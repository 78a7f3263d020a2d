"""Gaussian blur and local shuffle in Numba; the twin of ``csrc/core/filters.h`` and the loops over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload

from ..specs import BlurSpec, ImageArray, Int64Array, ShuffleSpec
from ..threads import for_each_range
from .core import (
    STREAM_BLUR_WINDOW,
    STREAM_SHUFFLE_BLOCK,
    STREAM_SHUFFLE_INSIDE,
    STREAM_SHUFFLE_WINDOW,
    below,
    fma,
    inline,
    jit,
    philox,
    random_box,
    substream,
)

_FEW_TAPS = 9  # kernels up to this size are compiled each for itself
_BAND = 16  # rows of a band: few enough for the first-level cache
_COUNTERS_AHEAD = 32  # values of Philox that are made at a time


@jit
def reflect_101(i, n):
    if n == 1:
        return 0
    period = 2 * n - 2
    i %= period  # Python's sign rule: never negative
    return i if i < n else period - i


@jit
def copy_row(row, out):
    for x in range(out.shape[0]):
        out[x] = row[x]


@jit
def fill_row(row):
    for x in range(row.shape[0]):
        row[x] = True


@intrinsic(prefer_literal=True)
def prefetch(typing_context: Any, row: Any, x: Any, write: Any) -> Any:  # noqa: ARG001 - the signature that Numba prescribes
    """Ask for the cache line of ``row[x]``, to be read or, with ``write`` the literal 1, to be written."""
    if not isinstance(write, types.IntegerLiteral):
        raise TypingError("write must be 0 or 1 in the source")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.IntType(32)
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(function, [address, number(write.literal_value), number(3), number(1)])  # 3: to the first level
        return context.get_dummy_value()

    return types.void(row, types.intp, write), generate


@jit
def expect_read(row):
    for x in range(0, row.shape[0], 64 // row.itemsize):
        prefetch(row, x, 0)


@jit
def expect_write(row):
    for x in range(0, row.shape[0], 64 // row.itemsize):
        prefetch(row, x, 1)


@jit
def pad_row(row, half, padded):
    """Copy a row to the middle of ``padded`` and mirror its ends."""
    width = row.shape[0]
    copy_row(row, padded[half : half + width])
    for x in range(half):
        padded[x] = row[reflect_101(x - half, width)]
        padded[half + width + x] = row[reflect_101(width + x, width)]


@inline
def as_it_is(total):
    return total


@inline
def as_grey(total):
    """Return a sum of both passes, weights in 1/65536, as uint8; halves round upwards."""
    return np.uint8(np.int32((total + np.float32(32768)) * np.float32(1 / 65536)))


# The values to weigh are a row with mirrored ends, for the pass along x, or several rows, for the pass along y.


def tap(values, t, x):
    """Return what tap ``t`` weighs at column ``x``."""
    return values[t, x] if values.ndim == 2 else values[x + t]


@overload(tap)
def _tap(values, t, x):  # noqa: ARG001 - the signature that Numba prescribes
    # Unsigned: the compiler need not look whether the index counts from the end, and makes vectors of the loop.
    if values.ndim == 2:
        return lambda values, t, x: values[t, x]
    return lambda values, t, x: values[np.uint64(x) + np.uint64(t)]


def taps_from(values, t, n):
    """Return what tap ``t`` weighs at ``n`` columns."""
    return values[t] if values.ndim == 2 else values[t : t + n]


@overload(taps_from)
def _taps_from(values, t, n):  # noqa: ARG001 - as above
    if values.ndim == 2:
        return lambda values, t, n: values[t]  # noqa: ARG005 - as above
    return lambda values, t, n: values[t : t + n]


def summed(total, weights, values, t, x):
    """Add the taps from ``t`` on to a sum; ``weights``, a tuple, are theirs. Recursion that the compiler unrolls."""
    return summed(fma(weights[0], tap(values, t, x), total), weights[1:], values, t + 1, x) if weights else total


@overload(summed)
def _summed(total, weights, values, t, x):  # noqa: ARG001 - as above
    if weights.count == 0:
        return lambda total, weights, values, t, x: total  # noqa: ARG005 - as above
    return lambda total, weights, values, t, x: summed(
        fma(weights[0], tap(values, t, x), total), weights[1:], values, t + 1, x
    )


def blur_row(values, weights, out, totals):
    """Write the weighted sums of a row.

    Weights of short kernels are a tuple: the compiler knows its length, and keeps the sums in registers. Those of long
    ones are an array, and go tap by tap over a row of sums, ``totals``.
    """


@overload(blur_row)
def _blur_row(values, weights, out, totals):  # noqa: ARG001 - as above
    pixel = as_grey if out.dtype == types.uint8 else as_it_is

    def few(values, weights, out, totals):  # noqa: ARG001 - as above
        for x in range(out.shape[0]):
            out[x] = pixel(summed(weights[0] * tap(values, 0, x), weights[1:], values, 1, x))

    def many(values, weights, out, totals):
        for t in range(len(weights)):
            blend(totals, taps_from(values, t, out.shape[0]), weights[t], t == 0)
        for x in range(out.shape[0]):
            out[x] = pixel(totals[x])

    return few if isinstance(weights, types.BaseTuple) else many


@jit
def blend(totals, row, weight, first):
    """Add a weighted row, or begin with it."""
    if first:
        for x in range(totals.shape[0]):
            totals[x] = weight * row[x]
    else:
        for x in range(totals.shape[0]):
            totals[x] = fma(weight, row[x], totals[x])


@jit
def keep_outside(blurred, row, inside, out):
    for x in range(out.shape[0]):
        out[x] = blurred[x] if inside[x] else row[x]


@jit
def blur_image(image, out, weights, windowed, inside, band, padded, totals, line):
    """Blur an image band by band; with windows, only where ``inside`` is set.

    ``band`` holds as many rows blurred along x as a number of output rows need, so that memory is read once and written
    once. All that a row is needed for is done before it is overwritten: ``image`` may be ``out``.
    """
    height, taps = image.shape[0], len(weights)
    half, most = taps // 2, band.shape[0] - (taps - 1)
    for top in range(0, height, most):
        n = min(most, height - top)
        for k in range(0 if top == 0 else taps - 1, n + taps - 1):
            y = top - half + k
            mirrored = reflect_101(y, height)
            if y < height:
                pad_row(image[mirrored], half, padded)
                expect_read(image[min(mirrored + 1, height - 1)])
                blur_row(padded, weights, band[k], totals)
            else:  # the rows above may be overwritten by now, but they are still in the band
                copy_row(band[k - (y - mirrored)], band[k])
        for k in range(n):
            expect_write(out[min(top + k + 1, height - 1)])
            if windowed:
                blur_row(band[k : k + taps], weights, line, totals)
                keep_outside(line, image[top + k], inside[top + k], out[top + k])
            else:
                blur_row(band[k : k + taps], weights, out[top + k], totals)
        for k in range(taps - 1):
            copy_row(band[n + k], band[k])


@jit
def mark_windows(inside, count, height, width, seed, sample):
    inside[:] = False
    for number in range(count):
        box = draw_window(seed, sample, STREAM_BLUR_WINDOW, number, height, width, inside.shape[0], inside.shape[1])
        for y in range(box[0], box[0] + box[2]):
            fill_row(inside[y, box[1] : box[1] + box[3]])


@jit
def draw_window(seed, sample, stream, number, height, width, rows, columns):
    words = philox(seed, sample, stream, number)
    return random_box(words, height[0], height[1], width[0], width[1], rows, columns)


def blur(images: ImageArray, out: ImageArray, samples: Int64Array, spec: BlurSpec, threads: int) -> None:
    # In float32, sums over uint8 are exact in any order: they stay below 2^24.
    taps = spec.weights if images.dtype == np.float32 else spec.weights_q8.astype(np.float32)
    weights = tuple(taps) if len(taps) <= _FEW_TAPS else taps
    height, width = images.shape[1:]
    windows = spec.windows
    seed = np.uint64(spec.seed)

    def work(first: int, last: int) -> None:
        band = np.empty((min(_BAND, height) + len(taps) - 1, width), np.float32)
        padded = np.empty(width + len(taps) - 1, np.float32)
        totals = np.empty(width, np.float32)
        line = np.empty(width, images.dtype)
        inside = np.empty((height, width) if windows.count else (1, 1), np.bool_)
        for n in range(first, last):
            if windows.count:
                mark_windows(inside, windows.count, windows.height, windows.width, seed, samples[n])
            blur_image(images[n], out[n], weights, windows.count > 0, inside, band, padded, totals, line)

    for_each_range(len(images), threads, work)


@jit
def swaps_ahead(seed, sample, stream, first, left, targets):
    """Fill ``targets`` (4, values): where steps ``first``, ``first + 1``, ... swap to, when ``left`` elements are left.

    Step 4 * k + word stands at (word, k), so that the loop becomes vectors.
    """
    for k in range(targets.shape[1]):
        words = philox(seed, sample, stream, (first >> 2) + k)
        remaining = np.uint64(left) - np.uint64(4) * np.uint64(k)
        targets[0, k] = below(words[0], remaining)
        targets[1, k] = below(words[1], remaining - np.uint64(1))
        targets[2, k] = below(words[2], remaining - np.uint64(2))
        targets[3, k] = below(words[3], remaining - np.uint64(3))


@inline
def swap(items, i, j):
    last = items[j]
    items[j] = items[i]
    items[i] = last


@jit
def shuffle_down_to(seed, sample, stream, items, count, needed, targets):
    """``fisher_yates`` on the elements from ``needed`` on; the others stay, in any order."""
    stop, i, steps = max(needed, 1), np.uint64(count), 4 * targets.shape[1]
    for first in range(0, count - stop, steps):
        swaps_ahead(seed, sample, stream, first, count - first, targets)
        n = min(steps, count - stop - first)
        for k in range(n >> 2):
            swap(items, i - np.uint64(1), np.uint64(targets[0, k]))
            swap(items, i - np.uint64(2), np.uint64(targets[1, k]))
            swap(items, i - np.uint64(3), np.uint64(targets[2, k]))
            swap(items, i - np.uint64(4), np.uint64(targets[3, k]))
            i -= np.uint64(4)
        for word in range(n & 3):
            i -= np.uint64(1)
            swap(items, i, np.uint64(targets[word, n >> 2]))


@jit
def shuffle_box(source, target, box, first_row, seed, sample, stream, held, targets):
    """Shuffle the pixels of a box: read from ``source``, written to ``target`` from ``first_row`` of the box on."""
    top, left, height, width = box
    for y in range(height):
        copy_row(source[top + y, left : left + width], held[y * width : (y + 1) * width])
    shuffle_down_to(seed, sample, stream, held, height * width, first_row * width, targets)
    for y in range(first_row, height):
        copy_row(held[y * width : (y + 1) * width], target[top + y, left : left + width])


@jit
def shuffle_grid(source, target, grid, seed, sample, held, targets):
    rows, columns = source.shape
    for by in range(grid[0]):
        top = by * rows // grid[0]
        height = (by + 1) * rows // grid[0] - top
        for bx in range(grid[1]):
            left = bx * columns // grid[1]
            width = (bx + 1) * columns // grid[1] - left
            stream = substream(STREAM_SHUFFLE_BLOCK, by * grid[1] + bx)
            shuffle_box(source, target, (top, left, height, width), 0, seed, sample, stream, held, targets)


@jit
def all_covered(row):
    for x in range(row.shape[0]):  # noqa: SIM110 - Numba knows no generators
        if not row[x]:
            return False
    return True


@jit
def cover(covered, box):
    """Mark a box as covered; return its first row that was not covered before, or its height."""
    top, left, height, width = box
    first_row = 0
    while first_row < height and all_covered(covered[top + first_row, left : left + width]):
        first_row += 1
    for y in range(top + first_row, top + height):
        fill_row(covered[y, left : left + width])
    return first_row


@jit
def shuffle_windows(source, target, count, height, width, seed, sample, held, targets, covered, first_rows):
    """Shuffle window after window, but not what later windows hide."""
    rows, columns = source.shape
    covered[:] = False
    for number in range(count - 1, -1, -1):
        box = draw_window(seed, sample, STREAM_SHUFFLE_WINDOW, number, height, width, rows, columns)
        first_rows[number] = cover(covered, box)
    for number in range(count):
        box = draw_window(seed, sample, STREAM_SHUFFLE_WINDOW, number, height, width, rows, columns)
        if first_rows[number] < box[2]:
            stream = substream(STREAM_SHUFFLE_INSIDE, number)
            shuffle_box(source, target, box, first_rows[number], seed, sample, stream, held, targets)


def shuffle(images: ImageArray, out: ImageArray, samples: Int64Array, spec: ShuffleSpec, threads: int) -> None:
    windows = spec.windows
    seed = np.uint64(spec.seed)

    def work(first: int, last: int) -> None:
        held = np.empty(images.shape[1] * images.shape[2], images.dtype)
        targets = np.empty((4, _COUNTERS_AHEAD), np.uint64)
        covered = np.empty(images.shape[1:] if windows.count else (1, 1), np.bool_)
        first_rows = np.empty(windows.count, np.int64)
        for n in range(first, last):
            if windows.count == 0:
                shuffle_grid(images[n], out[n], spec.grid, seed, samples[n], held, targets)
                continue
            source = images[n]
            if np.shares_memory(out, images):
                source = source.copy()  # windows always take the original pixels
            else:
                out[n] = source
            shuffle_windows(
                source, out[n], windows.count, windows.height, windows.width, seed, samples[n], held, targets, covered,
                first_rows,
            )  # fmt: skip

    for_each_range(len(images), threads, work)
