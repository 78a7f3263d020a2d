"""Whether evaluated slices were among the training data of a run, told from the hashes that the run wrote down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .trained import TrainedRun

if TYPE_CHECKING:
    from ..data.store import SliceStore
    from .metrics import IntArray


def check_seen(runs: Sequence[TrainedRun], store: SliceStore, indices: IntArray) -> list[str]:
    """Warnings for each run that has learnt from some of the slices ``indices`` (int64, (n,)) of ``store``, or from
    other slices of patients of the same ids.

    Runs that did not write down their slices are passed over: nothing is known of them.

    Raises:
        CheckpointError: the list of a run is damaged, or a newer version wrote it.
    """
    from ..training.overlap import overlap
    from ..training.seen import read_seen

    warnings = []
    for run in runs:
        seen = read_seen(run.path)
        if seen is None:
            continue
        found = overlap(seen, store, indices)
        if found.slices:
            warnings.append(
                f"{found.slices:,} of the {len(indices):,} evaluated slices were in the training data of {run.name} or "
                "of the run it began with: its results tell what it remembers, not what it makes of new slices."
            )
        if found.patients:
            warnings.append(
                f"{found.patients:,} of the {len(indices):,} evaluated slices have the patient id of other slices that "
                f"{run.name} or the run it began with was trained on: if they are the same patients, its results may "
                "be inflated."
            )
    return warnings
