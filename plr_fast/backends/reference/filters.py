"""Gaussian blur and local pixel shuffling (paper III.B), on whole images or random windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..specs import BlurSpec, ImageArray, Int64Array, ShuffleSpec
from .philox import Stream, draw, random_box, shuffled, words


def reflect_101(i: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Mirror indices at the borders without repeating the border pixel (OpenCV's BORDER_REFLECT_101)."""
    if n == 1:
        return np.zeros_like(i)
    i = i % (2 * n - 2)
    return np.where(i < n, i, 2 * n - 2 - i)


def blurred(image: ImageArray, spec: BlurSpec) -> NDArray[np.float64]:
    """Return the whole image blurred, float64, not yet rounded."""
    weights = spec.weights.astype(np.float64) if image.dtype == np.float32 else spec.weights_q8 / 256
    half = len(weights) // 2
    result = image.astype(np.float64)
    for axis in (1, 0):
        n = result.shape[axis]
        shifted = [
            weight * np.take(result, reflect_101(np.arange(n) + t - half, n), axis=axis)
            for t, weight in enumerate(weights)
        ]
        result = np.sum(shifted, axis=0)
    return result


def blur(images: ImageArray, out: ImageArray, samples: Int64Array, spec: BlurSpec, threads: int) -> None:  # noqa: ARG001 - one thread
    for n, sample in enumerate(int(s) for s in samples):
        source = images[n].copy()
        result = blurred(source, spec)
        if source.dtype == np.uint8:
            result = np.floor(result + 0.5)
        if spec.windows.count == 0:
            out[n] = result
            continue
        out[n] = source
        for number in range(spec.windows.count):
            drawn = draw(spec.seed, sample, Stream.BLUR_WINDOW, number)
            top, left, height, width = random_box(drawn, spec.windows.height, spec.windows.width, source.shape)
            window = (slice(top, top + height), slice(left, left + width))
            out[n][window] = result[window]


def shuffle(images: ImageArray, out: ImageArray, samples: Int64Array, spec: ShuffleSpec, threads: int) -> None:  # noqa: ARG001 - one thread
    rows, columns = images.shape[1:]
    for n, sample in enumerate(int(s) for s in samples):
        source = images[n].copy()
        out[n] = source
        if spec.windows.count > 0:
            boxes = [
                random_box(
                    draw(spec.seed, sample, Stream.SHUFFLE_WINDOW, number),
                    spec.windows.height,
                    spec.windows.width,
                    (rows, columns),
                )
                for number in range(spec.windows.count)
            ]
            stream = Stream.SHUFFLE_INSIDE
        else:
            y = [rows * b // spec.grid[0] for b in range(spec.grid[0] + 1)]
            x = [columns * b // spec.grid[1] for b in range(spec.grid[1] + 1)]
            boxes = [
                (y[i], x[j], y[i + 1] - y[i], x[j + 1] - x[j]) for i in range(spec.grid[0]) for j in range(spec.grid[1])
            ]
            stream = Stream.SHUFFLE_BLOCK
        for number, (top, left, height, width) in enumerate(boxes):
            box = (slice(top, top + height), slice(left, left + width))
            pixels = shuffled(source[box].reshape(-1), words(spec.seed, sample, stream, number))
            out[n][box] = pixels.reshape(height, width)
