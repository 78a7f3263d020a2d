"""One channel-first sample: slices, channels, value ranges; against paste_lesions itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from plr_fast import EmptyMaskWarning, LesionBank, paste_lesions
from plr_fast.integrations.channel_first import ChannelFirstPaste

BANK = LesionBank.generate(count=40, images=4, size=64, seed=1)


def make(value_range: Any = None, slice_axis: int = 0, **settings: Any) -> ChannelFirstPaste:
    return ChannelFirstPaste(BANK, value_range, slice_axis, {"count": 5, **settings})


def volume(dtype: Any = np.float32, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (C, 7, 30, 40) and its mask (1, 7, 30, 40), with the first slice's mask empty."""
    grey = np.random.default_rng(0).integers(0, 256, (channels, 7, 30, 40), np.uint8)
    mask = np.zeros((1, 7, 30, 40), bool)
    mask[:, 1:, 8:25, 5:30] = True
    return (grey if dtype == np.uint8 else (grey / 255).astype(dtype)), mask


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_slice_gets_what_paste_lesions_gives(dtype: Any) -> None:
    image, mask = (a[:, 3] for a in volume(dtype))
    result = make(blend="alpha", alpha=(0.2, 0.9))(image, mask, 2**63 - 1)
    expected = paste_lesions(image, mask, BANK, count=5, blend="alpha", alpha=(0.2, 0.9), seed=2**63 - 1)
    np.testing.assert_array_equal(result, expected)
    assert (result != image).any()


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_a_volume_is_pasted_slice_by_slice(axis: int) -> None:
    image, mask = (np.moveaxis(a, 1, axis % 3 + 1) for a in volume())
    result = make(slice_axis=axis)(image, mask, 4)
    assert result.shape == image.shape
    assert result.flags.c_contiguous
    slices, lungs = (np.moveaxis(a[0], axis, 0) for a in (image, mask))
    expected, info = paste_lesions(slices, lungs, BANK, count=5, seed=4, return_info=True)
    assert info.empty.tolist() == [True] + [False] * 6, "an empty slice among others is no reason to warn"
    np.testing.assert_array_equal(np.moveaxis(result[0], axis, 0), expected)


def test_all_channels_get_the_same_lesions() -> None:
    image, mask = volume(channels=3)
    image = np.broadcast_to(image[:1], image.shape)
    result = make()(image, mask, 4)
    assert (result != image).any()
    np.testing.assert_array_equal(result[0], result[1])
    np.testing.assert_array_equal(result[0], result[2])
    own_masks = np.concatenate([mask, mask, np.zeros_like(mask)])
    result = make()(image, own_masks, 4)
    np.testing.assert_array_equal(result[2], image[2])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, np.int32])
def test_value_range_maps_black_and_white(dtype: Any) -> None:
    """Hounsfield units of a lung window: what changes is what changes on grey images, the rest keeps its bits."""
    grey, mask = volume()
    image = (grey * 1500 - 1350).astype(dtype)
    image[:, :, 10, 10] = 3000  # metal, above white
    result = make((-1350, 150), blend="replace")(image, mask, 4)
    assert result.dtype == dtype
    unit = ((image.astype(np.float64) + 1350) / 1500).astype(np.float32)
    expected = paste_lesions(unit[0], mask[0], BANK, count=5, seed=4, check=False, return_info=True)[0]
    changed = expected != unit[0]
    assert changed.any()
    np.testing.assert_array_equal(result[0][~changed], image[0][~changed])
    tolerance = {"f": 0.51 if dtype == np.float16 else 1e-3, "i": 0.501}[np.dtype(dtype).kind]
    np.testing.assert_allclose(result[0][changed], expected[changed] * 1500.0 - 1350, atol=tolerance, rtol=0)


def test_integers_saturate() -> None:
    image, mask = np.zeros((1, 30, 40), np.uint8), np.ones((1, 30, 40), bool)
    result = make((0, 2000))(image, mask, 1)
    assert result.max() == 255
    assert set(np.unique(result)) <= {0, 255}, "patches are brighter than 180 of 255, far above what uint8 holds"


@pytest.mark.parametrize("mask_dtype", [np.bool_, np.uint8, np.int16, np.float32, np.float64])
def test_masks_of_any_dtype_and_tensors(mask_dtype: Any) -> None:
    image, mask = volume()
    expected = make()(image, mask, 9)
    result = make()(torch.from_numpy(image), torch.from_numpy(mask.astype(mask_dtype)), 9)
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), expected)


def test_input_is_left_alone() -> None:
    for kwargs in ({}, {"value_range": (-1.0, 2.0)}):
        image, mask = volume()
        before = image.copy()
        make(**kwargs)(image, mask, 1)
        np.testing.assert_array_equal(image, before)


def test_a_wholly_empty_mask_is_said() -> None:
    image, mask = volume()
    with pytest.warns(EmptyMaskWarning, match="the mask has no lung pixel: the image is unchanged"):
        result = make()(image, np.zeros_like(mask), 1)
    np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((30, 40), np.float32), ValueError, "channel first"),
        (np.zeros((1, 30, 41), np.float32), ValueError, r"mask must have shape \(1, \*\(30, 41\)\)"),
        (np.zeros((1, 30, 40), np.int16), TypeError, "not int16: give value_range"),
        (np.full((1, 30, 40), -1000.0), ValueError, "ranges from -1000 to -1000.*or give value_range"),
        (np.full((1, 30, 40), np.nan, np.float32), ValueError, "ranges from nan"),
        ([[[0.0]]], TypeError, "image must be a torch tensor or a NumPy array, not list"),
    ],
)
def test_bad_images(image: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()(image, np.ones((1, 30, 40), bool), 0)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"blend": "multiply"}, ValueError, "blend must be one of"),
        ({"seed": 1}, TypeError, "seed cannot be set here"),
        ({"out": None, "samples": None}, TypeError, "out, samples cannot be set here"),
        ({"nonsense": 1}, TypeError, "nonsense"),
        ({"slice_axis": 3}, ValueError, "slice_axis"),
        ({"value_range": (1, 1)}, ValueError, "value_range must be .low, high. with low < high"),
        ({"value_range": (1,)}, ValueError, "value_range must be .low, high."),
        ({"value_range": (0, float("inf"))}, ValueError, "value_range must be a finite number"),
    ],
)
def test_bad_settings_are_refused_at_once(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**kwargs)


def test_without_a_bank_the_papers_is_made() -> None:
    assert len(ChannelFirstPaste(None, None, 0, {}).bank) == 5000
