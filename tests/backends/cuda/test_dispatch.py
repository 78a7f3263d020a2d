"""The public operations on a device: the way from arguments over plans and launches to the result, without a GPU.

Each operation gets tensors of a pretended device (see ``device.py``) and, as NumPy arrays, the same values on the host;
the results must be the same bits.
"""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from plr_fast import (
    EmptyMaskWarning,
    FreshLesions,
    LesionBank,
    gaussian_blur,
    index_masks,
    local_shuffle,
    paste_clouds,
    paste_lesions,
    perlin_noise,
)
from plr_fast.backends import get_backend
from plr_fast.errors import BackendUnavailableError, DataError
from plr_fast.ops import homes
from tests.backends.cuda.device import PretendedHome, pretended

pytest.importorskip("plr_fast._cuda_host", reason="needs the host launcher, which tools/setup.sh dev builds")

BANK: dict[str, Any] = {"count": 40, "images": 4, "size": 64, "patch": (3, 9), "threshold": 140, "seed": 3}
FRESH: dict[str, Any] = {
    "images": 3,
    "size": 64,
    "patch": (3, 9),
    "threshold": 140,
    "cells": 2,
    "octaves": 2,
    "seed": 3,
}
IDS = [5, -2, 2**40]
HERE = None  # the CPU: a name of it would mean the pretended device


@pytest.fixture(scope="module")
def bank() -> LesionBank:
    return LesionBank.generate(**BANK)


@pytest.fixture(scope="module")
def fresh() -> FreshLesions:
    return FreshLesions(**FRESH)


@pytest.fixture
def device(native: None, bank: LesionBank, fresh: FreshLesions) -> Iterator[PretendedHome]:
    with pretended() as home:
        yield home


@pytest.fixture(scope="module")
def native() -> None:
    try:
        get_backend("native")
    except BackendUnavailableError as error:
        pytest.skip(str(error))


def scene(dtype: type = np.uint8, shape: tuple[int, ...] = (3, 37, 45)) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, shape, np.uint8)
    masks = np.zeros(shape, bool)
    masks[..., 4:30, 7:40] = True
    return (images if dtype == np.uint8 else (images / 255).astype(np.float32)), masks


def same(result: Any, expected: np.ndarray) -> None:
    assert isinstance(result, torch.Tensor)
    assert tuple(result.shape) == expected.shape
    assert result.numpy().dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy().view(np.uint8), np.ascontiguousarray(expected).view(np.uint8))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"octaves": 7, "dtype": "uint8", "grey": "minmax"},
        {"shape": (3, 4, 9, 11), "octaves": 2, "dtype": "float16", "cells": (2, 3, 5.5)},
        {"shape": (3, 33, 1), "tileable": True, "dtype": "uint8"},
        {"shape": (0, 5, 6)},
    ],
    ids=str,
)
def test_noise(device: PretendedHome, settings: dict[str, Any]) -> None:
    arguments = {"shape": (3, 17, 30), "seed": 2**64 - 1, **settings}
    ids = IDS[: arguments["shape"][0]]
    host = np.empty(arguments["shape"], arguments.get("dtype", "float32"))
    same(perlin_noise(**arguments, samples=ids), perlin_noise(**arguments, samples=ids, out=host))
    assert bool(device.launcher.launched) == bool(host.size)


def test_bfloat16_noise(device: PretendedHome) -> None:
    result = perlin_noise((2, 9, 20), dtype="bfloat16")
    device_bits = result.view(torch.int16).numpy().copy()
    rounded = torch.from_numpy(perlin_noise((2, 9, 20), out=np.empty((2, 9, 20), np.float32))).to(torch.bfloat16)
    np.testing.assert_array_equal(device_bits, rounded.view(torch.int16).numpy())


def test_noise_into_strided_tensors(device: PretendedHome) -> None:
    expected = perlin_noise((3, 20, 12), out=np.empty((3, 20, 12), np.float32))
    rows_apart = torch.full((3, 2, 20, 16), 9.0)[:, 1, :, 2:14]  # contiguous rows, other strides any
    assert perlin_noise((3, 20, 12), out=rows_apart) is rows_apart
    same(rows_apart.contiguous(), expected)
    assert not device.made, "rows are written where they belong"
    channels_last = torch.full((20, 12, 3), 9.0).permute(2, 0, 1)
    perlin_noise((3, 20, 12), out=channels_last)
    same(channels_last.contiguous(), expected)
    with pytest.raises(ValueError, match="several times"):
        perlin_noise((3, 20, 12), out=torch.zeros(1, 20, 12).expand(3, 20, 12))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("windows", [None, 3])
def test_filters(device: PretendedHome, dtype: type, windows: int | None) -> None:
    images, _ = scene(dtype, (3, 1, 37, 45))
    for operation, settings in ((gaussian_blur, {"size": 7}), (gaussian_blur, {}), (local_shuffle, {"grid": (3, 4)})):
        arguments: dict[str, Any] = {"seed": 4, "samples": IDS, "windows": windows, **settings}
        expected = operation(images, **arguments)
        given = torch.from_numpy(images.copy())
        same(operation(given, **arguments), expected)
        same(given, images)
        out = torch.empty_like(given)
        assert operation(given, **arguments, out=out) is out
        same(out, expected)
        assert operation(given, **arguments, out=given) is given
        same(given, expected)
        strided = torch.from_numpy(np.repeat(images, 2, axis=3))[..., ::2]
        same(operation(strided, **arguments), expected)


PASTES: list[dict[str, Any]] = [
    {},
    {"count": (0, 9), "shape": "ellipse"},
    {"blend": "alpha", "alpha": (0.2, 0.9), "feather": 2},
    {"blend": "add", "alpha": 0.5, "shape": "cloud", "inside": "patch"},
]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("settings", PASTES, ids=str)
@pytest.mark.parametrize("kind", ["bank", "fresh"])
def test_paste(
    device: PretendedHome, bank: LesionBank, fresh: FreshLesions, kind: str, settings: dict[str, Any], dtype: type
) -> None:
    images, masks = scene(dtype)
    masks[2] = False
    lesions: Any = bank if kind == "bank" else fresh
    arguments = {"seed": 9, "samples": IDS, "return_info": True, "lesion_mask": True, **settings}
    expected, told = paste_lesions(images, masks, lesions, **arguments)
    moved = lesions.to("cpu")  # which is the device now
    assert moved.device == "cuda:0"
    given, lungs = torch.from_numpy(images), torch.from_numpy(masks)
    result, info = paste_lesions(given, lungs, moved, **arguments)
    same(result, expected)
    for name in ("counts", "empty", "skipped", "boxes", "patches", "opacity", "lesion_mask"):
        same(getattr(info, name), getattr(told, name))
    np.testing.assert_array_equal(info.corners(0), told.corners(0))
    # An index made beforehand, an array for the marks, the images' own memory; and no warning that would have to wait.
    index = index_masks(lungs)
    marks = torch.full(given.shape, 7, dtype=torch.uint8)
    copy = given.clone()
    arguments |= {"return_info": False, "lesion_mask": marks, "out": copy}
    assert paste_lesions(copy, index, moved, **arguments) is copy
    same(copy, expected)
    same(marks, told.lesion_mask.view(np.uint8))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"count": 300, "threshold": 175},  # not found at once
        {"octaves": (2, 3)},  # made on the CPU
    ],
    ids=str,
)
def test_banks_are_made_on_the_device(device: PretendedHome, settings: dict[str, Any]) -> None:
    arguments = {**BANK, **settings}
    expected = _on_host(arguments)
    device.launcher.launched.clear()
    made = LesionBank.generate(**arguments, device="cuda:0")
    assert made == expected
    assert made.device == "cuda:0"
    assert ("pick_scan" in {kernel for kernel, _, _ in device.launcher.launched}) is ("octaves" not in settings)
    images, masks = scene()
    same(
        paste_lesions(torch.from_numpy(images), torch.from_numpy(masks), made, shape="cloud"),
        paste_lesions(images, masks, expected, shape="cloud"),
    )


@pytest.mark.parametrize("settings", [{}, {"octaves": 4, "cells": 3.5, "images": 7}, {"patch": (20, 40)}], ids=str)
def test_tables_of_fresh_lesions_are_made_on_the_device(device: PretendedHome, settings: dict[str, Any]) -> None:
    expected = FreshLesions(**{**FRESH, **settings}, device=HERE)
    device.launcher.launched.clear()
    made = FreshLesions(**{**FRESH, **settings}, device="cuda:0")
    assert {"fresh_table", "fresh_patches"} <= {kernel for kernel, _, _ in device.launcher.launched}
    assert (made.device, expected.device) == ("cuda:0", "cpu")
    for name, part in vars(expected._table).items():
        np.testing.assert_array_equal(getattr(made._table, name), part, err_msg=name)
    assert made._centre == expected._centre
    images, masks = scene()
    same(
        paste_lesions(torch.from_numpy(images), torch.from_numpy(masks), made, count=9),
        paste_lesions(images, masks, expected, count=9),
    )
    for one, other in zip(made.draw(5), expected.draw(5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fresh_lesions_that_are_too_rare_are_explained_alike(device: PretendedHome) -> None:
    texts = []
    for where in (HERE, "cuda:0"):
        with pytest.raises(DataError, match="patches are too rare") as caught:
            FreshLesions(**{**FRESH, "threshold": 252}, device=where)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def _on_host(arguments: dict[str, Any]) -> LesionBank:
    before = homes.OF_TORCH[torch.device("cpu")]
    homes.OF_TORCH[torch.device("cpu")] = homes.HOST
    try:
        return LesionBank.generate(**arguments)
    finally:
        homes.OF_TORCH[torch.device("cpu")] = before


def test_a_bank_that_cannot_be_filled_is_explained_alike(device: PretendedHome) -> None:
    arguments = {**BANK, "threshold": 254, "max_candidates": 5000}
    texts = []
    for make in (_on_host, lambda settings: LesionBank.generate(**settings, device="cuda:0")):
        with pytest.raises(DataError, match="mean grey has median") as caught:
            make(arguments)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


def test_mask_index(device: PretendedHome) -> None:
    masks = np.random.default_rng(1).integers(0, 2, (4, 5, 130), np.uint8).view(bool)
    expected = index_masks(masks)
    index = index_masks(torch.from_numpy(masks))
    assert (index.device, expected.device) == ("cuda:0", "cpu")
    same(index.packed.bits.view(torch.uint8), expected.packed.bits.view(np.uint8))
    same(index.packed.before, expected.packed.before.view(np.int32))
    same(index.unpack(), masks)
    same(index.counts, expected.counts)
    for chosen in (slice(1, 3), [3, 0, 3], np.array([True, False, False, True]), torch.tensor([2, 1])):
        part = index[chosen]
        same(part.unpack(), masks[chosen if not isinstance(chosen, torch.Tensor) else chosen.numpy()])
    assert torch.equal(expected.to("cpu").packed.bits, index.packed.bits)
    assert index.to("cpu") is index
    images = scene(shape=(4, 5, 130))[0]
    with pytest.raises(ValueError, match="masks is on cuda:0, but images on cpu"):
        paste_lesions(images, index, LesionBank.generate(**BANK))


def test_ids_on_the_device_stay_there(device: PretendedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = scene()
    given = torch.from_numpy(images)
    uploaded = []
    real = device.upload
    monkeypatch.setattr(device, "upload", lambda array: uploaded.append(array) or real(array))
    for ids in (None, range(4, 10, 2), [3, 2, 1], torch.tensor([1, 8, 2]), torch.tensor([1, 8, 2], dtype=torch.int32)):
        host = ids.numpy() if isinstance(ids, torch.Tensor) else ids
        same(local_shuffle(given, samples=ids, seed=1), local_shuffle(images, samples=host, seed=1))
    assert not uploaded
    same(local_shuffle(given, samples=np.array([1, 8, 2]), seed=1), local_shuffle(images, samples=[1, 8, 2], seed=1))
    assert len(uploaded) == 1
    with pytest.raises(ValueError, match="one id for each of the 3"):
        local_shuffle(given, samples=torch.tensor([1]))
    with pytest.raises(TypeError, match="must be integers"):
        local_shuffle(given, samples=torch.tensor([1.0, 2.0, 3.0]))


def test_ids_from_the_host_are_refused_in_a_graph(device: PretendedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    given = torch.from_numpy(scene()[0])
    monkeypatch.setattr(device, "recording", lambda: True)
    expected = local_shuffle(given, samples=torch.tensor([3, 2, 9]))  # in the device's memory
    local_shuffle(given, samples=range(3, 12, 3))
    with pytest.raises(ValueError, match="evenly spaced or an integer tensor on the device while a CUDA graph"):
        local_shuffle(given, samples=np.array([3, 2, 9]))
    monkeypatch.setattr(device, "recording", lambda: False)
    same(local_shuffle(given, samples=np.array([3, 2, 9])), expected.numpy())


def test_tables_of_covers_live_as_long_as_graphs_need_them(
    device: PretendedHome, bank: LesionBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, masks = (torch.from_numpy(array) for array in scene())
    moved, waits = bank.to("cpu"), []
    monkeypatch.setattr(device, "wait_for_device", lambda: waits.append(len(waits)))

    def paste(feather: int) -> None:
        paste_lesions(images, masks, moved, shape="ellipse", feather=feather, blend="alpha")

    paste(0)
    kept = weakref.ref(moved.placed_cover(device, "ellipse", 0))
    monkeypatch.setattr(device, "recording", lambda: True)
    paste(0)
    monkeypatch.setattr(device, "recording", lambda: False)
    for feather in range(1, 4):
        paste(feather)
    assert not waits
    other = weakref.ref(moved.placed_cover(device, "ellipse", 1))
    for feather in range(4, 7):
        paste(feather)
    assert waits, "streams may still read what goes"
    gc.collect()
    assert other() is None, "only the last few are kept"
    assert kept() is not None, "a graph was recorded with it"


def test_launches_go_to_the_current_stream(device: PretendedHome, bank: LesionBank) -> None:
    images, masks = (torch.from_numpy(array) for array in scene())
    for stream in (7, 2**40):
        device.stream = stream
        device.launcher.launched.clear()
        paste_lesions(images, masks, bank.to("cpu"))
        perlin_noise((1, 8, 8))
        assert {stream for _, _, stream in device.launcher.launched} == {stream}


def test_a_call_with_out_makes_no_results(device: PretendedHome, bank: LesionBank) -> None:
    images, masks = (torch.from_numpy(array) for array in scene())
    moved, index, out = bank.to("cpu"), index_masks(masks), torch.empty_like(images)
    arguments: dict[str, Any] = {"shape": "cloud", "out": out, "samples": torch.arange(3)}
    paste_lesions(images, index, moved, **arguments)  # makes the table of covers
    device.made.clear()
    paste_lesions(images, index, moved, **arguments)
    gaussian_blur(images, out=out)
    local_shuffle(images, out=out)
    perlin_noise((3, 37, 45), dtype="uint8", out=out)
    images_alone = [shape for shape, _ in device.made if len(shape) > 1]
    assert not images_alone, "only counts of patches are new"


def test_recorded_calls_neither_wait_nor_copy(
    device: PretendedHome, bank: LesionBank, fresh: FreshLesions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a CUDA graph forbids: nothing crosses between host and device, nothing waits, nothing new is kept."""
    images, masks = (torch.from_numpy(array) for array in scene())
    ids, out = torch.arange(3), torch.empty_like(images)
    placed, made, index = bank.to("cpu"), fresh.to("cpu"), index_masks(masks)
    placed.placed_cover(device, "cloud")
    calls = (
        lambda: perlin_noise((3, 37, 45), dtype="uint8", grey="minmax", samples=ids, out=out),
        lambda: gaussian_blur(images, windows=3, samples=ids, out=out),
        lambda: local_shuffle(images, grid=3, samples=ids, out=out),
        lambda: paste_lesions(images, index, placed, shape="cloud", samples=ids, out=out),
        lambda: paste_lesions(images, masks, made, shape="ellipse", samples=ids, out=out),
        lambda: paste_lesions(images, masks, placed, shape="ellipse", inside="patch", samples=ids, out=out),
        lambda: paste_clouds(images, masks, combine="any", samples=ids, out=out),
        lambda: index[torch.tensor([1, 0, 2])].unpack(),
    )
    plain = [call().clone() for call in calls]
    kept = dict(placed._covers)
    for name in ("download", "upload", "wait", "wait_for_device"):
        monkeypatch.setattr(device, name, lambda *_: pytest.fail("forbidden in a graph"))
    monkeypatch.setattr(device, "recording", lambda: True)
    for call, expected in zip(calls, plain, strict=True):
        assert torch.equal(call(), expected)
    placed.placed_cover(device, "ellipse", 7)
    assert placed._covers == kept


def test_banks_pickle(device: PretendedHome, bank: LesionBank, fresh: FreshLesions) -> None:
    images, masks = (torch.from_numpy(array) for array in scene())
    for lesions in (bank, fresh):
        moved = lesions.to("cpu")
        assert moved is not lesions
        assert moved.to("cpu") is moved
        copy = pickle.loads(pickle.dumps(moved))
        same(paste_lesions(images, masks, copy), paste_lesions(*scene(), lesions))


def test_float_images_are_looked_at_only_on_demand(device: PretendedHome) -> None:
    images = torch.from_numpy(scene(np.float32)[0])
    images[1, 2, 3] = float("nan")
    gaussian_blur(images)
    with pytest.raises(ValueError, match=r"NaN \(in image 1\)"):
        gaussian_blur(images, check=True)


def test_what_lies_in_different_places_is_refused(device: PretendedHome, bank: LesionBank, fresh: FreshLesions) -> None:
    host, lungs = scene()
    images, masks = torch.from_numpy(host), torch.from_numpy(lungs)
    moved = bank.to("cpu")
    message = "is on cpu, but images on cuda:0"
    for call in (
        lambda: paste_lesions(images, lungs, moved),
        lambda: paste_lesions(images, masks, moved, out=host.copy()),
        lambda: paste_lesions(images, masks, moved, lesion_mask=lungs.copy()),
        lambda: gaussian_blur(images, out=host.copy()),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    for lesions in (bank, fresh):
        with pytest.raises(ValueError, match=r"bank is on cpu, but images on cuda:0: call bank\.to\('cuda:0'\) once"):
            paste_lesions(images, masks, lesions)
    with pytest.raises(ValueError, match="bank is on cuda:0, but images on cpu"):
        paste_lesions(host, lungs, moved)


def test_memory_that_overlaps_is_refused(device: PretendedHome, bank: LesionBank) -> None:
    flat = torch.zeros(3 * 37 * 45 + 45, dtype=torch.uint8)
    images = flat[: 3 * 37 * 45].view(3, 37, 45)
    shifted = flat[45:].view(3, 37, 45)
    with pytest.raises(ValueError, match="overlaps the images in part"):
        gaussian_blur(images, out=shifted)
    with pytest.raises(ValueError, match="must not share memory with images"):
        paste_lesions(images, torch.ones(3, 37, 45, dtype=torch.bool), bank.to("cpu"), lesion_mask=images)
    with pytest.raises(ValueError, match="out must be contiguous"):
        gaussian_blur(images, out=torch.zeros(3, 45, 37, dtype=torch.uint8).mT)


def test_empty_masks_warn_on_the_host_alone(device: PretendedHome, bank: LesionBank) -> None:
    images, masks = scene()
    masks[:] = False
    with pytest.warns(EmptyMaskWarning):
        paste_lesions(images, masks, bank)
    result = paste_lesions(torch.from_numpy(images), torch.from_numpy(masks), bank.to("cpu"))
    same(result, images)
