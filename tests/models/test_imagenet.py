"""Published VGG-13 weights: our encoder computes what the published network does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from plr_fast.errors import CheckpointError
from plr_fast.models import Classifier, UNet, load_imagenet
from plr_fast.models.published import IMAGENET_MEAN, IMAGENET_STD, fold_rgb, read_published

WIDTHS = (64, 128, 256, 512, 512)
SIZE = 192
# Pixels at each level that zero padding reaches from the border: two convolutions each, halved on the way down.
REACH = (2, 3, 4, 4, 4)


class Vgg13(nn.Module):
    """As torchvision lays it out: convolutions, optional batch norms, ReLUs and poolings in one ``features``."""

    def __init__(self, norm: bool, widths: tuple[int, ...] = WIDTHS, depths: tuple[int, ...] = (2, 2, 2, 2, 2)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.ends: list[int] = []
        channels = 3
        for width, depth in zip(widths, depths, strict=True):
            for _ in range(depth):
                convolution = nn.Conv2d(channels, width, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                nn.init.normal_(convolution.bias, 0.0, 0.3)
                layers.append(convolution)
                if norm:
                    layers.append(batch_norm(width))
                layers.append(nn.ReLU())
                channels = width
            self.ends.append(len(layers) - 1)
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(4, 4)

    def forward(self, images: Tensor) -> list[Tensor]:
        levels = []
        for number, layer in enumerate(self.features):
            images = layer(images)
            if number in self.ends:
                levels.append(images)
        return levels


def batch_norm(width: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(width)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    nn.init.normal_(layer.bias, 0.0, 0.3)
    nn.init.normal_(layer.running_mean, 0.0, 0.3)  # type: ignore[arg-type]
    nn.init.uniform_(layer.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return layer


def normalised(images: Tensor) -> Tensor:
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    return (images.expand(-1, 3, -1, -1) - mean) / std


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "bn"])
def vgg(request: pytest.FixtureRequest) -> Vgg13:
    torch.manual_seed(5)
    return Vgg13(request.param).eval()


def norm_of(vgg: Vgg13) -> Any:
    return "batch" if any(isinstance(layer, nn.BatchNorm2d) for layer in vgg.features) else "none"


def test_feature_maps_are_those_of_the_published_network(vgg: Vgg13, tmp_path: Path) -> None:
    torch.save(vgg.state_dict(), tmp_path / "vgg13.pth")
    unet = UNet(1, 1, WIDTHS, norm_of(vgg)).eval()
    load_imagenet(unet, tmp_path / "vgg13.pth")
    images = torch.rand(1, 1, SIZE, SIZE)
    with torch.inference_mode():
        theirs, ours = vgg(normalised(images)), unet.encoder(images)
    for level, reach in enumerate(REACH):
        inside = (..., slice(reach, -reach), slice(reach, -reach))
        expected, found = theirs[level][inside], ours[level][inside]
        assert expected.std() > 0.1
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        border = (ours[level] - theirs[level]).abs().max()
        assert border > 0.01, "the border is known to differ; if it does not, the docs are wrong"


def test_summed_kernels_are_exact_up_to_the_border(vgg: Vgg13, tmp_path: Path) -> None:
    torch.save({"state_dict": {f"module.{k}": v for k, v in vgg.state_dict().items()}}, tmp_path / "wrapped.pth")
    classifier = Classifier(WIDTHS, norm_of(vgg)).eval()
    load_imagenet(classifier, tmp_path / "wrapped.pth", normalise=False)
    images = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        expected, found = vgg(images.expand(-1, 3, -1, -1)), classifier.encoder(images)
    for theirs, ours in zip(expected, found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_several_equal_channels_act_as_one(tmp_path: Path) -> None:
    save_file(Vgg13(False).state_dict(), tmp_path / "vgg13.safetensors")
    one, three = UNet(1, 1, WIDTHS), UNet(3, 1, WIDTHS)
    for unet in (one, three):
        load_imagenet(unet, tmp_path / "vgg13.safetensors")
    images = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        found = three.encoder(images.expand(-1, 3, -1, -1))[0]
        torch.testing.assert_close(found, one.encoder(images)[0], rtol=1e-4, atol=1e-5)


def test_folding_by_hand() -> None:
    weight = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1, 1)
    kernel, shift = fold_rgb(weight, 2, mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0))
    assert kernel.flatten().tolist() == [3.0, 3.0]  # (2 + 2 + 2) / 2
    assert shift.tolist() == [1.5]  # 2 · 0.5 + 2 · 0.25
    kernel, shift = fold_rgb(weight, 1, normalise=False)
    assert (kernel.flatten().tolist(), shift.tolist()) == ([7.0], [0.0])


def refused(model: nn.Module, path: Path, words: str) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=words):
        load_imagenet(model, path)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())


NARROW = (4, 4, 4, 4, 4)


@pytest.mark.parametrize(
    ("vgg", "model", "words"),
    [
        (
            Vgg13(False, NARROW),
            Classifier(NARROW),
            r"widths are 64-128-256-512-512; .* 4-4-4-4-4: give --widths 64 128",
        ),
        (Vgg13(True, NARROW, (2, 2, 3, 3, 3)), Classifier(NARROW), "is VGG-16"),
        (Vgg13(True), Classifier(WIDTHS), "with batch norm, this network has norm='none': give --norm batch"),
        (Vgg13(False), Classifier(WIDTHS, "batch"), "without batch norm, .* give --norm none"),
        (nn.Linear(2, 2), Classifier(NARROW), r"no tensor named features\.N\.weight.*begins with weight"),
    ],
)
def test_other_networks_are_refused_and_nothing_loaded(
    vgg: nn.Module, model: Classifier, words: str, tmp_path: Path
) -> None:
    torch.save(vgg.state_dict(), tmp_path / "other.pth")
    refused(model, tmp_path / "other.pth", words)


def test_incomplete_files_are_refused(tmp_path: Path) -> None:
    state = Vgg13(False).state_dict()
    model = Classifier(WIDTHS)
    torch.save({**state, "features.5.weight": state["features.5.weight"][:, :3]}, tmp_path / "shape.pth")
    refused(model, tmp_path / "shape.pth", r"conv3\.weight would be \(128, 3, 3, 3\), but must be \(128, 64, 3, 3\)")
    torch.save({**state, "features.0.weight": state["features.0.weight"][:, :1]}, tmp_path / "grey.pth")
    refused(model, tmp_path / "grey.pth", "not for RGB")
    del state["features.7.bias"]
    torch.save(state, tmp_path / "part.pth")
    refused(model, tmp_path / "part.pth", r"lacks the tensor features\.7\.bias")


class Dangerous:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    torch.save({"a": Dangerous()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        read_published(tmp_path / "evil.pth")
    torch.save(nn.Conv2d(1, 1, 1), tmp_path / "module.pth")
    with pytest.raises(CheckpointError, match=r"holds more than tensors.* or as \.safetensors$") as caught:
        read_published(tmp_path / "module.pth")
    assert "\x1b" not in str(caught.value)
    (tmp_path / "text.pth").write_text("not weights at all")
    with pytest.raises(CheckpointError, match=r"text\.pth"):
        read_published(tmp_path / "text.pth")
    (tmp_path / "list.pth").write_text("root:x:0:0:root:/root:/bin/bash\n")  # pickle codes, as it happens
    with pytest.raises(CheckpointError, match=r"list\.pth"):
        read_published(tmp_path / "list.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x20\x00")
    with pytest.raises(CheckpointError, match="damaged"):
        read_published(tmp_path / "cut.safetensors")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(CheckpointError, match="no named tensors"):
        read_published(tmp_path / "empty.pth")
    torch.save({"w": torch.tensor([torch.nan])}, tmp_path / "nan.pth")
    with pytest.raises(CheckpointError, match="NaN or infinity in w"):
        read_published(tmp_path / "nan.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_published(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        read_published(tmp_path / "nowhere.pth")


def test_networks_without_such_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Linear"):
        load_imagenet(nn.Linear(1, 1), tmp_path / "any.pth")
