"""The tables of an experiment."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plr_fast.experiment.evidence.paper import paper_table
from plr_fast.experiment.evidence.statistics import DatasetStatistics, Sampling, experiment_statistics
from plr_fast.experiment.results import CellKey, Results
from plr_fast.experiment.table import Entry, Table
from plr_fast.experiment.writing.tables import all_tables, slug, write_tables

from ..factory import make_results

FEW = Sampling(resamples=100)


def tables_of(results: Results) -> dict[str, Table]:
    return {table.key: table for table in all_tables(results, experiment_statistics(results, FEW))}


def entry(table: Table, section: str, method: str, column: str, kind: str = "result") -> Entry:
    place = [one.key for one in table.columns].index(column)
    rows = [row for row in table.rows if (row.section, row.entries[0].text, row.kind) == (section, method, kind)]
    assert len(rows) == 1
    return rows[0].entries[place]


FULL, TENTH = "100 % of the labels", "10 % of the labels"


@pytest.fixture(scope="module")
def whole() -> tuple[Results, dict[str, Table]]:
    results = make_results(Path(), repeats=4, datasets=("sars", "Other set+"))
    return results, tables_of(results)


def test_all_tables_of_all_data_sets(whole) -> None:
    _, tables = whole
    kinds = [
        "paper-form",
        "summary",
        "differences-auroc",
        "differences-paper-auc",
        "differences-accuracy",
        "calibration",
    ]
    assert list(tables) == [f"{name}-{kind}" for name in ("sars", "other-setplus") for kind in kinds]
    for table in tables.values():
        assert re.fullmatch(r"[a-z0-9-]+", table.key)
        assert len({column.key for column in table.columns}) == len(table.columns)
        sections = [row.section for row in table.rows]
        assert list(dict.fromkeys(sections)) == [FULL, TENTH]
        assert sections == sorted(sections, key=[FULL, TENTH].index)


def test_highest_and_average_beside_the_papers(whole) -> None:
    results, tables = whole
    table = tables["sars-paper-form"]
    values = DatasetStatistics(results, "sars", FEW).values("PLR-P", 0.1, "paper_auc")
    assert entry(table, TENTH, "PLR-P", "paper_auc_highest").value == max(values.values())
    assert entry(table, TENTH, "PLR-P", "paper_auc_average").value == pytest.approx(np.mean(list(values.values())))
    theirs = entry(table, TENTH, "PLR-P", "paper_auc_average", "paper")
    assert (theirs.text, theirs.value, theirs.mark) == ("0.7233", 0.7233, "")
    assert entry(table, TENTH, "PLR-P", "auroc_average", "paper").value is None
    # Its row stands right below ours, those without ours at the end of the section.
    first = [(row.entries[0].text, row.kind) for row in table.rows if row.section == FULL]
    assert first[:4] == [("RI", "result"), ("RI", "paper"), ("PLR-P", "result"), ("PLR-P", "paper")]
    assert {name for name, kind in first if kind == "paper"} == {row.method for row in paper_table("IV").at(1.0)}
    assert ("Grey forest", "control") in first
    assert any("its own random splits" in note and "74%" in note for note in table.notes)
    # A data set that the paper does not have shows none of its rows.
    assert all(row.kind != "paper" for row in tables["other-setplus-paper-form"].rows)


def test_the_best_is_ours_complete_and_one_unless_tied(whole) -> None:
    _, tables = whole
    table = tables["sars-paper-form"]
    for section in (FULL, TENTH):
        for place, column in enumerate(table.columns):
            rows = [row for row in table.rows if row.section == section]
            best = [row for row in rows if row.entries[place].mark == "best"]
            if column.higher_is_better is None:
                assert not best
            else:
                ours = [row.entries[place].value for row in rows if row.kind != "paper"]
                assert best
                assert all(row.kind != "paper" and row.entries[place].value == max(ours) for row in best)
    brier = [row.entries[8] for row in tables["sars-summary"].rows if row.section == FULL]
    assert [one.mark for one in brier] == ["", "", "best", ""]
    assert min(one.value for one in brier) == brier[2].value


def test_summary_prints_mean_spread_and_interval(whole) -> None:
    results, tables = whole
    found = entry(tables["sars-summary"], TENTH, "RI", "auroc")
    values = list(DatasetStatistics(results, "sars", FEW).values("RI", 0.1, "auroc").values())
    assert found.text == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
    assert found.low is not None
    assert found.high is not None
    assert found.note == f"{found.low:.3f} to {found.high:.3f}"


def test_differences_are_marked_with_words_for_what_was_done(whole) -> None:
    _, tables = whole
    table = tables["sars-differences-auroc"]
    assert all(row.entries[0].text != "RI" for row in table.rows)
    found = entry(table, FULL, "PLR+", "difference")
    assert found.mark == "better"
    assert found.text.startswith("+")
    assert found.low is not None
    assert found.low > 0
    assert entry(table, FULL, "PLR+", "wins").text == "4 / 0 / 0"
    assert any("Nadeau" in note and "q = 0.250" in note for note in table.notes)
    assert any("6 comparisons" in note for note in table.notes)


def test_missing_cells_are_told_and_take_no_part(tmp_path: Path) -> None:
    gone = [CellKey("sars", "PLR+", 1.0, 1), CellKey("sars", "PLR+", 1.0, 3)]
    tables = tables_of(make_results(tmp_path, repeats=4, missing=gone))
    summary = tables["sars-summary"]
    assert entry(summary, FULL, "PLR+", "repeats").text == "2 of 4"
    assert entry(summary, FULL, "PLR+", "auroc").mark == ""
    assert entry(summary, FULL, "Grey forest", "auroc", "control").mark == "best"
    assert entry(summary, TENTH, "PLR+", "auroc").mark == "best"
    assert any("2 of 32 cells" in note for note in summary.notes)
    assert any("fewer than 3 repeats" in note for note in summary.notes)
    difference = entry(tables["sars-differences-auroc"], FULL, "PLR+", "difference")
    assert "nothing can be said" in difference.note
    assert difference.low is None
    assert difference.mark == ""


def test_a_method_without_any_cell_has_dashes(tmp_path: Path) -> None:
    gone = [CellKey("sars", "PLR+", 1.0, repeat) for repeat in range(3)]
    tables = tables_of(make_results(tmp_path, missing=gone))
    for key, column in (("summary", "auroc"), ("paper-form", "f1_highest"), ("calibration", "excess")):
        found = entry(tables[f"sars-{key}"], FULL, "PLR+", column)
        assert (found.text, found.value) == ("–", None)
    assert entry(tables["sars-differences-auroc"], FULL, "PLR+", "difference").note.startswith("no repeat in common")


def test_one_repeat_and_one_split(tmp_path: Path) -> None:
    results = make_results(tmp_path, repeats=1)
    tables = tables_of(results)
    assert "±" not in entry(tables["sars-summary"], FULL, "RI", "auroc").text
    given = replace(results.plan.datasets[0], split_by="given", paper_table=None)
    tables = tables_of(replace(results, plan=replace(results.plan, datasets=(given,))))
    assert any("same test slices" in note for note in tables["sars-differences-auroc"].notes)


def test_the_papers_way_is_called_inflated(tmp_path: Path) -> None:
    results = make_results(tmp_path)
    info = replace(results.plan.datasets[0], split_by="slices", note="A note of the user.")
    tables = tables_of(replace(results, plan=replace(results.plan, datasets=(info,))))
    for table in tables.values():
        assert "inflated" in table.caption
        assert "A note of the user." not in table.caption
    told = [key for key, table in tables.items() if "A note of the user." in table.notes]
    assert told == ["sars-paper-form", "sars-summary"]


def test_an_interval_without_width_is_none(tmp_path: Path) -> None:
    """Every slice is called rightly in every repeat: that all resamples agree does not make 1.000 certain."""
    results = make_results(tmp_path, separation={"RI": 50.0, "PLR-P": 1.0})
    tables = tables_of(results)
    found = entry(tables["sars-summary"], FULL, "RI", "accuracy")
    assert (found.text, found.low, found.note) == ("1.000 ± 0.000", None, "no interval: all resamples alike")
    assert entry(tables["sars-summary"], FULL, "PLR-P", "accuracy").low is not None


def test_nothing_finished_no_tables(tmp_path: Path) -> None:
    results = make_results(tmp_path)
    assert all_tables(replace(results, cells=())) == []


def test_calibration_tells_what_a_constant_would_get(whole) -> None:
    _, tables = whole
    table = tables["sars-calibration"]
    assert any("Brier score of 0.250" in note for note in table.notes)  # half of the slices are positive
    found = entry(table, FULL, "RI", "excess").value
    assert found is not None
    assert math.isfinite(found)


def test_tables_of_equal_key_are_refused(whole, tmp_path: Path) -> None:
    _, tables = whole
    one = tables["sars-summary"]
    with pytest.raises(ValueError, match="sars-summary"):
        write_tables([one, one], tmp_path)
    assert not list(tmp_path.iterdir())
    written = write_tables([one], tmp_path / "deep")
    assert [path.name for path in written] == ["sars-summary.csv", "sars-summary.tex", "sars-summary.md"]
    assert all(path.stat().st_size > 500 for path in written)


def test_slugs() -> None:
    assert slug("SARS-CoV-2 (blocks)") == "sars-cov-2-blocks"
    assert slug("肺") == "data"
