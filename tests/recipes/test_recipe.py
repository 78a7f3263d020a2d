"""Config files: what counts over what, and errors that name file, line, key and the nearest right word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plr_fast.errors import ConfigError
from plr_fast.recipes import load_config
from plr_fast.training import PretrainConfig

PLACES = {"store": Path("store"), "run": Path("run")}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_default_then_base_then_file_then_what_is_given(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.yaml", "base: sars-cov-2\npretrain:\n  lr: 3e-4\n  epochs: 7\n")
    config = load_config(file).pretrain(**PLACES, epochs=9)
    assert (config.lr, config.epochs, config.batch_size, config.optimizer) == (3e-4, 9, 4, "sgd")
    assert config.log_every == PretrainConfig(**PLACES).log_every
    settings = load_config(file).settings("pretrain")
    assert settings["lr"].origin == f"{file} line 3"
    assert settings["optimizer"].origin == "sars-cov-2"
    assert settings["log_every"].origin == "default"


def test_a_base_may_be_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "lab.yaml", "base: jinan\nfinetune:\n  lr: 0.5\n")
    file = write(tmp_path / "mine.yaml", "base: sub/lab.yaml\nfinetune:\n  epochs: 3\n")
    config = load_config(file).finetune(**PLACES)
    assert (config.lr, config.epochs, config.plateau_by) == (0.5, 3, "accuracy")


def test_values_become_what_fields_are(tmp_path: Path) -> None:
    text = """
pretrain:
  store: some/store
  bank: null
  widths: [1, 2, 3, 4, 5]
  alpha: [0.25, 1]   # a range
  blend: alpha
  lr: 1e-3           # text to YAML 1.1
  checkpoint_seconds: 60
  octaves:
    - 2
    - 3
  tensorboard: no
"""
    settings = load_config(write(tmp_path / "a.yaml", text)).given("pretrain")
    found = {name: setting.value for name, setting in settings.items()}
    assert found == {
        "store": Path("some/store"), "bank": None, "widths": (1, 2, 3, 4, 5), "alpha": (0.25, 1.0), "blend": "alpha",
        "lr": 1e-3, "checkpoint_seconds": 60.0, "octaves": (2, 3), "tensorboard": False,
    }  # fmt: skip
    assert isinstance(found["checkpoint_seconds"], float)
    assert settings["alpha"].note == "a range"


def test_notes_above_and_behind(tmp_path: Path) -> None:
    text = "# about this\n# file\n\npretrain:\n  # first\n  # line\n  lr: 0.1  # and behind\n  epochs: 3\n"
    recipe = load_config(write(tmp_path / "a.yaml", text))
    assert recipe.given("pretrain")["lr"].note == "first line and behind"
    assert recipe.given("pretrain")["epochs"].note == ""
    assert recipe.documents[-1].about == "about this file"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pretrain:\n  optimiser: adam\n", "line 2: pretrain has no setting 'optimiser'; did you mean 'optimizer'?"),
        ("pretrain:\n  batch-size: 3\n", "line 2: pretrain has no setting 'batch-size'; did you mean 'batch_size'?"),
        ("pretrain:\n  lr: 1\n\n  fraction: 1\n", "line 4: pretrain has no setting 'fraction'; finetune has one"),
        ("pretrain:\n  resume: true\n", "line 2: pretrain cannot hold 'resume': it belongs to one run"),
        ("pretain:\n  lr: 1\n", "line 1: 'pretain' is no section; did you mean 'pretrain'?"),
        ("lr: 1\n", "line 1: 'lr' is no section: it is a setting of pretrain and finetune; put it below 'NAME:'"),
        ("pretrain:\n  epochs: many\n", "line 2: pretrain.epochs must be a whole number, not 'many'"),
        ("pretrain:\n  epochs: 2.5\n", "line 2: pretrain.epochs must be a whole number, not 2.5"),
        ("pretrain:\n  epochs: true\n", "line 2: pretrain.epochs must be a whole number, not True"),
        ("pretrain:\n  lr: fast\n", "line 2: pretrain.lr must be a number, not 'fast'"),
        ("pretrain:\n  lr:\n", "line 2: pretrain.lr must be a number, not None"),
        ("pretrain:\n  progress: 1\n", "line 2: pretrain.progress must be true or false, not 1"),
        ("pretrain:\n  blend: mix\n", "line 2: pretrain.blend must be one of replace, max, alpha, add, not 'mix'"),
        ("pretrain:\n  count: 30\n", "line 2: pretrain.count must be a list of 2, each a whole number, not 30"),
        ("pretrain:\n  widths: [1, 2]\n", "line 2: pretrain.widths must be a list of 5, each a whole number"),
        ("pretrain:\n  bank: 3\n", "line 2: pretrain.bank must be the name of a file or folder or null, not 3"),
        ("evaluate:\n  classifiers: ri\n", "line 2: evaluate.classifiers must be a list, [...], each the name of"),
        ("pretrain:\n  lr: 1\n  lr: 2\n", "line 3: 'lr' stands in pretrain twice, first in line 2"),
        ("pretrain:\n  lr: 1\npretrain:\n  lr: 2\n", "line 3: 'pretrain' stands in a config twice, first in line 1"),
        ("pretrain: fast\n", "line 1: pretrain must hold 'name: value' lines"),
        ("- pretrain\n", "line 1: a config must hold 'name: value' lines"),
        ("pretrain:\n  lr: [1\n", "no YAML"),
        ("pretrain:\n\tlr: 1\n", "line 2: no YAML"),
        ("pretrain:\n  lr: !!python/name:os.system\n", "line 2: cannot be read"),
        ("base: [a]\n", "line 1: base must be a named config or a file"),
        ("study: 3\n", "line 1: study must hold"),
        ("base: sars\npretrain:\n  lr: 1\n", "mine.yaml line 1: there is no config 'sars'"),
        ("# own\n\nbase: gone.yaml\n", "mine.yaml line 3: the config file "),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_errors_name_the_place(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path / "mine.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_config(file).given("pretrain")
    assert message in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    write(tmp_path / "record.json", "{}")
    write(tmp_path / "config.yaml", "pretrain:\n  lr: 1\n")
    for name, message in (
        ("binary.yaml", "no text in UTF-8"),
        ("absent.yaml", "does not exist"),
        ("record.json", "configs are YAML"),
        (".", "its settings are in .*config.yaml"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(tmp_path / name)
    with pytest.raises(ConfigError, match="did you mean 'sars-cov-2'"):
        load_config("sars-cov2")


def test_a_ring_of_bases_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "base: b.yaml\n")
    write(tmp_path / "b.yaml", "base: a.yaml\n")
    with pytest.raises(ConfigError, match="leads back"):
        load_config(tmp_path / "a.yaml")


def test_a_section_that_is_not_there_is_said(tmp_path: Path) -> None:
    file = write(tmp_path / "a.yaml", "finetune:\n  lr: 1\n")
    with pytest.raises(ConfigError, match="no section 'pretrain', only finetune"):
        load_config(file).pretrain(**PLACES)
    with pytest.raises(ConfigError, match="only nothing"):
        load_config(write(tmp_path / "empty.yaml", "")).pretrain(**PLACES)


def test_the_hash_is_of_the_settings_alone(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        return load_config(write(tmp_path / "a.yaml", text)).sha256

    first = digest("pretrain:\n  lr: 0.1  # note\n  epochs: 3\n")
    assert first == digest("# other\npretrain:\n  epochs: 3\n  lr: 1e-1\n")
    assert first != digest("pretrain:\n  lr: 0.1\n  epochs: 4\n")
    assert first != digest("finetune:\n  lr: 0.1\n  epochs: 3\n")


@pytest.mark.parametrize(
    "changes",
    [
        {"corruption": "gaussian"},
        {"corruption": "shuffle", "windows": 1000},
        {"bank": Path("bank.npz")},
        {"lesions": "fresh"},
    ],
)
def test_settings_of_a_config_step_aside_where_they_lose_their_meaning(changes: dict[str, Any]) -> None:
    """sars-cov-2 has a range of cells, which no blur has a use for: --corruption gaussian must do all the same."""
    recipe = load_config("sars-cov-2")
    config = recipe.pretrain(**PLACES, **changes)
    config.check()
    assert config.cells == 4.0
    assert config.recipe == recipe.label
    with pytest.raises(ConfigError, match="cells"):
        recipe.pretrain(**PLACES, **changes, cells=(2.0, 8.0)).check()


def test_shares_of_a_config_step_aside_for_a_split_column() -> None:
    recipe = load_config("sars-cov-2")
    assert recipe.prepare(Path("a.csv"), Path("out"), split_column="split").test_fraction == 0.2
    given = recipe.prepare(Path("a.csv"), Path("out"), split_column="split", test_fraction=0.3)
    assert given.test_fraction == 0.3  # for its own check to refuse


def test_settings_of_a_config_step_aside_for_another_kind_of_source(tmp_path: Path) -> None:
    """A config speaks of sources of all kinds; what is given on the spot must mean something."""
    text = "prepare:\n  block_size: 40\n  order_column: number\n  split_column: split\n  test_fraction: 0.3\n"
    recipe = load_config(write(tmp_path / "a.yaml", text))
    config = recipe.prepare(Path("phantom"), Path("out"))
    config.validate()
    assert (config.block_size, config.order_column, config.split_column) == (0, "", "")
    assert config.test_fraction == 0.3, "there is no split column here that names the test rows"
    with pytest.raises(ConfigError, match="--block-size has no meaning for a phantom as the source"):
        recipe.prepare(Path("phantom"), Path("out"), block_size=40).validate()


def test_what_nothing_gives_must_be_given() -> None:
    with pytest.raises(TypeError, match="run"):
        load_config("jinan").config("pretrain", store=Path("store"))
    with pytest.raises(TypeError, match="speed"):
        load_config("jinan").pretrain(**PLACES, speed=3)
