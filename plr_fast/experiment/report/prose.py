"""Markdown, as the model card is written, turned into a part of the page."""

from __future__ import annotations

from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token


def to_html(text: str, *, below: int = 2, name: str = "Text") -> str:
    """``text`` as HTML whose headings stand under one of level ``below``.

    Raw HTML is shown as text; pictures are left out, for the page must not fetch any. Tables become scrollable regions
    with a caption (the heading above them) and column headers.
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = reader.parse(text)
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        del tokens[:3]  # the title of the section stands for it
        _shift_headings(tokens, below, [1])
    else:
        _shift_headings(tokens, below, [])
    return str(reader.renderer.render(_with_regions(tokens, name), reader.options, {}))


def _shift_headings(tokens: list[Token], below: int, stack: list[int]) -> None:
    """Start one level below ``below`` and never leave out a level on the way down.

    ``stack`` holds the levels, as written, of the headings that the current one stands under; those of before, such as
    a title, count as ``below``.
    """
    level, above = below, len(stack)
    for token in tokens:
        if token.type == "heading_open":
            written = int(token.tag[1])
            while stack and stack[-1] >= written:
                stack.pop()
            above = min(above, len(stack))
            stack.append(written)
            level = min(below + len(stack) - above, 6)
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{level}"


def _with_regions(tokens: list[Token], name: str) -> list[Token]:
    done: list[Token] = []
    heading, number = name, 0
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[place + 1].content
        if token.type == "th_open":
            token.attrSet("scope", "col")
        if token.type == "table_open":
            number += 1
            label = escape(f"{name}, table {number}: {heading}")
            done.append(_raw(f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">\n'))
        if token.type == "fence":
            done += [_raw("<details><summary>Show</summary>\n"), token, _raw("</details>\n")]
            continue
        done.append(token)
        if token.type == "table_open":
            done.append(_raw(f'<caption><span class="spoken">{escape(heading)}</span></caption>\n'))
        if token.type == "table_close":
            done.append(_raw("</div>\n"))
    return done


def _raw(html: str) -> Token:
    token = Token("html_block", "", 0)
    token.content = html
    return token
