"""Write the manifest of SARS-CoV-2 CT whose test split is what nobody looked at while plr+ was chosen.

plr+ was chosen on two thirds of the blocks of 40 neighbouring files of each class, drawn by a hash of their names. Here
groups (blocks of 20, joined where slices of two are near duplicates) that lie wholly in the last third are the test
split; of the rest some fifth of the slices of each class are for validation, again by hash.

A second manifest lists the others alone, for choices still to be made.

    python untouched_split.py STORE_OF_BLOCKS_OF_40 STORE_OF_GROUPS UNTOUCHED.csv DEVELOPMENT.csv
"""

from __future__ import annotations

import csv
import hashlib
import sys

import numpy as np

from plr_fast.data.store import SliceStore

CHOSEN_ON = 21  # blocks of 40 of each class
VALIDATION_SHARE = 0.22


def by_hash(names: list[str], word: str) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256((word + name).encode()).digest())


def splits(blocks: SliceStore, store: SliceStore) -> dict[str, str]:
    """Split of each group of ``store``."""
    if blocks.ids.tolist() != store.ids.tolist():
        raise SystemExit("the two stores do not hold the same slices")
    untouched: list[str] = []
    for label in (0, 1):
        untouched += by_hash(np.unique(blocks.groups[blocks.labels == label]).tolist(), "outer")[CHOSEN_ON:]
    free = np.isin(blocks.groups, untouched)
    found = {str(name): "train" for name in np.unique(store.groups)}
    found |= {name: "test" for name in found if free[store.groups == name].all()}
    for label in (0, 1):
        names = [name for name in np.unique(store.groups[store.labels == label]).tolist() if found[name] != "test"]
        sizes = {name: int((store.groups == name).sum()) for name in names}
        room = VALIDATION_SHARE * sum(sizes.values())
        for name in by_hash(names, "val"):
            if sizes[name] <= room:
                found[name], room = "val", room - sizes[name]
    return found


def write(target: str, rows: list[tuple[str, str, str, str]]) -> None:
    with open(target, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "label", "block", "split"))
        writer.writerows(rows)


def main(blocks: str, groups: str, untouched: str, development: str) -> None:
    store = SliceStore.open(groups)
    split = splits(SliceStore.open(blocks), store)
    rows = [
        (str(source), store.class_names[label], str(group), split[group])
        for source, label, group in zip(store.sources, store.labels, store.groups, strict=True)
    ]
    write(untouched, rows)
    write(development, [row for row in rows if row[3] != "test"])


if __name__ == "__main__":
    main(*sys.argv[1:])
