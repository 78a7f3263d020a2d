"""What an unfinished preparation has done, source by source, so that a later call can go on from there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from io import FileIO
from pathlib import Path
from typing import Any

from .lungs.quality import MaskQuality
from .prepare_images import SliceFacts

_FORMAT = 2


@dataclass(frozen=True)
class Done:
    """One source that was dealt with."""

    key: str
    """Which source that was, as :func:`~plr_fast.data.prepare_images.key_of` tells."""
    facts: tuple[SliceFacts, ...]
    """What is known about its slices; none where it was skipped."""
    hashes: str
    """Of its files (hex), as :func:`~plr_fast.data.prepare_images.hash_entry` gives them."""
    checksum: int
    """Of the store's pixels up to and with this source."""
    skipped: str = ""
    """Why it was left out, if it was."""


class Journal:
    """The journal file: a line of settings, then one line for each source in the order of the manifest.

    A line counts when it is complete; what a kill or a full disk cut off is passed over, and written over. The pixels
    of a source are with the system before its line is.

    Args:
        file: where it lies.
        settings: everything that the pixels depend on, apart from the sources (JSON values). Only their hashes are
            kept.

    Attributes:
        differing: names of settings with which an unfinished preparation was begun that were others; it is lost.
    """

    def __init__(self, file: Path, settings: Mapping[str, Any]) -> None:
        self._file = file
        self._settings = {"format": str(_FORMAT)} | {name: _hash(value) for name, value in settings.items()}
        self._stream: FileIO | None = None
        self._seen = self._end = 0
        self.differing: tuple[str, ...] = ()

    def earlier(self) -> Iterator[Done]:
        """What an earlier call has done under the same settings, source by source; :meth:`accept` what still holds."""
        if not self._file.exists():
            return
        with self._file.open("rb") as stream:
            first = stream.readline()
            found = _load(first)
            if not isinstance(found, dict):
                return
            self.differing = tuple(
                name.replace("_", "-")
                for name in {**self._settings, **found}
                if found.get(name) != self._settings.get(name)
            )
            if self.differing:
                return
            self._end = self._seen = len(first)
            for line in stream:
                done = _decode(line)
                if done is None:
                    return
                self._seen += len(line)
                yield done

    def accept(self) -> None:
        """Keep what :meth:`earlier` has given so far; :meth:`begin` drops the rest."""
        self._end = self._seen

    def begin(self) -> None:
        """Open the journal for what follows. Raises ``OSError``."""
        # Unbuffered: a line is with the system, or its writing fails here and now.
        self._stream = self._file.open("r+b" if self._end else "wb", buffering=0)
        if self._end:
            self._stream.truncate(self._stream.seek(self._end))
        else:
            self._write(json.dumps(self._settings))

    def add(self, done: Done) -> None:
        """Note a source whose pixels are with the system already. Raises ``OSError``."""
        slices = [
            (*(getattr(facts, name) for name in _PLAIN), None if facts.quality is None else astuple(facts.quality))
            for facts in done.facts
        ]
        self._write(json.dumps([done.key, slices, done.hashes, done.checksum, done.skipped], separators=(",", ":")))

    def close(self) -> None:
        """Close the file; it stays."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _write(self, text: str) -> None:
        assert self._stream is not None
        content = text.encode() + b"\n"
        if self._stream.write(content) != len(content):  # what is there of the line will be passed over
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_PLAIN = tuple(field.name for field in fields(SliceFacts) if field.name != "quality")


def _load(line: bytes) -> Any:
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except ValueError:  # zeros, after a power cut
        return None


def _decode(line: bytes) -> Done | None:
    found = _load(line)
    try:
        key, slices, hashes, checksum, skipped = found
        return Done(key, tuple(map(_facts, slices)), hashes, checksum, skipped)
    except (TypeError, ValueError):
        return None


def _facts(values: list[Any]) -> SliceFacts:
    *plain, quality = values
    named = dict(zip(_PLAIN, plain, strict=True))
    for name in ("spacing", "window"):
        named[name] = None if named[name] is None else tuple(named[name])
    named["notes"] = tuple((matter, details) for matter, details in named["notes"])
    return SliceFacts(**named, quality=None if quality is None else MaskQuality(*quality))


def _hash(value: Any) -> str:
    # Settings may hold what nobody should find in a file, such as the salt of pseudonyms.
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
