"""Clouds: the CUDA kernels, run on the host, against NumPy's way, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plr_fast import CloudInfo, EmptyMaskWarning, index_masks, paste_clouds
from plr_fast.backends.cuda import clouds as plan
from plr_fast.backends.specs import CLOUD_COMBINATIONS
from tests.backends.cuda.device import PretendedHome, pretended
from tests.cloud_settings import CLOUDS

pytest.importorskip("plr_fast._cuda_host", reason="needs the host launcher, which tools/setup.sh dev builds")

FIELDS = ("empty", "area", "share", "opacity", "threshold", "draws", "lowered", "lesion_mask")


@pytest.fixture
def device() -> Iterator[PretendedHome]:
    with pretended() as home:
        yield home


def scene(dtype: Any, shape: tuple[int, ...], seed: int = 0, share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, shape, np.uint8)
    masks = np.zeros(shape, bool)
    masks[..., shape[-2] // 5 :, : 1 + shape[-1] // 2] = True
    masks &= generator.random(shape) < share
    return (images if dtype == np.uint8 else (images / 255).astype(np.float32)), masks


def bits(array: Any) -> np.ndarray:
    return np.ascontiguousarray(array.numpy() if isinstance(array, torch.Tensor) else array).view(np.uint8)


def check(images: np.ndarray, masks: np.ndarray, **kwargs: Any) -> CloudInfo:
    """Compare result and record of a call on NumPy's arrays with one on the device; return what the host tells."""
    kwargs = {"return_info": True, "lesion_mask": True, **kwargs}
    expected, told = paste_clouds(images, masks, **kwargs)
    given_images = torch.from_numpy(images.copy())
    result, info = paste_clouds(given_images, torch.from_numpy(masks), **kwargs)
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(bits(result), bits(expected))
    assert result.shape == expected.shape
    np.testing.assert_array_equal(bits(given_images), bits(images), err_msg="the images themselves")
    for name in FIELDS:
        theirs, ours = getattr(info, name), getattr(told, name)
        assert theirs.numpy().dtype == ours.dtype, name
        np.testing.assert_array_equal(theirs.numpy(), ours, err_msg=name)
    combine = [CLOUD_COMBINATIONS[n] if n >= 0 else "" for n in info.combine.tolist()]
    assert combine == list(told.combine)
    return told


SETTINGS: list[dict[str, Any]] = [
    *CLOUDS,
    {"octaves": 7, "combine": "any", "min_area": 500},
    {"threshold": 252, "min_area": 40, "softness": 9, "combine": "union"},
    {"threshold": 254, "min_area": 2**31 - 1, "softness": 255},
    {"threshold": (150, 254), "min_area": 30, "combine": "any"},
    {"threshold": 252, "min_area": 0},
]


@pytest.mark.parametrize("kwargs", SETTINGS, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_as_on_the_host(device: PretendedHome, dtype: Any, kwargs: dict[str, Any]) -> None:
    images, masks = scene(dtype, (5, 50, 36))
    masks[3] = False
    check(images, masks, seed=3, samples=[-5, 7, 2**40, 0, 1], **kwargs)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(), height=st.integers(1, 40), width=st.integers(1, 70), share=st.floats(0, 1), seed=st.integers(0, 99)
)
def test_any_size_any_settings(data: st.DataObject, height: int, width: int, share: float, seed: int) -> None:
    images, masks = scene(data.draw(st.sampled_from([np.uint8, np.float32])), (2, height, width), seed, share)
    kwargs = {"min_area": data.draw(st.integers(0, 60)), **data.draw(st.sampled_from(SETTINGS))}
    with pretended(backwards=data.draw(st.booleans(), label="backwards")):
        check(images, masks, seed=seed, samples=[seed - 50, 2**62], **kwargs)


def test_all_ways_are_taken(device: PretendedHome) -> None:
    """First draws, later draws and lowered thresholds, in one batch, with each combination."""
    images, masks = scene(np.uint8, (60, 33, 30))
    told = check(images, masks, combine="any", threshold=(90, 254), min_area=50, seed=1)
    for chosen in (told.draws == 1, (told.draws > 1) & ~told.lowered, told.lowered):
        assert set(told.combine[chosen]) == set(CLOUD_COMBINATIONS)


def test_batches_in_parts(device: PretendedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = scene(np.float32, (7, 21, 30))
    monkeypatch.setattr(plan, "AT_ONCE", 150_000)
    for samples in (None, [3, 9, 1, 4, 4, 2, 0]):
        device.launcher.launched.clear()
        check(images, masks, threshold=(170, 254), min_area=9, combine="any", samples=samples)
        parts = sum(kernel == "cloud_record" for kernel, _, _ in device.launcher.launched)
        assert 1 < parts < 7


def test_in_place_with_an_index_and_marks(device: PretendedHome) -> None:
    for dtype in (np.uint8, np.float32):
        images, masks = scene(dtype, (3, 1, 37, 45))
        expected, told = paste_clouds(images, masks, return_info=True, lesion_mask=True)
        given_images, lungs = torch.from_numpy(images.copy()), index_masks(torch.from_numpy(masks))
        marks = torch.full(images.shape, 9, dtype=torch.uint8)
        copy = given_images.clone()
        assert paste_clouds(copy, lungs, out=copy, lesion_mask=marks) is copy
        np.testing.assert_array_equal(bits(copy), bits(expected))
        np.testing.assert_array_equal(marks.numpy(), told.lesion_mask)
        assert paste_clouds(given_images, lungs, out=given_images, samples=torch.arange(3)) is given_images
        np.testing.assert_array_equal(bits(given_images), bits(expected))


def test_launches_go_to_the_stream_and_nobody_waits(device: PretendedHome, monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = (torch.from_numpy(array) for array in scene(np.uint8, (2, 20, 20)))
    index = index_masks(masks)
    for name in ("download", "wait", "upload"):
        monkeypatch.setattr(device, name, lambda *_: pytest.fail("nothing goes to the host or comes from it"))
    device.stream = 2**40
    for min_area, launches in ((0, 7), (1, 14)):
        device.launcher.launched.clear()
        paste_clouds(images, index, min_area=min_area)
        assert [stream for _, _, stream in device.launcher.launched] == launches * [2**40]


def test_empty_batches_and_masks(device: PretendedHome) -> None:
    images, masks = scene(np.uint8, (2, 9, 9))
    masks[:] = False
    assert check(images, masks).empty.all()
    with pytest.warns(EmptyMaskWarning):
        paste_clouds(images, masks)
    paste_clouds(torch.from_numpy(images), torch.from_numpy(masks))  # no warning: that would have to wait
    check(images[:0], masks[:0])


def test_values_that_are_not_looked_at(device: PretendedHome) -> None:
    """NaN and values beyond white come out as on the host; only ``check`` refuses them."""
    images, masks = scene(np.float32, (2, 20, 20))
    images[0, 5:9], images[1, 5:12] = np.nan, 7.0
    for blend in ("alpha", "add"):
        expected = paste_clouds(images, masks, blend=blend, threshold=90, check=False)
        result = paste_clouds(torch.from_numpy(images), torch.from_numpy(masks), blend=blend, threshold=90)
        np.testing.assert_array_equal(result.numpy(), expected)
    with pytest.raises(ValueError, match="contain NaN"):
        paste_clouds(torch.from_numpy(images), torch.from_numpy(masks), check=True)


def test_other_places_are_refused(device: PretendedHome) -> None:
    images, masks = scene(np.uint8, (2, 9, 9))
    given_images, lungs = torch.from_numpy(images), torch.from_numpy(masks)
    for call in (
        lambda: paste_clouds(given_images, masks),
        lambda: paste_clouds(given_images, lungs, out=images.copy()),
        lambda: paste_clouds(given_images, lungs, lesion_mask=masks.copy()),
    ):
        with pytest.raises(ValueError, match="is on cpu, but images on cuda:0"):
            call()
    with pytest.raises(ValueError, match="out must not be the masks"):
        paste_clouds(given_images, given_images, out=given_images)
