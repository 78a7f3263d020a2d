"""The U-Net of the paper (III.C, IV.B): ten 3×3 convolutions down, skips, eight up, a linear output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .pyramid import Pyramid
from .upsample import enlarge

Norm = Literal["none", "batch"]

LEVELS = 5
# Four poolings by two: what height and width are padded to.
STRIDE = 2 ** (LEVELS - 1)
# The ten convolutions of VGG-13, so that published weights fit the encoder.
WIDTHS = (64, 128, 256, 512, 512)


class ConvStack(nn.Module):
    """Numbered 3×3 convolutions ``conv1``, ``conv2``, … each with an optional ``normK`` and a ReLU behind it.

    The convolutions are attributes of the module itself and keep their bias beside a batch norm: names and shapes
    are then those of a VGG with or without batch norm, and ``module.conv8`` can carry a forward hook.
    """

    def __init__(self, channels: Sequence[tuple[int, int]], norm: Norm) -> None:
        super().__init__()
        if norm not in ("none", "batch"):
            raise ValueError(f"norm must be 'none' or 'batch', not {norm!r}")
        self.norm = norm
        for number, (inputs, outputs) in enumerate(channels, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, 3, padding=1))
            if norm == "batch":
                self.add_module(f"norm{number}", nn.BatchNorm2d(outputs))

    def apply_conv(self, number: int, features: Tensor) -> Tensor:
        features = cast(Tensor, getattr(self, f"conv{number}")(features))
        if self.norm == "batch":
            # In place: batch norm does not look at its output again.
            return F.relu_(cast(Tensor, getattr(self, f"norm{number}")(features)))
        # Not in place: a hook on a convolution must see its output before the activation.
        return F.relu(features)


class Encoder(ConvStack, Pyramid):
    """Five levels of two 3×3 convolutions (``conv1`` … ``conv10``), halved by max pooling between the levels.

    Args:
        in_channels: Channels of the images.
        widths: Channels of the five levels.
        norm: ``"batch"`` puts a batch norm (``norm1`` … ``norm10``) behind each convolution.

    The attributes are those of :class:`~plr_fast.models.Pyramid`.
    """

    stride = STRIDE
    first_conv = "conv1.weight"

    def __init__(self, in_channels: int = 1, widths: Sequence[int] = WIDTHS, norm: Norm = "none") -> None:
        widths = check_widths(widths)
        if in_channels < 1:
            raise ValueError(f"in_channels must be 1 or more, not {in_channels}")
        inputs = (in_channels, *widths[:-1])
        super().__init__([pair for i, o in zip(inputs, widths, strict=True) for pair in ((i, o), (o, o))], norm)
        self.in_channels = in_channels
        self.widths = widths
        init_he(self)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Float images (B, C, H, W), both sides multiples of 16 → five feature maps (B, widths[k], H/2^k, W/2^k)."""
        features: list[Tensor] = []
        current = images
        for level in range(LEVELS):
            if level:
                current = F.max_pool2d(current, 2)
            current = self.apply_conv(2 * level + 1, current)
            current = self.apply_conv(2 * level + 2, current)
            features.append(current)
        return tuple(features)


class Decoder(ConvStack):
    """From a pyramid of features back to an image: upsample, join the skip, convolve twice; then a 1×1 linear output.

    It asks nothing of the encoder but its feature maps (finest first, each smaller than the one before).

    Args:
        channels: Channels of the feature maps, finest first.
        out_channels: Channels of the restored image.
        norm: As in :class:`Encoder`.
    """

    def __init__(self, channels: Sequence[int], out_channels: int = 1, norm: Norm = "none") -> None:
        if out_channels < 1:
            raise ValueError(f"out_channels must be 1 or more, not {out_channels}")
        pairs: list[tuple[int, int]] = []
        for below, skip in zip(reversed(channels[1:]), reversed(channels[:-1]), strict=True):
            pairs += [(below + skip, skip), (skip, skip)]
        super().__init__(pairs, norm)
        self.output = nn.Conv2d(channels[0], out_channels, 1)
        init_he(self)
        # A linear unit has no ReLU that halves its variance.
        _fill_normal(self.output, gain=1.0)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Feature maps, finest first → image (B, out_channels, height and width of the finest map), not activated."""
        current = features[-1]
        for step, skip in enumerate(reversed(features[:-1])):
            current = enlarge(current, (skip.shape[-2], skip.shape[-1]))
            current = self.apply_conv(2 * step + 1, torch.cat((skip, current), dim=1))
            current = self.apply_conv(2 * step + 2, current)
        return cast(Tensor, self.output(current))


class ImageLevel(ConvStack):
    """Two convolutions of the image, averaged down by ``factor``: a level finer than those an encoder gives."""

    WIDTH = 32

    def __init__(self, in_channels: int, factor: int, norm: Norm) -> None:
        super().__init__([(in_channels, self.WIDTH), (self.WIDTH, self.WIDTH)], norm)
        self.factor = factor
        init_he(self)

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, C, H, W) → features (B, 32, H / factor, W / factor)."""
        pooled = F.avg_pool2d(images, self.factor) if self.factor > 1 else images
        return self.apply_conv(2, self.apply_conv(1, pooled))


class UNet(nn.Module):
    """Restores images: :class:`Encoder` + :class:`Decoder`, any height and width from 1 up.

    Sizes that the encoder's stride (16) does not divide are padded by repeating the edge and cropped again at the end.
    For an encoder whose finest map is coarser than the image, the levels between are made from the image itself, two
    convolutions of 32 channels each, so that the decoder comes back to full resolution with skips all the way.

    Args:
        in_channels: Channels of the corrupted images.
        out_channels: Channels of the restored images.
        widths: Channels of the five levels. The default gives the encoder the shapes of VGG-13; the classic U-Net has
            1024 at the bottom.
        norm: ``"none"`` (the paper's) or ``"batch"``.
        encoder: Another encoder, which takes ``in_channels``; ``widths`` are then its own and ``norm`` the decoder's.

    Raises:
        ValueError: a channel number below 1, not five widths, an unknown ``norm``, an encoder for other channels.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        widths: Sequence[int] = WIDTHS,
        norm: Norm = "none",
        encoder: Pyramid | None = None,
    ) -> None:
        super().__init__()
        self.encoder = check_encoder(encoder, in_channels) if encoder else Encoder(in_channels, widths, norm)
        factors = [2**level for level in range(self.encoder.finest.bit_length() - 1)]
        self.image_levels = nn.ModuleList([ImageLevel(in_channels, factor, norm) for factor in factors])
        fine = [ImageLevel.WIDTH] * len(factors)
        self.decoder = Decoder((*fine, *self.encoder.widths), out_channels, norm)

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, in_channels, H, W) → restored images (B, out_channels, H, W), linear (not clipped).

        Raises:
            ValueError: another rank, another number of channels, or an empty image.
        """
        return self.decode(images)[0]

    def decode(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The decoder's output (B, out_channels, H, W), and the encoder's feature maps (of the padded images)."""
        check_images(images, self.encoder.in_channels)
        height, width = images.shape[-2:]
        padded, (top, left) = pad_to_stride(images, self.encoder.stride)
        maps = cast(tuple[Tensor, ...], self.encoder(padded))
        decoded = cast(Tensor, self.decoder((*(level(padded) for level in self.image_levels), *maps)))
        return decoded[..., top : top + height, left : left + width], maps


def pad_to_stride(images: Tensor, stride: int = STRIDE) -> tuple[Tensor, tuple[int, int]]:
    """Pad (B, C, H, W) to multiples of ``stride``, evenly, by repeating the edge; also (rows above, columns left)."""
    height, width = images.shape[-2:]
    rows, columns = -height % stride, -width % stride
    top, left = rows // 2, columns // 2
    if rows or columns:
        images = F.pad(images, (left, columns - left, top, rows - top), mode="replicate")
    return images, (top, left)


def check_encoder(encoder: Pyramid, in_channels: int) -> Pyramid:
    """Return ``encoder`` or raise ``ValueError`` unless it takes ``in_channels``."""
    if encoder.in_channels != in_channels:
        raise ValueError(f"encoder takes {encoder.in_channels} channels, but in_channels is {in_channels}")
    return encoder


def check_images(images: Tensor, channels: int) -> None:
    """Raise ``ValueError`` unless ``images`` is a non-empty floating (B, ``channels``, H, W)."""
    if images.ndim != 4 or images.shape[1] != channels:
        raise ValueError(f"images must have shape (B, {channels}, H, W), not {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"images must be floating point in [0, 1], not {images.dtype}")
    if images.numel() == 0:
        raise ValueError(f"images of shape {tuple(images.shape)} are empty")


def check_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """Return ``widths`` as a tuple of five positive integers or raise ``ValueError``."""
    checked = tuple(int(width) for width in widths)
    if len(checked) != LEVELS or min(checked) < 1:
        raise ValueError(f"widths must be {LEVELS} positive numbers of channels (one per level), not {tuple(widths)}")
    return checked


def init_he(module: nn.Module) -> None:
    """Initialise every convolution and linear layer after He et al. (normal, fan-in, gain √2) with zero bias."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d | nn.Linear):
            _fill_normal(child, gain=math.sqrt(2.0))


def _fill_normal(layer: nn.Conv2d | nn.Linear, *, gain: float) -> None:
    fan_in = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(fan_in))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
