"""Paired differences as the answer in words wants them, from the statistics that the tables are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..evidence.significance import PairedDifference, against_baseline, compare
from ..evidence.statistics import MEASURE_BY_KEY, DatasetStatistics
from .answer import Effect


def effects(statistics: Mapping[str, DatasetStatistics], measure: str = "auroc") -> list[Effect]:
    """All methods against the baseline (p-values by Holm), and against the controls; by data set and fraction.

    Pairs without a common repeat are left out.

    Raises:
        ValueError: lower values of ``measure`` are better, which the words would tell the wrong way round.
    """
    if not MEASURE_BY_KEY[measure].higher_is_better:
        raise ValueError(f"lower is better for {measure}: the answer is told in a measure of which higher is better")
    found = []
    for name, one in statistics.items():
        controls = [method.name for method in one.plan.methods if method.kind == "control"]
        pairs = against_baseline(one, measure)
        for fraction in one.fractions:
            for control in controls:
                if control == one.plan.baseline or control not in one.methods(fraction):
                    continue
                pairs += [
                    compare(one, method, control, fraction, measure)
                    for method in one.methods(fraction)
                    if method not in (*controls, one.plan.baseline)
                ]
        found += [_effect(name, pair) for pair in pairs if pair.values]
    return found


def _effect(dataset: str, pair: PairedDifference) -> Effect:
    return Effect(
        dataset,
        pair.fraction,
        pair.first,
        pair.second,
        MEASURE_BY_KEY[pair.measure].title,
        len(pair.values),
        pair.mean,
        _finite(pair.low),
        _finite(pair.high),
        _finite(pair.p_holm),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
