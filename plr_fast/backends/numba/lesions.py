"""Bank candidates and pasting in Numba; the twin of ``csrc/core/lesions.h`` and the loops over it."""

from __future__ import annotations

import numpy as np

from ..specs import ImageArray, Int32Array, Int64Array, PasteSpec, PatchBank, Uint8Array
from ..threads import for_each_range
from .core import STREAM_CANDIDATE, STREAM_PASTE, below, fma, jit, philox, random_box

BLENDS = ("replace", "max", "alpha", "add")
REPLACE, MAX, ALPHA, ADD = range(4)

# Grey as float32 in [0, 1], each value rounded once from float64.
GREY_TO_FLOAT = (np.arange(256) / 255.0).astype(np.float32)


@jit
def candidate_rows(images, image_ids, seed, low, high, first_round, out, first, last):
    rows, columns = images.shape[1:]
    for n in range(first, last):
        for r in range(out.shape[1]):
            words = philox(seed, image_ids[n], STREAM_CANDIDATE, first_round + r)
            top, left, height, width = random_box(words, low, high, low, high, rows, columns)
            total = 0
            for y in range(top, top + height):
                for x in range(left, left + width):
                    total += images[n, y, x]
            out[n, r, 0] = total
            out[n, r, 1] = top
            out[n, r, 2] = left
            out[n, r, 3] = height
            out[n, r, 4] = width


def candidates(
    images: Uint8Array,
    image_ids: Int64Array,
    seed: int,
    patch: tuple[int, int],
    first_round: int,
    out: Int32Array,
    threads: int,
) -> None:
    def search(first: int, last: int) -> None:
        candidate_rows(images, image_ids, np.uint64(seed), patch[0], patch[1], first_round, out, first, last)

    for_each_range(len(images), threads, search)


@jit
def kth_set_pixel(mask, before, k):
    """Return row and column of the k-th set pixel; ``before[row]`` counts the set pixels of all earlier rows."""
    low, high = 0, mask.shape[0] - 1
    while low < high:
        middle = (low + high + 1) >> 1
        if before[middle] <= k:
            low = middle
        else:
            high = middle - 1
    left = k - before[low]
    x = 0
    while True:
        if mask[low, x] != 0:
            if left == 0:
                return low, x
            left -= 1
        x += 1


@jit
def feathered(weight, feather, y, x, height, width):
    to_edge = min(min(y, height - 1 - y), min(x, width - 1 - x)) + 1
    return weight if to_edge > feather else weight * to_edge // (feather + 1)


@jit
def blended_u8(mode, pixel, patch, weight):
    if mode == REPLACE:
        return patch
    if mode == MAX:
        return max(patch, pixel)
    if mode == ALPHA:
        return (pixel * (256 - weight) + patch * weight + 128) >> 8
    return min(255, pixel + ((patch * weight + 128) >> 8))


@jit
def blended_float(mode, pixel, patch, weight):
    if mode == REPLACE:
        return patch
    if mode == MAX:
        return patch if patch > pixel else pixel
    w = np.float32(weight) * np.float32(1.0 / 256.0)
    if mode == ALPHA:
        return fma(w, patch - pixel, pixel)
    total = fma(w, patch, pixel)
    return total if total < np.float32(1.0) else np.float32(1.0)


@jit
def paste_images(
    images,
    masks,
    samples,
    pixels,
    offsets,
    heights,
    widths,
    seed,
    count,
    mode,
    weight,
    feather,
    grey,
    counts,
    first,
    last,
):
    """Paste into ``images[first:last]`` in place. ``grey`` maps bytes to float32, or is empty for uint8 images."""
    rows, columns = images.shape[1:]
    before = np.empty(rows, np.int64)
    for n in range(first, last):
        image, mask = images[n], masks[n]
        lung = 0
        for y in range(rows):
            before[y] = lung
            for x in range(columns):
                lung += mask[y, x] != 0
        counts[n] = 0
        if lung == 0:
            continue
        counts[n] = count[0] + below(philox(seed, samples[n], STREAM_PASTE, 0)[0], count[1] - count[0] + 1)
        for number in range(counts[n]):
            words = philox(seed, samples[n], STREAM_PASTE, 1 + number)
            i = below(words[0], offsets.shape[0])
            row, column = kth_set_pixel(mask, before, below(words[1], lung))
            opacity = weight[0] + below(words[2], weight[1] - weight[0] + 1)
            height, width = heights[i], widths[i]
            top, left = row - height // 2, column - width // 2
            for y in range(max(0, -top), min(height, rows - top)):
                for x in range(max(0, -left), min(width, columns - left)):
                    if mask[top + y, left + x] == 0:
                        continue
                    w = feathered(opacity, feather, y, x, height, width)
                    patch = pixels[offsets[i] + y * width + x]
                    pixel = image[top + y, left + x]
                    if grey.shape[0] > 0:
                        image[top + y, left + x] = blended_float(mode, np.float32(pixel), grey[patch], w)
                    else:
                        image[top + y, left + x] = blended_u8(mode, np.int64(pixel), np.int64(patch), w)


def paste(
    images: ImageArray,
    out: ImageArray,
    masks: Uint8Array,
    samples: Int64Array,
    bank: PatchBank,
    spec: PasteSpec,
    counts: Int32Array,
    threads: int,
) -> None:
    grey = GREY_TO_FLOAT if images.dtype == np.float32 else GREY_TO_FLOAT[:0]
    mode = BLENDS.index(spec.blend)

    def work(first: int, last: int) -> None:
        if not np.shares_memory(out, images):
            out[first:last] = images[first:last]
        paste_images(
            out, masks, samples, bank.pixels, bank.offsets, bank.heights, bank.widths, np.uint64(spec.seed), spec.count,
            mode, spec.weight, spec.feather, grey, counts, first, last,
        )  # fmt: skip

    for_each_range(len(images), threads, work)
