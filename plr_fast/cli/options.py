"""Reading options into a config dataclass, in one way for all subcommands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

Config = TypeVar("Config")


def read(config_type: type[Config], command: str, arguments: Sequence[str], **keywords: Any) -> Config:
    """Return the config that ``arguments`` describe; prints help or a usage error and exits where they ask for it."""
    config: Config = tyro.cli(
        config_type,
        prog=f"plr-fast {command}",
        args=list(arguments),
        config=(tyro.conf.OmitArgPrefixes,),
        **keywords,
    )
    return config
