"""Which tables and figures an experiment's folder has from former calls, so that those of former settings go."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from ..files import storage_error, write_json

OUTPUTS = "outputs.json"

_TABLE_III = re.compile(r"tables/lesion-similarity\.")
# Every call makes these anew of the cells; all else in figures needs networks and slices, too.
_OF_CELLS = re.compile(r"tables/|figures/(auroc|accuracy|roc|reliability|fig11)-")


def former_outputs(out: Path) -> set[str]:
    """The tables and figures in ``out`` that former calls wrote: ``tables/NAME`` and ``figures/NAME``.

    What a damaged list names, and what lies elsewhere, is not among them: it is not ours to delete.
    """
    try:
        names = json.loads((out / OUTPUTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(names, list):
        return set()
    return {name for name in names if isinstance(name, str) and _is_ours(name) and (out / name).is_file()}


def add_outputs(out: Path, written: Collection[str]) -> None:
    """Remember that ``written`` were written, too; nothing is deleted.

    Args:
        out: folder of the experiment.
        written: paths relative to it, with ``/``.

    Raises:
        StorageError: the list cannot be written.
    """
    write_json(out / OUTPUTS, sorted({*former_outputs(out), *written}))


def drop_former_outputs(out: Path, written: Collection[str], *, pictures: bool) -> None:
    """Delete what former calls wrote and this one did not, and remember what is left.

    Table III, which is of the real lesions alone, stays, and so does what the program did not write.

    Args:
        out: folder of the experiment.
        written: paths relative to it, with ``/``, of what this call wrote.
        pictures: whether pictures of slices go as well: only where this call could draw all that there are, for
            others may never be drawn again without training anew.

    Raises:
        StorageError: a file cannot be deleted, or the list not be written.
    """
    left = set(written)
    for name in sorted(former_outputs(out) - left):
        if _TABLE_III.match(name) or not (pictures or _OF_CELLS.match(name)):
            left.add(name)
            continue
        path = out / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, path) from error
    write_json(out / OUTPUTS, sorted(left))


def _is_ours(name: str) -> bool:
    parts = Path(name).parts
    return len(parts) == 2 and parts[0] in ("tables", "figures")
