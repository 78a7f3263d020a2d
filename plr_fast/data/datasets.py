"""Data sets over a slice store: pseudo lesions made on the fly, and labelled slices.

Both fetch whole batches (``__getitems__``): one call of an operation per batch, not per sample. Their samples are
dicts of tensors; pass :func:`collate` to the ``DataLoader``, and a fetched batch is handed on without copying.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..backends import active_backend, get_num_threads
from ..backends.specs import Blend, Shape, Uint8Array
from ..ops import FreshLesions, LesionBank, gaussian_blur, local_shuffle, paste_clouds, paste_lesions
from ..ops.arguments import integer
from ..ops.paste import Inside
from .buffers import BufferPool
from .clean import clean_samples, share_of_clean
from .mask_bits import StoreMasks
from .sampling import EPOCH_STRIDE, decode, encode
from .store import SliceStore
from .transform import CORRUPTIONS, Corruption, Lesions, cloud_settings, patches_for

Sample = dict[str, torch.Tensor]

_PART_PIXELS = 2**20


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

    def __init__(self, store: SliceStore, indices: np.ndarray, context: int) -> None:
        self.store = store
        self.context = integer(context, "context", 0, 1000)
        self.channels = 2 * self.context + 1
        self.buffers = BufferPool()
        found = np.asarray(indices)
        if found.dtype.kind not in "iu" and found.size:
            raise TypeError(f"indices must be integers, not {found.dtype}; of a boolean selection take np.flatnonzero")
        self.indices = found.astype(np.int64)
        if self.indices.ndim != 1 or self.indices.size == 0:
            raise ValueError("indices must name at least one slice: is the split or class empty?")
        if self.indices.min() < 0 or self.indices.max() >= len(store):
            raise ValueError(f"indices must be 0..{len(store) - 1}, the slices of {store.path}")
        store.neighbours(self.indices[:1], self.context)  # refuse a store without volumes now

    def __getitem__(self, key: int) -> Sample:
        return self.__getitems__([key])[0]

    @abstractmethod
    def __getitems__(self, keys: Sequence[int]) -> FetchedBatch:
        """Return the samples of ``keys``, fetched as one batch."""

    def _slices(self, chosen: np.ndarray) -> Uint8Array:
        slices = self.buffers.array((len(chosen), self.store.size, self.store.size), np.uint8)
        # "clip" writes straight into the buffer; the indices were checked.
        return np.take(self.store.slices, chosen, axis=0, out=slices, mode="clip")

    def _planes(self, count: int, dtype: type[np.generic], channels: int = 1) -> torch.Tensor:
        return self.buffers.tensor((count, channels, self.store.size, self.store.size), dtype)

    def _parts(self, count: int) -> Iterator[slice]:
        """Cut a batch so that the slices of a part stay in the cache from one operation to the next."""
        step = max(1, _PART_PIXELS // (self.store.size**2 * self.channels))
        return (slice(first, min(first + step, count)) for first in range(0, count, step))


def _scale(slices: Uint8Array, out: torch.Tensor) -> None:
    """Write uint8 slices (B · C, S, S) to ``out`` (B, C, S, S), float32 in [0, 1]."""
    active_backend().scale_grey(slices, out.numpy().reshape(slices.shape), get_num_threads())


class LabelledSliceDataset(_SliceDataset):
    """Slices with their labels.

    Each sample: ``image`` float32 (2·context + 1, S, S) in [0, 1]; ``label`` float32, 0 or 1; ``index`` int64 in the
    store.

    Args:
        store: an open slice store.
        indices: the slices to use, e.g. ``store.select("train")``; all must be labelled.
        context: neighbouring slices on each side that come along as channels (:meth:`SliceStore.neighbours`).

    Raises:
        DataError: ``context`` is not 0 and the store holds no volumes.
    """

    def __init__(self, store: SliceStore, indices: np.ndarray, context: int = 0) -> None:
        super().__init__(store, indices, context)
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
        rows = self.store.neighbours(chosen, self.context)
        images = self._planes(len(chosen), np.float32, self.channels)
        for part in self._parts(len(chosen)):
            _scale(self._slices(rows[part].reshape(-1)), images[part])
        return FetchedBatch(
            {
                "image": images,
                "label": torch.from_numpy(self.store.labels[chosen].astype(np.float32)),
                "index": torch.from_numpy(chosen),
            }
        )


class PseudoLesionDataset(_SliceDataset):
    """Pairs of a corrupted and the original slice, corrupted anew every epoch (paper III.B and III.C).

    Each sample: ``image`` the corrupted slice, ``target`` the original, both float32 (1, S, S) in [0, 1]; ``mask`` the
    lung mask, bool (1, S, S); ``index`` int64, the slice in the store; with ``lesion_masks`` also ``lesion``, the
    pixels that were altered, bool (1, S, S); with ``clean_flags`` also ``clean``, whether none was, bool (). A sample
    is a pure function of (seed, epoch, index): the number of workers, the batch size and the order make no difference.

    A batch's memory is used again once the batch and all views of it are gone, because fresh memory takes longer than
    the work itself.

    With ``context`` the neighbouring slices come along: ``image`` has 2·context + 1 channels, all corrupted at the same
    places by the same lesions, which lie in the lungs of the slice in the middle; the other entries are of that slice.

    The epoch travels with the keys of :class:`EpochSampler`; plain indices belong to the epoch of :meth:`set_epoch`.

    Args:
        store: an open slice store.
        indices: the slices to use: normal slices of the training split, ``store.select("train", 0)``.
        corruption: "perlin" (PLR-P), "gaussian" (PLR-G) or "shuffle" (PLR-L).
        lesions: for "perlin", "bank" pastes from a fixed number of patches, "fresh" makes new ones for every sample,
            "clouds" outlines lesions by noise over the whole slice.
        clouds: for lesions="clouds", settings of :func:`plr_fast.paste_clouds` by name (``cells``, ``threshold``,
            ``alpha``, ...). ``bank`` and the settings of patches are then without use.
        bank: the :class:`plr_fast.LesionBank` or the :class:`plr_fast.FreshLesions`; by default one with the paper's
            settings is made from ``seed`` at once.
        count, blend, alpha, feather, shape, inside: see :func:`plr_fast.paste_lesions`.
        windows: for "gaussian" and "shuffle", corrupt only this many random windows; default the whole slice.
        seed: 0..2^64-1.
        length: samples per epoch; the slices are gone through again and again. Default: each once.
        freeze: the paper's fixed set of M pseudo images: an epoch has M samples, the same in every epoch.
        clean_share: share of the samples that stay as they are, 0 up to 1; which ones depends on ``seed`` and the
            sample id alone, and the others are what they would be without.
        lesion_masks: also give the altered pixels, the truth of a segmentation: those that lesions were written to
            ("perlin"), or whose grey has changed.
        clean_flags: also tell which samples are unaltered: those that ``clean_share`` left so, and those that nothing
            happened to (no lung in the slice, no lesion drawn).
        context: neighbouring slices on each side (:meth:`SliceStore.neighbours`).

    Raises:
        DataError: ``context`` is not 0 and the store holds no volumes.
    """

    def __init__(
        self,
        store: SliceStore,
        indices: np.ndarray,
        *,
        corruption: Corruption = "perlin",
        lesions: Lesions = "bank",
        bank: LesionBank | FreshLesions | None = None,
        clouds: Mapping[str, Any] | None = None,
        count: int | tuple[int, int] = 30,
        blend: Blend = "replace",
        alpha: float | tuple[float, float] = 1.0,
        feather: int = 0,
        shape: Shape = "rectangle",
        inside: Inside = "centre",
        windows: int | None = None,
        seed: int = 0,
        length: int | None = None,
        freeze: int | None = None,
        clean_share: float = 0.0,
        lesion_masks: bool = False,
        clean_flags: bool = False,
        context: int = 0,
    ) -> None:
        super().__init__(store, indices, context)
        if corruption not in CORRUPTIONS:
            raise ValueError(f"corruption must be one of {', '.join(CORRUPTIONS)}, not {corruption!r}")
        if length is not None and freeze is not None:
            raise ValueError("length and freeze both say how many samples an epoch has: give one of them")
        for name, value in (("length", length), ("freeze", freeze)):
            if value is not None:
                integer(value, name, 1, EPOCH_STRIDE - 1)
        self.corruption = corruption
        self.seed = seed
        self.length = length or freeze or len(self.indices)
        self.frozen = freeze is not None
        self.clean_share = share_of_clean(clean_share)
        self.lesion_masks, self.clean_flags = lesion_masks, clean_flags
        self.epoch = 0
        self.bank = bank
        self.clouds = cloud_settings(corruption, lesions, bank, clouds)
        if corruption == "perlin" and self.clouds is None:
            self.bank = patches_for(lesions, bank, seed)
        self.lesions = lesions
        self.paste: dict[str, Any] = {
            "count": count, "blend": blend, "alpha": alpha, "feather": feather, "shape": shape, "inside": inside,
        }  # fmt: skip
        self.windows = windows
        self.masks = StoreMasks(store)
        # Refuse bad settings now, not in the middle of an epoch.
        self._corrupted(
            self._slices(self.indices[:1].repeat(self.channels)), self.indices[:1], np.zeros(1, np.int64), None
        )

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that plain indices belong to, in this process only."""
        self.epoch = integer(epoch, "epoch", 0, 2**31 - 1)

    def requested(self, keys: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the sample ids of keys, and their positions in the epoch: int64 (B,).

        Raises:
            IndexError: a key is beyond the data set.
        """
        epochs_indices = [decode(key, self.epoch) for key in keys]
        samples = np.array([encode(0 if self.frozen else epoch, index) for epoch, index in epochs_indices], np.int64)
        positions = np.array([index for _, index in epochs_indices], np.int64)
        if positions.size and (min(keys) < 0 or positions.max() >= self.length):
            raise IndexError(f"index {min(keys) if min(keys) < 0 else positions.max()} of a data set of {self.length}")
        return samples, positions

    def __getitems__(self, keys: Sequence[int]) -> FetchedBatch:
        samples, positions = self.requested(keys)
        chosen = self.indices[positions % len(self.indices)]
        count = len(chosen)
        rows = self.store.neighbours(chosen, self.context)
        images, targets = self._planes(count, np.float32, self.channels), self._planes(count, np.float32)
        lungs = self._planes(count, np.bool_)
        lesions = self._planes(count, np.bool_) if self.lesion_masks or self.clean_flags else None
        for part in self._parts(count):
            slices = self._slices(rows[part].reshape(-1))
            _scale(self._middle(slices), targets[part])
            marks = None if lesions is None else lesions[part]
            _scale(self._corrupted(slices, chosen[part], samples[part], marks), images[part])
            np.take(self.store.masks.view(np.bool_), chosen[part], axis=0, out=lungs[part].numpy()[:, 0], mode="clip")
        tensors = {"image": images, "target": targets, "mask": lungs, "index": torch.from_numpy(chosen)}
        if lesions is not None and self.lesion_masks:
            tensors["lesion"] = lesions
        if lesions is not None and self.clean_flags:
            tensors["clean"] = ~lesions.flatten(1).any(dim=1)
        return FetchedBatch(tensors)

    def _corrupted(
        self, slices: Uint8Array, chosen: np.ndarray, samples: np.ndarray, lesions: torch.Tensor | None
    ) -> Uint8Array:
        """Return corrupted copies of ``slices`` (B · C, S, S), and mark the altered pixels (B, 1, S, S)."""
        out = self._spoilt(slices, chosen, samples, lesions if self.corruption == "perlin" else None)
        if self.clean_share:
            clean = clean_samples(self.seed, samples, self.clean_share)
            rows = clean.repeat(self.channels)
            out[rows] = slices[rows]
            if lesions is not None:
                lesions[torch.from_numpy(clean)] = False
        if lesions is not None and self.corruption != "perlin":
            np.not_equal(
                out[self.context :: self.channels], slices[self.context :: self.channels], out=lesions.numpy()[:, 0]
            )
        return out

    def _spoilt(
        self, slices: Uint8Array, chosen: np.ndarray, samples: np.ndarray, lesions: torch.Tensor | None
    ) -> Uint8Array:
        """The work of :meth:`_corrupted` without regard to ``clean_share``; marks lesions only."""
        out = self.buffers.array(slices.shape, np.uint8)
        if self.context:
            # The same sample number and mask draw the same lesions and places for each channel.
            chosen, samples = chosen.repeat(self.channels), samples.repeat(self.channels)
        if self.corruption == "gaussian":
            return gaussian_blur(slices, windows=self.windows, seed=self.seed, samples=samples, out=out)
        if self.corruption == "shuffle":
            return local_shuffle(slices, windows=self.windows, seed=self.seed, samples=samples, out=out)
        marks: torch.Tensor | bool = False
        if lesions is not None:
            marks = self._planes(len(slices), np.bool_) if self.context else lesions
        if self.clouds is not None:
            paste_clouds(
                slices, self.masks[chosen], seed=self.seed, samples=samples, out=out, return_info=True,
                lesion_mask=marks, **self.clouds,
            )  # fmt: skip
        else:
            assert self.bank is not None
            # With return_info no warning is raised: slices with an empty mask stay as they are, as prepare reported.
            paste_lesions(
                slices, self.masks[chosen], self.bank, seed=self.seed, samples=samples, out=out, return_info=True,
                lesion_mask=marks, **self.paste,
            )  # fmt: skip
        if lesions is not None and isinstance(marks, torch.Tensor) and self.context:
            lesions.copy_(marks[self.context :: self.channels])
        return out

    def _middle(self, slices: Uint8Array) -> Uint8Array:
        """The slices (B, S, S) that are not neighbours, of (B · C, S, S)."""
        return slices if not self.context else np.ascontiguousarray(slices[self.context :: self.channels])
