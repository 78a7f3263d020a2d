"""The answer in words: what it says follows from intervals, and it says what takes the shine off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from plr_fast.experiment.evidence.statistics import Sampling, experiment_statistics
from plr_fast.experiment.report import Effect, effects
from plr_fast.experiment.report.answer import answers
from plr_fast.experiment.results import CellKey, DatasetInfo, MethodInfo, Plan

from ..factory import make_results
from .page_parts import auroc

METHODS = (
    MethodInfo("RI", "paper"),
    MethodInfo("PLR-P", "paper"),
    MethodInfo("PLR+", "ours"),
    MethodInfo("Forest", "control"),
)


def plan(**facts) -> Plan:
    dataset = DatasetInfo(**{"name": "CT", "class_names": ("n", "p"), "slices": 10, "groups": 5, "unit": "patient",
                             "split_by": "groups", **facts})  # fmt: skip
    return Plan("t", METHODS, (dataset,), "RI", (), 0)


def effect(
    method: str, low: float | None, high: float | None, *, other="RI", fraction=0.1, repeats=10, p=None
) -> Effect:
    middle = 0.05 if low is None or high is None else (low + high) / 2
    return Effect("CT", fraction, method, other, "AUROC", repeats, middle, low, high, p)


def lead(*effects: Effect) -> str:
    return answers(plan(), effects)[0].lead


def details(*effects: Effect) -> str:
    return " | ".join(f"{name}: {' '.join(some)}" for name, some in answers(plan(), effects)[0].details)


def test_a_winner_is_one_whose_interval_lies_above_zero():
    told = lead(effect("PLR+", 0.01, 0.09), effect("PLR+", -0.01, 0.09, fraction=1.0), effect("PLR-P", -0.03, 0.05))
    assert told == (
        "On CT, PLR+ (with 10 % of the labels) beats RI in AUROC: the 95 % interval of the paired difference lies "
        "above zero. Not shown to be better, at any share of labels: PLR-P."
    )
    both = lead(*(effect(name, 0.01, 0.02, fraction=one) for name in ("PLR+", "PLR-P") for one in (1.0, 0.1)))
    assert both.startswith("On CT, PLR-P (at every share of labels) and PLR+ (at every share of labels) beat RI")


def test_no_winner_is_said_plainly_and_controls_that_win_are_named():
    told = lead(effect("PLR+", -0.01, 0.09), effect("PLR-P", 0.0, 0.05), effect("Forest", 0.02, 0.05, fraction=1.0))
    assert told == (
        "On CT, no method beats RI in AUROC: nowhere does the 95 % interval of a paired difference lie above zero "
        "(compared: PLR-P and PLR+). But the control Forest (with 100 % of the labels) does."
    )
    assert (
        lead(effect("Forest", 0.02, 0.05)) == "On CT, the control Forest (with 10 % of the labels) beats RI in AUROC."
    )
    assert lead(effect("Forest", -0.02, 0.05)) == "On CT, no control beats RI in AUROC."


def test_each_share_tells_better_worse_neither_and_unknown():
    told = details(
        effect("PLR-P", -0.09, -0.01),
        effect("PLR+", 0.01, 0.09),
        effect("Forest", -0.01, 0.03, repeats=7),
        effect("PLR-P", 0.0, 0.2, fraction=1.0),
        effect("PLR+", 0.1, 0.2, fraction=1.0, repeats=2),
    )
    assert told == (
        "With 100 % of the labels (differences with 95 % intervals, 10 repeats): Neither shown to be better nor worse "
        "than RI: PLR-P (+0.100, +0.000 to +0.200); nothing can be said: PLR+ (+0.150, +0.100 to +0.200; 2 repeats). | "
        "With 10 % of the labels (differences with 95 % intervals, 10 repeats): Better than RI: PLR+ (+0.050, +0.010 "
        "to +0.090); worse than RI: PLR-P (−0.050, −0.090 to −0.010). Controls: neither shown to be better nor worse "
        "than RI: Forest (+0.010, −0.010 to +0.030; 7 repeats)."
    )


def test_a_winner_is_held_against_the_controls():
    win = effect("PLR+", 0.01, 0.09)
    control = effect("Forest", 0.02, 0.04)
    beaten = effect("Forest", -0.05, -0.01, other="PLR+")  # given the other way round
    assert "the control" not in details(win, control, beaten)
    level = effect("PLR+", -0.01, 0.05, other="Forest")
    assert "PLR+ is not shown to be better than the control Forest (+0.020, −0.010 to +0.050)." in details(
        win, control, level
    )
    ahead = effect("PLR+", -0.09, -0.05, other="Forest")
    assert "PLR+ is worse than the control Forest (−0.070, −0.090 to −0.050)." in details(win, control, ahead)
    more = effect("Forest", 0.06, 0.08)
    assert "not shown to be better than the control Forest, which gains +0.070 over RI." in details(win, more)
    assert "the control" not in details(win, control), "gains less, and no pair is given"


def test_few_repeats_and_intervals_without_width_say_nothing():
    for some in (effect("PLR+", 0.1, 0.2, repeats=2), effect("PLR+", None, None), effect("PLR+", 0.1, 0.1),
                 effect("PLR+", float("nan"), float("nan"))):  # fmt: skip
        assert lead(some) == (
            "On CT nothing can be said yet on which method is better in AUROC than RI: that takes intervals, and at "
            "least 3 repeats."
        )
        assert "nothing can be said: plr+" in details(some).lower()


def test_equal_in_every_repeat_is_neither_better_nor_worse():
    told = details(effect("PLR+", 0.0, 0.0))
    assert "Neither shown to be better nor worse than RI: PLR+ (+0.000, +0.000 to +0.000)." in told


def test_the_lead_holds_what_takes_the_shine_off_it():
    """A control that does as well, a method that loses, a p-value that correction lifts, repeats that are missing."""
    win, level = effect("PLR+", 0.01, 0.09, p=0.2, repeats=6), effect("PLR+", -0.01, 0.05, other="Forest")
    loss = effect("PLR-P", -0.09, -0.01, repeats=6)
    cells = [CellKey("CT", name, 0.1, repeat) for name in ("RI", "PLR-P", "PLR+") for repeat in range(8)]
    told = answers(replace(plan(), cells=tuple(cells)), [win, level, loss])[0].lead
    assert told == (
        "On CT so far (6 of 8 repeats), PLR+ (with 10 % of the labels) beats RI in AUROC: the 95 % interval of the "
        "paired difference lies above zero. Once corrected for the number of comparisons, this does not hold for PLR+. "
        "Worse than RI: PLR-P (with 10 % of the labels). PLR+ is not shown to be better than the control Forest (with "
        "10 % of the labels)."
    )
    ahead = effect("PLR+", -0.09, -0.05, other="Forest")
    assert lead(win, ahead).endswith("PLR+ is worse than the control Forest (with 10 % of the labels).")


def test_a_p_value_that_does_not_survive_correction_is_told():
    assert "p = 0.12 once corrected" in details(effect("PLR+", 0.01, 0.09, p=0.12))
    assert "p =" not in details(effect("PLR+", 0.01, 0.09, p=0.01), effect("PLR-P", -0.01, 0.09, p=0.6))


def test_what_limits_the_answer():
    def notes(**facts) -> str:
        return " ".join(answers(plan(**facts), [])[0].notes)

    assert notes() == ""
    assert "single slices were split at random, as in the paper" in notes(split_by="slices", unit="block")
    assert "all repeats share one split" in notes(split_by="given")
    assert "Patients of CT are not known: splits keep each block whole" in notes(unit="block")
    assert notes(note="Only men.") == "CT: Only men."


def test_effects_must_be_of_one_metric_and_once():
    with pytest.raises(ValueError, match="not of AUROC and Accuracy"):
        answers(plan(), [effect("PLR+", 0, 1), replace(effect("PLR-P", 0, 1), metric="Accuracy")])
    with pytest.raises(ValueError, match="two effects of RI against PLR"):
        answers(plan(), [effect("PLR+", 0, 1), effect("RI", 0, 1, other="PLR+")])


def test_effects_come_from_the_statistics_of_the_tables(tmp_path):
    results = make_results(tmp_path, repeats=4, separation={"RI": 0.8, "PLR-P": 1.0, "Grey forest": 3.0})
    statistics = experiment_statistics(results, Sampling(resamples=50))
    found = {(one.fraction, one.method, one.other): one for one in effects(statistics)}
    pairs = {("PLR-P", "RI"), ("Grey forest", "RI"), ("PLR-P", "Grey forest")}
    assert set(found) == {(fraction, *pair) for fraction in (1.0, 0.1) for pair in pairs}
    for fraction in (1.0, 0.1):
        cells = [results.select(method=name, fraction=fraction) for name in ("PLR-P", "RI")]
        mean = np.mean([auroc(a) - auroc(b) for a, b in zip(*cells, strict=True)])
        one = found[fraction, "PLR-P", "RI"]
        assert one.difference == pytest.approx(mean)
        assert one.low < mean < one.high
        assert (one.metric, one.repeats, one.dataset) == ("AUROC", 4, "sars")
        assert 0 <= one.p_value <= 1
        assert found[fraction, "PLR-P", "Grey forest"].difference < 0
        assert found[fraction, "PLR-P", "Grey forest"].p_value is None
    assert "But the control Grey forest" in answers(results.plan, list(found.values()))[0].lead
    without = replace(results, cells=tuple(cell for cell in results.cells if cell.key.method != "RI"))
    left = effects(experiment_statistics(without, Sampling(resamples=50)))
    assert {(one.method, one.other) for one in left} == {("PLR-P", "Grey forest")}
    with pytest.raises(ValueError, match="brier"):
        effects(statistics, "brier")
