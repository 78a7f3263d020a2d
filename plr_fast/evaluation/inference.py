"""Running trained models over slices of a store, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from ..errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from ..data.store import SliceStore
    from .metrics import FloatArray, IntArray

Advance = Callable[[int], None]  # called with the number of slices just done


def choose_device(name: str) -> torch.device:
    """``auto`` -> the GPU where there is one, else the CPU; otherwise the device of that name.

    Raises:
        ConfigError: the name is no device, or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"device {name!r} cannot be used here: {str(error).splitlines()[0]}; use 'auto' or 'cpu'"
        ) from error
    return device


def input_channels(model: torch.nn.Module) -> int:
    """Channels that a network takes: 1, or 2·context + 1 of one for 2.5-D input."""
    return int(getattr(getattr(model, "encoder", None), "in_channels", 1))


def slice_batches(store: SliceStore, indices: IntArray, batch_size: int, channels: int = 1) -> Iterator[torch.Tensor]:
    """Yield the slices and their neighbours as float32 (B, channels, S, S) in [0, 1], in the order of ``indices``.

    Raises:
        DataError: several channels are asked for and the store holds no volumes.
    """
    for start in range(0, len(indices), batch_size):
        rows = store.neighbours(indices[start : start + batch_size], channels // 2)
        chosen = np.asarray(store.slices[rows], dtype=np.float32)
        yield torch.from_numpy(chosen / np.float32(255.0))


def predict(
    model: torch.nn.Module,
    store: SliceStore,
    indices: IntArray,
    *,
    name: str,
    batch_size: int = 32,
    device: torch.device | None = None,
    advance: Advance | None = None,
) -> FloatArray:
    """Probabilities of the positive class, float64 (N,) in [0, 1], by a classifier that gives logits (B,).

    Raises:
        CheckpointError: the classifier gives NaN or infinite logits (it has diverged), or not one number a slice.
    """
    model = model.to(device or "cpu").eval()
    scores: list[FloatArray] = []
    with torch.inference_mode():
        for images in slice_batches(store, indices, batch_size, input_channels(model)):
            logits = model(images.to(device or "cpu")).to("cpu", torch.float64)
            if logits.numel() != len(images):
                raise CheckpointError(
                    f"classifier {name} gives shape {tuple(logits.shape)} for {len(images)} slices, not one logit each"
                )
            scores.append(torch.sigmoid(logits.reshape(-1)).numpy())
            if advance is not None:
                advance(len(images))
    result = np.concatenate(scores) if scores else np.empty(0)
    bad = int(np.count_nonzero(~np.isfinite(result)))
    if bad:
        raise CheckpointError(
            f"classifier {name} gives NaN for {bad} of {len(result)} slices: its training diverged; train it again "
            "with a lower learning rate"
        )
    return result


def restore(
    model: torch.nn.Module,
    images: npt.NDArray[np.float32],
    *,
    name: str,
    device: torch.device | None = None,
) -> npt.NDArray[np.float32]:
    """Restored pictures for one batch, clipped to [0, 1].

    Args:
        model: the restorer.
        images: float32 (B, S, S), or (B, C, S, S) with C // 2 neighbours on each side of each slice, of which the model
            is given as many as it takes; in [0, 1].
        name: of the restorer, for messages.
        device: where to run it.

    Returns:
        float32 (B, S, S).

    Raises:
        CheckpointError: the network gives NaN, pictures of another shape, or takes more neighbours than there are.
    """
    model = model.to(device or "cpu").eval()
    stack = images[:, None] if images.ndim == 3 else images
    spare, odd = divmod(stack.shape[1] - input_channels(model), 2)
    if spare < 0 or odd:
        raise CheckpointError(f"restorer {name} takes {input_channels(model)} channels, but {stack.shape[1]} are given")
    stack = stack[:, spare : stack.shape[1] - spare]
    with torch.inference_mode():
        output = model(torch.from_numpy(np.ascontiguousarray(stack)).to(device or "cpu"))
    restored = output.to("cpu", torch.float32).squeeze(1).numpy()
    wanted = (len(images), *images.shape[-2:])
    if restored.shape != wanted:
        raise CheckpointError(f"restorer {name} gives shape {restored.shape} for slices of shape {wanted}")
    if not np.isfinite(restored).all():
        raise CheckpointError(f"restorer {name} gives NaN or infinite pixels: its training diverged")
    clipped: npt.NDArray[np.float32] = np.clip(restored, 0.0, 1.0)
    return clipped
