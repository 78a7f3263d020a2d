"""What users have today, written by us in the usual way, so that it can be measured in the same run."""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from numpy.typing import NDArray


@numba.njit(cache=True, fastmath=True)
def numba_textbook_noise(out, permutation, gradients, cells, octaves):  # type: ignore[no-untyped-def]
    """Perlin octave noise as the textbook writes it: four hashes, four dot products and two fades for every pixel."""
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            total, amplitude, frequency = 0.0, 1.0, cells
            for _ in range(octaves):
                u, v = x * frequency / width, y * frequency / height
                i, j = int(u), int(v)
                dx, dy = u - i, v - j
                value = 0.0
                for b in range(2):
                    for a in range(2):
                        g = permutation[(permutation[(i + a) & 255] + j + b) & 255]
                        tx, ty = 1 - abs(dx - a), 1 - abs(dy - b)
                        fade_x = tx * tx * tx * (tx * (tx * 6 - 15) + 10)
                        fade_y = ty * ty * ty * (ty * (ty * 6 - 15) + 10)
                        value += (gradients[g, 0] * (dx - a) + gradients[g, 1] * (dy - b)) * fade_x * fade_y
                total += amplitude * value
                amplitude *= 0.5
                frequency *= 2
            out[y, x] = total


def torch_broadcast_noise(batch: int, size: int, cells: int, octaves: int, generator: torch.Generator) -> torch.Tensor:
    """Octave noise of a whole batch from random gradients by broadcasting; ``size`` must be a multiple of all cells."""
    total = torch.zeros(batch, size, size)
    for octave in range(octaves):
        count = cells * 2**octave
        step = size // count
        angles = 2 * math.pi * torch.rand(batch, count + 1, count + 1, generator=generator)
        gradients = torch.stack([torch.cos(angles), torch.sin(angles)])[:, :, :, None, :, None]
        d = (torch.arange(step) / step).expand(count, step)
        s = d * d * d * (d * (d * 6 - 15) + 10)
        dy, dx = d[None, :, :, None, None], d[None, None, None, :, :]
        sy, sx = s[None, :, :, None, None], s[None, None, None, :, :]

        def corner(
            b: int, a: int, g: torch.Tensor = gradients, n: int = count, y: torch.Tensor = dy, x: torch.Tensor = dx
        ) -> torch.Tensor:
            part = g[:, :, b : b + n, :, a : a + n]
            return part[0] * (x - a) + part[1] * (y - b)

        bottom = torch.lerp(corner(0, 0), corner(0, 1), sx)
        top = torch.lerp(corner(1, 0), corner(1, 1), sx)
        total += 0.5**octave * torch.lerp(bottom, top, sy).reshape(batch, size, size)
    return total


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
