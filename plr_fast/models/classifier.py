"""The classifier of the paper (III.D, IV.B): the U-Net's encoder, global average pooling, 512 neurons, one logit."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .head import Features, head_logits, make_head
from .pyramid import Pyramid
from .unet import WIDTHS, Encoder, Norm, check_encoder, check_images, pad_to_stride


class Classifier(nn.Module):
    """Tells positive from negative slices: encoder → global average pooling → ``hidden`` (ReLU) → one logit.

    Args:
        widths: Channels of the encoder's five levels; as in the pretrained U-Net whose encoder is taken over.
        norm: ``"none"`` (the paper's) or ``"batch"``; as in the pretrained U-Net.
        hidden: Neurons of the fully connected layer.
        in_channels: Channels of the images.
        encoder: Another encoder, which takes ``in_channels``; ``widths`` and ``norm`` then mean nothing.
        features: What is pooled: ``"last"``, the coarsest level (the paper's), or ``"all"`` levels, joined.

    Raises:
        ValueError: as :class:`~plr_fast.models.UNet`; ``hidden`` below 1, an unknown ``features``.
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        norm: Norm = "none",
        hidden: int = 512,
        in_channels: int = 1,
        encoder: Pyramid | None = None,
        features: Features = "last",
    ) -> None:
        super().__init__()
        self.features = features
        self.encoder = check_encoder(encoder, in_channels) if encoder else Encoder(in_channels, widths, norm)
        self.hidden, self.output = make_head(self.encoder.widths, hidden, features)

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, in_channels, H, W) in [0, 1], any height and width → logits (B,); sigmoid gives P(positive).

        Raises:
            ValueError: another rank, another number of channels, or an empty image.
        """
        check_images(images, self.encoder.in_channels)
        # Padded as in the U-Net, so that the encoder meets the geometry that it was pretrained on.
        padded, _ = pad_to_stride(images, self.encoder.stride)
        return head_logits(self.encoder(padded), self.hidden, self.output, self.features)
