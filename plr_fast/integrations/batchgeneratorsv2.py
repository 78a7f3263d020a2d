"""batchgeneratorsv2 (nnU-Net's augmentation): pseudo lesions with the restoration target as regression target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..ops import LesionBank
from ..ops.arguments import number
from .channel_first import ChannelFirstPaste
from .required import required

with required("batchgeneratorsv2"):
    from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform


class PseudoLesionTransform(ImageOnlyTransform):
    """Paste pseudo lesions into the lungs of ``image``, (C, X, Y) or (C, X, Y, Z), and keep the original as target.

    Every call draws from NumPy's global state: batchgenerators' workers seed NumPy in every process, but torch only if
    they were given seeds, and would otherwise all paste the same.

    Args:
        bank: the patches; by default the paper's bank is made at once.
        labels: labels of the segmentation that are lung; ``None``: all above zero (-1 is outside).
        mask_key: where the lung mask or segmentation is, (any number of channels, the spatial shape of the image).
        probability: that a call pastes anything; the keys below are set in every call, so that samples collate. (Within
            ``RandomTransform`` they are missing whenever it passes over this transform.)
        target_key: where to put the image as it was, or ``None``. Spatial transforms that follow move
            "regression_target" along with the image.
        lesion_mask_key: where to put which pixels changed in any channel, int16 (1, ...), e.g. "segmentation".
        value_range: the image values that are black and white, e.g. of a z-scored lung window. ``None``: 0..255 for
            uint8, 0..1 for floats, checked.
        slice_axis: for volumes, the spatial axis along which the slices lie, as ``Convert3DTo2DTransform`` the first.
        paste: further arguments of :func:`plr_fast.paste_lesions`: ``count``, ``blend``, ``alpha``, ``feather``.

    Raises:
        TypeError, ValueError: a setting of the wrong type or out of range; in a call, no mask, or one that doesn't fit.
    """

    def __init__(
        self,
        bank: LesionBank | None = None,
        *,
        labels: Sequence[int] | None = None,
        mask_key: str = "segmentation",
        probability: float = 1.0,
        target_key: str | None = "regression_target",
        lesion_mask_key: str | None = None,
        value_range: tuple[float, float] | None = None,
        slice_axis: int = 0,
        **paste: Any,
    ) -> None:
        super().__init__()
        self.labels = None if labels is None else tuple(labels)
        self.mask_key = mask_key
        self.probability = number(probability, "probability", 0.0, 1.0)
        self.target_key = target_key
        self.lesion_mask_key = lesion_mask_key
        self.paste = ChannelFirstPaste(bank, value_range, slice_axis, paste)

    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        """Draw whether to paste and what; find the lungs."""
        pasted = np.random.uniform() < self.probability
        seed = int(np.random.randint(2**63 - 1, dtype=np.int64))
        return {"mask": self._lungs(data_dict) if pasted and data_dict.get("image") is not None else None, "seed": seed}

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        original = data_dict.get("image")
        data_dict = super().apply(data_dict, **params)
        if original is None:
            return data_dict
        if self.target_key is not None:
            # Nothing pasted: a copy, so that later transforms in place can't reach the target through the image.
            data_dict[self.target_key] = original.clone() if original is data_dict["image"] else original
        if self.lesion_mask_key is not None:
            data_dict[self.lesion_mask_key] = (data_dict["image"] != original).any(0, keepdim=True).to(torch.int16)
        return data_dict

    def _apply_to_image(self, img: torch.Tensor, *, mask: torch.Tensor | None, seed: int) -> torch.Tensor:
        return img if mask is None else self.paste(img, mask, seed)

    def _lungs(self, data_dict: dict[str, Any]) -> torch.Tensor:
        if (segmentation := data_dict.get(self.mask_key)) is None:
            raise ValueError(
                f"the data has no {self.mask_key!r} to take the lungs from: give a lung mask (1, X, Y) or (1, X, Y, Z) "
                "under that key, or name another one with mask_key"
            )
        lungs: torch.Tensor = (
            segmentation > 0
            if self.labels is None
            else torch.isin(segmentation, torch.tensor(self.labels, dtype=segmentation.dtype))
        )
        return lungs.any(0, keepdim=True)
