"""Run folders: names, kinds, missing checkpoints, other stores, training curves."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from plr_fast.errors import CheckpointError, ConfigError
from plr_fast.evaluation.trained import check_stores, open_runs, training_curve, unique_names

from .conftest import write_classifier


def test_runs_are_named_by_folder_and_by_parents_where_names_repeat(tmp_path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "other"]
    assert unique_names(paths) == ["a/run", "b/run", "other"]
    assert unique_names([Path("x/s/run"), Path("y/s/run")]) == ["x/s/run", "y/s/run"]


def test_runs_open_with_their_settings(runs):
    classifiers, restorers = open_runs([runs["RI"], runs["PLR-P"]], [runs["blur"]])
    assert [run.name for run in classifiers] == ["RI", "PLR-P"]
    assert restorers[0].setting("corruption") == "gaussian"
    assert classifiers[0].setting("no such", 7) == 7
    assert classifiers[0].facts()["init"] == "random"
    assert not classifiers[0].model().training


def test_missing_folder_and_missing_checkpoint(runs, tmp_path):
    with pytest.raises(CheckpointError, match=r"classifier run folder .*nowhere does not exist.*plr-fast finetune"):
        open_runs([tmp_path / "nowhere"], [])
    bare = shutil.copytree(runs["perlin"], tmp_path / "bare")
    shutil.rmtree(bare / "checkpoints")
    with pytest.raises(CheckpointError, match=r"has no checkpoint .*plr-fast pretrain --resume"):
        open_runs([], [bare])


def test_a_run_of_the_other_kind_is_refused(runs):
    with pytest.raises(CheckpointError, match=r"made by 'pretrain'.*give it with --restorers"):
        open_runs([runs["perlin"]], [])
    with pytest.raises(CheckpointError, match=r"made by 'finetune'.*give it with --classifiers"):
        open_runs([], [runs["RI"]])


def test_the_same_run_twice_is_refused(runs):
    with pytest.raises(ConfigError, match="given twice"):
        open_runs([runs["RI"], runs["RI"].parent / "." / "RI"], [])


def test_another_store_is_an_error_unless_allowed(runs, store, tmp_path):
    path = shutil.copytree(runs["RI"], tmp_path / "elsewhere")
    record = json.loads((path / "config.json").read_text())
    record["store_fingerprint"] = "f" * 64
    (path / "config.json").write_text(json.dumps(record))
    opened, _ = open_runs([path], [])
    with pytest.raises(ConfigError, match=r"another store \(fingerprint f{12}….*--allow-other-store"):
        check_stores(opened, store, allow_other=False)
    (warning,) = check_stores(opened, store, allow_other=True)
    assert "external validation" in warning
    del record["store_fingerprint"]
    (path / "config.json").write_text(json.dumps(record))
    (warning,) = check_stores(open_runs([path], [])[0], store, allow_other=False)
    assert "does not say which store" in warning
    assert check_stores(open_runs([runs["RI"]], [])[0], store, allow_other=False) == []


def test_training_curves_come_from_metrics_csv(store, tmp_path):
    run = open_runs([write_classifier(tmp_path / "run", store)], [])[0][0]
    curve = training_curve(run)
    assert curve is not None
    assert curve.epochs.tolist() == [1, 2]
    assert curve.train_loss.tolist() == [0.7, 0.5]
    assert curve.score[0] == 0.5
    assert math.isnan(curve.score[1])
    assert curve.score_name == "accuracy"
    assert not curve.weighted
    table = run.path / "metrics.csv"
    table.write_text("epoch,train_loss,val_loss,val_mse\n1,5.0,4.0,0.2\n")  # as a run of several tasks writes it
    weighted = training_curve(run)
    assert weighted is not None
    assert weighted.weighted


@pytest.mark.parametrize("text", [None, "", "epoch,lr\n1,0.1\n"])
def test_no_training_curve_without_losses(store, tmp_path, text):
    path = write_classifier(tmp_path / "run", store)
    (path / "metrics.csv").unlink()
    if text is not None:
        (path / "metrics.csv").write_text(text)
    assert training_curve(open_runs([path], [])[0][0]) is None
