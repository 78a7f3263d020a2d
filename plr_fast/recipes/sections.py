"""The sections of a config, and the dataclass that each one fills."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, get_args, get_type_hints

Section = Literal["prepare", "pretrain", "finetune", "evaluate"]
SECTIONS: tuple[Section, ...] = get_args(Section)

# What says which files to use and where to go on, or is filled in by plr_fast: not a file's to say about every run.
NOT_IN_FILES = frozenset({"resume", "recipe"})


def config_class(section: Section) -> type[Any]:
    """The dataclass of ``section``; its module is imported now."""
    if section == "prepare":
        from ..data.prepare_config import PrepareConfig

        return PrepareConfig
    if section == "evaluate":
        from ..evaluation import EvaluateConfig

        return EvaluateConfig
    from ..training import FinetuneConfig, PretrainConfig

    return PretrainConfig if section == "pretrain" else FinetuneConfig


def field_types(section: Section) -> dict[str, Any]:
    """The settings that a file may hold in ``section``, in order, with their types."""
    kind = config_class(section)
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.name not in NOT_IN_FILES}
