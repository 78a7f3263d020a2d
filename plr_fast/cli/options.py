"""Reading options into a config dataclass, in one way for all subcommands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar

import tyro

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..recipes import Recipe, Section

Config = TypeVar("Config")
FLAG = "--config"


def read(config_type: type[Config], command: str, arguments: Sequence[str], **keywords: Any) -> Config:
    """Return the config that ``arguments`` describe; prints help or a usage error and exits where they ask for it.

    ``--run-folder`` is another name of ``--run``, which torchrun takes for a short form of its own ``--run-path``.
    """
    arguments = [re.sub(r"^--run-folder(?==|$)", "--run", argument) for argument in arguments]
    config: Config = tyro.cli(
        config_type,
        prog=f"plr-fast {command}",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes,),
        **keywords,
    )
    return config


def read_with_config(config_type: type[Config], section: Section, arguments: Sequence[str]) -> Config:
    """The same for a command that takes ``--config NAME|FILE``: its settings are the defaults of the other options.

    Raises:
        ConfigError: there is no such config, it says nothing about this command, or something in it is wrong.
    """
    name, rest = split_config(arguments)
    about = f"{config_type.__doc__} {FLAG} NAME|FILE.yaml takes settings from a named config (plr-fast config list) or "
    about += "a file; options given beside it come first."
    if name is None:
        return read(config_type, section, rest, description=about)
    from ..recipes import load_config

    recipe = load_config(name)
    recipe.require(section)
    config = read(config_type, section, rest, description=about, default=_defaults(config_type, recipe, section))
    settled: Config = recipe.settled(section, config, keep=_named(config_type, rest))
    return settled


def split_config(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """What ``--config`` says, if it is given, and all other arguments.

    Raises:
        ConfigError: it is given twice, or without a value.
    """
    names: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument.startswith(f"{FLAG}="):
            names.append(argument.removeprefix(f"{FLAG}="))
        elif argument == FLAG:
            names.append(next(remaining, ""))
        else:
            rest.append(argument)
    if any(not name or name.startswith("-") for name in names):
        raise ConfigError(f"{FLAG} needs the name of a config (plr-fast config list) or of a file behind it")
    if len(names) > 1:
        raise ConfigError(f"{FLAG} is given {len(names)} times; put the one into a file with 'base:' and the other")
    return (names[0] if names else None), rest


def _named(config_type: type[Any], arguments: Sequence[str]) -> set[str]:
    """The fields that ``arguments`` give, so that none of them steps aside in silence."""
    words = {
        argument.split("=")[0].removeprefix("--").replace("-", "_") for argument in arguments if argument[:2] == "--"
    }
    return {field.name for field in fields(config_type) if words & {field.name, f"no_{field.name}"}}


def _defaults(config_type: type[Config], recipe: Recipe, section: Section) -> Config:
    """An instance of ``config_type`` with the settings of ``recipe``; what nothing gives stays to be given."""
    values = {name: setting.value for name, setting in recipe.settings(section).items()}
    absent = [field.name for field in fields(config_type) if field.default is MISSING]  # type: ignore[arg-type]
    required: dict[str, Any] = dict.fromkeys(absent, tyro.MISSING)
    return config_type(**{**required, **values})
