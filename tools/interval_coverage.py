"""How often 95 % intervals hold the truth when repeats share patients and training slices: the evidence behind
plr_fast/experiment/evidence/statistics.py and significance.py.

A data set of 50 patients is drawn from a population; each of J repeats tests 12 of them and trains on the rest. What a
repeat finds is the population's mean, plus what is common to all repeats (they train on much the same slices), plus
its own run, plus the mean over its patients of what is theirs and of what they have with this run.

    python tools/interval_coverage.py [--experiments 1000]

A second table is of repeats that all test the same 20 patients (given splits), the truth being that of other patients.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from plr_fast.experiment.evidence.significance import corrected_t, two_source_t
from plr_fast.experiment.evidence.statistics import mean_of_drawn, percentiles

PATIENTS, TESTED, RESAMPLES = 50, 12, 400
GIVEN = 20  # patients of a given test set


@dataclass(frozen=True)
class World:
    """Standard deviations of what makes results differ, and the number of repeats."""

    name: str
    repeats: int = 10
    patient: float = 0.10
    run: float = 0.03
    both: float = 0.05
    common: float = 0.0


WORLDS = (
    World("10 repeats"),
    World("20 repeats", repeats=20),
    World("3 repeats", repeats=3),
    World("patients differ, runs do not", run=0.0, both=0.0),
    World("runs differ more than patients", run=0.10, patient=0.03),
    World("the same, 3 repeats", repeats=3, run=0.10, patient=0.03),
    World("common training slices matter", common=0.03),
)
GIVEN_WORLDS = tuple(
    World(f"{name}, {repeats} repeats", repeats=repeats, patient=patient, run=run, both=both)
    for name, patient, run, both in (
        ("patients differ more than runs", 0.10, 0.03, 0.05),
        ("patients differ, runs do not", 0.10, 0.0, 0.0),
        ("runs differ more than patients", 0.03, 0.10, 0.05),
    )
    for repeats in (3, 6, 10)
)
GIVEN_WAYS = ("crossed", "t-test over repeats", "runs and patients")
WAYS = ("groups of each repeat", "groups of all", "crossed", "t-test", "corrected t-test")


def intervals(world: World, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Of one experiment, by each of the ways; the truth is 0."""
    patient = rng.normal(0, world.patient, PATIENTS)
    found = np.full((world.repeats, PATIENTS), np.nan)
    tests = [rng.choice(PATIENTS, TESTED, replace=False) for _ in range(world.repeats)]
    common = rng.normal(0, world.common)
    for repeat, tested in enumerate(tests):
        run = common + rng.normal(0, world.run)
        found[repeat, tested] = run + patient[tested] + rng.normal(0, world.both, TESTED)
    means = np.nanmean(found, axis=1)

    each = rng.multinomial(TESTED, np.full(TESTED, 1 / TESTED), size=(RESAMPLES, world.repeats))
    by_repeat = (each * np.stack([found[repeat, tested] for repeat, tested in enumerate(tests)])).sum(axis=2) / TESTED
    counts = rng.multinomial(PATIENTS, np.full(PATIENTS, 1 / PATIENTS), size=RESAMPLES)
    known = np.isfinite(found)
    shared = (counts @ np.where(known, found, 0).T) / np.maximum(counts @ known.T, 1)
    draw = rng.multinomial(world.repeats, np.full(world.repeats, 1 / world.repeats), size=RESAMPLES)
    return [
        percentiles(by_repeat.mean(axis=1), 0.95)[:2],
        percentiles(shared.mean(axis=1), 0.95)[:2],
        percentiles(mean_of_drawn(shared, draw), 0.95)[:2],
        corrected_t(means, 0.0, 0.95)[:2],
        corrected_t(means, TESTED / (PATIENTS - TESTED), 0.95)[:2],
    ]


def given_intervals(world: World, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The same where all repeats test the same patients."""
    found = rng.normal(0, world.patient, GIVEN) + rng.normal(0, world.run, (world.repeats, 1))
    found += rng.normal(0, world.both, found.shape)
    means = found.mean(axis=1)
    counts = rng.multinomial(GIVEN, np.full(GIVEN, 1 / GIVEN), size=RESAMPLES)
    shared = counts @ found.T / GIVEN
    draw = rng.multinomial(world.repeats, np.full(world.repeats, 1 / world.repeats), size=RESAMPLES)
    return [
        percentiles(mean_of_drawn(shared, draw), 0.95)[:2],
        corrected_t(means, 0.0, 0.95)[:2],
        two_source_t(means, float(shared.mean(axis=1).var(ddof=1)), GIVEN - 1, 0.95)[:2],
    ]


def main() -> None:
    """Print a Markdown table of coverage and mean width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=1000, help="simulated for each line (default: 1000)")
    experiments = parser.parse_args().experiments
    table(WORLDS, WAYS, intervals, experiments)
    print()  # noqa: T201
    table(GIVEN_WORLDS, GIVEN_WAYS, given_intervals, experiments)


def table(
    worlds: Sequence[World],
    ways: Sequence[str],
    make: Callable[[World, np.random.Generator], list[tuple[float, float]]],
    experiments: int,
) -> None:
    """A line for each world, a column for each way."""
    print(f"| coverage (mean width) | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}")  # noqa: T201
    for number, world in enumerate(worlds):
        rng = np.random.default_rng(number)
        ends = np.array([make(world, rng) for _ in range(experiments)])  # [E, ways, 2]
        held = ((ends[..., 0] <= 0) & (ends[..., 1] >= 0)).mean(axis=0)
        width = (ends[..., 1] - ends[..., 0]).mean(axis=0)
        cells = [f"{share:.0%} ({size:.3f})" for share, size in zip(held, width, strict=True)]
        print(f"| {world.name} | {' | '.join(cells)} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
