"""What the report says of a run: the settings that had an effect, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plr_fast.evaluation.run_settings import told_settings
from plr_fast.evaluation.trained import TrainedRun
from plr_fast.training import FinetuneConfig, PretrainConfig

HERE = {"store": Path("store"), "run": Path("run")}


def told(config):
    kind = "classifier" if isinstance(config, FinetuneConfig) else "restorer"
    settings = json.loads(json.dumps(config.to_json()))
    return told_settings(kind, settings)


def test_a_bank_pasted_as_it_is():
    found = told(PretrainConfig(**HERE))
    assert {"corruption", "lesions", "count", "blend", "patch", "encoder", "widths", "norm", "context"} <= set(found)
    assert not {"alpha", "bank", "windows", "cloud_combine", "feather", "rho", "store", "progress"} & set(found)


@pytest.mark.parametrize("corruption", ["gaussian", "shuffle"])
def test_blur_and_shuffling_paste_nothing(corruption):
    found = told(PretrainConfig(**HERE, corruption=corruption, windows=100))
    assert (found["corruption"], found["windows"]) == (corruption, 100)
    assert not {"count", "blend", "patch", "lesions", "bank_count", "alpha", "cloud_combine"} & set(found)


def test_clouds_and_fresh_lesions_are_told():
    found = told(PretrainConfig(**HERE, lesions="clouds", blend="alpha", alpha=(0.4, 0.9), cloud_softness=20))
    assert (found["lesions"], found["blend"], found["alpha"], found["cloud_softness"]) == (
        "clouds", "alpha", [0.4, 0.9], 20,
    )  # fmt: skip
    assert {"cloud_combine", "cloud_threshold", "cloud_texture"} <= set(found)
    assert not {"count", "patch"} & set(found)
    fresh = told(PretrainConfig(**HERE, lesions="fresh", blend="add", alpha=0.5))
    assert (fresh["lesions"], fresh["alpha"]) == ("fresh", 0.5)
    assert "bank_count" not in fresh


def test_other_settings_are_told_where_they_are_not_the_defaults():
    found = told(PretrainConfig(**HERE, samples_per_epoch=7, ema=0.9, shape="ellipse", num_workers=3))
    assert (found["samples_per_epoch"], found["ema"], found["shape"]) == (7, 0.9, "ellipse")
    assert "num_workers" not in found
    assert "freeze" not in found


def test_networks_show_their_own_settings_only():
    plr, danet = told(FinetuneConfig(**HERE)), told(FinetuneConfig(**HERE, model="danet"))
    assert {"encoder", "widths", "norm"} <= set(plr)
    assert "danet_scale" not in plr
    assert danet["danet_scale"] == 1.0
    assert not {"encoder", "widths", "norm", "hidden"} & set(danet)
    assert (plr["augment"], danet["augment"]) == ("zoom-shear", "heavy")
    zoo = told(FinetuneConfig(**HERE, encoder="timm:resnet34"))
    assert zoo["encoder"] == "timm:resnet34"
    assert not {"widths", "norm"} & set(zoo)


def test_fine_tuning_tells_how_it_was_chosen_and_begun():
    found = told(FinetuneConfig(**HERE, init="runs/a", allow_overlap=True, fraction=0.1, fraction_by="slices"))
    assert (found["init"], found["allow_overlap"], found["fraction_by"], found["best_by"]) == (
        "runs/a", True, "slices", "loss",
    )  # fmt: skip
    whole = told(FinetuneConfig(**HERE))
    assert not {"fraction_by", "allow_overlap"} & set(whole)


def test_the_record_tells_the_data_and_the_initialisation(tmp_path):
    record = {"init_name": "mine", "init_kind": "PLR-P", "train_slices": 12, "train_groups": 4}
    run = TrainedRun("run", tmp_path, "classifier", {**record, "config": FinetuneConfig(**HERE).to_json()})
    facts = run.facts()
    assert (facts["initialisation"], facts["init_kind"]) == ("mine", "PLR-P")
    assert (facts["train_slices"], facts["train_groups"]) == (12, 4)


def test_a_record_of_an_older_version_tells_what_it_has():
    assert told_settings("restorer", {"corruption": "perlin", "count": [30, 30], "gone": 1}) == {
        "corruption": "perlin", "count": [30, 30],
    }  # fmt: skip
