"""The end of an experiment: every file is there, says the right numbers, and says them again."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from plr_fast.data.leakage import LeakageReport, Memory, SharedBetween
from plr_fast.errors import DataError
from plr_fast.experiment.engine.leaks import FILE
from plr_fast.experiment.figures import NO_REAL_LESIONS, ExperimentFigures
from plr_fast.experiment.finish import finish
from plr_fast.experiment.outputs import OUTPUTS, add_outputs, drop_former_outputs
from plr_fast.experiment.results import CellKey, DatasetInfo, MethodInfo, Results, read_results

from .factory import make_results

GONE = CellKey("sars", "RI", 1.0, 1)
SHARED = SharedBetween("train", "test", slices=77, groups=3, patients=0, equal=0, near=5, relabelled=0, neighbours=0)
REPORT = LeakageReport((SHARED,), Memory(77, accuracy=0.815, chance=0.5), "block")


def write_leaks(out: Path) -> None:
    content = {"dataset": "sars", "repeat": 0, "split_sha256": "0" * 64, "report": REPORT.to_json()}
    (out / FILE).write_text(json.dumps([content]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path]:
    out = tmp_path_factory.mktemp("finish")
    make_results(out, fractions=(1.0,), repeats=2, separation={"RI": 0.8, "PLR+": 1.6}, missing=[GONE], write=True)
    write_leaks(out)
    results = read_results(out)
    finish(results, out)
    return results, out


def files(out: Path) -> dict[str, bytes]:
    """What lies in ``out``, without the time that the report was made at."""
    made = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d UTC")
    return {str(path.relative_to(out)): made.sub(b"", path.read_bytes()) for path in out.rglob("*") if path.is_file()}


def test_every_file_is_there_and_a_second_time_the_same(finished: tuple[Results, Path]) -> None:
    results, out = finished
    before = files(out)
    names = {"report.html", "model_card.md", "checklist.md", "leakage.json", "plan.json", "tables/cells.csv"}
    names |= {f"tables/{name}.{suffix}" for name in ("sars-summary", "leakage") for suffix in ("csv", "md", "tex")}
    assert names <= before.keys()
    assert any(name.startswith("figures/") for name in before)
    finish(results, out)
    assert files(out) == before


def test_what_only_former_settings_made_goes_and_what_others_added_stays(tmp_path: Path) -> None:
    results = make_results(tmp_path, fractions=(1.0,), repeats=2, separation={"RI": 0.8})
    finish(results, tmp_path, examples=0)
    assert (tmp_path / "tables" / "sars-summary.csv").is_file()
    (tmp_path / "tables" / "mine.csv").write_text("1\n")
    elsewhere = tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    elsewhere.write_text("not ours")
    names = json.loads((tmp_path / OUTPUTS).read_text())
    beside = ["plan.json", "cells/one.json", "tables/../report.html", "tables/inner/mine.csv"]
    (tmp_path / "plan.json").write_text("{}")
    for folder in ("cells", "tables/inner"):
        (tmp_path / folder).mkdir()
    (tmp_path / "cells" / "one.json").write_text("{}")
    (tmp_path / "tables" / "inner" / "mine.csv").write_text("1\n")
    odd = [f"../{elsewhere.name}", str(elsewhere), "tables", "tables/..", "", 3, None, ["tables/mine.csv"]]
    (tmp_path / OUTPUTS).write_text(json.dumps([*names, *beside, *odd]))

    def renamed(key: CellKey) -> CellKey:
        return dataclasses.replace(key, dataset="theirs")

    dataset = dataclasses.replace(results.plan.datasets[0], name="theirs")
    plan = dataclasses.replace(
        results.plan, datasets=(dataset,), cells=tuple(renamed(key) for key in results.plan.cells)
    )
    cells = tuple(dataclasses.replace(cell, key=renamed(cell.key)) for cell in results.cells)
    finish(Results(tmp_path, plan, cells), tmp_path, examples=0)
    left = {path.name for path in (tmp_path / "tables").iterdir()}
    assert "theirs-summary.csv" in left
    assert "mine.csv" in left
    assert not [name for name in left if name.startswith("sars")]
    assert all((tmp_path / name).is_file() for name in json.loads((tmp_path / OUTPUTS).read_text()))
    assert elsewhere.is_file()
    assert all((tmp_path / name).is_file() for name in beside)


@pytest.mark.parametrize("content", ["null", "3", '"tables"', '{"tables/mine.csv": 1}', "[", "\0"])
@pytest.mark.parametrize("drop", [False, True])
def test_a_damaged_list_of_outputs_costs_nothing(tmp_path: Path, content: str, drop: bool) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mine.csv").write_text("1\n")
    (tmp_path / OUTPUTS).write_text(content)
    if drop:
        drop_former_outputs(tmp_path, ["tables/new.csv"], pictures=True)
    else:
        add_outputs(tmp_path, ["tables/new.csv"])
    assert json.loads((tmp_path / OUTPUTS).read_text()) == ["tables/new.csv"]
    assert (tmp_path / "tables" / "mine.csv").is_file()


@pytest.mark.parametrize(
    ("absent", "examples", "facts", "missing", "goes"),
    [
        ([NO_REAL_LESIONS], 2, {"run": "runs/x"}, [], True),
        ([], 2, {"control": "grey-forest"}, [], True),
        (["none of 2 cells kept its networks"], 2, {"run": "runs/x"}, [], False),
        ([NO_REAL_LESIONS], 0, {"run": "runs/x"}, [], False),
        ([NO_REAL_LESIONS], 2, {}, [], False),  # trained with --keep none
        ([NO_REAL_LESIONS], 2, {"run": "runs/x"}, [GONE], False),
    ],
)
def test_a_picture_goes_only_where_all_could_be_drawn(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    absent: list[str],
    examples: int,
    facts: dict[str, str],
    missing: list[CellKey],
    goes: bool,
) -> None:
    drawn = ExperimentFigures(absent=absent)
    monkeypatch.setattr("plr_fast.experiment.finish.experiment_figures", lambda *_, **__: drawn)
    former = ["figures/restored-PLR-before.png", "figures/roc-100.png", "tables/lesion-similarity.csv"]
    for name in former:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("former")
    (tmp_path / OUTPUTS).write_text(json.dumps(former))
    results = make_results(tmp_path, fractions=(1.0,), repeats=2, separation={"RI": 0.8}, missing=missing)
    cells = tuple(dataclasses.replace(cell, facts={**cell.facts, **facts}) for cell in results.cells)
    finish(dataclasses.replace(results, cells=cells), tmp_path, examples=examples)
    left = [name for name in former if (tmp_path / name).exists()]
    assert left == (former[2:] if goes else [former[0], former[2]])
    assert set(left) <= set(json.loads((tmp_path / OUTPUTS).read_text()))


def test_tables_hold_the_means_of_the_cells(finished: tuple[Results, Path]) -> None:
    results, out = finished
    with (out / "tables" / "sars-summary.csv").open(newline="") as lines:
        rows = {row["method"]: row for row in csv.DictReader(lines)}
    for method in ("RI", "PLR+"):
        cells = results.select(method=method)
        assert float(rows[method]["repeats"]) == len(cells)
        mean = np.mean([roc_auc_score(cell.labels, cell.scores) for cell in cells])
        assert float(rows[method]["auroc"]) == pytest.approx(mean, abs=1e-12)
        page = (out / "report.html").read_text()
        assert f"{mean:.3f}" in page


def test_every_text_says_what_the_splits_share(finished: tuple[Results, Path]) -> None:
    _, out = finished
    for name in ("report.html", "model_card.md", "checklist.md"):
        text = (out / name).read_text()
        for part in ("groups in both: 3", "81.5%", "first repeat were looked at"):
            assert part in text, (name, part)
    with (out / "tables" / "leakage.csv").open(newline="") as lines:
        (row,) = csv.DictReader(lines)
    assert (row["section"], float(row["slices"]), float(row["near"])) == ("sars", 77.0, 5.0)


def test_the_report_finds_all_that_it_links_to(finished: tuple[Results, Path]) -> None:
    _, out = finished
    links = set(re.findall(r'href="\./([^"]+)"', (out / "report.html").read_text()))
    assert {"model_card.md", "checklist.md", "tables/cells.csv"} <= links
    assert all((out / link).is_file() for link in links)


def test_the_terminal_tells_the_essence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = make_results(tmp_path, fractions=(1.0,), repeats=2, separation={"RI": 0.8}, missing=[GONE])
    plan = results.plan
    name = DatasetInfo(**{**dataclasses.asdict(plan.datasets[0]), "name": "mine [b]"})
    keys = {key: CellKey("mine [b]", "RI [x]", key.fraction, key.repeat) for key in plan.cells}
    plan = dataclasses.replace(
        plan,
        methods=(MethodInfo("RI [x]", "paper"),),
        datasets=(name,),
        cells=tuple(keys.values()),
        baseline="RI [x]",
        facts={"left_out": ["The method ImageNet [i] was left out."]},
    )
    cells = tuple(dataclasses.replace(cell, key=keys[cell.key]) for cell in results.cells)
    finish(Results(tmp_path, plan, cells), tmp_path, examples=0)
    said = " ".join(capsys.readouterr().out.split())
    assert "mine [b] (whole groups are split)" in said
    (cell,) = cells
    right = np.mean((cell.scores >= 0.5) == cell.labels)
    assert f"RI [x] │ {roc_auc_score(cell.labels, cell.scores):.3f}, {right:.3f} (1)" in said
    assert "1 of 2 cells are still missing" in said
    assert "note: The method ImageNet [i] was left out." in said
    assert "not checked" in (tmp_path / "model_card.md").read_text()


def test_without_cells_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = make_results(tmp_path, fractions=(1.0,), repeats=1)
    finish(dataclasses.replace(results, cells=()), tmp_path)
    said = capsys.readouterr().out
    assert "4 of 4 cells are still missing" in said
    assert "earlier call" not in said
    assert not list(tmp_path.iterdir())


def test_without_cells_the_files_of_an_earlier_call_are_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = make_results(tmp_path, fractions=(1.0,), repeats=1)
    for name in ("report.html", "model_card.md"):
        (tmp_path / name).write_text("former")
    finish(dataclasses.replace(results, cells=()), tmp_path)
    said = capsys.readouterr().out
    assert f"no report was made: report.html and model_card.md in {tmp_path} are what an earlier call made" in said


def test_damaged_leaks_stop_the_report_before_it_is_begun(tmp_path: Path) -> None:
    results = make_results(tmp_path, fractions=(1.0,), repeats=1)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(DataError, match="delete it"):
        finish(results, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
