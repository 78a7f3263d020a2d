"""Tables in Markdown (GitHub's), for documents and terminals."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..table import Entry, Row, Table

KIND_WORDS = {"result": "", "control": " (control)", "paper": " (paper)"}


def table_markdown(table: Table) -> str:
    """A table with its title, caption and notes. Best, better and worse are bold, the last two also in words; rows of
    the paper are in italics; sections are lines of their own; intervals stand in brackets."""
    heads = [
        escape_markdown(f"{column.group}, {column.title}" if column.group else column.title) for column in table.columns
    ]
    lines = [f"**{escape_markdown(table.title)}**", "", escape_markdown(table.caption), ""]
    lines += [_line(heads), _line("--:" if column.numeric else ":--" for column in table.columns)]
    section = ""
    for row in table.rows:
        if row.section and row.section != section:
            lines.append(_line([f"*{escape_markdown(row.section)}*", *[""] * (len(table.columns) - 1)]))
        section = row.section
        lines.append(_line(_cells(row)))
    if table.notes:
        lines += ["", *(f"- {escape_markdown(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    cells = []
    for place, entry in enumerate(row.entries):
        text = escape_markdown(entry.text)
        if entry.mark:
            text = f"**{text}**"
        elif row.kind == "paper" and re.search(r"\w", entry.text):
            text = f"*{text}*"
        if place == 0:
            text += KIND_WORDS[row.kind]
        cells.append(text + _aside(entry))
    return cells


def _aside(entry: Entry) -> str:
    words: list[str] = [entry.mark] if entry.mark in ("better", "worse") else []
    words += [escape_markdown(entry.note)] if entry.note else []
    return f" ({'; '.join(words)})" if words else ""


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape_markdown(text: str) -> str:
    """``text`` with what Markdown or HTML would take for their own made plain, on one line."""
    text = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
