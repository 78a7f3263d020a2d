"""``plr-fast resplit``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from ..data.resplit import ResplitConfig, resplit
from ..data.split_hash import split_hash
from ..data.store import SPLITS, SliceStore
from .options import read


def main(arguments: Sequence[str]) -> int:
    config = read(ResplitConfig, "resplit", arguments)
    config.validate()
    path = resplit(
        config.store,
        config.out,
        split_by=config.split_by,
        seed=config.seed,
        repeat=config.repeat,
        val_fraction=config.val_fraction,
        test_fraction=config.test_fraction,
    )
    store = SliceStore.open(path)
    summary = store.info["summary"]
    console = Console()
    for split in SPLITS:
        counts = ", ".join(f"{count} {name}" for name, count in summary["splits"][split].items())
        groups = len(set(store.groups[store.splits == split].tolist()))
        console.print(f"{split}: {counts} in {groups} groups", markup=False, highlight=False)
    for line in (
        *summary["notes"],
        f"split hash {split_hash(store.ids.tolist(), store.splits.tolist())[:16]}",
        f"{path} has the slices of {config.store}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0
