"""The model card: its numbers are those of the results, and what is not known is said to be unknown."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from plr_fast.errors import ConfigError
from plr_fast.experiment.evidence.statistics import Sampling, experiment_statistics
from plr_fast.experiment.planning.card_facts import CARD_FACTS, card_facts, card_of
from plr_fast.experiment.results import CellKey, Results, read_results
from plr_fast.experiment.tally import time_spent
from plr_fast.experiment.writing.model_card import model_card
from tests.experiment.factory import make_results

FEW = Sampling(resamples=20)


def card(results: Results, **options: object) -> str:
    return model_card(results, statistics=experiment_statistics(results, FEW), **options)  # type: ignore[arg-type]


def section(text: str, heading: str) -> str:
    return text.split(f"## {heading}\n")[1].split("\n## ")[0]


def with_plan(results: Results, **changes: object) -> Results:
    return replace(results, plan=replace(results.plan, **changes))  # type: ignore[arg-type]


def test_numbers_are_those_of_the_cells(tmp_path: Path) -> None:
    results = make_results(tmp_path)
    rows = [line for line in section(card(results), "Results").splitlines() if line.startswith("| ")]
    for method in ("RI", "PLR+"):
        for fraction, place in ((1.0, 0), (0.1, 1)):
            cells = results.select(method=method, fraction=fraction)
            row = [line for line in rows if line.startswith(f"| {method} |")][place]
            aurocs = [roc_auc_score(cell.labels, cell.scores) for cell in cells]
            brier = [brier_score_loss(cell.labels, cell.scores) for cell in cells]
            right = [np.mean((cell.scores >= cell.threshold) == (cell.labels == 1)) for cell in cells]
            for values in (aurocs, brier, right):
                assert f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}" in row
            assert "| 3 |" in row
    assert "Grey forest (control)" in "".join(rows)
    assert "better in AUROC than RI: PLR+ (100 %)" in card(results)


def test_counts_are_those_of_the_results(tmp_path: Path) -> None:
    results = make_results(tmp_path, groups=14, slices=9)
    data = section(card(results), "Data")
    assert "2,000 slices" in data
    assert "60 blocks of neighbouring files; patients are not known" in data
    assert "1,400 labelled training slices of 40 groups at 100 %" in data
    assert "126 test slices of 14 groups" in data
    assert "63 covid slices of 126 in a test set" in data
    assert "3 repeats" in data
    assert f"**Cost**: {time_spent(results.cells)}." in section(card(results), "Procedure")


def test_slices_of_encoders_are_named(tmp_path: Path) -> None:
    results = make_results(tmp_path)
    line = "**Other slices that encoders learnt from**:"
    assert f"{line} Unknown." in card(results), "of a version that did not say"
    assert f"{line} None" in card(with_plan(results, facts={"encoder_slices": {}}))
    named = with_plan(results, facts={"encoder_slices": {"PLR-P": "X rays"}})
    assert f"{line} PLR-P: slices of X rays." in card(named), "its cells were made before"
    facts = {"kind": "pretrain", "store_fingerprint": "5" * 64, "train_slices": 1850, "val_slices": 150}
    cells = tuple(
        replace(cell, facts={**cell.facts, "encoder_slices": facts}) if cell.key.method == "PLR-P" else cell
        for cell in results.cells
    )
    text = section(card(replace(named, cells=cells)), "Data")
    assert (
        f"{line} PLR-P: 1,850 normal slices of X rays (store {'5' * 16}), and 150 to choose the epoch. Test slices "
        "were compared with these by id and picture only"
    ) in text


def test_settings_and_versions_come_from_the_record(tmp_path: Path) -> None:
    results = make_results(tmp_path, repeats=3)
    finetune = {"widths": [8, 16], "norm": "batch", "encoder": "plr", "hidden": 512, "optimizer": "adadelta", "lr": 0.1}
    cells = tuple(
        replace(
            cell,
            facts={**cell.facts, "settings": {"finetune": finetune}, "size": 64, "plr_fast": "9.8.7"},
        )
        for cell in results.cells
    )
    text = card(with_plan(replace(results, cells=cells), facts={"torch": "2.13.0", "processor": "an abacus"}))
    assert "ten 3 × 3 convolutions, widths 8-16, norm batch" in text
    assert "optimiser adadelta, learning rate 0.1" in text
    assert "64 × 64 pixels" in text
    assert "fast 9.8.7, torch 2.13.0" in text
    assert "an abacus" in text
    plain = card(results)
    assert "**Networks**: Unknown." in plain
    assert "**Training**: Unknown." in plain
    assert "**Software**: Unknown." in plain


def test_what_nobody_said_is_unknown_and_what_was_said_stands_there(tmp_path: Path) -> None:
    results = make_results(tmp_path)
    plain = card(results)
    told = card(
        results, card={"data_licence": "CC BY | 4.0", "authors": "A <b>Person</b>", "subgroups": "By sex: equal"}
    )
    for field, what in (("data_licence", "Licence"), ("sites", "Sites"), ("ethics", "Approval and consent")):
        assert f"**{what}**: Unknown (`card: {field}`" in plain
    assert "not for clinical use" in plain
    assert "Not assessed" in section(plain, "Subgroups")
    assert r"**Licence**: CC BY \| 4.0." in told
    assert "<b>" not in told
    assert "By sex: equal" in section(told, "Subgroups")
    assert told.count("Unknown") == plain.count("Unknown") - 2


def test_the_experiment_file_may_hold_the_card(tmp_path: Path) -> None:
    results = with_plan(make_results(tmp_path), facts={"card": {"funding": ["one", "two"]}})
    assert card_of(results) == {"funding": "one; two"}
    assert "**Funding**: one; two." in card(results)


def test_leaks_warnings_and_gaps_are_told(tmp_path: Path) -> None:
    missing = [CellKey("sars", "PLR-P", 0.1, 2)]
    results = make_results(tmp_path, missing=missing)
    cells = (
        replace(results.cells[0], facts={**results.cells[0].facts, "warnings": ["mind the gap"]}),
        *results.cells[1:],
    )
    text = section(card(replace(results, cells=cells), leaks=["3 pictures are on both sides."]), "Leaks and warnings")
    assert "3 pictures are on both sides." in text
    assert "mind the gap (1 of 23 results)." in text
    assert "1 of 24 cells are not finished" in text
    assert "were not checked" in section(card(results), "Leaks and warnings")


def test_limits_follow_from_how_data_were_split(tmp_path: Path) -> None:
    results = make_results(tmp_path, groups=30, slices=2)
    assert "few groups" not in card(results)
    assert "few groups make intervals rough (sars: 12 groups)" in card(make_results(tmp_path))
    sliced = with_plan(results, datasets=(replace(results.plan.datasets[0], split_by="slices", unit="patient"),))
    limits = section(card(sliced), "Limits")
    assert "split at random, so results are inflated" in limits
    assert "patients are not known" not in limits


def test_few_repeats_and_unfinished_experiments_say_nothing(tmp_path: Path) -> None:
    assert "nothing can be said of differences to RI (2 repeats" in card(make_results(tmp_path, repeats=2))
    results = make_results(tmp_path)
    text = card(replace(results, cells=()))
    assert "No cell is finished." in text
    assert not re.search(r"0\.\d{3}", section(text, "Results"))


def test_cards_of_read_experiments_are_the_same(tmp_path: Path) -> None:
    results = make_results(tmp_path, write=True)
    assert card(read_results(tmp_path)) == card(results)


def test_the_file_is_in_the_card_whatever_it_holds(tmp_path: Path) -> None:
    text = card(with_plan(make_results(tmp_path), config="title: ```\n"))
    assert "````yaml\ntitle: ```\n````" in text


def test_card_facts_refuse() -> None:
    with pytest.raises(ConfigError, match=r"card: unknown key 'author'; did you mean 'authors'\?"):
        card_facts({"author": "me"})
    with pytest.raises(ConfigError, match=r"file\.yaml line 3: ethics must be text"):
        card_facts({"ethics": {"board": 1}}, "file.yaml line 3")
    with pytest.raises(ConfigError, match="must hold keys"):
        card_facts(["authors"])
    assert card_facts(None) == {}
    assert card_facts({"dates": 2020, "sites": "", "authors": "one\n  two"}) == {"dates": "2020", "authors": "one two"}
    assert all(CARD_FACTS.values())


def test_the_page_about_cards_lists_every_key() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reporting.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE) == list(CARD_FACTS.items())
