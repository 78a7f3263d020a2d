"""Slices that a run was trained on are named as such wherever the results stand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from plr_fast.cli.results import print_results
from plr_fast.errors import CheckpointError
from plr_fast.evaluation import EvaluateConfig, evaluate
from plr_fast.evaluation.leaks import check_seen
from plr_fast.evaluation.trained import open_runs
from plr_fast.files import write_json
from plr_fast.training.seen import SEEN_FILE, joined, seen_slices, to_json

from .conftest import make_store, write_classifier, write_restorer


def write_seen(run, store, indices, before=None):
    seen = seen_slices(store, np.asarray(indices))
    write_json(run / SEEN_FILE, to_json(seen if before is None else joined(seen, before)))


def test_it_is_said_in_report_metrics_and_terminal(store, tmp_path, capsys):
    train, positives, negatives = store.select("train"), store.select("test", 1), store.select("test", 0)
    classifier, restorer = write_classifier(tmp_path / "cls", store), write_restorer(tmp_path / "res", store)
    # The classifier began with a run that had learnt from the six test slices of two patients.
    write_seen(classifier, store, train, seen_slices(store, positives[:6]))
    write_seen(restorer, store, [*train, *negatives[:3]])
    config = EvaluateConfig(
        store=store.path, out=tmp_path / "out", classifiers=(classifier,), restorers=(restorer,), bootstrap=0
    )
    result = evaluate(replace(config, examples=0))
    print_results(result)
    shown, report = capsys.readouterr().out, (result.out / "report.html").read_text(encoding="utf-8")
    told = json.loads((result.out / "metrics.json").read_text())["warnings"]
    for place, (name, count, of) in enumerate((("cls", 6, 24), ("res", 3, 12))):
        text = f"{count} of the {of} evaluated slices were in the training data of {name} or of the run it began with"
        assert told[place].startswith(text)
        assert text in shown
        assert text in report[report.index("Read this before the numbers") : report.index('id="about')]


def test_slices_are_known_by_their_pixels_too(store, tmp_path):
    path = write_classifier(tmp_path / "cls", store)
    test = store.select("test")
    write_seen(path, store, test[:4])
    content = json.loads((path / SEEN_FILE).read_text())
    write_json(path / SEEN_FILE, content | {"ids": ["other"], "looks": [""], "patients": []})
    runs, _ = open_runs([path], [])
    (warning,) = check_seen(runs, store, test)
    assert warning.startswith("4 of the 24 ")
    # Pixels of another size cannot be compared.
    write_json(path / SEEN_FILE, content | {"ids": ["other"], "looks": [""], "patients": [], "size": 64})
    assert check_seen(runs, store, test) == []


def test_other_slices_of_a_patient_are_named_too(store, tmp_path):
    """Two slices of one patient were learnt from: they are counted as such, the third as a relative."""
    path = write_classifier(tmp_path / "cls", store)
    test = store.select("test")
    patient = test[store.patients[test] == store.patients[test[0]]]
    write_seen(path, store, patient[:2])
    runs, _ = open_runs([path], [])
    seen, related = check_seen(runs, store, test)
    assert seen.startswith("2 of the 24 evaluated slices were in the training data of cls")
    assert related.startswith("1 of the 24 evaluated slices have the patient id of other slices that cls")
    assert "if they are the same patients" in related
    (alone,) = check_seen(runs, store, patient[2:])
    assert alone.startswith("1 of the 1 evaluated slices have the patient id")


def test_nothing_is_said_without_overlap_or_without_a_list(store, tmp_path):
    silent, clean = write_classifier(tmp_path / "silent", store), write_classifier(tmp_path / "clean", store)
    write_seen(clean, store, store.select("train"))
    runs, _ = open_runs([silent, clean], [])
    assert check_seen(runs, store, store.select("test")) == []
    assert len(check_seen(runs, store, store.select("train"))) == 1


def test_another_store_with_the_same_slices_is_seen_through(store, tmp_path):
    other = make_store(tmp_path / "other", patients=5)
    path = write_classifier(tmp_path / "cls", store)
    write_seen(path, store, store.select("test"))
    config = EvaluateConfig(
        store=other.path, out=tmp_path / "out", classifiers=(path,), allow_other_store=True, bootstrap=0, examples=0
    )
    assert evaluate(config).warnings[0].startswith("24 of the 30 ")


def test_a_damaged_list_is_an_error(store, tmp_path):
    path = write_classifier(tmp_path / "cls", store)
    (path / SEEN_FILE).write_text("{")
    with pytest.raises(CheckpointError, match=r"training_slices.json is damaged"):
        check_seen(open_runs([path], [])[0], store, store.select("test"))
