"""Figure 9: where a network's eighth convolution is active.

A map is the mean over channels of what leaves the eighth convolution, that is behind its batch norm (if any) and its
ReLU: nothing is negative there, so it is the mean absolute activation, too. The paper does not say how it made one map
of 512 channels; its colours run from blue to red, ours from black to yellow in steps that look equal and stay in order
in print. Networks differ in scale, so each map is shown as a share of its own greatest value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from ...errors import CheckpointError
from ...evaluation.figures import bare, short_labels, show_grey, styled
from ...evaluation.figures_pictures import grey_panel
from ...evaluation.inference import slice_batches
from ...evaluation.metrics import BoolArray, IntArray
from ...evaluation.restoration import Picture, Pictures
from ...evaluation.sheets import Bar, Heading, Row, build
from ...models import Pyramid
from ...models.unet import pad_to_stride

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from ...data.store import SliceStore
    from ...evaluation.sheets import Draw

COLOURS = "inferno"
_OPACITY = 0.15, 0.7  # of no activity, and what the greatest adds: where little happens the slice is seen
_ACROSS = 4


@dataclass(frozen=True)
class ActivationMap:
    """What one network does with one slice.

    Attributes:
        name: of the network.
        values: float32 (S, S), the map enlarged to the slice, not negative.
        focus: mean inside the lungs ÷ mean outside; 1: no preference; NaN without lungs, outside, or activity there.
    """

    name: str
    values: Picture
    focus: float


def eighth_convolution(encoder: Pyramid, images: torch.Tensor) -> torch.Tensor:
    """Mean activation of the eighth convolution of ``encoder``, enlarged to the images.

    Of another encoder than the paper's it is the last feature map but one, which is what the eighth convolution makes.

    Args:
        encoder: of a U-Net or a classifier, in evaluation mode.
        images: float32 (B, C, S, S) in [0, 1], C as the encoder takes it.

    Returns:
        float32 (B, S, S), not negative.
    """
    with torch.inference_mode():
        padded, (top, left) = pad_to_stride(images, encoder.stride)
        features = encoder(padded)[-2].abs().mean(dim=1, keepdim=True)
        enlarged = F.interpolate(features, size=padded.shape[-2:], mode="bilinear", align_corners=False)
    height, width = images.shape[-2:]
    return enlarged[:, 0, top : top + height, left : left + width]


def activation_maps(encoders: Mapping[str, Pyramid], store: SliceStore, indices: IntArray) -> dict[str, Pictures]:
    """Encoder -> maps of the slices ``indices`` of a store, float32 (N, S, S).

    Raises:
        CheckpointError: an encoder gives NaN; names it.
        DataError: an encoder takes neighbouring slices and the store holds no volumes.
    """
    found: dict[str, Pictures] = {}
    for name, encoder in encoders.items():
        parts = [
            eighth_convolution(encoder, images).numpy()
            for images in slice_batches(store, indices, 16, encoder.in_channels)
        ]
        maps = np.concatenate(parts)
        if not np.isfinite(maps).all():
            raise CheckpointError(f"the eighth convolution of {name} gives NaN: its training diverged")
        found[name] = maps
    return found


def lung_focus(values: Picture, mask: BoolArray) -> float:
    """How much more active a map is inside the lungs than outside: the ratio of its means, NaN where undefined."""
    if not mask.any() or mask.all():
        return math.nan
    outside = float(values[~mask].mean())
    return float(values[mask].mean()) / outside if outside > 0 else math.nan


def activation_figure(image: Picture, mask: BoolArray, groups: Sequence[tuple[str, Sequence[ActivationMap]]]) -> Figure:
    """Maps over the slice in colour, and below each the map alone in grey.

    Args:
        image: float32 (S, S) in [0, 1].
        mask: lungs, bool (S, S); their outline is drawn beside the maps.
        groups: (heading, maps): kinds of networks, at least one map in each.
    """
    items: list[Heading | Row | Bar] = []
    for heading, maps in groups:
        items.append(Heading(heading))
        labels = short_labels([one.name for one in maps], 15)
        across = -(-len(maps) // -(-len(maps) // _ACROSS))  # rows of equal length
        for start in range(0, len(maps), across):
            part = maps[start : start + across]
            titles = [_title(label, one) for label, one in zip(labels[start : start + across], part, strict=True)]
            first = start == 0
            seen: list[Draw | None] = [grey_panel(image), grey_panel(image, mask)] if first else [None, None]
            head = "slice" if first else ""
            items.append(Row([seen[0], *(_over(image, one.values) for one in part)], 1 + across, (head, *titles)))
            items.append(Row([seen[1], *(_plain(one.values) for one in part)], 1 + across))
    items.append(Bar("activation, as a share of the map's greatest value", extend="neither"))
    with styled():
        return build(items)


def _title(label: str, one: ActivationMap) -> str:
    focus = f"lungs × {one.focus:.2f}" if math.isfinite(one.focus) else "lungs × –"
    return f"{label}\n{focus}"


def _share(values: Picture) -> Picture:
    greatest = float(values.max())
    return values / np.float32(greatest) if greatest > 0 else values


def _over(image: Picture, values: Picture) -> Draw:
    def draw(axes: Axes) -> AxesImage:
        show_grey(axes, image)
        share = _share(values)
        shown = axes.imshow(share, cmap=COLOURS, vmin=0, vmax=1, alpha=_OPACITY[0] + _OPACITY[1] * share)
        bare(axes)
        return shown

    return draw


def _plain(values: Picture) -> Draw:
    def draw(axes: Axes) -> None:
        show_grey(axes, _share(values))

    return draw
