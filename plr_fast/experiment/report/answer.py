"""The answer in a few sentences, made from the numbers: who beats the baseline, who is not shown to, who does as well.

A method *beats* another where the 95 % interval of its paired difference lies above zero. Everything else is told as
what it is: worse, not shown to be better, or too few repeats to say anything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...evaluation.figures import listing
from ..results import DatasetInfo, MethodInfo, Plan

MIN_REPEATS = 3


@dataclass(frozen=True)
class Effect:
    """A paired difference of two methods over the repeats that both have.

    Attributes:
        dataset, fraction: where in the grid.
        method, other: ``difference`` is method − other; positive means that ``method`` is better.
        metric: in words (``AUROC``).
        repeats: pairs.
        difference, low, high: mean and 95 % interval; NaN or None bounds where there is none.
        p_value: corrected for the number of comparisons; None where there is none.
    """

    dataset: str
    fraction: float
    method: str
    other: str
    metric: str
    repeats: int
    difference: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None

    @property
    def known(self) -> bool:
        """Whether the interval says anything: it exists, has a width (but where the methods are equal in every repeat),
        and rests on at least three repeats."""
        return (
            self.low is not None
            and self.high is not None
            and math.isfinite(self.low)
            and math.isfinite(self.high)
            and (self.low < self.high or self.low == self.high == self.difference == 0)
            and self.repeats >= MIN_REPEATS
        )

    @property
    def better(self) -> bool:
        return self.known and self.low is not None and self.low > 0

    @property
    def worse(self) -> bool:
        return self.known and self.high is not None and self.high < 0

    def turned(self) -> Effect:
        """The same, seen from the other method."""
        low = None if self.high is None else -self.high
        high = None if self.low is None else -self.low
        return Effect(
            self.dataset,
            self.fraction,
            self.other,
            self.method,
            self.metric,
            self.repeats,
            -self.difference,
            low,
            high,
            self.p_value,
        )


@dataclass(frozen=True)
class Answer:
    """What came out on one data set.

    Attributes:
        dataset: its name.
        lead: the answer.
        details: for each label fraction its name and its sentences.
        notes: what limits the answer.
    """

    dataset: str
    lead: str
    details: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...] = ()


def percent(fraction: float) -> str:
    """A label fraction in words: ``10 % of the labels``."""
    return f"{100 * fraction:g} % of the labels"


def answers(plan: Plan, effects: Sequence[Effect]) -> list[Answer]:
    """One answer for each data set of the plan.

    Raises:
        ValueError: effects of more than one metric, or twice the same one.
    """
    metrics = sorted({effect.metric for effect in effects})
    if len(metrics) > 1:
        raise ValueError(f"effects must be of one metric, not of {listing(metrics)}")
    table = _Pairs(effects)
    return [_answer(plan, dataset, table) for dataset in plan.datasets]


class _Pairs:
    """Effects by place, whichever way round they were given."""

    def __init__(self, effects: Iterable[Effect]) -> None:
        self._found: dict[tuple[str, float, str, str], Effect] = {}
        for effect in effects:
            for seen in (effect, effect.turned()):
                key = (seen.dataset, seen.fraction, seen.method, seen.other)
                if key in self._found:
                    raise ValueError(f"two effects of {effect.method} against {effect.other} at one place: {key[:2]}")
                self._found[key] = seen

    def get(self, dataset: str, fraction: float, method: str, other: str) -> Effect | None:
        return self._found.get((dataset, fraction, method, other))

    def against(self, dataset: str, other: str) -> list[Effect]:
        return [effect for (where, _, _, base), effect in self._found.items() if where == dataset and base == other]


def _answer(plan: Plan, dataset: DatasetInfo, pairs: _Pairs) -> Answer:
    base = plan.baseline
    kinds = {method.name: method.kind for method in plan.methods}
    found = [effect for effect in pairs.against(dataset.name, base) if effect.method in kinds]
    if not found:
        return Answer(
            dataset.name,
            f"On {dataset.name} no method can be compared with {base} yet: there are no paired results.",
            (),
            _notes(dataset),
        )
    fractions = sorted({effect.fraction for effect in found}, reverse=True)
    judged = [method for method in plan.methods if method.kind != "control" and method.name != base]
    controls = [method for method in plan.methods if method.kind == "control" and method.name != base]
    details = []
    for fraction in fractions:
        here = [effect for effect in found if effect.fraction == fraction]
        most = max(effect.repeats for effect in here)
        sentences = (
            *_compared(here, base, judged, controls, most),
            *_rivals(pairs, here, judged, controls, most),
        )
        details.append((f"With {percent(fraction)} (differences with 95 % intervals, {_repeats(most)})", sentences))
    lead = _lead(dataset.name, base, found, judged, controls, _so_far(plan, found))
    if told := _unbeaten(pairs, found, judged, controls):
        lead = f"{lead} {told}"
    return Answer(dataset.name, lead, tuple(details), _notes(dataset))


def _so_far(plan: Plan, found: list[Effect]) -> str:
    """Words for an answer that the rest of the repeats may change; empty where all of them are there."""
    planned = Counter((key.dataset, key.method, key.fraction) for key in plan.cells)
    short = [
        (effect.repeats, whole)
        for effect in found
        if effect.repeats < (whole := planned[effect.dataset, effect.method, effect.fraction])
    ]
    return " so far ({} of {} repeats)".format(*min(short)) if short else ""


def _lead(
    dataset: str,
    base: str,
    found: list[Effect],
    judged: list[MethodInfo],
    controls: list[MethodInfo],
    so_far: str,
) -> str:
    metric = found[0].metric
    where = f"On {dataset}{so_far}"
    if not any(effect.known for effect in found):
        return (
            f"{where} nothing can be said yet on which method is better in {metric} than {base}: that takes "
            f"intervals, and at least {MIN_REPEATS} repeats."
        )
    compared = {effect.method for effect in found}
    wins = {
        method.name: _places([effect for effect in found if effect.method == method.name])
        for method in (*judged, *controls)
        if any(effect.better for effect in found if effect.method == method.name)
    }
    names = [method.name for method in judged if method.name in compared]
    winners = [f"{name} ({wins[name]})" for name in names if name in wins]
    others = [name for name in names if name not in wins]
    also = [f"{control.name} ({wins[control.name]})" for control in controls if control.name in wins]
    parts = []
    if winners:
        parts.append(
            f"{where}, {listing(winners)} {'beats' if len(winners) == 1 else 'beat'} {base} in {metric}: the 95 % "
            "interval of the paired difference lies above zero."
        )
    elif names:
        parts.append(
            f"{where}, no method beats {base} in {metric}: nowhere does the 95 % interval of a paired difference "
            f"lie above zero (compared: {listing(names)})."
        )
    if also:
        one = len(also) == 1
        who = f"the control{'' if one else 's'} {listing(also)}"
        if winners:
            parts.append(f"So {'does' if one else 'do'} {who}.")
        elif names:
            parts.append(f"But {who} {'does' if one else 'do'}.")
        else:
            parts.append(f"{where}, {who} {'beats' if one else 'beat'} {base} in {metric}.")
    elif not names:
        parts.append(f"{where}, no control beats {base} in {metric}.")
    weak = [name for name in wins if not any(effect.method == name and _survives(effect) for effect in found)]
    if weak:
        parts.append(f"Once corrected for the number of comparisons, this does not hold for {listing(weak)}.")
    losses = {name: [effect for effect in found if effect.method == name and effect.worse] for name in others}
    worse = [f"{name} ({_with([effect.fraction for effect in losses[name]])})" for name in others if losses[name]]
    if worse:
        parts.append(f"Worse than {base}: {listing(worse)}.")
    rest = [name for name in others if not losses[name]]
    if winners and rest:
        several = len({effect.fraction for effect in found}) > 1
        parts.append(f"Not shown to be better{', at any share of labels' if several else ''}: {listing(rest)}.")
    return " ".join(parts)


def _survives(effect: Effect) -> bool:
    """Whether a method is better even by the corrected p-value, where there is one."""
    return effect.better and (effect.p_value is None or effect.p_value < 0.05)


def _unbeaten(pairs: _Pairs, found: list[Effect], judged: list[MethodInfo], controls: list[MethodInfo]) -> str:
    """Which winners do not beat every control, in a sentence each; figures stand with the shares of labels."""
    sentences = []
    for method in judged:
        worse_at: dict[str, list[float]] = {}
        open_at: dict[str, list[float]] = {}
        for gain in found:
            if gain.method == method.name and gain.better:
                here = [one for one in found if one.fraction == gain.fraction]
                for places, some in zip((worse_at, open_at), _as_good(pairs, gain, here, controls), strict=True):
                    for control in some:
                        places.setdefault(control, []).append(gain.fraction)
        for words, places in (("worse than", worse_at), ("not shown to be better than", open_at)):
            names = [f"{name} ({_with(fractions)})" for name, fractions in places.items()]
            if names:
                noun = "control" if len(names) == 1 else "controls"
                sentences.append(f"{method.name} is {words} the {noun} {listing(names)}.")
    return " ".join(sentences)


def _places(effects: list[Effect]) -> str:
    """At which shares of labels a method beats the baseline, of those at which it was compared."""
    won = sorted((effect.fraction for effect in effects if effect.better), reverse=True)
    if len(won) == len(effects) > 1:
        return "at every share of labels"
    return _with(won)


def _with(fractions: Iterable[float]) -> str:
    """``with 30 and 10 % of the labels``."""
    return f"with {listing([f'{100 * fraction:g}' for fraction in sorted(fractions, reverse=True)])} % of the labels"


def _compared(
    found: list[Effect], base: str, judged: list[MethodInfo], controls: list[MethodInfo], most: int
) -> tuple[str, ...]:
    """Who is better, worse, not shown to be either, unknown: at one fraction, controls after the others."""
    sentences = []
    for methods, who in ((judged, ""), (controls, "Controls: ")):
        mine = [effect for method in methods for effect in found if effect.method == method.name]
        groups = (
            (f"better than {base}", [effect for effect in mine if effect.better]),
            (f"worse than {base}", [effect for effect in mine if effect.worse]),
            (
                f"neither shown to be better nor worse than {base}",
                [effect for effect in mine if effect.known and not effect.better and not effect.worse],
            ),
            ("nothing can be said", [effect for effect in mine if not effect.known]),
        )
        told = [
            f"{words}: {listing([f'{effect.method} {_numbers(effect, most)}' for effect in some])}"
            for words, some in groups
            if some
        ]
        if told:
            text = who + "; ".join(told) + "."
            sentences.append(text[0].upper() + text[1:])
    return tuple(sentences)


def _rivals(
    pairs: _Pairs, found: list[Effect], judged: list[MethodInfo], controls: list[MethodInfo], most: int
) -> tuple[str, ...]:
    """For each method that beats the baseline: the controls that do as well or better."""
    own = {effect.method: effect for effect in found}
    sentences = []
    for method in judged:
        gain = own.get(method.name)
        if gain is None or not gain.better:
            continue
        for words, some in zip(
            ("worse than", "not shown to be better than"), _as_good(pairs, gain, found, controls), strict=True
        ):
            told = [
                f"{name}, which gains {_signed(own[name].difference)} over {gain.other}"
                if between is None
                else f"{name} {_numbers(between, most)}"
                for name, between in some.items()
            ]
            if told:
                noun = "control" if len(told) == 1 else "controls"
                sentences.append(f"{method.name} is {words} the {noun} {listing(told)}.")
    return tuple(sentences)


def _as_good(
    pairs: _Pairs, gain: Effect, found: list[Effect], controls: list[MethodInfo]
) -> tuple[dict[str, Effect | None], dict[str, Effect | None]]:
    """Controls that the winner ``gain.method`` is worse than, and those it is not shown to be better than, with the
    paired difference to them; None where there is none, and the control gains no less over the baseline."""
    own = {effect.method: effect for effect in found}
    ahead: dict[str, Effect | None] = {}
    level: dict[str, Effect | None] = {}
    for control in controls:
        between = pairs.get(gain.dataset, gain.fraction, gain.method, control.name)
        if between is not None and between.worse:
            ahead[control.name] = between
        elif between is not None and not between.better:
            level[control.name] = between
        elif between is None and control.name in own and own[control.name].difference >= gain.difference:
            level[control.name] = None
    return ahead, level


_PLURAL = {"patient": "patients", "block": "blocks of neighbouring files", "file": "files"}


def _notes(dataset: DatasetInfo) -> tuple[str, ...]:
    notes = []
    if dataset.split_by == "slices":
        notes.append(
            f"On {dataset.name} single slices were split at random, as in the paper: neighbours of test slices were "
            "trained on, so scores are higher than new patients would give."
        )
    elif dataset.split_by == "given":
        notes.append(
            f"On {dataset.name} all repeats share one split: they differ in training only. Other test "
            f"{_PLURAL[dataset.unit]} are accounted for by drawing those of the one test set anew; what these have in "
            "common stays unseen."
        )
    if dataset.split_by != "slices" and dataset.unit != "patient":
        notes.append(
            f"Patients of {dataset.name} are not known: splits keep each {dataset.unit} whole, but slices of one "
            "patient may still be on both sides."
        )
    if dataset.note:
        notes.append(f"{dataset.name}: {dataset.note}")
    return tuple(notes)


def _numbers(effect: Effect, most: int) -> str:
    """Difference, its interval, and what is out of the common: fewer repeats, a p-value that does not survive."""
    inside = [_signed(effect.difference)]
    if effect.low is not None and effect.high is not None and math.isfinite(effect.low) and math.isfinite(effect.high):
        inside[0] += f", {_signed(effect.low)} to {_signed(effect.high)}"
    if effect.repeats != most:
        inside.append(_repeats(effect.repeats))
    if effect.p_value is not None and (effect.better or effect.worse) and effect.p_value >= 0.05:
        inside.append(f"p = {effect.p_value:.2f} once corrected for the number of comparisons")
    return f"({'; '.join(inside)})"


def _repeats(number: int) -> str:
    return f"{number} repeat{'' if number == 1 else 's'}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
