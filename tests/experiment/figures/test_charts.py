"""Charts of an experiment: what is drawn is what was given, and averages agree with scikit-learn and NumPy."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.colors import to_hex
from sklearn.metrics import roc_auc_score

import plr_fast
from plr_fast.evaluation.figures import save
from plr_fast.experiment.evidence.calibration import ReliabilityCurve
from plr_fast.experiment.figures.charts import forest_figure, fractions_figure
from plr_fast.experiment.figures.curves import GRID, reliability_panels, roc_band, roc_panels
from plr_fast.experiment.figures.p_by_m import Setting, methods_by_setting, p_by_m_figure
from plr_fast.experiment.figures.spreads import GREY, INK, Spread, looks, offsets, spoken
from plr_fast.experiment.results import Plan

NAMES = ("RI", "PLR-P", "PLR-G", "Grey forest")
STYLES = looks(NAMES, ("Grey forest",), "RI")


def spread(name, *values, low=math.nan, high=math.nan):
    return Spread(name, np.array(values), low, high, name == "Grey forest")


def dots(axes):
    """The repeats drawn in a panel: (x, y) of each."""
    return [point for line in axes.lines if line.get_marker() == "." for point in zip(*line.get_data(), strict=True)]


def test_no_two_methods_look_alike_and_controls_are_grey_and_dashed():
    assert len({(look.colour, look.marker) for look in STYLES.values()}) == len(NAMES)
    assert STYLES["RI"].colour == INK
    assert STYLES["Grey forest"].colour == GREY
    assert STYLES["Grey forest"].dashes != "-"
    many = looks([f"m{k}" for k in range(20)], ())
    assert len({(look.colour, look.marker) for look in many.values()}) == 20


def test_fractions_figure_shows_every_repeat_the_interval_and_the_baseline():
    methods = {
        "RI": {0.1: spread("RI", 0.6, 0.7, low=0.55, high=0.75), 1.0: spread("RI", 0.8, 0.9)},
        "PLR-P": {0.1: spread("PLR-P", 0.7, math.nan, 0.9), 1.0: spread("PLR-P", 0.9)},
        "Grey forest": {1.0: spread("Grey forest", 0.5, 0.6)},
    }
    figure = fractions_figure(methods, title="AUROC", baseline="RI", styles=STYLES)
    ri, perlin, forest = figure.axes
    assert sorted(round(y, 6) for _, y in dots(ri)) == [0.6, 0.7, 0.8, 0.9]
    assert [line for line in ri.lines if list(line.get_ydata()) == [0.55, 0.75]]
    # Means of the defined values, and the baseline again as a thin line.
    assert [line for line in perlin.lines if len(line.get_xdata()) == 2 and np.allclose(line.get_ydata(), [0.8, 0.9])]
    thin = [line for line in perlin.lines if to_hex(line.get_color()).upper() == INK]
    assert np.allclose(thin[0].get_ydata(), [0.65, 0.85])
    assert all(to_hex(line.get_color()).upper() in (GREY, INK) for line in forest.lines)
    assert [text.get_text() for text in perlin.get_xticklabels()] == ["10", "100"]


def test_forest_fills_markers_only_where_the_interval_leaves_zero_out():
    rows = [
        spread("PLR-P", 0.02, 0.04, 0.06, low=0.01, high=0.07),
        spread("PLR-G", -0.01, 0.02, 0.02, low=-0.02, high=0.04),
        spread("Grey forest", 0.03, 0.07),  # no interval: nothing is said
    ]
    figure = forest_figure([("10 % of the labels", rows)], label="AUROC", styles=STYLES, zero=True)
    (axes,) = figure.axes
    means = {round(float(line.get_xdata()[0]), 6): line for line in axes.lines if line.get_marker() in "os^D"}
    filled = {value: to_hex(line.get_markerfacecolor()).upper() != "#FFFFFF" for value, line in means.items()}
    assert filled == {0.04: True, 0.01: False, 0.05: False}
    low, high = axes.get_xlim()
    assert low < 0 < high
    assert len(dots(axes)) == 8
    assert axes.get_xlabel().startswith("worse")
    turned = forest_figure([("x", rows)], label="Brier", styles=STYLES, zero=True, lower_is_better=True)
    assert turned.axes[0].get_xlabel().startswith("better")


def test_offsets_give_a_repeat_the_same_place_always():
    assert offsets(1, 0.2).tolist() == [0.0]
    assert offsets(3, 0.2).tolist() == [-0.2, 0.0, 0.2]


def test_spoken_values():
    assert spoken(spread("PLR-P", 0.5, 0.7, low=0.4, high=0.8)) == "PLR-P 0.600 (0.400 to 0.800)"
    assert spoken(spread("PLR-P", -0.1), signed=True) == "PLR-P −0.100"
    assert spoken(spread("PLR-P", math.nan)) == "PLR-P undefined"


def test_roc_band_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    repeats = []
    for shift in (0.5, 1.0, 2.0):
        labels = np.arange(400) % 2
        repeats.append((labels, rng.normal(labels * shift, 1).round(1)))  # rounded: ties
    band = roc_band(repeats)
    assert band is not None
    assert band.repeats == 3
    wanted = np.mean([roc_auc_score(labels, scores) for labels, scores in repeats])
    assert np.trapezoid(band.mean, GRID) == pytest.approx(wanted, abs=0.004)
    assert band.mean[-1] == 1.0
    single = [roc_band([one]).mean for one in repeats]
    assert np.allclose(band.deviation, np.std(single, axis=0, ddof=1))


def test_roc_band_of_a_perfect_and_an_inverse_classifier():
    labels = np.array([0, 0, 1, 1])
    perfect = roc_band([(labels, labels * 1.0)])
    assert (perfect.mean == 1).all()
    assert np.isnan(perfect.deviation).all()
    inverse = roc_band([(labels, 1.0 - labels)])
    assert (inverse.mean[:-1] == 0).all()


def test_repeats_of_one_class_have_no_roc_curve():
    labels = np.array([0, 1, 1])
    assert roc_band([(np.zeros(3, int), labels * 1.0)]) is None
    assert roc_band([(np.zeros(3, int), labels * 1.0), (labels, labels * 1.0)]).repeats == 1


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_panels_of_any_number_of_methods_can_be_drawn(count, tmp_path):
    names = [f"a rather long name of method {k}" for k in range(count)]
    styles = looks(names, names[-1:], names[0])
    labels = np.arange(40) % 2
    band = roc_band([(labels, labels + np.arange(40) / 30), (labels, labels * 0.5 + np.arange(40) / 40)])
    figure = roc_panels(dict.fromkeys(names, band), {}, baseline=names[0], styles=styles)
    assert len(figure.axes) == count
    assert figure.get_figwidth() <= 4.81  # as wide as all figures of a report
    save(figure, tmp_path / "roc.png")
    texts = [axes.get_title() for axes in figure.axes]
    assert len(set(texts)) == count


def test_reliability_panel_shows_the_points_and_leaves_undefined_intervals_out():
    curve = ReliabilityCurve(
        np.array([0.1, 0.9]), np.array([0.2, 0.7]), np.array([0.1, math.nan]), np.array([0.3, math.nan]),
        np.array([10, 40]), 3,
    )  # fmt: skip
    (axes,) = reliability_panels({"RI": curve}, {"RI": "ECE 0.100"}, styles=STYLES).axes
    points, bars = axes.collections[1], axes.collections[0]
    assert np.allclose(points.get_offsets(), [[0.1, 0.2], [0.9, 0.7]])
    assert points.get_sizes()[1] > points.get_sizes()[0]
    assert np.allclose(bars.get_segments()[0], [[0.1, 0.1], [0.1, 0.3]])
    assert len(bars.get_segments()[1]) == 0
    assert "ECE 0.100" in [text.get_text() for text in axes.texts]


def plan(*methods):
    return Plan("t", (), (), "RI", (), 0, config=yaml.safe_dump({"methods": list(methods)}))


def perlin(name, count, slices, **rest):
    return {"name": name, "pretrain": {"count": count, "samples_per_epoch": slices, **rest}, "finetune": {"lr": 0.1}}


def test_the_study_is_found_by_what_its_methods_differ_in():
    study = [perlin("a", [15, 15], 464), perlin("b", [1, 30], 464), perlin("c", [15, 15], 1856)]
    others = [{"name": "RI"}, perlin("wide", [60, 60], 464, blend="alpha"), perlin("all", [15, 15], None)]
    assert methods_by_setting(plan(*study, *others)) == {"a": (15, 464), "b": (30, 464), "c": (15, 1856)}
    assert methods_by_setting(plan(*study[:2], *others)) == {}
    assert methods_by_setting(plan(*[{**one, "name": str(k)} for k, one in enumerate([study[0]] * 4)])) == {}
    changed = [{**one, "finetune": {"lr": lr}} for one, lr in zip(study, (0.1, 0.2, 0.3), strict=True)]
    assert methods_by_setting(plan(*changed)) == {}
    assert methods_by_setting(Plan("t", (), (), "RI", (), 0, config="title: x: y")) == {}


def test_the_shipped_study_has_the_papers_points():
    path = Path(plr_fast.__file__).parent / "experiment" / "planning" / "plans" / "p-by-m.yaml"
    found = methods_by_setting(Plan("t", (), (), "RI", (), 0, config=path.read_text(encoding="utf-8")))
    assert sorted(found.values()) == [(p, m * 464) for p in (15, 30, 60) for m in (1, 4, 16)]
    assert all(name == f"P{lesions} M{slices}" for name, (lesions, slices) in found.items())


def test_p_by_m_figure_shows_repeats_means_and_deviations():
    settings = [
        Setting(15, 464, np.array([0.8, 0.9])),
        Setting(30, 464, np.array([0.85, 0.95])),
        Setting(30, 1856, np.array([0.7])),
    ]
    (axes,) = p_by_m_figure(settings, title="AUROC").axes
    assert sorted(round(y, 6) for _, y in dots(axes)) == [0.7, 0.8, 0.85, 0.9, 0.95]
    whiskers = [segment for bars in axes.containers for segment in bars.lines[2][0].get_segments()]
    wanted = np.std([0.8, 0.9], ddof=1)
    assert np.allclose(
        [segment[:, 1] for segment in whiskers], [[0.85 - wanted, 0.85 + wanted], [0.9 - wanted, 0.9 + wanted]]
    )
    assert [text.get_text() for text in axes.get_xticklabels()] == ["15", "30"]
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert labels == ["M = 464", "M = 1,856"]
