"""Memory of results without ``out``: huge pages are asked for, and the results are ordinary tensors and arrays."""

from __future__ import annotations

import io
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plr_fast import LesionBank, gaussian_blur, local_shuffle, paste_lesions, perlin_noise
from plr_fast.ops import memory

LARGE = (3, 1024, 1024)  # 12 MiB of float32
BANK = LesionBank.generate(count=10, images=2, size=64, seed=1)

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not Path("/sys/kernel/mm/transparent_hugepage").is_dir(),
    reason="a kernel without huge pages",
)


def results() -> Iterator[tuple[str, torch.Tensor]]:
    """Make one large result by each operation."""
    images = torch.full(LARGE, 0.5)
    yield "noise", perlin_noise(LARGE, octaves=1)
    yield "paste", paste_lesions(images, torch.ones(LARGE, dtype=torch.bool), BANK, count=1)
    yield "blur", gaussian_blur(images, size=3)
    yield "shuffle", local_shuffle(images[:, None])


def flags_at(address: int) -> list[str]:
    """Return the flags of the mapping that holds ``address``."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if "-" in first and not first.endswith(":"):
            low, high = (int(end, 16) for end in first.split("-"))
            inside = low <= address < high
        elif inside and first == "VmFlags:":
            return rest.split()
    raise AssertionError(f"no mapping holds {address:#x}")


@linux
def test_large_results_ask_for_huge_pages() -> None:
    for name, result in results():
        assert "hg" in flags_at(result.data_ptr() + result.nbytes // 2), name


@linux
def test_small_results_do_not() -> None:
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_ask_for_huge_pages", lambda *block: asked.append(block))
        perlin_noise((1, 512, 512))
        assert not asked
        noise = perlin_noise((4, 512, 512))
        assert asked == [(noise.data_ptr(), noise.nbytes)]


@pytest.mark.parametrize("shape", [(0, 8, 8), (1, 1, 1), (3, 5, 7), LARGE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
def test_shape_dtype_and_alignment(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensor = memory.fresh(shape, dtype)
    assert (tensor.shape, tensor.dtype, tensor.device.type) == (shape, dtype, "cpu")
    assert tensor.is_contiguous()
    assert tensor.data_ptr() % 64 == 0


def test_advice_stays_inside_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = []
    monkeypatch.setattr(memory, "_madvise", lambda: lambda *call: blocks.append(call))
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 14, raising=False)
    page = mmap.PAGESIZE
    memory._ask_for_huge_pages(10 * page + 64, 1000 * page)
    assert blocks == [(11 * page, 999 * page, 14)]


@pytest.mark.parametrize("advise", [None, lambda _start, _size, _advice: -1], ids=["no madvise", "refused"])
def test_advice_may_fail(advise: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = perlin_noise(LARGE, seed=1, out=torch.empty(LARGE))
    monkeypatch.setattr(memory, "_madvise", lambda: advise)
    assert torch.equal(perlin_noise(LARGE, seed=1), expected)


def test_results_are_ordinary_tensors() -> None:
    for name, result in results():
        file = io.BytesIO()
        torch.save(result, file)
        assert file.tell() < result.nbytes + 4096, f"{name}: nothing else is saved along"
        file.seek(0)
        assert torch.equal(torch.load(file), result), name
        copy = result.clone()
        assert torch.equal(result.share_memory_(), copy), name


def test_results_are_ordinary_arrays() -> None:
    images = np.full((1, 20, 20), 0.5, np.float32)
    for result in (gaussian_blur(images), local_shuffle(images), paste_lesions(images, images > 0, BANK)):
        assert type(result) is np.ndarray
        assert result.flags.owndata or result.base.flags.owndata
    assert gaussian_blur(images[:, None]).shape == (1, 1, 20, 20)


@linux
def test_memory_goes_with_the_last_view() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    shape = (64, 1024, 1024)
    before = resident()
    noise = perlin_noise(shape, octaves=1, dtype="uint8")
    view = noise[5:7]
    del noise
    assert resident() - before > 0.8 * 64 * 2**20
    del view
    assert resident() - before < 0.2 * 64 * 2**20


def test_no_memory_is_an_error() -> None:
    for shape in ((2**46, 4), (2**62, 2**62)):
        with pytest.raises(MemoryError, match=r"no memory for a result of shape"):
            memory.fresh(shape, torch.float32)
