"""Controls without a network: what simple statistics reach on the same slices."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from ...errors import DataError

if TYPE_CHECKING:
    from ...data.store import SliceStore

Rows: TypeAlias = npt.NDArray[np.int64]
Scores: TypeAlias = npt.NDArray[np.float64]
Control: TypeAlias = "Callable[[SliceStore, Rows, Rows, int], Scores]"
"""(store, training slices, slices to judge, seed) -> float64 (N,), probabilities of the positive class."""

_FUNCTIONS = {
    "grey-forest": ("grey_forest", "grey_forest_scores"),
    "nearest-slice": ("nearest_slice", "nearest_slice_scores"),
}


def control(name: str) -> Control:
    """The control of that name, one of :data:`plr_fast.experiment.planning.controls.CONTROLS`."""
    module, function = _FUNCTIONS[name]
    return cast(Control, getattr(importlib.import_module(f".{module}", __package__), function))


def labels_of_both(store: SliceStore, train: Rows) -> npt.NDArray[np.int8]:
    """Labels of the slices ``train`` (int64, (N,)), which a control can learn from: int8 (N,), 0 and 1.

    Raises:
        DataError: they are of one class only, or some are unlabelled.
    """
    labels = store.labels[train]
    if set(labels.tolist()) != {0, 1}:
        counts = [int(np.sum(labels == label)) for label in (0, 1)]
        raise DataError(
            f"a control needs labelled training slices of both classes and no others, but of {len(labels)} slices of "
            f"{store.path} {counts[0]} are {store.class_names[0]} and {counts[1]} {store.class_names[1]}"
        )
    return labels
