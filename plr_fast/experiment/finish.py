"""The end of an experiment: what came out, on the terminal and on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from .results import CellResult, DatasetInfo, Results


def finish(results: Results, out: Path) -> None:
    """Print a short table for each data set and say where everything is."""
    console = Console()
    for dataset in results.plan.datasets:
        if results.select(dataset=dataset.name):
            console.print(summary_table(results, dataset))
    if results.missing:
        console.print(f"{len(results.missing)} of {len(results.plan.cells)} cells are still missing", highlight=False)
    for sentence in results.plan.facts.get("left_out", ()):
        console.print(f"note: {sentence}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"results: {out / 'cells'}", markup=False, highlight=False, soft_wrap=True)


def summary_table(results: Results, dataset: DatasetInfo) -> Table:
    """Mean and standard deviation over the repeats of AUROC and accuracy, by method and fraction."""
    how = {"groups": "whole groups are split", "slices": "single slices are split", "given": "given splits"}
    title = f"{dataset.name} ({how[dataset.split_by]}): AUROC, accuracy; mean ± sd over repeats (their number)"
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    fractions = sorted({key.fraction for key in results.plan.cells if key.dataset == dataset.name}, reverse=True)
    for fraction in fractions:
        table.add_column(f"{fraction:.0%} of the labels", justify="right")
    for method in results.plan.methods:
        entries = [
            _entry(results.select(dataset=dataset.name, method=method.name, fraction=fraction))
            for fraction in fractions
        ]
        if any(entries):
            table.add_row(method.name, *entries)
    return table


def _entry(cells: Sequence[CellResult]) -> str:
    from sklearn.metrics import roc_auc_score

    if not cells:
        return ""
    areas = [float(roc_auc_score(cell.labels, cell.scores)) for cell in cells]
    rights = [float(np.mean((cell.scores >= cell.threshold) == (cell.labels == 1))) for cell in cells]
    return f"{_mean(areas)}, {_mean(rights)} ({len(cells)})"


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"
