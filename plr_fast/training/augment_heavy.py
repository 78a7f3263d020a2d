"""Heavy augmentation in the manner of DANet (Hu et al. 2020), drawn for each sample from (seed, epoch, index) alone.

Hu et al. enrich their training slices by sixteen operations, which what is public of their work does not name. These
sixteen are ours: two flips, rotation, two translations, zoom, stretch, two shears, brightness, contrast, gamma, blur or
sharpening, noise, speckle, and an erased rectangle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .augment import raw_words, uniforms

# Tells these draws from others made under the same seed.
STREAM, NOISE_STREAM, SPECKLE_STREAM = 0x68656176, 0x6E6F6973, 0x73706563

_COLUMNS = (
    *("flip_x", "flip_y", "rotation", "shift_x", "shift_y", "zoom", "stretch", "shear_x", "shear_y"),
    *("brightness", "contrast", "gamma", "sharpness", "noise", "speckle"),
    *("erase", "erase_height", "erase_width", "erase_y", "erase_x"),
)


@dataclass(frozen=True)
class HeavyAugment:
    """Sixteen operations, each on a random half of the samples.

    Args:
        zoom: Range of the zoom factor; above 1 magnifies.
        shear: Range of both shear angles, radians.
        rotation: Largest angle, degrees.
        shift: Largest translation, as a share of the side.
        stretch: Largest ratio between the axes' scales.
        brightness: Largest change of grey, of a full range of 1.
        contrast: Largest factor of the contrast about the mean; the smallest is its inverse.
        gamma: Largest exponent of grey; the smallest is its inverse.
        noise: Largest standard deviation of added noise.
        speckle: Largest standard deviation of multiplied noise.
        erase: Largest side of the rectangle that the mean replaces, as a share of the side.
    """

    zoom: tuple[float, float] = (0.8, 1.2)
    shear: tuple[float, float] = (-0.2, 0.2)
    rotation: float = 20.0
    shift: float = 0.1
    stretch: float = 1.15
    brightness: float = 0.15
    contrast: float = 1.3
    gamma: float = 1.4
    noise: float = 0.05
    speckle: float = 0.1
    erase: float = 0.3

    def parameters(self, *, seed: int, epoch: int, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Draw each operation's strength, float64 (n,), for the samples that int64 ``indices`` (n,) name."""
        count = len(_COLUMNS)
        drawn = uniforms(2 * count, seed=seed, stream=STREAM, epoch=epoch, indices=indices)
        active = {name: drawn[:, count + column] < 0.5 for column, name in enumerate(_COLUMNS)}
        u = {name: drawn[:, column] for column, name in enumerate(_COLUMNS)}

        def between(name: str, low: float, high: float, idle: float = 0.0) -> np.ndarray:
            return np.where(active[name], low + (high - low) * u[name], idle)

        def factor(name: str, largest: float) -> np.ndarray:
            strength: np.ndarray = np.exp(between(name, -math.log(largest), math.log(largest)))
            return strength

        turn = math.radians(self.rotation)
        return {
            "flip_x": np.where(active["flip_x"], -1.0, 1.0),
            "flip_y": np.where(active["flip_y"], -1.0, 1.0),
            "rotation": between("rotation", -turn, turn),
            "shift_x": between("shift_x", -self.shift, self.shift),
            "shift_y": between("shift_y", -self.shift, self.shift),
            "zoom": between("zoom", *self.zoom, idle=1.0),
            "stretch": factor("stretch", self.stretch),
            "shear_x": between("shear_x", *self.shear),
            "shear_y": between("shear_y", *self.shear),
            "brightness": between("brightness", -self.brightness, self.brightness),
            "contrast": factor("contrast", self.contrast),
            "gamma": factor("gamma", self.gamma),
            "sharpness": between("sharpness", -1.0, 1.0),
            "noise": between("noise", 0.0, self.noise),
            "speckle": between("speckle", 0.0, self.speckle),
            "erase_height": np.where(active["erase"], (0.1 + 0.9 * u["erase_height"]) * self.erase, 0.0),
            "erase_width": np.where(active["erase"], (0.1 + 0.9 * u["erase_width"]) * self.erase, 0.0),
            "erase_y": u["erase_y"],
            "erase_x": u["erase_x"],
        }

    def __call__(self, images: Tensor, *, seed: int, epoch: int, indices: Tensor) -> Tensor:
        """Augment float images (B, C, H, W) in [0, 1]; ``indices`` int64 (B,). Returns new ones in [0, 1].

        All channels of a sample are treated alike, but for the noise.
        """
        samples = indices.cpu().numpy()
        drawn = self.parameters(seed=seed, epoch=epoch, indices=samples)

        def column(name: str) -> Tensor:
            return torch.from_numpy(drawn[name]).to(images).view(-1, 1, 1, 1)

        theta = torch.from_numpy(inverse_affine(drawn, height=images.shape[-2], width=images.shape[-1])).to(images)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = (images - mean) * column("contrast") + mean + column("brightness")
        images = images.clamp(0.0, 1.0) ** column("gamma")
        # Towards the blurred slice, or away from it.
        images = images + column("sharpness") * (blurred(images) - images)
        speckle = _noise(drawn["speckle"], images, seed=seed, stream=SPECKLE_STREAM, epoch=epoch, samples=samples)
        noise = _noise(drawn["noise"], images, seed=seed, stream=NOISE_STREAM, epoch=epoch, samples=samples)
        return _erased((images * (1.0 + speckle) + noise).clamp(0.0, 1.0), drawn, mean)


def inverse_affine(drawn: dict[str, np.ndarray], *, height: int, width: int) -> np.ndarray:
    """Turn strengths into float64 (n, 2, 3) maps from output to input, in affine_grid's −1 … 1 coordinates.

    In pixels about the centre a point is flipped, zoomed and stretched, sheared along x, then y, rotated, and shifted.
    """
    count = len(drawn["zoom"])
    scale = np.zeros((count, 2, 2))
    scale[:, 0, 0] = drawn["flip_x"] * drawn["zoom"] * np.sqrt(drawn["stretch"])
    scale[:, 1, 1] = drawn["flip_y"] * drawn["zoom"] / np.sqrt(drawn["stretch"])
    along_x, along_y, turn = (np.tile(np.eye(2), (count, 1, 1)) for _ in range(3))
    along_x[:, 0, 1] = np.tan(drawn["shear_x"])
    along_y[:, 1, 0] = np.tan(drawn["shear_y"])
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(drawn["rotation"])
    turn[:, 1, 0] = np.sin(drawn["rotation"])
    turn[:, 0, 1] = -turn[:, 1, 0]
    inverse = np.linalg.inv(turn @ along_y @ along_x @ scale)
    half = np.array([width / 2.0, height / 2.0])
    shift = np.stack([drawn["shift_x"] * width, drawn["shift_y"] * height], axis=1)
    maps = np.empty((count, 2, 3))
    maps[:, :, :2] = inverse * half[None, None, :] / half[None, :, None]
    maps[:, :, 2] = -(inverse @ shift[:, :, None])[:, :, 0] / half
    return maps


def blurred(images: Tensor) -> Tensor:
    """Binomial 3×3 blur of (B, C, H, W); the edge is repeated."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    # In two additions: several times as fast as a convolution of single channels.
    rows = padded[..., 1:-1, :] * 0.5 + (padded[..., :-2, :] + padded[..., 2:, :]) * 0.25
    return rows[..., 1:-1] * 0.5 + (rows[..., :-2] + rows[..., 2:]) * 0.25


def _noise(strength: np.ndarray, images: Tensor, *, seed: int, stream: int, epoch: int, samples: np.ndarray) -> Tensor:
    """Noise of each sample, of standard deviation ``strength``."""
    field = np.zeros(tuple(images.shape), np.float32)
    size = math.prod(images.shape[1:])
    for row in np.flatnonzero(strength):
        words = raw_words(size, seed=seed, stream=stream, epoch=epoch, index=int(samples[row]))
        # The sum of four uniform 16-bit numbers: near to normal, and integer until the last step.
        total = sum((words >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48))
        normal = (np.asarray(total, np.float64) - 131070.0) / math.sqrt((2.0**32 - 1.0) / 3.0)
        field[row] = (normal * strength[row]).reshape(images.shape[1:])
    return torch.from_numpy(field).to(images)


def _erased(images: Tensor, drawn: dict[str, np.ndarray], mean: Tensor) -> Tensor:
    """Put the mean into the rectangle of each sample that has one."""
    rows, columns = (
        _span(drawn[f"erase_{extent}"], drawn[f"erase_{place}"], side)
        for extent, place, side in (("height", "y", images.shape[-2]), ("width", "x", images.shape[-1]))
    )
    rectangle = torch.from_numpy(rows[:, None, :, None] & columns[:, None, None, :]).to(images.device)
    return torch.where(rectangle, mean, images)


def _span(share: np.ndarray, place: np.ndarray, side: int) -> np.ndarray:
    """Which of ``side`` pixels lie in a stretch of that share of them, at that place: bool (n, side)."""
    length = np.floor(share * side)
    first = np.floor(place * (side - length + 1.0))
    pixels = np.arange(side)[None, :]
    inside: np.ndarray = (pixels >= first[:, None]) & (pixels < (first + length)[:, None])
    return inside
