"""The machine-readable results: metrics.json, predictions.csv and restoration.csv."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..errors import ConfigError
from .metrics import Confusion, FloatArray, IntArray
from .report import Findings

if TYPE_CHECKING:
    from ..data.store import SliceStore

# Raised when a key of metrics.json changes its meaning or goes away.
FORMAT_VERSION = 1

RESTORATION_COLUMNS = ("id", "group", "restorer", "test_set", "region", "picture", "mse", "psnr", "ssim")


# What an evaluation leaves in its folder.
OUTPUTS = ("metrics.json", "report.html", "predictions.csv", "restoration.csv", "figures")


def check_folder(out: Path) -> None:
    """Refuse a folder whose files an evaluation would mix with its own, or replace.

    Raises:
        ConfigError: ``out`` holds other files and no evaluation, or a ``metrics.json`` of something else.
    """
    found = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if "metrics.json" in found:
        try:
            ours = "plr_fast" in json.loads((out / "metrics.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError):
            ours = False
        if not ours:
            raise ConfigError(
                f"{out / 'metrics.json'} is not from an evaluation; choose another folder for the results"
            )
        return
    foreign = sorted(name for name in found if name not in OUTPUTS and not name.startswith("."))
    if foreign:
        raise ConfigError(
            f"{out} holds other files ({', '.join(foreign[:3])}) and no evaluation; choose a new folder for the results"
        )


def results_json(findings: Findings, confusions: Mapping[str, Confusion], seconds: float) -> dict[str, Any]:
    """Content of metrics.json. Undefined numbers are null with a ``reason`` beside them."""
    bootstrap = findings.bootstrap
    return {
        "format_version": FORMAT_VERSION,
        "plr_fast": __version__,
        "notice": "research only, not for clinical use",
        "created": findings.created,
        "seconds": round(seconds, 2),
        "config": findings.config.to_json(),
        "warnings": list(findings.warnings),
        "store": findings.store.to_json(),
        "environment": dict(findings.environment),
        "bootstrap": None
        if bootstrap is None
        else {
            "resamples": bootstrap.resamples,
            "seed": bootstrap.seed,
            "confidence": bootstrap.confidence,
            "unit": "group",
            "groups": bootstrap.strata,
            "notes": bootstrap.notes(),
        },
        "classifiers": [
            {
                "name": run.name,
                "run": run.facts(),
                "metrics": {
                    key: interval.to_json() for key, interval in findings.comparison.intervals[run.name].items()
                },
                "threshold": findings.thresholds[run.name].to_json(),
                "confusion": confusions[run.name].to_json(),
            }
            for run in findings.classifiers
        ],
        "differences": [
            {
                "first": first,
                "second": second,
                "metrics": {key: difference.to_json() for key, difference in values.items()},
            }
            for (first, second), values in findings.comparison.differences.items()
        ],
        "restorers": [{"name": run.name, "run": run.facts()} for run in findings.restorers],
        "restoration_tests": [
            {"name": test_set.name, "slices": len(test_set), "settings": dict(test_set.settings)}
            for test_set in findings.test_sets
        ],
        "restorations": [result.to_json() for result in findings.restorations],
        "figures": [entry.to_json() for entry in findings.figures],
    }


def predictions_csv(
    store: SliceStore, indices: IntArray, scores: Mapping[str, FloatArray], thresholds: Mapping[str, float]
) -> str:
    """One row for each slice: what it is, and each classifier's score, threshold and call."""
    columns = ["id", "index", "group", "split", "source", "label"]
    for name in scores:
        columns += [f"{name} score", f"{name} threshold", f"{name} called"]

    def rows() -> Iterable[dict[str, object]]:
        for place, index in enumerate(indices):
            row: dict[str, object] = {
                "id": store.ids[index],
                "index": int(index),
                "group": store.groups[index],
                "split": store.splits[index],
                "source": store.sources[index],
                "label": int(store.labels[index]),
            }
            for name, values in scores.items():
                row[f"{name} score"] = f"{values[place]:.9g}"
                row[f"{name} threshold"] = f"{thresholds[name]:.9g}"
                row[f"{name} called"] = int(values[place] >= thresholds[name])
            yield row

    return csv_text(columns, rows())


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """CSV (RFC 4180 quoting, newline ends) with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
