"""Clouds: against the rule written out in plain integers, properties that hold for any input, and errors."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plr_fast
from plr_fast import CloudInfo, EmptyMaskWarning, index_masks, paste_clouds, perlin_noise
from plr_fast.backends.reference.philox import draw
from plr_fast.backends.specs import CLOUD_DRAWS
from tests.cloud_settings import CLOUDS

SHAPE = (4, 50, 37)
IDS = [-5, 7, 2**40, 0]
STREAM = 12
SETTINGS: list[dict[str, Any]] = [
    *CLOUDS,
    {"threshold": 252, "min_area": 40, "softness": 9},
    {"threshold": 252, "min_area": 0},
]
# SHA-256 of the result for uint8 and float32 images, first 16 digits: a change of meaning must be meant.
KNOWN = [
    (SETTINGS[0], "10783b08b82f5ba4", "ecf8d08717fbebbd"),
    (SETTINGS[1], "6b11f82b62d197d8", "166e14e03de5740f"),
    (SETTINGS[2], "ee9e8a9334c2063e", "43afcbe24df5cef0"),
    (SETTINGS[3], "70afec95f9e6eb27", "7e2ae779a6aef3fb"),
    (SETTINGS[4], "24327d388ce40263", "af83ea9d07a4142c"),
    (SETTINGS[5], "7cf77858aced9d2c", "0f3a6e3145ccae7c"),
    (SETTINGS[6], "9d644526ccb3364a", "217a227ce4b8e201"),
]


def scene(dtype: Any, shape: tuple[int, int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    grey = generator.integers(0, 256, shape, np.uint8)
    masks = np.zeros(shape, bool)
    masks[:, shape[1] // 4 : -3, 5 : shape[2] // 2] = True
    masks[0] = generator.random(shape[1:]) < 0.1  # scattered pixels, also on the border
    return (grey if dtype == np.uint8 else (grey / 255).astype(np.float32)), masks


def ends(value: Any) -> tuple[Any, Any]:
    return value if isinstance(value, tuple) else (value, value)


def drawn(word: int, low: int, high: int) -> int:
    return low + (word * (high - low + 1) >> 32)


def expected(image: np.ndarray, lung: np.ndarray, seed: int, sample: int, **given_ones: Any) -> dict[str, Any]:
    """Return image, mask and record of one image by the rule of the docstring, pixel values in float64 and integers."""
    defaults = {
        "cells": 4, "octaves": 4, "persistence": 0.5, "lacunarity": 2, "combine": "single", "threshold": (150, 190),
        "softness": 32, "texture": (110, 210), "blend": "alpha", "alpha": (0.3, 0.8), "min_area": 1,
    }  # fmt: skip
    s = {**defaults, **given_ones}
    noise_settings = {name: s[name] for name in ("cells", "octaves", "persistence", "lacunarity")}
    words = draw(seed, sample, STREAM, 0)
    names = ("single", "union", "intersection")
    combine = names[drawn(words[0], 0, 2)] if s["combine"] == "any" else s["combine"]
    threshold = drawn(words[1], *ends(s["threshold"]))
    weight = drawn(words[2], *(round(256 * a) for a in ends(s["alpha"])))
    wanted, lowered = min(s["min_area"], int(lung.sum())), False

    def noise(number: int, key: int) -> np.ndarray:
        made = perlin_noise(
            (1, *image.shape), seed=key, samples=[number], dtype="uint8", grey="minmax", **noise_settings
        )
        return made[0].numpy().astype(np.int64)

    for draws in range(1, 11):
        low, high = draw(seed, sample, STREAM, draws)[:2]
        key = low + 2**32 * high
        outline = noise(0, key)
        if combine != "single":
            other = noise(1, key)
            outline = np.where((outline > other) == (combine == "union"), outline, other)
        if (lung & (outline > threshold)).sum() >= wanted:
            break
    else:
        lowered = True
        brightest = sorted(outline[lung].tolist(), reverse=True)
        threshold = brightest[wanted - 1] - s["softness"] - 1
    lesion = lung & (outline > threshold)
    rise = np.minimum(np.floor((outline - threshold) / (s["softness"] + 1) * 256), 256)
    opacity = np.floor(weight * np.floor((3 * 256 * rise**2 - 2 * rise**3) / 65536) / 256 + 0.5) / 256
    dark, bright = ends(s["texture"])
    texture = np.floor(dark + noise(2, key) * (bright - dark) / 255 + 0.5)
    white = 255.0 if image.dtype == np.uint8 else 1.0
    pixel, patch = image.astype(np.float64), texture * (white / 255)
    if s["blend"] == "alpha":
        mixed = pixel + opacity * (patch - pixel)
    else:
        added = opacity * patch
        mixed = np.minimum(pixel + (np.floor(added + 0.5) if white == 255 else added), white)
    result = np.where(lesion, np.floor(mixed + 0.5) if white == 255 else mixed, pixel).astype(image.dtype)
    return {
        "image": result, "lesion_mask": lesion, "area": lesion.sum(), "opacity": weight / 256, "threshold": threshold,
        "combine": combine, "draws": draws, "lowered": lowered, "empty": False,
        "share": np.float32(lesion.sum() / lung.sum()),
    }  # fmt: skip


@pytest.mark.parametrize("kwargs", SETTINGS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_follows_the_rule(backend: str, dtype: Any, kwargs: dict[str, Any]) -> None:
    images, masks = scene(dtype)
    result, info = paste_clouds(images, masks, seed=3, samples=IDS, return_info=True, lesion_mask=True, **kwargs)
    assert isinstance(info, CloudInfo)
    assert result.dtype == dtype
    for n, sample in enumerate(IDS):
        rule = expected(images[n], masks[n], 3, sample, **kwargs)
        # float32: both round float64 once, but the rule's order of operations is another one.
        np.testing.assert_allclose(result[n], rule.pop("image"), atol=0 if dtype == np.uint8 else 1e-7, rtol=0)
        for name, value in rule.items():
            np.testing.assert_array_equal(getattr(info, name)[n], value, err_msg=name)


@pytest.mark.parametrize(("kwargs", "grey", "floats"), KNOWN)
def test_known_answers(backend: str, kwargs: dict[str, Any], grey: str, floats: str) -> None:
    for dtype, digest in ((np.uint8, grey), (np.float32, floats)):
        images, masks = scene(dtype)
        result = paste_clouds(images, masks, seed=3, samples=IDS, **kwargs)
        assert hashlib.sha256(result.tobytes()).hexdigest()[:16] == digest


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(), height=st.integers(1, 40), width=st.integers(1, 70), share=st.floats(0, 1), seed=st.integers(0, 99)
)
def test_what_is_told_is_what_was_done(data: st.DataObject, height: int, width: int, share: float, seed: int) -> None:
    """Only marked pixels change, marks lie in the lung, and an image with lung pixels has a lesion."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (2, height, width), np.uint8)
    masks = generator.random((2, height, width)) < share
    kwargs = {"min_area": data.draw(st.integers(1, 60)), **data.draw(st.sampled_from(SETTINGS))}
    result, info = paste_clouds(images, masks, seed=seed, return_info=True, lesion_mask=True, **kwargs)
    marked = info.lesion_mask
    assert isinstance(marked, np.ndarray)
    assert marked.dtype == np.bool_
    np.testing.assert_array_equal(result[~marked], images[~marked])
    assert not (marked & ~masks).any()
    np.testing.assert_array_equal(info.area, marked.sum((1, 2)))
    assert (info.area >= np.minimum(kwargs["min_area"], masks.sum((1, 2)))).all()
    np.testing.assert_array_equal(info.empty, ~masks.any((1, 2)))
    assert ((info.draws >= 1) & (info.draws <= CLOUD_DRAWS))[~info.empty].all()
    assert (info.draws[info.lowered] == CLOUD_DRAWS).all()
    for field in dataclasses.fields(info):
        if field.name not in ("empty", "lesion_mask"):
            assert not getattr(info, field.name)[info.empty].any(), field.name


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_neither_batch_nor_threads_matter(backend: str, dtype: Any) -> None:
    images, masks = scene(dtype, (6, 33, 40))
    ids, kwargs = [3, -1, 2**62, 8, 9, 10], {"combine": "any", "seed": 2**64 - 1}
    plr_fast.set_num_threads(1)
    whole = paste_clouds(images, masks, samples=ids, **kwargs)
    plr_fast.set_num_threads(4)
    np.testing.assert_array_equal(paste_clouds(images, masks, samples=ids, **kwargs), whole)
    turned = paste_clouds(images[::-1], masks[::-1], samples=ids[::-1], **kwargs)
    np.testing.assert_array_equal(turned[::-1], whole)
    parts = [paste_clouds(images[i : i + 2], masks[i : i + 2], samples=ids[i : i + 2], **kwargs) for i in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert (paste_clouds(images, masks, samples=[1, 2, 4, 5, 6, 7], **kwargs) != whole).any((1, 2)).all()


def test_seeds_change_outline_and_texture() -> None:
    images, masks = np.zeros((1, 60, 60), np.uint8), np.ones((1, 60, 60), bool)
    made = [
        paste_clouds(images, masks, seed=s, threshold=120, softness=0, alpha=1, return_info=True, lesion_mask=True)
        for s in range(2)
    ]
    marks = [np.asarray(info.lesion_mask) for _, info in made]
    assert (marks[0] != marks[1]).any()
    both = marks[0] & marks[1]
    assert both.any()
    assert (made[0][0][both] != made[1][0][both]).any()


def test_texture_is_not_the_outline() -> None:
    """Where nothing is faded, grey is as independent of the outline's noise as two noise images are."""
    images, masks = np.zeros((64, 48, 48), np.uint8), np.ones((64, 48, 48), bool)
    result = paste_clouds(images, masks, threshold=0, softness=0, alpha=1, texture=(0, 255))
    faded = paste_clouds(images, masks, threshold=0, softness=255, alpha=1, texture=255)
    inside = (slice(None), slice(None, None, 12), slice(None, None, 12))  # neighbours are alike: one per cell
    correlation = np.corrcoef(result[inside].reshape(-1), faded[inside].reshape(-1))[0, 1]
    assert abs(correlation) < 0.15  # 1024 values: three standard deviations are 0.1


def test_union_holds_single_holds_intersection() -> None:
    images, masks = np.zeros((20, 64, 64), np.uint8), np.ones((20, 64, 64), bool)
    marks = {}
    for combine in ("union", "single", "intersection"):
        _, info = paste_clouds(
            images, masks, combine=combine, threshold=(120, 180), min_area=0, return_info=True, lesion_mask=True
        )
        assert (info.draws == 1).all()
        marks[combine] = np.asarray(info.lesion_mask)
    assert not (marks["single"] & ~marks["union"]).any()
    assert not (marks["intersection"] & ~marks["single"]).any()
    areas = [mark.sum() for mark in marks.values()]
    assert areas[0] > areas[1] > areas[2] > 0


def test_any_is_one_of_the_three() -> None:
    images, masks = np.zeros((300, 8, 8), np.uint8), np.ones((300, 8, 8), bool)
    result, info = paste_clouds(images, masks, combine="any", return_info=True)
    names, counts = np.unique(info.combine, return_counts=True)
    assert names.tolist() == ["intersection", "single", "union"]
    assert (np.abs(counts - 100) < 33).all()  # four standard deviations
    for name in names:
        same = info.combine == name
        alone = paste_clouds(images[same], masks[same], combine=name, samples=np.flatnonzero(same))
        np.testing.assert_array_equal(alone, result[same])


def test_ranges_are_used_to_their_ends() -> None:
    images, masks = np.zeros((300, 4, 4), np.uint8), np.ones((300, 4, 4), bool)
    info = paste_clouds(images, masks, threshold=(7, 9), alpha=(0.5, 0.5 + 2 / 256), min_area=0, return_info=True)[1]
    assert set(info.threshold) == {7, 8, 9}
    assert set(info.opacity * 256) == {128, 129, 130}


def test_opacity_zero_and_one() -> None:
    images, masks = scene(np.uint8)
    unchanged, info = paste_clouds(images, masks, alpha=0, return_info=True, lesion_mask=True)
    np.testing.assert_array_equal(unchanged, images)
    assert np.asarray(info.lesion_mask).any((1, 2)).all()
    floats, masks = scene(np.float32)
    result, info = paste_clouds(floats, masks, alpha=1, softness=0, texture=77, return_info=True, lesion_mask=True)
    np.testing.assert_array_equal(result[np.asarray(info.lesion_mask)], np.float32(77 / 255))


def test_threshold_is_lowered_until_the_lesion_is_large_enough() -> None:
    images, masks = np.zeros((8, 40, 40), np.uint8), np.zeros((8, 40, 40), bool)
    masks[:, 10:20, 10:20] = True
    kwargs: dict[str, Any] = {"threshold": 254, "alpha": 1, "texture": 200}
    result, info = paste_clouds(images, masks, min_area=30, return_info=True, **kwargs)
    assert info.lowered.all()
    assert (info.draws == CLOUD_DRAWS).all()
    assert (info.threshold < 254).all()
    assert ((result == 200).sum((1, 2)) >= 30).all(), "30 pixels have the full opacity"
    np.testing.assert_array_equal(info.share, np.float32(info.area / 100))
    result, info = paste_clouds(images, masks, min_area=10**6, return_info=True, **kwargs)
    assert ((result == 200) == masks).all(), "no more is asked for than the lung has"
    result, info = paste_clouds(images, masks, min_area=0, return_info=True, **kwargs)
    assert not result.any()
    assert not info.lowered.any()
    assert not info.area.any()


def test_a_flat_sample_still_has_a_lesion() -> None:
    result, info = paste_clouds(
        np.zeros((3, 1, 1), np.uint8), np.ones((3, 1, 1), bool), texture=99, alpha=1, return_info=True
    )
    assert info.lowered.all()
    assert (info.threshold < 0).all()
    assert (result == 99).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_kinds_of_arguments(dtype: torch.dtype) -> None:
    grey, masks = scene(np.uint8 if dtype == torch.uint8 else np.float32)
    images, lungs = torch.from_numpy(grey)[:, None], torch.from_numpy(masks)[:, None]
    expected_result, told = paste_clouds(grey, masks, samples=IDS, return_info=True, lesion_mask=True)
    result, info = paste_clouds(images, lungs, samples=torch.tensor(IDS), return_info=True, lesion_mask=True)
    assert isinstance(result, torch.Tensor)
    assert isinstance(info.lesion_mask, torch.Tensor)
    assert result.shape == info.lesion_mask.shape == images.shape
    assert info.lesion_mask.dtype == torch.bool
    np.testing.assert_array_equal(result[:, 0], expected_result)
    np.testing.assert_array_equal(info.lesion_mask[:, 0], told.lesion_mask)
    for other in (lungs.to(torch.uint8) * 255, index_masks(lungs)):
        np.testing.assert_array_equal(paste_clouds(images, other, samples=IDS), result)
    marks = torch.full(images.shape, 9, dtype=torch.uint8)
    out = torch.empty_like(images)
    assert paste_clouds(images, lungs, samples=IDS, out=out, lesion_mask=marks) is out
    np.testing.assert_array_equal(out, result)
    np.testing.assert_array_equal(marks.bool(), info.lesion_mask)
    assert marks.max() == 1
    strided = torch.stack([images, images], -1)[..., 0]
    np.testing.assert_array_equal(paste_clouds(strided, lungs, samples=IDS), result)
    assert paste_clouds(images, lungs, samples=IDS, out=images) is images
    np.testing.assert_array_equal(images, result)


def test_float_images_stay_within_range() -> None:
    generator = np.random.default_rng(1)
    images = generator.random((8, 40, 40), np.float32)
    images[:, :4], images[:, 4:8], images[:, 8] = 0, 1, 1e-42
    for blend in ("alpha", "add"):
        result = paste_clouds(
            images, np.ones(images.shape, bool), blend=blend, threshold=0, texture=(0, 255), alpha=(0, 1)
        )
        assert result.min() >= 0
        assert result.max() <= 1


def test_empty_masks() -> None:
    images, masks = scene(np.uint8)
    masks[[0, 2]] = False
    with pytest.warns(EmptyMaskWarning, match=r"2 of 4 masks are empty \(image 0, 2\)"):
        result = paste_clouds(images, masks)
    marks = np.ones(images.shape, bool)
    told, info = paste_clouds(images, masks, return_info=True, lesion_mask=marks)
    np.testing.assert_array_equal(told, result)
    np.testing.assert_array_equal(result[[0, 2]], images[[0, 2]])
    assert info.empty.tolist() == [True, False, True, False]
    assert info.lesion_mask is marks
    assert marks.any((1, 2)).tolist() == [False, True, False, True]
    none = paste_clouds(images[:0], masks[:0], return_info=True)
    assert none[0].shape == (0, *SHAPE[1:])
    assert len(none[1].area) == 0


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"combine": "both"}, ValueError, "combine must be one of 'single', 'union', 'intersection', 'any'"),
        ({"threshold": 255}, ValueError, r"threshold must be 0\.\.254, not 255"),
        ({"threshold": 0.5}, TypeError, "threshold must be an integer, not float"),
        ({"threshold": (9, 8)}, ValueError, "low <= high"),
        ({"softness": -1}, ValueError, r"softness must be 0\.\.255"),
        ({"texture": (0, 256)}, ValueError, r"texture must be 0\.\.255"),
        ({"texture": "noise"}, TypeError, "texture must be an integer"),
        ({"blend": "max"}, ValueError, "blend must be one of 'alpha', 'add'"),
        ({"alpha": 1.5}, ValueError, "alpha must be a finite number in 0..1"),
        ({"min_area": -1}, ValueError, r"min_area must be 0\.\."),
        ({"cells": 0}, ValueError, "cells must be"),
        ({"cells": (1, 2, 3)}, ValueError, "cells must be one number or one for each of the 2 axes"),
        ({"octaves": 0}, ValueError, "octaves must be"),
        ({"seed": -1}, ValueError, "seed must be"),
        ({"samples": [1]}, ValueError, "one id for each of the 4 samples"),
        ({"lesion_mask": True}, ValueError, "lesion_mask=True needs return_info=True"),
        ({"masks": np.ones((4, 50, 36), bool)}, ValueError, "masks must have the shape of the images"),
        ({"masks": np.ones(SHAPE)}, TypeError, "masks must be bool or uint8"),
        ({"images": np.ones(SHAPE)}, TypeError, "images must be uint8 or float32"),
        ({"images": np.full(SHAPE, 2, np.float32)}, ValueError, r"float32 images must lie in \[0, 1\]"),
        ({"out": np.empty((4, 50, 36), np.uint8)}, ValueError, "out must have shape"),
    ],
)
def test_errors(change: dict[str, Any], kind: type[Exception], message: str) -> None:
    images, masks = scene(np.uint8)
    before = images.copy()
    arguments = {"images": images, "masks": masks, "out": images, **change}
    if "images" in change:
        del arguments["out"]
    with pytest.raises(kind, match=message):
        paste_clouds(**arguments)
    np.testing.assert_array_equal(images, before)


def test_out_must_not_be_the_masks() -> None:
    images, masks = scene(np.uint8)
    with pytest.raises(ValueError, match="out must not be the masks"):
        paste_clouds(images, masks, out=masks.view(np.uint8))


def test_memory_is_asked_for_first() -> None:
    huge = np.broadcast_to(np.zeros(1, np.uint8), (1, 2**15, 2**15))
    from plr_fast.ops.arguments import machine_memory

    if machine_memory() > 96 * 2**30:
        pytest.skip("this machine could hold it")
    with pytest.raises(MemoryError, match="noise over 1 images of 32768 x 32768 needs"):
        paste_clouds(huge, huge)
