"""Weight transfer: all of the encoder or an error that says what differs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from plr_fast.errors import CheckpointError
from plr_fast.models import Classifier, Encoder, UNet, describe_encoder, load_encoder, read_encoder

WIDTHS = (2, 3, 4, 5, 6)


def saved(unet: nn.Module, folder: Path, name: str = "checkpoints/best/model.safetensors") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(unet.state_dict(), path)
    return folder


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("source", ["", "checkpoints/best", "checkpoints/best/model.safetensors"])
def test_encoder_arrives_bit_for_bit_and_nothing_else_changes(norm: str, source: str, tmp_path: Path) -> None:
    unet = UNet(1, 1, WIDTHS, norm)  # type: ignore[arg-type]
    unet(torch.rand(2, 1, 32, 32))  # moves the running statistics, which belong to the transfer
    saved(unet, tmp_path)
    model = Classifier(WIDTHS, norm, hidden=7)  # type: ignore[arg-type]
    head = {name: tensor.clone() for name, tensor in model.state_dict().items() if not name.startswith("encoder.")}
    load_encoder(model, tmp_path / source)
    for name, tensor in unet.encoder.state_dict().items():
        assert torch.equal(tensor, model.encoder.state_dict()[name]), name
    for name, tensor in head.items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_checkpoint_left_by_a_kill_between_two_renames_is_found(tmp_path: Path) -> None:
    unet = UNet(1, 1, WIDTHS)
    saved(unet, tmp_path, "checkpoints/.best.old/model.safetensors")
    state = read_encoder(tmp_path)
    assert torch.equal(state["conv1.weight"], unet.state_dict()["encoder.conv1.weight"])


def test_description() -> None:
    assert describe_encoder(Encoder(3, WIDTHS, "batch").state_dict()) == {
        "widths": WIDTHS,
        "norm": "batch",
        "in_channels": 3,
    }


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        (UNet(1, 1, (2, 3, 4, 5, 7)), r"widths \(2, 3, 4, 5, 7\) there, \(2, 3, 4, 5, 6\) here"),
        (UNet(1, 1, WIDTHS, "batch"), "norm batch there, none here"),
        (UNet(3, 1, WIDTHS), "in_channels 3 there, 1 here"),
    ],
)
def test_what_differs_is_said_and_nothing_loaded(theirs: UNet, words: str, tmp_path: Path) -> None:
    model = Classifier(WIDTHS, hidden=7)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=words):
        load_encoder(model, saved(theirs, tmp_path))
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in before.items())


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    state = UNet(1, 1, WIDTHS).state_dict()
    del state["encoder.conv3.bias"]
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(CheckpointError, match=r"missing: conv3\.bias"):
        load_encoder(Classifier(WIDTHS, hidden=7), tmp_path / "part.safetensors")


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    unet = UNet(1, 1, WIDTHS)
    nn.init.constant_(unet.encoder.conv4.bias, torch.nan)  # type: ignore[arg-type, union-attr]
    with pytest.raises(CheckpointError, match=r"NaN or infinity in encoder\.conv4\.bias"):
        read_encoder(saved(unet, tmp_path))


def test_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    whole = saved(UNet(1, 1, WIDTHS), tmp_path) / "checkpoints/best/model.safetensors"
    whole.write_bytes(whole.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="damaged"):
        read_encoder(tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="no encoder"):
        read_encoder(tmp_path / "other.safetensors")


def test_places_without_a_checkpoint_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        read_encoder(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="is it a run folder"):
        read_encoder(tmp_path / "folder")
    (tmp_path / "run/checkpoints/last").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="no best checkpoint yet"):
        read_encoder(tmp_path / "run")


def test_a_model_without_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Linear"):
        load_encoder(nn.Linear(1, 1), tmp_path)
