"""The tables of an experiment: in the paper's form, with spreads and intervals, differences, calibration.

Everything comes from :class:`~plr_fast.experiment.results.Results` by the modules
statistics and significance of :mod:`plr_fast.experiment.evidence`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ...files import write_text
from ..evidence.paper import PaperRow, paper_table
from ..evidence.significance import against_baseline, share_of_rest
from ..evidence.statistics import ENOUGH_REPEATS, MEASURE_BY_KEY, DatasetStatistics, Summary, experiment_statistics
from ..results import Results
from ..table import Column, Entry, Row, Table
from .csv_files import table_csv
from .latex import table_latex
from .markdown import table_markdown
from .table_entries import (
    DASH,
    best_entry,
    bootstrap_entry,
    difference_entry,
    mark_best,
    mean_entry,
    p_entry,
    repeats_entry,
    summary_entry,
    text_entry,
    value_entry,
    wins_entry,
)

PAPER_MEASURES = ("accuracy", "precision", "recall", "f1", "paper_auc")
SUMMARY_MEASURES = ("auroc", "paper_auc", "accuracy", "precision", "recall", "f1", "brier", "ece")
COMPARED_MEASURES = ("auroc", "paper_auc", "accuracy")
METHOD = Column("method", "Method", numeric=False)
REPEATS = Column("repeats", "Repeats")


def all_tables(results: Results, statistics: Mapping[str, DatasetStatistics] | None = None) -> list[Table]:
    """Every table of an experiment, data set by data set; of an unfinished one with what there is.

    Args:
        results: from :func:`~plr_fast.experiment.results.read_results`.
        statistics: from :func:`~plr_fast.experiment.evidence.statistics.experiment_statistics`, where these are wanted
            for figures too: the resampling is then done once.

    Raises:
        DataError: cells that should be of the same slices are not; names them.
    """
    found = statistics or experiment_statistics(results)
    tables: list[Table] = []
    for one in found.values():
        if not one.test_sets:
            continue
        tables += [paper_form(one), summary_table(one)]
        tables += [differences_table(one, measure) for measure in COMPARED_MEASURES]
        tables.append(calibration_table(one))
    return tables


def write_tables(tables: Sequence[Table], folder: Path) -> list[Path]:
    """Write each table as ``KEY.csv`` (unrounded), ``KEY.tex`` (for ``\\input``) and ``KEY.md``; return the files.

    Raises:
        ValueError: two tables have the same key.
        StorageError: writing failed.
    """
    keys = [table.key for table in tables]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"tables of equal key would overwrite each other: {', '.join(twice)}")
    written = []
    for table in tables:
        for suffix, text in (("csv", table_csv(table)), ("tex", table_latex(table)), ("md", table_markdown(table))):
            path = folder / f"{table.key}.{suffix}"
            write_text(path, text)
            written.append(path)
    return written


def paper_form(statistics: DatasetStatistics) -> Table:
    """The form of the paper's tables IV and V: highest and average over repeats, with the paper's own rows if the
    data set has some. ``AUROC`` is added; the paper's column AUC is ``paper_auc``."""
    info = statistics.info
    paper = paper_table(info.paper_table) if info.paper_table else None
    measures = [(key, MEASURE_BY_KEY[key].title) for key in (*PAPER_MEASURES, "auroc")]
    columns = [METHOD, REPEATS]
    for key, title in measures:
        columns += [
            Column(f"{key}_highest", "highest", title, higher_is_better=True),
            Column(f"{key}_average", "average", title, higher_is_better=True),
        ]
    rows: list[Row] = []
    for fraction in statistics.fractions:
        theirs = {row.method.casefold(): row for row in (paper.at(fraction) if paper else ())}
        section, complete = [], []
        for method in statistics.methods(fraction):
            summaries = [statistics.summary(method, fraction, key) for key, _ in measures]
            first = summaries[0]
            entries = [text_entry(method), repeats_entry(first.judged, first.planned)]
            for summary in summaries:
                entries += [best_entry(summary), mean_entry(summary)]
            section.append(Row(tuple(entries), _kind(statistics, method), section_title(fraction)))
            complete.append(all(summary.complete for summary in summaries))
            if method.casefold() in theirs:
                section.append(_paper_row(theirs.pop(method.casefold()), [key for key, _ in measures], fraction))
                complete.append(False)
        for row in theirs.values():
            section.append(_paper_row(row, [key for key, _ in measures], fraction))
            complete.append(False)
        rows += mark_best(columns, section, complete)
    notes = [
        "Highest and average of each metric on its own: the highest of a row may come from different repeats, and "
        "grows with their number.",
        "Paper AUC is the balanced accuracy of the hard labels, (TPR + TNR) / 2: that is what the paper prints as AUC. "
        "AUROC is the area under the ROC curve of the scores; the paper has no such number.",
    ]
    if paper:
        positives = float(np.mean([cell.labels.mean() for cell in statistics.test_sets.values()]))
        notes += [
            f"Rows marked paper are printed in its table {paper.name}: {paper.dataset}, its own random splits, three "
            f"repeats, a test set of {paper.positives + paper.negatives} slices of which {paper.prevalence:.0%} are "
            f"positive (here {positives:.0%} on average). They are no comparison of like with like; of its AUC, only "
            "Paper AUC may be held against it.",
        ]
    return Table(
        key=f"{slug(info.name)}-paper-form",
        title=f"{info.name}: highest and average over repeats",
        caption=f"Metrics on the test slices of each repeat, in the form of the paper's tables. {_about(statistics)}",
        columns=columns,
        rows=rows,
        notes=[*notes, *_gaps(statistics), *_note(statistics)],
    )


def summary_table(statistics: DatasetStatistics) -> Table:
    """Mean ± standard deviation over repeats with the crossed bootstrap interval of the mean."""
    info, sampling = statistics.info, statistics.sampling
    columns = [METHOD, REPEATS]
    for key in SUMMARY_MEASURES:
        measure = MEASURE_BY_KEY[key]
        columns.append(Column(key, measure.title, higher_is_better=measure.higher_is_better))
    rows: list[Row] = []
    few = False
    for fraction in statistics.fractions:
        section, complete = [], []
        for method in statistics.methods(fraction):
            summaries = [statistics.summary(method, fraction, key) for key in SUMMARY_MEASURES]
            few |= 0 < summaries[0].judged < ENOUGH_REPEATS
            entries = [
                text_entry(method),
                repeats_entry(summaries[0].judged, summaries[0].planned),
                *map(summary_entry, summaries),
            ]
            section.append(Row(tuple(entries), _kind(statistics, method), section_title(fraction)))
            complete.append(all(summary.complete for summary in summaries))
        rows += mark_best(columns, section, complete)
    notes = []
    if sampling.resamples:
        notes += [
            f"Below each value the {sampling.confidence:.0%} interval of the mean from {sampling.resamples:,} "
            f"resamples: repeats are drawn with replacement, and {_units(statistics)} with replacement within class, "
            f"one draw for all repeats and methods: a {statistics.info.unit} tested in several repeats is not taken "
            "for several.",
            "The standard deviation shows how single repeats (splits, seeds) differ; the interval, how far the mean "
            "is known (it is too narrow where repeats are few and differ much). Overlap of intervals says little of a "
            "difference: the tables of differences do.",
            "ECE of few slices is too high by chance, and each resample adds to that once more: its interval is moved "
            "back by the mean of what resampling added.",
        ]
    if few:
        notes.append(
            f"Rows of fewer than {ENOUGH_REPEATS} repeats: the interval speaks of test {_units(statistics)} only, for "
            "these very trained models."
        )
    return Table(
        key=f"{slug(info.name)}-summary",
        title=f"{info.name}: mean ± standard deviation over repeats",
        caption=f"Metrics on the test slices of each repeat. Lower is better for Brier score and ECE. "
        f"{_about(statistics)}",
        columns=columns,
        rows=rows,
        notes=[*notes, *statistics.notes(), *_gaps(statistics), *_note(statistics)],
    )


def differences_table(statistics: DatasetStatistics, measure: str) -> Table:
    """Every method minus the baseline, repeat by repeat."""
    info, baseline, title = statistics.info, statistics.plan.baseline, MEASURE_BY_KEY[measure].title
    confidence = f"{statistics.sampling.confidence:.0%}"
    q = share_of_rest(statistics)
    columns = [
        METHOD,
        REPEATS,
        Column("difference", f"Difference ({confidence} interval)", higher_is_better=None),
        Column("bootstrap", "Bootstrap interval"),
        Column("wins", "Wins / ties / losses"),
        Column("p", "p"),
        Column("p_holm", "p (Holm)"),
    ]
    kind: Literal["result", "control"]
    rows, family = [], 0
    for one in against_baseline(statistics, measure):
        family += p_entry(one.p).value is not None
        kind = _kind(statistics, one.first)
        entries: list[Entry] = [
            text_entry(one.first),
            repeats_entry(len(one.values), one.planned),
            difference_entry(one),
            bootstrap_entry(one),
            wins_entry(one),
            p_entry(one.p),
            p_entry(one.p_holm),
        ]
        rows.append(Row(tuple(entries), kind, section_title(one.fraction)))
    if q is not None:
        how = (
            f"Interval and p: corrected resampled t-test (Nadeau and Bengio 2003), variance (1/J + q) s² over J "
            f"repeats with q = {q:.3f}, the mean size of a test set over that of the rest. It is shown because repeats "
            "share test and training slices: an ordinary t-test would take them for independent and find too much. "
            "Beside it the paired bootstrap over repeats and test "
            f"{_units(statistics)}, which knows nothing of shared training slices."
        )
    else:
        how = (
            f"Interval and p: t-distribution with two variances added, between repeats (other training runs) and "
            f"between test {_units(statistics)} (bootstrap). All repeats have the same test slices: a t-test over "
            "repeats alone would say nothing of other patients. Beside it the percentiles of the paired bootstrap over "
            "repeats and test groups, which are too narrow when repeats are few."
        )
    return Table(
        key=f"{slug(info.name)}-differences-{slug(measure)}",
        title=f"{info.name}: {title}, difference to {baseline}",
        caption=f"{title} of each method minus that of {baseline} in the same repeat: same labelled slices, same test "
        f"slices. Marked better or worse where the {confidence} interval leaves out 0. {_about(statistics)}",
        columns=columns,
        rows=rows,
        notes=[
            how,
            *(
                [f"p (Holm) is corrected for the {family} comparisons of this table; intervals are not."]
                if family
                else []
            ),
            "Repeats: those that both methods finished; a mean is never taken over repeats of the one alone. With "
            f"fewer than {ENOUGH_REPEATS} nothing can be said.",
        ],
    )


def calibration_table(statistics: DatasetStatistics) -> Table:
    """Brier score, ECE by two binnings, and how far scores are too high on the whole."""
    info = statistics.info
    keys = ("brier", "ece", "ece_width")
    columns = [METHOD, REPEATS]
    columns += [Column(key, MEASURE_BY_KEY[key].title, higher_is_better=False) for key in keys]
    columns.append(Column("excess", "Mean score − share of positives"))
    rows: list[Row] = []
    for fraction in statistics.fractions:
        section, complete = [], []
        for method in statistics.methods(fraction):
            cells = statistics.cells(method, fraction).values()
            summaries = [statistics.summary(method, fraction, key) for key in keys]
            excess = [float(cell.scores.mean() - cell.labels.mean()) for cell in cells if len(cell.labels)]
            entries = [
                text_entry(method),
                repeats_entry(summaries[0].judged, summaries[0].planned),
                *map(summary_entry, summaries),
                _signed(float(np.mean(excess))) if excess else Entry(DASH),
            ]
            section.append(Row(tuple(entries), _kind(statistics, method), section_title(fraction)))
            complete.append(all(summary.complete for summary in summaries))
        rows += mark_best(columns, section, complete)
    prevalences = [float(cell.labels.mean()) for cell in statistics.test_sets.values()]
    constant = float(np.mean([share * (1 - share) for share in prevalences]))
    return Table(
        key=f"{slug(info.name)}-calibration",
        title=f"{info.name}: calibration",
        caption=f"How far scores can be taken for probabilities, mean ± standard deviation over repeats. "
        f"{_about(statistics)}",
        columns=columns,
        rows=rows,
        notes=[
            f"A classifier that always answers with the share of positives would have a Brier score of {constant:.3f} "
            "and an ECE of 0: read calibration beside AUROC.",
            f"ECE: {MEASURE_BY_KEY['ece'].meaning}; {MEASURE_BY_KEY['ece_width'].title}: "
            f"{MEASURE_BY_KEY['ece_width'].meaning}. Intervals as in the summary.",
        ],
    )


def section_title(fraction: float) -> str:
    """``10 % of the labels``."""
    return f"{100 * fraction:g} % of the labels"


def slug(name: str) -> str:
    """``name`` as part of a key, ``[a-z0-9-]+``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("+", "plus")).strip("-") or "data"


def _paper_row(row: PaperRow, keys: Sequence[str], fraction: float) -> Row:
    entries = [text_entry(row.method), Entry(DASH)]
    for key in keys:
        note = "as printed; not a balanced accuracy" if key == "paper_auc" and not row.auc_is_balanced_accuracy else ""
        entries += [
            value_entry(values[key], digits=4, note=note) if key in values else Entry(DASH)
            for values in (row.highest, row.average)
        ]
    return Row(tuple(entries), "paper", section_title(fraction))


def _kind(statistics: DatasetStatistics, method: str) -> Literal["result", "control"]:
    kinds = {info.name: info.kind for info in statistics.plan.methods}
    return "control" if kinds[method] == "control" else "result"


def _signed(value: float) -> Entry:
    entry = value_entry(value)
    return entry if value < 0 else Entry(f"+{entry.text}", entry.value)


def _units(statistics: DatasetStatistics) -> str:
    return {"patient": "patients", "block": "blocks of neighbouring files", "file": "files"}[statistics.info.unit]


def _about(statistics: DatasetStatistics) -> str:
    how = {
        "groups": f"Splits never part {_units(statistics)}",
        "slices": "Random slices: neighbours of test slices are trained on (the paper's way), so results are inflated",
        "given": "One split, given by the store, for all repeats",
    }[statistics.info.split_by]
    return f"{how}."


def _note(statistics: DatasetStatistics) -> list[str]:
    return [statistics.info.note] if statistics.info.note else []


def _gaps(statistics: DatasetStatistics) -> list[str]:
    gaps: list[Summary] = [
        statistics.summary(method, fraction, "accuracy")
        for fraction in statistics.fractions
        for method in statistics.methods(fraction)
    ]
    missing = sum(summary.planned - summary.judged for summary in gaps)
    if not missing:
        return []
    return [
        f"{missing} of {sum(summary.planned for summary in gaps)} cells of this data set are missing: rows that say, "
        "for instance, 7 of 10 repeats are not comparable with full rows, and take no part in the choice of the best."
    ]
