"""Doubling of feature maps, whose gradient torch computes on a CPU from a copy that nobody needs."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F


def enlarge(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Float (B, C, H, W) → (B, C, \\*size), each value repeated (nearest neighbour).

    For twice the size on a CPU the backward pass is faster than that of ``F.interpolate``, with the same bits.
    """
    height, width = features.shape[-2:]
    if features.device.type == "cpu" and size == (2 * height, 2 * width):
        return cast(Tensor, _Double.apply(features))  # type: ignore[no-untyped-call]
    return F.interpolate(features, size=size, mode="nearest")


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        del ctx
        return F.interpolate(features, scale_factor=2, mode="nearest")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        del ctx
        # torch would first copy the gradient, which is a part of that of the joined maps, into one block.
        total = gradient[..., ::2, ::2] + gradient[..., ::2, 1::2]
        total += gradient[..., 1::2, ::2]
        total += gradient[..., 1::2, 1::2]
        return total
