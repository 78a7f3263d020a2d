"""Experiment files: what they say, and what is said of their mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from plr_fast.errors import ConfigError
from plr_fast.experiment.planning import plan_reader
from plr_fast.experiment.planning.plan import PHANTOM
from plr_fast.experiment.planning.plan_reader import load_experiment, shipped

GOOD = """\
title: A test
seed: 3
pretrain: {epochs: 2}
finetune: {epochs: 4}
datasets:
  - {name: one, source: phantom, repeats: 4, test_fraction: 0.25}
methods:
  - {name: RI, kind: paper}
  - {name: PLR-P, kind: paper, pretrain: {corruption: perlin}}
fractions: [1.0, {fraction: 0.1, repeats: 7, finetune: {epochs: 9}}]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "test.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", shipped())
def test_shipped_ones_are_sound_and_name_no_path(name: str) -> None:
    text = (Path(plan_reader.__file__).parent / "plans" / f"{name}.yaml").read_text()
    experiment = load_experiment(name, {"SARS-CoV-2": PHANTOM} if "- name: SARS-CoV-2" in text else {})
    assert experiment.baseline in [method.name for method in experiment.methods]
    assert "control" in {method.kind for method in experiment.methods} or name == "p-by-m"
    assert "/" not in experiment.text.replace("and/or", "")
    assert all(sentence.count("--data") for sentence in experiment.left_out)


def test_the_paper_is_there_with_all_its_initialisations() -> None:
    experiment = load_experiment("sars-cov-2", {"SARS-CoV-2": PHANTOM, "X-ray": PHANTOM})
    study = experiment.recipe.study
    names = [method.name for method in experiment.methods] + [line.split()[2] for line in experiment.left_out]
    assert set(study["initialisations"]) <= set(names)
    assert [entry.fraction for entry in experiment.fractions] == study["fractions"]
    assert [dataset.repeats for dataset in experiment.datasets] == [study["repeats"]]


def test_a_shipped_one_without_its_data_says_how_to_give_them() -> None:
    with pytest.raises(ConfigError, match=r"--data SARS-CoV-2=PATH"):
        load_experiment("sars-cov-2")


def test_what_stands_in_a_file_is_what_is_read(tmp_path: Path) -> None:
    experiment = load_experiment(write(tmp_path, GOOD))
    assert (experiment.name, experiment.title, experiment.seed, experiment.baseline) == ("test", "A test", 3, "RI")
    assert experiment.datasets[0].repeats == 4
    assert [(entry.fraction, entry.repeats, dict(entry.finetune)) for entry in experiment.fractions] == [
        (1.0, None, {}),
        (0.1, 7, {"epochs": 9}),
    ]
    ri, plr = experiment.methods
    assert ri.pretrain is None
    assert plr.pretrain == {"corruption": "perlin"}


def test_another_recipe_means_pretraining_by_it(tmp_path: Path) -> None:
    text = GOOD.replace("{name: RI, kind: paper}", "{name: RI, kind: ours, recipe: sars-cov-2}")
    method = load_experiment(write(tmp_path, text)).methods[0]
    assert method.pretrain == {}
    assert method.recipe is not None
    assert method.recipe.name == "sars-cov-2"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("title:", "titel:", 1, "did you mean 'title'"),
        ("title: A test", "epochs: 3", 1, "belongs into pretrain or finetune"),
        ("{epochs: 2}", "{epoch: 2}", 3, "did you mean 'epochs'"),
        ("{epochs: 2}", "{epochs: two}", 3, "a whole number"),
        ("{epochs: 2}", "{fraction: 0.1}", 3, "finetune has one"),
        ("{epochs: 4}", "{fraction: 0.1}", 4, "listed in 'fractions'"),
        ("{epochs: 4}", "{seed: 1}", 4, "experiment's seed"),
        ("{epochs: 4}", "{epochs: 4, epochs: 5}", 4, "twice"),
        ("source: phantom", "source: phantom, store: x", 6, "give one"),
        ("repeats: 4", "repeats: 0", 6, "1 … 1000"),
        ("0.25", "0.9", 6, "below 1"),
        ("0.25", "1.5", 6, "between 0 and 1"),
        ("source: phantom", "source: /no/such/folder", 6, "does not exist"),
        ("kind: paper}", "kind: theirs}", 8, "one of paper, ours, control"),
        ("kind: paper}", "kind: paper, baseline: 1}", 8, "no setting 'baseline'"),
        ("kind: paper}", "kind: control, control: gray-forest}", 8, "did you mean 'grey-forest'"),
        ("pretrain: {corruption: perlin}", "pretrain: {}, control: grey-forest", 9, "in one way only"),
        ("pretrain: {corruption: perlin}", "init: no.safetensors", 9, "do not exist"),
        ("pretrain: {corruption: perlin}", "datasets: [two]", 9, "'two'"),
        ("PLR-P", "ri", 9, "share their files"),
        ("[1.0,", "[1.5,", 10, "at most 1"),
        ("[1.0,", "[0.1,", 10, "twice"),
        ("[1.0, {fraction: 0.1,", "[1.0, {", 10, "lacks 'fraction'"),
        ("seed: 3", "baseline: PLR_P", 2, "did you mean 'PLR-P'"),
        ("seed: 3", "recipe: defualt", 2, "did you mean 'default'"),
        ("seed: 3", "evaluate: {bootstrap: 3}", 2, "no setting 'bootstrap'"),
        ("PLR-P", '"R\\nJ"', 9, "one line"),
        ("PLR-P", "P" * 61, 9, "at most 60"),
        ("name: RI,", "name: PLR+, kind: paper}\n  - {name: PLRplus,", 9, "share their files"),
        ("methods:", "  - {name: One, source: phantom}\nmethods:", 7, "share their files"),
        ("methods:", "  - {name: one+, source: phantom}\nmethods:", 7, "share their files"),
        ("methods:", "  - {name: a+, source: phantom}\n  - {name: aplus, source: phantom}\nmethods:", 8, "share their"),
        ("kind: paper}", "kind: paper, datasets: []}", 8, "is empty"),
        ("kind: paper}", "kind: paper, fractions: []}", 8, "is empty"),
        ("[1.0,", "[0.1000000001,", 10, "twice"),
        ("{epochs: 2}", "{<<: {epochs: 2}}", 3, "'<<' is not understood"),
        ("seed: 3", "[seed]: 3", 2, "must be a word"),
        ("seed: 3", "recipe: [default]", 2, "must be text"),
        ("fractions: [", "fractions: ]", 10, "no YAML"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_experiment(path)
    assert f"test.yaml line {line}:" in str(caught.value)
    assert says in str(caught.value)


def test_characters_that_yaml_does_not_allow_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"test\.yaml: no YAML: .*#x0000"):
        load_experiment(write(tmp_path, GOOD.replace("A test", "A\0test")))


def test_off_is_a_word_where_words_are_asked_for(tmp_path: Path) -> None:
    text = GOOD.replace("{epochs: 4}", "{init_head: off}")
    assert load_experiment(write(tmp_path, text)).finetune == {"init_head": "off"}


def test_without_need_of_data_none_are_looked_for(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("source: phantom", "store: /no/such/store"))
    with pytest.raises(ConfigError, match="does not exist"):
        load_experiment(path)
    assert load_experiment(path, need_data=False).title == "A test"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'phantom-quick'"):
        load_experiment("phantom-quik")


def test_data_fill_their_places(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text("{}")
    text = GOOD.replace("source: phantom, ", "").replace(
        "pretrain: {corruption: perlin}", "supervised: {name: rays, finetune: {epochs: 1}}, optional: true"
    )
    path = write(tmp_path, text)
    experiment = load_experiment(path, {"one": str(tmp_path / "store"), "rays": PHANTOM})
    assert experiment.datasets[0].place.store == tmp_path / "store"
    assert experiment.methods[1].supervised is not None
    assert experiment.methods[1].supervised.place.source == PHANTOM
    without = load_experiment(path, {"one": str(tmp_path / "store")})
    assert [method.name for method in without.methods] == ["RI"]
    assert "PLR-P was left out" in without.left_out[0]
    with pytest.raises(ConfigError, match="did you mean 'rays'"):
        load_experiment(path, {"ray": PHANTOM})


def test_slices_to_pretrain_on_may_come_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text("{}")
    text = GOOD.replace("corruption: perlin}", "corruption: perlin}, optional: true, pretrain_on: {name: others}")
    path = write(tmp_path, text)
    place = load_experiment(path, {"others": str(tmp_path / "store")}).methods[1].pretrain_on
    assert place is not None
    assert place.store == tmp_path / "store"
    assert "PLR-P was left out" in load_experiment(path).left_out[0]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("corruption: perlin}", "corruption: perlin}, pretrain_on: {name: one}", "'one' is the name of the data set"),
        (
            "corruption: perlin}",
            "corruption: perlin}, pretrain_on: {name: One}",
            "'One' is the name of the data set one",
        ),
        ("corruption: perlin}", "corruption: perlin}, pretrain_on: {store: x}", "lacks 'name'"),
        ("kind: paper}", "kind: paper, pretrain_on: {name: x}}", "RI, which is not pretrained: give pretrain: {}"),
        (
            "corruption: perlin}",
            "corruption: perlin}, pretrain_on: {name: x}}\n  - {name: B, kind: paper, supervised: {name: x, store: y}",
            "'x' is named at .* line 9, too",
        ),
        (
            "corruption: perlin}",
            "corruption: perlin}, pretrain_on: {name: B}}\n  - {name: B, kind: paper, init: 'imagenet:'",
            "'B' is the name of a method with weights",
        ),
    ],
)
def test_mistakes_of_where_to_pretrain(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=says):
        load_experiment(write(tmp_path, GOOD.replace(old, new, 1)))


def test_a_method_without_a_data_set_needs_no_data(tmp_path: Path) -> None:
    second = "  - {name: two, optional: true}\nmethods:"
    method = "corruption: perlin}, datasets: [two], pretrain_on: {name: others}"
    text = GOOD.replace("methods:", second).replace("corruption: perlin}", method)
    experiment = load_experiment(write(tmp_path, text))
    assert [one.name for one in experiment.methods] == ["RI"]
    assert "PLR-P was left out: it runs on two alone" in experiment.left_out[1]
