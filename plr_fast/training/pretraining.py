"""Pretraining (III.C): a U-Net learns to restore normal slices from corrupted ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from ..models import PretextOutputs, UNet
from .config import PretrainConfig, RunResult
from .config.pretrain import NOISE, as_range, cloud_settings, scaled_lesions
from .engine import train
from .networks import make_unet
from .pretext_meter import PretextMeter
from .record import file_sha256
from .restoration_meter import RestorationMeter
from .seeding import seeded
from .seen import seen_slices
from .task import Batch, Meter, Task, check_batch_norm
from .usable import normal_slices, require_masks

if TYPE_CHECKING:
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
    """Mean squared error between the restored and the true slice; in a run that asks for it also the cross-entropies
    of the altered pixels and of "was it altered?", each times its weight."""

    kind = "pretrain"
    best_metric = "val_loss"
    plateau = ("val_loss", "min")

    def __init__(self, model: UNet, train_data: Any, val_data: Any, config: PretrainConfig) -> None:
        self.model, self.train_data, self.val_data = model, train_data, val_data
        self._config = config

    def loss(self, model: nn.Module, batch: Batch, epoch: int) -> Tensor:
        del epoch  # the data set has put it into the corruption already
        if not self._config.has_heads:
            loss = F.mse_loss(model(batch["image"]), batch["target"])
            return loss if self._config.restores_alone else self._config.restore_weight * loss
        outputs: PretextOutputs = model(batch["image"], heads=True)
        # Always computed, so that each weight has a gradient, as processes of a distributed run expect.
        parts = {"mse": F.mse_loss(outputs.restored, batch["target"])}
        total = self._config.restore_weight * parts["mse"]
        if outputs.altered is not None:
            parts["mask"] = F.binary_cross_entropy_with_logits(outputs.altered, batch["lesion"].to(outputs.altered))
            total = total + self._config.mask_weight * parts["mask"]
        if outputs.presence is not None:
            altered = (~batch["clean"]).to(outputs.presence)
            parts["presence"] = F.binary_cross_entropy_with_logits(outputs.presence, altered)
            total = total + self._config.presence_weight * parts["presence"]
        self.parts = {name: part.detach() for name, part in parts.items()}
        return total

    def meter(self) -> Meter:
        return RestorationMeter() if self._config.restores_alone else PretextMeter(self._config)

    def score(self, row: dict[str, Any]) -> tuple[float, ...]:
        return (-row["val_loss"],)


def _build(config: PretrainConfig) -> tuple[Task, Mapping[str, Any]]:
    from ..data.split_hash import split_hash
    from ..data.store import SliceStore

    store = SliceStore.open(config.store)
    require_masks(store, config.corruption)
    train_indices = normal_slices(store, "train", config.skip_bad_masks)
    val_indices = normal_slices(store, "val", config.skip_bad_masks)
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
    return PretrainTask(model, train_data, val_data, config), facts


def _datasets(config: PretrainConfig, store: SliceStore, train: np.ndarray, val: np.ndarray) -> tuple[Any, Any]:
    from ..data.datasets import PseudoLesionDataset
    from ..data.device_dataset import on_data_device

    common: dict[str, Any] = {
        "corruption": config.corruption,
        "context": config.context,
        "clean_share": config.clean_share,
        "lesion_masks": config.mask_weight > 0,
        "clean_flags": config.presence_weight > 0,
    }
    if config.corruption != "perlin":
        common["windows"] = config.windows
    elif config.lesions == "clouds":
        common |= {"lesions": "clouds", "clouds": cloud_settings(config.to_json())}
    else:
        scaled = scaled_lesions(config.to_json(), store.size)
        common |= {"lesions": config.lesions, "bank": _bank(config, scaled)}
        names = ("count", "blend", "alpha", "shape", "inside")
        common |= {name: as_range(getattr(config, name)) for name in names} | {"feather": scaled["feather"]}
    samples = config.samples_per_epoch or len(train)
    length: dict[str, Any] = {"freeze" if config.freeze else "length": samples}
    train_data = PseudoLesionDataset(store, train, seed=config.seed, **length, **common)
    val_data = PseudoLesionDataset(store, val, seed=config.validation_seed, **common)
    train_placed, val_placed = on_data_device(config.data_device, config.accelerator, train_data, val_data)
    return train_placed, val_placed


def _bank(config: PretrainConfig, scaled: Mapping[str, Any]) -> Any:
    from plr_fast import FreshLesions, LesionBank

    if config.bank is not None:
        return LesionBank.load(config.bank)
    common: dict[str, Any] = {"images": config.bank_images, "size": config.bank_size, "seed": config.bank_seed}
    common |= {name: as_range(getattr(config, name)) for name in ("threshold", *NOISE, "lacunarity")}
    common |= {name: scaled[name] for name in ("patch", "cells")}
    return FreshLesions(**common) if config.lesions == "fresh" else LesionBank.generate(config.bank_count, **common)
