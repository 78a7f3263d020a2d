"""One YAML file: found by name or path, read with the place and the comment of each setting."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..spelling import nearest
from .sections import NOT_IN_FILES, SECTIONS, Section, field_types
from .yaml_nodes import Node, read_yaml

SUFFIXES = (".yaml", ".yml")
_TOP = ("base", *SECTIONS, "study")
_REFUSED = dict.fromkeys(NOT_IN_FILES, "it belongs to one run, not into a file")


@dataclass(frozen=True)
class Entry:
    """A setting in a file.

    Attributes:
        value: of the field's type.
        line: where it stands, from 1.
        note: its comment, in one line; may be empty.
    """

    value: Any
    line: int
    note: str


@dataclass(frozen=True)
class Document:
    """A config file.

    Attributes:
        name: of a named config, or the file's path as it was given.
        path: the file.
        text: all of it.
        about: its first comment, in one line.
        base: the config it builds on.
        sections: section -> setting -> entry.
        lines: section (also ``study``) -> first and last line, from 1.
        study: the section ``study``, as plain data.
    """

    name: str
    path: Path
    text: str
    about: str
    base: str | None
    sections: Mapping[Section, Mapping[str, Entry]]
    lines: Mapping[str, tuple[int, int]]
    study: Mapping[str, Any]

    @property
    def base_at(self) -> str:
        """The place of ``base``, for messages: ``FILE line N:``."""
        return f"{self.path} line {self.lines['base'][0]}:"


def named_configs() -> list[str]:
    """Names of the configs that come with plr_fast."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.yaml"))


def read_document(name: str | os.PathLike[str], folder: Path | None = None, *, said_at: str = "") -> Document:
    """Read the config that ``name`` says: a name of :func:`named_configs`, or a file.

    Args:
        name: names without a folder or suffix are those of named configs.
        folder: what a file's path is relative to; default the working directory.
        said_at: where another file names this one (:attr:`Document.base_at`), for the message if there is none.

    Raises:
        ConfigError: there is none, it cannot be read, or something in it is wrong: names file, line, and the nearest
            right word.
    """
    try:
        path, known_as = _find(os.fspath(name), folder)
    except ConfigError as error:
        raise ConfigError(f"{said_at} {error}".lstrip()) from None
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    return _Reader(known_as, path, text).document()


def _find(name: str, folder: Path | None) -> tuple[Path, str]:
    own = Path(__file__).parent / f"{name}.yaml"
    if name in named_configs():
        return own, name
    path = (folder or Path()) / Path(name).expanduser()
    looks_like_file = path.suffix in SUFFIXES or len(Path(name).parts) > 1
    if path.is_dir():
        found = f"; its settings are in {path / 'config.yaml'}" if (path / "config.yaml").is_file() else ""
        raise ConfigError(f"{name} is a folder, no config file{found}")
    if looks_like_file or path.is_file():
        if not path.is_file():
            raise ConfigError(f"the config file {path} does not exist")
        if path.suffix == ".json":
            raise ConfigError(f"{path}: configs are YAML; a run has its settings in config.yaml, beside config.json")
        return path, str(path)
    raise ConfigError(
        f"there is no config {name!r}{nearest(name, named_configs())} (known: {', '.join(named_configs())}; a file's "
        "name ends in .yaml)"
    )


class _Reader:
    """Takes one file apart."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        self.name, self.path, self.text = name, path, text
        self.rows = text.splitlines()

    def document(self) -> Document:
        base: str | None = None
        study: Mapping[str, Any] = {}
        sections: dict[Section, Mapping[str, Entry]] = {}
        lines: dict[str, tuple[int, int]] = {}
        for key, node in read_yaml(self.path, self.text, "a config").entries().items():
            lines[key] = (node.line, self._last_line(node))
            if key == "base":
                base = node.plain
                if not isinstance(base, str) or not base:
                    node.fail(f"base must be a named config or a file, not {base!r}")
            elif key == "study":
                if not node.is_mapping:
                    node.fail("study must hold 'name: value' lines")
                study = node.plain
            elif key in SECTIONS:
                sections[key] = self._section(node, key)
            else:
                node.fail(f"{key!r} is no section{_hint_for_top(key)}")
        return Document(self.name, self.path, self.text, self._about(), base, sections, lines, study)

    def _section(self, node: Node, section: Section) -> dict[str, Entry]:
        entries = node.entries()
        values = node.settings(section, _REFUSED)
        return {name: Entry(values[name], entry.line, self._note(entry)) for name, entry in entries.items()}

    def _last_line(self, node: Node) -> int:
        row, column = node.end
        last = row + (1 if column else 0)
        # A block ends where the next one begins; what stands between belongs to that one.
        while last > node.line and (not self.rows[last - 1].strip() or self.rows[last - 1].startswith("#")):
            last -= 1
        return max(node.line, last)

    def _note(self, entry: Node) -> str:
        """The comment lines right above a setting, and the comment behind its value."""
        above: list[str] = []
        row = entry.line - 2
        while row >= 0 and self.rows[row].lstrip().startswith("#") and self.rows[row].startswith(" "):
            above.insert(0, _bare(self.rows[row]))
            row -= 1
        last, column = entry.end
        behind = self.rows[last][column:] if entry.is_inline and last < len(self.rows) else ""
        return " ".join([*above, *([_bare(behind)] if re.match(r"\s*#", behind) else [])])

    def _about(self) -> str:
        found: list[str] = []
        for row in self.rows:
            if not row.startswith("#"):
                break
            found.append(_bare(row))
        return " ".join(found)


def _bare(comment: str) -> str:
    return comment.strip().lstrip("#").strip()


def _hint_for_top(key: str) -> str:
    owners = [section for section in SECTIONS if key in field_types(section)]
    if owners:
        return f": it is a setting of {' and '.join(owners)}; put it below 'NAME:', with two spaces before it"
    return f"{nearest(key, _TOP)} (sections: {', '.join(_TOP)})"
