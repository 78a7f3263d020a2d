"""The decision threshold: what a rule chooses, on which slices, and that the test split has no say in it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from plr_fast.errors import ConfigError, DataError
from plr_fast.evaluation import EvaluateConfig, evaluate
from plr_fast.evaluation.thresholds import RULES, choose_threshold

from .conftest import classifier, make_store, write_classifier, write_run
from .test_evaluate import read_rows

ORACLES = {"youden": sk.balanced_accuracy_score, "accuracy": sk.accuracy_score, "f1": sk.f1_score}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_is_better(rule, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, 60)
    scores = (np.clip(generator.normal(0.4 + 0.2 * labels, 0.2), 0, 1) * 20).round() / 20  # with ties
    chosen = choose_threshold(labels, scores, rule)
    measures = {value: ORACLES[rule](labels, scores >= value) for value in [0.001, *np.arange(0.025, 1, 0.05), 0.999]}
    assert chosen.reached == pytest.approx(max(measures.values()))
    assert ORACLES[rule](labels, scores >= chosen.value) == pytest.approx(chosen.reached)
    assert (chosen.rule, chosen.slices) == (rule, 60)
    assert 0 < chosen.value < 1
    assert chosen.value not in scores


def test_of_equally_good_ones_the_nearest_to_a_half():
    # Anything between 0.2 and 0.9 parts the classes, and the places tried are half way between scores.
    assert choose_threshold([0, 0, 1], [0.1, 0.2, 0.9], "youden").value == pytest.approx(0.55)
    # All called positive (0.1) and none (0.9) are equally good by balanced accuracy.
    assert choose_threshold([0, 1], [0.3, 0.3], "youden").value == pytest.approx(0.65)


def test_a_rule_needs_both_classes():
    with pytest.raises(ValueError, match="no negative slice"):
        choose_threshold([1, 1], [0.2, 0.4], "f1")


@pytest.mark.parametrize(("rule", "chance"), [("youden", 0.5), ("accuracy", 0.75), ("f1", 0.4)])
def test_no_better_than_calling_all_slices_alike(rule, chance):
    labels = np.repeat([0, 1], [30, 10])
    alike = choose_threshold(labels, np.full(40, 0.3), rule)
    assert alike.chance == pytest.approx(chance)
    assert alike.reached == pytest.approx(chance)
    assert alike.no_better_than_chance
    assert not choose_threshold(labels, labels * 0.5 + 0.2, rule).no_better_than_chance


def test_a_threshold_that_tells_nothing_apart_is_noted(store, tmp_path):
    network = classifier(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
    path = write_run(tmp_path / "flat", "finetune", network, store.fingerprint, hidden=8, init="random")
    config = EvaluateConfig(
        store=store.path, out=tmp_path / "out", classifiers=(path,), bootstrap=0, examples=0, threshold="youden"
    )
    text = "flat: no threshold tells the classes apart on validation (the greatest balanced accuracy there is 0.500"
    assert any(warning.startswith(text) for warning in evaluate(config).warnings)
    assert text in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert not any("no threshold" in warning for warning in evaluate(replace(config, threshold=0.5)).warnings)


@pytest.fixture(scope="module")
def chosen(store, tmp_path_factory):
    """An evaluation of two classifiers whose scores have other middles, with thresholds chosen by youden."""
    base = tmp_path_factory.mktemp("thresholds")
    runs = tuple(write_classifier(base / name, store, seed) for name, seed in (("a", 0), ("b", 1)))
    config = EvaluateConfig(
        store=store.path, out=base / "out", classifiers=runs, bootstrap=100, examples=1, threshold="youden"
    )
    return config, evaluate(config)


def test_each_classifier_gets_its_own_from_validation_slices(chosen, store):
    config, result = chosen
    validation = evaluate(replace(config, out=config.out.with_name("val"), split="val", threshold=0.5, bootstrap=0))
    rows = read_rows(validation.out / "predictions.csv")
    labels = np.array([int(row["label"]) for row in rows])
    assert {row["split"] for row in rows} == {"val"}
    for name, threshold in result.thresholds.items():
        scores = np.array([float(row[f"{name} score"]) for row in rows])
        assert threshold.slices == len(store.select("val"))
        assert threshold.value == pytest.approx(choose_threshold(labels, scores, "youden").value, rel=1e-6)
    assert len({threshold.value for threshold in result.thresholds.values()}) == 2


def test_it_is_applied_to_the_test_split_and_told_everywhere(chosen):
    config, result = chosen
    written = json.loads((config.out / "metrics.json").read_text())
    report = (config.out / "report.html").read_text(encoding="utf-8")
    rows = read_rows(config.out / "predictions.csv")
    labels = np.array([int(row["label"]) for row in rows])
    assert written["config"]["threshold"] == "youden"
    for entry in written["classifiers"]:
        name, told = entry["name"], entry["threshold"]
        value = result.thresholds[name].value
        assert told == {
            "value": value, "rule": "youden", "split": "val", "slices": 12, "reached": result.thresholds[name].reached,
        }  # fmt: skip
        called = np.array([float(row[f"{name} score"]) >= value for row in rows])
        assert [row[f"{name} called"] for row in rows] == [str(int(call)) for call in called]
        assert [float(row[f"{name} threshold"]) for row in rows] == pytest.approx([value] * len(rows), rel=1e-8)
        assert entry["metrics"]["accuracy"]["value"] == pytest.approx(sk.accuracy_score(labels, called))
        assert f"{name} {value:.4g}" in report
    assert "greatest balanced accuracy on the 12 validation slices" in report


def test_labels_of_the_test_split_make_no_difference(chosen, tmp_path):
    """A store with the same validation slices and another test split gives the same thresholds."""
    config, result = chosen
    other = make_store(tmp_path / "other", patients=5)
    again = evaluate(replace(config, store=other.path, out=tmp_path / "out", allow_other_store=True, bootstrap=0))
    assert {name: one.value for name, one in again.thresholds.items()} == {
        name: one.value for name, one in result.thresholds.items()
    }


def test_it_cannot_be_judged_where_it_was_chosen(chosen, store):
    config, _ = chosen
    with pytest.raises(ConfigError, match="chosen on the validation split"):
        evaluate(replace(config, split="val"))
    with pytest.raises(ConfigError, match="one of youden, accuracy, f1"):
        evaluate(replace(config, threshold="best"))


def test_a_validation_split_of_one_class_is_said(chosen, tmp_path):
    import shutil

    config, _ = chosen
    other = tmp_path / "other"
    shutil.copytree(config.store, other)
    manifest = other / "manifest.csv"
    rows = manifest.read_text().splitlines()
    manifest.write_text("\n".join(row.replace(",val,", ",test,") if "val-1" in row else row for row in rows) + "\n")
    with pytest.raises(DataError, match=r"one class only.*--threshold"):
        evaluate(replace(config, store=other, out=tmp_path / "out", allow_other_store=True))
