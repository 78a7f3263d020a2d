"""Options that change nothing beside the others: refused, because whoever gives one believes in its effect."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from ...errors import ConfigError

if TYPE_CHECKING:
    from .base import TrainConfig
    from .finetune import FinetuneConfig
    from .pretrain import PretrainConfig


def idle_optimizer_options(config: TrainConfig) -> dict[str, str]:
    """Settings of other optimisers than the one in use, and why they are idle."""
    if config.optimizer == "adadelta":
        return {}
    return dict.fromkeys(("rho", "eps"), f"it is for optimizer=adadelta, not for {config.optimizer}")


def idle_schedule_options(config: TrainConfig) -> dict[str, str]:
    """Settings of the plateau where the learning rate follows a course of its own."""
    if config.schedule == "plateau":
        return {}
    names = [name for name in ("plateau_patience", "plateau_factor", "plateau_by") if hasattr(config, name)]
    return dict.fromkeys(names, f"it is for schedule=plateau, not for {config.schedule}")


def idle_encoder_options(config: TrainConfig) -> dict[str, str]:
    """Settings of the paper's encoder, where another one is in use."""
    return {} if config.encoder == "plr" else {"widths": f"encoder={config.encoder} has its own"}


def refuse_idle(config: PretrainConfig | FinetuneConfig) -> None:
    """Refuse fields that were changed from their defaults and have no effect.

    Raises:
        ConfigError: names the first such field and says why it has none.
    """
    idle = config.idle_options()
    for field in fields(config):
        value = getattr(config, field.name)
        # (A config that went through JSON has lists for tuples.)
        if field.name in idle and (tuple(value) if isinstance(value, list) else value) != field.default:
            raise ConfigError(f"{field.name}={value!r} would have no effect: {idle[field.name]}. Leave it out")
