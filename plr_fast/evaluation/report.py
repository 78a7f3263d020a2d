"""The HTML report: one file that holds its pictures and fetches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._version import __version__
from ..pages import content_policy, embed_png, environment
from .bootstrap import Comparison, GroupBootstrap
from .config import EvaluateConfig
from .facts import StoreFacts
from .figures import FigureEntry, listing
from .metrics import METRICS
from .report_tables import (
    data_table,
    differences_table,
    facts_table,
    performance_table,
    restoration_table,
    runs_table,
)
from .restoration import RestorationResult, RestorationTestSet
from .thresholds import MEASURES, Threshold
from .trained import TrainedRun

_UNITS = {
    "patient": "A group is a patient",
    "block": "A group is a block of consecutive slices, because patients are not known",
    "file": "A group is a source file, because patients are not known",
}

FILES = (
    ("report.html", "this report"),
    ("metrics.json", "all numbers of this report, with intervals, differences, settings and versions"),
    ("predictions.csv", "the score of each classifier for each slice"),
    ("restoration.csv", "MSE, PSNR and SSIM of each slice, region and restorer"),
    ("figures/", "all pictures as PNG"),
)


@dataclass(frozen=True)
class Findings:
    """Everything that an evaluation found, as the report and metrics.json tell it.

    Attributes:
        config, store, environment, created: what was asked for, on what data, where and when (UTC).
        classifiers, restorers: the runs.
        comparison: intervals and differences; empty without classifiers.
        bootstrap: of the classifiers' slices, None without classifiers.
        thresholds: of each classifier.
        test_sets, restorations: of the restorers.
        figures: all pictures.
        warnings: to be read before the numbers.
    """

    config: EvaluateConfig
    store: StoreFacts
    environment: Mapping[str, str]
    created: str
    classifiers: Sequence[TrainedRun]
    restorers: Sequence[TrainedRun]
    comparison: Comparison
    bootstrap: GroupBootstrap | None
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    test_sets: Sequence[RestorationTestSet] = ()
    restorations: Sequence[RestorationResult] = ()
    figures: Sequence[FigureEntry] = ()
    warnings: Sequence[str] = field(default=())


def render(findings: Findings, folder: Path) -> str:
    """The report as HTML text; ``folder`` holds the figures' files, which are embedded.

    Raises:
        DataError: a figure cannot be read.
    """
    template = environment(Path(__file__).with_name("templates")).get_template("report.html.j2")
    return template.render(_context(findings, folder)) + "\n"


def _context(findings: Findings, folder: Path) -> dict[str, Any]:
    pictures = {
        section: [_embed(entry, folder) for entry in findings.figures if entry.section == section]
        for section in ("performance", "differences", "confusion", "curves", "pictures", "training")
    }
    context: dict[str, Any] = {
        "title": findings.config.title,
        "subtitle": _subtitle(findings),
        "version": __version__,
        "created": findings.created,
        "policy": content_policy(),
        "warnings": list(findings.warnings),
        "about": _about(findings),
        "tiles": _tiles(findings),
        "data": _data(findings),
        "performance": _performance(findings, pictures["performance"]) if findings.classifiers else None,
        "differences": _differences(findings, pictures["differences"]) if findings.comparison.differences else None,
        "confusion": pictures["confusion"],
        "curves": pictures["curves"],
        "restoration": _restoration(findings) if findings.restorations else None,
        "pictures": pictures["pictures"],
        "training": pictures["training"],
        "made": _made(findings),
    }
    titles = (
        ("about", "What this is", True),
        ("data", "Data", True),
        ("performance", "Performance", bool(context["performance"])),
        ("differences", "Paired differences", bool(context["differences"])),
        ("confusion", "Confusion matrices", bool(context["performance"])),
        ("curves", "Curves", bool(context["performance"])),
        ("restoration", "Restoration", bool(context["restoration"])),
        ("pictures", "Pictures", bool(context["pictures"])),
        ("training", "Training", bool(context["training"])),
        ("made", "How it was made", True),
    )
    context["sections"] = [{"id": key, "title": title} for key, title, shown in titles if shown]
    return context


def _subtitle(findings: Findings) -> str:
    parts = []
    if findings.classifiers:
        parts.append(_count(len(findings.classifiers), "classifier"))
    if findings.restorers:
        parts.append(_count(len(findings.restorers), "restorer"))
    store = Path(findings.store.path).name
    what = f"{listing(parts)} on the {findings.config.split} split of “{store}”"
    return f"{what} · {findings.created} · plr_fast {__version__}"


def _about(findings: Findings) -> list[str]:
    negative, positive = findings.store.class_names
    paragraphs = [
        "Pseudo lesion restoration (PLR) pastes lesion-like clouds into the lungs of normal chest CT slices and "
        "trains a U-Net to remove them. Its encoder is then fine-tuned on labelled slices."
    ]
    if findings.classifiers:
        paragraphs.append(
            f"The classifiers here tell “{positive}” (positive) from “{negative}” (negative), one slice at a time: "
            f"{listing([run.name for run in findings.classifiers])}."
        )
    if findings.restorers:
        paragraphs.append(
            "The restorers here were trained to undo a corruption: "
            f"{listing([run.name for run in findings.restorers])}."
        )
    return paragraphs


def _tiles(findings: Findings) -> list[dict[str, str]]:
    counts = {count.label: count for count in findings.store.counts if count.split == findings.config.split}
    negative, positive = findings.store.class_names
    tiles = [{"label": "Split", "value": findings.config.split}]
    for label, name in ((0, negative), (1, positive)):
        if label in counts:
            tiles.append({"label": f"Slices, {name}", "value": f"{counts[label].slices:,}"})
    if findings.bootstrap is not None:
        tiles.append({"label": "Groups", "value": f"{findings.bootstrap.groups:,}"})
        given = findings.config.threshold
        tiles.append({"label": "Threshold", "value": f"by {given}" if isinstance(given, str) else f"{given:g}"})
        tiles.append({"label": "Resamples", "value": f"{findings.bootstrap.resamples:,}"})
    return tiles


def _data(findings: Findings) -> dict[str, Any]:
    facts = findings.store
    if facts.shared_groups:
        rule = f"{facts.shared_groups} of its groups have slices in more than one split."
    elif facts.single_groups:
        rule = "Each slice is a group of its own."
    else:
        rule = (
            f"{_UNITS.get(facts.unit, 'A group is what splits do not part')}: all slices of a group stand in one split."
        )
    paragraphs = [
        f"The slice store “{Path(facts.path).name}” holds {facts.slices:,} slices of {facts.size} × {facts.size} "
        f"pixels, 8-bit grey. {rule}"
    ]
    return {"paragraphs": paragraphs, "table": data_table(facts, findings.config.split)}


def _performance(findings: Findings, figures: list[dict[str, Any]]) -> dict[str, Any]:
    assert findings.bootstrap is not None
    bootstrap = findings.bootstrap
    called = _called(findings)
    lead = (
        f"{called} Intervals are "
        f"percentiles of {bootstrap.resamples:,} resamples that draw whole groups within each class, so that slices "
        "of one group stay together."
        if bootstrap.resamples
        else f"{called} No intervals were asked for."
    )
    notes = [
        *bootstrap.notes(),
        "The intervals show the uncertainty that comes from the size of this test set. How results vary between "
        "training runs with other seeds is another matter: compare several runs for that.",
    ]
    return {
        "lead": lead,
        "table": performance_table(findings.comparison.intervals, bootstrap.confidence),
        "figures": figures,
        "terms": [{"title": metric.title, "meaning": metric.meaning} for metric in METRICS],
        "notes": notes if bootstrap.resamples else [],
    }


def _called(findings: Findings) -> str:
    """From which score on a slice is called positive."""
    rule = findings.config.threshold
    if not isinstance(rule, str):
        return f"A slice is called positive when its score is at least {rule:g}."
    measure = MEASURES[rule]
    chosen = [
        f"{name} {threshold.value:.4g} (there {threshold.reached:.3f})"
        for name, threshold in findings.thresholds.items()
    ]
    slices = next(iter(findings.thresholds.values())).slices
    return (
        f"A slice is called positive when its score is at least a threshold with the greatest {measure} on the "
        f"{slices:,} validation slices, chosen for each classifier before it saw this split: {listing(chosen)}."
    )


def _differences(findings: Findings, figures: list[dict[str, Any]]) -> dict[str, Any]:
    assert findings.bootstrap is not None
    shown = len(findings.classifiers) <= 3
    lead = (
        "Each difference is taken on the same resampled slices, which removes what both classifiers find easy or "
        "hard. A difference whose interval excludes 0 is marked; it is evidence about these two trained networks on "
        "this test set, not yet about the methods behind them."
    )
    if not shown:
        lead += f" Shown against {findings.classifiers[0].name}; all pairs are in metrics.json."
    return {
        "lead": lead,
        "table": differences_table(findings.comparison.differences, findings.bootstrap.confidence),
        "figures": figures,
    }


def _restoration(findings: Findings) -> dict[str, Any]:
    tables = []
    for position, test_set in enumerate(findings.test_sets, start=1):
        results = [result for result in findings.restorations if result.test_set == test_set.name]
        if results:
            settings = ", ".join(f"{key} {value}" for key, value in test_set.settings.items())
            tables.append(restoration_table(results, position, f"{len(test_set):,} slices; {settings}."))
    negative = findings.store.class_names[0]
    return {
        "paragraphs": [
            f"“{negative}” slices of the {findings.config.split} split were corrupted once, and every restorer of a "
            "test was given the same pictures. Pseudo lesions come from noise of another seed than the training's. The "
            "corrupted picture itself is the baseline: a network that changes nothing scores the same. A pasted lesion "
            "changes nothing outside the lungs, so there the baseline has no error and a restorer can only do harm.",
            "MSE: lower is better; PSNR and SSIM: higher is better. Grey values run from 0 to 1. Values are means over "
            "slices; below each its 95% bootstrap interval by group. “Its change” is restored − corrupted, paired.",
        ],
        "tables": tables,
    }


def _made(findings: Findings) -> dict[str, Any]:
    settings = {key.replace("_", " "): value for key, value in findings.config.to_json().items()}
    settings["store fingerprint"] = findings.store.fingerprint
    settings["split hash"] = findings.store.split_sha256
    tables = [
        facts_table("table-settings", "Settings of this evaluation", settings, ("Setting", "Value")),
        runs_table([(run.name, run.facts()) for run in (*findings.classifiers, *findings.restorers)]),
        facts_table("table-environment", "Versions and machine", findings.environment, ("What", "Value")),
    ]
    wanted = {"predictions.csv": bool(findings.classifiers), "restoration.csv": bool(findings.restorers)}
    files = [{"name": name, "meaning": meaning} for name, meaning in FILES if wanted.get(name, True)]
    return {"tables": tables, "files": files}


def _embed(entry: FigureEntry, folder: Path) -> dict[str, Any]:
    return {
        **embed_png(folder / entry.file),
        "alt": entry.alt,
        "title": entry.title,
        "caption": entry.caption,
        "narrow": entry.narrow,
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
