"""Data sets over a slice store: pseudo lesions made on the fly, and labelled slices.

Both fetch whole batches (``__getitems__``): one call of an operation per batch, not per sample. Their samples are
dicts of tensors; pass :func:`collate` to the ``DataLoader``, and a fetched batch is handed on without copying.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch.utils.data import Dataset

from ..backends.specs import Blend
from ..ops import LesionBank, gaussian_blur, local_shuffle, paste_lesions
from .sampling import EPOCH_STRIDE, decode, encode
from .store import SliceStore

Corruption = Literal["perlin", "gaussian", "shuffle"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
Sample = dict[str, torch.Tensor]


class FetchedBatch(list[Sample]):
    """Samples that are views into the tensors of one batch; :func:`collate` takes the batch back out."""

    def __init__(self, tensors: Sample) -> None:
        self.tensors = tensors
        size = len(next(iter(tensors.values())))
        super().__init__({name: tensor[i] for name, tensor in tensors.items()} for i in range(size))


def collate(samples: Sequence[Sample]) -> Sample:
    """Return one dict of batched tensors: the fetched batch itself, or the samples stacked."""
    if isinstance(samples, FetchedBatch):
        return samples.tensors
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


class _SliceDataset(Dataset[Sample], ABC):
    """What both data sets share: slices of a store, fetched by the batch."""

    def __init__(self, store: SliceStore, indices: np.ndarray) -> None:
        self.store = store
        self.indices = np.asarray(indices, np.int64)
        if self.indices.ndim != 1 or self.indices.size == 0:
            raise ValueError("indices must name at least one slice: is the split or class empty?")
        if self.indices.min() < 0 or self.indices.max() >= len(store):
            raise ValueError(f"indices must be 0..{len(store) - 1}, the slices of {store.path}")

    def __getitem__(self, key: int) -> Sample:
        return self.__getitems__([key])[0]

    @abstractmethod
    def __getitems__(self, keys: Sequence[int]) -> FetchedBatch:
        """Return the samples of ``keys``, fetched as one batch."""


def scaled(slices: np.ndarray) -> torch.Tensor:
    """Return uint8 slices (B, S, S) as float32 (B, 1, S, S) in [0, 1]."""
    return torch.from_numpy(slices).to(torch.float32).div_(255.0).unsqueeze_(1)


class LabelledSliceDataset(_SliceDataset):
    """Slices with their labels.

    Each sample: ``image`` float32 (1, S, S) in [0, 1]; ``label`` float32, 0 or 1; ``index`` int64 in the store.

    Args:
        store: an open slice store.
        indices: the slices to use, e.g. ``store.select("train")``; all must be labelled.
    """

    def __init__(self, store: SliceStore, indices: np.ndarray) -> None:
        super().__init__(store, indices)
        unlabelled = self.indices[store.labels[self.indices] < 0]
        if unlabelled.size:
            raise ValueError(
                f"{unlabelled.size} of the slices have no label (first: {store.ids[unlabelled[0]]!r}): "
                "select labelled ones"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitems__(self, keys: Sequence[int]) -> FetchedBatch:
        chosen = self.indices[[decode(key, 0)[1] for key in keys]]
        return FetchedBatch(
            {
                "image": scaled(self.store.slices[chosen]),
                "label": torch.from_numpy(self.store.labels[chosen].astype(np.float32)),
                "index": torch.from_numpy(chosen),
            }
        )


class PseudoLesionDataset(_SliceDataset):
    """Pairs of a corrupted and the original slice, corrupted anew every epoch (paper III.B and III.C).

    Each sample: ``image`` the corrupted slice, ``target`` the original, both float32 (1, S, S) in [0, 1]; ``mask`` the
    lung mask, bool (1, S, S); ``index`` int64, the slice in the store. A sample is a pure function of (seed, epoch,
    index): the number of workers, the batch size and the order make no difference.

    The epoch travels with the keys of :class:`EpochSampler`; plain indices belong to the epoch of :meth:`set_epoch`.

    Args:
        store: an open slice store.
        indices: the slices to use: normal slices of the training split, ``store.select("train", 0)``.
        corruption: "perlin" (PLR-P), "gaussian" (PLR-G) or "shuffle" (PLR-L).
        bank: patches for "perlin"; by default the paper's bank is made from ``seed`` at once.
        count, blend, alpha, feather: see :func:`plr_fast.paste_lesions`.
        windows: for "gaussian" and "shuffle", corrupt only this many random windows; default the whole slice.
        seed: 0..2^64-1.
        length: samples per epoch (the paper's M); the slices are gone through again and again. Default: each once.
    """

    def __init__(
        self,
        store: SliceStore,
        indices: np.ndarray,
        *,
        corruption: Corruption = "perlin",
        bank: LesionBank | None = None,
        count: int | tuple[int, int] = 30,
        blend: Blend = "replace",
        alpha: float | tuple[float, float] = 1.0,
        feather: int = 0,
        windows: int | None = None,
        seed: int = 0,
        length: int | None = None,
    ) -> None:
        super().__init__(store, indices)
        if corruption not in CORRUPTIONS:
            raise ValueError(f"corruption must be one of {', '.join(CORRUPTIONS)}, not {corruption!r}")
        if length is not None and not 0 < length < EPOCH_STRIDE:
            raise ValueError(f"length must be 1..2^32-1, not {length}")
        self.corruption = corruption
        self.seed = seed
        self.length = len(self.indices) if length is None else length
        self.epoch = 0
        self.bank = bank
        if corruption == "perlin" and bank is None:
            self.bank = LesionBank.generate(seed=seed)
        self.paste: dict[str, Any] = {"count": count, "blend": blend, "alpha": alpha, "feather": feather}
        self.windows = windows
        # Refuse bad settings now, not in the middle of an epoch.
        self.corrupted(store.slices[self.indices[:1]], store.masks[self.indices[:1]], np.zeros(1, np.int64))

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that plain indices belong to, in this process only."""
        self.epoch = epoch

    def corrupted(self, slices: np.ndarray, masks: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Return corrupted copies of uint8 slices (B, S, S); ``samples`` are their sample ids."""
        if self.corruption == "gaussian":
            return gaussian_blur(slices, windows=self.windows, seed=self.seed, samples=samples)
        if self.corruption == "shuffle":
            return local_shuffle(slices, windows=self.windows, seed=self.seed, samples=samples)
        assert self.bank is not None
        # With return_info no warning is raised: slices with an empty mask stay as they are, as prepare reported.
        images, _ = paste_lesions(
            slices, masks, self.bank, seed=self.seed, samples=samples, return_info=True, **self.paste
        )
        result: np.ndarray = images
        return result

    def __getitems__(self, keys: Sequence[int]) -> FetchedBatch:
        epochs_indices = [decode(key, self.epoch) for key in keys]
        samples = np.array([encode(epoch, index) for epoch, index in epochs_indices], np.int64)
        positions = np.array([index for _, index in epochs_indices], np.int64)
        if positions.size and (min(keys) < 0 or positions.max() >= self.length):
            raise IndexError(f"index {min(keys) if min(keys) < 0 else positions.max()} of a data set of {self.length}")
        chosen = self.indices[positions % len(self.indices)]
        slices, masks = self.store.slices[chosen], self.store.masks[chosen]
        return FetchedBatch(
            {
                "image": scaled(self.corrupted(slices, masks, samples)),
                "target": scaled(slices),
                "mask": torch.from_numpy(masks.astype(bool)).unsqueeze_(1),
                "index": torch.from_numpy(chosen),
            }
        )
