"""The folder that ``generate`` writes to: new, or with --overwrite cleared of what an earlier call left there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import ConfigError
from ..files import write_json

SETTINGS = "settings.json"


class OutputFolder:
    """Names the files that are written, so that the next call knows which ones are its to replace.

    Args:
        out: the folder; need not exist.
        overwrite: replace the files of an earlier call.

    Raises:
        ConfigError: ``out`` is a file, holds files of an earlier call and ``overwrite`` is False, or holds others.
    """

    def __init__(self, out: Path, overwrite: bool) -> None:
        self.out = out
        self.names: list[str] = []
        self.old: list[str] = []
        if out.exists() and not out.is_dir():
            raise ConfigError(f"out is a file: {out}; choose a folder")
        if not out.is_dir() or not any(not path.name.startswith(".") for path in out.iterdir()):
            return
        try:
            self.old = [str(name) for name in json.loads((out / SETTINGS).read_text(encoding="utf-8"))["files"]]
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(f"{out} is not empty and not from `plr-fast generate`; choose another folder") from None
        if not overwrite:
            raise ConfigError(
                f"{out} holds {len(self.old)} files of an earlier `plr-fast generate`; --overwrite replaces them, or "
                "choose another folder"
            )

    def path(self, name: str) -> Path:
        """Where to write the file ``name``."""
        self.names.append(name)
        return self.out / name

    def finish(self, what: str, settings: Mapping[str, Any]) -> None:
        """Remove what the earlier call left and this one has not replaced, and write down settings and files."""
        for name in set(self.old) - set(self.names):
            if Path(name).name == name:
                (self.out / name).unlink(missing_ok=True)
        self._write({"what": what, **settings}, self.names)

    def leave_unfinished(self) -> None:
        """Note which files are there, so that the next call may replace them."""
        present = [name for name in self.names if (self.out / name).is_file()]
        if present:
            self._write({"what": "unfinished"}, {*self.old, *present})

    def _write(self, settings: Mapping[str, Any], names: Iterable[str]) -> None:
        plain = {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}
        write_json(self.out / SETTINGS, {"plr_fast": __version__, **plain, "files": sorted(names)})
