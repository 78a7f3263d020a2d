"""Octave noise the ways that torch code has it today, written by us: gradients tiled over the pixels, and broadcasting.

Both need whole cells that divide the sides, as all code of the kind does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

Gradients = list[torch.Tensor]


def fade(t: torch.Tensor) -> torch.Tensor:
    return t * t * t * (t * (t * 6 - 15) + 10)


def tiled_noise(size: tuple[int, int], cells: Sequence[tuple[int, int]], generator: torch.Generator) -> torch.Tensor:
    """Return one image (H, W); the idiom ``rand_perlin_2d``: every pixel gets copies of its four gradients.

    ``cells`` holds the whole cells (down, across) of each octave.
    """
    total = torch.zeros(size)
    for octave, (down, across) in enumerate(cells):
        steps = size[0] // down, size[1] // across
        y, x = ((torch.arange(n) % step) / step for n, step in zip(size, steps, strict=True))
        fractions = torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1)
        angles = 2 * math.pi * torch.rand(down + 1, across + 1, generator=generator)
        vectors = torch.stack([torch.sin(angles), torch.cos(angles)], dim=-1)
        values = []
        for shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
            corner = vectors[shift[0] : shift[0] + down, shift[1] : shift[1] + across]
            tiled = corner.repeat_interleave(steps[0], 0).repeat_interleave(steps[1], 1)
            values.append((tiled * (fractions - torch.tensor(shift))).sum(dim=-1))
        weights = fade(fractions)
        top = torch.lerp(values[0], values[1], weights[..., 1])
        bottom = torch.lerp(values[2], values[3], weights[..., 1])
        total += 0.5**octave * torch.lerp(top, bottom, weights[..., 0])
    return total


def random_gradients(batch: int, cells: Sequence[tuple[int, int]], generator: torch.Generator) -> Gradients:
    """Return the unit vectors of each octave's lattice, (2, B, down + 1, across + 1)."""
    gradients = []
    for down, across in cells:
        angles = 2 * math.pi * torch.rand(batch, down + 1, across + 1, generator=generator)
        gradients.append(torch.stack([torch.sin(angles), torch.cos(angles)]))
    return gradients


def broadcast_noise(size: tuple[int, int], gradients: Gradients) -> torch.Tensor:
    """Return a batch (B, H, W) from each octave's lattice: cells and the pixels in a cell are axes of their own."""
    batch = gradients[0].shape[1]
    total = torch.zeros(batch, *size)
    for octave, lattice in enumerate(gradients):
        down, across = lattice.shape[2] - 1, lattice.shape[3] - 1
        dy = (torch.arange(size[0] // down) * (down / size[0]))[:, None, None]
        dx = torch.arange(size[1] // across) * (across / size[1])

        def corner(
            b: int, a: int, g: torch.Tensor = lattice, y: torch.Tensor = dy, x: torch.Tensor = dx
        ) -> torch.Tensor:
            part = g[:, :, b : g.shape[2] - 1 + b, None, a : g.shape[3] - 1 + a, None]
            return part[0] * (y - b) + part[1] * (x - a)

        top = torch.lerp(corner(0, 0), corner(0, 1), fade(dx))
        bottom = torch.lerp(corner(1, 0), corner(1, 1), fade(dx))
        total += 0.5**octave * torch.lerp(top, bottom, fade(dy)).reshape(batch, *size)
    return total
