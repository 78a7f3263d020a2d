"""Checkpoints: what goes in comes out; damage is named; a failed save leaves the former one."""

from __future__ import annotations

import json
import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from plr_fast.errors import CheckpointError, StorageError
from plr_fast.training import checkpoint as module
from plr_fast.training.checkpoint import (
    Checkpoint,
    decode,
    encode,
    find_checkpoint,
    flatten_optimizer,
    load_checkpoint,
    save_checkpoint,
    unflatten_optimizer,
)


def example(value: float = 1.0) -> Checkpoint:
    return Checkpoint({"a.weight": torch.full((2, 3), value)}, {"0/step": torch.tensor(value)}, {"value": value})


def value_at(folder: Path) -> float:
    loaded = load_checkpoint(folder)
    assert loaded.optimizer is not None
    assert loaded.state["value"] == loaded.optimizer["0/step"].item() == loaded.model["a.weight"][0, 0].item()
    return float(loaded.state["value"])


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """What a disk with ``size`` bytes left does: a longer file fails to be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_round_trip_is_exact(tmp_path: Path) -> None:
    numbers = {
        "inf": math.inf,
        "minus": -math.inf,
        "third": 1 / 3,
        "none": None,
        "list": [1, 2.5e-17],
        "no": {"x": True},
    }
    tensors = {
        "half": torch.rand(3, 4).half(),
        "strided": torch.rand(4, 6)[:, ::2],
        "count": torch.tensor(7),
        "nothing": torch.zeros(0, 3),
    }
    save_checkpoint(tmp_path / "last", Checkpoint(tensors, None, {"numbers": numbers}))
    loaded = load_checkpoint(tmp_path / "last")
    assert loaded.optimizer is None
    assert loaded.state["numbers"] == numbers
    assert loaded.model.keys() == tensors.keys()
    assert all(
        torch.equal(tensor, loaded.model[name]) and tensor.dtype == loaded.model[name].dtype
        for name, tensor in tensors.items()
    )
    assert math.isnan(decode(json.loads(json.dumps(encode({"x": math.nan}), allow_nan=False)))["x"])


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.Adam(p, lr=0.01),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.Adadelta(p, lr=0.1, rho=0.95, eps=1e-7),
    ],
)
def test_an_optimiser_goes_on_with_the_same_bits(make: Any, tmp_path: Path) -> None:
    def steps(network: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            generator = torch.Generator().manual_seed(step)
            loss = network(torch.rand(4, 3, generator=generator)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
        return network, make(network.parameters())

    straight, optimizer = fresh()
    steps(straight, optimizer, 0, 3)
    tensors, numbers = flatten_optimizer(optimizer.state_dict())
    save_checkpoint(tmp_path / "c", Checkpoint(straight.state_dict(), tensors, {"optimizer": numbers}))
    steps(straight, optimizer, 3, 6)
    resumed, second = fresh()
    loaded = load_checkpoint(tmp_path / "c")
    resumed.load_state_dict(loaded.model)
    second.load_state_dict(unflatten_optimizer(loaded.optimizer or {}, loaded.state["optimizer"]))
    steps(resumed, second, 3, 6)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))


def test_nothing_is_pickled(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", example())
    names = sorted(path.name for path in (tmp_path / "last").iterdir())
    assert names == ["model.safetensors", "optimizer.safetensors", "state.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("calls", range(6))
def test_a_kill_at_any_flush_leaves_one_whole_checkpoint(
    calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    save_checkpoint(tmp_path / "last", example(1.0))
    left = calls

    def sync(path: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    monkeypatch.setattr(module, "sync", sync)
    # One save flushes its three files, its folder, and the folder above.
    try:
        save_checkpoint(tmp_path / "last", example(2.0))
        killed = False
    except Killed:
        killed = True
    assert killed == (calls < 5)
    assert value_at(tmp_path / "last") == (2.0 if calls >= 4 else 1.0)
    monkeypatch.undo()
    save_checkpoint(tmp_path / "last", example(3.0))
    assert value_at(tmp_path / "last") == 3.0
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_kill_between_the_renames_leaves_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "last", example(1.0))
    rename = Path.rename

    def only_away(path: Path, target: Path) -> Path:
        if path.name == ".last.new":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", only_away)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "last", example(2.0))
    monkeypatch.undo()
    assert find_checkpoint(tmp_path / "last") == tmp_path / ".last.old"
    assert value_at(tmp_path / "last") == 1.0
    save_checkpoint(tmp_path / "last", example(3.0))
    assert value_at(tmp_path / "last") == 3.0


def test_a_full_disk_is_a_storage_error_and_the_former_one_stays(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", example(1.0))
    large = example(2.0)
    large.model["b"] = torch.zeros(5000)
    with files_at_most(4096), pytest.raises(StorageError, match=r"last.*nothing was overwritten"):
        save_checkpoint(tmp_path / "last", large)
    assert value_at(tmp_path / "last") == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "last")
    for name in ("model.safetensors", "optimizer.safetensors", "state.json"):
        save_checkpoint(tmp_path / "last", example())
        path = tmp_path / "last" / name
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(CheckpointError, match=f"{name}.* is damaged"):
            load_checkpoint(tmp_path / "last")
    save_checkpoint(tmp_path / "last", example())
    (tmp_path / "last/model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="incomplete"):
        load_checkpoint(tmp_path / "last")


def test_a_newer_format_is_said(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", example())
    path = tmp_path / "last/state.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(CheckpointError, match=r"format 99.*update plr_fast"):
        load_checkpoint(tmp_path / "last")
