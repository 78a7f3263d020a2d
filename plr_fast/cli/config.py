"""``plr-fast config``: look at named configs and config files, and compare them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from ..recipes import SECTIONS, Recipe, Section, load_config, named_configs
from ..yaml_text import yaml_value
from .options import read


@dataclass(frozen=True)
class ListConfigs:
    """Name the configs that come with plr_fast."""


@dataclass(frozen=True)
class ShowConfig:
    """Print a config with its notes: where each setting comes from."""

    name: Annotated[str, tyro.conf.Positional]
    """A named config, or a YAML file."""
    section: Section | Literal["all"] = "all"
    """Only this part."""
    resolved: bool = False
    """All settings, with what is inherited and the defaults filled in, each with its origin: itself a config file."""


@dataclass(frozen=True)
class DiffConfigs:
    """Print the settings in which two configs differ, defaults filled in."""

    first: Annotated[str, tyro.conf.Positional]
    """A named config, or a YAML file."""
    second: Annotated[str, tyro.conf.Positional]
    """Another one."""
    section: Section | Literal["all"] = "all"
    """Only this part."""


List = Annotated[ListConfigs, tyro.conf.subcommand("list")]
Show = Annotated[ShowConfig, tyro.conf.subcommand("show")]
Diff = Annotated[DiffConfigs, tyro.conf.subcommand("diff")]


def _part(section: Section | Literal["all"]) -> Section | None:
    return None if section == "all" else section


def main(arguments: Sequence[str]) -> int:
    kinds: Any = List | Show | Diff
    about = "Look at named configs and config files. Commands take them as --config NAME|FILE.yaml."
    asked: ListConfigs | ShowConfig | DiffConfigs = read(kinds, "config", arguments, description=about)
    if isinstance(asked, ListConfigs):
        lines = listed()
    elif isinstance(asked, ShowConfig):
        recipe = load_config(asked.name)
        section = _part(asked.section)
        if section is not None:
            recipe.require(section)
        lines = resolved(recipe, section) if asked.resolved else written(recipe, section)
    else:
        lines = differences(load_config(asked.first), load_config(asked.second), _part(asked.section))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def listed() -> Iterator[str]:
    """Each named config with the first sentence about it."""
    width = max(map(len, named_configs()))
    for name in named_configs():
        about = load_config(name).documents[-1].about
        yield f"{name:<{width}}  {about.split('. ')[0].rstrip('.')}"


def written(recipe: Recipe, section: Section | None) -> Iterator[str]:
    """The files as they were written, the deepest base first."""
    for number, document in enumerate(recipe.documents):
        rows = document.text.splitlines()
        if section is not None and section not in document.lines:
            continue
        if number:
            yield ""
        if len(recipe.documents) > 1:
            yield f"# ---- {document.name}"
        if section is None:
            yield from rows
        else:
            first, last = document.lines[section]
            yield from rows[first - 1 : last]


def resolved(recipe: Recipe, section: Section | None) -> Iterator[str]:
    """All settings with their origins and notes."""
    yield f"# {recipe.label}"
    for name in SECTIONS if section is None else (section,):
        yield ""
        yield f"{name}:"
        for key, setting in recipe.settings(name).items():
            note = f": {setting.note}" if setting.note else ""
            yield f"  {key}: {yaml_value(setting.value)}  # {setting.origin}{note}"


def differences(first: Recipe, second: Recipe, section: Section | None) -> Iterator[str]:
    """``section.key: one | other`` for each setting that differs."""
    any_found = False
    for name in SECTIONS if section is None else (section,):
        ours, theirs = first.settings(name), second.settings(name)
        for key in {**ours, **theirs}:
            sides = [yaml_value(side[key].value) if key in side else "(not given)" for side in (ours, theirs)]
            if sides[0] != sides[1]:
                any_found = True
                yield f"{name}.{key}: {sides[0]} | {sides[1]}"
    if not any_found:
        yield "no difference"
