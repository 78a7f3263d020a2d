"""Random zoom and shear of a batch (III.E), drawn for each sample from (seed, epoch, index) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# Tells these draws from others made under the same seed.
STREAM = 0x7A6F6F6D


@dataclass(frozen=True)
class ZoomShear:
    """Zoom about the image's centre by a factor from ``zoom``, and shear along x by an angle from ``shear`` (radians).

    A factor above 1 magnifies. Bilinear; what comes in from outside repeats the edge (Keras' default as well).
    """

    zoom: tuple[float, float] = (0.8, 1.2)
    shear: tuple[float, float] = (-0.2, 0.2)

    @property
    def active(self) -> bool:
        return self.zoom != (1.0, 1.0) or self.shear != (0.0, 0.0)

    def parameters(self, *, seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Draw float64 (n, 2): the zoom factor and shear angle of each sample; int64 ``indices`` name the samples."""
        drawn = uniforms(2, seed=seed, stream=STREAM, epoch=epoch, indices=indices)
        low = np.array([self.zoom[0], self.shear[0]])
        high = np.array([self.zoom[1], self.shear[1]])
        drawn *= high - low
        drawn += low
        return drawn

    def __call__(self, images: Tensor, *, seed: int, epoch: int, indices: Tensor) -> Tensor:
        """Augment float images (B, C, H, W); ``indices`` int64 (B,). Returns a new tensor of the same kind."""
        if not self.active:
            return images
        drawn = self.parameters(seed=seed, epoch=epoch, indices=indices.cpu().numpy())
        theta = torch.from_numpy(inverse_maps(drawn, height=images.shape[-2], width=images.shape[-1]))
        theta = theta.to(device=images.device, dtype=images.dtype)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def uniforms(count: int, *, seed: int, stream: int, epoch: int, indices: np.ndarray) -> np.ndarray:
    """Draw float64 (n, count) from [0, 1) for the samples that the int64 ``indices`` (n,) name."""
    drawn = np.empty((len(indices), count))
    for row, index in enumerate(indices.tolist()):
        drawn[row] = (raw_words(count, seed=seed, stream=stream, epoch=epoch, index=index) >> np.uint64(11)) * 2.0**-53
    return drawn


def raw_words(count: int, *, seed: int, stream: int, epoch: int, index: int) -> np.ndarray:
    """Draw uint64 (count,) of one sample."""
    # The raw words of a bit generator never change between NumPy versions; Generator methods may.
    return np.random.Philox(key=[seed, stream], counter=[0, 0, index, epoch]).random_raw(count)


def inverse_maps(parameters: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Turn (zoom, shear) rows into float64 (n, 2, 3) maps from output to input, in affine_grid's −1 … 1 coordinates.

    In pixels about the centre the image point (x, y) moves to zoom · (x + tan(shear) · y, y).
    """
    zoom, shear = parameters[:, 0], parameters[:, 1]
    maps = np.zeros((len(parameters), 2, 3))
    maps[:, 0, 0] = 1.0 / zoom
    # affine_grid's unit is half a side, so that the angle holds in pixels only with the sides' ratio.
    maps[:, 0, 1] = -np.tan(shear) / zoom * (height / width)
    maps[:, 1, 1] = 1.0 / zoom
    return maps
