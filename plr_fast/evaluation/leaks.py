"""Whether evaluated slices were among the training data of a run, told from the hashes that the run wrote down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .trained import TrainedRun

if TYPE_CHECKING:
    from ..data.store import SliceStore
    from ..training.seen import SeenSlices
    from .metrics import IntArray


def check_seen(runs: Sequence[TrainedRun], store: SliceStore, indices: IntArray) -> list[str]:
    """One warning for each run that has learnt from some of the slices ``indices`` (int64, (n,)) of ``store``.

    Runs that did not write down their slices are passed over: nothing is known of them.

    Raises:
        CheckpointError: the list of a run is damaged, or a newer version wrote it.
    """
    from ..training.seen import read_seen, seen_slices

    lists = {run.name: seen for run in runs if (seen := read_seen(run.path)) is not None}
    if not lists:
        return []
    evaluated = seen_slices(store, indices)
    warnings = []
    for name, seen in lists.items():
        if count := _common(evaluated, seen):
            warnings.append(
                f"{count:,} of the {len(indices):,} evaluated slices were in the training data of {name} or of the "
                "run it began with: its results tell what it remembers, not what it makes of new slices."
            )
    return warnings


def _common(evaluated: SeenSlices, seen: SeenSlices) -> int:
    """How many of the evaluated slices were seen: by id, or by pixels where both have them at one size."""
    known = set(seen.ids)
    same = [name in known for name in evaluated.ids]
    if evaluated.pixels is not None and seen.pixels is not None and evaluated.size == seen.size:
        pictures = set(seen.pixels)
        same = [found or digest in pictures for found, digest in zip(same, evaluated.pixels, strict=True)]
    return sum(same)
