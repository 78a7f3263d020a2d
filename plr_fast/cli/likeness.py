"""``plr-fast likeness``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table as Printed

from ..console import progress_bar
from ..evaluation.lesion_patches import PatchSet
from ..experiment.evidence.similarity import LikenessConfig, Similarity, similarity
from ..experiment.table import Row, Table
from ..experiment.writing.tables import write_tables
from .options import read
from .pictures import Grey, captioned, write_png

_SHOWN, _ZOOM = 12, 3


def main(arguments: Sequence[str]) -> int:
    config = read(LikenessConfig, "likeness", arguments)
    with progress_bar() as progress:
        task = progress.add_task("likeness", total=None, note="")
        found = similarity(
            config, step=lambda note, done, total: progress.update(task, completed=done, total=total, note=note)
        )
    files = write_tables([found.table], config.out)
    write_png(config.out / "patches.png", patches_sheet(found))
    print_table(found.table)
    names = ", ".join(path.name for path in files)
    Console().print(f"{names} and patches.png in {config.out}", markup=False, highlight=False, soft_wrap=True)
    return 0


def print_table(table: Table) -> None:
    """Print value and interval in each place; rows of the paper and controls say what they are."""
    console = Console()
    printed = Printed(title=table.title, title_justify="left")
    for column in table.columns:
        printed.add_column(column.title, justify="right" if column.numeric else "left")
    kinds = {"result": "", "control": "control: ", "paper": "paper: "}
    for row in table.rows:
        printed.add_row(kinds[row.kind] + row.entries[0].text, *_texts(row))
    # Where the output is a file, its lines may be as long as the table.
    (console if console.is_terminal else Console(width=200)).print(printed)
    for note in table.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)


def _texts(row: Row) -> list[str]:
    return [entry.text + (f"\n{entry.note}" if entry.note else "") for entry in row.entries[1:]]


def patches_sheet(found: Similarity) -> Grey:
    """A row of patches of each kind, spread over the set."""
    return captioned([(name, [("", picture) for picture in _some(patches)]) for name, patches in found.sets.items()])


def _some(patches: PatchSet) -> list[Grey]:
    places = np.unique(np.linspace(0, len(patches) - 1, _SHOWN).round().astype(int))
    return [np.kron(patches.patches[place], np.ones((_ZOOM, _ZOOM), np.uint8)) for place in places]
