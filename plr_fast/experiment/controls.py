"""Controls without a network: what simple statistics reach on the same slices."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..data.store import SliceStore

Control: TypeAlias = "Callable[[SliceStore, npt.NDArray[np.int64], npt.NDArray[np.int64], int], npt.NDArray[Any]]"
"""(store, training slices, slices to judge, seed) -> float64 (N,), probabilities of the positive class."""

_PLACES = {
    "grey-forest": ("grey_forest", "grey_forest_scores"),
    "nearest-slice": ("grey_forest", "nearest_slice_scores"),
}
CONTROLS = tuple(_PLACES)


def control(name: str) -> Control:
    """The control of that name, one of :data:`CONTROLS`."""
    module, function = _PLACES[name]
    return cast(Control, getattr(importlib.import_module(f".{module}", __package__), function))
