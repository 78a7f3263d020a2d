"""The networks that a run's settings describe: one place for those who train them and those who load them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models import Classifier, UNet

PRETRAIN_SETTINGS = ("widths", "norm")
"""What :func:`make_unet` must find."""
FINETUNE_SETTINGS = (*PRETRAIN_SETTINGS, "hidden")
"""What :func:`make_classifier` must find."""


def make_unet(settings: Mapping[str, Any]) -> UNet:
    """The U-Net of a pretraining run; ``settings`` as :meth:`PretrainConfig.to_json` gives them. Weights are random."""
    return UNet(1, 1, settings["widths"], settings["norm"])


def make_classifier(settings: Mapping[str, Any]) -> Classifier:
    """The classifier of a fine-tuning run; ``settings`` as :meth:`FinetuneConfig.to_json` gives them."""
    return Classifier(settings["widths"], settings["norm"], settings["hidden"])
