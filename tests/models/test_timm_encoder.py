"""Encoders of timm: with a stand-in that keeps its contract, and with timm itself where it can be imported."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from plr_fast.errors import CheckpointError
from plr_fast.models import Classifier, Encoder, TimmEncoder, UNet, load_imagenet
from tests.models import timm_double
from tests.models.torchvision_here import real_timm

DOUBLES = ("full", "half", "quarter_last", "twice")
REAL = ("resnet18", "convnext_atto", "mobilenetv3_small_100", "efficientnet_b0")


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = timm_double.make()
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


@pytest.fixture(params=[*DOUBLES, *REAL])
def name(request: pytest.FixtureRequest) -> str:
    if request.param in REAL:
        real_timm()
    else:
        request.getfixturevalue("double")
    return str(request.param)


def library() -> Any:
    return sys.modules["timm"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_unet_restores_any_size_with_gradients_everywhere(name: str, channels: int) -> None:
    encoder = TimmEncoder(name, channels)
    unet = UNet(channels, 1, norm="batch", encoder=encoder)
    assert len(unet.image_levels) == {1: 0, 2: 1, 4: 2}[encoder.finest]
    images = torch.rand(2, channels, 75, 40)
    restored = unet(images)
    assert restored.shape == (2, 1, 75, 40)
    restored.square().mean().backward()
    for part, parameter in unet.named_parameters():
        assert parameter.grad is not None, part
    maps = encoder(torch.rand(1, channels, 4 * encoder.stride, 2 * encoder.stride))
    assert tuple(each.shape[1] for each in maps) == encoder.widths
    assert maps[0].shape[2] == 4 * encoder.stride // encoder.finest
    assert maps[-1].shape[2:] == (4, 2)


def test_a_classifier_pools_the_coarsest_map(name: str) -> None:
    model = Classifier(hidden=7, encoder=TimmEncoder(name)).eval()
    images = torch.rand(3, 1, 64, 64)
    with torch.inference_mode():
        pooled = model.encoder(images)[-1].mean((2, 3))
        torch.testing.assert_close(model(images), model.output(model.hidden(pooled).relu())[:, 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_published_weights_mean_the_same_to_grey_slices(name: str, channels: int, tmp_path: Path) -> None:
    timm = library()
    published = timm_double.trained(timm, name)
    published_state = published.state_dict()
    # A file holds the whole model; timm puts its names into the form of the feature network.
    if name in REAL:
        torch.manual_seed(4)
        whole = timm.create_model(name, in_chans=3)
        published_state = whole.state_dict()
        published = timm.create_model(
            name, features_only=True, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(published_state)}
        ).eval()
    torch.save(published_state, tmp_path / "weights.pth")
    model = Classifier(encoder=TimmEncoder(name, channels), in_channels=channels).eval()
    load_imagenet(model, tmp_path / "weights.pth")
    config = timm.get_pretrained_cfg(name)
    mean, std = torch.tensor(config.mean).view(3, 1, 1), torch.tensor(config.std).view(3, 1, 1)
    grey = torch.rand(1, 1, 64, 64)
    first = model.encoder.first_conv.removesuffix(".weight")
    # What the first convolution gives, so that nothing behind it (such as squeeze-and-excitation, which pools the whole
    # map with its border) blurs where it is exact. Behind it stand a batch or layer norm and the rest, unchanged.
    expected = output_of(published, first.removeprefix("body."), (grey.expand(-1, 3, -1, -1) - mean) / std)
    found = output_of(model.encoder, first, grey.expand(-1, channels, -1, -1))
    inside = (..., slice(4, -4), slice(4, -4))
    assert expected[inside].std() > 0.01
    torch.testing.assert_close(found[inside], expected[inside], rtol=1e-4, atol=1e-4)
    theirs, ours = published.state_dict(), model.encoder.state_dict()
    for key, tensor in theirs.items():
        if not f"body.{key}".startswith(first):
            assert torch.equal(ours[f"body.{key}"], tensor), key


def output_of(model: nn.Module, part: str, images: torch.Tensor) -> torch.Tensor:
    """What the module called ``part`` gives when ``model`` sees ``images``."""
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(part).register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.inference_mode():
        model(images)
    handle.remove()
    return seen[0]


def test_timms_own_weights_and_what_is_said_offline(double: Any) -> None:
    from plr_fast.models.imagenet import load_timm_pretrained

    model = Classifier(encoder=TimmEncoder("half"))
    with pytest.raises(CheckpointError, match=r"cannot get its weights of half \(no network\).*imagenet:FILE"):
        load_timm_pretrained(model)
    double.hub["half"] = timm_double.trained(double, "half").state_dict()
    assert load_timm_pretrained(model) == "test_in1k"
    assert torch.equal(model.encoder.body.stage1_conv.weight, double.hub["half"]["stage1_conv.weight"])
    with pytest.raises(TypeError, match="none of timm's"):
        load_timm_pretrained(Classifier((2, 2, 2, 2, 2)))


def test_files_that_do_not_fit_change_nothing(double: Any, tmp_path: Path) -> None:
    model = Classifier(encoder=TimmEncoder("half"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = timm_double.trained(double, "half").state_dict()
    cases = {
        r"holds no weights for stage2_conv\.weight": {k: v for k, v in state.items() if "stage2" not in k},
        "does not fit timm's half": {**state, "elsewhere": torch.zeros(1)},
        r"does not fit timm's half: Error\(s\)": {**state, "stage1_conv.weight": torch.zeros(1, 1)},
    }
    for words, content in cases.items():
        torch.save(content, tmp_path / "weights.pth")
        with pytest.raises(CheckpointError, match=words):
            load_imagenet(model, tmp_path / "weights.pth")
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())


def test_kernels_that_do_not_act_as_they_are_cannot_be_folded(double: Any, tmp_path: Path) -> None:
    model = Classifier(encoder=TimmEncoder("patches"))
    assert model.encoder.first_conv == ""
    torch.save(timm_double.trained(double, "patches").state_dict(), tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="no plain first convolution"):
        load_imagenet(model, tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("hal", "no model 'hal'; did you mean half"),
        ("flat", r"maps at 1/8, 1/8 of the image: no pyramid"),
        ("fixed", r"does not take 16×16 images \(Input height \(16\) doesn't match"),
        ("whole", "gives no feature maps: features_only not implemented"),
    ],
)
def test_models_that_do_not_serve(double: Any, model: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TimmEncoder(model)


def test_missing_timm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'plr-fast\[zoo\]'"):
        TimmEncoder("resnet18")


def test_channels_must_agree() -> None:
    with pytest.raises(ValueError, match="encoder takes 3 channels, but in_channels is 1"):
        UNet(1, 1, encoder=Encoder(3, (2, 2, 2, 2, 2)))


def test_weights_depend_on_the_seed_alone(double: Any) -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(9)
        networks.append(TimmEncoder("half"))
    for first, second in zip(*(network.state_dict().values() for network in networks), strict=True):
        assert torch.equal(first, second)


def test_unlike_encoders_are_told_apart(double: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from plr_fast.models import load_encoder

    save_file(UNet(1, 1, (2, 2, 2, 2, 2)).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="holds another kind of encoder"):
        load_encoder(Classifier(encoder=TimmEncoder("half")), tmp_path)
    unet = UNet(1, 1, norm="batch", encoder=TimmEncoder("half"))
    save_file(unet.state_dict(), tmp_path / "model.safetensors")
    model = Classifier(hidden=3, encoder=TimmEncoder("half", 3), in_channels=3)
    load_encoder(model, tmp_path, inflate=True)
    torch.testing.assert_close(
        model.encoder.body.stage0_conv.weight.sum(dim=1, keepdim=True), unet.encoder.body.stage0_conv.weight
    )
    assert isinstance(model.encoder, nn.Module)
