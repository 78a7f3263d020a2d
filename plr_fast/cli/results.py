"""What an evaluation prints on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ..evaluation import METRICS, EvaluationResult
from ..evaluation.restoration import REGIONS

SHOWN = ("accuracy", "precision", "recall", "f1", "auroc", "paper_auc")
MOST_RESTORATIONS = 4


def print_results(result: EvaluationResult) -> None:
    """Print the classifiers' metrics with intervals, the restorers' errors, warnings, and where the report is."""
    console = Console()
    if result.metrics:
        console.print(classifier_table(result))
    for name, threshold in result.thresholds.items():
        if threshold.rule is not None:
            text = f"threshold of {name}: {threshold}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    if result.restorations:
        console.print(restorer_table(result))
    for warning in result.warnings:
        console.print(f"note: {warning}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"report: {result.report}", markup=False, highlight=False, soft_wrap=True)


def classifier_table(result: EvaluationResult) -> Table:
    titles = {info.key: info.title for info in METRICS}
    table = Table(title="classifiers: value, 95 % interval (groups resampled)", title_justify="left")
    table.add_column("metric")
    for name in result.metrics:
        table.add_column(name, justify="right")
    for key in SHOWN:
        cells = []
        for name, values in result.metrics.items():
            text = f"{values[key].value:.3f}" if values[key].defined else "undefined"
            interval = result.comparison.intervals.get(name, {}).get(key)
            if interval is not None and interval.low == interval.low:
                text += f"  {interval.low:.3f} – {interval.high:.3f}"
            cells.append(text)
        table.add_row(titles[key], *cells)
    return table


def restorer_table(result: EvaluationResult) -> Table:
    """Errors by region; of many test sets (--cross-corruptions) only those of the altered pixels."""
    regions = REGIONS if len(result.restorations) <= MOST_RESTORATIONS else ("altered",)
    title = "restoration: mean squared error, lower is better"
    if len(regions) < len(REGIONS):
        title += " (other regions: see the report)"
    table = Table(title=title, title_justify="left")
    for title in ("restorer", "test set", "region"):
        table.add_column(title)
    for title in ("corrupted", "restored"):
        table.add_column(title, justify="right")
    for one in result.restorations:
        for region in regions:
            measures = one.summary[region]
            values = [f"{measures['mse'][source].value:.5f}" for source in ("corrupted", "restored")]
            table.add_row(one.restorer, one.test_set, region, *values)
    return table
