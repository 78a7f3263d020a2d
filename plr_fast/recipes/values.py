"""Plain YAML values as the types of config fields."""

from __future__ import annotations

import types
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin


class WrongTypeError(ValueError):
    """A value is not of the type that is wanted."""


def typed(value: Any, hint: Any) -> Any:
    """``value`` as YAML gives it, as ``hint`` wants it.

    Raises:
        WrongTypeError: it cannot be that; no message beyond that, see :func:`wanted`.
    """
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _first_fitting(value, get_args(hint))
    if origin is Literal:
        if isinstance(value, bool):
            value = "on" if value else "off"  # which YAML 1.1 reads as truth values
        if value in get_args(hint) and isinstance(value, str):
            return value
    elif origin is tuple:
        return _tuple(value, get_args(hint))
    elif hint is type(None):
        if value is None:
            return None
    elif hint is bool:
        if isinstance(value, bool):
            return value
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif hint is float:
        return _float(value)
    elif hint is str:
        if isinstance(value, str):
            return value
    elif hint is Path:
        if isinstance(value, str) and value:
            return Path(value).expanduser()
    else:
        raise TypeError(f"no rule for settings of the type {hint}")
    raise WrongTypeError


def wanted(hint: Any) -> str:
    """What ``hint`` asks for, in words."""
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(wanted(member) for member in members)
    if origin is Literal:
        return f"one of {', '.join(members)}"
    if origin is tuple:
        if members[-1] is Ellipsis:
            return f"a list, [...], each {wanted(members[0])}"
        return f"a list of {len(members)}, each {wanted(members[0])}"
    names = {type(None): "null", bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return names.get(hint, "the name of a file or folder")


def _first_fitting(value: Any, members: tuple[Any, ...]) -> Any:
    for member in members:
        with suppress(WrongTypeError):
            return typed(value, member)
    raise WrongTypeError


def _tuple(value: Any, members: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise WrongTypeError
    if members[-1] is Ellipsis:
        return tuple(typed(item, members[0]) for item in value)
    if len(value) != len(members):
        raise WrongTypeError
    return tuple(typed(item, member) for item, member in zip(value, members, strict=True))


def _float(value: Any) -> float:
    # YAML 1.1 reads 1e-3, without a point, as text.
    if isinstance(value, str) and value[:1].isdigit():
        try:
            return float(value)
        except ValueError:
            raise WrongTypeError from None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise WrongTypeError
