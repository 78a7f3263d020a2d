"""``plr-fast prepare``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from ..console import console as messages
from ..data.prepare import PrepareConfig, prepare
from ..data.split_hash import split_hash
from ..data.store import SliceStore
from ..data.store_workplace import unfinished
from .options import read_with_config


def main(arguments: Sequence[str]) -> int:
    config = read_with_config(PrepareConfig, "prepare", arguments)
    try:
        report = prepare(config)
    except (Exception, KeyboardInterrupt):
        kept = unfinished(config.out)
        if kept is not None:
            text = f"what is done so far is kept: run the same command again to go on, or delete {kept}"
            messages.print(text, markup=False, highlight=False, soft_wrap=True)
        raise
    console = Console()
    console.print(report.table())
    for line in report.lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    store = SliceStore.open(config.out)
    digest = split_hash(store.ids.tolist(), store.splits.tolist())
    told = f"split hash {digest[:16]}: the same for every store with these slices in these splits"
    console.print(told, highlight=False, soft_wrap=True)
    return 0
