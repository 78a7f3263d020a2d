"""Run the benchmarks and write ``benchmarks/RESULTS.md``: `python -m benchmarks [pytest arguments]`."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import plr_fast

HERE = Path(__file__).parent
OURS = "native"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        command = [sys.executable, "-m", "pytest", str(HERE), f"--benchmark-json={results}", "-q", *sys.argv[1:]]
        status = subprocess.run(command, cwd=HERE.parent, check=False).returncode
        if status == 0:
            found = json.loads(results.read_text(encoding="utf-8"))
            (HERE / "RESULTS.md").write_text(document(found), encoding="utf-8")
    return status


def document(results: dict[str, Any]) -> str:
    """Return the results as Markdown: a table for each group, fastest first."""
    groups = defaultdict(list)
    for one in results["benchmarks"]:
        groups[one["group"]].append(row(one))
    parts = [header(results)]
    for name, rows in groups.items():
        ours = next((rate for label, rate, _, _ in rows if OURS in label), None)
        lines = [f"## {name}", "", "| what | median rate | spread | against plr_fast native |", "|---|---:|---:|---:|"]
        for label, rate, unit, spread in sorted(rows, key=lambda entry: -entry[1]):
            ratio = "" if ours is None else f"{rate / ours:.3g}"
            lines.append(f"| {label} | {scaled(rate)} {unit}/s | ±{spread:.0%} | {ratio} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def row(one: dict[str, Any]) -> tuple[str, float, str, float]:
    """Return label, median rate, unit, and half the interquartile range over the median."""
    label = one["name"].removeprefix("test_").partition("[")[0].replace("_", " ")
    parameters = [str(v) for k, v in (one["params"] or {}).items() if k in ("backend", "corruption")]
    stats, extra = one["stats"], one["extra_info"]
    name = " ".join([label, *parameters])
    return name, extra["items"] / stats["median"], extra["unit"], stats["iqr"] / 2 / stats["median"]


def scaled(rate: float) -> str:
    for limit, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if rate >= limit:
            return f"{rate / limit:.3g}{suffix}"
    return f"{rate:.3g} "


def header(results: dict[str, Any]) -> str:
    cpu = results["machine_info"]["cpu"]
    native = next(info.detail for info in plr_fast.backends() if info.name == "native")
    return "\n".join(
        [
            "# Benchmark results",
            "",
            "Made by `python -m benchmarks`; one thread for everybody; all of a table in one run; medians of 7 rounds",
            "after 2 to warm up. Shared machines are noisy: compare within a table, and look at the spread (half the",
            "interquartile range).",
            "",
            f"- {datetime.date.today().isoformat()}, {cpu.get('brand_raw', platform.processor())}",
            f"- plr_fast {plr_fast.__version__}: {native}",
            f"- Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
