"""Markdown of the model card inside the page."""

from __future__ import annotations

import html as html_words
import re

from plr_fast.experiment.report.prose import to_html


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
