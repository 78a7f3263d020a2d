"""Slices on a device: the samples of the data set on the host, bit for bit, without looking back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from plr_fast import BackendUnavailableError, ConfigError, DeviceMemoryError, LesionBank
from plr_fast.data import DevicePseudoLesions, PseudoLesionDataset, SliceStore, collate, device_dataset
from plr_fast.data.sampling import EpochSampler
from plr_fast.ops.homes import OF_TORCH
from plr_fast.training import PretrainConfig, pretrain
from tests.backends.cuda.device import pretended
from tests.data.test_context import make
from tests.training.conftest import small_pretraining, write_store

pytest.importorskip("plr_fast._cuda_host", reason="needs the host launcher, which tools/setup.sh dev builds")


@pytest.fixture(scope="module")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store") / "store")


@pytest.fixture(scope="module")
def store(store_path: Path) -> SliceStore:
    return SliceStore.open(store_path)


@pytest.fixture(scope="module")
def bank() -> LesionBank:
    return LesionBank.generate(count=40, images=4, size=64, patch=(3, 9), threshold=140, seed=3)


SETTINGS: list[dict[str, Any]] = [
    {"lesion_masks": True, "count": (2, 6)},
    {"blend": "alpha", "alpha": 0.5, "feather": 2, "length": 40},
    {"freeze": 9},
    {"corruption": "gaussian", "windows": 4},
    {"corruption": "shuffle"},
    {"clean_share": 0.5, "lesion_masks": True, "clean_flags": True, "count": (0, 2)},
    {"corruption": "gaussian", "windows": 4, "clean_share": 0.3, "lesion_masks": True, "clean_flags": True},
    {"lesions": "clouds", "lesion_masks": True, "clouds": {"combine": "any", "threshold": (120, 254), "min_area": 20}},
    {"lesions": "clouds", "lesion_masks": True, "clouds": {"combine": "any"}, "clean_share": 0.5, "clean_flags": True},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_batches_are_those_of_the_host(store: SliceStore, bank: LesionBank, settings: dict[str, Any]) -> None:
    if not {"corruption", "lesions"} & settings.keys():
        settings = {**settings, "bank": bank}
    indices = np.append(store.select("train", 0), store.select("train", 0)[:3])  # some twice
    data = PseudoLesionDataset(store, indices, seed=6, **settings)
    sampler = EpochSampler(len(data), seed=2)
    sampler.set_epoch(3)
    expected = list(DataLoader(data, batch_size=5, sampler=sampler, collate_fn=collate))
    with pretended() as home:
        placed = DevicePseudoLesions(data, "cuda:0")
        assert (placed.device, len(placed)) == ("cuda:0", len(data))
        home.launcher.launched.clear()
        batches = list(DataLoader(placed, batch_size=5, sampler=sampler, collate_fn=collate))
        assert home.launcher.launched
    assert len(batches) == len(expected)
    for batch, wanted in zip(batches, expected, strict=True):
        assert batch.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert batch[name].dtype == tensor.dtype
            assert torch.equal(batch[name], tensor), name


@pytest.mark.parametrize(
    "settings",
    [
        {"lesion_masks": True},
        {"corruption": "shuffle"},
        {"clean_share": 0.5, "lesion_masks": True, "clean_flags": True},
        {"corruption": "shuffle", "clean_share": 0.5, "lesion_masks": True, "clean_flags": True},
        {"lesions": "clouds"},
    ],
    ids=str,
)
def test_neighbours_come_along(tmp_path: Path, bank: LesionBank, settings: dict[str, Any]) -> None:
    ids = [f"{volume}.tif#{page:04d}" for page in range(4) for volume in "ab"]
    store = make(tmp_path / "volumes", ids)
    if not {"corruption", "lesions"} & settings.keys():
        settings = {**settings, "bank": bank}
    data = PseudoLesionDataset(store, np.array([0, 3, 4]), context=2, **settings)
    expected = data.__getitems__([0, 2, 1]).tensors
    with pretended():
        placed = DevicePseudoLesions(data, "cuda:0")
        batch = placed.__getitems__([0, 2, 1]).tensors
    assert batch["image"].shape == (3, 5, 32, 32)
    assert all(torch.equal(batch[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(("share", "rows"), [(0.0, 4), (0.5, 5)])
def test_a_batch_copies_its_keys_alone(
    store: SliceStore, bank: LesionBank, monkeypatch: pytest.MonkeyPatch, share: float, rows: int
) -> None:
    data = PseudoLesionDataset(store, store.select("train", 0), bank=bank, clean_share=share, clean_flags=share > 0)
    with pretended() as home:
        placed = DevicePseudoLesions(data, "cuda:0")
        uploaded: list[tuple[int, ...]] = []
        real = home.upload
        monkeypatch.setattr(home, "upload", lambda array: uploaded.append(array.shape) or real(array))
        monkeypatch.setattr(home, "download", lambda array: pytest.fail("nobody waits for the device"))
        monkeypatch.setattr(home, "wait", lambda: pytest.fail("nobody waits for the device"))
        placed.__getitems__([0, 1, 2, 1])
    assert uploaded == [(rows, 4)]


def test_keys_beyond_it_are_refused(store: SliceStore, bank: LesionBank) -> None:
    with pretended():
        placed = DevicePseudoLesions(PseudoLesionDataset(store, store.select("train", 0), bank=bank), "cuda:0")
        with pytest.raises(IndexError):
            placed[len(placed)]
    with pytest.raises(ValueError, match="on the CPU already"):
        DevicePseudoLesions(PseudoLesionDataset(store, store.select("train", 0), bank=bank), "cpu")


def test_slices_that_do_not_fit_are_refused_with_both_numbers(
    store: SliceStore, bank: LesionBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = PseudoLesionDataset(store, store.select("train", 0), bank=bank)
    needed = DevicePseudoLesions.needed_bytes(data)
    assert needed == 14 * 32 * 32 * 17 // 8
    monkeypatch.setattr(device_dataset, "free_device_memory", lambda device: needed)
    with pretended(), pytest.raises(DeviceMemoryError, match=r"14 slices .* GiB on cuda:0, where .* GiB are free"):
        DevicePseudoLesions(data, "cuda:0")
    monkeypatch.setattr(device_dataset, "free_device_memory", lambda device: 2 * needed)
    with pretended():
        DevicePseudoLesions(data, "cuda:0")


@pytest.mark.parametrize("settings", [{}, {"lesions": "clouds", "blend": "alpha"}], ids=str)
def test_training_on_it_gives_the_same_network(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    def run(name: str, **changes: Any) -> dict[str, Any]:
        result = pretrain(small_pretraining(store_path, tmp_path / name, epochs=1, **changes))
        return load_file(next(Path(result.best).glob("*.safetensors")))

    expected = run("host", **settings)
    with pretended():
        # Where training runs on this device, too, "auto" and "cuda" mean it.
        monkeypatch.setattr(device_dataset, "home_on", lambda device: OF_TORCH[torch.device("cuda:0")])
        placed = run("device", data_device="cuda", accelerator="auto", num_workers=2, **settings)
    assert expected.keys() == placed.keys()
    assert all(torch.equal(expected[name], placed[name]) for name in expected)


def test_bad_wishes_are_refused(store_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data_device=cuda needs training on a GPU"):
        PretrainConfig(store=store_path, run=tmp_path / "a", accelerator="cpu", data_device="cuda").check()
    if not torch.cuda.is_available():
        with pytest.raises(BackendUnavailableError, match="no CUDA device can be used"):
            pretrain(small_pretraining(store_path, tmp_path / "b", accelerator="auto", data_device="cuda"))
        data = PseudoLesionDataset(SliceStore.open(store_path), np.arange(2), corruption="gaussian")
        assert device_dataset.on_data_device("auto", "auto", data) == (data,)
