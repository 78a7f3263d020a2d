"""Tables in LaTeX, to be taken into a paper by ``\\input``; they need the packages booktabs and graphicx."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..table import Column, Entry, Row, Table
from .markdown import KIND_WORDS

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    '"': "''",
    "[": "{[}",  # after a line's end these two would be arguments of it
    "*": "{*}",
    "–": "--",
    "—": "---",
    "−": r"$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "²": r"$^2$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "’": "'",
    "\u00a0": "~",
    "\u202f": r"\,",
}


def table_latex(table: Table) -> str:
    """A ``table`` float with caption and label ``tab:KEY``. Best, better and worse are bold, the last two also in
    words; rows of the paper are in italics; intervals stand below their value in small print; notes below the table."""
    columns = table.columns
    align = "".join("r" if column.numeric else "l" for column in columns)
    lines = [
        "% needs \\usepackage{booktabs,graphicx}; text is UTF-8. Too wide a table is shrunk to the line.",
        "\\begin{table}[htbp]",
        "\\centering",
        f"\\caption{{{escape(table.title)}. {escape(table.caption)}}}",
        f"\\label{{tab:{table.key}}}",
        *(["\\scriptsize", "\\setlength{\\tabcolsep}{2.5pt}"] if len(columns) > 8 else ["\\small"]),
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{@{{}}{align}@{{}}}}",
        "\\toprule",
        *_head(columns),
        "\\midrule",
    ]
    section, first = "", True
    for row in table.rows:
        if row.section and row.section != section:
            lines += [] if first else ["\\midrule"]
            lines.append(f"\\multicolumn{{{len(columns)}}}{{@{{}}l}}{{\\textit{{{escape(row.section)}}}}} \\\\")
        section, first = row.section, False
        lines.append(" & ".join(_cell(columns[place], row, place) for place in range(len(columns))) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}}"]
    if table.notes:
        notes = " ".join(escape(note) for note in table.notes)
        lines += ["", "\\smallskip", f"\\begin{{minipage}}{{\\linewidth}}\\footnotesize {notes}\\end{{minipage}}"]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


def escape(text: str) -> str:
    """``text`` with every character that TeX would take for its own written out."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _head(columns: Sequence[Column]) -> list[str]:
    titles = " & ".join(_headed(column) for column in columns) + " \\\\"
    if not any(column.group for column in columns):
        return [titles]
    groups, rules, place = [], [], 1
    for group, members in groupby(columns, key=lambda column: column.group):
        width = len(list(members))
        if group:
            groups.append(f"\\multicolumn{{{width}}}{{c}}{{{escape(group)}}}")
            rules.append(f"\\cmidrule(lr){{{place}-{place + width - 1}}}")
        else:
            groups += [""] * width
        place += width
    return [" & ".join(groups) + " \\\\", "".join(rules), titles]


def _headed(column: Column) -> str:
    return f"\\multicolumn{{1}}{{c}}{{{escape(column.title)}}}" if column.numeric else escape(column.title)


def _cell(column: Column, row: Row, place: int) -> str:
    entry = row.entries[place]
    text = escape(entry.text)
    if entry.mark:
        text = f"\\textbf{{{text}}}"
    elif row.kind == "paper":
        text = f"\\textit{{{text}}}"
    if place == 0:
        text += KIND_WORDS[row.kind]
    note = _note(entry)
    if not note:
        return text
    side = "r" if column.numeric else "l"
    return f"\\begin{{tabular}}[t]{{@{{}}{side}@{{}}}}{text}\\\\{{\\tiny {note}}}\\end{{tabular}}"


def _note(entry: Entry) -> str:
    words: list[str] = [entry.mark] if entry.mark in ("better", "worse") else []
    words += [escape(entry.note)] if entry.note else []
    return "; ".join(words)
