"""All figures of an experiment from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...console import progress_bar
from ...errors import CheckpointError, ConfigError, DataError
from ...evaluation.draw import Album
from ...evaluation.figures import FigureEntry
from ..before_after import BeforeAfter
from ..evidence.statistics import DatasetStatistics, experiment_statistics
from ..results import Results
from .activation_pictures import draw_activations
from .charted import DatasetCharts
from .patches import draw_patches, figure_patches
from .restorations import draw_slices
from .runs import ShownRuns, shown_runs

NO_REAL_LESIONS = "figure 7 shows pseudo lesions only: no folder of real lesions was given"
"""The sentence of ``absent`` that tells of no missing file: figure 7 is there."""


@dataclass
class ExperimentFigures:
    """What was drawn, and what could not be.

    Attributes:
        figures: in the order of the report, with files below the folder that was given.
        comparisons: pairs for sliders.
        absent: a plain sentence for each picture that is missing, with the reason.
    """

    figures: list[FigureEntry] = field(default_factory=list)
    comparisons: list[BeforeAfter] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def experiment_figures(
    results: Results,
    out: Path,
    *,
    lesions: Path | None = None,
    statistics: Mapping[str, DatasetStatistics] | None = None,
    examples: int = 2,
    progress: bool = True,
) -> ExperimentFigures:
    """Draw the result charts and the paper's figures 5 and 7 to 11 into ``out``/figures.

    Pictures need networks and slices that the experiment kept; what is gone is left out and named in ``absent``.

    Args:
        results: the experiment, finished or not.
        out: folder of the report.
        lesions: folder with ``images`` and ``masks`` of real lesions, for figure 7; without it pseudo lesions only.
        statistics: by data set, if they have been made already.
        examples: slices of each kind in figures 8 to 10; 0 for none.
        progress: show a progress bar.

    Raises:
        DataError: cells contradict each other, or ``lesions`` is not as it should be (names the file).
        StorageError: a figure cannot be written.
    """
    album = Album(out)
    made = ExperimentFigures(album.entries)
    found = statistics if statistics is not None else experiment_statistics(results)
    datasets = results.plan.datasets
    several = len(datasets) > 1
    with progress_bar(disable=not progress) as bar:
        task = bar.add_task("Figures", total=2 * len(datasets) + 1, note="")
        for dataset in datasets:
            bar.update(task, note=f"charts of {dataset.name}")
            DatasetCharts(album, results.plan, found[dataset.name], dataset.name if several else "").draw_all()
            bar.advance(task)
        shown: list[ShownRuns] = []
        for dataset in datasets:
            bar.update(task, note=f"pictures of {dataset.name}")
            runs, absent = shown_runs(results, dataset)
            made.absent += absent
            if runs is not None and examples > 0:
                shown.append(runs)
                _pictures(made, album, runs, examples, results.plan.seed, dataset.name if several else "")
            bar.advance(task)
        bar.update(task, note="lesion patches")
        if examples == 0:
            made.absent.append("no pictures of slices were asked for")
        if examples > 0 or lesions is not None:
            _patches(made, album, lesions, shown, results.plan.seed)
        bar.update(task, advance=1, note="")
    return made


def _pictures(made: ExperimentFigures, album: Album, shown: ShownRuns, examples: int, seed: int, about: str) -> None:
    """A network that is damaged costs its pictures, not the report."""
    name = shown.dataset.name
    try:
        if shown.restorers:
            pairs, absent = draw_slices(album, shown, examples=examples, seed=abs(seed), about=about)
            made.comparisons += pairs
            made.absent += absent
        else:
            made.absent.append(f"{name}: figures 5, 8 and 10, as no pretraining that restores slices was kept")
    except (CheckpointError, ConfigError, DataError) as error:
        made.absent.append(f"{name}: restorations (figures 5, 8, 10): {error}")
    try:
        made.absent += draw_activations(album, shown, examples=examples, about=about)
    except (CheckpointError, ConfigError, DataError) as error:
        made.absent.append(f"{name}: activation maps (figure 9): {error}")


def _patches(made: ExperimentFigures, album: Album, lesions: Path | None, shown: list[ShownRuns], seed: int) -> None:
    store = shown[0].store if shown else None
    if lesions is not None:
        draw_patches(album, figure_patches(lesions, store, seed=abs(seed)))
        return
    if store is None:
        made.absent.append("figure 7: neither real lesions nor slices of the experiment are at hand")
        return
    try:
        draw_patches(album, figure_patches(None, store, seed=abs(seed)))
        made.absent.append(NO_REAL_LESIONS)
    except DataError as error:
        made.absent.append(f"figure 7: {error}")
