"""Fine-tuning (III.D): a classifier of slices, from scratch or from a pretrained encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.markup import escape
from torch import Tensor, nn
from torch.nn import functional as F

from ..console import console
from ..errors import CheckpointError, ConfigError, DataError
from ..models import Classifier, DANet
from .augment import ZoomShear
from .augment_grey import GreyFlip
from .augment_heavy import HeavyAugment
from .checkpoint import find_checkpoint
from .config import FinetuneConfig, RunResult
from .engine import train
from .fractions import label_subset
from .initialisation import initialise, initialised_by
from .networks import make_classifier
from .overlap import overlap
from .record import last_checkpoint, read_record
from .seeding import seeded
from .seen import SeenSlices, joined, read_seen, seen_slices
from .task import Batch, Meter, Task, check_batch_norm, gathered
from .usable import labelled_slices

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ..data.store import SliceStore


def finetune(config: FinetuneConfig) -> RunResult:
    """Train a classifier on the labelled slices of the store's training split, or a share of them.

    Raises:
        DataError: a split lacks labelled slices, or the chosen share lacks a class.
        StoreError: the store is missing, damaged or too new.
        ConfigError, CheckpointError, DivergenceError, StorageError, TrainingInterrupted: as
            :func:`plr_fast.training.engine.train`; a CheckpointError also if ``config.init`` does not fit.
    """
    return train(config, lambda: _build(config))


class FinetuneTask(Task):
    """Binary cross-entropy of the logits, on augmented slices.

    Args:
        positive_weight: What the loss of a positive slice is multiplied by, in training and validation.
    """

    kind = "finetune"

    def __init__(
        self,
        model: Classifier | DANet,
        train_data: Any,
        val_data: Any,
        config: FinetuneConfig,
        *,
        positive_weight: float,
    ) -> None:
        self.model, self.train_data, self.val_data = model, train_data, val_data
        self.best_metric = f"val_{config.best_by}"
        self.plateau = ("val_accuracy", "max") if config.plateau_by == "accuracy" else ("val_loss", "min")
        self._seed = config.seed
        self._grey = GreyFlip(config.brightness, config.contrast, config.gamma, config.flip)
        self._augment = (HeavyAugment if config.heavy else ZoomShear)(config.zoom, config.shear)
        self._positive_weight = positive_weight

    def loss(self, model: nn.Module, batch: Batch, epoch: int) -> Tensor:
        images = self._augment(batch["image"], seed=self._seed, epoch=epoch, indices=batch["index"])
        images = self._grey(images, seed=self._seed, epoch=epoch, indices=batch["index"])
        return cross_entropy(model(images), batch["label"], self._positive_weight)

    def meter(self) -> Meter:
        return ClassificationMeter(self._positive_weight)

    def score(self, row: dict[str, Any]) -> tuple[float, ...]:
        # Equal accuracies are common on few slices: the lower loss decides between them.
        return (-row["val_loss"],) if self.best_metric == "val_loss" else (row[self.best_metric], -row["val_loss"])


class ClassificationMeter(Meter):
    """Loss, accuracy, balanced accuracy and AUROC at the threshold 0.5; the last two need both classes."""

    def __init__(self, positive_weight: float) -> None:
        self._positive_weight = positive_weight
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    def update(self, model: nn.Module, batch: Batch) -> None:
        self._logits.append(model(batch["image"]).float())
        self._labels.append(batch["label"].float())

    def compute(self, fabric: Fabric) -> dict[str, float | None]:
        empty = torch.zeros(0, device=fabric.device)
        logits = gathered(fabric, torch.cat([empty, *self._logits])).cpu()
        labels = gathered(fabric, torch.cat([empty, *self._labels])).cpu()
        right = (logits >= 0) == (labels > 0.5)
        positive = labels > 0.5
        both = bool(positive.any()) and not bool(positive.all())
        values: dict[str, float | None] = {
            "val_loss": float(cross_entropy(logits.double(), labels.double(), self._positive_weight)),
            "val_accuracy": float(right.double().mean()),
            "val_balanced_accuracy": None,
            "val_auroc": None,
        }
        if both and bool(logits.isfinite().all()):
            from sklearn.metrics import roc_auc_score

            recalls = [float(right[side].double().mean()) for side in (positive, ~positive)]
            values["val_balanced_accuracy"] = sum(recalls) / 2
            values["val_auroc"] = float(roc_auc_score(positive.numpy(), logits.double().numpy()))
        return values


def cross_entropy(logits: Tensor, labels: Tensor, positive_weight: float) -> Tensor:
    """Mean binary cross-entropy of ``logits`` (B,) against 0/1 ``labels`` (B,), positives weighted."""
    weight = None if positive_weight == 1.0 else logits.new_tensor(positive_weight)
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), pos_weight=weight)


def _build(config: FinetuneConfig) -> tuple[Task, Mapping[str, Any]]:
    from ..data.datasets import LabelledSliceDataset
    from ..data.split_hash import split_hash
    from ..data.store import SliceStore

    store = SliceStore.open(config.store)
    labelled = labelled_slices(store, "train")
    subset_seed = config.seed if config.subset_seed is None else config.subset_seed
    units = store.groups if config.fraction_by == "groups" else store.ids
    train_indices = label_subset(labelled, store.labels, units, fraction=config.fraction, seed=subset_seed)
    val_indices = labelled_slices(store, "val")
    if config.best_by in ("balanced_accuracy", "auroc") and len(np.unique(store.labels[val_indices])) < 2:
        raise DataError(
            f"best_by={config.best_by} needs both classes in the validation split, and {Path(store.path)} has one "
            "there; choose best_by=loss, or prepare a store with both"
        )
    with seeded(config.seed):
        model = make_classifier(config.to_json())
    check_batch_norm(config, model, store.size, len(train_indices))
    if config.init != "random" and find_checkpoint(last_checkpoint(Path(config.run))) is None:
        _check_overlap(config, store)
        initialise(model, config)
    positives = int((store.labels[train_indices] == 1).sum())
    negatives = len(train_indices) - positives
    weight = negatives / positives if config.class_weight == "balanced" else 1.0
    task = FinetuneTask(
        model,
        LabelledSliceDataset(store, train_indices, context=config.context),
        LabelledSliceDataset(store, val_indices, context=config.context),
        config,
        positive_weight=weight,
    )
    facts = {
        "store_fingerprint": store.fingerprint,
        "split_sha256": split_hash(store.ids.tolist(), store.splits.tolist()),
        "class_names": list(store.class_names),
        "size": store.size,
        "train_slices": len(train_indices),
        "train_positives": positives,
        "train_groups": len(np.unique(store.groups[train_indices])),
        "train_groups_available": len(np.unique(store.groups[labelled])),
        "val_slices": len(val_indices),
        "positive_weight": weight,
        **initialised_by(config, model),
        "training_slices": _seen(config, store, train_indices),
    }
    return task, facts


def _check_overlap(config: FinetuneConfig, store: SliceStore) -> None:
    """Refuse an encoder that has learnt from slices which this run will be judged on."""
    seen = read_seen(config.init)
    if seen is None:
        _warn_other_store(config, store)
        return
    found = overlap(seen, store)
    if found.slices:
        message = (
            f"{config.init} was trained on {found.slices} of the {found.held_out} slices in the validation and test "
            f"splits of {store.path}: results would tell what it remembers"
        )
        if not config.allow_overlap:
            raise ConfigError(
                f"{message}. Take a store whose splits are those of that run's (the same split hash), or go on all "
                "the same with --allow-overlap"
            )
        console.print(f"[yellow]{escape(message)}.[/yellow]", soft_wrap=True)
    if found.patients:
        console.print(
            f"[yellow]{found.patients} of the {found.held_out} slices in the validation and test splits of "
            f"{escape(str(store.path))} have the patient id of a slice that {escape(config.init)} was trained on: if "
            "they are the same patients, results may be inflated.[/yellow]",
            soft_wrap=True,
        )


def _seen(config: FinetuneConfig, store: SliceStore, train: np.ndarray) -> SeenSlices:
    """What this run's weights have learnt from, those of the encoder that it begins with included."""
    if config.resume and (known := read_seen(config.run)) is not None:
        return known  # the run of the encoder may be gone
    seen = seen_slices(store, train)
    before = read_seen(config.init) if config.init != "random" else None
    return seen if before is None else joined(seen, before)


def _warn_other_store(config: FinetuneConfig, store: SliceStore) -> None:
    try:
        theirs = read_record(config.init).get("store_fingerprint")
    except CheckpointError:
        return  # bare weights: nothing is known of their data
    if theirs != store.fingerprint:
        console.print(
            f"[yellow]{escape(config.init)} was trained on another store, or on this one with other splits, and did "
            "not write down on which slices: those of this store's validation or test split may have been among "
            "them.[/yellow]",
            soft_wrap=True,
        )
