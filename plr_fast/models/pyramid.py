"""What every encoder is: images in, feature maps out, finest first."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class Pyramid(nn.Module):
    """An encoder that a decoder or a classifier can be built on.

    Attributes:
        in_channels: Channels of the images.
        widths: Channels of the feature maps, finest first.
        finest: Pixels of the image to one of the finest map.
        stride: Pixels of the image to one of the coarsest map: what height and width are padded to multiples of.
        first_conv: Name of the weight of the only convolution that sees the image; empty where there is none such.
    """

    in_channels: int
    widths: tuple[int, ...]
    finest: int = 1
    stride: int
    first_conv: str

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Float images (B, in_channels, H, W) → feature maps, finest first."""
