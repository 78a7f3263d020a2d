"""Data: readers, manifests, splits, lung masks, the built-in phantom, the slice store, and datasets over it.

The public names load on first use (PEP 562): importing one of them does not import scikit-learn, scikit-image or
Pillow before they are needed. ``plr_fast.data.prepare`` is always the module (its function of the same name is
``plr_fast.data.prepare.prepare``): a name that meant one or the other, depending on what was imported first, would
be a trap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .datasets import LabelledSliceDataset, PseudoLesionDataset, collate
    from .device_dataset import DevicePseudoLesions
    from .lungs.masks import lung_mask
    from .lungs.r231 import lung_mask_r231
    from .lungs.sheet import mask_sheet, worst_masks_sheet
    from .phantom.scans import thorax_phantom
    from .prepare import PrepareConfig, PrepareReport, write_phantom_store
    from .sampling import EpochSampler
    from .store import SliceRecord, SliceStore, StoreWriter
    from .transform import PseudoLesionTransform

_HOME = {
    "DevicePseudoLesions": "device_dataset",
    "EpochSampler": "sampling",
    "LabelledSliceDataset": "datasets",
    "PrepareConfig": "prepare",
    "PrepareReport": "prepare",
    "PseudoLesionDataset": "datasets",
    "PseudoLesionTransform": "transform",
    "SliceRecord": "store",
    "SliceStore": "store",
    "StoreWriter": "store",
    "collate": "datasets",
    "lung_mask": "lungs.masks",
    "lung_mask_r231": "lungs.r231",
    "mask_sheet": "lungs.sheet",
    "thorax_phantom": "phantom.scans",
    "worst_masks_sheet": "lungs.sheet",
    "write_phantom_store": "prepare",
}

__all__ = [
    "DevicePseudoLesions",
    "EpochSampler",
    "LabelledSliceDataset",
    "PrepareConfig",
    "PrepareReport",
    "PseudoLesionDataset",
    "PseudoLesionTransform",
    "SliceRecord",
    "SliceStore",
    "StoreWriter",
    "collate",
    "lung_mask",
    "lung_mask_r231",
    "mask_sheet",
    "thorax_phantom",
    "worst_masks_sheet",
    "write_phantom_store",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
