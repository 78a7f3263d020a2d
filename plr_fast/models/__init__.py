"""Networks: the U-Net that restores slices, the classifier built on its encoder, and the transfer between them."""

from __future__ import annotations

from .classifier import Classifier
from .transfer import describe_encoder, load_encoder, read_encoder
from .unet import Decoder, Encoder, UNet

__all__ = ["Classifier", "Decoder", "Encoder", "UNet", "describe_encoder", "load_encoder", "read_encoder"]
