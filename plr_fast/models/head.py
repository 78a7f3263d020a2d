"""The classifier's head: pooled features → hidden (ReLU) → one logit. Pretraining may train the same one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .unet import init_he

Features = Literal["last", "all"]

HEAD = ("hidden", "output")
"""Names of the head's layers, in a classifier and in a U-Net that is pretrained with one."""


def make_head(widths: Sequence[int], hidden: int, features: Features) -> tuple[nn.Linear, nn.Linear]:
    """The head's two layers for feature maps of so many channels, initialised.

    Raises:
        ValueError: ``hidden`` below 1, or ``features`` neither "last" nor "all".
    """
    if hidden < 1:
        raise ValueError(f"hidden must be 1 or more, not {hidden}")
    if features not in ("last", "all"):
        raise ValueError(f"features must be 'last' or 'all', not {features!r}")
    layer = nn.Linear(widths[-1] if features == "last" else sum(widths), hidden)
    output = nn.Linear(hidden, 1)
    init_he(layer)
    nn.init.normal_(output.weight, 0.0, hidden**-0.5)
    nn.init.zeros_(output.bias)
    return layer, output


def head_logits(maps: Sequence[Tensor], hidden: nn.Linear, output: nn.Linear, features: Features) -> Tensor:
    """Feature maps (B, C_k, H_k, W_k), finest first → logits (B,).

    Each map that counts (the coarsest, or all) is averaged over its pixels.
    """
    used = maps[-1:] if features == "last" else maps
    pooled = [each.mean(dim=(-2, -1)) for each in used]
    joined = pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1)
    return cast(Tensor, output(F.relu(hidden(joined)))).squeeze(1)
