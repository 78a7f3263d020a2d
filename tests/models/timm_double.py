"""A stand-in for timm that keeps its contract: names, ``create_model(features_only=True)``, feature_info, weights."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)

# Channels and strides of the maps.
MODELS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "full": ((4, 6), (1, 2)),
    "half": ((6, 8, 12), (2, 4, 8)),
    "quarter_last": ((8, 12), (4, 8)),
    "twice": ((6, 7, 8, 12), (2, 2, 4, 8)),
    "flat": ((8, 8), (8, 8)),
    "fixed": ((8, 12), (4, 8)),
    "patches": ((8, 12), (4, 8)),
    "whole": ((8,), (8,)),
}


class FeatureInfo:
    """``channels()`` and ``reduction()``, as timm's class of that name."""

    def __init__(self, channels: tuple[int, ...], reductions: tuple[int, ...]) -> None:
        self._channels, self._reductions = list(channels), list(reductions)

    def channels(self) -> list[int]:
        return self._channels

    def reduction(self) -> list[int]:
        return self._reductions


class Features(nn.Module):
    """Strided convolutions with batch norm; the first has no bias, as in most of timm's models."""

    def __init__(self, name: str, in_chans: int) -> None:
        super().__init__()
        channels, reductions = MODELS[name]
        self.name = name
        self.feature_info = FeatureInfo(channels, reductions)
        inputs, before = in_chans, 1
        for number, (width, reduction) in enumerate(zip(channels, reductions, strict=True)):
            step = reduction // before
            self.add_module(f"stage{number}_conv", nn.Conv2d(inputs, width, 3, step, padding=1, bias=False))
            self.add_module(f"stage{number}_bn", nn.BatchNorm2d(width))
            inputs, before = width, reduction
        if name == "patches":
            self.stage0_conv = Standardised(in_chans, channels[0], 3, 4, padding=1, bias=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        if self.name == "fixed":
            assert images.shape[-1] == 224, f"Input height ({images.shape[-1]}) doesn't match model (224)."
        maps = []
        for number in range(len(self.feature_info.channels())):
            images = getattr(self, f"stage{number}_bn")(getattr(self, f"stage{number}_conv")(images)).relu()
            maps.append(images.movedim(1, -1) if self.name == "quarter_last" else images)
        return maps


class Standardised(nn.Conv2d):
    """A convolution whose kernels do not act as they are."""


def make() -> ModuleType:
    """The module; ``pretrained=True`` without given weights fails, as timm does without a network."""
    module = ModuleType("timm")
    hub: dict[str, dict[str, Tensor]] = {}

    def create_model(
        name: str,
        *,
        features_only: bool,
        in_chans: int = 3,
        pretrained: bool = False,
        pretrained_cfg_overlay: dict[str, Any] | None = None,
    ) -> nn.Module:
        assert features_only
        if name == "whole":
            raise RuntimeError("features_only not implemented for it")
        model = Features(name, in_chans)
        if pretrained:
            state = (pretrained_cfg_overlay or {}).get("state_dict", hub.get(name))
            if state is None:
                raise ConnectionError("no network\nat all")
            missing = model.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")}, strict=False)
            if missing.unexpected_keys:
                raise RuntimeError(f"unexpected keys: {missing.unexpected_keys}")
        return model

    contents = {
        "__version__": "1.0.double",
        "is_model": MODELS.__contains__,
        "list_models": lambda: sorted(MODELS),
        "create_model": create_model,
        "get_pretrained_cfg": lambda _: SimpleNamespace(mean=MEAN, std=STD, tag="test_in1k"),
        "hub": hub,
    }
    for key, value in contents.items():
        setattr(module, key, value)
    return module


def trained(timm: Any, name: str, seed: int = 2) -> nn.Module:
    """A feature network for RGB with weights and statistics unlike any fresh ones."""
    torch.manual_seed(seed)
    model: nn.Module = timm.create_model(name, features_only=True, in_chans=3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.3)
            nn.init.normal_(module.running_mean, 0.0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model.eval()
