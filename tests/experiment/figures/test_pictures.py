"""Pictures of an experiment: from its own networks and slices, with what is gone left out and said."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from plr_fast import LesionBank
from plr_fast.errors import DataError
from plr_fast.evaluation.inference import restore
from plr_fast.evaluation.pictures import bank_noise
from plr_fast.evaluation.trained import load_network
from plr_fast.experiment.figures import experiment_figures
from plr_fast.experiment.figures.activations import activation_maps, eighth_convolution, lung_focus
from plr_fast.experiment.figures.patches import figure_patches
from plr_fast.experiment.figures.restorations import write_picture
from plr_fast.experiment.figures.runs import shown_runs
from plr_fast.experiment.results import CellKey, CellResult, DatasetInfo, MethodInfo, Plan, Results
from plr_fast.models import Encoder

from ...evaluation.conftest import make_store, write_classifier, write_restorer

METHODS = ("RI", "PLR-P", "PLR-G", "Clouds", "Forest")
CLOUDS = {
    "lesions": "clouds", "blend": "alpha", "alpha": 0.8, "cells": 4.0, "octaves": 3, "persistence": 0.5,
    "lacunarity": 2.0, "cloud_combine": "single", "cloud_threshold": [120, 140], "cloud_softness": 32,
    "cloud_texture": [110, 210],
}  # fmt: skip


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data") / "store", patients=6, slices=2)


@pytest.fixture(scope="module")
def results(tmp_path_factory, store) -> Results:
    """Three repeats of which the first kept its networks."""
    folder = tmp_path_factory.mktemp("experiment")
    runs = [
        write_restorer(folder / "pre" / "p", store),
        write_restorer(folder / "pre" / "g", store, "gaussian", 1),
        write_restorer(folder / "pre" / "c", store, seed=2, **CLOUDS),
    ]
    sources = {"PLR-P": "pre/p", "PLR-G": "pre/g", "Clouds": "pre/c"}
    test = store.select("test")
    rng = np.random.default_rng(0)
    keys = [CellKey("made up", method, 0.5, repeat) for method in METHODS for repeat in range(3)]
    cells = []
    for seed, key in enumerate(keys):
        facts = {}
        if key.repeat == 0 and key.method != "Forest":
            runs.append(write_classifier(folder / "runs" / key.method, store, seed))
            facts = {"run": f"runs/{key.method}"}
            if key.method in sources:
                facts["pretrain_run"] = sources[key.method]
        labels = store.labels[test].astype(np.int8)
        scores = np.clip(0.3 + 0.3 * labels + rng.normal(0, 0.3, len(test)), 0, 1)
        ids, groups = store.ids[test], store.groups[test]
        cells.append(CellResult(key, ids, groups, labels, scores, 0.5, 1.0, 8, 4, "0" * 64, facts))
    for run in runs:
        record = json.loads((run / "config.json").read_text())
        record["config"]["store"] = str(store.path)
        (run / "config.json").write_text(json.dumps(record))
    methods = tuple(MethodInfo(name, "control" if name == "Forest" else "paper") for name in METHODS)
    info = DatasetInfo("made up", ("normal", "covid"), len(store), 20, "patient", "given")
    return Results(folder, Plan("t", methods, (info,), "RI", tuple(keys), 0), tuple(cells))


@pytest.fixture(scope="module")
def made(results, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return out, experiment_figures(results, out, progress=False, examples=1)


def test_every_figure_is_there_with_its_words(made):
    out, figures_made = made
    files = [entry.file for entry in figures_made.figures]
    assert len(set(files)) == len(files)
    for number in ("fig05", "fig07", "fig08", "fig09", "fig10"):
        assert any(Path(file).name.startswith(number) for file in files), number
    kinds = {"auroc-by-fraction", "auroc-differences", "roc-50", "reliability-50", "accuracy-differences"}
    assert kinds <= {Path(file).stem for file in files}
    for entry in figures_made.figures:
        with Image.open(out / entry.file) as picture:
            assert np.asarray(picture).std() > 1, entry.file
        assert len(entry.alt) > 40
        assert len(entry.caption) > 40
        assert "nan" not in (entry.alt + entry.caption).lower()


def test_pictures_of_pseudo_lesions_are_one_for_each_kind(made):
    _, figures_made = made
    titles = [entry.title for entry in figures_made.figures if "figure 5" in entry.title]
    assert len(titles) == 2
    assert titles[0].endswith("PLR-P")
    assert titles[1].endswith("Clouds")
    assert "clouds" in titles[1]


def test_sliders_show_what_the_networks_make_of_the_slices(made, results, store):
    out, figures_made = made
    assert len(figures_made.comparisons) == 6  # three restorers, a corrupted and a real slice each
    for pair in figures_made.comparisons:
        with Image.open(out / pair.before) as before, Image.open(out / pair.after) as after:
            assert before.size == after.size == (384, 384)
    real = next(pair for pair in figures_made.comparisons if pair.title == "PLR-P: a real covid slice restored")
    before, after = (read(out / file)[::12, ::12] for file in (real.before, real.after))
    index = next(index for index in range(len(store)) if np.array_equal(store.slices[index], before))
    assert (store.splits[index], store.labels[index]) == ("test", 1)
    network = load_network(results.folder / "pre" / "p", "restorer")
    answer = restore(network, store.slices[[index]].astype(np.float32) / 255, name="x")[0]
    assert np.abs(after - answer * 255.0).max() <= 0.5
    mask = store.masks[index].astype(bool)
    change = float((answer - store.slices[index] / np.float32(255))[mask].mean())
    assert f"the lungs changed by {change:+.3f}".replace("-", "−") in real.alt


def test_missing_lesions_are_said(made):
    _, figures_made = made
    assert figures_made.absent == ["figure 7 shows pseudo lesions only: no folder of real lesions was given"]


def test_networks_are_found_for_the_first_repeat_that_has_them(results, store):
    shown, absent = shown_runs(results, results.plan.datasets[0])
    assert shown is not None
    assert shown.repeat == 0
    assert absent == []
    assert list(shown.encoders) == list(shown.restorers) == ["PLR-P", "PLR-G", "Clouds"]
    assert list(shown.classifiers[0.5]) == ["RI", "PLR-P", "PLR-G", "Clouds"]
    assert shown.store.fingerprint == store.fingerprint


def test_pretraining_that_does_not_restore_is_no_restorer(results):
    shown, _ = shown_runs(results, results.plan.datasets[0])
    assert shown is not None
    run = shown.encoders["PLR-G"]
    without = replace(run, config={"config": {**run.config["config"], "restore_weight": 0.0}})
    assert list(replace(shown, encoders={**shown.encoders, "PLR-G": without}).restorers) == ["PLR-P", "Clouds"]


def test_deleted_and_damaged_networks_cost_their_pictures_alone(results, store, tmp_path):
    folder = tmp_path / "experiment"
    shutil.copytree(results.folder, folder)
    shutil.rmtree(folder / "pre" / "g")
    shutil.rmtree(folder / "runs" / "RI")
    (folder / "pre" / "p" / "checkpoints" / "best" / "model.safetensors").write_bytes(b"broken")
    moved = Results(folder, results.plan, results.cells)
    shown, absent = shown_runs(moved, moved.plan.datasets[0])
    assert shown is not None
    assert list(shown.encoders) == ["PLR-P", "Clouds"]
    assert [line.split(" (")[0] for line in absent] == [
        "the classifier RI at 50% of the labels",
        "the pretraining of PLR-G",
    ]
    made = experiment_figures(moved, tmp_path / "out", progress=False, examples=1)
    said = "\n".join(made.absent)
    assert "restorations (figures 5, 8, 10)" in said
    assert "activation maps (figure 9)" in said
    assert any(entry.file.endswith("roc-50.png") for entry in made.figures)


def test_an_experiment_without_networks_has_charts_only(results, tmp_path):
    bare = tuple(
        CellResult(**{**{name: getattr(cell, name) for name in cell.__dataclass_fields__}, "facts": {}})
        for cell in results.cells
    )
    made = experiment_figures(Results(results.folder, results.plan, bare), tmp_path, progress=False)
    assert {entry.section for entry in made.figures} == {"performance", "differences", "curves"}
    assert made.comparisons == []
    assert "made up: none of 15 cells kept its networks" in made.absent


def test_another_store_in_its_place_is_not_shown(results, tmp_path, monkeypatch):
    other = make_store(tmp_path / "other", patients=3)
    monkeypatch.setattr("plr_fast.data.store.SliceStore.open", lambda path: other)
    shown, absent = shown_runs(results, results.plan.datasets[0])
    assert shown is None
    assert "has changed since" in absent[0]


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_map_is_what_leaves_the_eighth_convolution(norm):
    torch.manual_seed(0)
    encoder = Encoder(1, (2, 3, 4, 5, 6), norm)
    images = torch.rand(2, 1, 48, 48)
    encoder(images)  # in training mode: batch norm learns its statistics
    encoder.eval()
    seen = []
    encoder.conv8.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    maps = eighth_convolution(encoder, images)
    with torch.inference_mode():
        behind = F.relu(encoder.norm8(seen[0]) if norm == "batch" else seen[0])
    assert behind.shape == (2, 5, 6, 6)
    wanted = F.interpolate(behind.mean(dim=1, keepdim=True), size=(48, 48), mode="bilinear", align_corners=False)
    assert torch.equal(maps, wanted[:, 0])


def test_map_of_a_size_that_needs_padding_lies_over_its_slice():
    torch.manual_seed(0)
    encoder = Encoder(1, (2, 2, 2, 2, 2)).eval()
    images = torch.rand(1, 1, 40, 40)
    padded = F.pad(images, (4, 4, 4, 4), mode="replicate")
    assert torch.equal(eighth_convolution(encoder, images), eighth_convolution(encoder, padded)[:, 4:44, 4:44])


def test_diverged_encoder_is_named(store):
    encoder = Encoder(1, (2, 2, 2, 2, 2)).eval()
    with torch.no_grad():
        encoder.conv8.bias.fill_(float("nan"))
    with pytest.raises(Exception, match="eighth convolution of PLR-P gives NaN"):
        activation_maps({"PLR-P": encoder}, store, np.array([0]))


def test_lung_focus_is_the_ratio_of_means():
    values = np.array([[3.0, 3.0], [1.0, 2.0]], np.float32)
    mask = np.array([[True, True], [False, False]])
    assert lung_focus(values, mask) == pytest.approx(2.0)
    assert np.isnan(lung_focus(values, np.zeros((2, 2), bool)))
    assert np.isnan(lung_focus(values, np.ones((2, 2), bool)))
    assert np.isnan(lung_focus(np.zeros((2, 2), np.float32), mask))


def test_noise_shown_is_that_which_the_patches_were_cut_from():
    bank = LesionBank.generate(30, images=3, size=64, cells=(2.0, 6.0), octaves=[2, 5], seed=3)
    noise = bank_noise(bank, 4)
    assert [image.shape for image in noise] == [(64, 64)] * 3
    patch = bank[0]
    height, width = patch.shape
    found = [
        np.array_equal(image[top : top + height, left : left + width], patch)
        for image in noise
        for top in range(65 - height)
        for left in range(65 - width)
    ]
    assert any(found)


def test_patches_of_real_lesions_come_first(tmp_path, store):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    lesion = np.zeros((150, 150), bool)
    lesion[30:120, 40:130] = True
    rng = np.random.default_rng(0)
    for number in range(2):
        noisy = (np.where(lesion, 160, 50) + rng.normal(0, 4, lesion.shape)).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray((lesion * 255).astype(np.uint8)).save(tmp_path / "masks" / f"{number}.png")
    # No lungs can be found in such pictures: they come from the store, where lung is some 60 bright.
    rows = figure_patches(tmp_path, store)
    assert rows.real
    assert next(iter(rows.kinds)) == "Real lesions"
    means = {name: float(patches.mean()) for name, patches in rows.kinds.items()}
    assert means["Real lesions"] == pytest.approx(160, abs=8)
    assert means["Lung, unaltered"] == pytest.approx(60, abs=12)
    assert means["Perlin patches, as they are pasted (PLR-P)"] > 180
    lung = rows.kinds["Lung, unaltered"]
    assert rows.kinds["Lung, blurred (PLR-G)"].shape == lung.shape
    assert not np.array_equal(rows.kinds["Lung, shuffled (PLR-L)"], lung)
    assert list(figure_patches(tmp_path, None).kinds) == ["Real lesions", "Perlin patches, as they are pasted (PLR-P)"]
    with pytest.raises(DataError, match="nowhere"):
        figure_patches(tmp_path / "nowhere", None)
    with pytest.raises(ValueError, match="folder of lesions or a store"):
        figure_patches(None, None)


def test_windows_shrink_with_the_stores_slices(store):
    rows = figure_patches(None, store)
    assert not rows.real
    assert rows.window == 4  # 64 of 512 pixels, at 32
    assert "Real lesions" not in rows.kinds


def test_small_slices_are_enlarged_by_whole_pixels(tmp_path):
    picture = np.random.default_rng(0).random((50, 50)).astype(np.float32)
    write_picture(tmp_path / "a.png", picture)
    large = read(tmp_path / "a.png")
    assert large.shape == (400, 400)
    assert np.array_equal(large[::8, ::8], np.rint(picture * 255).astype(np.uint8))
    assert np.array_equal(large, large[::8, ::8].repeat(8, 0).repeat(8, 1))
    write_picture(tmp_path / "b.png", np.zeros((512, 512), np.float32))
    assert read(tmp_path / "b.png").shape == (512, 512)
