"""R231 through the package lungmask: its real classes with a network that is known, and what is said without it."""

from __future__ import annotations

import sys
import urllib.error
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from plr_fast.data.lungs import r231
from plr_fast.data.lungs.r231 import lung_mask_r231
from plr_fast.errors import CheckpointError

Volume = npt.NDArray[np.int16]


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: tuple[float, float, float]) -> Any:
    axes = np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij")
    return sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radius, strict=True)) < 1


def chest() -> tuple[Volume, npt.NDArray[np.bool_]]:
    """Twelve slices of a body with two lungs; none in the first and the last one."""
    shape = (12, 96, 112)
    volume = np.full(shape, -1000, np.int16)
    volume[ball(shape, (6, 48, 56), (60, 40, 50))] = 40
    lungs = ball(shape, (6, 48, 32), (5, 26, 15)) | ball(shape, (6, 48, 80), (5, 26, 15))
    volume[lungs] = -800
    return volume, lungs


class Threshold(torch.nn.Module):
    """Lung where the network's input says -950..-500 HU (the package maps -1024..600 HU to 0..1): class 1 in the left
    half of the picture, class 2 in the right half, as the real one tells the lungs apart."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        units = batch * 1624 - 1024
        lung = ((units > -950) & (units < -500)).float()
        left = (torch.arange(lung.shape[-1]) < lung.shape[-1] // 2).float()
        return torch.cat([1 - lung, lung * left, lung * (1 - left)], dim=1)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    r231._load.cache_clear()
    monkeypatch.setitem(sys.modules, "lungmask", None)
    yield
    r231._load.cache_clear()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the real network, as a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("lungmask", reason="the extra 'lungmask' is not installed")
        from lungmask.resunet import UNet
    torch.manual_seed(0)
    network = UNet(n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
    with torch.no_grad():
        network.last.bias.copy_(torch.tensor([0.0, 50.0, 0.0]))  # lung everywhere
    file = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), file)
    return file


@pytest.fixture
def thresholding(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inferer = r231._load("R231", *r231._identify(weights))
    monkeypatch.setattr(inferer, "model", Threshold())
    return weights


def test_the_package_is_missing(no_package: None) -> None:
    with pytest.raises(ImportError, match=r"needs the package lungmask .*pip install 'plr-fast\[lungmask\]'"):
        lung_mask_r231(chest()[0])


@pytest.mark.parametrize(
    ("volume", "named", "error", "text"),
    [
        (np.zeros((4, 64, 64), np.uint8), {}, TypeError, "got uint8: 8-bit pictures are no HU"),
        (np.linspace(0, 1, 64 * 64).reshape(64, 64), {}, ValueError, "as grey pictures do"),
        (np.arange(4096, dtype=np.int16).reshape(64, 64), {}, ValueError, "slope and intercept"),
        (np.full((2, 64, 64), np.nan), {}, ValueError, r"images\[0\] holds NaN"),
        (np.zeros((4, 3, 64, 64), np.int16), {}, ValueError, r"\(B, 1, H, W\)"),
        ([[0]], {}, TypeError, "got list"),
        (chest()[0], {"model": "LTRCLobes"}, ValueError, "model must be one of R231, R231CovidWeb, not 'LTRCLobes'"),
        (chest()[0], {"batch_size": 0}, ValueError, "batch_size must be an integer of at least 1"),
        (chest()[0], {"max_share": 2}, ValueError, "max_share must lie in"),
        (
            chest()[0],
            {"weights": "/nowhere/r231.pth"},
            CheckpointError,
            "/nowhere/r231.pth cannot be read: No such file",
        ),
    ],
)
def test_wrong_input(volume: Any, named: dict[str, Any], error: type[Exception], text: str) -> None:
    """Told before the package is looked for."""
    with pytest.raises(error, match=text):
        lung_mask_r231(volume, **named)


def test_no_slices_need_no_network(no_package: None) -> None:
    masks, qualities = lung_mask_r231(np.zeros((0, 64, 64), np.int16), return_quality=True)
    assert masks.shape == (0, 64, 64)
    assert qualities == []


class TestWithThePackage:
    @pytest.mark.parametrize("connected", [True, False])
    def test_masks_come_back_in_place(self, thresholding: Path, connected: bool) -> None:
        volume, lungs = chest()
        masks, qualities = lung_mask_r231(
            volume, weights=thresholding, connected=connected, batch_size=5, return_quality=True
        )
        assert masks.dtype == np.bool_
        overlap = 2 * (masks & lungs).sum() / (masks.sum() + lungs.sum())
        assert overlap > 0.9
        assert [quality.ok for quality in qualities[2:-2]] == [True] * 8
        assert {quality.method for quality in qualities} == {"R231"}
        assert qualities[6].components == 2
        if connected:  # bits of the skin, blurred to the grey of lung, go where the volume is seen as a whole
            assert qualities[0].reason == "nothing looks like a lung"
            assert not masks[[0, -1]].any()

    @pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.float16, torch.float32, torch.float64])
    def test_kinds(self, thresholding: Path, dtype: torch.dtype) -> None:
        volume, _ = chest()
        expected = lung_mask_r231(volume, weights=thresholding)
        tensor = torch.from_numpy(volume).to(dtype)[:, None]
        before = tensor.clone()
        masks = lung_mask_r231(tensor, weights=thresholding)
        assert isinstance(masks, torch.Tensor)
        assert masks.shape == tensor.shape
        assert (masks[:, 0].numpy() != expected).mean() < 0.002  # rounding where the package resizes
        assert torch.equal(tensor, before)

    def test_a_single_slice(self, thresholding: Path) -> None:
        volume, _ = chest()
        mask, (quality,) = lung_mask_r231(volume[6], weights=thresholding, return_quality=True)
        assert mask.shape == volume[6].shape
        assert quality.area_share == np.count_nonzero(mask) / mask.size > 0.05

    def test_the_real_network(self, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
        filters = list(warnings.filters)
        r231._load.cache_clear()
        volume, _ = chest()
        mask = lung_mask_r231(volume[6], weights=weights)
        assert mask.mean() > 0.5  # the whole box around the body, as the weights have it
        assert warnings.filters == filters
        assert capsys.readouterr().out == ""  # the package speaks on standard output

    def test_air_alone(self, thresholding: Path) -> None:
        assert not lung_mask_r231(np.full((2, 32, 48), -1000, np.int16), weights=thresholding).any()

    @pytest.mark.usefixtures("weights")
    @pytest.mark.parametrize("content", ["text", "list", "other network"])
    def test_wrong_weights(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "wrong.pth"
        if content == "text":
            file.write_text("Not Found")
        else:
            torch.save([1, 2] if content == "list" else {"layer.weight": torch.zeros(3, 3)}, file)
        text = {"text": "no file of tensors", "list": "not a state_dict", "other network": "do not fit the network"}
        with pytest.raises(CheckpointError, match=text[content]):
            lung_mask_r231(chest()[0], weights=file)

    @pytest.mark.usefixtures("weights")
    def test_no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*arguments: Any, **named: Any) -> Any:
            raise urllib.error.URLError("Name or service not known")

        r231._load.cache_clear()
        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fails)
        with pytest.raises(
            CheckpointError, match=r"could not be downloaded .*get https://.* weights=\.\.\., or put it"
        ):
            lung_mask_r231(chest()[0])
