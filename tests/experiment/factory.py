"""Experiments out of thin air, for tests of what reads them: scores drawn from two normal distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from plr_fast.experiment.results import (
    CellKey,
    CellResult,
    DatasetInfo,
    MethodInfo,
    Plan,
    Results,
    write_cell,
    write_plan,
)

METHODS = (
    MethodInfo("RI", "paper", "random weights (He et al.)"),
    MethodInfo("PLR-P", "paper", "restores pseudo lesions"),
    MethodInfo("PLR+", "ours", "restores clouds and finds them"),
    MethodInfo("Grey forest", "control", "grey-level statistics and a random forest"),
)
SEPARATION = {"RI": 0.8, "PLR-P": 1.0, "PLR+": 1.6, "Grey forest": 1.2}


def make_results(
    folder: Path,
    *,
    fractions: Sequence[float] = (1.0, 0.1),
    repeats: int = 3,
    groups: int = 12,
    slices: int = 10,
    separation: Mapping[str, float] = SEPARATION,
    datasets: Sequence[str] = ("sars",),
    missing: Sequence[CellKey] = (),
    write: bool = False,
) -> Results:
    """A grid whose methods are apart by ``separation`` (in standard deviations between the classes' logits).

    Each repeat has its own test groups, half of them positive; groups have an offset of their own, so that slices of
    one group are alike. ``write`` fills ``folder`` as an experiment would.
    """
    infos = tuple(
        DatasetInfo(
            name, ("normal", "covid"), 2000, 60, "block", "groups", paper_table="IV" if name == "sars" else None
        )
        for name in datasets
    )
    methods = tuple(method for method in METHODS if method.name in separation)
    keys = tuple(
        CellKey(dataset, method.name, fraction, repeat)
        for dataset in datasets
        for fraction in fractions
        for method in methods
        for repeat in range(repeats)
    )
    plan = Plan("An experiment", methods, infos, "RI", keys, seed=0, config="title: An experiment\n")
    cells = tuple(_cell(key, groups, slices, separation[key.method]) for key in keys if key not in missing)
    if write:
        write_plan(folder, plan)
        for cell in cells:
            write_cell(folder, cell)
    return Results(folder, plan, cells)


def _cell(key: CellKey, groups: int, slices: int, separation: float) -> CellResult:
    rng = np.random.default_rng([key.repeat, len(key.dataset)])  # shared by the methods: they meet the same slices
    labels = np.repeat(np.arange(groups) % 2, slices).astype(np.int8)
    offsets = np.repeat(rng.normal(0, 0.5, groups), slices)
    shared = rng.normal(0, 1, groups * slices)
    own = np.random.default_rng([key.repeat, len(key.method), round(1000 * key.fraction)]).normal(0, 0.5, len(labels))
    logits = (labels - 0.5) * 2 * separation * key.fraction**0.3 + offsets + shared + own
    names = np.array([f"{key.repeat}-block{index // slices:02d}" for index in range(len(labels))])
    return CellResult(
        key=key,
        ids=np.array([f"{key.repeat}-{index:04d}" for index in range(len(labels))]),
        groups=names,
        labels=labels,
        scores=1 / (1 + np.exp(-logits)),
        threshold=0.5,
        seconds=1.5,
        train_slices=round(1400 * key.fraction),
        train_groups=max(2, round(40 * key.fraction)),
        settings_sha256="0" * 64,
        facts={"split_sha256": f"{key.repeat:064d}", "pretrain_seconds": 3.0, "warnings": []},
    )
