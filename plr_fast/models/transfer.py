"""Moving a trained encoder into another network: from a run folder, a checkpoint folder or a safetensors file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import CheckpointError
from .head import HEAD

PREFIX = "encoder."
MODEL_FILE = "model.safetensors"


def load_encoder(model: nn.Module, source: str | os.PathLike[str], *, inflate: bool = False) -> None:
    """Copy the encoder of a trained network into ``model.encoder``, every weight or none.

    Args:
        model: A network with an ``encoder`` (:class:`~plr_fast.models.Classifier`, :class:`~plr_fast.models.UNet`).
        source: A run folder (its best checkpoint is taken), a checkpoint folder, or a ``.safetensors`` file.
        inflate: Fit an encoder of one channel to several, its first kernel shared out among them equally, or one of
            several to one, by adding up: equal channels then give what one does. Otherwise that is refused.

    Raises:
        CheckpointError: nothing readable at ``source``, no encoder in it, not-finite weights, or an encoder of another
            shape (the message says which widths, normalisation or channels differ).
    """
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise TypeError(f"{type(model).__name__} has no encoder to load into")
    path = find_weights(source)
    state = read_encoder(path)
    target = encoder.state_dict()
    name = getattr(encoder, "first_conv", "")
    if inflate and name in state and state[name].ndim == 4:
        state[name] = _with_channels(state[name], target[name].shape[1], path)
    if not _same_shapes(state, target):
        raise CheckpointError(_explain(path, state, target))
    encoder.load_state_dict(state, strict=True)


def load_head(model: nn.Module, source: str | os.PathLike[str]) -> bool:
    """Copy the head (:mod:`plr_fast.models.head`) that a U-Net was pretrained with into a classifier.

    Args:
        model: A :class:`~plr_fast.models.Classifier`.
        source: As :func:`load_encoder` takes it.

    Returns:
        Whether there was one: a U-Net that restores alone has none, and that of a trained *classifier* answers another
        question and is left behind. If not, ``model`` is as it was.

    Raises:
        CheckpointError: nothing readable at ``source``, not-finite weights, or a head of another shape.
    """
    path = find_weights(source)
    tensors = _read(path)
    names = [f"{layer}.{kind}" for layer in HEAD for kind in ("weight", "bias")]
    if not set(names) <= tensors.keys() or not any(name.startswith("decoder.") for name in tensors):
        return False
    state = {name: tensors[name] for name in names}
    _require_finite(state, path)
    target = model.state_dict()
    misfits = [
        f"{name} is {tuple(state[name].shape)} there, {tuple(target[name].shape) if name in target else 'not'} here"
        for name in names
        if name not in target or target[name].shape != state[name].shape
    ]
    if misfits:
        raise CheckpointError(
            f"the head in {path} does not fit this network: {'; '.join(misfits)}. Build both with equal --hidden "
            f"(there {len(state['hidden.bias'])}), --features and widths, or leave it behind: --init-head off"
        )
    model.load_state_dict(state, strict=False)
    return True


def read_encoder(source: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the encoder's tensors (names without the leading ``encoder.``) from what :func:`load_encoder` accepts.

    Raises:
        CheckpointError: nothing readable at ``source``, no encoder in it, or not-finite weights.
    """
    path = find_weights(source)
    tensors = _read(path)
    state = {name[len(PREFIX) :]: tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    if not state:
        raise CheckpointError(f"{path} holds no encoder (no tensor named {PREFIX}…); is it a plr_fast model?")
    _require_finite(state, path, PREFIX)
    return state


def find_weights(source: str | os.PathLike[str]) -> Path:
    """The ``.safetensors`` file that ``source`` (run folder, checkpoint folder or the file itself) stands for.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(source)
    if path.is_file():
        return path
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; give a run folder, a checkpoint folder or a .safetensors file")
    # A kill between the two renames of a save leaves the former checkpoint under the second name.
    checkpoints = path / "checkpoints"
    for folder in (path, checkpoints / "best", checkpoints / ".best.old"):
        if (folder / MODEL_FILE).is_file():
            return folder / MODEL_FILE
    if checkpoints.is_dir():
        raise CheckpointError(f"{path} has no best checkpoint yet: let the run finish its first epoch")
    raise CheckpointError(f"{path} holds no {MODEL_FILE} and no checkpoints folder; is it a run folder?")


def describe_encoder(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What an encoder's tensors tell about it: ``widths``, ``norm`` and ``in_channels`` (None where unknown)."""
    widths = tuple(int(state[name].shape[0]) for number in range(2, 11, 2) if (name := f"conv{number}.weight") in state)
    first = state.get("conv1.weight")
    return {
        "widths": widths,
        "norm": "batch" if "norm1.weight" in state else "none",
        "in_channels": int(first.shape[1]) if first is not None and first.ndim == 4 else None,
    }


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or not a safetensors file: {error}") from error


def _require_finite(state: Mapping[str, Tensor], path: Path, prefix: str = "") -> None:
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"{path} holds NaN or infinity in {prefix}{broken[0]}; take another checkpoint")


def _with_channels(weight: Tensor, channels: int, path: Path) -> Tensor:
    """The first kernel (O, C, h, w) for another number of channels."""
    theirs = weight.shape[1]
    if theirs == channels:
        return weight
    if 1 not in (theirs, channels):
        raise CheckpointError(
            f"the encoder in {path} takes {theirs} channels, this network {channels}: only from or to one channel can "
            "an encoder be fitted; choose context accordingly"
        )
    return weight.sum(dim=1, keepdim=True).expand(-1, channels, -1, -1).contiguous() / channels


def _same_shapes(state: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> bool:
    return {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in target.items()
    }


def _explain(path: Path, state: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> str:
    theirs, ours = describe_encoder(state), describe_encoder(target)
    if not (theirs["widths"] and ours["widths"]) and not set(state) & set(target):
        return (
            f"{path} holds another kind of encoder (its tensors are named {next(iter(state))}, …, this network's "
            f"{next(iter(target))}, …). Build both with the same encoder and model; a U-Net's fits --model plr only"
        )
    differences = [f"{key} {theirs[key]} there, {ours[key]} here" for key in ours if theirs[key] != ours[key]]
    if not differences:
        missing = sorted(set(target) - set(state))
        extra = sorted(set(state) - set(target))
        shapes = sorted(name for name in set(state) & set(target) if state[name].shape != target[name].shape)
        differences = [
            f"{what}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            for what, names in (("missing", missing), ("not expected", extra), ("of another shape", shapes))
            if names
        ]
    widths = " ".join(map(str, theirs["widths"]))
    mend = "Build both with equal settings" + (f": --widths {widths} --norm {theirs['norm']}" if widths else "")
    if len(differences) == 1 and theirs["in_channels"] != ours["in_channels"]:
        mend = "Build both with equal --context, or let it be fitted: --init-inflate (inflate=True)"
    return f"the encoder in {path} does not fit this network: {'; '.join(differences)}. {mend}"
