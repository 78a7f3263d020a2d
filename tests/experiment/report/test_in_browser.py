"""The page in a browser: accessible, and its tables, slider, switch and print work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def _browser_is_missing() -> str:
    cache = Path(os.environ.get("PLR_FAST_A11Y") or Path.home() / ".cache" / "plr_fast" / "a11y")
    if not shutil.which("node"):
        return "node is not installed"
    if not all((cache / "node_modules" / name).is_dir() for name in ("axe-core", "puppeteer-core")):
        return f"no axe-core and puppeteer-core in {cache}: tools/a11y.sh FILE.html fetches them"
    if not any(
        shutil.which(name) for name in (os.environ.get("CHROMIUM", "chromium"), "chromium-browser", "google-chrome")
    ):
        return "Chromium is not installed"
    return ""


in_browser = pytest.mark.skipif(bool(_browser_is_missing()), reason=_browser_is_missing() or "there")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    cache = os.environ.get("PLR_FAST_A11Y") or str(Path.home() / ".cache" / "plr_fast" / "a11y")
    environment = {**os.environ, "PLR_FAST_A11Y": cache}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


@in_browser
def test_axe_finds_nothing(path):
    done = run(ROOT / "tools" / "a11y.sh", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": 0 violations, ") == 4


@in_browser
def test_axe_would_find_something(path, html):
    """Else the check above could not fail."""
    broken = path.with_name("broken.html")
    broken.write_text(
        re.sub(r'alt="[^"]*"', "", html).replace("--muted: #4b535e", "--muted: #c0c4ca"), encoding="utf-8"
    )
    done = run(ROOT / "tools" / "a11y.sh", broken)
    assert done.returncode == 1
    assert "image-alt" in done.stdout
    assert "color-contrast (serious)" in done.stdout


@in_browser
def test_sorting_slider_switch_and_print_work(path):
    done = run("node", Path(__file__).with_name("page_behaviour.mjs"), path)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["errors"] == []
    assert seen["requests"] == []

    def numbers(state):
        return [[float(one) for one in section if one[0].isdigit()] for section in state["values"]]

    start = numbers(seen["before"])
    assert any(section != sorted(section) for section in start), "or sorting would change nothing"
    assert [len(section) for section in start] == [5, 4]
    for section, down, up in zip(start, numbers(seen["once"]), numbers(seen["twice"]), strict=True):
        ours, paper = section[:-1], section[-1]
        assert down == [*sorted(ours, reverse=True), paper]
        assert up == [*sorted(ours), paper]
    assert seen["thrice"]["values"] == seen["before"]["values"]
    orders = [seen[key]["sort"] for key in ("before", "once", "twice", "thrice")]
    assert orders == [None, "descending", "ascending", None]
    said = [seen[key]["said"] for key in ("once", "twice", "thrice")]
    assert said == [
        "Sorted by AUROC, average, descending.",
        "Sorted by AUROC, average, ascending.",
        "In the original order.",
    ]
    for key in ("once", "twice"):
        assert seen[key]["paper"] == [[False] * 4 + [True]] * 2
        assert seen[key]["sections"] == ["100 % of the labels", "10 % of the labels"]
    for clicked in seen["gaps"]:
        assert clicked[1][3].startswith("–"), "the row without a value is last of ours"
    assert [name.split()[0] for name in seen["words"][0]] == ["Grey", "PLR-P", "PLR+", "RI", "PLR-P"]
    assert seen["paperRows"] == [2, 0, 2]

    first, second = seen["stacked"]
    assert first == second
    assert seen["cuts"][:2] == ["inset(0px 50% 0px 0px)", "inset(0px 30% 0px 0px)"]
    assert seen["valueText"] == "70 % corrupted, 30 % restored"
    assert seen["cuts"][2] == "inset(0px 75% 0px 0px)"
    assert seen["touchCut"] == "inset(0px 10% 0px 0px)"
    assert abs(seen["sticky"]["moved"]) < 3
    assert seen["sticky"]["scrolled"] == 150
    for left, right in (seen["printed"], seen["plain"]["pictures"]):
        assert left["top"] == right["top"]
        assert left["left"] + left["width"] <= right["left"]
    # [unfolded on paper, settings]: checklists are, settings are many pages and are not.
    assert [False, True] in seen["unfolded"]
    assert [True, False] in seen["unfolded"]
    assert all(unfolded != settings for unfolded, settings in seen["unfolded"])
    assert seen["printedCut"] == seen["plain"]["cut"] == "none"
    assert (seen["plain"]["buttons"], seen["plain"]["controls"]) == (0, 0)
