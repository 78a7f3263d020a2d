"""The report: self-contained, accessible, complete, and safe with odd names."""

from __future__ import annotations

import base64
import math
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from plr_fast.evaluation import EvaluateConfig, evaluate
from plr_fast.evaluation.bootstrap import Interval
from plr_fast.evaluation.report_tables import interval_cell, number, shown_pairs
from plr_fast.evaluation.restoration import IDENTICAL

from .conftest import make_store, write_classifier, write_restorer


class Page(HTMLParser):
    """The elements of a page, in order, with their attributes, and the text inside each kind."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)
        assert not self.open, f"unclosed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.words.setdefault(self.open[-1], []).append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


ODD = 'a<b>&"c'


@pytest.fixture(scope="module")
def html(tmp_path_factory) -> str:
    base = tmp_path_factory.mktemp("report")
    store = make_store(base / "store", singles=True)
    config = EvaluateConfig(
        store=store.path,
        out=base / "out",
        classifiers=(write_classifier(base / ODD, store), write_classifier(base / "second", store, 1)),
        restorers=(write_restorer(base / "perlin", store), write_restorer(base / "shuffle", store, "shuffle")),
        bootstrap=100,
        title=f"Title {ODD}",
    )
    evaluate(config)
    return (base / "out" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_nothing_is_fetched(html, page):
    for tag, attributes in page.elements:
        for key in ("src", "href", "action", "srcset", "poster", "data"):
            target = attributes.get(key)
            if target is not None:
                assert target.startswith(("data:", "#")), (tag, key, target[:60])
    assert page.all("script") == []
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(item for item in page.all("meta") if item.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_pictures_are_embedded_with_size_and_words(page):
    pictures = page.all("img")
    assert len(pictures) >= 12
    for picture in pictures:
        assert len(picture["alt"]) > 20
        content = base64.b64decode(picture["src"].removeprefix("data:image/png;base64,"), validate=True)
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(content[16:20], "big") == int(picture["width"])
        assert int.from_bytes(content[20:24], "big") == int(picture["height"])


def test_headings_are_in_order_and_sections_are_linked(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    links = [item["href"][1:] for item in page.all("a")]
    assert set(links) <= set(identifiers)
    shown = (
        "about",
        "data",
        "performance",
        "differences",
        "confusion",
        "curves",
        "restoration",
        "pictures",
        "training",
    )
    assert {*shown, "made"} <= set(links)
    labelled = [attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes]
    assert set(labelled) <= set(identifiers)


def test_tables_have_captions_and_scopes(page):
    assert len(page.all("table")) == len(page.all("caption")) >= 6
    assert all(item.get("scope") in {"col", "row", "rowgroup"} for item in page.all("th"))
    scrolling = [item for item in page.all("div") if item.get("class") == "scroll"]
    assert len(scrolling) == len(page.all("table"))
    assert all(item.get("tabindex") == "0" and item.get("role") == "region" for item in scrolling)


def test_page_basics(html, page):
    assert html.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert any("width=device-width" in str(item.get("content")) for item in page.all("meta"))
    assert len(page.all("main")) == 1
    assert html.count("Research only, not for clinical use") == 2
    assert "Patient ids unknown" in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_odd_names_are_escaped(html, page):
    assert ODD not in html
    assert page.words["title"] == [f"Title {ODD}"]
    assert ODD in page.words["th"]
    assert any(ODD in str(item["alt"]) for item in page.all("img"))


def variables(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{3,6})", css))


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_contrast_is_at_least_that_of_wcag_aa(html, scheme):
    style = html[html.index("<style>") : html.index("</style>")]
    colours = variables(style[: style.index("@media")])
    start = {"light": 0, "dark": style.index("prefers-color-scheme: dark"), "print": style.index("@media print")}[
        scheme
    ]
    if scheme != "light":
        colours |= variables(style[start : style.index("}", start)])
    for ground in ("page", "panel", "notice", "warn", "strong"):
        for ink in ("text", "muted", "link"):
            bright, dark = sorted((luminance(colours[ground]), luminance(colours[ink])), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (scheme, ink, ground)


def test_numbers_and_cells():
    assert number(-0.1234) == "−0.123"
    assert number(0.5, signed=True) == "+0.500"
    assert number(0.0, 5) == "0.00000"
    assert number(0.00002) == "2.0e−05"
    assert number(0.0008) == "0.001"
    marked = interval_cell(Interval(-0.2, -0.3, -0.1), signed=True, mark=True)
    assert (marked["text"], marked["bounds"], marked["note"]) == ("−0.200", "−0.300 to −0.100", "excludes 0")
    assert marked["marked"] is True
    assert interval_cell(Interval(0.2, -0.1, 0.3), mark=True)["marked"] is False
    point = interval_cell(Interval(0.5, 0.5, 0.5), mark=True)
    assert (point["marked"], point["note"]) == (False, "interval without width")
    assert interval_cell(Interval(0.5, 0.5, 0.5))["note"] == ""
    assert interval_cell(Interval(0.01234, 0.01, 0.02), 2, scale=1000)["text"] == "12.34"
    lost = Interval(math.nan, math.nan, math.nan, reason="no positive slice in the set")
    assert interval_cell(lost) == {"text": "–", "bounds": "", "note": "no positive slice in the set", "marked": False}
    same = Interval(math.nan, math.nan, math.nan, reason=IDENTICAL)
    assert (interval_cell(same)["text"], interval_cell(same, mark=True)["note"]) == ("∞", "baseline is identical")
    assert interval_cell(Interval(0.5, 0.4, 0.6, undefined=0.25))["note"] == "undefined in 25% of resamples"


def test_many_classifiers_are_compared_with_the_first_only():
    few = dict.fromkeys([("b", "a"), ("c", "a"), ("c", "b")], 0)
    assert shown_pairs(few) == list(few)
    many = dict.fromkeys([("b", "a"), ("c", "a"), ("d", "a"), ("c", "b"), ("d", "b"), ("d", "c")], 0)
    assert shown_pairs(many) == [("b", "a"), ("c", "a"), ("d", "a")]
