"""Experiments that run: from file to cells, stopped and continued, with failures, without a network."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from plr_fast.data.leakage import leakage
from plr_fast.data.prepare import write_phantom_store
from plr_fast.data.store import SliceStore
from plr_fast.errors import CheckpointError, ConfigError, DataError, ExperimentError, StorageError
from plr_fast.evaluation.inference import predict
from plr_fast.experiment.engine.grid import Grid, build_grid
from plr_fast.experiment.engine.pool import Pool
from plr_fast.experiment.engine.stores import Split
from plr_fast.experiment.engine.tasks import CellTask, Done, Failed, Progress
from plr_fast.experiment.engine.train_cell import do_task, is_trained, same_settings
from plr_fast.experiment.options import ExperimentOptions, devices_and_threads
from plr_fast.experiment.outputs import OUTPUTS
from plr_fast.experiment.planning.plan_reader import load_experiment
from plr_fast.experiment.results import Results, read_cell, read_results
from plr_fast.experiment.run import FAILURES, run_experiment
from plr_fast.training import load_classifier

TEXT = """\
finetune: {epochs: 3, widths: [2, 2, 4, 4, 4], hidden: 8}
pretrain: {epochs: 4, widths: [2, 2, 4, 4, 4], corruption: gaussian}
datasets:
  - {name: one, store: STORE, repeats: 2, test_fraction: 0.25}
methods:
  - {name: RI, kind: paper}
  - {name: PLR-G, kind: paper, pretrain: {}}
  - {name: Grey forest, kind: control, control: grey-forest}
fractions: [1.0]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "store"
    write_phantom_store(path, patients=16, slices_per_patient=2, size=32)
    return path


@pytest.fixture(scope="module")
def plan(store: Path) -> Path:
    path = store.parent / "test.yaml"
    path.write_text(TEXT.replace("STORE", str(store)))
    return path


@pytest.fixture(scope="module")
def finished(plan: Path) -> Results:
    """The experiment, run once without a stop."""
    return run_experiment(ExperimentOptions(str(plan), out=plan.parent / "straight", jobs=2, threads=1))


@pytest.fixture
def copy(finished: Results, tmp_path: Path) -> Path:
    """A copy of the finished experiment, in a folder of its own."""
    shutil.copytree(finished.folder, tmp_path / "out")
    return tmp_path / "out"


def without_pictures(plan: Path, out: Path, **more: Any) -> ExperimentOptions:
    """Options for what is not about pictures, which take longer than these trainings."""
    return ExperimentOptions(str(plan), out=out, examples=0, **more)


def grid_of(plan: Path, out: Path) -> Grid:
    out.mkdir(exist_ok=True)
    return build_grid(load_experiment(plan), out)


def assert_same(first: Results, second: Results) -> None:
    assert not first.missing
    assert not second.missing
    for ours, theirs in zip(first.cells, second.cells, strict=True):
        assert (ours.key, ours.settings_sha256) == (theirs.key, theirs.settings_sha256)
        np.testing.assert_array_equal(ours.scores, theirs.scores)


def no_tell(_share: float, _note: str) -> None:
    pass


def test_every_cell_is_there_and_says_where_it_comes_from(finished: Results, store: Path) -> None:
    assert not finished.missing
    assert len(finished.cells) == 3 * 2
    whole = SliceStore.open(store)
    for cell in finished.cells:
        assert len(cell.labels) == cell.facts["test_slices"]
        assert set(cell.ids.tolist()) <= set(whole.ids.tolist())
        assert cell.facts["warnings"] == []
        assert ("pretrain_seconds" in cell.facts) == (cell.key.method == "PLR-G")
    tested = [set(finished.select(method="RI")[repeat].ids.tolist()) for repeat in range(2)]
    assert not tested[0] & tested[1]
    paired = [cell.ids.tolist() for cell in finished.cells if cell.key.repeat == 0]
    assert paired[0] == paired[1] == paired[2]


def test_it_ends_with_report_tables_card_and_leaks(finished: Results) -> None:
    out = finished.folder
    with (out / "tables" / "one-summary.csv").open(newline="") as lines:
        rows = {row["method"]: row for row in csv.DictReader(lines)}
    page, card = (out / "report.html").read_text(), (out / "model_card.md").read_text()
    for method in finished.plan.methods:
        cells = finished.select(method=method.name)
        mean = np.mean([roc_auc_score(cell.labels, cell.scores) for cell in cells])
        assert float(rows[method.name]["auroc"]) == pytest.approx(mean, abs=1e-12)
        assert f"{mean:.3f}" in page
    (found,) = json.loads((out / "leakage.json").read_text())
    (split,) = {cell.facts["split_sha256"] for cell in finished.cells if cell.key.repeat == 0}
    (folder,) = [
        path
        for path in (out / "splits").iterdir()
        if Split(SliceStore.open(path), 0).sha256 == split == found["split_sha256"]
    ]
    report = leakage(SliceStore.open(folder))
    assert found["report"] == json.loads(json.dumps(report.to_json()))
    for sentence in report.sentences():
        assert sentence in card
    assert "# Reporting checklists" in (out / "checklist.md").read_text()


def test_the_scores_are_those_of_the_network_that_was_kept(finished: Results, store: Path) -> None:
    cell = finished.select(method="PLR-G")[0]
    indices = np.flatnonzero(np.isin(SliceStore.open(store).ids, cell.ids))
    model = load_classifier(finished.folder / cell.facts["run"])
    scores = predict(model, SliceStore.open(store), indices, name="x", batch_size=1)
    np.testing.assert_allclose(scores, cell.scores, atol=1e-6)


def test_networks_of_the_first_repeat_stay_and_others_go(finished: Results) -> None:
    kept = [cell.key.repeat for cell in finished.cells if "run" in cell.facts]
    assert kept == [0, 0]
    runs = sorted(path.name.split("-")[0] for path in (finished.folder / "runs").glob("*/*"))
    assert runs == ["one", "one", "pretrain"]
    assert not list((finished.folder / "runs").glob("*/*/checkpoints/last"))


def test_a_second_call_has_nothing_to_do(plan: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plr_fast.experiment.run.Pool", None)  # no worker is started
    before = {path: path.stat().st_mtime_ns for path in (copy / "cells").iterdir()}
    run_experiment(without_pictures(plan, copy))
    assert {path: path.stat().st_mtime_ns for path in (copy / "cells").iterdir()} == before


def test_changed_settings_step_aside_and_come_back(plan: Path, copy: Path, tmp_path: Path) -> None:
    other = tmp_path / "test.yaml"
    other.write_text(plan.read_text().replace("corruption: gaussian", "corruption: shuffle"))
    run_experiment(without_pictures(other, copy, only=("RI",)))
    results = read_results(copy)
    assert {key.method for key in results.missing} == {"PLR-G"}
    assert len(list((copy / "superseded").glob("*.json"))) == 2
    run_experiment(without_pictures(plan, copy, only=("PLR-G",)))
    assert not read_results(copy).missing
    assert not list((copy / "superseded").iterdir())


def test_a_default_that_has_changed_makes_a_cell_stale(finished: Results, plan: Path) -> None:
    task = grid_of(plan, finished.folder).cells[0]
    recorded = finished.cells[0].facts["settings"]
    assert same_settings(recorded, task.settings)
    changed = {**recorded, "finetune": {**recorded["finetune"], "zoom": [0.5, 1.0]}}
    assert not same_settings(changed, task.settings)
    unknown = {**recorded, "finetune": {key: value for key, value in recorded["finetune"].items() if key != "ema"}}
    assert same_settings(unknown, task.settings)  # a setting that came later had its default's effect
    begun = next(task for task in grid_of(plan, finished.folder).cells if task.needs)
    recorded = next(cell for cell in finished.cells if cell.key == begun.cell).facts["settings"]
    assert same_settings(recorded, begun.settings)
    assert not same_settings({**recorded, "encoder": {**recorded["encoder"], "lr": 0.5}}, begun.settings)


def test_results_of_a_default_that_has_changed_never_come_back(
    plan: Path, copy: Path, finished: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plr_fast.experiment.run.Pool", pool_that(lambda _: False))
    cell = copy / "cells" / "one--grey-forest--1--1.json"
    content = json.loads(cell.read_text())
    right = content["facts"]["settings"]["subset_seed"]
    content["facts"]["settings"]["subset_seed"] = right + 1  # the hash, of what is not a default, stays
    content["seconds"] = 12345.0
    cell.write_text(json.dumps(content))
    aside = copy / "superseded" / f"one--grey-forest--1--1-{content['settings_sha256'][:12]}.json"
    for _ in range(2):  # what is in cells, then what is in superseded alone
        assert_same(run_experiment(without_pictures(plan, copy)), finished)
        found = json.loads(cell.read_text())
        assert found["facts"]["settings"]["subset_seed"] == right
        assert found["seconds"] != 12345.0
        assert json.loads(aside.read_text())["seconds"] == 12345.0
        assert aside.with_suffix(".csv").is_file()
        cell.unlink()


def test_killed_it_goes_on_and_ends_with_the_same_bits(plan: Path, finished: Results, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    command = [
        sys.executable,
        "-m",
        "plr_fast",
        "experiment",
        str(plan),
        "--out",
        str(out),
        "--jobs",
        "2",
        "--threads",
        "1",
    ]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            deadline = time.monotonic() + 120
            while not list(out.glob("cells/*.json")):
                assert time.monotonic() < deadline
                assert process.poll() is None, (tmp_path / "said").read_text()
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
    assert 0 < len(list(out.glob("cells/*.json"))) < 6
    results = run_experiment(without_pictures(plan, out, jobs=1, threads=1))
    assert_same(results, finished)


def test_a_worker_that_is_killed_is_noticed_and_replaced(plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    task = next(task for task in grid_of(plan, out).cells if task.cell.method == "RI")
    endless = dataclasses.replace(task, config=dataclasses.replace(task.config, epochs=100_000, early_stop=0))
    (out / "logs").mkdir()
    with Pool(["cpu"], 1, out / "logs") as pool:
        first = pool.workers[0]
        failure = None
        deadline = time.monotonic() + 120
        while failure is None:
            assert time.monotonic() < deadline
            if first.idle:
                pool.give(first, endless)
            for _, about, said in pool.answers(0.2):
                assert about is endless
                if isinstance(said, Progress):
                    os.kill(first.process.pid, signal.SIGKILL)
                elif isinstance(said, Failed):
                    failure = said
        assert "signal 9 (SIGKILL)" in failure.message
        assert "fewer --jobs" in failure.message
        assert pool.workers[0] is not first
        assert pool.workers[0].process.poll() is None


def test_a_failure_is_told_and_the_others_are_done(
    plan: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = grid_of(plan, copy)
    lost = [task for task in grid.cells if task.cell.method != "PLR-G" and task.repeat == 1]
    for task in lost:
        (copy / "cells" / f"{task.key}.json").unlink()
    monkeypatch.setattr("plr_fast.experiment.run.Pool", pool_that(lambda task: task.control is None))
    with pytest.raises(ExperimentError, match="1 tasks failed"):
        run_experiment(without_pictures(plan, copy, jobs=1))
    assert [failure["message"] for failure in read_failures(copy)] == ["as told"]
    assert [key.method for key in read_results(copy).missing] == ["RI"]
    monkeypatch.setattr("plr_fast.experiment.run.Pool", pool_that(lambda _: False))
    run_experiment(without_pictures(plan, copy, jobs=1))
    assert read_failures(copy) == []
    assert "RI" in capsys.readouterr().out


def test_what_failed_first_is_told_though_the_report_fails_too(
    plan: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("no room for the report")

    next((copy / "cells").glob("*forest*.json")).unlink()
    monkeypatch.setattr("plr_fast.experiment.run.finish", full)
    monkeypatch.setattr("plr_fast.experiment.run.Pool", pool_that(lambda _: True))
    with pytest.raises(ExperimentError, match=r"(?s)1 tasks failed.*as told.*no room for the report"):
        run_experiment(ExperimentOptions(str(plan), out=copy, jobs=1))
    assert [failure["message"] for failure in read_failures(copy)] == ["as told"]
    monkeypatch.setattr("plr_fast.experiment.run.Pool", pool_that(lambda _: False))
    with pytest.raises(StorageError, match="no room for the report"):
        run_experiment(ExperimentOptions(str(plan), out=copy, jobs=1))
    assert read_failures(copy) == []


def read_failures(out: Path) -> list[dict[str, str]]:
    path = out / FAILURES
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def pool_that(fails: Callable[[CellTask], bool]) -> type:
    """A pool that does the work in this process, and fails with the tasks that ``fails`` names."""

    class Here:
        idle = True

        def __init__(self, _devices: object, _threads: object, _logs: object) -> None:
            self.workers, self.given = [self], []

        def __enter__(self) -> Here:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def give(self, _worker: Here, task: CellTask) -> None:
            self.idle = False
            self.given.append(task)

        def answers(self, _timeout: float) -> list[tuple[Here, CellTask, Done | Failed]]:
            self.idle = True
            task = self.given.pop()
            if fails(task):
                return [(self, task, Failed("as told"))]
            return [(self, task, do_task(task, threads=1, accelerator="cpu", tell=no_tell))]

    return Here


def test_no_room_stops_all(plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Full(pool_that(lambda _: True)):  # type: ignore[misc]
        def answers(self, _timeout: float) -> list[tuple[object, CellTask, Failed]]:
            self.idle = True
            asked.append(self.given[-1].key)
            return [(self, self.given.pop(), Failed("no room", fatal=True))]

    monkeypatch.setattr("plr_fast.experiment.run.Pool", Full)
    with pytest.raises(ExperimentError, match="no room"):
        run_experiment(without_pictures(plan, tmp_path / "out", jobs=1))
    assert len(asked) == 1


def test_a_cell_goes_on_inside_its_training(plan: Path, finished: Results, tmp_path: Path) -> None:
    task = next(task for task in grid_of(plan, tmp_path / "out").cells if task.cell.method == "RI")
    steps = []

    def stop(share: float, _note: str) -> None:
        steps.append(share)
        if share > 0.5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        do_task(task, threads=1, accelerator="cpu", tell=stop)
    assert 0.5 < steps[-1] < 1.0
    assert read_cell(task.out, task.cell) is None
    do_task(task, threads=1, accelerator="cpu", tell=no_tell)
    cell = read_cell(task.out, task.cell)
    assert cell is not None
    assert cell.facts["resumed"] == 1
    np.testing.assert_array_equal(cell.scores, finished.cells[0].scores)


def test_a_damaged_run_is_begun_anew(plan: Path, finished: Results, tmp_path: Path) -> None:
    task = next(task for task in grid_of(plan, tmp_path / "out").cells if task.cell.method == "RI")
    do_task(dataclasses.replace(task, keep=True), threads=1, accelerator="cpu", tell=no_tell)
    run = Path(task.config.run)
    assert is_trained(task.config)
    (run / "checkpoints" / "last").mkdir()
    (run / "checkpoints" / "last" / "state.json").write_text("{")
    (run / "summary.json").unlink()
    assert not is_trained(task.config)
    do_task(task, threads=1, accelerator="cpu", tell=no_tell)
    cell = read_cell(task.out, task.cell)
    assert cell is not None
    np.testing.assert_array_equal(cell.scores, finished.cells[0].scores)


def test_a_missing_encoder_is_named(plan: Path, tmp_path: Path) -> None:
    task = next(task for task in grid_of(plan, tmp_path / "out").cells if task.needs is not None)
    with pytest.raises(CheckpointError, match=r"runs/encoders/pretrain-one-0"):
        do_task(task, threads=1, accelerator="cpu", tell=no_tell)


def test_the_threshold_is_chosen_on_validation_slices(plan: Path, tmp_path: Path) -> None:
    task = next(task for task in grid_of(plan, tmp_path / "out").cells if task.cell.method == "RI")
    do_task(dataclasses.replace(task, threshold="youden"), threads=1, accelerator="cpu", tell=no_tell)
    cell = read_cell(task.out, task.cell)
    assert cell is not None
    assert cell.facts["threshold_rule"] == "youden"
    assert cell.threshold != 0.5


def test_a_damaged_cell_is_done_again(
    plan: Path, copy: Path, finished: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plr_fast.experiment.run.Pool", pool_that(lambda _: False))
    (copy / "cells" / "one--grey-forest--1--1.csv").write_text("id,group,label,score\n")
    with pytest.raises(DataError):
        read_results(copy)
    assert_same(run_experiment(without_pictures(plan, copy)), finished)


def test_two_at_once_in_one_folder_are_refused(plan: Path, copy: Path) -> None:
    import fcntl

    with (copy / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another plr-fast experiment"):
            run_experiment(without_pictures(plan, copy))


def test_other_folders_are_left_alone(plan: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds no experiment"):
        run_experiment(without_pictures(plan, tmp_path))


def test_a_dry_run_trains_nothing_and_tells_time_and_room(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_experiment(without_pictures(plan, tmp_path / "out", dry_run=True, devices="cpu", jobs=2))
    said = capsys.readouterr().out
    assert "to do: 6 of 6 cells (2 of them without a network), and 2 encoders" in said
    assert "estimated time" in said
    assert "room on the disk" in said
    assert not (tmp_path / "out" / "runs").exists()
    assert not (tmp_path / "out" / "cells").exists()


def test_a_method_that_was_left_out_is_refused_with_the_reason(plan: Path, tmp_path: Path) -> None:
    other = tmp_path / "test.yaml"
    optional = '{name: ImageNet, kind: paper, init: "imagenet:nowhere.pth", optional: true}'
    other.write_text(plan.read_text().replace("fractions:", f"  - {optional}\nfractions:"))
    with pytest.raises(ConfigError, match=r"^--only ImageNet: .*the weights nowhere.pth of ImageNet do not exist"):
        run_experiment(without_pictures(other, tmp_path / "out", only=("ImageNet",)))
    assert not (tmp_path / "out").exists()


def test_where_every_cell_fails_the_former_files_are_told_of(
    plan: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = copy.parent / "test.yaml"
    other.write_text(f"{plan.read_text()}seed: 1\n")
    page = (copy / "report.html").read_bytes()
    monkeypatch.setattr("plr_fast.experiment.run.Pool", pool_that(lambda _: True))
    monkeypatch.setattr("plr_fast.experiment.run.is_trained", lambda _: True)  # so that only cells are begun
    with pytest.raises(ExperimentError, match="6 tasks failed"):
        run_experiment(without_pictures(other, copy, jobs=1))
    assert "no cell is finished" in (said := capsys.readouterr().out)
    assert "report.html, tables, figures, model_card.md and checklist.md" in said
    assert (copy / "report.html").read_bytes() == page


def test_pictures_that_cannot_be_drawn_this_time_stay(plan: Path, copy: Path) -> None:
    figures = {path.name for path in (copy / "figures").iterdir()}
    assert {"fig07", "fig08", "fig09", "fig10", "real", "restored"} <= {name.split("-")[0] for name in figures}
    listed = json.loads((copy / OUTPUTS).read_text())
    run_experiment(without_pictures(plan, copy))
    shutil.rmtree(copy / "runs")
    run_experiment(ExperimentOptions(str(plan), out=copy, examples=1))
    assert {path.name for path in (copy / "figures").iterdir()} == figures
    assert json.loads((copy / OUTPUTS).read_text()) == listed


def test_pictures_of_an_edit_go_where_all_can_be_drawn(plan: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ["figures/restored-gone-before.png", "figures/auroc-by-fraction-gone.png", "tables/gone-summary.csv"]
    likeness = "tables/lesion-similarity.csv"
    for name in (*ours, likeness):
        (copy / name).write_text("of former settings")
    names = json.loads((copy / OUTPUTS).read_text())
    (copy / OUTPUTS).write_text(json.dumps([*names, *ours, likeness]))
    run_experiment(ExperimentOptions(str(plan), out=copy, examples=1, report_only=True))
    assert all((copy / name).is_file() for name in ours)
    assert set(json.loads((copy / OUTPUTS).read_text())) >= {*ours, likeness}
    run_experiment(ExperimentOptions(str(plan), out=copy, examples=1))
    assert not [name for name in ours if (copy / name).exists()]
    left = json.loads((copy / OUTPUTS).read_text())
    assert likeness in left
    assert not set(ours) & set(left)


def test_a_report_needs_no_data(plan: Path, copy: Path, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = store.with_name("hidden")
    gone = plan.with_name("gone.yaml")
    gone.write_text(plan.read_text().replace(str(store), str(hidden)))
    with pytest.raises(ConfigError, match="hidden"):
        run_experiment(without_pictures(gone, copy))
    gone.write_text(f"{gone.read_text()}card: {{authors: Someone Else}}\ntitle: Another title\n")
    results = run_experiment(without_pictures(gone, copy, report_only=True))
    assert not results.missing
    assert "Grey forest" in capsys.readouterr().out
    for name in ("report.html", "model_card.md"):
        assert "Someone Else" in (copy / name).read_text()
        assert "Another title" in (copy / name).read_text()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"jobs": 0}, "at least 1"),
        ({"threads": 0}, "at least 1"),
        ({"data": ("one",)}, "NAME=PATH"),
        ({"data": ("one=a", "one=b")}, "twice"),
        ({"only": ("RJ",)}, "no such method"),
        ({"devices": "cuda:99"}, "no device cuda:99"),
        ({"devices": "gpu"}, "devices must be"),
        ({"dry_run": True, "report_only": True}, "not both"),
    ],
)
def test_wrong_options_are_refused(plan: Path, tmp_path: Path, changes: dict[str, object], says: str) -> None:
    options = dataclasses.replace(ExperimentOptions(str(plan), out=tmp_path / "out"), **changes)
    with pytest.raises(ConfigError, match=says):
        run_experiment(options)
    assert not (tmp_path / "out").exists()


def test_jobs_share_the_cores() -> None:
    devices, threads = devices_and_threads("cpu", 1)
    assert devices == ["cpu"]
    assert threads >= 1
    many, few = devices_and_threads("cpu", 64)
    assert len(many) == 64
    assert few == 1


def test_plan_json_says_all_that_was_settled(finished: Results) -> None:
    import yaml

    content = yaml.safe_load(finished.plan.config)
    plr = next(method for method in content["methods"] if method["name"] == "PLR-G")
    assert plr["pretrain"]["corruption"] == "gaussian"
    assert plr["finetune"]["epochs"] == 3
    assert json.loads((finished.folder / "plan.json").read_text())["facts"]["recipe"].startswith("default")
