"""Lung masks: drawn chests with known lungs, what may lie around them, wrong input, and real slices."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from plr_fast.data.lungs.masks import MASK_VERSION, MaskQuality, lung_mask, mask_recipe
from plr_fast.data.phantom.scans import thorax_phantom

Mask = npt.NDArray[np.bool_]
TISSUE, LUNG, AIR = 0.85, 0.2, 0.1


def oval(size: int, cy: float, cx: float, ry: float, rx: float) -> Mask:
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    inside: Mask = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    return inside


def chest(size: int = 160, spread: float = 0.2) -> tuple[npt.NDArray[np.float32], Mask]:
    """A body in air with two oval lungs; returns picture and truth."""
    truth = oval(size, 0.5, 0.5 - spread, 0.24, 0.14) | oval(size, 0.5, 0.5 + spread, 0.24, 0.14)
    picture = np.full((size, size), AIR, np.float32)
    picture[oval(size, 0.5, 0.5, 0.38, 0.46)] = TISSUE
    picture[truth] = LUNG
    picture += np.random.default_rng(0).normal(0, 0.02, picture.shape).astype(np.float32)
    return np.clip(picture, 0, 1), truth


def dice(a: Mask, b: Mask) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


@pytest.mark.parametrize("size", [64, 97, 160, 256, 512, 641])
def test_finds_the_lungs_at_any_size(size: int) -> None:
    picture, truth = chest(size)
    mask, (quality,) = lung_mask(picture, return_quality=True)
    assert dice(mask, truth) > (0.97 if size > 64 else 0.95)
    assert quality.ok
    assert quality.reason == ""
    assert quality.components == 2
    assert not quality.touches_border
    assert quality.area_share == pytest.approx(mask.mean())
    assert LUNG < quality.threshold < TISSUE


def test_uint8_float_and_hounsfield_agree() -> None:
    picture, truth = chest()
    grey = np.rint(picture * 255).astype(np.uint8)
    units = np.rint(picture * 1400 - 1000).astype(np.int16)
    expected = lung_mask(picture)
    assert dice(expected, truth) > 0.97
    for other in (grey, units, picture.astype(np.float64), picture.astype(np.float16)):
        assert dice(lung_mask(other), expected) > 0.995
    padded = units.copy()
    padded[:3] = -2048  # scanners fill the outside with values below air
    assert dice(lung_mask(padded), expected) > 0.995
    for kind in (np.int16, np.int32, np.float16, np.float32, np.float64):
        assert dice(lung_mask(padded.astype(kind), units="hounsfield"), expected) > 0.995
    np.testing.assert_array_equal(lung_mask(grey, units="grey"), lung_mask(grey))


def test_hounsfield_volume_from_end_to_end() -> None:
    """Padding of -1024 around the field of view, noise, a table; the first and last slices are without lungs."""
    rng = np.random.default_rng(2)
    picture, truth = chest(256)
    body = np.where(picture > 0.5, 40.0, np.where(truth, -820.0, -1000.0))
    body[oval(256, 0.92, 0.5, 0.02, 0.5)] = -150.0
    empty = np.where(truth, 40.0, body)
    volume = np.stack([empty, body, body, empty]) + rng.normal(0, 30, (4, 256, 256))
    volume[:, ~oval(256, 0.5, 0.5, 0.5, 0.5)] = -1024
    masks, qualities = lung_mask(np.rint(volume).astype(np.int16), return_quality=True)
    assert [quality.ok for quality in qualities] == [False, True, True, False]
    assert not masks[[0, 3]].any()
    for mask in masks[1:3]:
        assert dice(mask, truth) > 0.97
    floats = torch.from_numpy(volume).float()
    again = lung_mask(floats, units="hounsfield").numpy()
    assert dice(again, masks) > 0.99


@pytest.mark.parametrize(
    ("images", "units", "error", "text"),
    [
        (np.zeros((64, 64), np.uint8), "hounsfield", TypeError, "got uint8: 8-bit pictures are no HU"),
        (np.zeros((64, 64), np.uint16), "hounsfield", TypeError, "slope and intercept"),
        (np.zeros((64, 64), np.int16), "grey", TypeError, "got int16"),
        (np.zeros((64, 64), np.uint8), "HU", ValueError, "units must be 'auto', 'grey' or 'hounsfield', not 'HU'"),
        (np.linspace(0, 1, 4096).reshape(64, 64), "hounsfield", ValueError, r"only 0\.\.1 as grey pictures do"),
        (np.linspace(0, 255, 4096).reshape(64, 64), "hounsfield", ValueError, r"only 0\.\.255 as grey pictures do"),
        (np.arange(4096, dtype=np.int16).reshape(64, 64), "auto", ValueError, "nothing below water: apply the scan's"),
        (np.full((64, 64), np.nan), "hounsfield", ValueError, r"images\[0\] holds NaN"),
        (np.full((64, 64), -500.0), "auto", ValueError, "give units='hounsfield'"),
    ],
)
def test_wrong_units(images: npt.NDArray[Any], units: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        lung_mask(images, units=units)


def test_the_recipe_names_all_that_a_mask_depends_on() -> None:
    recipe = mask_recipe()
    assert recipe["method"] == "threshold"
    assert recipe["version"] == MASK_VERSION
    # every argument of lung_mask except those that say how slices come and go
    arguments = {
        name: value for name, value in lung_mask.__kwdefaults__.items() if name not in ("return_quality", "units")
    }
    assert recipe["parameters"] == arguments
    assert mask_recipe(closing=0.022) == recipe
    assert mask_recipe(closing=0.03) != recipe
    assert json.loads(json.dumps(recipe)) == recipe
    with pytest.raises(TypeError, match="no parameter 'close'"):
        mask_recipe(close=0.03)
    with pytest.raises(ValueError, match="closing must lie in"):
        mask_recipe(closing=3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16, torch.int16])
def test_tensors_give_tensors(dtype: torch.dtype) -> None:
    picture, truth = chest()
    scaled = {torch.uint8: picture * 255, torch.int16: picture * 1400 - 1000}.get(dtype, picture)
    mask = lung_mask(torch.from_numpy(scaled).to(dtype))
    assert isinstance(mask, torch.Tensor)
    assert mask.dtype == torch.bool
    assert dice(mask.numpy(), truth) > 0.96


@pytest.mark.parametrize("shape", [(96, 96), (1, 96, 96), (3, 96, 96), (3, 1, 96, 96), (0, 96, 96), (0, 1, 96, 96)])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_shape_and_kind_are_kept(shape: tuple[int, ...], kind: str) -> None:
    picture, _ = chest(96)
    images = np.broadcast_to(picture, shape).copy()
    before = images.copy()
    given = images if kind == "numpy" else torch.from_numpy(images).requires_grad_()
    mask, qualities = lung_mask(given, return_quality=True)
    assert type(mask) is (np.ndarray if kind == "numpy" else torch.Tensor)
    assert tuple(mask.shape) == shape
    assert str(mask.dtype).endswith("bool")
    assert len(qualities) == int(np.prod(shape[:-2]))
    np.testing.assert_array_equal(images, before)
    for one in np.asarray(mask).reshape(-1, 96, 96):
        np.testing.assert_array_equal(one, lung_mask(picture))


def test_memory_layout_does_not_matter() -> None:
    data = thorax_phantom(2, 2, 64).slices
    expected = lung_mask(data)
    np.testing.assert_array_equal(lung_mask(np.asfortranarray(data)), expected)
    np.testing.assert_array_equal(lung_mask(data.repeat(2, axis=2)[:, :, ::2]), expected)
    np.testing.assert_array_equal(lung_mask(data[::-1])[::-1], expected)
    strided = torch.from_numpy(data).permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert not strided.is_contiguous()
    np.testing.assert_array_equal(lung_mask(strided).numpy(), expected)
    frozen = data.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(lung_mask(frozen), expected)


def test_table_and_air_below_it_are_left_out() -> None:
    picture, truth = chest()
    y, x = (np.mgrid[:160, :160] + 0.5) / 160
    curve = y - 0.93 + 0.25 * (x - 0.5) ** 2
    picture[(np.abs(curve) < 0.012) | (np.abs(curve - 0.05) < 0.01)] = 0.7
    assert dice(lung_mask(picture), truth) > 0.97


def test_lungs_that_touch_the_border_are_kept() -> None:
    picture, truth = chest(spread=0.22)
    cut = (slice(36, 124), slice(28, 132))  # through the outer edge of both lungs, no air in the corners
    assert truth[cut][:, 0].any()
    mask, (quality,) = lung_mask(picture[cut], return_quality=True)
    assert dice(mask, truth[cut]) > 0.95
    assert quality.touches_border
    assert quality.ok


@pytest.mark.parametrize("width", [4, 12])
def test_frame_around_the_picture(width: int) -> None:
    picture, truth = chest()
    framed = np.pad(picture, width, constant_values=1.0)
    assert dice(lung_mask(framed), np.pad(truth, width)) > 0.96


def test_small_holes_are_filled_and_the_heart_is_not() -> None:
    size = 200
    picture, _ = chest(size)
    nodule = oval(size, 0.5, 0.3, 0.04, 0.04)
    picture[nodule] = TISSUE
    assert lung_mask(picture)[nodule].all()
    # lungs that meet before and behind the heart form a ring
    ring = oval(size, 0.5, 0.5, 0.26, 0.36)
    heart = oval(size, 0.5, 0.5, 0.17, 0.17)
    around, _ = chest(size)
    around[oval(size, 0.5, 0.5, 0.38, 0.46)] = TISSUE
    around[ring] = LUNG
    around[heart] = TISSUE
    mask = lung_mask(around)
    assert dice(mask, ring & ~heart) > 0.96
    assert not mask[oval(size, 0.5, 0.5, 0.1, 0.1)].any()
    assert lung_mask(around, hole_share=1.0)[heart].all()


def test_vessels_at_the_outline_are_taken_in() -> None:
    picture, truth = chest(224)
    bar = oval(224, 0.5, 0.40, 0.008, 0.1) & truth  # from the inner outline to the middle
    picture[bar] = TISSUE
    assert lung_mask(picture)[bar].mean() > 0.9
    assert lung_mask(picture, closing=0.0, hole_share=0.0)[bar].mean() < 0.7


def test_a_mediastinal_window_is_recognised() -> None:
    """Lungs are black, fat is dark grey: the first threshold falls between fat and muscle."""
    size = 160
    picture, truth = chest(size)
    body = oval(size, 0.5, 0.5, 0.38, 0.46)
    muscle = oval(size, 0.5, 0.5, 0.28, 0.38)
    picture[:] = 0.0
    picture[body] = 0.22
    picture[muscle] = 0.25
    picture[oval(size, 0.5, 0.5, 0.16, 0.05)] = 0.95
    picture[truth] = 0.0
    mask, (quality,) = lung_mask(picture, return_quality=True)
    assert dice(mask, truth) > 0.95
    assert quality.method.startswith("darker half")
    assert quality.ok


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((64, 64), np.uint8),
        np.full((64, 64), 255, np.uint8),
        np.full((64, 64), 40, np.int16),
        np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1)),
        oval(64, 0.5, 0.5, 0.4, 0.4).astype(np.float32),
    ],
    ids=["black", "white", "soft tissue", "ramp", "a bright ball in air"],
)
def test_pictures_without_lungs_are_reported(picture: npt.NDArray[np.uint8]) -> None:
    mask, (quality,) = lung_mask(picture, return_quality=True)
    assert not quality.ok
    assert not mask.any()
    assert quality.reason == "nothing looks like a lung"
    assert quality.method == "none"
    assert quality.components == 0
    assert np.isnan(quality.threshold)


def test_implausible_areas_are_returned_and_flagged() -> None:
    picture, truth = chest()
    mask, (quality,) = lung_mask(picture, return_quality=True, min_share=0.3)
    assert not quality.ok
    assert dice(mask, truth) > 0.97  # the best guess is given all the same
    assert quality.reason.startswith("the mask covers only 2")
    assert quality.reason.endswith("less than 30.0%")
    _, (quality,) = lung_mask(picture, return_quality=True, min_share=0.01, max_share=0.05)
    assert quality.reason.endswith("more than 5.0%")


def test_one_bad_slice_does_not_spoil_the_batch() -> None:
    picture, _ = chest(96)
    batch = np.stack([picture, np.zeros_like(picture), picture])
    mask, qualities = lung_mask(batch, return_quality=True)
    assert [quality.ok for quality in qualities] == [True, False, True]
    np.testing.assert_array_equal(mask[0], mask[2])
    assert not mask[1].any()


def test_max_regions_keeps_the_largest() -> None:
    picture, truth = chest()
    left = oval(160, 0.5, 0.3, 0.24, 0.14)
    picture[oval(160, 0.32, 0.7, 0.2, 0.2)] = TISSUE  # the other lung becomes smaller
    mask, (quality,) = lung_mask(picture, return_quality=True, max_regions=1)
    assert quality.components == 1
    assert dice(mask, left) > 0.95
    assert dice(lung_mask(picture), truth) > dice(mask, truth)


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        ([[0.0]], TypeError, "NumPy array or a torch tensor, got list"),
        (np.zeros((64, 64), np.int32), TypeError, "got int32: convert"),
        (np.zeros((64, 64), np.uint16), TypeError, "got uint16"),
        (np.zeros((64, 64), bool), TypeError, "got bool"),
        (torch.zeros(64, 64, dtype=torch.int64), TypeError, "got int64"),
        (np.zeros((64, 64), complex), TypeError, "got complex128"),
        (np.zeros(64, np.uint8), ValueError, r"got \(64,\)"),
        (np.zeros((2, 3, 64, 64), np.uint8), ValueError, r"got \(2, 3, 64, 64\)"),
        (torch.zeros(1, 1, 1, 64, 64), ValueError, r"\(B, 1, H, W\), got \(1, 1, 1, 64, 64\)"),
        (np.zeros((64, 15), np.uint8), ValueError, "at least 16 pixels high and wide, got 64x15"),
        (np.zeros((0, 64), np.uint8), ValueError, "got 0x64"),
        (np.full((2, 64, 64), np.nan, np.float32), ValueError, r"images\[0\] holds NaN"),
        (torch.full((64, 64), torch.inf), ValueError, r"images\[0\] holds NaN or infinity"),
        (np.full((64, 64), 200, np.float32), ValueError, r"must lie in \[0, 1\]: divide"),
        (np.full((64, 64), -500.0), ValueError, r"values -500..-500"),
        (np.arange(4096, dtype=np.int16).reshape(64, 64) % 200, ValueError, "Hounsfield units, but holds only 0..199"),
    ],
)
def test_wrong_images(images: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        lung_mask(images)  # type: ignore[call-overload]


def test_the_slice_with_nan_is_named() -> None:
    batch = np.stack([chest(64)[0]] * 4)
    batch[2, 30, 30] = np.nan
    with pytest.raises(ValueError, match=r"images\[2\] holds NaN"):
        lung_mask(batch)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("blur", -0.1, ValueError),
        ("blur", float("nan"), ValueError),
        ("threshold_shift", 1.5, ValueError),
        ("closing", "wide", TypeError),
        ("closing", 0.5, ValueError),
        ("hole_share", True, TypeError),
        ("max_regions", 0, ValueError),
        ("max_regions", 2.0, TypeError),
        ("min_region", 2, ValueError),
        ("min_share", 0.9, ValueError),
        ("working_size", 10, ValueError),
    ],
)
def test_wrong_parameters(name: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        lung_mask(np.zeros((64, 64), np.uint8), **{name: value})  # type: ignore[call-overload]


def upright_with_one_lung_at_the_border(size: int = 160) -> tuple[npt.NDArray[np.float32], Mask]:
    """A tight cut: one lung runs along the upper edge, where a region on its own would be taken for air."""
    left, right = oval(size, 0.5, 0.27, 0.3, 0.18), oval(size, 0.3, 0.73, 0.36, 0.2)
    picture = np.full((size, size), TISSUE, np.float32)
    picture[left | right] = LUNG
    assert right[0].mean() > 0.15
    return picture, left | right


def test_the_second_lung_may_run_along_the_border() -> None:
    picture, truth = upright_with_one_lung_at_the_border()
    mask, (quality,) = lung_mask(picture, return_quality=True)
    assert dice(mask, truth) > 0.95
    assert quality.ok
    assert quality.components == 2
    assert quality.least_half > 0.3


def test_one_lung_is_flagged() -> None:
    picture, truth = chest()
    half = truth & (np.arange(160) < 80)
    picture[truth & ~half] = TISSUE
    mask, (quality,) = lung_mask(picture, return_quality=True)
    assert dice(mask, half) > 0.95
    assert not quality.ok
    assert "one half" in quality.reason
    assert quality.least_half == 0
    assert 1 < quality.doubt < 1.1


def test_inverted_slices_are_flagged() -> None:
    """MONOCHROME1: air and lungs white. Then the body is the dark region, a ring around the lungs."""
    picture, _ = chest()
    _, (quality,) = lung_mask(1 - picture, return_quality=True)
    assert not quality.ok
    assert quality.enclosed > 0.35
    assert "invert the slice" in quality.reason
    # not all: a body cut by the border is no ring (a quarter of these passed when this was written)
    data = thorax_phantom(10, 4, 128, seed=3)
    _, upright = lung_mask(data.slices, return_quality=True)
    _, inverted = lung_mask(255 - data.slices, return_quality=True)
    assert np.mean([quality.ok for quality in inverted]) < 0.4
    assert np.mean([quality.ok for quality in upright]) > 0.95


def test_air_between_body_and_table_is_no_lung() -> None:
    picture = np.full((160, 160), TISSUE, np.float32)
    y, x = (np.mgrid[:160, :160] + 0.5) / 160
    picture[np.abs(y - 0.85 - 0.1 * (x - 0.5) ** 2) < 0.05] = AIR  # from side to side, tissue (a thick table) below
    mask, (quality,) = lung_mask(picture, return_quality=True)
    assert not mask.any()
    assert not quality.ok


def test_air_behind_a_thin_frame_is_no_lung() -> None:
    size = 160
    truth = oval(size, 0.5, 0.3, 0.24, 0.14) | oval(size, 0.5, 0.7, 0.24, 0.14)
    picture = np.full((size, size), TISSUE, np.float32)
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    picture[x + y < 0.35] = AIR  # a wedge in one corner
    picture[truth] = LUNG
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        edge[:] = 1.0
    mask, (quality,) = lung_mask(picture, return_quality=True)
    assert not mask[(x + y < 0.3)].any()
    assert dice(mask, truth) > 0.96
    assert quality.components == 2


def test_doubt_orders_masks_and_decides() -> None:
    data = thorax_phantom(20, 4, 64, seed=5)
    _, qualities = lung_mask(data.slices, return_quality=True, min_share=0.2)
    assert {quality.ok for quality in qualities} == {True, False}
    for quality in qualities:
        assert quality.ok == (quality.doubt <= 1) == (quality.reason == "")
        if quality.area_share:
            assert quality.doubt >= 0.2 / quality.area_share - 1e-9
        else:
            assert np.isinf(quality.doubt)


slices = st.builds(
    lambda patients, size, seed: thorax_phantom(patients, 1, size, seed=seed).slices,
    st.integers(1, 2), st.integers(32, 100), st.integers(0, 10_000),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(slices)
def test_flipping_a_slice_flips_its_mask(images: npt.NDArray[np.uint8]) -> None:
    mask = lung_mask(images)
    for axis in (1, 2):
        flipped = np.flip(lung_mask(np.ascontiguousarray(np.flip(images, axis))), axis)
        # sums run the other way, so that a pixel at the threshold may change sides
        assert np.count_nonzero(mask != flipped) <= 0.005 * mask.size


@settings(max_examples=25, deadline=None)
@given(slices, st.integers(0, 3))
def test_batches_do_not_matter(images: npt.NDArray[np.uint8], extra: int) -> None:
    mask, qualities = lung_mask(images, return_quality=True)
    batch = np.concatenate([np.zeros((extra, *images.shape[1:]), np.uint8), images])
    again, others = lung_mask(batch, return_quality=True)
    np.testing.assert_array_equal(again[extra:], mask)
    assert [repr(quality) for quality in others[extra:]] == [repr(quality) for quality in qualities]  # NaN = NaN


@settings(max_examples=25, deadline=None)
@given(slices)
def test_the_mask_lies_in_the_body_and_is_stable(images: npt.NDArray[np.uint8]) -> None:
    """Air outside the body is never lung; what was found is found again when it alone is dark."""
    for picture in images:
        mask, (quality,) = lung_mask(picture, return_quality=True)
        labels, _ = ndimage.label(picture < 25)  # air, from the corners
        corners = {int(labels[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
        outside = np.isin(labels, list(corners))
        assert not (ndimage.binary_erosion(outside, iterations=2) & mask).any()
        if quality.ok:
            again = lung_mask(np.where(mask, np.uint8(50), np.uint8(210)))
            assert dice(again, mask) > 0.9


@settings(max_examples=40, deadline=None)
@given(st.integers(16, 48), st.integers(16, 48), st.integers(0, 1000), st.sampled_from(["noise", "blobs", "constant"]))
def test_any_picture_gets_a_mask_and_a_reason(height: int, width: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.random((height, width)).astype(np.float32)
    if kind == "blobs":
        picture = (ndimage.gaussian_filter(picture, 4) > 0.5).astype(np.float32)
    elif kind == "constant":
        picture[:] = picture[0, 0]
    mask, (quality,) = lung_mask(picture, return_quality=True)
    assert mask.shape == picture.shape
    assert quality.area_share == np.count_nonzero(mask) / mask.size
    assert quality.ok == (not quality.reason)
    assert quality.ok or not np.isnan(quality.doubt)
    assert mask.any() or not quality.ok
    assert 0 <= quality.least_half <= 0.5


def test_quality_is_plain_data() -> None:
    _, (quality,) = lung_mask(chest(64)[0], return_quality=True)
    assert isinstance(quality, MaskQuality)
    assert set(dataclasses.asdict(quality)) == {
        "ok", "reason", "doubt", "area_share", "components", "touches_border", "least_half", "enclosed", "method",
        "threshold",
    }  # fmt: skip
    with pytest.raises(dataclasses.FrozenInstanceError):
        quality.ok = False  # type: ignore[misc]


def test_import_is_light() -> None:
    code = (
        "import sys, plr_fast.data.lungs.masks; "
        "print(sorted({'skimage', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_phantom_of_both_classes() -> None:
    data = thorax_phantom(20, 4, 128, seed=11)
    masks, qualities = lung_mask(data.slices, return_quality=True)
    overlap = np.array([dice(a, b) for a, b in zip(masks, data.masks, strict=True)])
    assert overlap.mean() > 0.96
    assert np.median(overlap) > 0.975
    assert np.mean([quality.ok for quality in qualities]) > 0.98


def _read(path: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("L"))


@pytest.mark.real_data
def test_agrees_with_manual_masks(real_data: Path) -> None:
    """Mean Dice .983 and share below .9 of .008 over all 265 pairs when this was written; a third of them here."""
    folder = real_data / "lung" / "kaggle_finding_lungs"
    with (folder / "index.csv").open(newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)][::3]
    overlap = np.array(
        [dice(lung_mask(_read(folder / "images" / n)), _read(folder / "masks" / n) > 127) for n in names]
    )
    assert overlap.mean() > 0.97
    assert (overlap < 0.9).mean() < 0.04


@pytest.mark.real_data
def test_hounsfield_agree_with_manual_masks(real_data: Path) -> None:
    """The set's grey is -1000..400 HU; undone here. Mean Dice .983 as for grey."""
    folder = real_data / "lung" / "kaggle_finding_lungs"
    overlap = []
    for file in sorted((folder / "images").glob("*.png"))[::8]:
        units = _read(file).astype(np.float32) * (1400 / 255) - 1000
        units[_read(file) == 0] = -3024  # as scanners pad
        mask, (quality,) = lung_mask(units, units="hounsfield", return_quality=True)
        assert quality.ok
        overlap.append(dice(mask, _read(folder / "masks" / file.name) > 127))
    assert np.mean(overlap) > 0.96


@pytest.mark.real_data
@pytest.mark.parametrize(("source", "every"), [("sars_cov2_ct", 16), ("ucsd_covid_ct", 5)])
def test_masks_are_plausible_on_cropped_slices(real_data: Path, source: str, every: int) -> None:
    """Implausible: 0.2 % and 0.9 % of all slices of the two sets, and none empty, when this was written."""
    files = sorted((real_data / "ct" / source).glob("*/*.png"))[::every]
    assert len(files) > 100
    bad = []
    for file in files:
        mask, (quality,) = lung_mask(_read(file), return_quality=True)
        assert mask.any()
        if not quality.ok:
            bad.append(f"{file.name}: {quality.reason}")
    assert len(bad) <= 0.02 * len(files), bad
