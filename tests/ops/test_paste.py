"""Pasting: against the reference on every backend, properties that hold for any input, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plr_fast
from plr_fast import EmptyMaskWarning, LesionBank, paste_lesions
from plr_fast.ops.paste import PasteInfo

BANK = LesionBank.generate(count=80, images=8, size=64, seed=1)
BLENDS: list[dict[str, Any]] = [
    {},
    {"blend": "max"},
    {"blend": "alpha", "alpha": 0.4},
    {"blend": "alpha", "alpha": (0.2, 1.0), "feather": 4},
    {"blend": "add", "alpha": 0.6, "feather": 2},
    {"count": (0, 7)},
    {"count": 0},
]


def scene(dtype: Any, shape: tuple[int, int, int] = (4, 50, 37)) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    grey = generator.integers(0, 256, shape, np.uint8)
    masks = np.zeros(shape, bool)
    masks[:, shape[1] // 4 : -3, 5 : shape[2] // 2] = True
    masks[0] = generator.random(shape[1:]) < 0.02  # scattered pixels, also on the border
    return (grey if dtype == np.uint8 else (grey / 255).astype(np.float32)), masks


@pytest.mark.parametrize("kwargs", BLENDS, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_equals_the_reference(backend: str, dtype: Any, kwargs: dict[str, Any]) -> None:
    images, masks = scene(dtype)
    result = paste_lesions(images, masks, BANK, seed=3, **kwargs)
    plr_fast.use_backend("reference")
    expected = paste_lesions(images, masks, BANK, seed=3, **kwargs)
    assert result.dtype == dtype
    # float32 rounds once per blended patch; uint8 is integer arithmetic throughout.
    np.testing.assert_allclose(result, expected, atol=1e-6 if dtype == np.float32 else 0, rtol=0)


@pytest.mark.parametrize("kwargs", BLENDS, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_backend_gives_the_same_bits(dtype: Any, kwargs: dict[str, Any]) -> None:
    from tests.conftest import activate, variants

    images, masks = scene(dtype)
    results = []
    for variant in variants():
        activate(variant)
        results.append(paste_lesions(images, masks, BANK, seed=2**64 - 1, samples=[-5, 7, 2**40, 0], **kwargs))
    assert all(np.array_equal(result, results[0]) for result in results[1:])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(), height=st.integers(1, 40), width=st.integers(1, 40), share=st.floats(0, 1), seed=st.integers(0, 99)
)
def test_only_lung_pixels_change(data: st.DataObject, height: int, width: int, share: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (2, height, width), np.uint8)
    masks = generator.random((2, height, width)) < share
    settings_ = data.draw(st.sampled_from(BLENDS))
    result, info = paste_lesions(images, masks, BANK, seed=seed, return_info=True, **settings_)
    assert np.array_equal(result[~masks], images[~masks])
    assert (info.empty == ~masks.any((1, 2))).all()
    assert (info.counts[info.empty] == 0).all()
    low, high = (
        settings_.get("count", 30) if isinstance(settings_.get("count"), tuple) else (settings_.get("count", 30),) * 2
    )
    assert ((info.counts[~info.empty] >= low) & (info.counts[~info.empty] <= high)).all()


def test_the_mean_is_what_patches_are_centred_on(backend: str) -> None:
    """Patches of one pixel fall on every lung pixel equally often."""
    point = LesionBank.generate(count=5, images=2, size=32, patch=(1, 1))
    images, masks = np.zeros((400, 12, 12), np.uint8), np.zeros((400, 12, 12), bool)
    masks[:, 2:10, 3:8] = True
    hits = (paste_lesions(images, masks, point, count=1) > 0).sum(0)[2:10, 3:8]
    assert hits.sum() == 400
    chi_square = ((hits - 10) ** 2 / 10).sum()
    assert chi_square < 73  # 99.9 % quantile at 39 degrees of freedom


def test_depends_on_the_sample_id_alone(backend: str) -> None:
    images, masks = scene(np.float32)
    whole = paste_lesions(images, masks, BANK, seed=1, samples=[5, 6, 7, 8])
    parts = [paste_lesions(images[i : i + 1], masks[i : i + 1], BANK, seed=1, samples=[5 + i]) for i in range(4)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert not np.array_equal(whole, paste_lesions(images, masks, BANK, seed=1, samples=[1, 2, 3, 4]))
    assert not np.array_equal(whole, paste_lesions(images, masks, BANK, seed=2, samples=[5, 6, 7, 8]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_kinds_shapes_and_out(backend: str, dtype: torch.dtype) -> None:
    images, masks = (torch.from_numpy(a) for a in scene(np.uint8 if dtype == torch.uint8 else np.float32))
    plain = paste_lesions(images, masks, BANK)
    assert isinstance(plain, torch.Tensor)
    channel = paste_lesions(images[:, None], masks[:, None], BANK)
    assert channel.shape == (4, 1, 50, 37)
    assert torch.equal(channel[:, 0], plain)
    assert torch.equal(paste_lesions(images[:, None], masks, BANK)[:, 0], plain), "masks need no channel axis"
    assert torch.equal(paste_lesions(images, masks.to(torch.uint8) * 255, BANK), plain), "any non-zero byte is lung"
    turned = images.transpose(1, 2).contiguous().transpose(1, 2)
    assert not turned.is_contiguous()
    assert torch.equal(paste_lesions(turned, masks, BANK), plain), "non-contiguous images are copied"
    out = torch.empty_like(images)
    assert paste_lesions(images, masks, BANK, out=out) is out
    assert torch.equal(out, plain)
    copy = images.clone()
    assert paste_lesions(copy, masks, BANK, out=copy) is copy
    assert torch.equal(copy, plain), "in place"


def test_input_is_left_alone(backend: str) -> None:
    images, masks = scene(np.uint8)
    before = images.copy()
    paste_lesions(images, masks, BANK)
    np.testing.assert_array_equal(images, before)


def test_replace_puts_patches_in_as_they_are(backend: str) -> None:
    images, masks = np.zeros((1, 60, 60), np.uint8), np.ones((1, 60, 60), bool)
    one = paste_lesions(images, masks, BANK, count=1)[0]
    rows, columns = (np.flatnonzero(one.any(axis)) for axis in (1, 0))
    found = one[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert any(p.shape == found.shape and np.array_equal(p, found) for p in BANK)


def test_empty_masks_are_flagged(backend: str) -> None:
    images, masks = scene(np.uint8)
    masks[1:3] = False
    with pytest.warns(EmptyMaskWarning, match=r"2 of 4 masks are empty \(image 1, 2\): these images are unchanged"):
        result = paste_lesions(images, masks, BANK)
    np.testing.assert_array_equal(result[1:3], images[1:3])
    result, info = paste_lesions(images, masks, BANK, return_info=True)
    assert isinstance(info, PasteInfo)
    assert info.empty.tolist() == [False, True, True, False]
    assert info.counts.tolist() == [30, 0, 0, 30]


def test_empty_batch(backend: str) -> None:
    assert paste_lesions(np.zeros((0, 8, 8), np.uint8), np.zeros((0, 8, 8), bool), BANK).shape == (0, 8, 8)


def damaged(value: float) -> np.ndarray:
    images = np.full((4, 50, 37), 0.5, np.float32)
    images[2, 3, 4] = value
    return images


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"images": np.zeros((50, 37), np.uint8)}, ValueError, r"images must have shape \(B, H, W\) or \(B, 1, H, W\)"),
    ({"images": np.zeros((4, 3, 50, 37), np.uint8)}, ValueError, r"not \(4, 3, 50, 37\)"),
    ({"images": np.zeros((4, 0, 37), np.uint8)}, ValueError, "at least one pixel"),
    ({"images": np.zeros((4, 50, 37))}, TypeError, "images must be uint8 or float32, not float64"),
    ({"images": torch.zeros(4, 50, 37, dtype=torch.bfloat16)}, TypeError, "bfloat16"),
    ({"images": torch.zeros(4, 50, 37, device="meta")}, ValueError, "images is on meta"),
    ({"images": [[1]]}, TypeError, "images must be a torch tensor or a NumPy array, not list"),
    ({"images": damaged(float("nan"))}, ValueError, "images contain NaN .in image 2."),
    ({"images": damaged(-1000.0)}, ValueError, "images range from -1000 to 0.5"),
    ({"images": damaged(float("inf"))}, ValueError, "must lie in .0, 1."),
    ({"masks": np.zeros((4, 50, 36), bool)}, ValueError, "masks must have the shape of the images"),
    ({"masks": np.zeros((4, 50, 37), np.float32)}, TypeError, "masks must be bool or uint8, not float32"),
    ({"bank": [np.zeros((5, 5))]}, TypeError, "bank must be a LesionBank, not list"),
    ({"count": -1}, ValueError, "count"),
    ({"count": (5, 2)}, ValueError, "count must be .low, high. with low <= high"),
    ({"count": 2.5}, TypeError, "count"),
    ({"blend": "multiply"}, ValueError, "blend must be one of 'replace'"),
    ({"alpha": 1.5}, ValueError, "alpha"),
    ({"alpha": (0.5, 0.1)}, ValueError, "alpha must be"),
    ({"alpha": (0.1, 0.2, 0.3)}, ValueError, "alpha must be"),
    ({"feather": -1}, ValueError, "feather"),
    ({"samples": [1, 2]}, ValueError, "one id for each of the 4"),
    ({"out": np.zeros((4, 50, 37), np.float32)}, ValueError, "out must have shape"),
    ({"out": np.zeros((4, 37, 50), np.uint8).transpose(0, 2, 1)}, ValueError, "out must be contiguous"),
]


@pytest.mark.parametrize(("kwargs", "error", "message"), BAD, ids=str)
def test_bad_arguments(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    images, masks = scene(np.uint8)
    arguments = {"images": images, "masks": masks, "bank": BANK, **kwargs}
    with pytest.raises(error, match=message):
        paste_lesions(arguments.pop("images"), arguments.pop("masks"), arguments.pop("bank"), **arguments)


def test_out_that_overlaps_in_part_is_refused() -> None:
    buffer = np.zeros((5, 20, 20), np.uint8)
    with pytest.raises(ValueError, match="overlaps"):
        paste_lesions(buffer[:4], np.ones((4, 20, 20), bool), BANK, out=buffer[1:])


def test_out_may_not_be_the_masks() -> None:
    masks = np.ones((2, 20, 20), np.uint8)
    with pytest.raises(ValueError, match="out must not be the masks"):
        paste_lesions(np.zeros((2, 20, 20), np.uint8), masks, BANK, out=masks)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_views_of_any_kind_are_read(backend: str, dtype: Any) -> None:
    images, masks = scene(dtype)
    upside = np.ascontiguousarray(images[:, ::-1])
    expected = paste_lesions(images, masks, BANK)
    np.testing.assert_array_equal(paste_lesions(upside[:, ::-1], masks, BANK), expected)
    images.flags.writeable = False
    np.testing.assert_array_equal(paste_lesions(images, masks, BANK), expected)


def test_images_beyond_32_bits_are_refused() -> None:
    huge = np.broadcast_to(np.zeros(1, np.uint8), (1, 2**16, 2**15))
    with pytest.raises(ValueError, match=r"fewer than 2\^31 pixels each"):
        paste_lesions(huge, huge, BANK)


def test_unchecked_images_may_hold_anything() -> None:
    images = damaged(-1000.0)
    result = paste_lesions(images, np.ones(images.shape, bool), BANK, count=0, check=False)
    np.testing.assert_array_equal(result, images)
