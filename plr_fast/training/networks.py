"""The networks that a run's settings describe: one place for those who train them and those who load them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from ..models import Classifier, DANet, PretextUNet, Pyramid, TimmEncoder, UNet
from .config.base import TIMM

PRETRAIN_SETTINGS = ("widths", "norm")
"""What :func:`make_unet` must find."""
FINETUNE_SETTINGS = (*PRETRAIN_SETTINGS, "hidden")
"""What :func:`make_classifier` must find."""


def make_unet(settings: Mapping[str, Any]) -> UNet:
    """The U-Net of a pretraining run; ``settings`` as :meth:`PretrainConfig.to_json` gives them. Weights are random.

    A :class:`~plr_fast.models.PretextUNet` where the run has other tasks beside restoring.
    """
    encoder, channels = make_encoder(settings), input_channels(settings)
    mask, presence = (settings.get(name, 0.0) > 0 for name in ("mask_weight", "presence_weight"))
    if not (mask or presence):
        return UNet(channels, 1, settings["widths"], settings["norm"], encoder)
    return PretextUNet(
        channels,
        settings["widths"],
        settings["norm"],
        encoder,
        mask=mask,
        presence=presence,
        hidden=settings["hidden"],
        features=settings["features"],
    )


def make_encoder(settings: Mapping[str, Any]) -> Pyramid | None:
    """The encoder that a run names, or None for the paper's.

    Raises:
        ConfigError: timm is missing, has no such model, or one that does not serve.
    """
    name = settings.get("encoder", "plr")
    if not name.startswith(TIMM):
        return None
    try:
        return TimmEncoder(name.removeprefix(TIMM), input_channels(settings))
    except (ModuleNotFoundError, ValueError) as error:
        raise ConfigError(f"encoder={name!r} cannot be had: {error}") from error


def input_channels(settings: Mapping[str, Any]) -> int:
    """Channels of a network's input: the slice and its neighbours. Runs from before 2.5-D say nothing of them."""
    return 2 * int(settings.get("context", 0)) + 1


def make_classifier(settings: Mapping[str, Any]) -> Classifier | DANet:
    """The classifier of a fine-tuning run; ``settings`` as :meth:`FinetuneConfig.to_json` gives them."""
    if settings.get("model", "plr") == "danet":
        return DANet(settings["danet_scale"], input_channels(settings))
    channels, encoder = input_channels(settings), make_encoder(settings)
    features = settings.get("features", "last")
    return Classifier(settings["widths"], settings["norm"], settings["hidden"], channels, encoder, features)
