"""The page of an experiment: complete, accessible, self-contained, honest in words, and it works in a browser."""

from __future__ import annotations

import base64
import hashlib
import html as html_words
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from plr_fast.errors import DataError
from plr_fast.experiment.before_after import BeforeAfter
from plr_fast.experiment.evidence.statistics import Sampling, experiment_statistics
from plr_fast.experiment.report import Download, Effect, effects, write_page
from plr_fast.experiment.report.answer import answers
from plr_fast.experiment.report.prose import to_html
from plr_fast.experiment.results import CellKey, DatasetInfo, MethodInfo, Plan
from plr_fast.experiment.table import Table

from .factory import make_results
from .page_parts import auroc, everything

ROOT = Path(__file__).parents[2]
ODD = "a<b>&\"c'{{7*7}}</script><script>alert(1)</script>"
LOST = CellKey("sars", "PLR+", 0.1, 0)


class Reader(HTMLParser):
    """A page as a tree of (tag, attributes, text inside), strict about nesting."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.texts: list[str] = []
        self.open: list[int] = []
        self.feed(text)
        assert not self.open, f"unclosed: {[self.elements[place][0] for place in self.open]}"

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"double attribute in {tag}"
        self.elements.append((tag, dict(attrs), tuple(self.elements[place][0] for place in self.open)))
        self.texts.append("")
        if tag not in self.VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, tag):
        assert self.elements[self.open.pop()][0] == tag

    def handle_data(self, data):
        for place in self.open:
            self.texts[place] += data

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def text_of(self, tag):
        return [
            " ".join(text.split()) for (name, _, _), text in zip(self.elements, self.texts, strict=True) if name == tag
        ]


def write(out: Path) -> Path:
    """The page of an experiment with odd names and missing cells, with all that a page can have."""
    missing = tuple(replace(LOST, repeat=repeat) for repeat in range(5))
    results = make_results(out, repeats=5, missing=missing)
    methods = tuple(
        replace(one, about=f"{one.about} {ODD}") if one.name == "RI" else one for one in results.plan.methods
    )
    facts = {"versions": {"torch": "2.13.0"}, "odd": ODD, "left_out": ["ImageNet: no weights."]}
    plan = replace(results.plan, title=f"Title {ODD}", methods=methods, config=f"title: {ODD}\n", facts=facts)
    cells = tuple(
        replace(
            cell,
            facts={
                **cell.facts,
                "warnings": [f"warned {ODD}"] if cell.key.repeat else [],
                "pretrain": f"{cell.key.method}-{cell.key.repeat}",
            },
        )
        for cell in results.cells
    )
    results = replace(results, plan=plan, cells=cells)
    return write_page(results, out, **everything(results, out))


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def html(path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html) -> Reader:
    return Reader(html)


def test_nothing_is_fetched_and_no_script_but_ours_runs(html, page, path):
    beside = []
    for tag, attributes, _ in page.elements:
        for key in ("src", "href", "action", "srcset", "poster", "data", "formaction"):
            target = attributes.get(key)
            if target is None or target.startswith(("data:", "#")):
                continue
            # Links are followed by readers alone; nothing else may point out of the page.
            assert (tag, key) == ("a", "href"), (tag, key, target)
            if not target.startswith("http"):
                beside.append(target)
        assert not any(key.startswith("on") for key in attributes), attributes
    assert beside == ["./tables/a%20name%231.csv", "./tables/a%20name%231.tex", "./cells.csv"]
    assert all((path.parent / unquote(target)).is_file() for target in beside)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    script = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|innerHTML|eval\(", script[0])


def test_script_and_style_are_small(html):
    script = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)[0]
    style = html[html.index("<style>") : html.index("</style>")]
    assert len(script) < 8_000
    assert len(style) < 16_000
    assert "prefers-color-scheme: dark" in style
    assert style.count("@media print") == 2


def test_order_is_as_it_should_be_read(page):
    assert page.text_of("h2") == [
        "Read this before the numbers",
        "Leaks between training and test data",
        "The answer",
        "Tables",
        "Figures",
        "Before and after",
        "Data sets",
        "Methods",
        "How it was made",
        "Checklist",
        "Model card",
        "Downloads",
    ]
    sections = [one["id"] for one in page.all("section") if "id" in one]
    assert [one["href"][1:] for one in page.all("a")[1 : 1 + len(sections)]] == sections


def test_structure_is_what_assistive_technology_needs(page):
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    identifiers = [one["id"] for _, one, _ in page.elements if "id" in one]
    assert len(identifiers) == len(set(identifiers))
    references = [one[key] for _, one, _ in page.elements for key in ("aria-labelledby", "for") if key in one]
    references += [one["href"][1:] for one in page.all("a") if one["href"].startswith("#")]
    assert set(references) <= set(identifiers)
    labelled = {one["for"] for one in page.all("label") if "for" in one}
    for tag, attributes, inside in page.elements:
        if tag == "input":
            assert attributes["id"] in labelled or "label" in inside, attributes
        if tag == "img":
            assert len(attributes["alt"]) > 10
            assert int(attributes["width"]) > 0
            assert int(attributes["height"]) > 0
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("main")) == 1


def test_tables_are_captioned_scoped_and_scroll_in_a_named_region(page):
    tables = page.all("table")
    assert len(tables) == len(page.all("caption")) == 9
    assert all(page.text_of("caption"))
    assert {one.get("scope") for one in page.all("th")} == {"col", "colgroup", "row", "rowgroup"}
    regions = [one for one in page.all("div") if one.get("role") == "region"]
    assert len(regions) == len(tables)
    assert all(one["tabindex"] == "0" for one in regions)
    names = [one["aria-label"] for one in regions]
    assert len(names) == len(set(names))


def test_rows_are_marked_in_words_and_cells_hold_their_numbers(html, page):
    table = html[html.index('id="table-highest-and-average"') :]
    table = table[: table.index("</table>")]
    rows = re.findall(r'<tr class="(\w+)"><th scope="row">(.*?)</th>(.*?)</tr>', table)
    assert [kind for kind, _, _ in rows] == ["result", "result", "result", "control", "paper"] * 2
    for kind, head, cells in rows:
        assert ("control</span>" in head) == (kind == "control")
        assert ("paper’s figure</span>" in head) == (kind == "paper")
        assert cells.count("<td") == 10
    heads = re.findall(r'data-column="(\d+)" data-name="([^"]+)"', table)
    assert sorted(int(place) for place, _ in heads) == list(range(11))
    assert dict(heads)["3"] == "AUROC, average"
    values = [float(one) for one in re.findall(r'data-value="([^"]+)"', rows[0][2])]
    shown = re.findall(r">([0-9.]+)</td>", rows[0][2])
    assert len(values) == len(shown) == 10
    assert [f"{value:.3f}" for value in values[1:]] == shown[1:]
    assert "not printed" in rows[4][2]
    assert rows[7][2].count("–") == 9
    assert 'class="mark better">better</span> +' in html


def test_odd_names_do_no_harm(html, page):
    assert ODD not in html
    assert "{{7*7}}" in html
    assert page.text_of("title") == [f"Title {ODD}"]
    assert page.text_of("h1") == [f"Title {ODD}"]
    assert any(ODD in text for text in page.text_of("li"))
    assert any(ODD in text for text in page.text_of("td"))
    assert page.text_of("pre") == [f"title: {ODD}"]
    assert len(page.all("script")) == 1


def test_warnings_tell_what_is_missing_and_what_cells_said(page):
    told = page.text_of("li")
    assert any("not complete: 5 of 40 results are missing (PLR+: 5)" in text for text in told)
    assert f"warned {ODD} (28 of 35 results)" in told
    assert "The window of Hounsfield units is a guess." in told
    assert "Left out: ImageNet: no weights." in told
    assert "Figure 9: no run was kept." in told


def test_downloads_of_one_thing_share_a_line(page):
    lines = [text for text in page.text_of("li") if "bytes)" in text]
    assert lines == [
        "a table: tables/a name#1.csv (4 bytes), tables/a name#1.tex (0 bytes)",
        "every cell: cells.csv (0 bytes)",
    ]


def test_how_it_was_made(page):
    # 35 cells of 1.5 s; networks of one method and repeat begin with the same pretraining of 3 s.
    assert any("35 classifiers took 52 s, and 20 pretrainings 60 s" in text for text in page.text_of("p"))
    assert {"versions: torch", "odd", "seed"} <= set(page.text_of("th"))
    assert "1,400" in page.text_of("td")


def test_model_card_stands_under_its_heading(page):
    assert "Data" in page.text_of("h3")
    assert "Use" in page.text_of("h3")
    assert any("<script>alert(1)</script>" in text for text in page.text_of("p"))
    assert not any(str(one.get("src")).startswith("http") for one in page.all("img"))


def test_a_page_of_nothing_but_an_unfinished_grid(tmp_path):
    results = make_results(tmp_path, repeats=1)
    text = write_page(replace(results, cells=()), tmp_path).read_text(encoding="utf-8")
    page = Reader(text)
    assert page.text_of("h2") == [
        "Read this before the numbers", "The answer", "Data sets", "Methods", "How it was made",
    ]  # fmt: skip
    assert "there are no paired results" in text
    assert "8 of 8 results are missing" in text


def pair(after: str) -> BeforeAfter:
    return BeforeAfter("a.png", after, "t", "x", "y", "z")


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"comparisons": [pair("b.png")]}, DataError, r"a\.png has 4×3.*b\.png has 3×4"),
        ({"comparisons": [pair("no.png")]}, DataError, r"no\.png cannot be read"),
        ({"comparisons": [pair("text.png")]}, DataError, r"text\.png is not a PNG"),
        ({"downloads": [Download("missing.csv", "")]}, DataError, r"missing\.csv is not a file below"),
        ({"downloads": [Download("../a.png", "")]}, DataError, r"\.\./a\.png is not a file below"),
        ({"tables": [Table("a b", "", "", (), ())]}, ValueError, "'a b' must be made of"),
        ({"tables": [Table("a", "", "", (), ())], "checklist": [Table("a", "", "", (), ())]}, ValueError, "two tables"),
    ],
)  # fmt: skip
def test_wrong_parts_are_refused_before_anything_is_written(tmp_path, wrong, error, says):
    out = tmp_path / "out"
    out.mkdir()
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(out / "a.png")
    Image.fromarray(np.zeros((4, 3), np.uint8)).save(out / "b.png")
    (out / "text.png").write_text("not a picture, though it is called one", encoding="utf-8")
    shutil.copy(out / "a.png", tmp_path / "a.png")
    results = make_results(out, repeats=1)
    with pytest.raises(error, match=says):
        write_page(results, out, **wrong)
    assert not (out / "report.html").exists()


# The answer in words


METHODS = (
    MethodInfo("RI", "paper"),
    MethodInfo("PLR-P", "paper"),
    MethodInfo("PLR+", "ours"),
    MethodInfo("Forest", "control"),
)


def plan(**facts) -> Plan:
    dataset = DatasetInfo(**{"name": "CT", "class_names": ("n", "p"), "slices": 10, "groups": 5, "unit": "patient",
                             "split_by": "groups", **facts})  # fmt: skip
    return Plan("t", METHODS, (dataset,), "RI", (), 0)


def effect(
    method: str, low: float | None, high: float | None, *, other="RI", fraction=0.1, repeats=10, p=None
) -> Effect:
    middle = 0.05 if low is None or high is None else (low + high) / 2
    return Effect("CT", fraction, method, other, "AUROC", repeats, middle, low, high, p)


def lead(*effects: Effect) -> str:
    return answers(plan(), effects)[0].lead


def details(*effects: Effect) -> str:
    return " | ".join(f"{name}: {' '.join(some)}" for name, some in answers(plan(), effects)[0].details)


def test_a_winner_is_one_whose_interval_lies_above_zero():
    told = lead(effect("PLR+", 0.01, 0.09), effect("PLR+", -0.01, 0.09, fraction=1.0), effect("PLR-P", -0.03, 0.05))
    assert told == (
        "On CT, PLR+ (with 10 % of the labels) beats RI in AUROC: the 95 % interval of the paired difference lies "
        "above zero. Not shown to be better, at any share of labels: PLR-P."
    )
    both = lead(*(effect(name, 0.01, 0.02, fraction=one) for name in ("PLR+", "PLR-P") for one in (1.0, 0.1)))
    assert both.startswith("On CT, PLR-P (at every share of labels) and PLR+ (at every share of labels) beat RI")


def test_no_winner_is_said_plainly_and_controls_that_win_are_named():
    told = lead(effect("PLR+", -0.01, 0.09), effect("PLR-P", 0.0, 0.05), effect("Forest", 0.02, 0.05, fraction=1.0))
    assert told == (
        "On CT, no method beats RI in AUROC: nowhere does the 95 % interval of a paired difference lie above zero "
        "(compared: PLR-P and PLR+). But the control Forest (with 100 % of the labels) does."
    )
    assert (
        lead(effect("Forest", 0.02, 0.05)) == "On CT, the control Forest (with 10 % of the labels) beats RI in AUROC."
    )
    assert lead(effect("Forest", -0.02, 0.05)) == "On CT, no control beats RI in AUROC."


def test_each_share_tells_better_worse_neither_and_unknown():
    told = details(
        effect("PLR-P", -0.09, -0.01),
        effect("PLR+", 0.01, 0.09),
        effect("Forest", -0.01, 0.03, repeats=7),
        effect("PLR-P", 0.0, 0.2, fraction=1.0),
        effect("PLR+", 0.1, 0.2, fraction=1.0, repeats=2),
    )
    assert told == (
        "With 100 % of the labels (differences with 95 % intervals, 10 repeats): Neither shown to be better nor worse "
        "than RI: PLR-P (+0.100, +0.000 to +0.200); nothing can be said: PLR+ (+0.150, +0.100 to +0.200; 2 repeats). | "
        "With 10 % of the labels (differences with 95 % intervals, 10 repeats): Better than RI: PLR+ (+0.050, +0.010 "
        "to +0.090); worse than RI: PLR-P (−0.050, −0.090 to −0.010). Controls: neither shown to be better nor worse "
        "than RI: Forest (+0.010, −0.010 to +0.030; 7 repeats)."
    )


def test_a_winner_is_held_against_the_controls():
    win = effect("PLR+", 0.01, 0.09)
    control = effect("Forest", 0.02, 0.04)
    beaten = effect("Forest", -0.05, -0.01, other="PLR+")  # given the other way round
    assert "the control" not in details(win, control, beaten)
    level = effect("PLR+", -0.01, 0.05, other="Forest")
    assert "PLR+ is not shown to be better than the control Forest (+0.020, −0.010 to +0.050)." in details(
        win, control, level
    )
    ahead = effect("PLR+", -0.09, -0.05, other="Forest")
    assert "PLR+ is worse than the control Forest (−0.070, −0.090 to −0.050)." in details(win, control, ahead)
    more = effect("Forest", 0.06, 0.08)
    assert "not shown to be better than the control Forest, which gains +0.070 over RI." in details(win, more)
    assert "the control" not in details(win, control), "gains less, and no pair is given"


def test_few_repeats_and_intervals_without_width_say_nothing():
    for some in (effect("PLR+", 0.1, 0.2, repeats=2), effect("PLR+", None, None), effect("PLR+", 0.1, 0.1),
                 effect("PLR+", float("nan"), float("nan"))):  # fmt: skip
        assert lead(some) == (
            "On CT nothing can be said yet on which method is better in AUROC than RI: that takes intervals, and at "
            "least 3 repeats."
        )
        assert "nothing can be said: plr+" in details(some).lower()


def test_equal_in_every_repeat_is_neither_better_nor_worse():
    told = details(effect("PLR+", 0.0, 0.0))
    assert "Neither shown to be better nor worse than RI: PLR+ (+0.000, +0.000 to +0.000)." in told


def test_the_lead_holds_what_takes_the_shine_off_it():
    """A control that does as well, a method that loses, a p-value that correction lifts, repeats that are missing."""
    win, level = effect("PLR+", 0.01, 0.09, p=0.2, repeats=6), effect("PLR+", -0.01, 0.05, other="Forest")
    loss = effect("PLR-P", -0.09, -0.01, repeats=6)
    cells = [CellKey("CT", name, 0.1, repeat) for name in ("RI", "PLR-P", "PLR+") for repeat in range(8)]
    told = answers(replace(plan(), cells=tuple(cells)), [win, level, loss])[0].lead
    assert told == (
        "On CT so far (6 of 8 repeats), PLR+ (with 10 % of the labels) beats RI in AUROC: the 95 % interval of the "
        "paired difference lies above zero. Once corrected for the number of comparisons, this does not hold for PLR+. "
        "Worse than RI: PLR-P (with 10 % of the labels). PLR+ is not shown to be better than the control Forest (with "
        "10 % of the labels)."
    )
    ahead = effect("PLR+", -0.09, -0.05, other="Forest")
    assert lead(win, ahead).endswith("PLR+ is worse than the control Forest (with 10 % of the labels).")


def test_a_p_value_that_does_not_survive_correction_is_told():
    assert "p = 0.12 once corrected" in details(effect("PLR+", 0.01, 0.09, p=0.12))
    assert "p =" not in details(effect("PLR+", 0.01, 0.09, p=0.01), effect("PLR-P", -0.01, 0.09, p=0.6))


def test_what_limits_the_answer():
    def notes(**facts) -> str:
        return " ".join(answers(plan(**facts), [])[0].notes)

    assert notes() == ""
    assert "single slices were split at random, as in the paper" in notes(split_by="slices", unit="block")
    assert "all repeats share one split" in notes(split_by="given")
    assert "Patients of CT are not known: splits keep each block whole" in notes(unit="block")
    assert notes(note="Only men.") == "CT: Only men."


def test_effects_must_be_of_one_metric_and_once():
    with pytest.raises(ValueError, match="not of AUROC and Accuracy"):
        answers(plan(), [effect("PLR+", 0, 1), replace(effect("PLR-P", 0, 1), metric="Accuracy")])
    with pytest.raises(ValueError, match="two effects of RI against PLR"):
        answers(plan(), [effect("PLR+", 0, 1), effect("RI", 0, 1, other="PLR+")])


def test_effects_come_from_the_statistics_of_the_tables(tmp_path):
    results = make_results(tmp_path, repeats=4, separation={"RI": 0.8, "PLR-P": 1.0, "Grey forest": 3.0})
    statistics = experiment_statistics(results, Sampling(resamples=50))
    found = {(one.fraction, one.method, one.other): one for one in effects(statistics)}
    pairs = {("PLR-P", "RI"), ("Grey forest", "RI"), ("PLR-P", "Grey forest")}
    assert set(found) == {(fraction, *pair) for fraction in (1.0, 0.1) for pair in pairs}
    for fraction in (1.0, 0.1):
        cells = [results.select(method=name, fraction=fraction) for name in ("PLR-P", "RI")]
        mean = np.mean([auroc(a) - auroc(b) for a, b in zip(*cells, strict=True)])
        one = found[fraction, "PLR-P", "RI"]
        assert one.difference == pytest.approx(mean)
        assert one.low < mean < one.high
        assert (one.metric, one.repeats, one.dataset) == ("AUROC", 4, "sars")
        assert 0 <= one.p_value <= 1
        assert found[fraction, "PLR-P", "Grey forest"].difference < 0
        assert found[fraction, "PLR-P", "Grey forest"].p_value is None
    assert "But the control Grey forest" in answers(results.plan, list(found.values()))[0].lead
    without = replace(results, cells=tuple(cell for cell in results.cells if cell.key.method != "RI"))
    left = effects(experiment_statistics(without, Sampling(resamples=50)))
    assert {(one.method, one.other) for one in left} == {("PLR-P", "Grey forest")}
    with pytest.raises(ValueError, match="brier"):
        effects(statistics, "brier")


# Markdown


def test_headings_are_moved_below_the_sections_without_gaps():
    def levels(text: str) -> list[str]:
        return re.findall(r"<(h\d)>", to_html(text))

    assert levels("# T\n\n## a\n\n#### b\n\n## c\n\n# d\n\n### e") == ["h3", "h4", "h3", "h3", "h4"]
    assert levels("text\n\n### a\n\n## b\n\n### c") == ["h3", "h3", "h4"]
    assert levels("\n\n".join(f"{'#' * level} x" for level in range(1, 7))) == ["h3", "h4", "h5", "h6", "h6"]


def test_markdown_cannot_bring_in_html_pictures_or_scripts():
    text = to_html("<img src=x onerror=alert(1)> ![p](http://e.org/p.png) [l](javascript:alert(1)) **b** `<i>`")
    assert "<img" not in text
    assert 'href="javascript' not in text
    assert "<strong>b</strong>" in text
    assert html_words.unescape(text).count("<i>") == 1


# In the browser


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
    done = run("node", ROOT / "tests" / "experiment" / "page_behaviour.mjs", path)
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
