"""The checklists: complete, consistent with what can be known, and honest about what is open."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from plr_fast.experiment.evidence.statistics import Sampling, experiment_statistics
from plr_fast.experiment.planning.card_facts import CARD_FACTS
from plr_fast.experiment.results import Results
from plr_fast.experiment.table import Table
from plr_fast.experiment.writing.checklist import (
    ASK,
    FILLED,
    IN_PART,
    OPEN,
    checklist_markdown,
    checklist_tables,
    checklists,
)
from plr_fast.experiment.writing.known import NOTHING, known_facts
from tests.experiment.factory import make_results

FINETUNE = {"widths": [8, 16], "norm": "batch", "hidden": 512, "lr": 0.1, "best_by": "loss", "class_weight": "none"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """An experiment with all that an engine records."""
    found = make_results(tmp_path_factory.mktemp("experiment"))
    facts = {"settings": {"finetune": FINETUNE}, "size": 64, "store_fingerprint": "f" * 64, "warnings": ["a warning"]}
    cells = tuple(replace(cell, facts={**cell.facts, **facts}) for cell in found.cells[1:])
    plan = replace(found.plan, facts={"torch": "2.13.0", "plr_fast": "0.1.0"})
    return replace(found, cells=cells, plan=plan)


def tables(results: Results, **options: object) -> dict[str, Table]:
    statistics = experiment_statistics(results, Sampling(resamples=0))
    found = checklist_tables(results, statistics=statistics, **options)  # type: ignore[arg-type]
    return {table.key: table for table in found}


def answers(table: Table) -> dict[str, tuple[str, str]]:
    """Number -> (status, answer)."""
    return {row.entries[0].text: (row.entries[2].text, row.entries[3].text) for row in table.rows}


def test_every_item_is_there_once() -> None:
    for checklist in checklists():
        numbers = [item.number for item in checklist.items]
        assert len(set(numbers)) == len(numbers)
        main = [int(re.match(r"\d+", number).group()) for number in numbers]  # type: ignore[union-attr]
        assert main == sorted(main)
        assert set(main) == set(range(1, checklist.count + 1))
        for first in {number[:-1] for number in numbers if number[-1].isalpha()}:
            letters = [number[-1] for number in numbers if number[:-1] == first]
            assert letters == [chr(ord("a") + i) for i in range(len(letters))]
    assert [(one.key, one.count) for one in checklists()] == [("tripod-ai", 27), ("claim", 44)]


def test_items_speak_of_what_there_is(results: Results) -> None:
    statistics = experiment_statistics(results, Sampling(resamples=0))
    possible = set(known_facts(results, statistics, ["a leak"])) | set(NOTHING)
    for checklist in checklists():
        for item in checklist.items:
            assert set(item.known) <= possible, item.number
            assert not item.card or item.card in CARD_FACTS, item.number
            assert item.known or item.card or item.ask, item.number


def test_answers_are_filled_from_results_and_authors(results: Results) -> None:
    plain = answers(tables(results)["checklist-claim"])
    assert plain["23"] == (FILLED, "plr_fast 0.1.0, torch 2.13.0.")
    assert plain["44"][0] == OPEN
    assert plain["44"][1].startswith(ASK)
    assert plain["7"][0] == IN_PART
    assert "2,000 slices" in plain["7"][1]
    assert "not checked for shared" in plain["20"][1]
    told = answers(
        tables(results, card={"funding": "a foundation.", "data_sources": "X"}, leaks=["2 twins."])["checklist-claim"]
    )
    assert told["44"] == (FILLED, "a foundation.")
    assert told["7"][0] == FILLED
    assert told["20"][0] == FILLED
    assert told["20"][1].endswith("2 twins.")


def test_what_was_not_recorded_is_said(tmp_path: Path) -> None:
    found = answers(tables(make_results(tmp_path))["checklist-tripod-ai"])
    assert found["7"] == (OPEN, "Not recorded in the results: preprocessing and checks of quality.")
    assert found["12c"][0] == IN_PART
    assert "Not recorded" in found["12c"][1]


def test_nothing_known_leaves_everything_open_that_results_would_fill(tmp_path: Path) -> None:
    results = replace(make_results(tmp_path), cells=())
    for table in tables(results).values():
        for number, (status, answer) in answers(table).items():
            assert answer, number
            if status == OPEN:
                assert ASK in answer or "Not recorded" in answer, number


def test_caption_counts_the_rows(results: Results) -> None:
    for table in tables(results).values():
        statuses = [row.entries[2].text for row in table.rows]
        for status in (FILLED, IN_PART, OPEN):
            assert f"{statuses.count(status)} {status}" in table.caption
    assert tables(results)["checklist-claim"].caption.startswith("44 items")


def test_markdown_holds_both(results: Results) -> None:
    text = checklist_markdown(list(tables(results).values()))
    assert text.startswith("# Reporting checklists\n")
    assert text.count("\n| 1 |") == 2
    assert "| 44 | funding | open |" in text
