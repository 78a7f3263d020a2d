"""Pasting: against the reference on every backend, properties that hold for any input, and errors."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plr_fast
from plr_fast import EmptyMaskWarning, LesionBank, index_masks, paste_lesions
from plr_fast.backends import get_backend
from plr_fast.backends.specs import PatchBank
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
    {"shape": "ellipse", "blend": "alpha", "alpha": (0.2, 1.0), "feather": 3},
    {"shape": "cloud", "blend": "alpha", "alpha": (0.5, 1.0)},
    {"shape": "cloud", "blend": "add", "alpha": 0.8},
    {"shape": "ellipse"},
    {"shape": "cloud", "blend": "max"},
    {"inside": "patch"},
    {"inside": "patch", "shape": "cloud", "blend": "alpha", "count": (3, 9)},
]
# SHA-256 of the result for uint8 and float32 images, first 16 digits: a change of meaning must be meant.
KNOWN = [
    ({}, "b4ed30d098e3baea", "8791f0c3c94c6859"),
    ({"blend": "max"}, "cd2166d61a4f554c", "7466e55e2ea3597c"),
    ({"blend": "alpha", "alpha": 0.4}, "48c61b7e7e95fdd5", "7840a837f66b7115"),
    ({"blend": "alpha", "alpha": (0.2, 1.0), "feather": 4}, "0ecaa7e833867bd7", "a6cff1f26b1a27f6"),
    ({"blend": "add", "alpha": 0.6, "feather": 2}, "836e905b8f76513e", "695af4954075cc46"),
    ({"count": (0, 7)}, "91ec96d5f74d2f93", "368aadc8530850d6"),
    ({"blend": "alpha", "alpha": (0.2, 1.0), "feather": 3, "shape": "ellipse"}, "d81c975b5847385d", "fc0c0b5338ee77bc"),
    ({"blend": "add", "alpha": 0.8, "shape": "cloud"}, "8d3933386334cf22", "24c6c550c861aa33"),
    ({"blend": "max", "shape": "cloud"}, "f76e73727fa678ac", "2ce98cadb408c969"),
    ({"inside": "patch"}, "dfd2e4a56ba1675f", "434cfb1166e18546"),
]


def scene(dtype: Any, shape: tuple[int, int, int] = (4, 50, 37)) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    grey = generator.integers(0, 256, shape, np.uint8)
    masks = np.zeros(shape, bool)
    masks[:, shape[1] // 4 : -3, 5 : shape[2] // 2] = True
    masks[0] = generator.random(shape[1:]) < 0.02  # scattered pixels, also on the border
    return (grey if dtype == np.uint8 else (grey / 255).astype(np.float32)), masks


@pytest.mark.parametrize("kwargs", BLENDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_equals_the_reference(backend: str, dtype: Any, kwargs: dict[str, Any]) -> None:
    images, masks = scene(dtype)
    result = paste_lesions(images, masks, BANK, seed=3, **kwargs)
    plr_fast.use_backend("reference")
    expected = paste_lesions(images, masks, BANK, seed=3, **kwargs)
    assert result.dtype == dtype
    # float32 rounds once per blended patch; uint8 is integer arithmetic throughout.
    np.testing.assert_allclose(result, expected, atol=1e-6 if dtype == np.float32 else 0, rtol=0)


@pytest.mark.parametrize("kwargs", BLENDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_backend_gives_the_same_bits(dtype: Any, kwargs: dict[str, Any]) -> None:
    from tests.conftest import activate, variants

    images, masks = scene(dtype)
    results = []
    for variant in [*variants(), "reference"]:
        activate(variant)
        result, info = paste_lesions(
            images, masks, BANK, seed=2**64 - 1, samples=[-5, 7, 2**40, 0], return_info=True, lesion_mask=True, **kwargs
        )
        told = [getattr(info, field.name) for field in dataclasses.fields(info)]
        results.append([*told, *([] if variant == "reference" and dtype == np.float32 else [result])])
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=False):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(("kwargs", "grey", "floats"), KNOWN)
def test_known_answers(backend: str, kwargs: dict[str, Any], grey: str, floats: str) -> None:
    for dtype, digest in ((np.uint8, grey), (np.float32, floats)):
        images, masks = scene(dtype)
        result = paste_lesions(images, masks, BANK, seed=3, samples=[-5, 7, 2**40, 0], **kwargs)
        assert hashlib.sha256(result.tobytes()).hexdigest()[:16] == digest


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(), height=st.integers(1, 40), width=st.integers(1, 140), share=st.floats(0, 1), seed=st.integers(0, 99)
)
def test_what_is_told_is_what_was_done(data: st.DataObject, height: int, width: int, share: float, seed: int) -> None:
    """Only marked pixels change, marks lie in lung and boxes, and counts are what was asked for."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (2, height, width), np.uint8)
    masks = generator.random((2, height, width)) < share
    if data.draw(st.booleans()):
        masks = masks.repeat(7, axis=1)[:, :height].repeat(7, axis=2)[:, :, :width]  # coarse: room for whole patches
    kwargs = data.draw(st.sampled_from(BLENDS))
    result, info = paste_lesions(images, masks, BANK, seed=seed, return_info=True, lesion_mask=True, **kwargs)
    marked = info.lesion_mask
    assert isinstance(marked, np.ndarray)
    assert marked.dtype == np.bool_
    np.testing.assert_array_equal(result[~marked], images[~marked])
    assert not (marked & ~masks).any()
    boxed = np.zeros_like(masks)
    for i in range(2):
        for top, left, high, wide in info.boxes[i, : info.counts[i]]:
            assert high > 0
            assert wide > 0
            boxed[i, top : top + high, left : left + wide] = True
            if kwargs.get("inside") == "patch":
                assert masks[i, top : top + high, left : left + wide].all()
        assert not info.boxes[i, info.counts[i] :].any()
    assert not (marked & ~boxed).any()
    if "shape" not in kwargs:
        np.testing.assert_array_equal(marked, boxed & masks)
    np.testing.assert_array_equal(info.empty, ~masks.any((1, 2)))
    count = kwargs.get("count", 30)
    low, high = count if isinstance(count, tuple) else (count, count)
    drawn = (info.counts + info.skipped)[~info.empty]
    assert ((drawn >= low) & (drawn <= high)).all()
    assert (info.counts[info.empty] == 0).all()
    assert kwargs.get("inside") == "patch" or (info.skipped == 0).all()


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


def wide_bank(sides: list[tuple[int, int]], seed: int = 0) -> LesionBank:
    """Return a bank of given sizes with random grey."""
    heights, widths = (np.array(side, np.int32) for side in zip(*sides, strict=True))
    areas = heights.astype(np.int64) * widths
    pixels = np.random.default_rng(seed).integers(0, 256, areas.sum(), np.uint8)
    return LesionBank(PatchBank(pixels, np.cumsum(areas) - areas, heights, widths), BANK.settings)


@pytest.mark.parametrize("kwargs", BLENDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_patches_of_any_width(backend: str, dtype: Any, kwargs: dict[str, Any]) -> None:
    """Wider than a word of mask bits, than the image, and one pixel thin; masks that begin and end anywhere."""
    bank = wide_bank([(3, 70), (2, 64), (90, 1), (1, 200), (5, 63), (4, 129), (1, 1), (60, 90)])
    generator = np.random.default_rng(4)
    images = generator.integers(0, 256, (6, 70, 150), np.uint8)
    images = images if dtype == np.uint8 else (images / 255).astype(np.float32)
    masks = generator.random(images.shape) < np.array([1, 0.95, 0.5, 0.05, 1, 1])[:, None, None]
    masks[4] = False
    masks[4, 3:69, 63:65] = masks[4, 10:60, 20:140] = True
    result = paste_lesions(images, masks, bank, seed=6, **kwargs)
    plr_fast.use_backend("reference")
    expected = paste_lesions(images, masks, bank, seed=6, **kwargs)
    np.testing.assert_allclose(result, expected, atol=2e-6 if dtype == np.float32 else 0, rtol=0)


def test_an_index_is_as_good_as_masks(backend: str) -> None:
    images, masks = scene(np.float32)
    plain = paste_lesions(images, masks, BANK)
    index = index_masks(torch.from_numpy(masks)[:, None])
    assert len(index) == 4
    assert index.shape == masks.shape
    np.testing.assert_array_equal(index.unpack(), masks)
    np.testing.assert_array_equal(index.counts, masks.sum((1, 2)))
    np.testing.assert_array_equal(paste_lesions(images, index, BANK), plain)
    np.testing.assert_array_equal(paste_lesions(images, pickle.loads(pickle.dumps(index)), BANK), plain)
    for chosen in ([2, 0, 0, 3], np.array([True, False, False, True]), slice(1, 3), slice(None, None, -2), [], [-1]):
        np.testing.assert_array_equal(index[chosen].unpack(), masks[chosen])
    np.testing.assert_array_equal(index[1].unpack(), masks[1:2])
    twice = paste_lesions(images[[1, 1]], index[[1, 1]], BANK, samples=[1, 1])
    np.testing.assert_array_equal(twice, plain[[1, 1]])
    with pytest.raises(ValueError, match=r"masks must have the shape of the images, \(4, 50, 37\), not \(2, 50, 37\)"):
        paste_lesions(images, index[:2], BANK)
    with pytest.raises(ValueError, match="read-only"):
        index.packed.bits[0] = 0


@pytest.mark.parametrize("width", [1, 7, 8, 63, 64, 65, 127, 128, 200])
def test_packed_masks_equal_the_reference(backend: str, width: int) -> None:
    masks = np.random.default_rng(width).integers(0, 3, (3, 5, width), np.uint8) * 127
    mine = index_masks(masks)
    plr_fast.use_backend("reference")
    theirs = index_masks(masks)
    np.testing.assert_array_equal(mine.packed.bits, theirs.packed.bits)
    np.testing.assert_array_equal(mine.packed.before, theirs.packed.before)
    np.testing.assert_array_equal(mine.unpack(), masks != 0)


def test_index_of_nothing_and_of_nonsense() -> None:
    assert len(index_masks(np.zeros((0, 4, 4), bool))) == 0
    with pytest.raises(TypeError, match="masks must be bool or uint8, not float32"):
        index_masks(np.zeros((1, 4, 4), np.float32))
    with pytest.raises(ValueError, match="masks must have shape"):
        index_masks(np.zeros((4, 4), bool))
    with pytest.raises(TypeError, match="masks must be a torch tensor, a NumPy or a CuPy array"):
        index_masks([[1]])  # type: ignore[arg-type]


def test_batches_threads_and_streams_make_no_difference(backend: str) -> None:
    """A batch large enough to be copied past the caches, on several threads, in odd memory, image by image."""
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (9, 1000, 1003), np.uint8)
    masks = np.zeros(images.shape, bool)
    masks[:, 100:900, 200:700] = True
    plr_fast.set_num_threads(3)
    memory = np.empty(images.size + 128, np.uint8)
    start = 64 - memory.ctypes.data % 64 + 3  # rows and slices begin at no boundary
    out = memory[start : start + images.size].reshape(images.shape)
    kwargs: dict[str, Any] = {"blend": "alpha", "alpha": (0.2, 0.9), "shape": "cloud", "inside": "patch"}
    whole = paste_lesions(images, masks, BANK, samples=range(9), out=out, **kwargs)
    assert (whole != images).any((1, 2)).all()
    plr_fast.set_num_threads(1)
    for i in range(9):
        one = paste_lesions(images[i : i + 1], masks[i : i + 1], BANK, samples=[i], **kwargs)
        np.testing.assert_array_equal(one, whole[i : i + 1])


def test_info_describes_the_patches(backend: str) -> None:
    images, masks = np.zeros((3, 200, 200), np.uint8), np.zeros((3, 200, 200), bool)
    masks[:2, 20:180, 20:180] = True
    _, info = paste_lesions(images, masks, BANK, count=(1, 3), blend="alpha", alpha=(0.25, 0.75), return_info=True)
    assert info.boxes.shape == (3, 3, 4)
    assert info.lesion_mask is None
    for i in range(2):
        assert 1 <= info.counts[i] <= 3
        for box, patch, opacity in zip(info.boxes[i], info.patches[i], info.opacity[i], strict=True):
            if not box.any():
                assert (patch, opacity) == (0, 0)
                continue
            assert BANK[int(patch)].shape == tuple(box[2:])
            assert 0.25 <= opacity <= 0.75
            assert opacity * 256 == int(opacity * 256)
        corners = info.corners(i)
        assert corners.shape == (info.counts[i], 4)
        np.testing.assert_array_equal(corners[:, 3] - corners[:, 1], info.boxes[i, : info.counts[i], 2])
        np.testing.assert_array_equal(corners[:, 0], info.boxes[i, : info.counts[i], 1])
    assert info.corners(2).shape == (0, 4)
    result, info = paste_lesions(images, masks, BANK, count=2, inside="patch", return_info=True)
    np.testing.assert_array_equal(info.opacity, [[1, 1], [1, 1], [0, 0]])
    for i in range(2):  # the last patch lies on top: it can be read off the image
        top, left, height, width = info.boxes[i, 1]
        np.testing.assert_array_equal(result[i, top : top + height, left : left + width], BANK[int(info.patches[i, 1])])


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8])
def test_lesion_masks_of_every_kind(backend: str, dtype: torch.dtype) -> None:
    images, masks = (torch.from_numpy(a) for a in scene(np.uint8))
    _, info = paste_lesions(images[:, None], masks, BANK, return_info=True, lesion_mask=True)
    assert isinstance(info.lesion_mask, torch.Tensor)
    assert info.lesion_mask.shape == (4, 1, 50, 37)
    assert info.lesion_mask.dtype == torch.bool
    mine = torch.ones(4, 1, 50, 37, dtype=dtype)
    assert isinstance(paste_lesions(images[:, None], masks, BANK, lesion_mask=mine), torch.Tensor)
    assert torch.equal(mine.bool(), info.lesion_mask)
    _, again = paste_lesions(images, masks, BANK, return_info=True, lesion_mask=mine)
    assert again.lesion_mask is mine


def test_shapes_are_what_they_are_called(backend: str) -> None:
    bank = wide_bank([(21, 21)], seed=1)
    images, masks = np.zeros((1, 41, 41), np.uint8), np.zeros((1, 41, 41), bool)
    masks[0, 20, 20] = True
    plain = {shape: bank.cover(shape, 2).reshape(21, 21).astype(int) for shape in ("rectangle", "ellipse", "cloud")}
    assert (plain["rectangle"] == 255).all()
    y, x = np.mgrid[-10:11, -10:11]
    radius = np.hypot(y, x)
    ellipse = plain["ellipse"]
    assert (ellipse[radius > 10.6] == 0).all()
    assert (ellipse[radius < 6] == 255).all()
    assert ((ellipse[(radius > 8) & (radius < 10)] > 0) & (ellipse[(radius > 8) & (radius < 10)] < 255)).all()
    for turned in (ellipse[::-1], ellipse[:, ::-1], ellipse.T):
        np.testing.assert_array_equal(turned, ellipse)
    assert (np.diff(ellipse[10, 10:]) <= 0).all()
    cloud, patch = plain["cloud"], bank[0]
    assert (cloud[radius > 10.6] == 0).all()
    assert cloud[patch == patch.min()].max() == 0
    assert (cloud <= bank.cover("ellipse", 100).reshape(21, 21)).all()
    # Nothing but the middle is lung here; a shape that leaves it out changes nothing.
    result = paste_lesions(images, masks, bank, count=1, shape="ellipse")
    assert result[0, 20, 20] == patch[10, 10]
    assert bank.cover("cloud") is bank.cover("cloud"), "kept for the next call"


def test_a_flat_patch_makes_a_dense_cloud() -> None:
    packed = PatchBank(np.full(81, 200, np.uint8), np.zeros(1, np.int64), *(np.full(1, 9, np.int32) for _ in "hw"))
    bank = LesionBank(packed, BANK.settings)
    np.testing.assert_array_equal(bank.cover("cloud"), bank.cover("ellipse", 100))


@pytest.mark.parametrize("shape", ["ellipse", "cloud"])
@pytest.mark.parametrize("feather", [0, 3, 2**15])
def test_covers_equal_the_reference(backend: str, shape: Any, feather: int) -> None:
    bank = wide_bank([(1, 1), (1, 9), (25, 5), (300, 2), (17, 18), (2, 2), (64, 65)])
    tables = []
    for name in (backend.partition("-")[0], "reference"):
        out = np.empty_like(bank.packed.pixels)
        get_backend(name).cover_patches(bank.packed, shape, feather, out, 2)
        tables.append(out)
    np.testing.assert_array_equal(*tables)


def test_whole_patches_lie_at_every_place_equally_often(backend: str) -> None:
    """Few of the centres will do, so that both the tries and the choice among all places are at work."""
    bank = wide_bank([(6, 5)])
    images, masks = np.zeros((4000, 24, 80), np.uint8), np.zeros((4000, 24, 80), bool)
    masks[:, ::3, :] = True  # many centres where nothing fits
    masks[:, 4:12, 60:68] = True
    _, info = paste_lesions(images, masks, bank, count=1, inside="patch", return_info=True)
    assert (info.counts == 1).all()
    corners, hits = np.unique(info.boxes[:, 0, :2], axis=0, return_counts=True)
    allowed = [(y, x) for y in range(19) for x in range(76) if masks[0, y : y + 6, x : x + 5].all()]
    assert [tuple(corner) for corner in corners] == allowed
    expected = 4000 / len(allowed)
    assert ((hits - expected) ** 2 / expected).sum() < 40, "99.9 % quantile at 16 degrees of freedom is 39.3"


def test_patches_that_fit_nowhere_are_skipped(backend: str) -> None:
    bank = wide_bank([(3, 3), (10, 10)])
    images, masks = np.zeros((2, 30, 30), np.uint8), np.zeros((2, 30, 30), bool)
    masks[0, 5:9, 5:9] = True
    masks[1, 5:7, :] = True
    result, info = paste_lesions(images, masks, bank, count=40, inside="patch", return_info=True, lesion_mask=True)
    assert (info.counts + info.skipped == 40).all()
    assert 0 < info.counts[0] < 40
    assert (info.patches[0, : info.counts[0]] == 0).all()
    assert info.counts[1] == 0
    np.testing.assert_array_equal(result[1], images[1])
    assert not info.empty.any()


def damaged(value: float) -> np.ndarray:
    images = np.full((4, 50, 37), 0.5, np.float32)
    images[2, 3, 4] = value
    return images


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"images": np.zeros((50, 37), np.uint8)}, ValueError, r"images must have shape \(B, H, W\) or \(B, 1, H, W\)"),
    ({"images": np.zeros((50, 37), np.uint8)}, ValueError, r"one slice is images\[None\]"),
    ({"images": np.zeros((4, 3, 50, 37), np.uint8)}, ValueError, "slices are grey, with one channel"),
    ({"images": np.zeros((4, 3, 50, 37), np.uint8)}, ValueError, r"not \(4, 3, 50, 37\)"),
    ({"images": np.zeros((4, 0, 37), np.uint8)}, ValueError, "at least one pixel"),
    ({"images": np.zeros((4, 50, 37))}, TypeError, "images must be uint8 or float32, not float64"),
    ({"images": torch.zeros(4, 50, 37, dtype=torch.bfloat16)}, TypeError, "bfloat16"),
    ({"images": torch.zeros(4, 50, 37, device="meta")}, ValueError, "images is on meta"),
    ({"images": [[1]]}, TypeError, "images must be a torch tensor, a NumPy or a CuPy array, not list"),
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
    ({"shape": "star"}, ValueError, "shape must be one of 'rectangle', 'ellipse', 'cloud', not 'star'"),
    ({"inside": "lung"}, ValueError, "inside must be one of 'centre', 'patch', not 'lung'"),
    ({"lesion_mask": True}, ValueError, "lesion_mask=True needs return_info=True"),
    ({"lesion_mask": "yes"}, TypeError, "lesion_mask must be a bool, a torch tensor or a NumPy array, not str"),
    ({"lesion_mask": np.zeros((4, 50, 36), bool)}, ValueError, "lesion_mask must have shape"),
    ({"lesion_mask": np.zeros((4, 50, 37), np.float32)}, ValueError, "be bool or uint8, not .* float32"),
    ({"lesion_mask": np.zeros((4, 37, 50), bool).transpose(0, 2, 1)}, ValueError, "lesion_mask must be contiguous"),
    (
        {
            "count": 2**20,
            "images": np.zeros((99999, 1, 1), np.uint8),
            "masks": np.ones((99999, 1, 1), bool),
            "return_info": True,
        },
        MemoryError,
        "the boxes of 1048576 patches",
    ),
    ({"samples": [1, 2]}, ValueError, "one id for each of the 4"),
    ({"out": np.zeros((4, 50, 37), np.float32)}, ValueError, "out must have shape"),
    ({"out": np.zeros((4, 37, 50), np.uint8).transpose(0, 2, 1)}, ValueError, "out must be contiguous"),
]


@pytest.mark.parametrize(("kwargs", "error", "message"), BAD)
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


def test_marks_may_not_be_the_images() -> None:
    images = np.zeros((2, 20, 20), np.uint8)
    with pytest.raises(ValueError, match="lesion_mask must not share memory with images or out"):
        paste_lesions(images, np.ones((2, 20, 20), bool), BANK, lesion_mask=images)


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


def test_masks_cannot_receive_the_lesion_mask() -> None:
    images, masks = np.zeros((3, 16, 16), np.uint8), np.ones((4, 16, 16), np.bool_)
    for lungs, marks in ((masks[:3], masks[:3]), (masks[:3], masks[1:])):
        with pytest.raises(ValueError, match="lesion_mask must not share memory with masks"):
            paste_lesions(images, lungs, BANK, lesion_mask=marks)
    assert masks.all()


def test_autograd_knows_that_out_changes() -> None:
    masks = torch.ones(1, 16, 16, dtype=torch.bool)
    leaf = torch.full((1, 16, 16), 0.25, requires_grad=True)
    buffer = torch.zeros(1, 16, 16)
    product = leaf * buffer
    paste_lesions(torch.zeros(1, 16, 16), masks, BANK, out=buffer)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()
    with pytest.raises(ValueError, match="out requires grad"):
        paste_lesions(torch.zeros(1, 16, 16), masks, BANK, out=leaf)


def test_the_warning_of_empty_masks_names_the_callers_line() -> None:
    with pytest.warns(EmptyMaskWarning) as caught:
        paste_lesions(np.zeros((1, 16, 16), np.uint8), np.zeros((1, 16, 16), np.bool_), BANK)
    assert caught[0].filename == __file__
