"""The page: everything that an experiment found, in the order in which it should be read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from ..._version import __version__
from ...errors import DataError
from ...evaluation.figures import FigureEntry, listing
from ...files import write_text
from ...pages import content_policy, embed_png, environment
from ..before_after import BeforeAfter
from ..results import CellResult, DatasetInfo, Results
from ..table import Table
from ..tally import cell_warnings, counted, time_spent
from ..writing.known import setting
from .answer import Effect, answers, percent
from .prose import to_html
from .table_parts import check_keys, facts, parts, words

_TEMPLATES = Path(__file__).with_name("templates")
_KINDS = {"paper": "of the paper", "ours": "ours, beyond the paper", "control": "control"}
_SPLITS = {
    "groups": "whole groups",
    "slices": "single slices at random (the paper’s way)",
    "given": "the store’s own, the same in each repeat",
}
_FIGURE_TITLES = {
    "performance": "Results",
    "differences": "Differences",
    "confusion": "Confusion matrices",
    "curves": "Curves",
    "pictures": "Pictures",
    "training": "Training",
}


@dataclass(frozen=True)
class Download:
    """A file beside the report.

    Attributes:
        file: path relative to the report's folder, with forward slashes.
        about: what it holds, in a few words.
    """

    file: str
    about: str


def write_page(
    results: Results,
    out: Path,
    *,
    tables: Sequence[Table] = (),
    figures: Sequence[FigureEntry] = (),
    comparisons: Sequence[BeforeAfter] = (),
    absent: Sequence[str] = (),
    effects: Sequence[Effect] = (),
    warnings: Sequence[str] = (),
    leaks: Sequence[str] = (),
    leak_tables: Sequence[Table] = (),
    checklist: Sequence[Table] = (),
    model_card: str | None = None,
    downloads: Sequence[Download] = (),
    created: str | None = None,
) -> Path:
    """Write ``out/report.html``, one file that holds its pictures and fetches nothing.

    Args:
        results: the experiment; may be unfinished, which the page says.
        out: folder of the report, to which the files of figures, comparisons and downloads are relative.
        tables: the results, in the order in which they are shown.
        figures: grouped by their ``section``, in the order in which sections first occur.
        comparisons: pairs of pictures under a slider (side by side in print and without script).
        absent: figures that could not be made, with the reason, a sentence each.
        effects: paired differences of one metric, against the baseline and, where there are any, against the controls;
            the answer in words is made from them. Made by :func:`~plr_fast.experiment.report.effects.effects`.
        warnings: to be read before the numbers; what single cells warn of and what is missing is added.
        leaks, leak_tables: what test and training data share.
        checklist: reporting checklists.
        model_card: Markdown.
        downloads: files that the page links to; those with the same words stand on one line.
        created: time as text; now (UTC) by default.

    Returns:
        Path of the page.

    Raises:
        DataError: a picture is missing, no PNG, or two of a pair differ in size; a download is not there.
        StorageError: writing failed.
        ValueError: keys of tables are wrong or double, effects are of more than one metric.
    """
    made = created or datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    about = _about_tables(results)
    check_keys([*tables, *leak_tables, *checklist, *about.values()])
    script = _script()
    context: dict[str, Any] = {
        "title": results.plan.title,
        "subtitle": f"{_what(results)} · {made} · plr_fast {__version__}",
        "version": __version__,
        "created": made,
        "policy": content_policy(script),
        "script": Markup(script),
        "warnings": [*_gaps(results), *_left_out(results), *warnings, *cell_warnings(results.cells)],
        "tiles": _tiles(results),
        "leaks": {"paragraphs": list(leaks), "tables": [parts(table) for table in leak_tables]},
        "answers": answers(results.plan, effects),
        "tables": [parts(table) for table in tables],
        "has_paper": any(row.kind == "paper" for table in tables for row in table.rows),
        "figures": _figures(figures, out),
        "absent": list(absent),
        "comparisons": [_comparison(pair, out, number) for number, pair in enumerate(comparisons, start=1)],
        "datasets": parts(about["datasets"]),
        "methods": parts(about["methods"]),
        "time": f"{time_spent(results.cells)}.",
        "config": results.plan.config,
        "file": str(results.plan.facts.get("file") or "").strip(),
        "made": [parts(about[key]) for key in ("settings", "facts") if key in about],
        "checklist": [parts(table) for table in checklist],
        "model_card": Markup(to_html(model_card, name="Model card")) if model_card else None,
        "downloads": _downloads(downloads, out),
    }
    context["sections"] = _sections(context)
    text = environment(_TEMPLATES).get_template("experiment.html.j2").render(context) + "\n"
    target = out / "report.html"
    write_text(target, text)
    return target


def _script() -> str:
    return (_TEMPLATES / "experiment.js").read_text(encoding="utf-8")


def _sections(context: Mapping[str, Any]) -> list[dict[str, str]]:
    titles = (
        ("leaks", "Leaks", bool(context["leaks"]["paragraphs"] or context["leaks"]["tables"])),
        ("answer", "The answer", True),
        ("tables", "Tables", bool(context["tables"])),
        ("figures", "Figures", bool(context["figures"] or context["absent"])),
        ("comparisons", "Before and after", bool(context["comparisons"])),
        ("datasets", "Data sets", True),
        ("methods", "Methods", True),
        ("made", "How it was made", True),
        ("checklist", "Checklist", bool(context["checklist"])),
        ("card", "Model card", bool(context["model_card"])),
        ("downloads", "Downloads", bool(context["downloads"])),
    )
    return [{"id": key, "title": title} for key, title, shown in titles if shown]


def _what(results: Results) -> str:
    plan = results.plan
    sets = counted(len(plan.datasets), "data set")
    return f"{counted(len(plan.methods), 'method')} on {sets}, {counted(len(results.cells), 'classifier')}"


def _tiles(results: Results) -> list[dict[str, str]]:
    plan = results.plan
    fractions = sorted({key.fraction for key in plan.cells}, reverse=True)
    repeats = Counter((key.dataset, key.method, key.fraction) for key in plan.cells)
    fewest, most = (min(repeats.values()), max(repeats.values())) if repeats else (0, 0)
    return [
        {"label": "Baseline", "value": plan.baseline},
        {"label": "Share of labels", "value": ", ".join(f"{100 * one:g}" for one in fractions) + " %"},
        {"label": "Repeats", "value": str(most) if fewest == most else f"{fewest} to {most}"},
        {"label": "Results", "value": f"{len(results.cells):,} of {len(plan.cells):,}"},
    ]


def _gaps(results: Results) -> list[str]:
    """Missing cells, told by method."""
    missing = results.missing
    if not missing:
        return []
    by_method = Counter(key.method for key in missing)
    return [
        f"The experiment is not complete: {len(missing):,} of {len(results.plan.cells):,} results are missing "
        f"({listing([f'{name}: {count}' for name, count in by_method.items()])}). "
        "The same command continues it."
    ]


def _left_out(results: Results) -> list[str]:
    """Methods that the experiment file names and that could not be run."""
    found = results.plan.facts.get("left_out", ())
    return [f"Left out: {one}" for one in found] if isinstance(found, (list, tuple)) else []


def _about_tables(results: Results) -> dict[str, Table]:
    plan = results.plan
    tables = {
        "datasets": words(
            "datasets",
            "Data sets",
            "Splits never part a group, unless it says so.",
            ("Data set", "Negative class", "Positive class", "Slices", "Groups", "A group is a", "Split by"),
            [_dataset_row(dataset) for dataset in plan.datasets],
        ),
        "methods": words(
            "methods",
            "Methods",
            f"All are compared with {plan.baseline}. Controls are no proposals: they show what can be had without.",
            ("Method", "Kind", "What it is"),
            [
                (
                    method.name,
                    _KINDS[method.kind] + (" (the baseline)" if method.name == plan.baseline else ""),
                    method.about,
                )
                for method in plan.methods
            ],
        ),
        "settings": words(
            "labelled",
            "Labelled training slices",
            "Slices and groups that classifiers were fitted to, from the least to the most over the repeats."
            + _counted_in(results.cells),
            ("Data set", "Share of labels", "Slices", "Groups"),
            _labelled_rows(results),
        ),
    }
    # The experiment's file stands below as it was written.
    told = {key: value for key, value in plan.facts.items() if key != "file" and value not in ((), [])}
    if told:
        tables["facts"] = facts(
            "facts", "Versions and machine", "As recorded by the run.", {"seed": plan.seed, **_flat(told)},
            ("What", "Value"),
        )  # fmt: skip
    return tables


def _dataset_row(dataset: DatasetInfo) -> tuple[object, ...]:
    return (
        dataset.name,
        *dataset.class_names,
        dataset.slices,
        dataset.groups,
        dataset.unit,
        _SPLITS[dataset.split_by],
    )


def _labelled_rows(results: Results) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for dataset in results.plan.datasets:
        for fraction in sorted({key.fraction for key in results.plan.cells}, reverse=True):
            cells = results.select(dataset=dataset.name, fraction=fraction)
            if cells:
                slices = _range([cell.train_slices for cell in cells])
                rows.append((dataset.name, percent(fraction), slices, _range([cell.train_groups for cell in cells])))
    return rows


def _counted_in(cells: Sequence[CellResult]) -> str:
    """What a share of the labels is a share of, where that is not slices."""
    if not any(setting(cell, "fraction_by") == "groups" and cell.key.fraction < 1 for cell in cells):
        return ""
    return " A share is of whole groups, at least one of each class, so that the number of slices varies."


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, object]:
    """Nested facts as one level of readable names."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        name = f"{before}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{name}: "))
        else:
            flat[name] = value
    return flat


def _figures(figures: Sequence[FigureEntry], out: Path) -> list[dict[str, Any]]:
    """Sections in the order in which they first occur, each with its pictures."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for entry in figures:
        picture = {
            **embed_png(out / entry.file),
            "alt": entry.alt,
            "title": entry.title,
            "caption": entry.caption,
            "narrow": entry.narrow,
        }
        sections.setdefault(entry.section, []).append(picture)
    return [
        {"title": _FIGURE_TITLES.get(section, _heading(section)), "entries": entries}
        for section, entries in sections.items()
    ]


def _heading(section: str) -> str:
    text = re.sub(r"[-_]+", " ", section).strip()
    return text[:1].upper() + text[1:]


def _comparison(pair: BeforeAfter, out: Path, number: int) -> dict[str, Any]:
    before, after = embed_png(out / pair.before), embed_png(out / pair.after)
    if (before["width"], before["height"]) != (after["width"], after["height"]):
        raise DataError(
            f"pictures to compare differ in size: {out / pair.before} has {before['width']}×{before['height']} pixels, "
            f"{out / pair.after} has {after['width']}×{after['height']}"
        )
    return {
        "id": f"slider-{number}",
        "before": before,
        "after": after,
        "title": pair.title,
        "before_label": pair.before_label,
        "after_label": pair.after_label,
        "alt": pair.alt,
        "caption": pair.caption,
        "small": before["width"] < 320,
    }


def _downloads(files: Sequence[Download], out: Path) -> list[dict[str, Any]]:
    lines: dict[str, list[dict[str, str]]] = {}
    for file in files:
        lines.setdefault(file.about, []).append(_download(file, out))
    return [{"about": about, "files": found} for about, found in lines.items()]


def _download(file: Download, out: Path) -> dict[str, str]:
    path = PurePosixPath(file.file)
    if path.is_absolute() or ".." in path.parts or not (out / path).is_file():
        raise DataError(f"{file.file} is not a file below {out}; the report can link only to such")
    size = (out / path).stat().st_size
    # Quoted, and "./" first: a name with a colon would be read as a scheme.
    return {"href": "./" + quote(str(path)), "name": str(path), "size": _size(size)}


def _size(count: int) -> str:
    if count < 10_000:
        return f"{count:,} bytes"
    return f"{count / 1000:,.0f} kB" if count < 10_000_000 else f"{count / 1e6:,.0f} MB"
