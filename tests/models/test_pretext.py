"""The U-Net with further tasks: a U-Net to whoever calls it as one, and a classifier's head that moves on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from plr_fast.errors import CheckpointError
from plr_fast.models import Classifier, PretextUNet, UNet, load_encoder, load_head
from plr_fast.models.unet import pad_to_stride

WIDTHS = (2, 3, 4, 4, 5)


def images(size: tuple[int, int] = (20, 37), channels: int = 1) -> Tensor:
    return torch.rand((3, channels, *size), generator=torch.Generator().manual_seed(1))


def test_its_encoder_starts_as_the_plain_u_nets() -> None:
    torch.manual_seed(4)
    plain = UNet(1, 1, WIDTHS, "batch")
    torch.manual_seed(4)
    wide = PretextUNet(1, WIDTHS, "batch", hidden=6)
    for name, tensor in plain.encoder.state_dict().items():
        assert torch.equal(wide.encoder.state_dict()[name], tensor), name


@pytest.mark.parametrize("features", ["last", "all"])
def test_outputs_are_those_of_its_parts(features: str) -> None:
    unet = PretextUNet(3, WIDTHS, "batch", hidden=6, features=features).eval()  # type: ignore[arg-type]
    x = images(channels=3)
    plain = UNet(3, 2, WIDTHS, "batch").eval()
    plain.load_state_dict({name: t for name, t in unet.state_dict().items() if name[:6] not in ("hidden", "output")})
    outputs = unet(x, heads=True)
    both = plain(x)
    assert torch.equal(outputs.restored, both[:, :1])
    assert torch.equal(outputs.altered, both[:, 1:])
    assert torch.equal(unet(x), both[:, :1])
    maps = unet.encoder(pad_to_stride(x)[0])
    levels = maps if features == "all" else maps[-1:]
    pooled = torch.cat([level.flatten(2).mean(dim=2) for level in levels], dim=1)
    hidden = (pooled @ unet.hidden.weight.T + unet.hidden.bias).clamp(min=0.0)
    torch.testing.assert_close(outputs.presence, (hidden @ unet.output.weight[0]) + unet.output.bias)


@pytest.mark.parametrize("features", ["last", "all"])
def test_its_head_is_the_classifiers(features: str, tmp_path: Path) -> None:
    unet = PretextUNet(1, WIDTHS, "batch", hidden=6, features=features).eval()  # type: ignore[arg-type]
    file = tmp_path / "model.safetensors"
    save_file(unet.state_dict(), file)
    classifier = Classifier(WIDTHS, "batch", 6, features=features).eval()  # type: ignore[arg-type]
    load_encoder(classifier, file)
    assert not torch.equal(classifier(images()), unet(images(), heads=True).presence)
    assert load_head(classifier, file)
    assert torch.equal(classifier(images()), unet(images(), heads=True).presence)


def test_tasks_can_be_had_alone() -> None:
    mask = PretextUNet(1, WIDTHS, presence=False)(images(), heads=True)
    assert (mask.presence, mask.altered.shape) == (None, (3, 1, 20, 37))
    presence = PretextUNet(1, WIDTHS, mask=False)(images(), heads=True)
    assert (presence.altered, presence.presence.shape) == (None, (3,))


def test_every_weight_gets_a_gradient() -> None:
    unet = PretextUNet(1, WIDTHS, "batch", hidden=6, features="all")
    outputs = unet(images(), heads=True)
    total = sum(F.mse_loss(part, torch.ones_like(part)) for part in outputs)
    total.backward()
    assert [name for name, parameter in unet.named_parameters() if parameter.grad is None] == []


def test_heads_that_are_not_there_or_do_not_fit(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    classifier = Classifier(WIDTHS, "batch", 6)
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    for other in (UNet(1, 1, WIDTHS, "batch"), Classifier(WIDTHS, "batch", 6), PretextUNet(1, WIDTHS, presence=False)):
        save_file(other.state_dict(), file)
        assert not load_head(classifier, file)
    for misfit in (
        PretextUNet(1, WIDTHS, "batch", hidden=7),
        PretextUNet(1, WIDTHS, "batch", hidden=6, features="all"),
    ):
        save_file(misfit.state_dict(), file)
        with pytest.raises(CheckpointError, match=r"hidden.weight is .* there, \(6, 5\) here.*--init-head off"):
            load_head(classifier, file)
    broken = PretextUNet(1, WIDTHS, "batch", hidden=6).state_dict()
    broken["output.bias"] = torch.tensor([float("nan")])
    save_file(broken, file)
    with pytest.raises(CheckpointError, match=r"NaN or infinity in output\.bias"):
        load_head(classifier, file)
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.state_dict().items())


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match="hidden must be 1 or more"):
        PretextUNet(1, WIDTHS, hidden=0)
    with pytest.raises(ValueError, match="features must be 'last' or 'all'"):
        Classifier(WIDTHS, features="first")  # type: ignore[arg-type]
