"""Restoration: measures against definitions and scikit-image, fixed test sets, rules for missing values."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from plr_fast import LesionBank, local_shuffle, paste_clouds, paste_lesions
from plr_fast.errors import ConfigError
from plr_fast.evaluation.bootstrap import GroupBootstrap
from plr_fast.evaluation.corruptions import bank_of, corruption_settings, make_test_sets
from plr_fast.evaluation.restoration import (
    MEASURES,
    REGIONS,
    RestorationScores,
    choose_slices,
    mean_value,
    region_measures,
    rows,
    score_pictures,
    summarise,
)
from plr_fast.evaluation.trained import open_runs

from .conftest import make_store, write_restorer


def regions(mask, altered=None):
    return {"lungs": mask, "outside": ~mask, "altered": mask if altered is None else altered}


def test_measures_match_their_definitions():
    rng = np.random.default_rng(0)
    target = rng.random((2, 20, 24)).astype(np.float32)
    image = np.clip(target + rng.normal(0, 0.1, target.shape), 0, 1).astype(np.float32)
    mask = rng.random(target.shape) < 0.3
    found = region_measures(image, target, regions(mask))
    for row in range(2):
        error = (image[row].astype(float) - target[row]) ** 2
        expected = error[mask[row]].mean()
        assert found[row, 0, 0] == pytest.approx(expected)
        assert found[row, 0, 1] == pytest.approx(10 * math.log10(1 / expected))
        assert found[row, 1, 0] == pytest.approx(error[~mask[row]].mean())


def test_ssim_of_the_interior_is_that_of_scikit_image():
    """scikit-image's mean SSIM leaves out a border of 5 pixels: the same region must give the same number."""
    rng = np.random.default_rng(1)
    target = rng.random((1, 40, 40)).astype(np.float32)
    image = np.clip(target + rng.normal(0, 0.2, target.shape), 0, 1).astype(np.float32)
    interior = np.zeros((1, 40, 40), bool)
    interior[:, 5:-5, 5:-5] = True
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(image[0].astype(float), target[0].astype(float), **options)
    assert region_measures(image, target, regions(interior))[0, 0, 2] == pytest.approx(expected)


def test_identical_empty_and_tiny_cases():
    target = np.full((1, 16, 16), 0.5, np.float32)
    nothing = np.zeros((1, 16, 16), bool)
    found = region_measures(target, target, regions(nothing))[0]
    assert np.isnan(found[REGIONS.index("lungs")]).all()
    np.testing.assert_array_equal(found[REGIONS.index("outside")], [0, math.inf, 1])
    tiny = np.zeros((1, 8, 8), np.float32)
    assert math.isnan(region_measures(tiny, tiny, regions(~nothing[:, :8, :8]))[0, 0, 2])
    with pytest.raises(ValueError, match=r"\(B, S, S\)"):
        region_measures(target, target[0], regions(nothing))


def test_mean_leaves_out_what_has_no_value_and_says_why():
    assert mean_value(np.array([20.0, math.inf, math.nan, 30.0]), "psnr").value == 25.0
    assert "infinite" in str(mean_value(np.array([math.inf, math.inf]), "psnr").reason)
    assert "smaller than 11" in str(mean_value(np.array([math.nan]), "ssim").reason)
    assert "empty" in str(mean_value(np.array([math.nan]), "mse").reason)


def opened(path):
    return open_runs([], [path])[1][0]


def all_pictures(test_set, batch_size):
    parts = [np.stack(batch) for batch in test_set.batches(batch_size)]
    return np.concatenate(parts, axis=1)


def test_test_sets_are_fixed_and_only_touch_the_lungs(store, runs):
    indices = store.select("test", 0)
    (first,), own = make_test_sets([opened(runs["perlin"])], store, indices, seed=0)
    (again,), _ = make_test_sets([opened(runs["perlin"])], store, indices, seed=0)
    (other,), _ = make_test_sets([opened(runs["perlin"])], store, indices, seed=1)
    assert own == {"perlin": "perlin"}
    corrupted, original, mask = all_pictures(first, 5)
    np.testing.assert_array_equal(all_pictures(again, 3)[0], corrupted)
    assert (all_pictures(other, 5)[0] != corrupted).any()
    np.testing.assert_array_equal(original, store.slices[indices].astype(np.float32) / np.float32(255))
    changed = corrupted != original
    assert changed.any(axis=(1, 2)).all()
    assert not (changed & ~mask.astype(bool)).any()


def test_equal_settings_share_a_test_set_and_others_do_not(store, tmp_path):
    one = opened(write_restorer(tmp_path / "a", store, bank_seed=0, seed=1))
    two = opened(write_restorer(tmp_path / "b", store, bank_seed=9, seed=2))
    three = opened(write_restorer(tmp_path / "c", store, count=[2, 4]))
    blur = opened(write_restorer(tmp_path / "d", store, "gaussian"))
    sets, own = make_test_sets([one, two, three, blur], store, store.select("test", 0), seed=0)
    assert [test_set.name for test_set in sets] == ["perlin 1", "perlin 2", "gaussian"]
    assert own == {"a": "perlin 1", "b": "perlin 1", "c": "perlin 2", "d": "gaussian"}
    assert sets[1].settings["count"] == "2–4"
    assert set(sets[2].settings) == {"corruption"}


def test_test_patches_are_not_the_trainings(store, runs):
    run = opened(runs["perlin"])
    training = LesionBank.generate(count=50, images=5, patch=(3, 6), seed=0)
    held_out = bank_of(corruption_settings(run), seed=0)
    assert len(held_out) == 50
    assert held_out != training


def test_a_bank_file_is_used_and_missed_when_gone(store, tmp_path):
    file = tmp_path / "bank.npz"
    bank = LesionBank.generate(count=20, images=3, patch=(3, 5), seed=5)
    bank.save(file)
    run = opened(write_restorer(tmp_path / "run", store, bank=str(file)))
    assert bank_of(corruption_settings(run), seed=0) == bank
    file.unlink()
    with pytest.raises(ConfigError, match=r"bank\.npz .* is gone"):
        make_test_sets([run], store, store.select("test", 0), seed=0)


@pytest.mark.parametrize(
    ("corruption", "settings", "made"),
    [
        ("shuffle", {"windows": 3}, lambda pictures, _: local_shuffle(pictures, windows=3, seed=2_000_003)),
        (
            "perlin",
            {"lesions": "clouds", "cells": 6.0, "octaves": 2, "persistence": 0.5, "lacunarity": 2.0, "blend": "add",
             "alpha": [0.3, 0.9], "cloud_combine": "union", "cloud_threshold": [90, 120], "cloud_softness": 10,
             "cloud_texture": [60, 200]},
            lambda pictures, masks: paste_clouds(
                pictures, masks, cells=6.0, octaves=2, blend="add", alpha=(0.3, 0.9), combine="union",
                threshold=(90, 120), softness=10, texture=(60, 200), seed=2_000_003,
            ),
        ),
        (
            "perlin",
            {"cells": [2.0, 8.0], "octaves": [1, 3], "threshold": 150, "bank_size": 128, "alpha": [0.2, 0.6],
             "blend": "alpha"},
            lambda pictures, masks: paste_lesions(
                pictures, masks,
                LesionBank.generate(
                    50, 5, 128, 150, (3, 6), cells=(2.0, 8.0), octaves=(1, 3), seed=3_000_017
                ),
                count=6, alpha=(0.2, 0.6), blend="alpha", seed=2_000_003,
            ),
        ),
    ],
    ids=["windows", "clouds", "bank"],
)  # fmt: skip
def test_the_test_set_has_the_runs_own_settings(store, tmp_path, corruption, settings, made):
    indices = store.select("test", 0)
    run = opened(write_restorer(tmp_path / "run", store, corruption, **settings))
    (test_set,), _ = make_test_sets([run], store, indices, seed=0)
    expected = made(np.array(store.slices[indices]), np.array(store.masks[indices]))
    found = torch.stack([test_set.dataset[index]["image"][0] for index in range(len(indices))])
    np.testing.assert_array_equal(found.numpy(), expected.astype(np.float32) / np.float32(255))
    assert (expected != store.slices[indices]).any()


def test_baseline_identity_and_perfect_restorers(store, runs):
    """Changing nothing scores as the corrupted picture; the true picture has no error."""
    indices = store.select("test", 0)
    (test_set,), _ = make_test_sets([opened(runs["perlin"])], store, indices, seed=0)
    done: list[int] = []
    baseline = score_pictures(test_set, batch_size=5, advance=done.append)
    assert sum(done) == len(indices)
    identity = score_pictures(test_set, lambda images: images, batch_size=7)
    np.testing.assert_array_equal(identity.values, baseline.values)
    assert (baseline.column("outside", "mse") == 0).all()
    assert np.isposinf(baseline.column("outside", "psnr")).all()
    # All error of a pasted slice lies in its altered pixels.
    assert (baseline.column("altered", "mse") > baseline.column("lungs", "mse")).all()

    originals = iter(np.split(store.slices[indices].astype(np.float32) / np.float32(255), 3))
    perfect = score_pictures(test_set, lambda _: next(originals), batch_size=len(indices) // 3)
    assert (perfect.column("altered", "mse") == 0).all()
    np.testing.assert_allclose(perfect.column("lungs", "ssim"), 1)

    bootstrap = GroupBootstrap(store.groups[indices], np.zeros(len(indices)), resamples=200, seed=0)
    result = summarise("x", test_set, own=True, corrupted=baseline, restored=perfect, bootstrap=bootstrap)
    gain = result.gains["lungs"]["mse"]
    assert gain.interval.value == pytest.approx(-baseline.column("lungs", "mse").mean())
    assert gain.interval.high < 0
    assert gain.first_higher == 0
    corrupted = result.summary["lungs"]["mse"]["corrupted"]
    assert corrupted.low <= corrupted.value <= corrupted.high
    entry = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert entry["regions"]["outside"]["psnr"]["corrupted"]["value"] is None
    assert "infinite" in entry["regions"]["outside"]["psnr"]["corrupted"]["reason"]
    table = list(rows([result], store))
    assert len(table) == len(indices) * len(REGIONS) * 2
    assert {row["psnr"] for row in table if row["region"] == "outside" and row["picture"] == "corrupted"} == {"inf"}


def test_missing_values_are_empty_cells(store, runs):
    indices = store.select("test", 0)[:2]
    (test_set,), _ = make_test_sets([opened(runs["perlin"])], store, indices, seed=0)
    hole = RestorationScores(np.full((2, len(REGIONS), len(MEASURES)), math.nan))
    bootstrap = GroupBootstrap(store.groups[indices], np.zeros(2), resamples=100, seed=0)
    result = summarise("x", test_set, own=True, corrupted=hole, restored=hole, bootstrap=bootstrap)
    assert {row["mse"] for row in rows([result], store)} == {""}
    assert result.summary["lungs"]["mse"]["restored"].reason


def test_slices_are_chosen_evenly_and_only_with_lungs(store, tmp_path):
    indices = store.select("test", 0)
    np.testing.assert_array_equal(choose_slices(store, indices, 100), indices)
    few = choose_slices(store, indices, 3)
    np.testing.assert_array_equal(few, indices[[0, round((len(indices) - 1) / 2), -1]])
    folder = tmp_path / "copy"
    shutil.copytree(store.path, folder)
    masks = np.lib.format.open_memmap(folder / "masks.npy", mode="r+")
    masks[indices[0]] = 0
    masks.flush()
    del masks
    np.testing.assert_array_equal(choose_slices(type(store).open(folder), indices, 100), indices[1:])


def test_small_slices_have_no_ssim_but_an_mse(tmp_path):
    store = make_store(tmp_path / "store", size=8, slices=1, patients=2)
    run = opened(write_restorer(tmp_path / "run", store, patch=[2, 3]))
    indices = store.select("test", 0)
    (test_set,), _ = make_test_sets([run], store, indices, seed=0)
    scores = score_pictures(test_set)
    assert np.isnan(scores.column("lungs", "ssim")).all()
    assert (scores.column("lungs", "mse") > 0).all()
