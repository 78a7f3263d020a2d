"""What an encoder and the classifier that begins with it must have in common, checked before either is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ConfigError

if TYPE_CHECKING:
    from ...training import FinetuneConfig, PretrainConfig

NETWORK = ("encoder", "widths", "norm", "context")
"""Settings that are the encoder's."""


def require_fit(config: PretrainConfig | FinetuneConfig, finetune: FinetuneConfig, where: str) -> None:
    """Refuse an encoder that the classifier cannot take, before it is trained."""
    if finetune.model != "plr" and getattr(config, "model", "plr") != finetune.model:
        raise ConfigError(f"{where}: model={finetune.model} cannot take the encoder of a pretraining")
    for name in NETWORK:
        if name == "context" and finetune.init_inflate:
            continue
        first, second = getattr(config, name), getattr(finetune, name)
        if first != second:
            raise ConfigError(
                f"{where}: its encoder is trained with {name}={first!r} and fine-tuned with {name}={second!r}; give "
                "both the same"
            )


def require_head(config: PretrainConfig, finetune: FinetuneConfig, where: str) -> None:
    """Refuse a pretrained head that the classifier would take over and cannot."""
    if not config.presence_weight or finetune.init_head == "off":
        return
    for name in ("hidden", "features"):
        first, second = getattr(config, name), getattr(finetune, name)
        if first != second:
            raise ConfigError(
                f"{where}: its head is pretrained with {name}={first!r} and fine-tuned with {name}={second!r}; give "
                "both the same, or leave the head behind: finetune: {init_head: off}"
            )
