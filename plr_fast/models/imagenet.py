"""The ImageNet initialisation: published weights put into the encoder of one of our networks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .published import fold_rgb, read_published
from .shufflenet import ShuffleNetV2, shufflenet_state
from .timm_encoder import TimmEncoder, timm_state
from .unet import WIDTHS, Encoder

_VGG_NAMES = {8: "VGG-11", 10: "VGG-13", 13: "VGG-16", 16: "VGG-19"}


def load_imagenet(model: nn.Module, path: str | os.PathLike[str], *, normalise: bool = True) -> None:
    """Copy published ImageNet weights into ``model.encoder``, every weight or none.

    Into :class:`~plr_fast.models.Encoder` go those of VGG-13, with or without batch norm, under torchvision's or
    timm's names (``features.N.…``); into :class:`~plr_fast.models.ShuffleNetV2` those of torchvision's; into
    :class:`~plr_fast.models.TimmEncoder` those of the timm model of its name.

    Args:
        model: A network with an ``encoder``.
        path: The file, as :func:`~plr_fast.models.published.read_published` takes it.
        normalise: Fold ImageNet's input normalisation into the first convolution, so that grey in [0, 1] means to it
            what a grey picture, normalised, meant to the published network; see
            :func:`~plr_fast.models.published.fold_rgb`. False only sums the RGB kernels.

    Raises:
        CheckpointError: unreadable, or weights of another network; the message says which.
        TypeError: ``model`` has no encoder that such weights are known for.
    """
    encoder = getattr(model, "encoder", None)
    if isinstance(encoder, Encoder):
        state = vgg13_state(read_published(path), encoder, Path(path), normalise=normalise)
    elif isinstance(encoder, ShuffleNetV2):
        state = shufflenet_state(read_published(path), encoder, Path(path), normalise=normalise)
    elif isinstance(encoder, TimmEncoder):
        state, _ = timm_state(encoder, read_published(path), str(path), normalise=normalise)
    else:
        raise TypeError(f"no published ImageNet weights are known for {type(model).__name__}")
    check_shapes(state, encoder, Path(path))
    encoder.load_state_dict(state, strict=True)


def load_timm_pretrained(model: nn.Module, *, normalise: bool = True) -> str:
    """Copy the weights that timm itself offers for ``model.encoder`` into it; timm downloads them, or has them cached.

    Returns:
        The tag that timm gives them, e.g. ``a1_in1k``.

    Raises:
        CheckpointError: timm cannot get them.
        TypeError: the encoder is not a :class:`~plr_fast.models.TimmEncoder`.
    """
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, TimmEncoder):
        raise TypeError(f"timm has no weights for {type(model).__name__}: its encoder is none of timm's")
    state, tag = timm_state(encoder, None, "timm's own file", normalise=normalise)
    check_shapes(state, encoder, Path(f"timm:{encoder.name}"))
    encoder.load_state_dict(state, strict=True)
    return tag


def vgg13_state(
    published: Mapping[str, Tensor], encoder: Encoder, path: Path, *, normalise: bool = True
) -> dict[str, Tensor]:
    """The state of ``encoder`` that holds the convolutions of a published VGG-13 (``path`` is for messages).

    Raises:
        CheckpointError: not a VGG-13, or ``encoder`` has other widths or another normalisation.
    """
    numbers = sorted(int(found[1]) for name in published if (found := re.fullmatch(r"features\.(\d+)\.weight", name)))
    convolutions = [number for number in numbers if published[f"features.{number}.weight"].ndim == 4]
    if not convolutions:
        raise CheckpointError(
            f"{path} holds no tensor named features.N.weight: it is no VGG in torchvision's or timm's layout "
            f"(it begins with {next(iter(published))})"
        )
    if len(convolutions) != 10:
        name = _VGG_NAMES.get(len(convolutions), "another network")
        raise CheckpointError(f"{path} is {name} ({len(convolutions)} convolutions); VGG-13, which has ten, is needed")
    if encoder.widths != WIDTHS:
        raise CheckpointError(
            f"{path} is a VGG-13, whose widths are {'-'.join(map(str, WIDTHS))}; this network has "
            f"{'-'.join(map(str, encoder.widths))}: give --widths {' '.join(map(str, WIDTHS))}"
        )
    theirs = "batch" if f"features.{convolutions[0] + 1}.running_mean" in published else "none"
    if theirs != encoder.norm:
        raise CheckpointError(
            f"{path} is a VGG-13 {'with' if theirs == 'batch' else 'without'} batch norm, this network has "
            f"norm={encoder.norm!r}: give --norm {theirs}, or the weights of the other VGG-13"
        )
    state: dict[str, Tensor] = {}
    for number, place in enumerate(convolutions, start=1):
        for part in ("weight", "bias"):
            state[f"conv{number}.{part}"] = _take(published, f"features.{place}.{part}", path)
        if theirs == "batch":
            for part in ("weight", "bias", "running_mean", "running_var"):
                state[f"norm{number}.{part}"] = _take(published, f"features.{place + 1}.{part}", path)
            # Files that are older than this counter lack it.
            seen = published.get(f"features.{place + 1}.num_batches_tracked", torch.tensor(0))
            state[f"norm{number}.num_batches_tracked"] = seen
    if state["conv1.weight"].shape[1:2] != (3,):
        raise CheckpointError(f"{path}: the first convolution is {tuple(state['conv1.weight'].shape)}, not for RGB")
    state["conv1.weight"], shift = fold_rgb(state["conv1.weight"], encoder.in_channels, normalise=normalise)
    state["conv1.bias"] = state["conv1.bias"] - shift
    return state


def check_shapes(state: Mapping[str, Tensor], encoder: nn.Module, path: Path) -> None:
    """Raise ``CheckpointError`` unless ``state`` has exactly the tensors of ``encoder``, in their shapes."""
    target = encoder.state_dict()
    for name in state:
        if name not in target:
            raise CheckpointError(f"{path} holds {name}, for which this network has no place")
    for name, tensor in target.items():
        if name not in state:
            raise CheckpointError(f"{path} lacks what {name} needs")
        if state[name].shape != tensor.shape:
            raise CheckpointError(
                f"{path}: {name} would be {tuple(state[name].shape)}, but must be {tuple(tensor.shape)}"
            )


def _take(published: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    if name not in published:
        raise CheckpointError(f"{path} lacks the tensor {name}: it is incomplete, or of another layout")
    return published[name]
