"""A model card (Mitchell et al. 2019) of a finished experiment: what is known of its models, and what is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..._version import __version__
from ..evidence.significance import against_baseline
from ..evidence.statistics import DatasetStatistics, experiment_statistics
from ..planning.card_facts import CARD_FACTS, card_facts, card_of
from ..results import Results
from ..table import Column, Entry, Row, Table
from .known import NOTHING, known_facts
from .markdown import escape_markdown, table_markdown
from .table_entries import difference_entry, repeats_entry, summary_entry, text_entry
from .tables import section_title, slug

UNKNOWN = "Unknown"

_COLUMNS = (
    Column("method", "Method", numeric=False),
    Column("repeats", "Repeats"),
    Column("auroc", "AUROC", higher_is_better=True),
    Column("difference", "AUROC − baseline"),
    Column("accuracy", "Accuracy", higher_is_better=True),
    Column("brier", "Brier", higher_is_better=False),
    Column("ece", "ECE", higher_is_better=False),
)

# Heading -> lines (what, key of known_facts or None, key of CARD_FACTS or None), answered by what is known.
_BEFORE: Mapping[str, Sequence[tuple[str, str | None, str | None]]] = {
    "Model details": (
        ("Made by", None, "authors"),
        ("Task", "task", None),
        ("Networks", "model", None),
        ("Initialisations", "initialisations", None),
        ("Controls", "controls", None),
        ("Output", "output", None),
        ("Software", "software", None),
        ("Code and weights", None, "code_sharing"),
    ),
    "Intended use": (
        ("Background", None, "background"),
        ("Intended use", None, "intended_use"),
    ),
    "Data": (
        ("Sets", "data", None),
        ("Other slices that encoders learnt from", "encoder_slices", None),
        ("Units", "units", None),
        ("Sources", None, "data_sources"),
        ("Sites", None, "sites"),
        ("Dates", None, "dates"),
        ("Patients", None, "population"),
        ("Scanners and protocols", None, "acquisition"),
        ("Reference standard", None, "reference_standard"),
        ("Licence", None, "data_licence"),
        ("Parts", "partitions", None),
        ("Sizes", "sizes", None),
        ("Positive slices", "events", None),
        ("Preprocessing", "preprocessing", None),
    ),
    "Procedure": (
        ("Question", "goal", None),
        ("Labels", "fractions", None),
        ("Training", "training", None),
        ("Class balance", "imbalance", None),
        ("Which epoch counts", "selection", None),
        ("Measures", "metrics", None),
        ("Uncertainty", "uncertainty", None),
        ("Cost", "hardware", None),
    ),
}
_AFTER: Mapping[str, Sequence[tuple[str, str | None, str | None]]] = {
    "Leaks and warnings": (
        ("Test against training data", "leaks", None),
        ("Warnings of the training runs", "warnings", None),
        ("Not finished or left out", "missing_cells", None),
    ),
    "Ethics": (
        ("Approval and consent", None, "ethics"),
        ("De-identification", None, "deidentification"),
        ("Funding", None, "funding"),
        ("Conflicts of interest", None, "conflicts"),
    ),
}
_ABSENT = {**NOTHING, "warnings": "None", "missing_cells": "Nothing"}


def model_card(
    results: Results,
    *,
    statistics: Mapping[str, DatasetStatistics] | None = None,
    leaks: Sequence[str] = (),
    card: Mapping[str, str] | None = None,
) -> str:
    """Return the card as Markdown.

    Args:
        results: the experiment, finished or not.
        statistics: of its data sets, where they are there already; numbers are those of the tables made from them.
        leaks: sentences of a check of test against training data; empty: "not checked".
        card: what people add, see :data:`~plr_fast.experiment.planning.card_facts.CARD_FACTS`; default: the
            experiment's own.

    Raises:
        ConfigError: unknown keys in ``card``.
        DataError: cells that should be of the same slices are not.
    """
    found = statistics if statistics is not None else experiment_statistics(results)
    told = card_of(results) if card is None else card_facts(card)
    known = known_facts(results, found, leaks)
    lines = [
        f"# Model card: {escape_markdown(results.plan.title)}",
        "",
        "**Research only. Not a medical device, not for clinical use.**",
        "",
        "Written by plr_fast from the results of an experiment. What the results do not hold and nobody has added to "
        "the experiment's file (under `card:`) is said to be unknown.",
    ]
    for heading, entries in _BEFORE.items():
        lines += ["", f"## {heading}", "", *_lines(entries, known, told)]
        if heading == "Intended use":
            lines.append(
                "- **Not for**: diagnosis, triage or any decision about a person; scanners, sites, diseases and slices "
                "other than those of the data below."
            )
    lines += ["", "## Results", "", known.get("performance", "Nothing can be said yet.").rstrip(".") + ".", ""]
    lines += [_results(one, results) for one in found.values() if one.test_sets] or ["No cell is finished.\n"]
    lines += [
        "## Calibration",
        "",
        "Brier score and expected calibration error stand in the table above; 0 is best. Probabilities were not "
        "recalibrated.",
        "",
        "## Subgroups",
        "",
        _or_unknown(told, "subgroups", "Not assessed: the results hold no age, sex, severity, scanner or site."),
    ]
    for heading, entries in _AFTER.items():
        lines += ["", f"## {heading}", "", *_lines(entries, known, told)]
    lines += ["", "## Limits", "", *_limits(results, known, told)]
    lines += ["", "## How to repeat it", "", *_repeat(results, known)]
    return "\n".join(lines) + "\n"


def _lines(
    entries: Sequence[tuple[str, str | None, str | None]], known: Mapping[str, str], told: Mapping[str, str]
) -> list[str]:
    lines = []
    for what, key, field in entries:
        if key is not None:
            text = escape_markdown(known.get(key) or _ABSENT.get(key, UNKNOWN))
        else:
            assert field is not None
            text = _or_unknown(told, field, f"{UNKNOWN} (`card: {field}`: {CARD_FACTS[field]}).")
        lines.append(f"- **{what}**: {text.rstrip('.')}.")
    return lines


def _or_unknown(told: Mapping[str, str], field: str, otherwise: str) -> str:
    return escape_markdown(told[field]) if field in told else otherwise


def _results(one: DatasetStatistics, results: Results) -> str:
    kinds = {method.name: method.kind for method in results.plan.methods}
    differences = {(pair.first, pair.fraction): pair for pair in against_baseline(one, "auroc")}
    rows = []
    for fraction in one.fractions:
        for method in one.methods(fraction):
            summaries = [one.summary(method, fraction, key) for key in ("auroc", "accuracy", "brier", "ece")]
            numbers = [summary_entry(summary) for summary in summaries]
            pair = differences.get((method, fraction))
            difference = Entry("baseline") if pair is None else difference_entry(pair)
            repeats = repeats_entry(summaries[0].judged, summaries[0].planned)
            rows.append(
                Row(
                    (text_entry(method), repeats, numbers[0], difference, *numbers[1:]),
                    "control" if kinds[method] == "control" else "result",
                    section_title(fraction),
                )
            )
    sampling = one.sampling
    table = Table(
        key=f"card-{slug(one.info.name)}",
        title=one.info.name,
        caption=f"Mean ± standard deviation over repeats, {sampling.confidence:.0%} interval in brackets. Controls say "
        "what simpler means reach.",
        columns=_COLUMNS,
        rows=rows,
        notes=one.notes(),
    )
    return table_markdown(table)


def _limits(results: Results, known: Mapping[str, str], told: Mapping[str, str]) -> list[str]:
    lines = []
    for info in results.plan.datasets:
        name = escape_markdown(info.name)
        if info.split_by == "slices":
            lines.append(f"{name}: slices were split at random, so results are inflated by neighbours in training.")
        if info.unit != "patient":
            lines.append(f"{name}: patients are not known; slices of one may lie on both sides of a split.")
    lines.append("No data of another site were used for testing, unless a data set above is one.")
    if told.get("external_data"):
        lines.append(escape_markdown(told["external_data"]))
    if "clusters" in known:
        lines.append(f"{escape_markdown(known['clusters'])}.")
    lines.append(
        escape_markdown(told["limitations"])
        if "limitations" in told
        else f"More limits: for the authors to add (`card: limitations`: {CARD_FACTS['limitations']})."
    )
    return [f"- {line}" for line in lines]


def _repeat(results: Results, known: Mapping[str, str]) -> list[str]:
    lines = [f"- **{what}**: {escape_markdown(known[key])}." for what, key in (
        ("Software", "software"), ("Seeds", "seeds"), ("Hashes", "hashes")
    ) if key in known]  # fmt: skip
    lines.append(f"- This card was written by plr_fast {__version__}.")
    if not results.plan.config:
        return lines
    fence = "```"
    while fence in results.plan.config:
        fence += "`"
    head = ["", "The experiment's file with every value resolved:", ""]
    return [*lines, *head, f"{fence}yaml", results.plan.config.rstrip(), fence]
