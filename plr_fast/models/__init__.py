"""Networks: the U-Net that restores slices, the classifier built on its encoder, and the transfer between them."""

from __future__ import annotations

from .classifier import Classifier
from .imagenet import load_imagenet
from .pretext import PretextOutputs, PretextUNet
from .pyramid import Pyramid
from .shufflenet import DANet, ShuffleNetV2
from .timm_encoder import TimmEncoder
from .transfer import describe_encoder, load_encoder, load_head, read_encoder
from .unet import Decoder, Encoder, UNet

__all__ = [
    "Classifier",
    "DANet",
    "Decoder",
    "Encoder",
    "PretextOutputs",
    "PretextUNet",
    "Pyramid",
    "ShuffleNetV2",
    "TimmEncoder",
    "UNet",
    "describe_encoder",
    "load_encoder",
    "load_head",
    "load_imagenet",
    "read_encoder",
]
