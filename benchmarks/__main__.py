"""Run the benchmarks and write the tables."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import environment, report, results

HERE = Path(__file__).parent


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run the benchmarks and write the tables to benchmarks/RESULTS.md. Further arguments go to pytest.",
    )
    parser.add_argument(
        "--only", metavar="PATTERN", help="run a part, chosen as by pytest's -k; prints the tables, RESULTS.md stays"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables there")
    options, others = parser.parse_known_args(arguments)
    output = options.output or (None if options.only else HERE / "RESULTS.md")
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "results.json"
        command = [sys.executable, "-m", "pytest", str(HERE), f"--benchmark-json={document}", "--benchmark-quiet", "-v"]
        command += ["-k", options.only] if options.only else []
        status = subprocess.run([*command, *others], cwd=HERE.parent, check=False).returncode
        if status != 0:
            return status
        found = json.loads(document.read_text(encoding="utf-8"))
    text = report.markdown(results.read(found), environment.lines(found["machine_info"]))
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
