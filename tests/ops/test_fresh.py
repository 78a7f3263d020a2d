"""Fresh lesions: cut from the noise images pixel for pixel, with the bank's statistics, endless, the same anywhere."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import plr_fast
from plr_fast import DataError, EmptyMaskWarning, FreshLesions, LesionBank, paste_lesions, perlin_noise
from plr_fast.backends import get_backend
from plr_fast.backends.reference.philox import Stream, below, draw, random_box
from plr_fast.backends.specs import FreshSpec, PatchBank
from tests.conftest import activate, variants

SMALL: dict[str, Any] = {"images": 6, "size": 96, "patch": (3, 12), "cells": 3, "seed": 5}
# Cells narrower than a pixel, patches wider than the strips that noise is made in, single pixels, other octaves.
SETTINGS: list[dict[str, Any]] = [
    SMALL,
    {"images": 3, "size": 97, "patch": (1, 40), "threshold": 140, "cells": 5.3, "octaves": 6, "persistence": 0.8,
     "lacunarity": 2.7},
    {"images": 2, "size": 64, "patch": (1, 9), "threshold": 130, "cells": 70, "octaves": 2},
    {"images": 2, "size": 33, "patch": 33, "threshold": 100, "octaves": 1, "cells": 2},
    {"images": 2, "size": 700, "patch": (250, 600), "threshold": 120, "octaves": 3, "cells": 1.5},
    {"images": 4, "size": 40, "patch": 1, "threshold": 200},
]  # fmt: skip


def cut(packed: PatchBank) -> list[np.ndarray]:
    boxes = zip(packed.offsets, packed.heights, packed.widths, strict=True)
    return [packed.pixels[i : i + h * w].reshape(h, w) for i, h, w in boxes]


def same(a: PatchBank, b: PatchBank) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(cut(a), cut(b), strict=True))


def noise_images(settings: Any) -> np.ndarray:
    return perlin_noise(
        (settings.images, settings.size, settings.size), cells=settings.cells, octaves=settings.octaves,
        persistence=settings.persistence, lacunarity=settings.lacunarity, seed=settings.seed, dtype="uint8",
        grey="minmax",
    ).numpy()  # fmt: skip


def by_hand(lesions: FreshLesions, images: np.ndarray, sample: int, number: int, seed: int) -> np.ndarray:
    """Look at the candidates of one patch one by one, in whole noise images."""
    s = lesions.settings
    for r in range(4096):
        words = draw(seed, sample, Stream.FRESH, 2 * r, substream=number)
        top, left, height, width = random_box(words, s.patch, s.patch, (s.size, s.size))
        image = images[below(draw(seed, sample, Stream.FRESH, 2 * r + 1, substream=number)[0], s.images)]
        patch = image[top : top + height, left : left + width]
        if patch[height // 2, width // 2] > lesions._centre and patch.mean() > s.threshold:
            return patch
    raise AssertionError("no patch found")


@pytest.mark.parametrize("kwargs", SETTINGS)
def test_patches_are_cut_from_noise_images(backend: str, kwargs: dict[str, Any]) -> None:
    lesions = FreshLesions(**kwargs)
    images = noise_images(lesions.settings)
    samples, count, seed = [0, -7, 2**40], 5, 2**64 - 3
    patches = cut(lesions.patches(samples, count, seed=seed))
    assert len(patches) == len(samples) * count
    for i, patch in enumerate(patches):
        expected = by_hand(lesions, images, samples[i // count], i % count, seed)
        np.testing.assert_array_equal(patch, expected)
        assert patch.mean() > lesions.settings.threshold
        assert all(lesions.settings.patch[0] <= side <= lesions.settings.patch[1] for side in patch.shape)


@pytest.mark.parametrize("kwargs", SETTINGS[:4])
def test_table_and_patches_equal_the_references(backend: str, kwargs: dict[str, Any]) -> None:
    lesions = FreshLesions(**kwargs)
    s, table = lesions.settings, lesions._table
    reference = get_backend("reference")
    expected = type(table)(*(np.empty_like(getattr(table, field.name)) for field in fields(table)))
    reference.fresh_table(expected, s.noise(), s.size, 1)
    np.testing.assert_array_equal(table.permutation, expected.permutation)
    np.testing.assert_array_equal(table.offsets, expected.offsets)
    np.testing.assert_allclose(table.low, expected.low, atol=1e-5)
    np.testing.assert_allclose(table.scale, expected.scale, rtol=1e-4)

    ids = np.arange(20, dtype=np.int64)
    packed = lesions.patches(ids, 3, seed=9)
    other = PatchBank(np.zeros_like(packed.pixels), packed.offsets, packed.heights * 0, packed.widths * 0)
    spec = FreshSpec(s.noise(), s.size, s.patch, s.threshold, lesions._centre)
    reference.fresh(ids, table, spec, 9, (3, 3), other, 1)
    # Values on the edge of two greys may be rounded the other way, and so decide a candidate on the edge otherwise.
    pairs = [(a, b) for a, b in zip(cut(packed), cut(other), strict=True) if a.shape == b.shape]
    close = [(a, b) for a, b in pairs if np.abs(a.astype(int) - b).max() <= 1]
    assert len(close) >= 58
    assert np.mean([(a != b).mean() for a, b in close]) < 1e-3


@pytest.mark.parametrize("variant", variants())
def test_known_answer(variant: str) -> None:
    """First 16 digits of SHA-256: a change of meaning must be meant."""
    activate(variant)
    packed = FreshLesions(images=20, size=128, cells=2).patches(range(4), (3, 8), seed=1)
    parts = [np.concatenate([p.reshape(-1) for p in cut(packed)]).tobytes(), packed.heights.tobytes()]
    assert hashlib.sha256(b"".join(parts)).hexdigest()[:16] == "edd7b49a2fd7d5e5"


def test_same_for_any_batch_threads_and_process(backend: str) -> None:
    lesions = FreshLesions(**SMALL)
    whole = lesions.patches(range(7), 4, seed=3)
    for threads in (1, 2, 5):
        plr_fast.set_num_threads(threads)
        assert FreshLesions(**SMALL)._centre == lesions._centre
        assert same(pickle.loads(pickle.dumps(lesions)).patches(torch.arange(7), 4, seed=3), whole)
    part = lesions.patches(np.array([5, 2]), 4, seed=3)
    for i, sample in enumerate((5, 2)):
        for n in range(4):
            assert np.array_equal(cut(part)[i * 4 + n], cut(whole)[sample * 4 + n])
    more = lesions.patches([5], 6, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(cut(more)[:4], cut(whole)[20:24], strict=True))


def test_a_drawn_count_is_that_of_pasting(backend: str) -> None:
    lesions = FreshLesions(**SMALL)
    packed = lesions.patches(range(30), (2, 9), seed=4)
    found = (packed.heights > 0).reshape(30, 9)
    images, masks = np.zeros((30, 20, 20), np.uint8), np.ones((30, 20, 20), bool)
    _, info = paste_lesions(images, masks, lesions, count=(2, 9), seed=4, return_info=True)
    assert np.array_equal(found.sum(axis=1), info.counts)
    assert np.array_equal(found, np.arange(9) < info.counts[:, None])
    assert set(info.counts) == set(range(2, 10))
    every = lesions.patches(range(30), 9, seed=4)
    assert all(np.array_equal(a, b) for a, b, there in zip(cut(packed), cut(every), found.flat, strict=True) if there)


def test_draw_returns_the_patches_of_one_sample() -> None:
    lesions = FreshLesions(**SMALL)
    patches = lesions.draw(12, sample=3, seed=8)
    assert len(patches) == 12
    assert all(np.array_equal(a, b) for a, b in zip(patches, cut(lesions.patches([3], 12, seed=8)), strict=True))
    assert all(patch.base is None for patch in patches)
    assert lesions.draw(0) == []
    assert len(lesions.patches([], 5).heights) == 0


def test_other_seeds_and_samples_give_other_patches_without_end() -> None:
    lesions = FreshLesions()
    packed = lesions.patches(range(2000), 10)
    assert packed.heights.min() > 0, "none is left out"
    large = [patch.tobytes() for patch in cut(packed) if patch.size >= 100]
    assert len(set(large)) == len(large) > 10_000
    again = {patch.tobytes() for patch in cut(lesions.patches(range(2000), 10, seed=1)) if patch.size >= 100}
    assert not again & set(large)


# Statistics against the bank: fixed seeds; were the two alike, each test would fail once in a thousand seeds.


def features(patches: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return what is compared, one number per patch: patches are independent, their pixels are not."""
    return {
        "area": np.array([p.size for p in patches]),
        "mean": np.array([p.mean() for p in patches]),
        "spread": np.array([p.std() for p in patches]),
        "darkest": np.array([p.min() for p in patches]),
        "brightest": np.array([p.max() for p in patches]),
        "slope": np.array([float(p[-1].mean()) - float(p[0].mean()) for p in patches]),
    }


def assert_alike(patches: list[np.ndarray], others: list[np.ndarray]) -> None:
    ours, theirs = features(patches), features(others)
    for name, values in ours.items():
        result = stats.ks_2samp(values, theirs[name])
        assert result.pvalue > 1e-3, f"{name}: {result}"
    for axis in (0, 1):
        sides = np.array([np.bincount([p.shape[axis] for p in some], minlength=26) for some in (patches, others)])
        assert stats.chi2_contingency(sides[:, sides.any(axis=0)]).pvalue > 1e-3


def test_statistics_are_the_banks() -> None:
    count = 20_000
    bank = LesionBank.generate(count=count)
    patches = cut(FreshLesions().patches(range(count // 20), 20))
    assert_alike(patches, list(bank))
    # Of all pixels: two halves of the bank show what histograms of so many patches differ by.
    grey = [np.bincount(np.concatenate([p.reshape(-1) for p in some]), minlength=256) for some in (patches, list(bank))]
    halves = [np.bincount(np.concatenate([p.reshape(-1) for p in bank[k::2]]), minlength=256) for k in (0, 1)]

    def distance(pair: list[np.ndarray]) -> float:
        return 0.5 * float(np.abs(pair[0] / pair[0].sum() - pair[1] / pair[1].sum()).sum())

    assert distance(grey) < 1.5 * distance(halves) < 0.05


def test_statistics_are_those_of_a_bank_of_other_images() -> None:
    # As many images as patches: then patches of one image, which are alike, are rare.
    settings: dict[str, Any] = {"images": 4000, "size": 128, "patch": (5, 12)}
    bank = LesionBank.generate(count=4000, seed=1, **settings)
    patches = cut(FreshLesions(seed=2, **settings).patches(range(4000), 1))
    assert_alike(patches, list(bank))


@pytest.mark.parametrize(
    ("settings", "changed"),
    [({}, 1e-4), ({"persistence": 0.7}, 1e-3), ({"cells": 40, "threshold": 150}, 2e-3), ({"octaves": 1}, 1e-4)],
)
def test_the_look_at_the_centre_changes_next_to_nothing(settings: dict[str, Any], changed: float) -> None:
    lesions = FreshLesions(images=50, **settings)
    quick = lesions.patches(range(1000), 10, seed=6)
    assert lesions._centre >= 0
    lesions._centre = -1
    slow = lesions.patches(range(1000), 10, seed=6)
    differs = [not np.array_equal(a, b) for a, b in zip(cut(quick), cut(slow), strict=True)]
    assert np.mean(differs) <= changed


# Pasting

PASTES: list[dict[str, Any]] = [
    {},
    {"count": (0, 7)},
    {"blend": "alpha", "alpha": (0.2, 1.0), "feather": 2},
    {"blend": "add", "alpha": 0.7, "shape": "cloud"},
    {"shape": "ellipse", "inside": "patch"},
]


def scene() -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (5, 50, 60), np.uint8)
    masks = np.zeros(images.shape, bool)
    masks[:, 5:45, 10:40] = True
    masks[3] = False
    return images, masks


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("settings", PASTES)
def test_pasting_equals_pasting_the_patches_one_by_one(
    monkeypatch: pytest.MonkeyPatch, backend: str, settings: dict[str, Any], dtype: Any
) -> None:
    """The same patches, made here, pasted by the reference."""
    images, masks = scene()
    images = images if dtype == np.uint8 else (images / 255).astype(np.float32)
    lesions = FreshLesions(**SMALL)
    arguments: dict[str, Any] = {"seed": 11, "samples": [4, 0, -1, 2, 9], "return_info": True, "lesion_mask": True}
    result, info = paste_lesions(images, masks, lesions, **settings, **arguments)
    made = lesions.patches([4, 0, -1, 2, 9], settings.get("count", 30), seed=11)
    monkeypatch.setattr(FreshLesions, "make", lambda *_args, **_kwargs: made)
    plr_fast.use_backend("reference")
    expected, told = paste_lesions(images, masks, lesions, **settings, **arguments)
    np.testing.assert_allclose(result, expected, atol=0 if dtype == np.uint8 else 1e-6)
    for name in ("counts", "empty", "skipped", "boxes", "patches", "opacity", "lesion_mask"):
        np.testing.assert_array_equal(getattr(info, name), getattr(told, name))
    assert (info.counts[3], info.empty[3]) == (0, True)
    if not settings:
        assert np.array_equal(info.patches[0], np.arange(30))


def test_patches_that_were_not_found_are_skipped(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    images, masks = scene()
    lesions = FreshLesions(**SMALL)
    made = lesions.patches(range(5), 8)
    missing = np.zeros(40, bool)
    missing[[2, 5, 8]] = True
    made.heights[missing] = made.widths[missing] = 0
    monkeypatch.setattr(FreshLesions, "make", lambda *_args, **_kwargs: made)
    for shape in ("rectangle", "cloud"):
        _, info = paste_lesions(images, masks, lesions, count=8, shape=shape, return_info=True)
        assert info.counts.tolist() == [6, 7, 8, 0, 8]
        assert info.skipped.tolist() == [2, 1, 0, 0, 0]
        assert info.patches[0, :6].tolist() == [0, 1, 3, 4, 6, 7]


def test_pasting_depends_on_the_sample_alone(backend: str) -> None:
    images, masks = scene()
    lesions = FreshLesions(**SMALL)
    whole = paste_lesions(images[:3], masks[:3], lesions, seed=2, samples=[7, 8, 9])
    for i in range(3):
        one = paste_lesions(images[i : i + 1], masks[i : i + 1], lesions, seed=2, samples=[7 + i])
        np.testing.assert_array_equal(one[0], whole[i])
    with pytest.warns(EmptyMaskWarning, match="1 of 5 masks"):
        paste_lesions(images, masks, lesions)


def test_in_a_compiled_function_it_runs_beside_the_graph() -> None:
    images, masks = (torch.from_numpy(a[:3]) for a in scene())
    lesions = FreshLesions(**SMALL)
    result = torch.compile(lambda x: paste_lesions(x + 0, masks, lesions), backend="eager")(images)
    assert torch.equal(result, paste_lesions(images, masks, lesions))


# Errors


def test_is_a_value() -> None:
    lesions = FreshLesions(**SMALL)
    assert lesions == pickle.loads(pickle.dumps(lesions)) == FreshLesions(**SMALL)
    assert len({lesions, FreshLesions(**SMALL)}) == 1
    assert lesions != FreshLesions(**{**SMALL, "seed": 6})
    assert lesions != "lesions"
    assert eval(repr(lesions), {"FreshLesions": FreshLesions}) == lesions


def test_a_threshold_out_of_reach_is_explained(backend: str) -> None:
    with pytest.raises(DataError, match=r"0 of 64 were found .* median \d+, 99th percentile \d+, maximum \d+, .*254"):
        FreshLesions(images=4, size=64, threshold=254)
    flat = {"octaves": 1, "cells": 1e-6, "size": 8, "patch": 4, "images": 2, "threshold": 0}
    with pytest.raises(DataError, match="maximum 0"):
        FreshLesions(**{**flat, "persistence": 0, "size": 1, "patch": 1})


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"images": 0}, ValueError, "images"),
        ({"size": 2.5}, TypeError, "size"),
        ({"size": 11}, ValueError, "patch must fit"),
        ({"patch": (9, 3)}, ValueError, "low <= high"),
        ({"patch": (1, 2049), "size": 2**12}, ValueError, "patch"),
        ({"threshold": 255}, ValueError, "threshold"),
        ({"cells": (4, 4)}, TypeError, "cells must be a number"),
        ({"cells": 2**20, "octaves": 24}, ValueError, "last octave"),
        ({"octaves": 99}, ValueError, "octaves"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_bad_settings(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FreshLesions(**{**SMALL, **kwargs})


@pytest.mark.parametrize(
    ("samples", "count", "seed", "error", "message"),
    [
        (iter([1]), 3, 0, TypeError, "samples must be a sequence"),
        ([1.5], 3, 0, TypeError, "samples"),
        ([2**63], 3, 0, ValueError, "samples"),
        ([1], 2**24, 0, ValueError, "count"),
        ([1], (4, 2), 0, ValueError, "count"),
        ([1], 3, 2**64, ValueError, "seed"),
        (range(2**20), 2**23, 0, MemoryError, "fresh patches"),
    ],
)
def test_bad_draws(samples: Any, count: Any, seed: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        FreshLesions(**SMALL).patches(samples, count, seed=seed)
