"""Random grey levels and mirroring of a batch, drawn for each sample from (seed, epoch, index) alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .augment import uniforms

# Tells these draws from others made under the same seed.
STREAM = 0x67726579


@dataclass(frozen=True)
class GreyFlip:
    """Gamma, contrast, brightness, and a flip from left to right: what scanners and windows vary, and what side is.

    Grey g becomes contrast · g^gamma + brightness, held within [0, 1]; a random half of the slices is flipped.

    Args:
        brightness: Range of what is added to grey, of a full range of 1.
        contrast: Range of the factor that grey is multiplied by.
        gamma: Range of the exponent of grey, above 0; its logarithm is drawn evenly.
        flip: Whether to flip.
    """

    brightness: tuple[float, float] = (0.0, 0.0)
    contrast: tuple[float, float] = (1.0, 1.0)
    gamma: tuple[float, float] = (1.0, 1.0)
    flip: bool = False

    @property
    def active(self) -> bool:
        return self.flip or self._changes_grey

    @property
    def _changes_grey(self) -> bool:
        return (*self.brightness, *self.contrast, *self.gamma) != (0.0, 0.0, 1.0, 1.0, 1.0, 1.0)

    def parameters(self, *, seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Draw float64 (n, 4): brightness, contrast, gamma, and 1 where flipped; int64 ``indices`` name the samples."""
        drawn = uniforms(4, seed=seed, stream=STREAM, epoch=epoch, indices=indices)
        low, high = np.array([self.brightness, self.contrast, [math.log(end) for end in self.gamma], [0.0, 1.0]]).T
        flips = drawn[:, 3] < 0.5
        drawn *= high - low
        drawn += low
        drawn[:, 2] = np.exp(drawn[:, 2])
        drawn[:, 3] = flips & self.flip
        return drawn

    def __call__(self, images: Tensor, *, seed: int, epoch: int, indices: Tensor) -> Tensor:
        """Augment float images (B, C, H, W) in [0, 1]; ``indices`` int64 (B,). Returns a tensor of the same kind."""
        if not self.active:
            return images
        drawn = torch.from_numpy(self.parameters(seed=seed, epoch=epoch, indices=indices.cpu().numpy()))
        brightness, contrast, gamma, flips = drawn.T[:, :, None, None, None].to(images)
        if self._changes_grey:
            images = (images.clamp(0.0, 1.0) ** gamma * contrast + brightness).clamp(0.0, 1.0)
        return torch.where(flips > 0.5, images.flip(-1), images) if self.flip else images
