"""Published ImageNet weights: reading a user's file without trusting it, and fitting RGB weights to grey slices."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import CheckpointError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""What torchvision's ImageNet models expect of RGB in [0, 1]: (picture − mean) / std, channel by channel."""

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net")
_PREFIX = "module."


def read_published(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a file of weights: ``.safetensors``, or what ``torch.save`` wrote (nothing but tensors is unpickled).

    A wrapping dict (``{"state_dict": …}`` and the like) and the prefix ``module.`` are taken off.

    Raises:
        CheckpointError: no such file, damaged, holds more than tensors, or NaN.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"{file} {'is a folder' if file.is_dir() else 'does not exist'}; give a file of weights")
    content = _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file)
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    tensors = (
        {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise CheckpointError(f"{file} holds no named tensors; save the model's state_dict() and give that")
    if all(name.startswith(_PREFIX) for name in tensors):
        tensors = {name[len(_PREFIX) :]: tensor for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"{file} holds NaN or infinity in {name}")
    return tensors


def fold_rgb(
    weight: Tensor,
    channels: int,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    normalise: bool = True,
) -> tuple[Tensor, Tensor]:
    """Turn a first convolution for RGB into one for grey.

    For a grey picture g in [0, 1], convolving (g, g, g), normalised by ``mean`` and ``std``, with ``weight`` equals
    convolving g with the returned kernel and subtracting the returned shift. This is exact wherever the kernel does
    not reach over the picture's edge: there RGB networks pad with zeros *after* normalising, which is a padding with
    the mean colour; the folded one pads with black.

    Args:
        weight: float (O, 3, h, w).
        channels: Channels of the result. With several, each gets 1/channels of the kernel, so that equal channels
            give what one did.
        normalise: False only sums the kernels; the shift is then zero.

    Returns:
        The kernel, float32 (O, channels, h, w), and the shift, float32 (O,).
    """
    wide = weight.double()
    shift = wide.new_zeros(len(wide))
    if normalise:
        wide = wide / wide.new_tensor(list(std)).view(1, -1, 1, 1)
        shift = (wide * wide.new_tensor(list(mean)).view(1, -1, 1, 1)).sum(dim=(1, 2, 3))
    kernel = wide.sum(dim=1, keepdim=True) / channels
    return kernel.expand(-1, channels, -1, -1).float().contiguous(), shift.float()


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} is damaged or not a safetensors file: {error}") from error


def _read_pickle(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} holds more than tensors, or is no file of torch.save; nothing else is unpickled, for safety. "
            "Save the model's state_dict() again, or as .safetensors"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, LookupError) as error:
        raise CheckpointError(f"{file} is damaged or no file of torch.save: {str(error).splitlines()[0]}") from error
