"""Validation of a pretext task that asks more than the restored slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .restoration_meter import RestorationMeter
from .task import Batch, gathered, reduced_sums

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from ..models import PretextOutputs
    from .config import PretrainConfig

_BINS, _LARGEST_LOGIT = 4096, 16.0


class PretextMeter(RestorationMeter):
    """What :class:`RestorationMeter` measures, and how well altered pixels and slices are told from others.

    ``val_loss`` is the weighted sum that training minimises, ``val_mse`` the error of the restored slices;
    ``val_mask_loss`` (cross-entropy of all pixels), ``val_mask_dice`` (at probability 0.5, over the pixels of all
    slices together), ``val_mask_auroc`` (over the lungs' pixels of all slices: those outside are too easy; from a
    histogram of logits in steps of 1/128); ``val_presence_loss`` and ``val_presence_auroc`` (over slices).
    """

    def __init__(self, config: PretrainConfig) -> None:
        super().__init__()
        self._config = config
        # Cross-entropy summed over slices, pixels that are rightly called altered, those called so, those that are.
        self._mask = torch.zeros(4, dtype=torch.float64)
        self._bins = torch.zeros(2, _BINS, dtype=torch.float64)  # of unaltered and altered pixels
        self._logits: list[Tensor] = []
        self._altered: list[Tensor] = []

    def update(self, model: nn.Module, batch: Batch) -> None:
        if not self._config.has_heads:
            super().update(model, batch)
            return
        outputs: PretextOutputs = model(batch["image"], heads=True)
        self.add(outputs.restored, batch)
        if outputs.altered is not None:
            self._add_mask(outputs.altered.float(), batch["lesion"], batch["mask"])
        if outputs.presence is not None:
            self._logits.append(outputs.presence.float())
            self._altered.append((~batch["clean"]).float())

    def _add_mask(self, logits: Tensor, truth: Tensor, lungs: Tensor) -> None:
        loss = F.binary_cross_entropy_with_logits(logits, truth.float(), reduction="none").mean(dim=(1, 2, 3))
        called = logits >= 0
        counts = torch.stack([(called & truth).sum(), called.sum(), truth.sum()])
        self._mask += torch.cat([loss.cpu().double().sum()[None], counts.cpu().double()])
        # (NaN shows in the loss, which ends the run.)
        scaled = (logits[lungs].nan_to_num().clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT) / _LARGEST_LOGIT + 1.0) / 2.0
        places = (scaled * (_BINS - 1)).round().long() + _BINS * truth[lungs]
        self._bins += torch.bincount(places, minlength=2 * _BINS).view(2, _BINS).cpu()

    def compute(self, fabric: Fabric) -> dict[str, float | None]:
        values = super().compute(fabric)
        config, mse = self._config, cast(float, values["val_loss"])
        total, extra = config.restore_weight * mse, dict[str, float | None]()
        if config.mask_weight:
            sums = reduced_sums(fabric, torch.cat([self._mask, self._bins.flatten()]).to(fabric.device))
            (loss, both, called, truth), bins = sums[:4], torch.tensor(sums[4:], dtype=torch.float64).view(2, _BINS)
            extra["val_mask_loss"] = loss / self.slices
            extra["val_mask_dice"] = 2.0 * both / (called + truth) if called + truth else None
            extra["val_mask_auroc"] = binned_auroc(bins[0], bins[1])
            total += config.mask_weight * loss / self.slices
        if config.presence_weight:
            presence = self._presence(fabric)
            extra |= presence
            total += config.presence_weight * cast(float, presence["val_presence_loss"])
        return {**values, "val_loss": total, "val_mse": mse, **extra}

    def _presence(self, fabric: Fabric) -> dict[str, Any]:
        empty = torch.zeros(0, device=fabric.device)
        logits, altered = (
            gathered(fabric, torch.cat([empty, *parts])).cpu().double() for parts in (self._logits, self._altered)
        )
        auroc: float | None = None
        if 0 < altered.sum() < len(altered) and bool(logits.isfinite().all()):
            from sklearn.metrics import roc_auc_score

            auroc = float(roc_auc_score(altered.numpy(), logits.numpy()))
        loss = float(F.binary_cross_entropy_with_logits(logits, altered))
        return {"val_presence_loss": loss, "val_presence_auroc": auroc}


def binned_auroc(negatives: Tensor, positives: Tensor) -> float | None:
    """Area under the ROC curve from counts by score, in rising bins, float64 (N,); equal bins count half.

    None where one of the two kinds is missing.
    """
    pairs = float(negatives.sum() * positives.sum())
    if not pairs:
        return None
    below = negatives.cumsum(0) - negatives
    return float((positives * (below + negatives / 2.0)).sum()) / pairs
