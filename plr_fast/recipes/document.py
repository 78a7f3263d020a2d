"""One YAML file: found by name or path, read with the place and the comment of each setting."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError
from .sections import SECTIONS, Section, field_types
from .values import WrongTypeError, typed, wanted

SUFFIXES = (".yaml", ".yml")
_TOP = ("base", *SECTIONS, "study")


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


def nearest(word: str, words: Any) -> str:
    """``; did you mean …?`` with the nearest of ``words``, or nothing."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


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
        loader = yaml.SafeLoader(self.text)
        try:
            root = loader.get_single_node()
            return self._document(loader, root)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{self.path} line {line}: no YAML: {error.problem}") from None
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"{self.path}: no YAML: {error}") from None
        finally:
            loader.dispose()

    def _document(self, loader: yaml.SafeLoader, root: yaml.Node | None) -> Document:
        base: str | None = None
        study: Mapping[str, Any] = {}
        sections: dict[Section, Mapping[str, Entry]] = {}
        lines: dict[str, tuple[int, int]] = {}
        for key, key_node, node in self._pairs(root, "a config") if root is not None else []:
            line = key_node.start_mark.line + 1
            if key not in _TOP:
                raise ConfigError(f"{self._at(line)} {key!r} is no section{self._hint_for_top(key)}")
            lines[key] = (line, self._last_line(node, line))
            if key == "base":
                base = self._base(loader, node, line)
            elif key == "study":
                if not isinstance(node, yaml.MappingNode):
                    raise ConfigError(f"{self._at(line)} study must hold 'name: value' lines")
                study = self._construct(loader, node, line)
            else:
                sections[key] = self._section(loader, key, node)
        return Document(self.name, self.path, self.text, self._about(), base, sections, lines, study)

    def _section(self, loader: yaml.SafeLoader, section: Section, node: yaml.Node) -> dict[str, Entry]:
        if isinstance(node, yaml.ScalarNode) and node.value in ("", "null", "~"):
            return {}  # a heading with nothing below it
        known = field_types(section)
        entries: dict[str, Entry] = {}
        for key, key_node, value_node in self._pairs(node, section):
            line = key_node.start_mark.line + 1
            if key not in known:
                raise ConfigError(f"{self._at(line)} {section} has no setting {key!r}{_hint_for(key, section)}")
            value = self._construct(loader, value_node, line)
            try:
                value = typed(value, known[key])
            except WrongTypeError:
                raise ConfigError(
                    f"{self._at(line)} {section}.{key} must be {wanted(known[key])}, not {value!r}"
                ) from None
            entries[key] = Entry(value, line, self._note(key_node, value_node))
        return entries

    def _pairs(self, node: yaml.Node, what: str) -> list[tuple[Any, yaml.Node, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{self._at(node.start_mark.line + 1)} {what} must hold 'name: value' lines")
        pairs: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value)
            if key in pairs:
                first = pairs[key][1].start_mark.line + 1
                raise ConfigError(f"{self._at(line)} {key!r} stands in {what} twice, first in line {first}")
            pairs[key] = (key, key_node, value_node)
        return list(pairs.values())

    def _construct(self, loader: yaml.SafeLoader, node: yaml.Node, line: int) -> Any:
        try:
            return loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, TypeError) as error:
            problem = getattr(error, "problem", None) or error
            raise ConfigError(f"{self._at(line)} cannot be read: {problem}") from None

    def _base(self, loader: yaml.SafeLoader, node: yaml.Node, line: int) -> str:
        value = self._construct(loader, node, line)
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{self._at(line)} base must be a named config or a file, not {value!r}")
        return value

    def _hint_for_top(self, key: str) -> str:
        owners = [section for section in SECTIONS if key in field_types(section)]
        if owners:
            return f": it is a setting of {' and '.join(owners)}; put it below 'NAME:', with two spaces before it"
        return f"{nearest(key, _TOP)} (sections: {', '.join(_TOP)})"

    def _at(self, line: int) -> str:
        return f"{self.path} line {line}:"

    def _last_line(self, node: yaml.Node, first: int) -> int:
        mark = node.end_mark
        last = int(mark.line) + (1 if mark.column else 0)
        # A block ends where the next one begins; what stands between belongs to that one.
        while last > first and (not self.rows[last - 1].strip() or self.rows[last - 1].startswith("#")):
            last -= 1
        return max(first, last)

    def _note(self, key: yaml.Node, value: yaml.Node) -> str:
        """The comment lines right above a setting, and the comment behind its value."""
        above: list[str] = []
        row = key.start_mark.line - 1
        while row >= 0 and self.rows[row].lstrip().startswith("#") and self.rows[row].startswith(" "):
            above.insert(0, _bare(self.rows[row]))
            row -= 1
        inline = isinstance(value, yaml.ScalarNode) or getattr(value, "flow_style", False)
        behind = self.rows[value.end_mark.line][value.end_mark.column :] if inline and self.rows else ""
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


def _hint_for(key: str, section: Section) -> str:
    if key in ("resume", "recipe"):
        return ": it belongs to one run, not into a file"
    others = [other for other in SECTIONS if other != section and key in field_types(other)]
    if others:
        return f"; {' and '.join(others)} {'has' if len(others) == 1 else 'have'} one"
    return nearest(key.replace("-", "_"), field_types(section))
