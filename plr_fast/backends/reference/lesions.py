"""Bank candidates and pasting (paper III.B), one pixel rule at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..specs import ImageArray, Int32Array, Int64Array, PasteSpec, PatchBank, Uint8Array
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


def feathered(weight: int, feather: int, height: int, width: int) -> NDArray[np.int64]:
    """Return the opacity (1/256) of each pixel of a patch: full inside, fading over ``feather`` pixels to its edge."""
    y, x = np.mgrid[:height, :width]
    to_edge = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, width - 1 - x)) + 1
    return np.where(to_edge > feather, weight, weight * to_edge // (feather + 1))


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


def paste(
    images: ImageArray,
    out: ImageArray,
    masks: Uint8Array,
    samples: Int64Array,
    bank: PatchBank,
    spec: PasteSpec,
    counts: Int32Array,
    threads: int,  # noqa: ARG001 - one thread
) -> None:
    out[...] = images
    grey = images.dtype == np.uint8
    white = 255.0 if grey else 1.0
    rows, columns = images.shape[1:]
    for n, sample in enumerate(int(s) for s in samples):
        lung = np.argwhere(masks[n])
        if len(lung) == 0:
            counts[n] = 0
            continue
        first = draw(spec.seed, sample, Stream.PASTE, 0)[0]
        counts[n] = spec.count[0] + below(first, spec.count[1] - spec.count[0] + 1)
        for number in range(counts[n]):
            words = draw(spec.seed, sample, Stream.PASTE, 1 + number)
            i = below(words[0], len(bank.offsets))
            row, column = lung[below(words[1], len(lung))]
            weight = spec.weight[0] + below(words[2], spec.weight[1] - spec.weight[0] + 1)
            height, width = int(bank.heights[i]), int(bank.widths[i])
            patch = bank.pixels[bank.offsets[i] :][: height * width].reshape(height, width)
            top, left = row - height // 2, column - width // 2
            y = slice(max(0, -top), min(height, rows - top))
            x = slice(max(0, -left), min(width, columns - left))
            place = (slice(top + y.start, top + y.stop), slice(left + x.start, left + x.stop))
            pixel = out[n][place].astype(np.float64)
            values = blended(
                spec.blend,
                pixel,
                patch[y, x].astype(np.float64) * (1.0 if grey else 1 / 255),
                feathered(weight, spec.feather, height, width)[y, x],
                white,
            )
            values = np.where(masks[n][place] != 0, values, pixel)
            out[n][place] = np.floor(values + 0.5) if grey else values
