"""The end of an experiment: tables, figures, model card and report in its folder, and the essence on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Printed

from ..console import progress_bar
from ..evaluation.figures import listing
from ..files import write_text
from .engine.leaks import Leaks, read_leaks
from .evidence.similarity import LikenessConfig, similarity
from .evidence.statistics import DatasetStatistics, experiment_statistics
from .figures import NO_REAL_LESIONS, experiment_figures
from .outputs import add_outputs, drop_former_outputs
from .report import Download, effects, write_page
from .results import DatasetInfo, Results
from .table import Table
from .writing.checklist import checklist_markdown, checklist_tables
from .writing.csv_files import write_data
from .writing.leakage_table import leakage_table
from .writing.model_card import model_card
from .writing.tables import all_tables, write_tables

TABLES = "tables"
WRITTEN = ("report.html", "tables", "figures", "model_card.md", "checklist.md")


def finish(results: Results, out: Path, *, lesions: Path | None = None, examples: int = 2, drop: bool = True) -> None:
    """Write everything that is made of the results, and print a short table for each data set.

    Args:
        results: the experiment, finished or not.
        out: its folder. Written: ``report.html``, ``tables/``, ``figures/``, ``model_card.md``, ``checklist.md``;
            nothing while there are no cells.
        lesions: folder of real lesions, for table III and figure 7.
        examples: slices in each kind of picture.
        drop: delete tables and charts that only a former call made, and pictures of slices if this call draws all
            that there can be. False: delete nothing.

    Raises:
        DataError: cells contradict each other, or ``lesions`` is not as it should be.
        StorageError: something cannot be written.
    """
    console = Console()
    if results.cells:
        statistics = experiment_statistics(results)
        _write(results, statistics, out, lesions, examples, drop)
        for dataset in results.plan.datasets:
            if results.select(dataset=dataset.name):
                console.print(summary(statistics[dataset.name], dataset))
    elif former := [name for name in WRITTEN if (out / name).exists()]:
        console.print(
            f"no cell is finished, so no report was made: {listing(former)} in {out} are what an earlier call made of "
            "results that are no longer there",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if results.missing:
        console.print(f"{len(results.missing)} of {len(results.plan.cells)} cells are still missing", highlight=False)
    for sentence in results.plan.facts.get("left_out", ()):
        console.print(f"note: {sentence}", markup=False, highlight=False, soft_wrap=True)
    if results.cells:
        console.print(f"report: {out / 'report.html'}", markup=False, highlight=False, soft_wrap=True)


def summary(statistics: DatasetStatistics, dataset: DatasetInfo) -> Printed:
    """Mean and standard deviation over the repeats of AUROC and accuracy, by method and fraction."""
    how = {"groups": "whole groups are split", "slices": "single slices are split", "given": "given splits"}
    title = f"{escape(dataset.name)} ({how[dataset.split_by]}): AUROC, accuracy; mean ± sd over repeats (their number)"
    table = Printed(title=title, title_justify="left")
    table.add_column("method")
    for fraction in statistics.fractions:
        table.add_column(f"{fraction:.0%} of the labels", justify="right")
    for method in statistics.plan.methods:
        entries = [_entry(statistics, method.name, fraction) for fraction in statistics.fractions]
        if any(entries):
            table.add_row(escape(method.name), *entries)
    return table


def _entry(statistics: DatasetStatistics, method: str, fraction: float) -> str:
    if not statistics.cells(method, fraction):
        return ""
    texts = []
    for measure in ("auroc", "accuracy"):
        found = statistics.summary(method, fraction, measure)
        texts.append(f"{found.mean:.3f}" + (f" ± {found.sd:.3f}" if found.sd == found.sd else ""))
    return f"{', '.join(texts)} ({len(statistics.cells(method, fraction))})"


def _write(
    results: Results,
    statistics: Mapping[str, DatasetStatistics],
    out: Path,
    lesions: Path | None,
    examples: int,
    drop: bool,
) -> None:
    leaks = read_leaks(out)
    told = _sentences(leaks, results)
    tables = all_tables(results, statistics)
    if lesions is not None:
        tables.append(_likeness(lesions, out))
    leak_tables = [leakage_table({one.dataset: one.report for one in leaks})] if leaks else []
    lists = checklist_tables(results, statistics=statistics, leaks=told)
    card = model_card(results, statistics=statistics, leaks=told)
    folder = out / TABLES
    files = write_tables([*tables, *leak_tables], folder)
    data = write_data(results, folder, statistics)
    write_text(out / "model_card.md", card)
    write_text(out / "checklist.md", checklist_markdown(lists))
    drawn = experiment_figures(results, out, lesions=lesions, statistics=statistics, examples=examples)
    write_page(
        results,
        out,
        tables=tables,
        figures=drawn.figures,
        comparisons=drawn.comparisons,
        absent=drawn.absent,
        effects=effects(statistics),
        leaks=told,
        leak_tables=leak_tables,
        checklist=lists,
        model_card=card,
        downloads=_downloads(files, data, [*tables, *leak_tables]),
    )
    pictures = [entry.file for entry in drawn.figures]
    pictures += [file for pair in drawn.comparisons for file in (pair.before, pair.after)]
    written = [*(f"{TABLES}/{path.name}" for path in (*files, *data)), *pictures]
    if drop:
        drop_former_outputs(out, written, pictures=_all_drawn(results, drawn.absent, examples))
    else:
        add_outputs(out, written)


def _all_drawn(results: Results, absent: Sequence[str], examples: int) -> bool:
    """Whether no picture is missing for want of a network, of slices, or of being asked for."""
    shown = [cell for cell in results.cells if cell.key.repeat == 0 and "control" not in cell.facts]
    kept = not results.missing and all("run" in cell.facts for cell in shown)
    return examples > 0 and kept and not set(absent) - {NO_REAL_LESIONS}


def _sentences(leaks: Sequence[Leaks], results: Results) -> list[str]:
    several = len(leaks) > 1
    told = [
        f"{one.dataset}: {sentence}" if several else sentence for one in leaks for sentence in one.report.sentences()
    ]
    splits = {(cell.key.dataset, cell.facts.get("split_sha256")) for cell in results.cells}
    if leaks and len(splits) > len({name for name, _ in splits}):
        told.append("The splits of the first repeat were looked at; those of the others follow the same rule.")
    return told


def _likeness(lesions: Path, out: Path) -> Table:
    with progress_bar() as progress:
        task = progress.add_task("Table III", total=None, note="")
        return similarity(
            LikenessConfig(lesions=lesions, out=out / TABLES),
            step=lambda note, done, total: progress.update(task, completed=done, total=total, note=note),
        ).table


def _downloads(files: Sequence[Path], data: Sequence[Path], tables: Sequence[Table]) -> list[Download]:
    titles = {table.key: table.title for table in tables}
    found = [Download(f"{TABLES}/{path.name}", titles[path.stem]) for path in files]
    found += [Download(f"{TABLES}/{path.name}", "Every cell, every pair, reliability: CSV") for path in data]
    return [*found, Download("model_card.md", "Model card"), Download("checklist.md", "Reporting checklists")]
