"""What a page is made of, for tests: tables, pictures, pairs, effects, from made-up scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import t
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from plr_fast.evaluation.figures import FigureEntry
from plr_fast.experiment.before_after import BeforeAfter
from plr_fast.experiment.report import Download, Effect
from plr_fast.experiment.report.answer import percent
from plr_fast.experiment.results import CellKey, CellResult, Results
from plr_fast.experiment.table import Column, Entry, Row, Table

ODD = "a<b>&\"c'{{7*7}}</script><script>alert(1)</script>"
LOST = CellKey("sars", "PLR+", 0.1, 0)


def auroc(cell: CellResult) -> float:
    return float(roc_auc_score(cell.labels, cell.scores))


def accuracy(cell: CellResult) -> float:
    return float(accuracy_score(cell.labels, cell.scores >= cell.threshold))


def f1(cell: CellResult) -> float:
    return float(f1_score(cell.labels, cell.scores >= cell.threshold))


METRICS = (("AUROC", auroc), ("Accuracy", accuracy), ("F1", f1))


def results_table(results: Results) -> Table:
    """Highest and average, the form of tables IV and V, with a row of the paper's in each section."""
    columns = [
        Column("method", "Method", numeric=False),
        Column("repeats", "Repeats"),
        *(
            Column(f"{name.lower()}_{kind}", kind, group=name, higher_is_better=None if kind == "sd" else True)
            for name, _ in METRICS
            for kind in ("highest", "average", "sd")
        ),
    ]
    rows = []
    for fraction in sorted({key.fraction for key in results.plan.cells}, reverse=True):
        for method in results.plan.methods:
            cells = results.select(method=method.name, fraction=fraction)
            entries = [Entry(method.name), Entry(str(len(cells)), float(len(cells)))]
            for _, metric in METRICS:
                values = [metric(cell) for cell in cells]
                if values:
                    told = (max(values), float(np.mean(values)), float(np.std(values)))
                    entries += [Entry(f"{value:.3f}", value) for value in told]
                else:
                    entries += [Entry("–", note="no result")] * 3
            rows.append(Row(entries, "control" if method.kind == "control" else "result", percent(fraction)))
        given = [Entry("PLR-P"), Entry("3", 3.0), *(Entry(f"{one:.4f}", one) for one in (0.9873, 0.9762)), Entry("–")]
        rows.append(Row([*given, *([Entry("–", note="not printed")] * 6)], "paper", percent(fraction)))
    return Table(
        "highest-and-average",
        "Highest and average over the repeats",
        "In the form of the paper’s table IV.",
        columns,
        rows,
        notes=("Higher is better, but for sd.",),
    )


def effects(results: Results, *, controls: bool = True) -> list[Effect]:
    """Paired differences in AUROC with t intervals."""
    plan = results.plan
    others = [plan.baseline, *(one.name for one in plan.methods if controls and one.kind == "control")]
    found = []
    for dataset in plan.datasets:
        for fraction in sorted({key.fraction for key in plan.cells}):
            for place, other in enumerate(others):
                for method in plan.methods:
                    if method.name in others[: place + 1]:
                        continue
                    first = results.select(dataset=dataset.name, method=method.name, fraction=fraction)
                    second = results.select(dataset=dataset.name, method=other, fraction=fraction)
                    if not first or not second:
                        continue
                    pairs = np.array([auroc(a) - auroc(b) for a, b in zip(first, second, strict=True)])
                    half = t.ppf(0.975, len(pairs) - 1) * pairs.std(ddof=1) / len(pairs) ** 0.5
                    mean = float(pairs.mean())
                    found.append(
                        Effect(
                            dataset.name,
                            fraction,
                            method.name,
                            other,
                            "AUROC",
                            len(pairs),
                            mean,
                            mean - half,
                            mean + half,
                        )
                    )
    return found


def differences_table(found: list[Effect]) -> Table:
    rows = []
    for effect in found:
        mark: Any = "better" if effect.better else "worse" if effect.worse else ""
        entry = Entry(
            f"{effect.difference:+.3f}".replace("-", "−"),
            effect.difference,
            effect.low,
            effect.high,
            f"{effect.low:+.3f} to {effect.high:+.3f}".replace("-", "−"),
            mark,
        )
        rows.append(Row((Entry(f"{effect.method} − {effect.other}"), entry), section=percent(effect.fraction)))
    columns = (Column("pair", "Pair", numeric=False), Column("auroc", "AUROC", higher_is_better=True))
    return Table("differences", "Paired differences", "Over the repeats, with 95 % intervals.", columns, rows)


def pictures(out: Path) -> tuple[list[FigureEntry], list[BeforeAfter]]:
    """A chart-like picture, a narrow one, and a pair of made-up slices, as PNG files below ``out``."""
    rng = np.random.default_rng(0)
    (out / "figures").mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    clean = 40 + 60 * (np.hypot(x * 1.2, y) < 0.9) - 80 * (np.hypot((np.abs(x) - 0.4) * 2.4, y) < 0.6)
    cloud = clean + 90 * np.exp(-((x - 0.4) ** 2 + (y - 0.1) ** 2) * 40)
    save = {
        "chart": rng.uniform(200, 255, (300, 480)),
        "narrow": rng.uniform(180, 255, (200, 320)),
        "a": cloud,
        "b": clean,
    }
    for name, pixels in save.items():
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out / "figures" / f"{name}.png")
    figures = [
        FigureEntry(
            "figures/chart.png", "performance", "Score by share of labels", "Dots are repeats.", "A grey field."
        ),
        FigureEntry(
            "figures/narrow.png", "curves", "Reliability", "Below the line: too sure.", "Grey noise.", narrow=True
        ),
    ]
    pairs = [
        BeforeAfter(
            "figures/a.png",
            "figures/b.png",
            "PLR-P on a slice with a pseudo lesion",
            "corrupted",
            "restored",
            "A chest slice with a bright cloud in the right lung.",
            "The cloud goes; the vessels stay.",
        ),
        BeforeAfter(
            "figures/b.png", "figures/a.png", "The other way round", "restored", "corrupted", "The same slice."
        ),
    ]
    return figures, pairs


CARD = """# Model card

Trained on **made-up** scores.

### Data

| Split | Slices |
|---|---|
| train | 10 |
| test | 5 |

## Use

Not for clinical use. <script>alert(1)</script> ![x](http://example.org/x.png) [bad](javascript:alert(1))
"""


def everything(results: Results, out: Path) -> dict[str, Any]:
    """All arguments of ``write_page`` beside the first two."""
    figures, pairs = pictures(out)
    (out / "tables").mkdir(exist_ok=True)
    (out / "tables" / "a name#1.csv").write_text("x\n1\n", encoding="utf-8")
    (out / "tables" / "a name#1.tex").touch()
    (out / "cells.csv").touch()
    found = effects(results)
    check = Table(
        "claim",
        "CLAIM, 2024 update",
        "What the run can fill in.",
        (Column("number", "Item"), Column("what", "What", numeric=False), Column("where", "Answer", numeric=False)),
        [
            Row(
                (Entry("1", 1.0), Entry("Title names the method"), Entry("for the authors to fill: title")),
                section="Title",
            ),
            Row(
                (Entry("10", 10.0), Entry("How data were split"), Entry("by groups, see Data sets")), section="Methods"
            ),
            Row((Entry("9", 9.0), Entry("Where data come from"), Entry("unknown")), section="Methods"),
        ],
    )
    leak = Table(
        "leaks",
        "What splits share",
        "Slices of the test split whose like is in training.",
        (Column("data", "Data set", numeric=False), Column("near", "Near duplicates")),
        [Row((Entry(dataset.name), Entry("2", 2.0))) for dataset in results.plan.datasets],
    )
    return {
        "tables": [results_table(results), differences_table([one for one in found if one.other == "RI"])],
        "figures": figures,
        "comparisons": pairs,
        "effects": found,
        "warnings": ["The window of Hounsfield units is a guess."],
        "leaks": ["2 test slices have a near duplicate in training."],
        "leak_tables": [leak],
        "checklist": [check],
        "model_card": CARD,
        "downloads": [
            Download("tables/a name#1.csv", "a table"),
            Download("tables/a name#1.tex", "a table"),
            Download("cells.csv", "every cell"),
        ],
        "absent": ["Figure 9: no run was kept."],
        "created": "2026-01-02 03:04 UTC",
    }
