"""ShuffleNetV2 against torchvision's figures, and against torchvision itself where it is installed; DANet on top."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from plr_fast.errors import CheckpointError
from plr_fast.models import DANet, ShuffleNetV2, load_encoder, load_imagenet
from plr_fast.models.published import IMAGENET_MEAN, IMAGENET_STD
from plr_fast.models.shufflenet import ShuffleBlock
from tests.models.torchvision_here import torchvision_models

COUNTS = {0.5: 1_366_792, 1.0: 2_278_604, 1.5: 3_503_624, 2.0: 7_393_996}


def published(scale: float, seed: int = 3) -> ShuffleNetV2:
    """A network for RGB with weights and statistics as far from the initial ones as trained ones are."""
    torch.manual_seed(seed)
    network = ShuffleNetV2(3, scale)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.3)
            nn.init.normal_(module.running_mean, 0.0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network.eval()


def write(network: ShuffleNetV2, path: Path) -> Path:
    head = {"fc.weight": torch.zeros(1000, network.widths[-1]), "fc.bias": torch.zeros(1000)}
    torch.save({**network.state_dict(), **head}, path)
    return path


@pytest.mark.parametrize(("scale", "count"), list(COUNTS.items()))
def test_as_many_parameters_as_torchvision_states(scale: float, count: int) -> None:
    network = ShuffleNetV2(3, scale)
    head = 1000 * network.widths[-1] + 1000
    assert sum(parameter.numel() for parameter in network.parameters()) + head == count


@pytest.mark.parametrize("scale", list(COUNTS))
@pytest.mark.parametrize("size", [64, 97])
def test_same_output_as_torchvision(scale: float, size: int) -> None:
    models = torchvision_models()
    theirs = getattr(models, f"shufflenet_v2_x{str(scale).replace('.', '_')}")().eval()
    ours = published(scale)
    missing = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert missing.unexpected_keys == []
    assert missing.missing_keys == ["fc.weight", "fc.bias"]
    images = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        torch.testing.assert_close(theirs.fc(ours(images)[-1].mean((2, 3))), theirs(images), rtol=1e-5, atol=1e-5)


def test_feature_maps_and_sizes() -> None:
    maps = ShuffleNetV2(1, 0.5)(torch.rand(2, 1, 33, 70))
    assert [tuple(each.shape[2:]) for each in maps] == [(17, 35), (5, 9), (3, 5), (2, 3), (2, 3)]
    assert tuple(each.shape[1] for each in maps) == ShuffleNetV2(1, 0.5).widths
    assert DANet(0.5)(torch.rand(3, 1, 40, 40)).shape == (3,)


@pytest.mark.parametrize("channels", [1, 3])
def test_published_weights_mean_the_same_to_grey_slices(channels: int, tmp_path: Path) -> None:
    network = published(0.5)
    model = DANet(0.5, channels).eval()
    load_imagenet(model, write(network, tmp_path / "shufflenet.pth"))
    grey = torch.rand(1, 1, 128, 128)
    mean, std = torch.tensor(IMAGENET_MEAN).view(3, 1, 1), torch.tensor(IMAGENET_STD).view(3, 1, 1)
    with torch.inference_mode():
        expected = network((grey.expand(-1, 3, -1, -1) - mean) / std)
        found = model.encoder(grey.expand(-1, channels, -1, -1))
    # Zero padding differs at the border: one pixel in the first map, and one more by each 3×3 further down.
    for level, reach in enumerate((1, 4)):
        inside = (..., slice(reach, -reach), slice(reach, -reach))
        torch.testing.assert_close(found[level][inside], expected[level][inside], rtol=1e-4, atol=1e-4)
    assert (found[0] - expected[0]).abs().max() > 0.01


def test_other_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is ShuffleNetV2 x0\.5, this network is x1\.0"):
        load_imagenet(DANet(1.0), write(published(0.5), tmp_path / "half.pth"))
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(CheckpointError, match=r"no ShuffleNetV2 .*begins with features\.0\.weight"):
        load_imagenet(DANet(1.0), tmp_path / "vgg.pth")
    state = published(0.5).state_dict()
    torch.save({name: tensor for name, tensor in state.items() if "stage4" not in name}, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match="lacks what stage4"):
        load_imagenet(DANet(0.5), tmp_path / "part.pth")
    torch.save({**state, "stage9.weight": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(CheckpointError, match=r"holds stage9\.weight, for which"):
        load_imagenet(DANet(0.5), tmp_path / "more.pth")


def test_the_encoder_of_one_danet_goes_into_another(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    first, second = DANet(0.5), DANet(0.5)
    save_file(first.state_dict(), tmp_path / "model.safetensors")
    load_encoder(second, tmp_path)
    for name, tensor in first.encoder.state_dict().items():
        assert torch.equal(tensor, second.encoder.state_dict()[name])


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match=r"scale must be one of 0\.5, 1\.0, 1\.5, 2\.0"):
        DANet(0.75)
    with pytest.raises(ValueError, match="in_channels"):
        DANet(1.0, 0)


def test_a_block_interleaves_what_it_keeps_with_what_it_changes() -> None:
    block = ShuffleBlock(6, 6, 1).eval()
    features = torch.rand(1, 6, 5, 5)
    with torch.inference_mode():
        found = block(features)
        assert torch.equal(found[:, 0::2], features[:, :3])
        assert torch.equal(found[:, 1::2], block.branch2(features[:, 3:]))
