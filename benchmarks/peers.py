"""Pasting and shuffling as users have them today, written by us in the usual way, to be measured in the same run."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True)
def numba_paste_loop(images, masks, patches, sides, count):  # type: ignore[no-untyped-def]
    """Paste by rejection: try random places until one lies in the lung, then copy the patch through the mask."""
    height, width = images.shape[1:]
    for n in range(images.shape[0]):
        for _ in range(count):
            k = np.random.randint(patches.shape[0])
            while True:
                y, x = np.random.randint(height), np.random.randint(width)
                if masks[n, y, x]:
                    break
            h, w = sides[k]
            for dy in range(h):
                for dx in range(w):
                    ty, tx = y - h // 2 + dy, x - w // 2 + dx
                    if 0 <= ty < height and 0 <= tx < width and masks[n, ty, tx]:
                        images[n, ty, tx] = patches[k, dy, dx]


def numpy_paste(images: np.ndarray, masks: NDArray[np.bool_], patches: list[np.ndarray], count: int, generator: np.random.Generator) -> None:  # fmt: skip  # noqa: E501
    """Paste as most scripts do: list the lung pixels, draw some, assign slices through the mask."""
    height, width = images.shape[1:]
    for image, mask in zip(images, masks, strict=True):
        lung = np.argwhere(mask)
        for y, x in lung[generator.integers(len(lung), size=count)]:
            patch = patches[generator.integers(len(patches))]
            h, w = patch.shape
            top, left = y - h // 2, x - w // 2
            y0, y1, x0, x1 = max(0, top), min(height, top + h), max(0, left), min(width, left + w)
            inside = mask[y0:y1, x0:x1]
            image[y0:y1, x0:x1][inside] = patch[y0 - top : y1 - top, x0 - left : x1 - left][inside]


def genesis_shuffle(image: np.ndarray, windows: int, generator: np.random.Generator) -> np.ndarray:
    """Local pixel shuffling in the manner of Models Genesis: random windows up to a tenth of each side."""
    result = image.copy()
    height, width = image.shape
    for _ in range(windows):
        h, w = generator.integers(1, height // 10 + 1), generator.integers(1, width // 10 + 1)
        y, x = generator.integers(height - h), generator.integers(width - w)
        window = image[y : y + h, x : x + w].flatten()
        generator.shuffle(window)
        result[y : y + h, x : x + w] = window.reshape(h, w)
    return result


def numpy_clouds(images: NDArray[np.float32], masks: NDArray[np.bool_], noise: NDArray[np.uint8], out: NDArray[np.float32]) -> None:  # fmt: skip  # noqa: E501
    """Anomaly generators' way: opacity and texture over whole slices, then image * (1 - opacity) + texture * opacity.

    ``noise`` holds outline and texture of each image, (B, 2, H, W).
    """
    for image, mask, (outline, texture), target in zip(images, masks, noise, out, strict=True):
        rise = np.clip((outline.astype(np.float32) - 170) / 33, 0, 1)
        opacity = 0.55 * rise * rise * (3 - 2 * rise) * mask
        grey = (110 + texture * np.float32(100 / 255)) / 255
        np.add(image * (1 - opacity), grey * opacity, out=target)
