"""The grid: paired seeds and splits, shared encoders, hashes that change with what matters and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from plr_fast.data.prepare import write_phantom_store
from plr_fast.data.store import SliceRecord, SliceStore, StoreWriter
from plr_fast.errors import CheckpointError, ConfigError, DataError
from plr_fast.experiment.engine.grid import Grid, build_grid
from plr_fast.experiment.engine.stores import prepare_settings
from plr_fast.experiment.engine.tasks import CellTask
from plr_fast.experiment.engine.train_cell import do_task
from plr_fast.experiment.planning.controls import CONTROLS
from plr_fast.experiment.planning.plan import PHANTOM, Place
from plr_fast.experiment.planning.plan_reader import load_experiment
from plr_fast.experiment.results import read_cell
from plr_fast.models import Classifier
from plr_fast.recipes import load_config

TEXT = """\
finetune: {epochs: 2, widths: [2, 2, 4, 4, 4]}
pretrain: {epochs: 2, widths: [2, 2, 4, 4, 4], patch: [2, 6], count: [5, 5]}
datasets:
  - {name: one, store: STORE, repeats: 4, test_fraction: 0.25}
methods:
  - {name: RI, kind: paper}
  - {name: PLR-P, kind: paper, pretrain: {corruption: perlin}}
  - {name: PLR-G, kind: paper, pretrain: {corruption: gaussian}}
fractions: [1.0, 0.5]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "store"
    write_phantom_store(path, patients=24, slices_per_patient=2, size=32)
    return path


@pytest.fixture
def make(store: Path, tmp_path: Path) -> Callable[..., Grid]:
    def build(*changes: tuple[str, str]) -> Grid:
        text = TEXT
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "test.yaml"
        path.write_text(text.replace("STORE", str(store)))
        (tmp_path / "out").mkdir(exist_ok=True)
        return build_grid(load_experiment(path), tmp_path / "out")

    return build


def write_others(path: Path, patients: int = 10, **shares: float) -> Path:
    """A phantom whose slices have names of their own: all phantoms look alike, and have the same names."""
    write_phantom_store(
        path.with_suffix(".phantom"), patients=patients, slices_per_patient=2, size=32, seed=9, **shares
    )
    store = SliceStore.open(path.with_suffix(".phantom"))
    with StoreWriter(path, size=store.size, count=len(store), class_names=store.class_names) as writer:
        for index in range(len(store)):
            names = {"id": f"other {index}", "group": str(store.groups[index]), "split": str(store.splits[index])}
            record = SliceRecord(**names, label=int(store.labels[index]))
            writer.add(store.slices[index] // 2, store.masks[index], record)
    return path


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_others(tmp_path_factory.mktemp("other") / "store")


def hashes(grid: Grid) -> dict[str, str]:
    return {task.key: task.sha256 for task in grid.cells}


def by_repeat(grid: Grid, repeat: int) -> list[CellTask]:
    return [task for task in grid.cells if task.repeat == repeat]


def test_cells_of_one_repeat_share_split_and_seeds_and_repeats_do_not(make: Callable[..., Grid]) -> None:
    grid = make()
    assert len(grid.cells) == 3 * 2 * 4
    seen = set()
    for repeat in range(4):
        shared = {
            (task.store, task.config.seed, task.config.subset_seed, task.facts["split_sha256"])
            for task in by_repeat(grid, repeat)
        }
        assert len(shared) == 1
        seen |= shared
    for column in zip(*seen, strict=True):
        assert len(set(column)) == 4
    encoders = grid.encoders.values()
    assert {task.config.seed for task in encoders if task.repeat == 2} == {by_repeat(grid, 2)[0].config.seed}


def test_four_repeats_of_a_quarter_test_every_group_once(make: Callable[..., Grid]) -> None:
    stores = [SliceStore.open(path) for path in sorted({task.store for task in make().cells})]
    tested = [set(store.groups[store.select("test")].tolist()) for store in stores]
    assert sum(map(len, tested)) == len(set().union(*tested)) == 24


def test_an_encoder_is_shared_by_fractions_and_by_methods_alike(make: Callable[..., Grid]) -> None:
    grid = make()
    assert len(grid.encoders) == 2 * 4
    assert {task.needs is None for task in grid.cells if task.cell.method == "RI"} == {True}
    twins = make(("corruption: gaussian", "corruption: perlin"))
    assert len(twins.encoders) == 4
    assert all("PLR-P, PLR-G" in task.label for task in twins.encoders.values())
    first, second = (task for task in twins.cells if task.repeat == 0 and task.needs and task.cell.fraction == 1.0)
    assert first.sha256 == second.sha256
    assert first.config.init == second.config.init


def test_pretraining_sees_training_slices_only(make: Callable[..., Grid]) -> None:
    grid = make()
    for task in grid.cells:
        if task.needs is not None:
            assert grid.encoders[task.needs].config.store == task.store


@pytest.mark.parametrize(
    ("change", "methods"),
    [
        (("corruption: gaussian", "corruption: shuffle"), {"PLR-G"}),
        (("count: [5, 5]", "count: [6, 6]"), {"PLR-P"}),
        (("{name: RI, kind: paper}", "{name: RI, kind: paper, finetune: {lr: 0.2}}"), {"RI"}),
        (("finetune: {epochs: 2", "finetune: {epochs: 3"), {"RI", "PLR-P", "PLR-G"}),
        (("repeats: 4, test", "repeats: 4, finetune: {hidden: 8}, test"), {"RI", "PLR-P", "PLR-G"}),
        (("test_fraction: 0.25", "test_fraction: 0.5"), {"RI", "PLR-P", "PLR-G"}),
        (("finetune: {epochs", "seed: 1\nfinetune: {epochs"), {"RI", "PLR-P", "PLR-G"}),
        (("finetune: {epochs", "evaluate: {threshold: youden}\nfinetune: {epochs"), {"RI", "PLR-P", "PLR-G"}),
        # What changes no result:
        (("finetune: {epochs", "title: Another\nkeep: all\nbaseline: PLR-P\nfinetune: {epochs"), set()),
        (("finetune: {epochs: 2", "finetune: {tensorboard: true, num_workers: 1, epochs: 2"), set()),
        (("kind: paper}", "kind: control, about: as it is}"), set()),
    ],
)
def test_a_change_renames_what_it_changes(
    make: Callable[..., Grid], change: tuple[str, str], methods: set[str]
) -> None:
    before, grid = hashes(make()), make(change)
    changed = {task.cell.method for task in grid.cells if before[task.key] != task.sha256}
    assert changed == methods


def test_what_is_added_changes_no_other_cell(make: Callable[..., Grid]) -> None:
    before = hashes(make())
    more = make(
        ("fractions: [1.0, 0.5]", "fractions: [1.0, 0.5, {fraction: 0.3, repeats: 2}]"),
        ("methods:\n", "  - {name: two, store: STORE, split_by: slices, repeats: 1}\nmethods:\n"),
        ("methods:\n", "methods:\n  - {name: New, kind: ours, finetune: {norm: none}}\n"),
    )
    assert len(more.cells) == 4 * (4 + 4 + 2) + 4 * 3
    found = hashes(more)
    assert {key: found[key] for key in before} == before


def test_layers_the_method_has_the_last_word(make: Callable[..., Grid]) -> None:
    grid = make(
        ("fractions: [1.0, 0.5]", "fractions: [1.0, {fraction: 0.5, finetune: {epochs: 7, lr: 0.3}}]"),
        ("{name: RI, kind: paper}", "{name: RI, kind: paper, finetune: {lr: 0.7}}"),
    )
    found = {
        (task.cell.method, task.cell.fraction): (task.config.epochs, task.config.lr)
        for task in grid.cells
        if task.repeat == 0 and task.cell.method != "PLR-G"
    }
    assert found == {
        ("RI", 1.0): (2, 0.7),
        ("RI", 0.5): (7, 0.7),
        ("PLR-P", 1.0): (2, 0.1),
        ("PLR-P", 0.5): (7, 0.3),
    }


def test_settings_without_a_meaning_step_aside_unless_the_method_gives_them(make: Callable[..., Grid]) -> None:
    grid = make()  # `count` stands in the experiment, and PLR-G has no lesions to count
    assert all(task.config.check() is None for task in grid.encoders.values())
    with pytest.raises(ConfigError, match=r"line 8: PLR-G: .*count"):
        make(("corruption: gaussian", "corruption: gaussian, count: [7, 7]"))


def test_an_encoder_that_would_not_fit_is_refused_before_it_is_trained(make: Callable[..., Grid]) -> None:
    with pytest.raises(ConfigError, match="norm='none' and fine-tuned with norm='batch'"):
        make(("corruption: gaussian", "corruption: gaussian, norm: none"))


def test_too_few_groups_are_told_before_any_work(make: Callable[..., Grid], tmp_path: Path) -> None:
    write_phantom_store(tmp_path / "few", patients=4, slices_per_patient=2, size=32, val_fraction=0.0)
    with pytest.raises(DataError, match="group"):
        make(("store: STORE, repeats", f"store: '{tmp_path / 'few'}', val_fraction: 0.7, repeats"))


def test_supervised_encoders_are_trained_once_for_all_cells(make: Callable[..., Grid], other: Path) -> None:
    new = f"kind: paper, supervised: {{name: rays, store: '{other}', finetune: {{epochs: 1}}}}"
    grid = make(("kind: paper, pretrain: {corruption: gaussian}", new))
    encoders = [task for key, task in grid.encoders.items() if key.startswith("supervised")]
    assert len(encoders) == 1
    assert encoders[0].config.epochs == 1
    assert {task.needs for task in grid.cells if task.cell.method == "PLR-G"} == {encoders[0].key}


def test_encoders_may_be_pretrained_on_other_slices(make: Callable[..., Grid], other: Path) -> None:
    here, grid = make(), make(elsewhere(other))
    encoders = [task for task in grid.encoders.values() if task.place == "other"]
    assert {task.config.store for task in encoders} == {other}
    assert {task.dataset for task in encoders} == {None}
    assert {task.kind for task in encoders} == {"pretrain"}
    assert len({task.config.seed for task in encoders}) == len(encoders) == 4, "one for each repeat"
    assert {task.needs for task in grid.cells if task.cell.method == "PLR-G"} == {task.key for task in encoders}
    # Their slices are no training slices of the cells, so what they have seen is checked.
    allowed = {task.cell.method: task.config.allow_overlap for task in grid.cells}
    assert allowed == {"RI": False, "PLR-P": True, "PLR-G": False}
    before, after = hashes(here), hashes(grid)
    assert {key for key in after if before[key] != after[key]} == {key for key in after if "--plr-g--" in key}


def elsewhere(store: Path, more: str = "") -> tuple[str, str]:
    """What pretrains PLR-G on ``store``."""
    old = "pretrain: {corruption: gaussian}"
    return old, f"{old}, pretrain_on: {{name: other, store: '{store}'}}{more}"


def test_encoders_that_would_learn_held_out_slices_are_refused_before_any_work(
    make: Callable[..., Grid], store: Path
) -> None:
    with pytest.raises(ConfigError, match=r"line 8: PLR-G: \d+ of the \d+ .* among the training slices of other"):
        make(elsewhere(store))
    assert make(elsewhere(store, ", finetune: {allow_overlap: true}")).cells


def test_other_slices_must_do_for_their_task(make: Callable[..., Grid], tmp_path: Path) -> None:
    write_others(tmp_path / "no-val", val_fraction=0.0)
    with pytest.raises(DataError, match=r"PLR-G: other: .* no normal slice to use in its val split"):
        make(elsewhere(tmp_path / "no-val"))


def test_other_slices_have_the_network_of_the_data_set_and_nothing_else(make: Callable[..., Grid], other: Path) -> None:
    new = "pretrain: {norm: none, epochs: 7}, finetune: {norm: none}, repeats"
    grid = make(("repeats", new), elsewhere(other))
    found = {task.place: (task.config.norm, task.config.epochs) for task in grid.encoders.values()}
    assert found == {"one": ("none", 7), "other": ("none", 2)}


def test_two_data_sets_share_encoders_of_other_slices(make: Callable[..., Grid], other: Path, tmp_path: Path) -> None:
    write_phantom_store(tmp_path / "two", patients=24, slices_per_patient=2, size=32, seed=4)
    second = f"methods:\n  - {{name: two, store: '{tmp_path / 'two'}', repeats: 4, test_fraction: 0.25}}\n"
    grid = make(("methods:\n", f"{second.split(chr(10), 1)[1]}methods:\n"), elsewhere(other))
    encoders = {task.key for task in grid.encoders.values() if task.place == "other"}
    assert len(encoders) == 4
    for name in ("one", "two"):
        cells = [task for task in grid.cells if task.cell.dataset == name and task.cell.method == "PLR-G"]
        assert {task.needs for task in cells} == encoders


def test_the_plan_names_the_slices_of_encoders_whatever_is_said_about_them(
    make: Callable[..., Grid], other: Path
) -> None:
    old, place = "kind: paper, pretrain: {corruption: gaussian}", f"{{name: other, store: '{other}'}}"
    assert make().plan.facts["encoder_slices"] == {}
    for new in (f"{old}, about: mine, pretrain_on: {place}", f"kind: paper, about: mine, supervised: {place}"):
        assert make((old, new)).plan.facts["encoder_slices"] == {"PLR-G": "other"}


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_can_be_planned(make: Callable[..., Grid], name: str) -> None:
    grid = make(("kind: paper, pretrain: {corruption: gaussian}", f"kind: control, control: {name}"))
    assert grid.plan.methods[2].about == CONTROLS[name]


def test_cells_tell_which_slices_their_encoder_saw_beside_their_own(make: Callable[..., Grid], other: Path) -> None:
    grid = make(elsewhere(other))
    facts = {}
    for task in grid.cells:
        if task.needs is not None and task.repeat == 0 and task.cell.fraction == 1.0:
            do_task(grid.encoders[task.needs], threads=1, accelerator="cpu", tell=lambda *_: None)
            do_task(task, threads=1, accelerator="cpu", tell=lambda *_: None)
            cell = read_cell(task.out, task.cell)
            assert cell is not None
            facts[task.cell.method] = cell.facts
    store = SliceStore.open(other)
    assert facts["PLR-G"]["encoder_slices"] == {
        "kind": "pretrain",
        "store_fingerprint": store.fingerprint,
        "train_slices": len(store.select("train", 0)),
        "val_slices": len(store.select("val", 0)),
    }
    assert "encoder_slices" not in facts["PLR-P"]
    assert facts["PLR-P"]["pretrain"]


def test_repeats_of_single_slices_share_the_pixels_of_one_store(make: Callable[..., Grid], store: Path) -> None:
    grid = make(("repeats: 4,", "split_by: slices, repeats: 2,"))
    first, second = (SliceStore.open(path) for path in sorted({task.store for task in grid.cells}))
    assert (first.path / "slices.npy").stat().st_ino == (second.path / "slices.npy").stat().st_ino
    np.testing.assert_array_equal(first.ids, SliceStore.open(store).ids)
    assert not np.array_equal(first.splits, second.splits)


def test_given_splits_are_the_stores_own(make: Callable[..., Grid], store: Path) -> None:
    grid = make(("repeats: 4, test_fraction: 0.25", "split_by: given, repeats: 2"))
    assert {task.store for task in grid.cells} == {store}
    assert len({task.config.seed for task in grid.cells}) == 2
    assert "test_fraction" not in grid.plan.config, "a share that means nothing here"


def test_the_file_says_what_groups_are_where_the_store_is_wrong(make: Callable[..., Grid]) -> None:
    assert make().plan.datasets[0].unit == "patient"
    assert make(("repeats: 4", "unit: block, repeats: 4")).plan.datasets[0].unit == "block"


PLUS = ("{name: PLR-G, kind: paper, pretrain: {corruption: gaussian}}", "{name: PLR+, kind: ours, recipe: plr+}")


def test_a_recipe_of_its_own_brings_its_finetuning(make: Callable[..., Grid]) -> None:
    grid = make(PLUS, ("patch: [2, 6], ", ""))
    task = next(task for task in grid.cells if task.cell.method == "PLR+")
    assert (task.config.init_head, task.config.early_stop, task.config.epochs) == ("auto", 0, 2)
    assert task.needs is not None
    config = grid.encoders[task.needs].config
    assert (config.presence_weight, config.reference_size, config.patch) == (1.0, 512, (16, 40))


def test_a_head_that_would_not_fit_is_refused_before_it_is_trained(make: Callable[..., Grid]) -> None:
    small = ("finetune: {epochs: 2", "finetune: {hidden: 8, epochs: 2")
    without = ("patch: [2, 6], ", "")
    with pytest.raises(ConfigError, match=r"line 8: PLR\+: its head .* hidden=512 and fine-tuned with hidden=8"):
        make(PLUS, small, without)
    assert make((PLUS[0], PLUS[1][:-1] + ", finetune: {init_head: off}}"), small, without).cells
    assert make((PLUS[0], PLUS[1][:-1] + ", pretrain: {hidden: 8}}"), small, without).cells


def test_patches_for_all_methods_are_not_scaled_by_the_recipe_of_one(make: Callable[..., Grid]) -> None:
    with pytest.raises(ConfigError, match=r"line 8: PLR\+: patch \(2, 6\), .* reference_size 512 of plr\+"):
        make(PLUS)
    assert make((PLUS[0], PLUS[1][:-1] + ", pretrain: {reference_size: null}}")).cells
    with pytest.raises(ConfigError, match=r"line 8: PLR\+: patch .* at the store's 32, and must fit"):
        make((PLUS[0], PLUS[1][:-1] + ", pretrain: {patch: [8, 40], reference_size: 32, bank_size: 16}}"))


def test_weights_that_do_not_fit_are_refused_before_anything_is_trained(
    make: Callable[..., Grid], tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(Classifier((2, 2, 4, 4, 4), "batch", 8).state_dict(), path)
    begins = ("kind: paper, pretrain: {corruption: gaussian}", f"kind: paper, init: '{path}'")
    assert make(begins).cells
    with pytest.raises(CheckpointError, match=r"line 8: PLR-G: .*does not fit"):
        make((begins[0], begins[1] + ", finetune: {widths: [2, 2, 2, 2, 2]}"))
    path.write_text("no weights")
    with pytest.raises(CheckpointError, match=r"line 8: PLR-G: .*damaged"):
        make(begins)


def test_what_is_wrong_with_a_source_is_told_with_its_line(make: Callable[..., Grid], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"test\.yaml line 4: one: .*--positive.*\(here, --NAME is NAME of prepare\)"):
        make(("store: STORE", f"source: '{tmp_path / 'empty'}'"))


def test_a_folder_that_was_moved_is_not_prepared_again(tmp_path: Path) -> None:
    place = Place("one", PHANTOM, None, {"size": 32, "phantom_patients": 6, "phantom_slices": 2}, "here")
    recipe = load_config("default")
    first = prepare_settings(place, recipe, tmp_path / "a").out
    assert first.parent == tmp_path / "a" / "stores"
    assert prepare_settings(place, recipe, tmp_path / "b").out.name == first.name
    other = dataclasses.replace(place, prepare={**place.prepare, "phantom_slices": 3})
    assert prepare_settings(other, recipe, tmp_path / "a").out.name != first.name
