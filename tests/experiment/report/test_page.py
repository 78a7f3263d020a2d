"""The page of an experiment: complete, self-contained, and honest in words."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from dataclasses import replace
from itertools import pairwise
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from plr_fast.errors import DataError
from plr_fast.experiment.before_after import BeforeAfter
from plr_fast.experiment.report import Download, write_page
from plr_fast.experiment.table import Table

from ..factory import make_results
from .page_parts import ODD
from .page_reader import Reader


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
