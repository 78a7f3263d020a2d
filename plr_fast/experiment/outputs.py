"""Which tables and figures an experiment's folder has from the last time, so that those of former settings go."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from ..files import storage_error, write_json

OUTPUTS = "outputs.json"


def drop_former_outputs(out: Path, written: Collection[str]) -> None:
    """Delete the files in ``out`` that were written the last time and are not among ``written``; remember those.

    Files that this did not write (a table that somebody added) stay.

    Args:
        out: folder of the experiment.
        written: paths relative to it, with ``/``.

    Raises:
        StorageError: a file cannot be deleted, or the list not be written.
    """
    now = sorted(set(written))
    for name in sorted(set(_former(out)) - set(now)):
        path = out / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, path) from error
    write_json(out / OUTPUTS, now)


def _former(out: Path) -> list[str]:
    try:
        names = json.loads((out / OUTPUTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []  # none yet; what a damaged list named stays
    # Whoever has changed the list shall not lose files elsewhere by it.
    return [name for name in names if isinstance(name, str) and _is_below(out / name, out)]


def _is_below(path: Path, folder: Path) -> bool:
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())
