"""anomalib's ``PerlinAnomalyGenerator``: the same constructor and return pair, made for the whole batch at once.

Neither anomalib nor torchvision is needed. Where torchvision can be imported, the class is one of its transforms.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..errors import DataError, ImageReadError
from ..ops import perlin_noise
from ..ops.arguments import number

if TYPE_CHECKING:
    from torch.nn import Module as Transform
else:
    try:
        from torchvision.transforms.v2 import Transform
    except (ImportError, RuntimeError, OSError):  # absent, or built for another torch, which shows in all three ways
        from torch.nn import Module as Transform

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
RETRIES = 10  # for masks that come out empty
_FINEST = 5  # 2^0 to 2^5 cells along each axis
_THRESHOLD = 0.5
_SLACK = 0.01  # resizing and half precision may go beyond by so much


class PerlinAnomalyGenerator(Transform):
    """Blend anomalies into images where Perlin noise of random scale is high.

    For each image: noise with 2^0 to 2^5 cells along each axis (each axis on its own), turned by a random angle; the
    mask is where it exceeds 0.5, and noise that nowhere does is stretched to [-1, 1] first; an empty mask is drawn
    again, ten times at most. Then ``image * (1 - mask) + (beta * source + (1 - beta) * image) * mask``. The source is a
    random picture of ``anomaly_source_path``, resized, or the noise itself as grey 0.25 + noise / 2. Unlike anomalib's,
    it is not jittered any further.

    A call draws one seed from torch's default generator, so ``torch.manual_seed`` makes it repeatable, and
    ``DataLoader`` workers differ.

    Args:
        anomaly_source_path: folder that is searched for pictures, subfolders too, or ``None``.
        probability: that an image gets an anomaly.
        blend_factor: beta, 0..1, or a range (low, high) drawn for each image.
        rotation_range: range of the angle in degrees, clockwise; (0, 0) saves the time of turning.
        dual_mask: draw two masks, and take their union, their intersection or the first, each as often. (anomalib 2.7
            has no intersection.)
        check_range: refuse images outside [0, 1]. Anomalies from [0, 1] in images that were normalised train a detector
            of brightness; the check reads each image once, and waits for a GPU.

    Raises:
        TypeError, ValueError: a setting of the wrong type or out of range.
        DataError: no pictures in the folder, or no folder.
    """

    def __init__(
        self,
        anomaly_source_path: str | os.PathLike[str] | None = None,
        probability: float = 0.5,
        blend_factor: float | tuple[float, float] = (0.2, 1.0),
        rotation_range: tuple[float, float] = (-90, 90),
        dual_mask: bool = False,
        check_range: bool = True,
    ) -> None:
        super().__init__()
        self.anomaly_source_paths = [] if anomaly_source_path is None else _pictures(Path(anomaly_source_path))
        self.probability = number(probability, "probability", 0.0, 1.0)
        ends = blend_factor if isinstance(blend_factor, (tuple, list)) else (blend_factor, blend_factor)
        self.blend_factor = _ends(ends, "blend_factor", 0.0, 1.0)
        self.rotation_range = _ends(rotation_range, "rotation_range", -360.0, 360.0)
        self.dual_mask = bool(dual_mask)
        self.check_range = bool(check_range)

    def forward(self, img: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images with anomalies and their masks.

        Args:
            img: (C, H, W) or (B, C, H, W), floating, any device; in [0, 1] like the sources. With 3 channels the
                pictures are colour, else grey.

        Returns:
            The images, of the same shape and dtype; masks of 0 and 1, (1, H, W) or (B, 1, H, W), of that dtype. A mask
            without a 1 means an untouched image.

        Raises:
            TypeError, ValueError: not floating, of another rank, or (``check_range``) not in [0, 1].
            ImageReadError: a source picture is damaged.
        """
        if not (isinstance(img, torch.Tensor) and img.is_floating_point()):
            raise TypeError(f"img must be a floating tensor in [0, 1], not {getattr(img, 'dtype', type(img).__name__)}")
        if img.ndim not in (3, 4):
            raise ValueError(f"img must have shape (C, H, W) or (B, C, H, W), not {tuple(img.shape)}")
        if self.check_range and img.numel():
            low, high = (float(end) for end in torch.aminmax(img))
            if not (low >= -_SLACK and high <= 1.0 + _SLACK):
                raise ValueError(
                    f"img must lie in [0, 1] like the anomalies, not {low:.3g} to {high:.3g}: augment before you "
                    "normalise (check_range=False lets it pass)"
                )
        augmented, masks = self._augment(img if img.ndim == 4 else img[None])
        return (augmented, masks) if img.ndim == 4 else (augmented[0], masks[0])

    def _augment(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        count, channels, height, width = batch.shape
        draws = torch.Generator().manual_seed(int(torch.randint(2**63 - 1, (1,))))
        chosen = (torch.rand(count, generator=draws) < self.probability).nonzero()[:, 0]
        masks = torch.zeros(count, 1, height, width)
        source = torch.zeros(count, channels if self.anomaly_source_paths else 1, height, width)
        if len(chosen):
            noise, found = self._shapes(len(chosen), height, width, draws)
            masks[chosen, 0] = found.to(torch.float32)
            source[chosen] = self._sources(noise, channels, draws)
        beta = _uniform(self.blend_factor, count, draws).view(-1, 1, 1, 1)
        # One pass over the images; where the weight is zero, lerp leaves the image's bits.
        return torch.lerp(batch, source.to(batch), (beta * masks).to(batch)), masks.to(batch)

    def _shapes(self, count: int, height: int, width: int, draws: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return noise float32 and masks bool, both (count, H, W)."""
        noise, masks = self._candidates(count, height, width, draws)
        for _ in range(RETRIES):
            empty = (~masks.flatten(1).any(1)).nonzero()[:, 0]
            if len(empty) == 0:
                break
            noise[empty], masks[empty] = self._candidates(len(empty), height, width, draws)
        return noise, masks

    def _candidates(
        self, count: int, height: int, width: int, draws: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        noise = self._turned(count, height, width, draws)
        masks = noise > _THRESHOLD
        if self.dual_mask:
            second = self._turned(count, height, width, draws) > _THRESHOLD
            how = torch.randint(3, (count, 1, 1), generator=draws)
            masks = torch.where(how == 0, masks | second, torch.where(how == 1, masks & second, masks))
        return noise, masks

    def _turned(self, count: int, height: int, width: int, draws: torch.Generator) -> torch.Tensor:
        noise = _noise(count, height, width, draws)
        _stretch(noise)
        angles = torch.deg2rad(_uniform(self.rotation_range, count, draws))
        return noise if self.rotation_range == (0, 0) else _rotated(noise, angles)

    def _sources(self, noise: torch.Tensor, channels: int, draws: torch.Generator) -> torch.Tensor:
        """Return (count, C, H, W), or (count, 1, H, W) for all channels alike."""
        if not self.anomaly_source_paths:
            return (noise * 0.5 + 0.25)[:, None]
        numbers = torch.randint(len(self.anomaly_source_paths), (len(noise),), generator=draws)
        mode = "RGB" if channels == 3 else "L"
        pictures = [_read(self.anomaly_source_paths[i], mode, *noise.shape[1:]) for i in numbers.tolist()]
        return torch.stack(pictures)


def _noise(count: int, height: int, width: int, draws: torch.Generator) -> torch.Tensor:
    """Return one octave, (count, H, W); images of the same scale are made by one call."""
    scales = torch.randint(_FINEST + 1, (count, 2), generator=draws)
    seed = int(torch.randint(2**63 - 1, (1,), generator=draws))
    noise = torch.empty(count, height, width)
    for rows, columns in torch.unique(scales, dim=0).tolist():
        same = (scales == torch.tensor([rows, columns])).all(1).nonzero()[:, 0]
        noise[same] = perlin_noise(
            (len(same), height, width), cells=(2**rows, 2**columns), octaves=1, seed=seed, samples=same
        )
    return noise


def _stretch(noise: torch.Tensor) -> None:
    """Stretch to [-1, 1], in place, each image that nowhere reaches the threshold; a flat one becomes -1."""
    low_ones = (noise.flatten(1).amax(1) <= _THRESHOLD).nonzero()[:, 0]
    if len(low_ones) == 0:
        return
    images = noise[low_ones]
    low, high = (end(images, (1, 2), keepdim=True) for end in (torch.amin, torch.amax))
    noise[low_ones] = (images - low) / (high - low).clamp_min(torch.finfo(noise.dtype).tiny) * 2 - 1


def _rotated(noise: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turn each (H, W) clockwise about its centre, bilinear, zero outside."""
    height, width = noise.shape[1:]
    cos, sin, none = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # The grid's coordinates run from -1 to 1 along both sides, however long they are.
    rows = [[cos, sin * height / width, none], [-sin * width / height, cos, none]]
    theta = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = F.affine_grid(theta, [len(noise), 1, height, width], align_corners=False)
    return F.grid_sample(noise[:, None], grid, align_corners=False)[:, 0]


def _uniform(ends: tuple[float, float], count: int, draws: torch.Generator) -> torch.Tensor:
    return torch.rand(count, generator=draws) * (ends[1] - ends[0]) + ends[0]


def _ends(value: tuple[float, ...] | list[float], name: str, low: float, high: float) -> tuple[float, float]:
    ends = [number(v, name, low, high) for v in value]
    if len(ends) != 2 or ends[0] > ends[1]:
        raise ValueError(f"{name} must be (low, high) with low <= high, not {value}")
    return ends[0], ends[1]


def _pictures(folder: Path) -> list[Path]:
    # Sorted: the order of a folder's listing is the file system's own, and a seed must find the same picture anywhere.
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not pictures:
        what = "holds no picture" if folder.is_dir() else "is no folder"
        raise DataError(f"anomaly_source_path {folder} {what}: give a folder with {', '.join(SUFFIXES)} files")
    return pictures


def _read(path: Path, mode: str, height: int, width: int) -> torch.Tensor:
    """Return a picture (1 or 3, H, W) in [0, 1], resized."""
    try:
        with Image.open(path) as image:
            resized = image.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # damaged files make Pillow raise OSError, SyntaxError, struct.error, EOFError and more
        raise ImageReadError(f"{path} cannot be read as a picture: {error or type(error).__name__}") from error
    pixels = torch.from_numpy(np.array(resized)).view(height, width, -1)
    return pixels.permute(2, 0, 1).to(torch.float32).div_(255.0)
