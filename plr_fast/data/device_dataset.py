"""A data set of pseudo lesions whose slices and masks lie in the memory of a GPU, where batches are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from ..backends.cuda.memory import device_memory
from ..errors import BackendUnavailableError, DeviceMemoryError
from ..ops import MaskIndex, index_masks
from ..ops.homes import Home, home_on
from .clean import clean_samples
from .datasets import FetchedBatch, PseudoLesionDataset, Sample
from .transform import PseudoLesionTransform

_KEPT_FREE = 0.1  # of a device's free memory: fragments, and what others take meanwhile
_UPLOAD_BYTES = 64 * 2**20  # at a time


class DevicePseudoLesions(Dataset[Sample]):
    """The samples of a :class:`PseudoLesionDataset`, bit for bit, made on a GPU from slices copied there once.

    A batch costs the host the queueing of its kernels and one small copy of keys; nobody waits. Use it in a
    ``DataLoader`` without workers and without pinned memory; batches are tensors
    of the device, valid on the current stream.

    Args:
        data: what to make; its settings and its epoch are used, its slices copied.
        device: "cuda", "cuda:1", ...

    Raises:
        BackendUnavailableError: there is no such device, or nothing that can run on it.
        DeviceMemoryError: the slices do not fit there; the message says how much they take and what is free.
        ValueError: the device is the CPU.
    """

    def __init__(self, data: PseudoLesionDataset, device: str | torch.device = "cuda") -> None:
        self._home: Home = home_on(device)
        if self._home.on_host:
            raise ValueError("slices are on the CPU already: use the PseudoLesionDataset itself")
        self.data = data
        self.device = self._home.device
        self.corrupt = PseudoLesionTransform(
            data.corruption, lesions=data.lesions, bank=data.bank, clouds=data.clouds, windows=data.windows,
            seed=data.seed, clean_share=data.clean_share, device=self.device, **data.paste,
        )  # fmt: skip
        # Of slices that are used several times, one copy.
        self._used = used_slices(data)
        require_device_memory(self._home, self.needed_bytes(data), f"{len(self._used)} slices and their masks")
        size = data.store.size
        shape = (len(self._used), size, size)
        with device_memory(self.device):
            self._slices, self._masks = self._home.empty(shape, "uint8"), self._home.empty(shape, "bool")
            step = max(1, _UPLOAD_BYTES // size**2)
            for first in range(0, len(self._used), step):
                part, some = slice(first, first + step), self._used[first : first + step]
                self._slices[part] = self._home.upload(data.store.slices[some])
                self._masks[part] = self._home.upload(data.store.masks[some].view(np.bool_))
        self._index: MaskIndex = index_masks(self._masks)
        self._home.wait()  # from here on they may be used on any stream

    @staticmethod
    def needed_bytes(data: PseudoLesionDataset) -> int:
        """Return what the slices of a data set take on a device: 2 1/8 bytes for each pixel."""
        pixels = len(used_slices(data)) * data.store.size**2
        return 2 * pixels + pixels // 8

    def __len__(self) -> int:
        return len(self.data)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that plain indices belong to."""
        self.data.set_epoch(epoch)

    def __getitem__(self, key: int) -> Sample:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int]) -> FetchedBatch:
        if get_worker_info() is not None:
            raise RuntimeError(f"slices lie on {self.device}: use the data set in a DataLoader with num_workers=0")
        samples, positions = self.data.requested(keys)
        chosen = self.data.indices[positions % len(self.data.indices)]
        batch, channels, middle = len(keys), self.data.channels, self.data.context
        # Neighbours of a volume get the lesions of their slice: its sample id and its mask.
        places = np.searchsorted(self._used, self.data.store.neighbours(chosen, middle)).reshape(-1)
        own = np.searchsorted(self._used, chosen).repeat(channels)
        numbers = [places, own, samples.repeat(channels), chosen.repeat(channels)]
        if self.data.clean_share:
            numbers.append(clean_samples(self.data.seed, samples, self.data.clean_share).repeat(channels))
        place, lung, ids, index, *clean = self._home.upload(np.stack(numbers))  # one copy for all
        slices = self._slices[place]
        size = slices.shape[1:]
        marked = self.data.lesion_masks or self.data.clean_flags
        lesions = self._home.empty((batch * channels, *size), "bool") if marked else None
        kept = clean[0] != 0 if clean else None
        corrupted = self.corrupt.apply(slices, self._index[lung], ids, kept, lesion_mask=lesions, check=False)
        tensors = {
            "image": self._scaled(corrupted).view(batch, channels, *size),
            "target": self._scaled(slices[middle::channels].contiguous())[:, None],
            "mask": self._masks[lung[middle::channels]][:, None],
            "index": index[middle::channels],
        }
        if lesions is not None and self.data.lesion_masks:
            tensors["lesion"] = lesions[middle::channels][:, None]
        if lesions is not None and self.data.clean_flags:
            tensors["clean"] = ~lesions[middle::channels].flatten(1).any(dim=1)
        return FetchedBatch(tensors)

    def _scaled(self, slices: Any) -> torch.Tensor:
        """Return uint8 slices as float32 in [0, 1]."""
        out: torch.Tensor = self._home.empty(tuple(slices.shape), "float32")
        self._home.backend().scale_grey(slices, out, 0)
        return out


def used_slices(data: PseudoLesionDataset) -> np.ndarray:
    """Return the slices of the store that a data set reads, neighbours included: int64, ascending, each once."""
    return np.unique(data.store.neighbours(data.indices, data.context))


def on_data_device(
    wanted: str, accelerator: str, *data: PseudoLesionDataset
) -> tuple[PseudoLesionDataset | DevicePseudoLesions, ...]:
    """Return data sets as ``wanted`` says: "cpu", "cuda", or "auto".

    Auto takes them to the GPU if training runs there (``accelerator`` is Fabric's word), operations can, and the slices
    take at most half of its free memory.

    Raises:
        BackendUnavailableError, DeviceMemoryError: "cuda" is wanted, and there is no such device or no room on it.
    """
    possible = accelerator in ("auto", "cuda", "gpu")
    if wanted == "cpu" or (wanted == "auto" and not (possible and _room_for(*data))):
        return data
    return tuple(DevicePseudoLesions(part, "cuda") for part in data)


def _room_for(*data: PseudoLesionDataset) -> bool:
    try:
        home = home_on("cuda")
    except BackendUnavailableError:
        return False
    free = free_device_memory(home.device)
    return free is not None and sum(map(DevicePseudoLesions.needed_bytes, data)) <= free / 2


def require_device_memory(home: Home, size: int, what: str) -> None:
    """Refuse what a device has no room for, before it is tried.

    Raises:
        DeviceMemoryError: the message says how many bytes are needed and how many are free.
    """
    free = free_device_memory(home.device)
    if free is not None and size > free * (1 - _KEPT_FREE):
        raise DeviceMemoryError(
            f"{what} take {size / 2**30:,.2f} GiB on {home.device}, where {free / 2**30:,.2f} GiB are free: "
            "leave them on the CPU (data_device=cpu), use fewer or smaller slices, or end what else runs there"
        )


def free_device_memory(device: str) -> int | None:
    """Return the bytes of a CUDA device's memory that could be had now, None where that cannot be asked."""
    if not torch.cuda.is_available():
        return None
    free, _total = torch.cuda.mem_get_info(torch.device(device))
    # What torch's allocator keeps but nobody uses is free as well.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free) + kept
