"""The U-Net of a pretext task that asks more than the restored slice: where was it altered, and was it at all?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, overload

from torch import Tensor

from .head import Features, head_logits, make_head
from .pyramid import Pyramid
from .unet import WIDTHS, Norm, UNet


class PretextOutputs(NamedTuple):
    """What a :class:`PretextUNet` says of images (B, C, H, W).

    Attributes:
        restored: (B, 1, H, W), linear.
        altered: logits (B, 1, H, W) of each pixel having been altered; None without ``mask``.
        presence: logits (B,) of the image having been altered at all; None without ``presence``.
    """

    restored: Tensor
    altered: Tensor | None
    presence: Tensor | None


class PretextUNet(UNet):
    """A :class:`UNet` with a second output channel, a classifier's head on its encoder, or both.

    Called as a U-Net it is one: the restored image alone. The head has the names and shapes of
    :class:`~plr_fast.models.Classifier`'s, so that fine-tuning can go on with it.

    Args:
        in_channels, widths, norm, encoder: As :class:`UNet`.
        mask: Predict the altered pixels.
        presence: Predict whether the image was altered.
        hidden: Neurons of the head.
        features: What the head pools: ``"last"``, the coarsest level, or ``"all"`` levels.

    Raises:
        ValueError: as :class:`UNet`; ``hidden`` below 1, an unknown ``features``.
    """

    def __init__(
        self,
        in_channels: int = 1,
        widths: Sequence[int] = WIDTHS,
        norm: Norm = "none",
        encoder: Pyramid | None = None,
        *,
        mask: bool = True,
        presence: bool = True,
        hidden: int = 512,
        features: Features = "last",
    ) -> None:
        super().__init__(in_channels, 2 if mask else 1, widths, norm, encoder)
        self.mask, self.presence, self.features = mask, presence, features
        if presence:
            self.hidden, self.output = make_head(self.encoder.widths, hidden, features)

    @overload
    def forward(self, images: Tensor, *, heads: Literal[False] = ...) -> Tensor: ...

    @overload
    def forward(self, images: Tensor, *, heads: Literal[True]) -> PretextOutputs: ...

    def forward(self, images: Tensor, *, heads: bool = False) -> Tensor | PretextOutputs:
        """Float images (B, in_channels, H, W) → restored images (B, 1, H, W), or with ``heads`` all outputs.

        Raises:
            ValueError: another rank, another number of channels, or an empty image.
        """
        decoded, maps = self.decode(images)
        if not heads:
            return decoded[:, :1]
        presence = head_logits(maps, self.hidden, self.output, self.features) if self.presence else None
        return PretextOutputs(decoded[:, :1], decoded[:, 1:] if self.mask else None, presence)
