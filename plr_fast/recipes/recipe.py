"""A config as a whole: a file on top of those it builds on, made into the dataclasses that commands take."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import ConfigError
from ..yaml_text import yaml_value
from .document import Document, named_configs, read_document
from .sections import SECTIONS, Section, config_class, field_types

if TYPE_CHECKING:
    from ..data.prepare_config import PrepareConfig
    from ..evaluation import EvaluateConfig
    from ..training import FinetuneConfig, PretrainConfig


@dataclass(frozen=True)
class Setting:
    """A setting and where it comes from.

    Attributes:
        value: of the field's type.
        origin: ``default``, the name of a named config, or file and line.
        note: the comment beside it.
    """

    value: Any
    origin: str
    note: str = ""


class Recipe:
    """Settings of the four commands, from a named config or a file. Make one with :func:`load_config`.

    Attributes:
        name: the config's name, or the file.
        documents: the file and those it builds on, the deepest base first.
    """

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents
        self.name = documents[-1].name

    @property
    def sha256(self) -> str:
        """Hash (hex) of all settings that the files give, whatever their order, comments and names."""
        plain = {section: _plain(self.given(section)) for section in SECTIONS}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    @property
    def label(self) -> str:
        """Name and hash, for a run's record."""
        return f"{self.name} sha256:{self.sha256[:16]}"

    @property
    def study(self) -> Mapping[str, Any]:
        """The experiments and counts of the paper (see the file): plain data that no command reads."""
        return next((document.study for document in reversed(self.documents) if document.study), {})

    def given(self, section: Section) -> dict[str, Setting]:
        """The settings of ``section`` that the files give; the last word counts."""
        found: dict[str, Setting] = {}
        for document in self.documents:
            named = document.name in named_configs()
            for key, entry in document.sections.get(section, {}).items():
                origin = document.name if named else f"{document.path} line {entry.line}"
                found[key] = Setting(entry.value, origin, entry.note)
        return found

    def settings(self, section: Section) -> dict[str, Setting]:
        """All settings of ``section`` in the order of its dataclass, those that nothing gives with their defaults.
        What has no default (``store``, ``run``, ``source``, ``out``) is left out unless a file gives it."""
        given, found = self.given(section), {}
        defaults = {field.name: field.default for field in fields(config_class(section))}
        for name in field_types(section):
            if name in given:
                found[name] = given[name]
            elif defaults[name] is not MISSING:
                found[name] = Setting(defaults[name], "default")
        return found

    def require(self, section: Section) -> None:
        """Refuse a config that says nothing about ``section``.

        Raises:
            ConfigError: so; says which sections it has.
        """
        if not any(section in document.sections for document in self.documents):
            here = [name for name in SECTIONS if any(name in document.sections for document in self.documents)]
            raise ConfigError(f"{self.name} has no section {section!r}, only {', '.join(here) or 'nothing'}")

    def config(self, section: Section, **changes: Any) -> Any:
        """The dataclass of ``section``, with ``changes`` on top of the files' settings.

        Raises:
            ConfigError: no file has this section.
            TypeError: an unknown setting, or one without default (``store``, ``run``, …) that nothing gives.
        """
        self.require(section)
        values = {name: setting.value for name, setting in self.given(section).items()}
        return self.settled(section, config_class(section)(**{**values, **changes}), keep=changes)

    def settled(self, section: Section, config: Any, *, keep: Collection[str] = ()) -> Any:
        """``config`` with this recipe's name in it (where it has a place for that), and without those settings of the
        files that have lost their meaning beside others (``blend`` with ``corruption=gaussian``): they go back to
        their defaults. Those in ``keep`` stay, for the config's own check to judge."""
        if not hasattr(config, "idle_options"):
            return config
        given = self.given(section)
        defaults = {field.name: field.default for field in fields(config)}
        lost = {
            name: defaults[name]
            for name in config.idle_options()
            if name in given and name not in keep and getattr(config, name) == given[name].value
        }
        label = {"recipe": self.label} if "recipe" in defaults else {}
        return replace(config, **label, **lost)

    def prepare(self, source: Path, out: Path, **changes: Any) -> PrepareConfig:
        """Settings of :func:`plr_fast.data.prepare`; raises as :meth:`config`."""
        return cast("PrepareConfig", self.config("prepare", source=source, out=out, **changes))

    def pretrain(self, store: Path, run: Path, **changes: Any) -> PretrainConfig:
        """Settings of :func:`plr_fast.training.pretrain`; raises as :meth:`config`."""
        return cast("PretrainConfig", self.config("pretrain", store=store, run=run, **changes))

    def finetune(self, store: Path, run: Path, **changes: Any) -> FinetuneConfig:
        """Settings of :func:`plr_fast.training.finetune`; raises as :meth:`config`."""
        return cast("FinetuneConfig", self.config("finetune", store=store, run=run, **changes))

    def evaluate(self, store: Path, out: Path, **changes: Any) -> EvaluateConfig:
        """Settings of :func:`plr_fast.evaluation.evaluate`; raises as :meth:`config`."""
        return cast("EvaluateConfig", self.config("evaluate", store=store, out=out, **changes))


def load_config(name: str | os.PathLike[str]) -> Recipe:
    """The named config (``default``, ``sars-cov-2``, ``jinan``) or the YAML file that ``name`` says.

    A file may begin with ``base: NAME or FILE`` (relative to itself) and then holds only what differs. Other paths in
    it are relative to the working directory, as on the command line.

    Raises:
        ConfigError: there is no such config, or something in it is wrong: the message names file, line and key, and
            the nearest right word.
    """
    chain = [read_document(name)]
    while (base := chain[0].base) is not None:
        document = read_document(base, chain[0].path.parent, said_at=chain[0].base_at)
        if document.path.resolve() in [one.path.resolve() for one in chain]:
            raise ConfigError(f"{chain[0].base_at} its base {base} leads back to itself")
        chain.insert(0, document)
    return Recipe(chain)


def _plain(settings: Mapping[str, Setting]) -> dict[str, str]:
    return {name: yaml_value(setting.value) for name, setting in settings.items()}
