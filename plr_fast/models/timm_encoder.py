"""Encoders of the package timm: the recipe around what the field uses. timm is optional, imported when asked for."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .published import IMAGENET_MEAN, IMAGENET_STD, fold_rgb
from .pyramid import Pyramid

# Convolutions whose kernels act as they are; others (weight-standardised ones) cannot take a folded normalisation.
_PLAIN = ("Conv2d", "Conv2dSame")


class TimmEncoder(Pyramid):
    """The feature pyramid of a timm model (``create_model(name, features_only=True)``), with timm's own random weights.

    The first convolution always has a bias, of zeros unless published weights are loaded: it takes up their input
    normalisation.

    Args:
        name: A name of ``timm.list_models()``, e.g. ``"resnet34"`` or ``"convnext_atto"``.
        in_channels: Channels of the images.

    Attributes:
        name: As given.
        body: The timm model.

    Raises:
        ModuleNotFoundError: timm, or torchvision, which it needs, is not installed.
        ValueError: timm has no such model, or one that gives no pyramid for images of any size.
    """

    def __init__(self, name: str, in_channels: int = 1) -> None:
        super().__init__()
        if in_channels < 1:
            raise ValueError(f"in_channels must be 1 or more, not {in_channels}")
        self.name = name
        self.in_channels = in_channels
        self.body = create(name, in_chans=in_channels)
        channels, reductions = self.body.feature_info.channels(), self.body.feature_info.reduction()
        # Of several maps of one size the last one counts.
        self._chosen = [k for k, size in enumerate(reductions) if size not in reductions[k + 1 :]]
        kept = [reductions[k] for k in self._chosen]
        if len(kept) < 2 or kept != sorted(kept):
            raise ValueError(
                f"timm's {name} gives feature maps at 1/{', 1/'.join(map(str, reductions))} of the image: no pyramid "
                "to decode; take a convolutional network (resnet34, convnext_atto, efficientnet_b0, …)"
            )
        self.widths = tuple(int(channels[k]) for k in self._chosen)
        self.finest, self.stride = int(kept[0]), int(kept[-1])
        self._channels_last = self._try_out(name)
        self.first_conv = self._open_first_conv()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Float images (B, in_channels, H, W), sides multiples of ``stride`` → feature maps, finest first."""
        maps = self.body(images)
        if self._channels_last:
            return tuple(maps[k].movedim(-1, 1) for k in self._chosen)
        return tuple(maps[k] for k in self._chosen)

    def _try_out(self, name: str) -> bool:
        """Run once, small; returns whether the maps have their channels last."""
        training = self.body.training
        self.body.eval()
        side = 2 * self.stride
        try:
            with torch.no_grad():
                maps = self.body(torch.zeros(1, self.in_channels, side, side))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"timm's {name} does not take {side}×{side} images ({str(error).splitlines()[0]}), but slices have any "
                "size; take a convolutional network (resnet34, convnext_atto, efficientnet_b0, …)"
            ) from error
        self.body.train(training)
        shapes = [tuple(maps[k].shape) for k in self._chosen]
        if all(len(shape) == 4 and shape[1] == width for shape, width in zip(shapes, self.widths, strict=True)):
            return False
        if all(len(shape) == 4 and shape[-1] == width for shape, width in zip(shapes, self.widths, strict=True)):
            return True
        raise ValueError(f"timm's {name} gives maps of the shapes {shapes}, not of {self.widths} channels as it says")

    def _open_first_conv(self) -> str:
        """Give the convolution that sees the image a bias; returns its weight's name, or "" if it is no plain one."""
        for name, module in self.body.named_modules():
            if isinstance(module, nn.Conv2d):
                if type(module).__name__ not in _PLAIN or module.in_channels != self.in_channels or module.groups != 1:
                    return ""
                if module.bias is None:
                    module.bias = nn.Parameter(torch.zeros(module.out_channels))
                return f"body.{name}.weight"
        return ""


def create(name: str, **options: Any) -> Any:
    """``timm.create_model(name, features_only=True, **options)`` with errors that say what to do.

    Raises:
        ModuleNotFoundError: timm or torchvision is not installed.
        ValueError: timm has no such model, or one without feature maps.
    """
    timm = import_timm()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; see timm.list_models()"
        raise ValueError(f"timm {timm.__version__} has no model {name!r}{hint}")
    if options.get("pretrained"):
        return timm.create_model(name, features_only=True, **options)
    try:
        return timm.create_model(name, features_only=True, **options)
    except (RuntimeError, AttributeError, AssertionError, TypeError) as error:
        raise ValueError(f"timm's {name} gives no feature maps: {error}") from error


def import_timm() -> Any:
    """The package timm.

    Raises:
        ModuleNotFoundError: it, or torchvision, is not installed; the message has the command that mends it.
    """
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"encoders named timm:… need the package timm ({error}): pip install 'plr-fast[zoo]'", name=error.name
        ) from error
    except (ImportError, RuntimeError, AttributeError) as error:
        # A torchvision built for another torch fails in its own ways.
        raise ModuleNotFoundError(
            f"timm is there but cannot be imported ({str(error).splitlines()[0]}); the usual cause is a torchvision "
            "that was built for another torch: install the one that belongs to the torch that is there",
            name="timm",
        ) from error


def timm_state(
    encoder: TimmEncoder, published: dict[str, Tensor] | None, origin: str, *, normalise: bool = True
) -> tuple[dict[str, Tensor], str]:
    """Published weights in the form of ``encoder``'s state, and the tag by which timm knows them.

    Args:
        encoder: Where they are to go.
        published: Tensors of a file under timm's names, or None: timm's own, downloaded or from its cache.
        origin: What to call them in messages.
        normalise: Fold the input normalisation that timm states for the model into the first convolution.

    Raises:
        CheckpointError: they cannot be had or do not fit, or the first convolution cannot be folded.
    """
    if not encoder.first_conv:
        raise CheckpointError(
            f"timm's {encoder.name} has no plain first convolution, so weights for RGB cannot be fitted to grey; take "
            "another encoder, or init=random"
        )
    overlay: dict[str, Any] = {}
    if published is not None:
        overlay = {"pretrained_cfg_overlay": {"state_dict": dict(published), "custom_load": False}}
    # Equal random weights in both: what is equal afterwards was not loaded.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        before = create(encoder.name).state_dict()
        torch.manual_seed(0)
        try:
            body = create(encoder.name, pretrained=True, **overlay)
        except Exception as error:  # whatever the hub, the network or torch raise
            if published is None:
                raise CheckpointError(
                    f"timm cannot get its weights of {encoder.name} ({_first_line(error)}); without a connection, give "
                    "a file that was downloaded elsewhere: imagenet:FILE"
                ) from error
            raise CheckpointError(f"{origin} does not fit timm's {encoder.name}: {_first_line(error)}") from error
    state = body.state_dict()
    missed = [name for name, tensor in state.items() if tensor.ndim > 1 and torch.equal(tensor, before[name])]
    if missed:
        raise CheckpointError(f"{origin} holds no weights for {missed[0]} of timm's {encoder.name}")
    config = getattr(body, "pretrained_cfg", None) or getattr(body, "default_cfg", None) or {}
    known = import_timm().get_pretrained_cfg(encoder.name)
    mean = config.get("mean") or getattr(known, "mean", None) or IMAGENET_MEAN
    std = config.get("std") or getattr(known, "std", None) or IMAGENET_STD
    weight = encoder.first_conv.removeprefix("body.")
    bias = f"{weight.removesuffix('weight')}bias"
    state[weight], shift = fold_rgb(state[weight], encoder.in_channels, mean=mean, std=std, normalise=normalise)
    state[bias] = state[bias] - shift if bias in state else -shift
    return {f"body.{name}": tensor for name, tensor in state.items()}, str(getattr(known, "tag", "") or "")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
