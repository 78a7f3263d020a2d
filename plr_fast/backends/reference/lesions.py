"""Bank candidates and pasting (paper III.B), one pixel rule at a time."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

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
from .philox import Stream, below, draw, random_box


def candidates(
    images: Uint8Array,
    image_ids: Int64Array,
    seed: int,
    patch: tuple[int, int],
    first_round: int,
    out: Int32Array,
    threads: int,  # noqa: ARG001 - one thread
) -> None:
    for n, image_id in enumerate(image_ids):
        for r in range(out.shape[1]):
            words = draw(seed, int(image_id), Stream.CANDIDATE, first_round + r)
            top, left, height, width = random_box(words, patch, patch, images.shape[1:])
            total = int(images[n, top : top + height, left : left + width].sum(dtype=np.int64))
            out[n, r] = total, top, left, height, width


def cut(
    images: Uint8Array,
    boxes: Int64Array,
    offsets: Int64Array,
    out: Uint8Array,
    threads: int,  # noqa: ARG001 - one thread
) -> None:
    for (n, top, left, height, width), start in zip(boxes, offsets, strict=True):
        out[start : start + height * width] = images[n, top : top + height, left : left + width].reshape(-1)


def pack_masks(masks: Uint8Array, out: PackedMasks, threads: int) -> None:  # noqa: ARG001 - one thread
    out.bits[...] = 0
    for x in range(masks.shape[2]):
        out.bits[:, :, x // 64] |= (masks[:, :, x] != 0).astype(np.uint64) << np.uint64(x % 64)
    out.before[:, 0] = 0
    out.before[:, 1:] = np.cumsum((masks != 0).sum(axis=2), axis=1)


def unpacked(masks: PackedMasks, n: int, width: int) -> NDArray[np.bool_]:
    """Return mask n, bool (H, W)."""
    x = np.arange(width)
    set_bits: NDArray[np.bool_] = (masks.bits[n][:, x // 64] >> (x % 64).astype(np.uint64) & np.uint64(1)) != 0
    return set_bits


def feathered(weight: int, feather: int, height: int, width: int) -> NDArray[np.int64]:
    """Return the opacity (1/256) of each pixel of a patch: full inside, fading over ``feather`` pixels to its edge."""
    y, x = np.mgrid[:height, :width]
    to_edge = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, width - 1 - x)) + 1
    return np.where(to_edge > feather, weight, weight * to_edge // (feather + 1))


def smooth_step(t: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 3 t^2 - 2 t^3 for t in 0..256, again in 0..256."""
    return (t * t * (768 - 2 * t)) >> 16


def patch_cover(patch: Uint8Array, shape: Shape, feather: int) -> NDArray[np.int64]:
    """Return how much of each pixel a patch covers in that shape, 0..255."""
    height, width = patch.shape
    down, across = (((2 * np.arange(n) + 1 - n) ** 2 * 65536) // n**2 for n in (height, width))
    depth = np.maximum(65536 - down[:, None] - across, 0)  # 0 on the ellipse's edge, 65536 in its middle
    reach = min(65536, 4 * 65536 * (feather + 1) // min(height, width)) if shape == "ellipse" else 65536
    cover = smooth_step(np.where(depth >= reach, 256, depth * 256 // max(reach, 1)))
    cover[depth == 0] = 0
    low, high = int(patch.min()), int(patch.max())
    if shape == "cloud" and high > low:
        cover = (cover * smooth_step((patch.astype(np.int64) - low) * 256 // (high - low)) + 128) >> 8
    return np.minimum(cover, 255)


def patch_of(bank: PatchBank, i: int) -> tuple[slice, tuple[int, int]]:
    """Return where patch ``i`` lies among the bank's pixels, and its height and width."""
    height, width = int(bank.heights[i]), int(bank.widths[i])
    return slice(int(bank.offsets[i]), int(bank.offsets[i]) + height * width), (height, width)


def cover_patches(
    bank: PatchBank,
    shape: Shape,
    feather: int,
    out: Uint8Array,
    threads: int,  # noqa: ARG001 - one thread
) -> None:
    for i in range(len(bank.offsets)):
        place, size = patch_of(bank, i)
        if size == (0, 0):
            continue
        out[place] = patch_cover(bank.pixels[place].reshape(size), shape, feather).reshape(-1)


def blended(
    mode: str, pixel: NDArray[np.float64], patch: NDArray[np.float64], weight: np.ndarray, white: float
) -> NDArray[np.float64]:
    """Return pixel and patch blended in float64, not yet rounded."""
    if mode == "replace":
        return patch
    if mode == "max":
        return np.maximum(patch, pixel)
    if mode == "alpha":
        return pixel + weight / 256 * (patch - pixel)
    added = weight / 256 * patch
    if white == 255:
        added = np.floor(added + 0.5)  # uint8 rounds what is added, then holds the sum at white
    return np.minimum(pixel + added, white)


def whole_place(
    seed: int, sample: int, number: int, lung: NDArray[np.bool_], size: tuple[int, int], corner: tuple[int, int]
) -> tuple[int, int] | None:
    """Return the top left corner of a place for the whole patch, ``corner`` if that is one, or None."""
    height, width = size
    if height > lung.shape[0] or width > lung.shape[1]:
        return None
    fits: NDArray[np.bool_] = np.asarray(sliding_window_view(lung, size).all(axis=(2, 3)))
    centres = np.argwhere(lung)
    words = [word for block in (0, 1) for word in draw(seed, sample, Stream.PLACE, number, block)]
    corners = [corner]
    for word in words[:7]:
        row, column = centres[below(word, len(centres))]
        corners.append((int(row) - height // 2, int(column) - width // 2))
    for top, left in corners:
        if 0 <= top < fits.shape[0] and 0 <= left < fits.shape[1] and fits[top, left]:
            return top, left
    places = np.argwhere(fits)
    if len(places) == 0:
        return None
    top, left = places[below(words[7], len(places))]
    return int(top), int(left)


def paste(
    images: ImageArray,
    out: ImageArray,
    masks: PackedMasks,
    samples: Int64Array,
    bank: PatchBank,
    cover: Uint8Array | None,
    spec: PasteSpec,
    record: PasteRecord,
    threads: int,  # noqa: ARG001 - one thread
) -> None:
    out[...] = images
    if record.lesions is not None:
        record.lesions[...] = 0
    for n, sample in enumerate(int(s) for s in samples):
        record.counts[n] = record.skipped[n] = 0
        lung = unpacked(masks, n, images.shape[2])
        centres = np.argwhere(lung)
        if len(centres) == 0:
            continue
        first = draw(spec.seed, sample, Stream.PASTE, 0)[0]
        for number in range(spec.count[0] + below(first, spec.count[1] - spec.count[0] + 1)):
            words = draw(spec.seed, sample, Stream.PASTE, 1 + number)
            i = n * spec.count[1] + number if spec.own else below(words[0], len(bank.offsets))
            height, width = size = patch_of(bank, i)[1]
            if height == 0:  # an own patch that could not be made
                record.skipped[n] += 1
                continue
            row, column = centres[below(words[1], len(centres))]
            corner: tuple[int, int] | None = (int(row) - height // 2, int(column) - width // 2)
            if spec.whole and corner is not None:
                corner = whole_place(spec.seed, sample, number, lung, size, corner)
            if corner is None:
                record.skipped[n] += 1
                continue
            weight = spec.weight[0] + below(words[2], spec.weight[1] - spec.weight[0] + 1)
            paste_one(out[n], lung, bank, cover, spec, i, corner, weight, record, n)


def paste_one(
    image: ImageArray,
    lung: NDArray[np.bool_],
    bank: PatchBank,
    cover: Uint8Array | None,
    spec: PasteSpec,
    i: int,
    corner: tuple[int, int],
    weight: int,
    record: PasteRecord,
    n: int,
) -> None:
    """Paste patch ``i`` with its top left corner at ``corner``, and note it as the next patch of image n."""
    stored, (height, width) = patch_of(bank, i)
    top, left = corner
    y = slice(max(0, -top), min(height, image.shape[0] - top))
    x = slice(max(0, -left), min(width, image.shape[1] - left))
    place = (slice(top + y.start, top + y.stop), slice(left + x.start, left + x.stop))
    grey = image.dtype == np.uint8
    patch = bank.pixels[stored].reshape(height, width)[y, x].astype(np.float64) * (1.0 if grey else 1 / 255)
    opacity, written = feathered(weight, spec.feather, height, width)[y, x], lung[place]
    if cover is not None:
        share = cover[stored].reshape(height, width)[y, x].astype(np.int64)
        opacity = (weight * (share + (share >> 7)) + 128) >> 8
        written = written & (share >= (1 if spec.blend in ("alpha", "add") else 128))
    pixel = image[place].astype(np.float64)
    values = np.where(written, blended(spec.blend, pixel, patch, opacity, 255.0 if grey else 1.0), pixel)
    image[place] = np.floor(values + 0.5) if grey else values
    entry = int(record.counts[n])
    if record.boxes is not None:
        record.boxes[n, entry] = place[0].start, place[1].start, y.stop - y.start, x.stop - x.start
    if record.patches is not None:
        record.patches[n, entry] = i - n * spec.count[1] if spec.own else i
    if record.weights is not None:
        record.weights[n, entry] = weight
    if record.lesions is not None:
        record.lesions[n][place] |= written
    record.counts[n] += 1
