"""Bank candidates and pasting in Numba; the twin of ``csrc/core/lesions.h`` and the loops over it."""

from __future__ import annotations

import numpy as np

from ..specs import (
    ImageArray,
    Int32Array,
    Int64Array,
    PackedMasks,
    PasteRecord,
    PasteSpec,
    PatchBank,
    Shape,
    Uint8Array,
)
from ..threads import for_each_range
from .core import (
    STREAM_CANDIDATE,
    STREAM_PASTE,
    STREAM_PLACE,
    below,
    fma,
    grey_to_float,
    inline,
    jit,
    philox,
    random_box,
    substream,
)
from .masks import box_is_set, count_boxes, kth_box, kth_set_pixel, low_bits, lowest_bit, mask_window

BLENDS = ("replace", "max", "alpha", "add")
REPLACE, MAX, ALPHA, ADD = range(4)
SHAPES = ("rectangle", "ellipse", "cloud")
CLOUD = 2
PLACE_TRIES = 8


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
def cut_boxes(images, boxes, offsets, out, first, last):
    for i in range(first, last):
        n, top, left, height, width = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3], boxes[i, 4]
        at = offsets[i]
        for y in range(top, top + height):
            for x in range(left, left + width):
                out[at] = images[n, y, x]
                at += 1


def cut(images: Uint8Array, boxes: Int64Array, offsets: Int64Array, out: Uint8Array, threads: int) -> None:
    def copy(first: int, last: int) -> None:
        cut_boxes(images, boxes, offsets, out, first, last)

    for_each_range(len(boxes), threads, copy)


@jit
def to_edge(at, size):
    return min(at, size - 1 - at) + 1


@jit
def feathered(weight, feather, distance):
    return weight if distance > feather else weight * distance // (feather + 1)


@jit
def smooth_step(t):
    return (t * t * (768 - 2 * t)) >> 16


@jit
def from_middle(at, size):
    twice = 2 * at + 1 - size
    return twice * twice * 65536 // (size * size)


@jit
def edge_reach(shape, feather, height, width):
    reach = 4 * 65536 * (feather + 1) // min(height, width)
    return 65536 if shape == CLOUD or reach > 65536 else reach


@jit
def patch_cover(shape, reach, y, x, grey, low, high):
    depth = 65536 - y - x
    if depth <= 0:
        return 0
    cover = smooth_step(256 if depth >= reach else depth * 256 // reach)
    if shape == CLOUD and high > low:
        density = smooth_step((grey - low) * 256 // (high - low))
        cover = (cover * density + 128) >> 8
    return min(cover, 255)


@jit
def cover_rows(pixels, offsets, heights, widths, shape, feather, out, first, last):
    for i in range(first, last):
        start, height, width = offsets[i], np.int64(heights[i]), np.int64(widths[i])
        if height == 0:
            continue
        patch = pixels[start : start + height * width]
        reach = edge_reach(shape, feather, height, width)
        low, high = np.int64(patch.min()), np.int64(patch.max())
        for y in range(height):
            down = from_middle(y, height)
            for x in range(width):
                k = y * width + x
                across = from_middle(x, width)
                out[start + k] = patch_cover(shape, reach, down, across, np.int64(patch[k]), low, high)


def cover_patches(bank: PatchBank, shape: Shape, feather: int, out: Uint8Array, threads: int) -> None:
    def work(first: int, last: int) -> None:
        cover_rows(
            bank.pixels, bank.offsets, bank.heights, bank.widths, SHAPES.index(shape), feather, out, first, last
        )  # fmt: skip

    for_each_range(len(bank.offsets), threads, work)


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
def place_word(seed, sample, number, attempt):
    """Return the word that decides another centre: try 1..7, or 8 for the choice among all places."""
    word = attempt - 1
    words = philox(seed, sample, substream(STREAM_PLACE, word >> 2), number)
    lane = word & 3
    if lane == 0:
        return words[0]
    if lane == 1:
        return words[1]
    return words[2] if lane == 2 else words[3]


@jit
def find_whole(seed, sample, number, bits, before, height, width, scratch_before, scratch_row, top, left):
    """Return whether there is a place for the whole patch, and its top left corner."""
    attempt = 1
    while not box_is_set(bits, top, left, height, width):
        word = place_word(seed, sample, number, attempt)
        if attempt == PLACE_TRIES:
            places = count_boxes(bits, height, width, scratch_before, scratch_row)
            if places == 0:
                return False, top, left
            top, left = kth_box(bits, height, width, scratch_before, scratch_row, below(word, places))
            return True, top, left
        row, column = kth_set_pixel(bits, before, below(word, before[bits.shape[0]]))
        top, left = row - height // 2, column - width // 2
        attempt += 1
    return True, top, left


@jit
def covered_pixels(cover, at, count, lowest):
    """Return which of ``count`` pixels from ``cover[at]`` on are covered by at least ``lowest`` in 255ths."""
    word = np.uint64(0)
    for x in range(count):
        word |= np.uint64(cover[at + x] >= lowest) << np.uint64(x)
    return word


@jit
def row_weights(opacity, feather, cover, at, y, x, count, height, width, weights):
    """Fill ``weights`` with the opacity (1/256) of ``count`` pixels of a patch from (y, x) on."""
    if cover.shape[0] > 0:
        for i in range(count):
            share = np.int64(cover[at + i])
            weights[i] = (opacity * (share + (share >> 7)) + 128) >> 8
    elif feather == 0:
        weights[:count] = opacity
    else:
        highest = feathered(opacity, feather, to_edge(y, height))
        for i in range(count):
            weights[i] = min(highest, feathered(opacity, feather, to_edge(x + i, width)))


@inline
def blend_run(mode, pixels, at, weights, image, row, column, start, end):
    """Blend pixels start..end - 1 of a patch's row, which begins at ``pixels[at]``, into the image at (row, column)."""
    # Unsigned indices need no look at their sign, so that these become plain vector loops.
    at, row, column, first, last = np.uint64(at), np.uint64(row), np.uint64(column), np.uint64(start), np.uint64(end)
    if image.itemsize == 4:
        if mode == REPLACE:
            for x in range(first, last):
                image[row, column + x] = grey_to_float(pixels[at + x])
        else:
            for x in range(first, last):
                pixel, patch = np.float32(image[row, column + x]), grey_to_float(pixels[at + x])
                image[row, column + x] = blended_float(mode, pixel, patch, weights[x])
    elif mode == REPLACE:
        for x in range(first, last):
            image[row, column + x] = pixels[at + x]
    else:
        for x in range(first, last):
            pixel, patch = np.int64(image[row, column + x]), np.int64(pixels[at + x])
            image[row, column + x] = blended_u8(mode, pixel, patch, weights[x])


@jit
def paste_images(
    images,
    bits,
    before,
    samples,
    pixels,
    offsets,
    heights,
    widths,
    cover,
    seed,
    count,
    mode,
    weight,
    feather,
    whole,
    own,
    counts,
    skipped,
    boxes,
    patches,
    opacities,
    lesions,
    first,
    last,
):
    """Paste into ``images[first:last]`` in place; arrays that are not wanted are empty."""
    rows, columns = images.shape[1:]
    scratch_before, scratch_row = np.empty(rows + 1, np.uint32), np.empty((1, bits.shape[2]), np.uint64)
    weights = np.empty(64, np.int64)
    lowest = 1 if mode in (ALPHA, ADD) else 128
    for n in range(first, last):
        image, mask = images[n], bits[n]
        counts[n] = skipped[n] = 0
        lung = np.int64(before[n, rows])
        if lesions.shape[0] > 0:
            lesions[n] = 0
        if lung == 0:
            continue
        drawn = count[0] + below(philox(seed, samples[n], STREAM_PASTE, 0)[0], count[1] - count[0] + 1)
        for number in range(drawn):
            words = philox(seed, samples[n], STREAM_PASTE, 1 + number)
            i = n * count[1] + number if own else below(words[0], offsets.shape[0])
            opacity = weight[0] + below(words[2], weight[1] - weight[0] + 1)
            height, width = np.int64(heights[i]), np.int64(widths[i])
            if height == 0:  # an own patch that could not be made
                skipped[n] += 1
                continue
            row, column = kth_set_pixel(mask, before[n], below(words[1], lung))
            top, left = row - height // 2, column - width // 2
            if whole:
                found, top, left = find_whole(
                    seed, samples[n], number, mask, before[n], height, width, scratch_before, scratch_row, top, left
                )
                if not found:
                    skipped[n] += 1
                    continue
            y0, y1 = max(0, -top), min(height, rows - top)
            x0, x1 = max(0, -left), min(width, columns - left)
            for y in range(y0, y1):
                for x in range(x0, x1, 64):
                    some, at = min(64, x1 - x), offsets[i] + y * width + x
                    written = mask_window(mask, top + y, left + x) & low_bits(some)
                    if cover.shape[0] > 0:
                        written &= covered_pixels(cover, at, some, lowest)
                    if lowest == 1:
                        row_weights(opacity, feather, cover, at, y, x, some, height, width, weights)
                    while written != np.uint64(0):
                        start = lowest_bit(written)
                        end = start + lowest_bit(~(written >> np.uint64(start)))
                        blend_run(mode, pixels, at, weights, image, top + y, left + x, start, end)
                        if lesions.shape[0] > 0:
                            lesions[n, top + y, left + x + start : left + x + end] = 1
                        written &= ~low_bits(end)
            if boxes.shape[0] > 0:
                entry = boxes[n, counts[n]]
                entry[0], entry[1], entry[2], entry[3] = top + y0, left + x0, y1 - y0, x1 - x0
            if patches.shape[0] > 0:
                patches[n, counts[n]] = number if own else i
            if opacities.shape[0] > 0:
                opacities[n, counts[n]] = opacity
            counts[n] += 1


def paste(
    images: ImageArray,
    out: ImageArray,
    masks: PackedMasks,
    samples: Int64Array,
    bank: PatchBank,
    cover: Uint8Array | None,
    spec: PasteSpec,
    record: PasteRecord,
    threads: int,
) -> None:
    mode = BLENDS.index(spec.blend)
    cover = bank.pixels[:0] if cover is None else cover
    boxes = np.empty((0, 0, 4), np.int32) if record.boxes is None else record.boxes
    patches = np.empty((0, 0), np.int32) if record.patches is None else record.patches
    weights = np.empty((0, 0), np.int32) if record.weights is None else record.weights
    lesions = np.empty((0, 0, 0), np.uint8) if record.lesions is None else record.lesions

    def work(first: int, last: int) -> None:
        if not np.shares_memory(out, images):
            out[first:last] = images[first:last]
        paste_images(
            out, masks.bits, masks.before, samples, bank.pixels, bank.offsets, bank.heights, bank.widths, cover,
            np.uint64(spec.seed), spec.count, mode, spec.weight, spec.feather, spec.whole, spec.own, record.counts,
            record.skipped, boxes, patches, weights, lesions, first, last,
        )  # fmt: skip

    for_each_range(len(images), threads, work)
