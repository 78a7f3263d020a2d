"""The whole evaluation on a small store with real networks: files, numbers, rules, errors."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from plr_fast.errors import CheckpointError, ConfigError, DataError, StorageError, StoreError
from plr_fast.evaluation import EvaluateConfig, evaluate
from plr_fast.evaluation.evaluate import evaluate as evaluate_function
from plr_fast.evaluation.metrics import METRIC_KEYS

from .conftest import classifier, make_store, write_classifier, write_restorer, write_run


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def config(store, runs, tmp_path_factory) -> EvaluateConfig:
    return EvaluateConfig(
        store=store.path,
        out=tmp_path_factory.mktemp("results") / "out",
        classifiers=(runs["RI"], runs["PLR-P"]),
        restorers=(runs["perlin"], runs["blur"]),
        bootstrap=200,
        examples=2,
    )


@pytest.fixture(scope="module")
def result(config):
    return evaluate(config)


@pytest.fixture(scope="module")
def written(config, result):
    assert result.out == config.out
    return json.loads((config.out / "metrics.json").read_text())


def test_all_files_are_there_and_nothing_else(config, result):
    found = names_in(config.out)
    assert {"report.html", "metrics.json", "predictions.csv", "restoration.csv"} <= found
    assert {str(path.relative_to(config.out)) for path in result.figures} == {
        name for name in found if name.startswith("figures/")
    }
    expected = {"fig05-pseudo-lesions", "fig08-restoration-1", "fig08-restoration-2", "fig10-real-1", "fig10-real-2"}
    expected |= {"roc", "precision-recall", "intervals", "differences", "confusion-RI", "confusion-PLR-P"}
    expected |= {"training-restorers", "training-classifiers"}
    assert {f"figures/{name}.png" for name in expected} <= found
    assert not [path for path in config.out.iterdir() if path.name.startswith(".")]


def test_numbers_follow_from_the_predictions(config, result, written, store):
    rows = read_rows(config.out / "predictions.csv")
    assert [row["id"] for row in rows] == store.ids[store.select("test")].tolist()
    labels = np.array([int(row["label"]) for row in rows])
    for entry in written["classifiers"]:
        scores = np.array([float(row[f"{entry['name']} score"]) for row in rows])
        called = np.array([int(row[f"{entry['name']} called"]) for row in rows])
        np.testing.assert_array_equal(called, scores >= 0.5)
        assert 0 < called.sum() < len(called)
        metrics = entry["metrics"]
        assert list(metrics) == list(METRIC_KEYS)
        assert metrics["accuracy"]["value"] == pytest.approx(sk.accuracy_score(labels, called))
        assert metrics["auroc"]["value"] == pytest.approx(sk.roc_auc_score(labels, scores))
        assert metrics["paper_auc"]["value"] == pytest.approx(sk.balanced_accuracy_score(labels, called))
        tn, fp, fn, tp = sk.confusion_matrix(labels, called).ravel().tolist()
        assert entry["confusion"] == {"tn": tn, "fp": fp, "fn": fn, "tp": tp}
        assert metrics["accuracy"]["low"] <= metrics["accuracy"]["value"] <= metrics["accuracy"]["high"]
    (difference,) = written["differences"]
    assert (difference["first"], difference["second"]) == ("PLR-P", "RI")
    assert difference["metrics"]["auroc"]["value"] == pytest.approx(
        result.metrics["PLR-P"]["auroc"].value - result.metrics["RI"]["auroc"].value
    )


def test_scores_are_those_of_the_network(config, result, store, runs):
    from plr_fast.training import load_classifier

    images = torch.from_numpy(store.slices[store.select("test")].astype(np.float32) / 255).unsqueeze(1)
    with torch.no_grad():
        expected = torch.sigmoid(load_classifier(runs["RI"])(images).double()).numpy()
    rows = read_rows(result.out / "predictions.csv")
    np.testing.assert_allclose([float(row["RI score"]) for row in rows], expected, atol=1e-6)


def test_restoration_means_follow_from_the_rows(config, result, written, store):
    rows = read_rows(config.out / "restoration.csv")
    assert len(rows) == 2 * len(store.select("test", 0)) * 3 * 2
    for entry in written["restorations"]:
        assert entry["trained_for_it"] is True
        chosen = [
            float(row["mse"])
            for row in rows
            if (row["restorer"], row["region"], row["picture"]) == (entry["restorer"], "lungs", "restored")
        ]
        assert entry["regions"]["lungs"]["mse"]["restored"]["value"] == pytest.approx(np.mean(chosen), rel=1e-5)
    perlin = next(entry for entry in written["restorations"] if entry["restorer"] == "perlin")
    assert perlin["regions"]["outside"]["mse"]["corrupted"]["value"] == 0
    assert perlin["regions"]["outside"]["psnr"]["corrupted"]["value"] is None


def test_record_says_how_it_was_made(written, store, config):
    assert written["store"]["fingerprint"] == store.fingerprint
    assert written["config"]["seed"] == config.seed
    assert written["bootstrap"]["groups"] == {"negative": 4, "positive": 4, "mixed": 0}
    assert {"plr_fast", "python", "torch", "numpy", "scikit-learn", "processor", "device"} <= set(
        written["environment"]
    )
    assert written["notice"] == "research only, not for clinical use"
    assert all(set(figure) == {"file", "section", "title", "caption", "alt"} for figure in written["figures"])


def test_same_inputs_give_the_same_numbers(config, written, tmp_path):
    again = evaluate(replace(config, out=tmp_path / "again", batch_size=5))
    other = json.loads((again.out / "metrics.json").read_text())
    for key in ("classifiers", "differences", "restorations"):
        np.testing.assert_equal(rounded(other[key]), rounded(written[key]))
    assert (again.out / "predictions.csv").read_text().count("\n") == len(
        (config.out / "predictions.csv").read_text().splitlines()
    )


def rounded(value):
    """Numbers to 4 digits: another batch size may change the networks' last bits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def test_a_second_evaluation_replaces_the_first_and_nothing_else(config, runs, tmp_path):
    out = tmp_path / "out"
    both = replace(config, out=out)
    evaluate(both)
    (out / "figures" / "mine.png").write_bytes(b"x")
    (out / "notes.txt").write_text("keep")
    evaluate(replace(both, classifiers=(), restorers=(runs["blur"],), examples=0, bootstrap=0))
    assert names_in(out) == {
        "report.html",
        "metrics.json",
        "restoration.csv",
        "notes.txt",
        "figures/mine.png",
        "figures/training-restorers.png",
    }
    assert json.loads((out / "metrics.json").read_text())["classifiers"] == []


def test_a_failure_leaves_earlier_results_alone(config, runs, store, tmp_path):
    out = tmp_path / "out"
    evaluate(replace(config, out=out, restorers=()))
    before = {name: (out / name).read_bytes() for name in names_in(out)}
    broken = classifier(0)
    with torch.no_grad():
        next(broken.parameters()).fill_(math.nan)
    path = write_run(tmp_path / "broken", "finetune", broken, store.fingerprint, hidden=8, init="random")
    with pytest.raises(CheckpointError, match="classifier broken gives NaN for 24 of 24 slices"):
        evaluate(replace(config, out=out, classifiers=(runs["RI"], path)))
    assert {name: (out / name).read_bytes() for name in names_in(out)} == before
    assert not list(out.glob(".evaluation-*"))


def test_diverged_restorer_is_named(config, store, tmp_path):
    path = write_restorer(tmp_path / "bad", store)
    from plr_fast.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

    folder = path / "checkpoints" / "best"
    state = load_checkpoint(folder).model
    save_checkpoint(folder, Checkpoint({key: value * math.nan for key, value in state.items()}, None, {}))
    with pytest.raises(CheckpointError, match="restorer bad gives NaN"):
        evaluate(replace(config, out=tmp_path / "out", classifiers=(), restorers=(path,)))


def test_one_class_only_is_reported_with_reasons(tmp_path):
    store = make_store(tmp_path / "store", test_labels=(1,))
    run = write_classifier(tmp_path / "run", store)
    found = evaluate(EvaluateConfig(store=store.path, out=tmp_path / "out", classifiers=(run,), bootstrap=100))
    entry = json.loads((tmp_path / "out" / "metrics.json").read_text())["classifiers"][0]["metrics"]
    assert entry["auroc"]["value"] is None
    assert entry["auroc"]["reason"] == "no negative slice in the set"
    assert entry["recall"]["value"] is not None
    assert any("no negative slice in the set" in warning for warning in found.warnings)
    html = (tmp_path / "out" / "report.html").read_text()
    assert "holds only one class" in html
    with pytest.raises(DataError, match="no normal slice with a usable lung mask"):
        evaluate(
            EvaluateConfig(store=store.path, out=tmp_path / "o", restorers=(write_restorer(tmp_path / "r", store),))
        )


def test_no_labelled_slice_in_the_split(tmp_path):
    store = make_store(tmp_path / "store", test_labels=(-1,))
    run = write_classifier(tmp_path / "run", store)
    with pytest.raises(DataError, match=r"test split .* has no labelled slice.*train 12, val 12, test 12"):
        evaluate(EvaluateConfig(store=store.path, out=tmp_path / "out", classifiers=(run,)))
    assert not (tmp_path / "out").exists()


def test_bad_masks_and_lonely_slices_are_reported(tmp_path):
    store = make_store(tmp_path / "store", bad_mask_ids=("test-0-p0-0", "test-1-p0-0"), singles=True)
    run = write_restorer(tmp_path / "run", store)
    found = evaluate(EvaluateConfig(store=store.path, out=tmp_path / "out", restorers=(run,), bootstrap=100))
    assert len(found.restorations[0].indices) == len(store.select("test", 0)) - 1
    assert any("2 of 48 lung masks" in warning for warning in found.warnings)
    assert any("Patient ids unknown" in warning for warning in found.warnings)
    assert "Patient ids unknown" in (tmp_path / "out" / "report.html").read_text()


def test_train_split_and_missing_positives_are_warned_about(tmp_path):
    store = make_store(tmp_path / "store", test_labels=(0,))
    run = write_restorer(tmp_path / "run", store)
    found = evaluate(EvaluateConfig(store=store.path, out=tmp_path / "out", restorers=(run,), bootstrap=0))
    assert any("no picture of real lesions" in warning for warning in found.warnings)
    base = EvaluateConfig(store=store.path, out=tmp_path / "out", restorers=(run,), bootstrap=0, examples=0)
    assert evaluate(replace(base, split="train")).warnings[0].startswith("These are training slices")


def test_cross_corruptions_judge_every_restorer_on_every_test(config, tmp_path):
    found = evaluate(
        replace(config, out=tmp_path / "out", classifiers=(), cross_corruptions=True, bootstrap=0, restoration_slices=3)
    )
    assert {(item.restorer, item.test_set, item.own) for item in found.restorations} == {
        ("perlin", "perlin", True),
        ("perlin", "gaussian", False),
        ("blur", "perlin", False),
        ("blur", "gaussian", True),
    }
    assert {len(item.indices) for item in found.restorations} == {3}
    assert "trained for another corruption" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classifiers": (), "restorers": ()}, r"nothing to evaluate: .* --classifiers or --restorers"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"restoration_slices": 0}, "restoration_slices"),
        ({"examples": -1}, "examples must be at least 0"),
        ({"seed": -1}, "seed"),
        ({"bootstrap": 50}, r"0 \(no intervals\) or at least 100"),
        ({"threshold": 1.0}, "threshold must lie between 0 and 1"),
        ({"split": "all"}, "split must be train, val or test"),
        ({"device": "warp"}, "device 'warp' cannot be used here"),
    ],
)
def test_bad_settings_are_refused_before_any_work(config, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(replace(config, out=tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_results_may_not_go_into_a_store_or_run_or_file(config, runs, store, tmp_path):
    for out, message in ((store.path, "store folder"), (runs["RI"], "run folder")):
        with pytest.raises(ConfigError, match=message):
            evaluate(replace(config, out=out))
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="out is a file"):
        evaluate(replace(config, out=tmp_path / "file"))
    with pytest.raises(StorageError, match="could not write"):
        evaluate(replace(config, out=tmp_path / "file" / "below"))


def test_missing_store_and_other_store(config, runs, tmp_path):
    with pytest.raises(StoreError, match="no slice store"):
        evaluate(replace(config, store=tmp_path / "nowhere"))
    other = make_store(tmp_path / "other", patients=5)
    with pytest.raises(ConfigError, match="trained on another store"):
        evaluate(replace(config, store=other.path, out=tmp_path / "out"))
    allowed = replace(config, store=other.path, out=tmp_path / "out", allow_other_store=True, restorers=(), bootstrap=0)
    assert any("external validation" in warning for warning in evaluate(allowed).warnings)


def test_runs_of_one_name_are_told_apart(config, runs, store, tmp_path):
    copy = shutil.copytree(runs["RI"], tmp_path / "seed1" / "RI")
    found = evaluate(
        replace(config, out=tmp_path / "out", classifiers=(runs["RI"], copy), restorers=(), bootstrap=0, examples=0)
    )
    assert list(found.metrics) == [f"{runs['RI'].parent.name}/RI", "seed1/RI"]


def test_the_package_exports_the_function():
    assert evaluate is evaluate_function


def test_importing_the_package_stays_light():
    import subprocess
    import sys

    code = (
        "import sys, plr_fast.evaluation; "
        "heavy = ('sklearn', 'skimage', 'matplotlib', 'jinja2', 'lightning_fabric', 'tensorboard'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_the_stores_own_notes_are_passed_on_once(store, tmp_path):
    from plr_fast.evaluation.facts import describe_store

    folder = shutil.copytree(store.path, tmp_path / "copy")
    info = json.loads((folder / "store.json").read_text())
    note = "patient ids unknown: each file is split on its own, and results may be inflated"
    info["summary"] = {"unit": "file", "notes": [note, "3 files were skipped"]}
    (folder / "store.json").write_text(json.dumps(info))
    manifest = (folder / "manifest.csv").read_text().splitlines()
    column = manifest[0].split(",").index("patient")
    rows = [line.split(",") for line in manifest[1:]]
    text = [manifest[0], *(",".join([*row[:column], "", *row[column + 1 :]]) for row in rows)]
    (folder / "manifest.csv").write_text("\n".join(text) + "\n")
    facts = describe_store(type(store).open(folder))
    assert facts.unit == "file"
    assert facts.unknown_patients == len(store)
    assert facts.warnings() == [note[0].upper() + note[1:], "3 files were skipped"]
