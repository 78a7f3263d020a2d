"""The U-Net: its shapes, its names, its arithmetic against functional torch, any input size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plr_fast.models import Decoder, Encoder, UNet
from plr_fast.models.unet import pad_to_stride

WIDTHS = (2, 3, 4, 5, 6)


def textbook(unet: UNet, images: Tensor) -> Tensor:
    """The network written out over its state dict, for sizes that 16 divides."""
    state = unet.state_dict()

    def conv(x: Tensor, part: str, number: int) -> Tensor:
        x = F.conv2d(x, state[f"{part}.conv{number}.weight"], state[f"{part}.conv{number}.bias"], padding=1)
        if f"{part}.norm{number}.weight" in state:
            name = f"{part}.norm{number}"
            scale = state[f"{name}.weight"] / (state[f"{name}.running_var"] + 1e-5).sqrt()
            x = (x - state[f"{name}.running_mean"][:, None, None]) * scale[:, None, None]
            x = x + state[f"{name}.bias"][:, None, None]
        return x.clamp(min=0)

    skips: list[Tensor] = []
    x = images
    for level in range(5):
        if level:
            b, c, h, w = x.shape
            x = x.reshape(b, c, h // 2, 2, w // 2, 2).amax(dim=(3, 5))
        x = conv(conv(x, "encoder", 2 * level + 1), "encoder", 2 * level + 2)
        skips.append(x)
    for step in range(4):
        x = x.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
        x = torch.cat([skips[3 - step], x], dim=1)
        x = conv(conv(x, "decoder", 2 * step + 1), "decoder", 2 * step + 2)
    weight, bias = state["decoder.output.weight"], state["decoder.output.bias"]
    return torch.einsum("oc,bchw->bohw", weight[:, :, 0, 0], x) + bias[:, None, None]


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_matches_the_network_written_out(norm: Any) -> None:
    torch.manual_seed(0)
    unet = UNet(2, 3, WIDTHS, norm)
    for name, buffer in unet.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 1.5)
    unet = unet.double().eval()
    images = torch.rand(2, 2, 32, 48, dtype=torch.float64)
    torch.testing.assert_close(unet(images), textbook(unet, images), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (7, 40), (15, 16), (16, 17), (33, 31)])
def test_any_size_equals_padding_by_hand_and_cropping(size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    unet = UNet(1, 1, WIDTHS).eval()
    images = torch.rand(2, 1, *size)
    rows, columns = -size[0] % 16, -size[1] % 16
    pads = ((0, 0), (0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    padded = torch.from_numpy(np.pad(images.numpy(), pads, mode="edge"))
    expected = unet(padded)[..., rows // 2 : rows // 2 + size[0], columns // 2 : columns // 2 + size[1]]
    restored = unet(images)
    assert restored.shape == images.shape
    torch.testing.assert_close(restored, expected, rtol=0, atol=0)


def test_sizes_that_fit_are_not_padded() -> None:
    images = torch.rand(1, 1, 32, 16)
    padded, offset = pad_to_stride(images)
    assert padded is images
    assert offset == (0, 0)


def test_encoder_has_the_convolutions_of_vgg13() -> None:
    encoder = Encoder()
    convolutions = [f"conv{number}" for number in range(1, 11)]
    assert [name for name, _ in encoder.named_children()] == convolutions
    assert all(getattr(encoder, name).kernel_size == (3, 3) for name in convolutions)
    # 9,404,992 weights and biases in the published VGG-13's convolutions, whose first sees three channels.
    assert sum(p.numel() for p in encoder.parameters()) == 9_404_992 - 2 * 64 * 9


def test_batch_norm_is_numbered_like_the_convolutions_and_keeps_their_bias() -> None:
    state = Encoder(1, WIDTHS, "batch").state_dict()
    assert {name.split(".")[0] for name in state} == {f"{k}{n}" for k in ("conv", "norm") for n in range(1, 11)}
    assert "conv10.bias" in state


def test_features_halve_from_level_to_level() -> None:
    features = Encoder(1, WIDTHS)(torch.rand(1, 1, 64, 32))
    assert [tuple(f.shape[1:]) for f in features] == [(w, 64 >> k, 32 >> k) for k, w in enumerate(WIDTHS)]


def test_a_hook_sees_the_convolution_before_its_activation() -> None:
    torch.manual_seed(2)
    encoder = Encoder(1, WIDTHS)
    seen: list[Tensor] = []
    assert isinstance(encoder.conv8, nn.Conv2d)
    encoder.conv8.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    features = encoder(torch.rand(1, 1, 32, 32))
    assert seen[0].min() < 0
    torch.testing.assert_close(seen[0].clamp(min=0), features[3])


def test_he_initialisation() -> None:
    torch.manual_seed(3)
    encoder = Encoder(1, (64, 64, 64, 64, 64))
    for number in range(2, 11):
        convolution = getattr(encoder, f"conv{number}")
        # 36,864 draws: the standard error of the deviation is 0.4 %.
        assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)
        assert not convolution.bias.any()
    # With it the signal keeps its size through the ten layers, the point of the scheme.
    images = torch.randn(4, 1, 64, 64)
    last = encoder(images)[-1]
    assert 0.1 < last.square().mean().item() / images.square().mean().item() < 10


def test_every_weight_gets_a_gradient() -> None:
    unet = UNet(1, 1, WIDTHS, "batch")
    unet(torch.rand(2, 1, 32, 32)).square().sum().backward()
    assert [name for name, p in unet.named_parameters() if p.grad is None] == []


def test_decoder_takes_any_pyramid() -> None:
    # Odd sizes, as a foreign encoder may give them.
    decoder = Decoder((3, 5, 7), out_channels=2)
    features = [torch.rand(1, 3, 21, 30), torch.rand(1, 5, 11, 15), torch.rand(1, 7, 6, 8)]
    assert decoder(features).shape == (1, 2, 21, 30)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"widths": (8, 16)}, "widths"),
        ({"widths": (8, 16, 32, 0, 8)}, "widths"),
        ({"norm": "group"}, "norm"),
        ({"in_channels": 0}, "in_channels"),
        ({"out_channels": 0}, "out_channels"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        UNet(**{"widths": WIDTHS, **arguments})


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.rand(1, 32, 32), r"\(1, 32, 32\)"),
        (torch.rand(1, 2, 32, 32), r"\(B, 1, H, W\)"),
        (torch.zeros(1, 1, 32, 32, dtype=torch.uint8), "uint8"),
        (torch.rand(1, 1, 0, 32), "empty"),
    ],
)
def test_bad_images_are_named(images: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        UNet(1, 1, WIDTHS)(images)
