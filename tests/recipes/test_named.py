"""The configs that come with plr_fast: complete, valid, and saying what the paper says."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from plr_fast.recipes import SECTIONS, load_config, named_configs
from plr_fast.recipes.sections import config_class

NAMES = named_configs()
PLACES = {"store": Path("store"), "run": Path("run")}


def test_their_names() -> None:
    assert NAMES == ["default", "jinan", "plr+", "sars-cov-2"]


@pytest.mark.parametrize("name", NAMES)
def test_every_section_makes_a_valid_config(name: str) -> None:
    recipe = load_config(name)
    recipe.prepare(source=Path("phantom"), out=Path("store")).validate()
    recipe.pretrain(**PLACES).check()
    recipe.finetune(**PLACES).check()
    recipe.evaluate(store=Path("store"), out=Path("out"), classifiers=(Path("run"),)).check()


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_says_where_it_comes_from(name: str) -> None:
    for document in load_config(name).documents:
        for section, entries in document.sections.items():
            for name, entry in entries.items():
                assert entry.note, f"{document.name}: {section}.{name}, line {entry.line}"


def test_default_is_what_happens_without_a_config() -> None:
    recipe = load_config("default")
    for section in SECTIONS:
        defaults = {field.name: field.default for field in fields(config_class(section))}
        for key, setting in recipe.given(section).items():
            assert defaults[key] is not MISSING
            assert setting.value == defaults[key], f"{section}.{key}"


def test_default_names_every_setting_in_which_the_paper_differs() -> None:
    default, paper = load_config("default"), load_config("sars-cov-2")
    for section in SECTIONS:
        defaults = {field.name: field.default for field in fields(config_class(section))}
        differing = {key for key, setting in paper.given(section).items() if setting.value != defaults[key]}
        assert differing <= default.given(section).keys(), section


def test_sars_cov_2_is_the_papers() -> None:
    recipe = load_config("sars-cov-2")
    pretrain, finetune = recipe.pretrain(**PLACES), recipe.finetune(**PLACES)
    # III.E
    assert (pretrain.optimizer, pretrain.lr, pretrain.momentum, pretrain.batch_size) == ("sgd", 1e-3, 0.0, 4)
    assert (finetune.optimizer, finetune.lr, finetune.rho, finetune.eps) == ("adadelta", 0.1, 0.95, 1e-7)
    assert (finetune.batch_size, finetune.hidden, finetune.zoom) == (16, 512, (0.8, 1.2))
    assert recipe.given("prepare")["size"].value == 224
    assert finetune.plateau_by == "accuracy"
    # III.B, IV.D
    assert (pretrain.bank_images, pretrain.bank_size, pretrain.bank_count) == (500, 512, 5000)
    assert (pretrain.threshold, pretrain.patch, pretrain.blend) == (180, (5, 25), "replace")
    assert (pretrain.count, pretrain.samples_per_epoch, pretrain.freeze) == ((30, 30), 4 * 464, True)
    # IV.E
    assert (recipe.study["repeats"], recipe.study["fractions"]) == (3, [1.0, 0.5, 0.3, 0.1])
    assert finetune.fraction_by == "slices"


@pytest.mark.parametrize(("name", "total"), [("sars-cov-2", 2924), ("jinan", 802)])
def test_split_shares_are_those_of_table_1(name: str, total: int) -> None:
    recipe = load_config(name)
    slices = recipe.study["slices"]
    counts = {split: sum(classes.values()) for split, classes in slices.items()}
    assert sum(counts.values()) == total
    given = recipe.given("prepare")
    assert round(given["val_fraction"].value * total) == counts["val"]
    assert round(given["test_fraction"].value * total) == counts["test"]


def test_jinan_differs_in_size_and_splits_only() -> None:
    ours, theirs = load_config("jinan"), load_config("sars-cov-2")
    differing = {
        f"{section}.{key}"
        for section in SECTIONS
        for key, setting in ours.settings(section).items()
        if setting.value != theirs.settings(section)[key].value
    }
    assert differing == {"prepare.size", "prepare.val_fraction", "prepare.test_fraction"}
    assert ours.given("prepare")["size"].value == 512
