"""Streams, CUDA graphs, several GPUs, torch.compile, memory: what calls on a GPU promise beside their bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plr_fast import (
    DeviceMemoryError,
    FreshLesions,
    LesionBank,
    PseudoLesionTransform,
    gaussian_blur,
    index_masks,
    local_shuffle,
    paste_clouds,
    paste_lesions,
    perlin_noise,
)
from plr_fast.data import DevicePseudoLesions, PseudoLesionDataset, SliceStore
from tests.gpu.test_operations import scene

SHAPE = (4, 256, 256)
NAMES = ["noise", "blur", "shuffle", "paste", "fresh", "clouds", "transform"]


@pytest.fixture(scope="module")
def bank() -> LesionBank:
    return LesionBank.generate(count=300, images=20, size=128, seed=3)


def calls(gpu: torch.device, bank: LesionBank) -> dict[str, Callable[[], torch.Tensor]]:
    """Return a call of each operation that writes into memory of its own, without anything from the host."""
    images, masks = (torch.from_numpy(array).to(gpu) for array in scene(np.uint8, SHAPE))
    ids = torch.arange(4, device=gpu)
    index, placed = index_masks(masks), bank.to(gpu)
    fresh = FreshLesions(images=20, size=128, seed=3, device=gpu)
    out = {name: torch.empty_like(images) for name in NAMES[1:]}
    noise = torch.empty(SHAPE, device=gpu)
    transform = PseudoLesionTransform(bank=bank, device=gpu)
    torch.cuda.synchronize()
    return {
        "noise": lambda: perlin_noise(SHAPE, out=noise, samples=ids),
        "blur": lambda: gaussian_blur(images, out=out["blur"], windows=5, samples=ids),
        "shuffle": lambda: local_shuffle(images, out=out["shuffle"], samples=ids),
        "paste": lambda: paste_lesions(images, index, placed, shape="cloud", out=out["paste"], samples=ids),
        "fresh": lambda: paste_lesions(images, masks, fresh, out=out["fresh"], samples=ids),
        "clouds": lambda: paste_clouds(images, index, min_area=50, out=out["clouds"], samples=ids),
        "transform": lambda: transform(images, index, out=out["transform"], samples=ids),
    }


@pytest.mark.parametrize("name", NAMES)
def test_on_the_callers_stream(gpu: torch.device, bank: LesionBank, name: str) -> None:
    call = calls(gpu, bank)[name]
    expected = call().clone()
    result = call()
    torch.cuda.synchronize()
    result.zero_()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # about a tenth of a second
        call()
        done = torch.cuda.Event()
        done.record()
        assert not done.query(), "the call came back before its stream got to it"
        copy = result.clone()
    stream.synchronize()
    assert torch.equal(copy, expected)


@pytest.mark.parametrize("name", NAMES)
def test_in_a_graph(gpu: torch.device, bank: LesionBank, name: str) -> None:
    call = calls(gpu, bank)[name]
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        expected = call().clone()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()
    result.zero_()
    for _ in range(2):
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(result, expected)
        result.zero_()


def test_ids_of_a_graph_are_renewed_in_their_tensor(gpu: torch.device) -> None:
    ids = torch.arange(3, device=gpu)
    out = torch.empty(3, 64, 64, device=gpu)
    perlin_noise((3, 64, 64), out=out, samples=ids)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        perlin_noise((3, 64, 64), out=out, samples=ids)
    ids += 10
    graph.replay()
    assert torch.equal(out.cpu(), perlin_noise((3, 64, 64), samples=[10, 11, 12]))


def test_a_call_with_out_allocates_nothing_for_good(gpu: torch.device, bank: LesionBank) -> None:
    for name, call in calls(gpu, bank).items():
        call()
        torch.cuda.synchronize()
        before = torch.cuda.memory_stats()["num_device_alloc"], torch.cuda.memory_allocated()
        for _ in range(3):
            call()
        assert (torch.cuda.memory_stats()["num_device_alloc"], torch.cuda.memory_allocated()) == before, name


def test_compiled(gpu: torch.device, bank: LesionBank) -> None:
    images, masks = (torch.from_numpy(array).to(gpu) for array in scene(np.float32, SHAPE))
    placed = bank.to(gpu)

    def corrupt(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        noise = perlin_noise(SHAPE, device="cuda", octaves=2)
        pasted = paste_lesions(images, masks, placed, count=9, blend="alpha", alpha=0.5)
        return gaussian_blur(local_shuffle(pasted)) + noise * 2

    assert torch.equal(torch.compile(corrupt, fullgraph=True)(images, masks), corrupt(images, masks))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_another_gpu_than_the_current_one(gpu: torch.device, bank: LesionBank) -> None:
    other = torch.device("cuda", 1 - gpu.index)
    expected = {name: call().cpu() for name, call in calls(gpu, bank).items()}
    for name, call in calls(other, bank).items():
        result = call()
        assert result.device == other
        assert torch.equal(result.cpu(), expected[name]), name
        assert torch.cuda.current_device() == gpu.index
    with pytest.raises(ValueError, match="out is on cuda"):
        gaussian_blur(torch.zeros(1, 8, 8, device=gpu), out=torch.zeros(1, 8, 8, device=other))


def test_out_of_memory(gpu: torch.device) -> None:
    _, total = torch.cuda.mem_get_info(gpu)
    with pytest.raises(DeviceMemoryError, match=f"no memory on {gpu}"):
        perlin_noise((1 + total // 2**20, 512, 512), device=gpu)
    assert perlin_noise((1, 8, 8), device=gpu).is_cuda


def test_training_from_the_gpu(gpu: torch.device, bank: LesionBank, tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric")
    from plr_fast.training import pretrain
    from tests.training.conftest import small_pretraining, write_store

    path = write_store(tmp_path / "store")
    store = SliceStore.open(path)
    data = PseudoLesionDataset(store, store.select("train", 0), bank=bank, lesion_masks=True, count=(2, 5))
    placed = DevicePseudoLesions(data, gpu)
    expected, batch = data.__getitems__([3, 1, 2]).tensors, placed.__getitems__([3, 1, 2]).tensors
    for name, tensor in expected.items():
        assert torch.equal(batch[name].cpu(), tensor), name
    settings: dict[str, Any] = {"accelerator": "cuda", "epochs": 1}
    for where in ("cpu", "cuda", "auto"):
        pretrain(small_pretraining(path, tmp_path / where, data_device=where, **settings))
