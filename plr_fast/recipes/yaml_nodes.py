"""YAML whose every part knows its line, so that messages can say where something is wrong."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..errors import ConfigError
from ..spelling import nearest
from .sections import SECTIONS, Section, field_types
from .values import WrongTypeError, typed, wanted


class Node:
    """A part of a YAML file.

    Attributes:
        path: the file.
        what: how messages call it, for example ``datasets[0].name``.
        line: where it begins, from 1; of an entry, where its name stands.
    """

    def __init__(self, path: Path, node: yaml.Node, what: str, *, line: int = 0, prefix: str | None = None) -> None:
        self.path, self.what = path, what
        self.line = line or int(node.start_mark.line) + 1
        self._prefix = f"{what}." if prefix is None else prefix  # of the names of its entries
        self._node = node

    def fail(self, problem: str) -> NoReturn:
        """Raise a ``ConfigError`` that begins with file and line."""
        raise ConfigError(f"{self.path} line {self.line}: {problem}")

    @property
    def plain(self) -> Any:
        """The content as plain Python values."""
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(self._node, deep=True)
        except (yaml.YAMLError, ValueError, TypeError) as error:
            self.fail(f"cannot be read: {getattr(error, 'problem', None) or error}")
        finally:
            loader.dispose()

    def typed(self, hint: Any) -> Any:
        """The content as ``hint`` wants it; raises ``ConfigError`` if it cannot be that."""
        value = self.plain
        try:
            return typed(value, hint)
        except WrongTypeError:
            self.fail(f"{self.what} must be {wanted(hint)}, not {value!r}")

    @property
    def end(self) -> tuple[int, int]:
        """Row and column behind its last character, both from 0."""
        return int(self._node.end_mark.line), int(self._node.end_mark.column)

    @property
    def is_inline(self) -> bool:
        """Whether it is a single value or stands in brackets, so that a comment behind it is its own."""
        return isinstance(self._node, yaml.ScalarNode) or bool(getattr(self._node, "flow_style", False))

    @property
    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands there."""
        return isinstance(self._node, yaml.ScalarNode) and self._node.value in ("", "null", "~")

    def entries(self) -> dict[str, Node]:
        """The parts of a mapping; raises ``ConfigError`` if it is none or a name stands there twice."""
        if self.is_empty:
            return {}
        if not isinstance(self._node, yaml.MappingNode):
            self.fail(f"{self.what} must hold 'name: value' lines")
        found: dict[str, Node] = {}
        for key, value in self._node.value:
            line = int(key.start_mark.line) + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{self.path} line {line}: a name in {self.what} must be a word")
            if key.tag == "tag:yaml.org,2002:merge":
                raise ConfigError(f"{self.path} line {line}: '<<' is not understood here; write the settings out")
            name = str(key.value)
            node = Node(self.path, value, self._prefix + name, line=line)
            if name in found:
                node.fail(f"{name!r} stands in {self.what} twice, first in line {found[name].line}")
            found[name] = node
        return found

    def mapping(self, known: Collection[str], required: Collection[str] = ()) -> dict[str, Node]:
        """:meth:`entries`, all of which must be ``known`` and none of ``required`` missing."""
        found = self.entries()
        for name, node in found.items():
            if name not in known:
                sections: list[Section] = ["pretrain", "finetune"]
                owners = [section for section in sections if section in known and name in field_types(section)]
                hint = f": it belongs into {' or '.join(owners)}: {{{name}: …}}" if owners else nearest(name, known)
                node.fail(f"{self.what} has no setting {name!r}{hint} (there are: {', '.join(known)})")
        for name in required:
            if name not in found:
                self.fail(f"{self.what} lacks {name!r}")
        return found

    def items(self) -> list[Node]:
        """The parts of a list; raises ``ConfigError`` if it is none, or is empty."""
        if not isinstance(self._node, yaml.SequenceNode) or not self._node.value:
            self.fail(f"{self.what} must be a list, each item on a line of its own behind '- '")
        return [Node(self.path, node, f"{self.what}[{number}]") for number, node in enumerate(self._node.value)]

    def settings(self, section: Section, refused: Mapping[str, str]) -> dict[str, Any]:
        """The content as settings of a command; ``refused`` are those with no place here, and why."""
        known = field_types(section)
        found: dict[str, Any] = {}
        for name, node in self.entries().items():
            if name in refused:
                node.fail(f"{self.what} cannot hold {name!r}: {refused[name]}")
            if name not in known:
                owners = [other for other in SECTIONS if other != section and name in field_types(other)]
                have = "has" if len(owners) == 1 else "have"
                hint = f"; {' and '.join(owners)} {have} one" if owners else nearest(name.replace("-", "_"), known)
                node.fail(f"{section} has no setting {name!r}{hint}")
            found[name] = node.typed(known[name])
        return found


def read_yaml(path: Path, text: str, what: str) -> Node:
    """The root of a YAML file; :attr:`Node.is_empty` where nothing stands in it.

    Raises:
        ConfigError: it is no YAML; names file and line.
    """
    try:
        loader = yaml.SafeLoader(text)  # looks for characters that YAML does not allow
        try:
            root = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path} line {line}: no YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: no YAML: {error}") from None
    if root is None:
        start = yaml.Mark(str(path), 0, 0, 0, None, None)
        root = yaml.ScalarNode("tag:yaml.org,2002:null", "", start, start)
    return Node(path, root, what, prefix="")
