"""CSV, LaTeX and Markdown of any table, and the tidy files."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from plr_fast.experiment.evidence.statistics import Sampling, experiment_statistics
from plr_fast.experiment.results import CellKey
from plr_fast.experiment.table import Column, Entry, Row, Table
from plr_fast.experiment.writing.csv_files import table_csv, write_data
from plr_fast.experiment.writing.latex import escape, table_latex
from plr_fast.experiment.writing.markdown import table_markdown
from plr_fast.experiment.writing.tables import all_tables

from ..factory import make_results

NASTY = r"50 % & $x_1$ #{a} ~^\ <b> | ± − – × “q” `c` *s* [l]"


def nasty_table() -> Table:
    worse = Entry("−0.1", -0.1, -0.3, -0.05, "−0.300 to −0.050", "worse")
    none = Entry("–", note="no | value")
    return Table(
        key="nasty",
        title=f"Title {NASTY}",
        caption=f"Caption {NASTY}",
        columns=[
            Column("name", "Name", numeric=False),
            Column("a_high", "highest", "A & B", higher_is_better=True),
            Column("a_mean", "average", "A & B", higher_is_better=True),
            Column("other", f"Other {NASTY}"),
        ],
        rows=[
            Row([Entry(NASTY), Entry("0.5", 0.5, mark="best"), Entry("0.1", 0.1 + 0.2), none], section="S & 1"),
            Row([Entry("p"), Entry("0.8765", 0.8765), Entry("–"), Entry("1", 1.0)], "paper", "S & 1"),
            Row([Entry("c"), worse, Entry("–"), Entry("1", 1.0)], "control", "S 2"),
            Row([Entry("[d]"), *[Entry("–")] * 3], section="S 2"),
            Row([Entry("*e"), *[Entry("–")] * 3], section="S 2"),
        ],
        notes=[f"Note {NASTY}", "Second."],
    )


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_holds_numbers_unrounded() -> None:
    rows = read(table_csv(nasty_table()))
    assert list(rows[0]) == [
        *("section", "kind", "name", "a_high", "a_high_low", "a_high_high", "a_mean", "other", "other_note"),
    ]
    assert rows[0]["name"] == NASTY
    assert float(rows[0]["a_mean"]) == 0.1 + 0.2
    assert (rows[0]["other"], rows[0]["other_note"]) == ("", "no | value")
    assert [row["kind"] for row in rows] == ["result", "paper", "control", "result", "result"]
    assert (rows[2]["a_high"], rows[2]["a_high_low"], rows[2]["a_high_high"]) == ("-0.1", "-0.3", "-0.05")
    assert rows[1]["a_high_low"] == ""


def test_markdown_has_one_cell_for_each_column() -> None:
    text = table_markdown(nasty_table())
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 2 + 5  # head and rule, sections, rows
    for line in lines:
        assert len(re.findall(r"(?<!\\)\|", line)) == 5
    assert "**0.5**" in text
    assert "*p* (paper)" in text
    assert "*0.8765*" in text
    assert "c (control)" in text
    assert "**−0.1** (worse; −0.300 to −0.050)" in text
    assert "<b>" not in text
    assert text.count("\n- ") == 2


def test_latex_has_the_structure_of_a_table() -> None:
    text = table_latex(nasty_table())
    plain = text.replace("\\\\", "").replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    body = text[text.index("\\midrule") : text.index("\\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith("\\\\") and not line.startswith("\\multicolumn")]
    assert len(rows) == 5
    for line in rows:
        assert len(re.findall(r"(?<!\\)&", line)) == 3
    assert r"\textbf{0.5}" in text
    assert r"\textit{p} (paper)" in text
    assert r"\textit{0.8765}" in text
    assert "c (control)" in text
    assert "worse; $-$0.300 to $-$0.050" in text
    assert r"\multicolumn{2}{c}{A \& B}" in text
    assert r"\cmidrule(lr){2-3}" in text
    assert r"\label{tab:nasty}" in text


@pytest.mark.parametrize("character", list("&%$#_{}~^\\"))
def test_specials_never_stand_alone(character: str) -> None:
    assert escape(character) != character
    assert escape(f"a{character}b").startswith("a")


def test_latex_compiles(tmp_path: Path) -> None:
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("no pdflatex here")
    results = make_results(tmp_path, repeats=3, missing=[CellKey("sars", "PLR+", 0.1, 1)])
    tables = [nasty_table(), *all_tables(results, experiment_statistics(results, Sampling(resamples=50)))]
    for table in tables:
        (tmp_path / f"{table.key}.tex").write_text(table_latex(table), encoding="utf-8")
    inputs = "\n\\clearpage\n".join(f"\\input{{{table.key}}}" for table in tables)
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n"
        f"\\begin{{document}}\n{inputs}\n\\end{{document}}\n",
        encoding="utf-8",
    )
    command = [compiler, "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout, "a table wider than the page"
    assert f"({len(tables)} pages" in done.stdout or "Output written" in done.stdout
    assert "Missing character" not in done.stdout


def test_tidy_files_hold_every_cell_pair_and_bin(tmp_path: Path) -> None:
    results = make_results(tmp_path, repeats=3, missing=[CellKey("sars", "PLR+", 0.1, 1)])
    statistics = experiment_statistics(results, Sampling(resamples=50))
    cells, pairs, bins = (read(path.read_text(encoding="utf-8")) for path in write_data(results, tmp_path, statistics))
    assert len(cells) == len(results.cells) == 23
    for row, cell in zip(cells, results.cells, strict=True):
        assert (row["method"], float(row["fraction"]), int(row["repeat"])) == (
            *(cell.key.method, cell.key.fraction, cell.key.repeat),
        )
        assert float(row["auroc"]) == statistics["sars"].points(cell)["auroc"].value
        assert float(row["accuracy"]) == ((cell.scores >= 0.5) == cell.labels).mean()
        assert int(row["test_slices"]) == 120
        assert row["pretrain_seconds"] == "3.0"
    assert len(pairs) == 2 * 6 * 10  # fractions, pairs of four methods, measures
    short = [row for row in pairs if row["first"] == "PLR+" and row["fraction"] == "0.1" and row["second"] == "RI"]
    assert {row["repeats"] for row in short} == {"2"}
    assert {row["p"] for row in short} == {""}
    assert all("nothing can be said" in row["note"] for row in short)
    assert sum(int(row["slices"]) for row in bins) == 23 * 120


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    """``repr(np.float64(0.5))`` names its type, which no reader of CSV takes for a number."""
    column, entry = Column("p", "p"), Entry("0.500", np.float64(0.5), np.float64(0.25), np.float64(0.75))
    table = Table("t", "T", "", (Column("method", "Method", numeric=False), column), (Row((Entry("a"), entry)),))
    row = read(table_csv(table))[0]
    assert (row["p"], row["p_low"], row["p_high"]) == ("0.5", "0.25", "0.75")
