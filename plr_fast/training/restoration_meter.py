"""Validation of restored slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .task import Batch, Meter, reduced_sums

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class RestorationMeter(Meter):
    """Mean squared errors over the validation slices.

    ``val_loss`` of the restored slices, ``val_loss_lungs`` of their lung pixels, and ``val_identity`` of the corrupted
    slices themselves: what a network that changes nothing would get.

    Attributes:
        slices: How many there were, on all ranks; known after :meth:`compute`.
    """

    def __init__(self) -> None:
        self.slices = 0.0
        # Sums of: error of each slice, error of the input, slices; error of lung pixels, lung pixels.
        self._sums = torch.zeros(5, dtype=torch.float64)

    def update(self, model: nn.Module, batch: Batch) -> None:
        self.add(model(batch["image"]), batch)

    def add(self, restored: Tensor, batch: Batch) -> None:
        """Add the restored slices (B, 1, H, W) of a batch."""
        image, target, mask = batch["image"], batch["target"], batch["mask"]
        error = (restored.float() - target).square()
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
        self.slices = slices
        return {
            "val_loss": error / slices,
            "val_loss_lungs": lung_error / lung if lung else None,
            "val_identity": identity / slices,
        }
