"""What an adapter says when its library is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def required(library: str) -> Iterator[None]:
    """Run imports from ``library``, whose package has the same name on PyPI.

    Raises:
        ModuleNotFoundError: the library is missing; the message has the command that installs it. A library that is
            there and fails by itself, for want of another one, keeps its own error.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != library:
            raise
        raise ModuleNotFoundError(
            f"this adapter of plr_fast needs {library}, which is not installed: pip install {library}", name=library
        ) from error
