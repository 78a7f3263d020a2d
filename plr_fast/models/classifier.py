"""The classifier of the paper (III.D, IV.B): the U-Net's encoder, global average pooling, 512 neurons, one logit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from .pyramid import Pyramid
from .unet import WIDTHS, Encoder, Norm, check_encoder, check_images, init_he, pad_to_stride


class Classifier(nn.Module):
    """Tells positive from negative slices: encoder → global average pooling → ``hidden`` (ReLU) → one logit.

    Args:
        widths: Channels of the encoder's five levels; as in the pretrained U-Net whose encoder is taken over.
        norm: ``"none"`` (the paper's) or ``"batch"``; as in the pretrained U-Net.
        hidden: Neurons of the fully connected layer.
        in_channels: Channels of the images.
        encoder: Another encoder, which takes ``in_channels``; ``widths`` and ``norm`` then mean nothing.

    Raises:
        ValueError: as :class:`~plr_fast.models.UNet`, or ``hidden`` below 1.
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        norm: Norm = "none",
        hidden: int = 512,
        in_channels: int = 1,
        encoder: Pyramid | None = None,
    ) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden must be 1 or more, not {hidden}")
        self.encoder = check_encoder(encoder, in_channels) if encoder else Encoder(in_channels, widths, norm)
        self.hidden = nn.Linear(self.encoder.widths[-1], hidden)
        self.output = nn.Linear(hidden, 1)
        init_he(self.hidden)
        nn.init.normal_(self.output.weight, 0.0, hidden**-0.5)
        nn.init.zeros_(self.output.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, in_channels, H, W) in [0, 1], any height and width → logits (B,); sigmoid gives P(positive).

        Raises:
            ValueError: another rank, another number of channels, or an empty image.
        """
        check_images(images, self.encoder.in_channels)
        # Padded as in the U-Net, so that the encoder meets the geometry that it was pretrained on.
        padded, _ = pad_to_stride(images, self.encoder.stride)
        pooled = self.encoder(padded)[-1].mean(dim=(-2, -1))
        return cast(Tensor, self.output(F.relu(self.hidden(pooled)))).squeeze(1)
