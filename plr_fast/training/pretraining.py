"""Pretraining (III.C): a U-Net learns to restore normal slices from corrupted ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import DataError
from ..models import UNet
from .config import PretrainConfig, RunResult
from .config.pretrain import NOISE, as_range, cloud_settings
from .engine import train
from .networks import make_unet
from .record import file_sha256
from .seeding import seeded
from .seen import seen_slices
from .task import Batch, Meter, Task, check_batch_norm, reduced_sums

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ..data.store import SliceStore


def pretrain(config: PretrainConfig) -> RunResult:
    """Pretrain a U-Net on the normal slices of the store's training split.

    Validation restores the normal slices of the validation split, spoilt in the same way in every epoch.

    Raises:
        DataError: the store has no normal slices in the training or the validation split.
        StoreError: the store is missing, damaged or too new.
        ConfigError, CheckpointError, DivergenceError, StorageError, TrainingInterrupted: as
            :func:`plr_fast.training.engine.train`.
    """
    return train(config, lambda: _build(config))


class PretrainTask(Task):
    """Mean squared error between the restored and the true slice."""

    kind = "pretrain"
    best_metric = "val_loss"
    plateau = ("val_loss", "min")

    def __init__(self, model: UNet, train_data: Any, val_data: Any) -> None:
        self.model, self.train_data, self.val_data = model, train_data, val_data

    def loss(self, model: nn.Module, batch: Batch, epoch: int) -> Tensor:
        del epoch  # the data set has put it into the corruption already
        return F.mse_loss(model(batch["image"]), batch["target"])

    def meter(self) -> Meter:
        return RestorationMeter()

    def score(self, row: dict[str, Any]) -> tuple[float, ...]:
        return (-row["val_loss"],)


class RestorationMeter(Meter):
    """Mean squared errors over the validation slices.

    ``val_loss`` of the restored slices, ``val_loss_lungs`` of their lung pixels, and ``val_identity`` of the corrupted
    slices themselves: what a network that changes nothing would get.
    """

    def __init__(self) -> None:
        # Sums of: error of each slice, error of the input, slices; error of lung pixels, lung pixels.
        self._sums = torch.zeros(5, dtype=torch.float64)

    def update(self, model: nn.Module, batch: Batch) -> None:
        image, target, mask = batch["image"], batch["target"], batch["mask"]
        error = (model(image).float() - target).square()
        middle = image.shape[1] // 2
        image = image[:, middle : middle + 1]
        sums = (
            error.mean(dim=(1, 2, 3)),
            (image - target).square().mean(dim=(1, 2, 3)),
            torch.ones(len(image)),
            (error * mask).sum(dim=(1, 2, 3)),
            mask.sum(dim=(1, 2, 3)),
        )
        # Per slice on the device, over slices in float64 on the CPU: some devices have no float64.
        self._sums += torch.stack([value.cpu().double().sum() for value in sums])

    def compute(self, fabric: Fabric) -> dict[str, float | None]:
        error, identity, slices, lung_error, lung = reduced_sums(fabric, self._sums.to(fabric.device))
        return {
            "val_loss": error / slices,
            "val_loss_lungs": lung_error / lung if lung else None,
            "val_identity": identity / slices,
        }


def _build(config: PretrainConfig) -> tuple[Task, Mapping[str, Any]]:
    from ..data.split_hash import split_hash
    from ..data.store import SliceStore

    store = SliceStore.open(config.store)
    _require_masks(store, config.corruption)
    train_indices = _normals(store, "train", config.skip_bad_masks)
    val_indices = _normals(store, "val", config.skip_bad_masks)
    samples = config.samples_per_epoch or len(train_indices)
    with seeded(config.seed):
        model = make_unet(config.to_json())
    check_batch_norm(config, model, store.size, samples)
    train_data, val_data = _datasets(config, store, train_indices, val_indices)
    facts = {
        "store_fingerprint": store.fingerprint,
        "split_sha256": split_hash(store.ids.tolist(), store.splits.tolist()),
        "class_names": list(store.class_names),
        "size": store.size,
        "train_slices": len(train_indices),
        "val_slices": len(val_indices),
        "bank_sha256": file_sha256(config.bank) if config.bank is not None else None,
        "training_slices": seen_slices(store, train_indices),
    }
    return PretrainTask(model, train_data, val_data), facts


def _datasets(config: PretrainConfig, store: SliceStore, train: np.ndarray, val: np.ndarray) -> tuple[Any, Any]:
    from ..data.datasets import PseudoLesionDataset
    from ..data.device_dataset import on_data_device

    common: dict[str, Any] = {"corruption": config.corruption, "context": config.context}
    if config.corruption != "perlin":
        common["windows"] = config.windows
    elif config.lesions == "clouds":
        common |= {"lesions": "clouds", "clouds": cloud_settings(config.to_json())}
    else:
        common |= {"lesions": config.lesions, "bank": _bank(config)}
        names = ("count", "blend", "alpha", "feather", "shape", "inside")
        common |= {name: as_range(getattr(config, name)) for name in names}
    samples = config.samples_per_epoch or len(train)
    length: dict[str, Any] = {"freeze" if config.freeze else "length": samples}
    train_data = PseudoLesionDataset(store, train, seed=config.seed, **length, **common)
    val_data = PseudoLesionDataset(store, val, seed=config.validation_seed, **common)
    train_placed, val_placed = on_data_device(config.data_device, config.accelerator, train_data, val_data)
    return train_placed, val_placed


def _bank(config: PretrainConfig) -> Any:
    from plr_fast import FreshLesions, LesionBank

    if config.bank is not None:
        return LesionBank.load(config.bank)
    common: dict[str, Any] = {"images": config.bank_images, "size": config.bank_size, "seed": config.bank_seed}
    common |= {name: as_range(getattr(config, name)) for name in ("patch", "threshold", *NOISE, "lacunarity")}
    return FreshLesions(**common) if config.lesions == "fresh" else LesionBank.generate(config.bank_count, **common)


def _require_masks(store: SliceStore, corruption: str) -> None:
    if corruption == "perlin" and store.info.get("mask_source") == "none":
        raise DataError(
            f"{Path(store.path)} was prepared without lung masks (--masks none), but pseudo lesions are pasted into "
            "lungs: prepare it again without that option, or pretrain with --corruption gaussian or shuffle"
        )


def _normals(store: SliceStore, split: str, skip_bad_masks: bool) -> np.ndarray:
    indices = store.select(split, label=0)
    usable = indices[store.mask_ok[indices]] if skip_bad_masks else indices
    if len(usable) == 0:
        why = f"all {len(indices)} have an implausible lung mask (--no-skip-bad-masks takes them all the same)"
        if len(indices) == 0:
            why = f"none is labelled {store.class_names[0]!r}; prepare a store with such slices in that split"
        raise DataError(f"{Path(store.path)} has no normal slice to use in its {split} split: {why}")
    return cast(np.ndarray, usable)
