"""Figures: what they show, how they are written, and the cases that break plotting code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from plr_fast.evaluation import draw, figures
from plr_fast.evaluation.bootstrap import Difference, GroupBootstrap, Interval, compare_classifiers
from plr_fast.evaluation.draw import Album, draw_errors, draw_performance, draw_real, draw_training, file_name
from plr_fast.evaluation.figures import WIDTH, line_style, listing, save, short_labels, shorten, spread, styled
from plr_fast.evaluation.figures_curves import (
    TrainingCurve,
    confusion_figure,
    differences_figure,
    intervals_figure,
    precision_recall_figure,
    roc_figure,
    training_figure,
    with_bounds,
)
from plr_fast.evaluation.figures_pictures import (
    ErrorExample,
    RealExample,
    RestoredExample,
    contact_sheet,
    errors_figure,
    generation_figure,
    real_figure,
    restoration_figure,
)
from plr_fast.evaluation.metrics import METRIC_KEYS, Confusion, binary_metrics, confusion

NAMES = ("normal", "covid")


def scored(classifiers=2, size=80):
    rng = np.random.default_rng(0)
    labels = np.arange(size) % 2
    scores = {f"c{k}": np.clip(0.3 + 0.3 * labels + rng.normal(0, 0.2, size), 0, 1) for k in range(classifiers)}
    return labels, scores


def compared(labels, scores):
    points = {name: binary_metrics(labels, values) for name, values in scores.items()}
    bootstrap = GroupBootstrap(np.arange(len(labels)) // 4, labels, resamples=100, seed=0)
    return bootstrap, compare_classifiers(labels, scores, points, bootstrap)


def grey(seed=0, size=24):
    return np.random.default_rng(seed).random((size, size)).astype(np.float32)


def pixels(figure, path):
    save(figure, path)
    with Image.open(path) as image:
        assert image.mode == "RGB"
        assert image.size == pytest.approx(tuple(side * figures.DPI for side in figure.get_size_inches()), abs=1)
        return np.asarray(image)


def texts(figure):
    """All words on a figure."""
    import matplotlib.text

    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_roc_curve_runs_from_corner_to_corner_and_marks_the_threshold(tmp_path):
    labels, scores = scored()
    _, comparison = compared(labels, scores)
    auroc = {name: comparison.intervals[name]["auroc"] for name in scores}
    figure = roc_figure(labels, scores, auroc, dict.fromkeys(scores, 0.5))
    lines = figure.axes[0].lines
    assert lines[1].get_xydata()[0].tolist() == [0, 0]
    assert lines[1].get_xydata()[-1].tolist() == [1, 1]
    counts = confusion(labels, scores["c0"])
    point = lines[2].get_xydata()[0]
    assert point == pytest.approx([counts.fp / (counts.fp + counts.tn), counts.tp / (counts.tp + counts.fn)])
    assert any("c1  " + with_bounds(auroc["c1"]) in text for text in texts(figure))
    assert pixels(figure, tmp_path / "roc.png").std() > 5


def test_precision_recall_marks_the_threshold(tmp_path):
    labels, scores = scored(1)
    _, comparison = compared(labels, scores)
    figure = precision_recall_figure(
        labels, scores, {"c0": comparison.intervals["c0"]["average_precision"]}, {"c0": 0.5}
    )
    counts = confusion(labels, scores["c0"])
    point = figure.axes[0].lines[2].get_xydata()[0]
    assert point == pytest.approx([counts.tp / (counts.tp + counts.fn), counts.tp / (counts.tp + counts.fp)])
    nobody = precision_recall_figure(labels, {"c0": scores["c0"] * 0.1}, {"c0": Interval(0.5, 0.4, 0.6)}, {"c0": 0.5})
    assert len(nobody.axes[0].lines) == 2
    pixels(nobody, tmp_path / "pr.png")


def test_confusion_shows_counts_and_shares(tmp_path):
    figure = confusion_figure("a<b", Confusion(tn=30, fp=10, fn=0, tp=0), NAMES, 0.5)
    assert {"30\n75.0%", "10\n25.0%", "0\nnone", "normal", "covid", "a<b"} <= set(texts(figure))
    pixels(figure, tmp_path / "confusion.png")


@pytest.mark.parametrize("classifiers", [1, 2, 9])
def test_intervals_grow_with_the_number_of_classifiers(classifiers, tmp_path):
    labels, scores = scored(classifiers)
    _, comparison = compared(labels, scores)
    figure = intervals_figure(comparison.intervals)
    # A whisker and a point for each metric and classifier, and a legend entry for each classifier.
    assert len(figure.axes[0].lines) == classifiers * (2 * len(METRIC_KEYS) + 1)
    pixels(figure, tmp_path / "intervals.png")


def test_undefined_values_are_left_out_of_the_plots(tmp_path):
    nothing = Interval(math.nan, math.nan, math.nan, reason="no negative slice in the set")
    bare = Interval(0.7, math.nan, math.nan)
    values = dict.fromkeys(METRIC_KEYS, nothing) | {"accuracy": bare}
    figure = intervals_figure({"x": values})
    assert len(figure.axes[0].lines) == 1 + 1
    pixels(figure, tmp_path / "intervals.png")
    differences = {key: Difference(value, math.nan) for key, value in values.items()}
    pixels(differences_figure({("b", "a"): differences}), tmp_path / "differences.png")
    assert with_bounds(nothing) == "undefined"
    assert with_bounds(bare) == "0.700"


def test_differences_are_centred_on_zero():
    labels, scores = scored(3)
    _, comparison = compared(labels, scores)
    figure = differences_figure(comparison.differences)
    assert len(figure.axes) == 3
    low, high = figure.axes[-1].get_xlim()
    assert low == -high


def test_training_curves_with_gaps_and_without_scores(tmp_path):
    epochs = np.arange(1.0, 6.0)
    losses = np.array([1.0, 0.4, math.nan, 0.05, 0.01])
    missing = np.full(5, math.nan)
    figure = training_figure([TrainingCurve("a", epochs, losses, losses, missing)], loss="MSE")
    assert len(figure.axes) == 1
    assert figure.axes[0].get_yscale() == "log"
    both = training_figure([TrainingCurve("a", epochs, losses, missing, losses, "accuracy")], loss="BCE")
    assert both.axes[1].get_ylabel() == "Validation accuracy"
    pixels(both, tmp_path / "training.png")


def test_a_weighted_loss_is_not_called_mse(tmp_path, monkeypatch):
    names = []
    drawn = draw.training_figure
    monkeypatch.setattr(draw, "training_figure", lambda curves, *, loss: names.append(loss) or drawn(curves, loss=loss))
    some, missing = np.array([1.0, 2.0]), np.full(2, math.nan)
    plain, plus = (TrainingCurve(name, some, some, some, missing, weighted=name == "plus") for name in ("plr", "plus"))
    album = Album(tmp_path)
    for curves in ([plain], [plain, plus], [plus]):
        draw_training(album, curves, kind="restorer")
    assert names == ["MSE", "Loss", "Loss"]
    sums = "Of plus it is the weighted sum over all tasks"
    assert [sums in entry.caption for entry in album.entries] == [False, True, True]
    assert ["of the others the MSE" in entry.caption for entry in album.entries] == [False, True, False]


def test_contact_sheet_keeps_the_scale():
    patches = [np.full((5, 9), 100, np.uint8), np.full((3, 3), 50, np.uint8), np.full((12, 4), 7, np.uint8)] * 3
    sheet = contact_sheet(patches)
    assert sheet.shape == (45, 45)
    assert np.count_nonzero(sheet == 100) == 3 * 45
    assert np.count_nonzero(sheet == 50) == 3 * 9
    assert contact_sheet(patches[:1]).shape == (12, 12)


def test_generation_figure_has_three_equal_panels(tmp_path):
    noise = [np.random.default_rng(k).integers(0, 256, (32, 32), np.uint8) for k in range(4)]
    figure = generation_figure(noise, [np.full((4, 6), 200, np.uint8)] * 9, grey())
    assert [text for text in texts(figure) if text.startswith("(")] == [
        "(a) Perlin noise",
        "(b) lesion-like patches",
        "(c) pseudo lesions",
    ]
    sizes = {tuple(np.round(axes.get_position().size * figure.get_size_inches(), 3)) for axes in figure.axes}
    assert len(sizes) == 1
    assert sizes.pop()[0] == pytest.approx((WIDTH - 0.04 - 0.1) / 3, abs=1e-3)
    pixels(figure, tmp_path / "fig5.png")


def test_restoration_figure_shows_the_remaining_error(tmp_path):
    original, restored = grey(1), grey(2)
    rows = [RestoredExample(f"r{k}", "s1", original, grey(3), restored) for k in range(2)]
    figure = restoration_figure(rows)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 8
    np.testing.assert_array_equal(panels[7].images[0].get_array(), restored - original)
    assert panels[7].images[0].get_clim() == (-0.4, 0.4)
    assert texts(figure).count("corrupted") == 1
    pixels(figure, tmp_path / "fig8.png")


@pytest.mark.parametrize("restorers", [1, 2, 3, 5])
@pytest.mark.parametrize("mask", ["some", "none", "all"])
def test_real_figure_for_any_number_of_restorers_and_any_mask(restorers, mask, tmp_path):
    lungs = {"some": grey(4) > 0.5, "none": np.zeros((24, 24), bool), "all": np.ones((24, 24), bool)}[mask]
    restored = {f"r{k}": grey(5 + k) for k in range(restorers)}
    figure = real_figure([RealExample("s1", grey(), lungs, restored)], "covid")
    maps = [axes for axes in figure.axes if axes.images and axes.images[0].get_cmap().name == "RdBu_r"]
    assert len(maps) == restorers
    np.testing.assert_array_equal(maps[-1].images[0].get_array(), restored[f"r{restorers - 1}"] - grey())
    assert figure.axes[0].get_position().x0 >= 0
    assert all(axes.get_position().y0 >= 0 for axes in figure.axes)
    pixels(figure, tmp_path / "fig10.png")


def test_errors_figure_leaves_out_an_empty_kind(tmp_path):
    example = ErrorExample("a-very-long-slice-name-that-must-be-cut", grey(), 0.03, True)
    figure = errors_figure("model", [example], [])
    assert any(text.endswith("\nscore 0.03") and "…" in text for text in texts(figure))
    assert not any("false alarms" in text for text in texts(figure))
    pixels(figure, tmp_path / "errors.png")


def test_album_gives_each_figure_a_file_of_its_own_and_words(tmp_path):
    labels, scores = scored(2)
    scores = {"a/b": scores["c0"], "a b": scores["c1"]}
    bootstrap, comparison = compared(labels, scores)
    album = Album(tmp_path)
    counts = {name: confusion(labels, values) for name, values in scores.items()}
    draw_performance(album, labels, scores, comparison, counts, bootstrap, NAMES, dict.fromkeys(scores, 0.5))
    draw_errors(album, {"a/b": ([], []), "a b": ([ErrorExample("s", grey(), 0.1, True)], [])}, NAMES)
    draw_training(album, [], kind="restorer")
    files = [entry.file for entry in album.entries]
    assert len(files) == len(set(files))
    assert {"figures/confusion-a-b.png", "figures/confusion-a-b-2.png"} <= set(files)
    assert all((tmp_path / file).is_file() for file in files)
    assert all(entry.alt and entry.caption and entry.title for entry in album.entries)
    assert sum(entry.file.startswith("figures/errors") for entry in album.entries) == 1
    words = next(entry.alt for entry in album.entries if "confusion" in entry.file)
    assert f"{counts['a/b'].tp} were called covid" in words


def test_one_class_draws_no_curves(tmp_path):
    scores = {"x": np.linspace(0.1, 0.9, 12)}
    labels = np.ones(12, int)
    bootstrap, comparison = compared(labels, scores)
    album = Album(tmp_path)
    counts = {"x": confusion(labels, scores["x"])}
    draw_performance(album, labels, scores, comparison, counts, bootstrap, NAMES, {"x": 0.5})
    assert {entry.section for entry in album.entries} == {"performance", "confusion"}


def test_single_restorer_puts_all_real_slices_on_one_figure(tmp_path):
    album = Album(tmp_path)
    lungs = grey(4) > 0.5
    draw_real(album, [RealExample(f"s{k}", grey(k), lungs, {"r": grey(9)}) for k in range(3)], "covid")
    assert [entry.file for entry in album.entries] == ["figures/fig10-real-1.png"]


def test_long_names_stay_distinguishable():
    names = [f"plr-perlin-seed{k}-fraction-10-percent" for k in range(12)]
    labels = short_labels(names)
    assert labels[0] == "…seed0…"
    assert len(set(labels)) == 12
    other = ["x" * 40 + "a" + "y" * 40, "z" * 81]
    assert [len(label) for label in short_labels(other)] == [24, 24]
    alike = short_labels(["a" * 30 + "b" * 4 + "c" * 30, "a" * 29 + "d" + "b" * 5 + "e" + "c" * 29], 7)
    assert len(set(alike)) == 2
    assert short_labels(["same-same", "same-same-x"], 6) == ["…same", "…s…e-x"]
    assert short_labels(["short", "names"]) == ["short", "names"]
    assert short_labels(["l" * 30], 11) == ["lllll…lllll"]


@pytest.mark.parametrize("curves", [3, 4])
def test_legend_moves_below_when_there_are_many_curves(curves):
    labels, scores = scored(curves)
    area = dict.fromkeys(scores, Interval(0.8, 0.7, 0.9))
    figure = roc_figure(labels, scores, area, dict.fromkeys(scores, 0.5))
    assert (figure.axes[0].get_legend() is None) == bool(figure.legends) == (curves > 3)


def test_small_helpers():
    styles = {(line_style(k)["color"], str(line_style(k)["linestyle"])) for k in range(28)}
    assert len(styles) == 28
    assert shorten("x" * 50, 11) == "xxxxx…xxxxx"
    assert shorten("short") == "short"
    assert spread(10, 3) == [0, 4, 9]
    assert spread(2, 3) == [0, 1]
    assert spread(5, 0) == []
    assert (listing([]), listing(["a"]), listing(["a", "b", "c"])) == ("", "a", "a, b and c")
    assert file_name("ré/../x y") == "r-..-x-y"
    assert file_name("...") == "figure"
    assert file_name("PLR+") != file_name("PLR")


def test_style_does_not_leak():
    import matplotlib

    before = matplotlib.rcParams["axes.grid"]
    with styled():
        assert matplotlib.rcParams["axes.grid"] is True
    assert matplotlib.rcParams["axes.grid"] == before
