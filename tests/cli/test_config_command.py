"""``plr-fast config``, and ``--config`` of the other commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plr_fast.cli.evaluate import EvaluateConfig
from plr_fast.cli.main import main
from plr_fast.cli.options import read_with_config
from plr_fast.data import SliceStore
from plr_fast.recipes import SECTIONS, load_config
from plr_fast.training import PretrainConfig

from .test_cli import output

PLACES = ["--store", "store", "--run", "run"]


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    rows = output(capsys, "config", "list").splitlines()
    assert [row.split()[0] for row in rows] == ["default", "jinan", "plr+", "sars-cov-2"]
    assert all(len(row.split()) > 5 for row in rows)


def test_show_prints_the_notes(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "config", "show", "sars-cov-2", "--section", "finetune")
    assert text.startswith("finetune:\n")
    assert "rho: 0.95  # open: Keras' default" in text
    assert "evaluate" not in text
    both = output(capsys, "config", "show", "jinan")
    assert both.index("---- sars-cov-2") < both.index("---- jinan")
    assert "study:" in both


def test_show_resolved_is_the_same_config(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = output(capsys, "config", "show", "jinan", "--resolved")
    assert "  lr: 0.001  # sars-cov-2: paper III.E" in text
    assert "  log_every: 20  # default" in text
    (tmp_path / "again.yaml").write_text(text)
    first, again = load_config("jinan"), load_config(tmp_path / "again.yaml")
    for section in SECTIONS:
        values = {name: setting.value for name, setting in first.settings(section).items()}
        assert {name: setting.value for name, setting in again.given(section).items()} == values


def test_diff(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "config", "diff", "default", "sars-cov-2", "--section", "finetune")
    assert "finetune.norm: batch | none" in text
    assert "pretrain" not in text
    assert output(capsys, "config", "diff", "jinan", "jinan") == "no difference\n"


def test_errors_of_the_config_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("pretrain:\n  lrr: 1\n")
    assert "did you mean 'lr'" in output(capsys, "config", "show", tmp_path / "a.yaml", status=1)
    assert "there is no config 'paper'" in output(capsys, "config", "show", "paper", status=1)
    output(capsys, "config", "show", "jinan", "--section", "train", status=2)


def test_command_line_over_file_over_default(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: sars-cov-2\npretrain:\n  epochs: 3\n  lr: 0.5\n")
    config = read_with_config(PretrainConfig, "pretrain", ["--config", str(tmp_path / "a.yaml"), *PLACES, "--lr", "2"])
    assert (config.lr, config.epochs, config.optimizer, config.log_every) == (2.0, 3, "sgd", 20)
    assert config.recipe.startswith(f"{tmp_path / 'a.yaml'} sha256:")
    plain = read_with_config(PretrainConfig, "pretrain", PLACES)
    assert plain == PretrainConfig(store=Path("store"), run=Path("run"))


def test_a_file_may_say_where_things_are(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("evaluate:\n  store: s\n  out: o\n  classifiers: [a, b]\n  threshold: youden\n")
    config = read_with_config(EvaluateConfig, "evaluate", [f"--config={tmp_path / 'a.yaml'}", "--out", "p"])
    assert (config.store, config.out, config.classifiers) == (Path("s"), Path("p"), (Path("a"), Path("b")))
    assert config.threshold == "youden"


def test_options_of_the_command_line_that_lose_their_meaning_are_refused() -> None:
    read_with_config(PretrainConfig, "pretrain", ["--config", "jinan", *PLACES, "--corruption", "gaussian"]).check()
    asked = ["--config", "jinan", *PLACES, "--corruption", "gaussian", "--threshold", "100"]
    with pytest.raises(ValueError, match="threshold=100 would have no effect"):
        read_with_config(PretrainConfig, "pretrain", asked).check()


def test_help_shows_the_configs_values(capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "finetune", "--config", "sars-cov-2", "--help")
    assert "(default: slices)" in text
    assert "(required)" in text
    assert "--config" in output(capsys, "finetune", "--help")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config"], "needs the name of a config"),
        (["--config", "--store", "x"], "needs the name of a config"),
        (["--config", "jinan", "--config", "default"], "given 2 times"),
        (["--config", "jinn"], "did you mean 'jinan'"),
    ],
)
def test_wrong_uses_of_the_option(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert message in output(capsys, "pretrain", *arguments, status=1)


def test_a_run_can_be_done_again_from_its_config(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store, run, again = tmp_path / "store", tmp_path / "run", tmp_path / "again"
    small = ["--size", "32", "--phantom-patients", "20", "--phantom-slices", "2"]
    assert main(["prepare", "--config", "jinan", "--source", "phantom", "--out", str(store), *small]) == 0
    tiny = ["--widths", "2", "2", "4", "4", "4", "--epochs", "1", "--samples-per-epoch", "8", "--patch", "2", "5"]
    tiny += ["--bank-count", "50", "--bank-images", "4", "--seed", "3"]
    assert main(["pretrain", "--config", "sars-cov-2", "--store", str(store), "--run", str(run), *tiny]) == 0
    capsys.readouterr()
    assert main(["pretrain", "--config", str(run / "config.yaml"), "--run", str(again)]) == 0
    first, second = (json.loads((folder / "config.json").read_text()) for folder in (run, again))
    differing = {key for key, value in first["config"].items() if second["config"][key] != value}
    assert differing == {"run", "recipe"}
    weights = [(folder / "checkpoints/last/model.safetensors").read_bytes() for folder in (run, again)]
    assert weights[0] == weights[1]
    record: dict[str, Any] = first
    assert record["recipe"] == load_config("sars-cov-2").label
    assert len(record["split_sha256"]) == 64
    assert record["store_fingerprint"] == SliceStore.open(store).fingerprint
    assert record["starts"][0]["machine"]["processor"]


def test_an_option_given_beside_a_file_does_not_step_aside(tmp_path: Path) -> None:
    from plr_fast.cli.options import read_with_config
    from plr_fast.errors import ConfigError
    from plr_fast.training import FinetuneConfig

    file = tmp_path / "mine.yaml"
    file.write_text("finetune:\n  widths: [4, 8, 8, 8, 8]\n")
    words = ["--config", str(file), "--store", str(tmp_path / "s"), "--run", str(tmp_path / "r"), "--model", "danet"]
    read_with_config(FinetuneConfig, "finetune", words).check()
    config = read_with_config(FinetuneConfig, "finetune", [*words, "--widths", "4", "8", "8", "8", "8"])
    with pytest.raises(ConfigError, match=r"^widths=.* no effect"):
        config.check()
