"""ShuffleNetV2 (Ma et al., ECCV 2018) under torchvision's parameter names, without its last layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .published import fold_rgb
from .pyramid import Pyramid
from .unet import check_images, init_he

SCALES: Mapping[float, tuple[int, int, int, int, int]] = {
    0.5: (24, 48, 96, 192, 1024),
    1.0: (24, 116, 232, 464, 1024),
    1.5: (24, 176, 352, 704, 1024),
    2.0: (24, 244, 488, 976, 2048),
}
"""Channels of the first convolution, the three stages and the last convolution (table 5 of the ShuffleNetV2 paper)."""

_REPEATS = (4, 8, 4)


class ShuffleNetV2(Pyramid):
    """Feature maps of ShuffleNetV2: ``conv1``, ``maxpool``, ``stage2`` … ``stage4``, ``conv5``.

    Parameters are named and shaped as in torchvision's ``shufflenet_v2_x…`` (less ``fc``), so that published weights
    load. The sides of the images are arbitrary; each level rounds up.

    Args:
        in_channels: Channels of the images.
        scale: 0.5, 1.0, 1.5 or 2.0: how wide the network is.

    The attributes are those of :class:`~plr_fast.models.Pyramid`.
    """

    finest, stride = 2, 32
    first_conv = "conv1.0.weight"

    def __init__(self, in_channels: int = 1, scale: float = 1.0) -> None:
        super().__init__()
        if in_channels < 1:
            raise ValueError(f"in_channels must be 1 or more, not {in_channels}")
        if scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(map(str, SCALES))}, not {scale}")
        first, *stages, last = SCALES[scale]
        self.in_channels = in_channels
        self.scale = scale
        self.widths = (first, *stages, last)
        self.conv1 = _unit(nn.Conv2d(in_channels, first, 3, stride=2, padding=1, bias=False), relu=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = first
        for number, (outputs, repeats) in enumerate(zip(stages, _REPEATS, strict=True), start=2):
            blocks = [
                ShuffleBlock(inputs, outputs, 2),
                *(ShuffleBlock(outputs, outputs, 1) for _ in range(repeats - 1)),
            ]
            self.add_module(f"stage{number}", nn.Sequential(*blocks))
            inputs = outputs
        self.conv5 = _unit(nn.Conv2d(inputs, last, 1, bias=False), relu=True)
        init_he(self)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Float images (B, in_channels, H, W) → five feature maps at 1/2, 1/8, 1/16, 1/32 and 1/32 of the sides."""
        features = [self.conv1(images)]
        current = self.maxpool(features[0])
        for stage in ("stage2", "stage3", "stage4", "conv5"):
            current = getattr(self, stage)(current)
            features.append(current)
        return tuple(features)


class ShuffleBlock(nn.Module):
    """Two branches, joined and with their channels interleaved; at stride 1 the first branch is half of the input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.stride = stride
        self.branch1 = nn.Sequential()
        if stride == 2:
            self.branch1 = nn.Sequential(*_depthwise(inputs, stride), *_unit(nn.Conv2d(inputs, half, 1, bias=False)))
        self.branch2 = nn.Sequential(
            *_unit(nn.Conv2d(inputs if stride == 2 else half, half, 1, bias=False)),
            *_depthwise(half, stride),
            *_unit(nn.Conv2d(half, half, 1, bias=False)),
        )

    def forward(self, features: Tensor) -> Tensor:
        if self.stride == 2:
            pair = (self.branch1(features), self.branch2(features))
        else:
            kept, changed = features.chunk(2, dim=1)
            pair = (kept, self.branch2(changed))
        # (B, 2, C/2, H, W) → channels in turn from the one and the other.
        return torch.stack(pair, dim=2).flatten(1, 2)


def shufflenet_state(
    published: Mapping[str, Tensor], encoder: ShuffleNetV2, path: Path, *, normalise: bool = True
) -> dict[str, Tensor]:
    """The state of ``encoder`` that holds a published ShuffleNetV2 in torchvision's layout (``path`` is for messages).

    Raises:
        CheckpointError: another network or another scale.
    """
    first = published.get(encoder.first_conv)
    if first is None or not any(name.startswith("stage2.0.branch1.") for name in published):
        raise CheckpointError(
            f"{path} is no ShuffleNetV2 in torchvision's layout: it has no tensors named {encoder.first_conv} and "
            f"stage2.0.branch1.… (it begins with {next(iter(published))})"
        )
    stage = published.get("stage2.0.branch1.2.weight")
    theirs = next(
        (scale for scale, channels in SCALES.items() if stage is not None and 2 * len(stage) == channels[1]), 0
    )
    if theirs != encoder.scale:
        raise CheckpointError(f"{path} is ShuffleNetV2 x{theirs}, this network is x{encoder.scale}")
    if first.ndim != 4 or first.shape[1] != 3:
        raise CheckpointError(f"{path}: the first convolution is {tuple(first.shape)}, not for RGB")
    state = {name: tensor for name, tensor in published.items() if not name.startswith("fc.")}
    state[encoder.first_conv], shift = fold_rgb(first, encoder.in_channels, normalise=normalise)
    # That convolution has no bias; the batch norm behind it subtracts the shift with its mean.
    mean = "conv1.1.running_mean"
    if mean not in state:
        raise CheckpointError(f"{path} lacks the tensor {mean}: it is incomplete, or of another layout")
    state[mean] = state[mean] + shift
    for name, tensor in encoder.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, tensor)
    return state


class DANet(nn.Module):
    """The external baseline of table V (Hu et al. 2020): ShuffleNetV2, global average pooling, one logit.

    Its other half is heavy augmentation: :class:`plr_fast.training.augment_heavy.HeavyAugment`.

    Args:
        scale: As in :class:`ShuffleNetV2`. Hu et al. do not state theirs in what is public; 1.0 is the usual one.
        in_channels: Channels of the images.

    Raises:
        ValueError: an unknown scale, or ``in_channels`` below 1.
    """

    def __init__(self, scale: float = 1.0, in_channels: int = 1) -> None:
        super().__init__()
        self.encoder = ShuffleNetV2(in_channels, scale)
        self.output = nn.Linear(self.encoder.widths[-1], 1)
        nn.init.normal_(self.output.weight, 0.0, self.encoder.widths[-1] ** -0.5)
        nn.init.zeros_(self.output.bias)

    @property
    def in_channels(self) -> int:
        return self.encoder.in_channels

    def forward(self, images: Tensor) -> Tensor:
        """Float images (B, in_channels, H, W) in [0, 1], any height and width → logits (B,).

        Raises:
            ValueError: another rank, another number of channels, or an empty image.
        """
        check_images(images, self.encoder.in_channels)
        pooled = self.encoder(images)[-1].mean(dim=(-2, -1))
        return cast(Tensor, self.output(pooled)).squeeze(1)


def _unit(convolution: nn.Conv2d, *, relu: bool = True) -> nn.Sequential:
    """The convolution, its batch norm and perhaps a ReLU."""
    layers: list[nn.Module] = [convolution, nn.BatchNorm2d(convolution.out_channels)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


def _depthwise(channels: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
    return _unit(convolution, relu=False)
