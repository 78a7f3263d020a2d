"""Table III as a user makes it: rows, controls, files, and what goes wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from plr_fast.cli.likeness import main
from plr_fast.errors import ConfigError, DataError, StoreError
from plr_fast.evaluation.likeness import patch_distances
from plr_fast.evaluation.patch_likeness import RealReference
from plr_fast.experiment.evidence.similarity import PAPER, REAL, LikenessConfig, similarity
from tests.lesion_pictures import write_lesion_folder

SMALL = {"count": 24, "window": 24, "bootstrap": 40}


@pytest.fixture(scope="module")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantom slices with a rough bright disc as the lesion of each."""
    return write_lesion_folder(tmp_path_factory.mktemp("lesions"), patients=5, slices=1, size=192, radius=25)


def test_command_writes_and_prints_the_table(lesions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [part for key, value in SMALL.items() for part in (f"--{key}", str(value))]
    assert main(["--lesions", str(lesions), "--out", str(tmp_path), *options]) == 0
    with (tmp_path / "lesion-similarity.csv").open() as lines:
        rows = {row["patches"].split(" (")[0]: row for row in csv.DictReader(lines)}
    assert [row["kind"] for row in rows.values()].count("paper") == 3
    assert {name for name, row in rows.items() if row["kind"] == "control"} == {REAL, "Unaltered lung", "Constant grey"}
    for name, (cosine, js) in PAPER.items():
        printed = rows[f"{name}, as printed in the paper"]
        assert (float(printed["cosine"]), float(printed["jensen_shannon"])) == (cosine, js)
        assert printed["spectrum"] == ""
    real, constant = rows[REAL], rows["Constant grey"]
    assert float(constant["cosine"]) < float(real["cosine"])  # what the paper's measure prefers
    assert float(constant["spectrum_low"]) > float(real["spectrum_high"])  # and the others do not
    assert float(real["cosine_low"]) < float(real["cosine"]) < float(real["cosine_high"])
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"lesion-similarity.{suffix}" for suffix in ("csv", "md", "tex")),
        "patches.png",
    }
    shown = capsys.readouterr().out
    assert "control: Constant grey" in shown
    assert "Patients are unknown" in shown


def test_numbers_are_those_of_the_patches(lesions: Path, tmp_path: Path) -> None:
    found = similarity(LikenessConfig(lesions, tmp_path, **SMALL))
    cosine, js = patch_distances(found.sets["PLR-P"].patches, found.sets[REAL].patches)
    assert found.estimates["PLR-P"]["cosine"].value == pytest.approx(cosine)
    assert found.estimates["PLR-P"]["jensen_shannon"].value == pytest.approx(js)
    halved = RealReference(found.sets[REAL], resamples=SMALL["bootstrap"]).against_itself()
    assert found.estimates[REAL] == halved
    again = similarity(LikenessConfig(lesions, tmp_path, **SMALL))
    assert again.table == found.table


def test_lung_of_a_store_is_cut_in_proportion(lesions: Path, tmp_path: Path) -> None:
    from plr_fast.data import write_phantom_store

    write_phantom_store(tmp_path / "store", patients=12, slices_per_patient=1, size=96)
    found = similarity(LikenessConfig(lesions, tmp_path, store=tmp_path / "store", **SMALL))
    [note] = [note for note in found.table.notes if "windows of 12 pixels" in note]  # 24 at 192 pixels
    assert "96 pixels a side" in note
    assert any("enlarged from 12 to 32 pixels" in note for note in found.table.notes)
    assert set(found.sets["Unaltered lung"].origins).isdisjoint(found.sets[REAL].origins)


def test_patients_come_from_a_list(lesions: Path, tmp_path: Path) -> None:
    names = [path.name for path in sorted((lesions / "images").iterdir())]
    table = tmp_path / "patients.csv"
    table.write_text("file,patient_id\n" + "".join(f"images/{name},p{i}\n" for i, name in enumerate(names)))
    found = similarity(LikenessConfig(lesions, tmp_path, patients=table, **SMALL))
    assert set(found.sets[REAL].groups) <= {f"p{i}" for i in range(5)}
    assert not any("unknown" in note for note in found.table.notes)
    table.write_text("file,patient_id\n" + "".join(f"{name},one\n" for name in names))
    with pytest.raises(DataError, match="come from 1 slices or patients"):
        similarity(LikenessConfig(lesions, tmp_path, patients=table, **SMALL))
    table.write_text("file,patient\n")
    with pytest.raises(DataError, match=r"lacks columns .* it has file, patient"):
        similarity(LikenessConfig(lesions, tmp_path, patients=table, **SMALL))
    table.write_text(f"file,patient_id\n{names[0]},\n")
    with pytest.raises(DataError, match="line 2"):
        similarity(LikenessConfig(lesions, tmp_path, patients=table, **SMALL))


def test_recipes_get_rows(lesions: Path, tmp_path: Path) -> None:
    def recipe(name: str, text: str) -> str:
        (tmp_path / name).write_text(f"base: default\npretrain: {text}\n")
        return str(tmp_path / name)

    soft = recipe("soft.yaml", "{shape: cloud, blend: add, alpha: [0.3, 0.7], patch: [8, 30], bank_count: 200}")
    found = similarity(LikenessConfig(lesions, tmp_path, also=("jinan", soft), **SMALL))
    assert len(found.sets["Recipe jinan"]) == SMALL["count"]
    assert set(found.sets["Recipe jinan"].origins) == {""}  # patches of the bank replace the lung
    clouds = found.sets["Recipe soft"]
    assert set(clouds.origins) <= {f"{i}.png" for i in range(5)}  # soft ones are seen in it
    blur = recipe("blur.yaml", "{corruption: gaussian}")
    found = similarity(LikenessConfig(lesions, tmp_path, also=(blur,), **SMALL))
    assert found.estimates["Recipe blur"] == found.estimates["PLR-G"]
    whole = recipe("whole.yaml", "{lesions: clouds, blend: add}")
    with pytest.raises(ConfigError, match="cover whole slices"):
        similarity(LikenessConfig(lesions, tmp_path, also=(whole,), **SMALL))
    with pytest.raises(ConfigError, match="nowhere"):
        similarity(LikenessConfig(tmp_path / "no lesions needed", tmp_path, also=("nowhere",)))


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="share from 0 to below 1"):
        LikenessConfig(Path("a"), Path("b"), share=1.0)


def test_what_cannot_work_is_said_before_lesions_are_read(lesions: Path, tmp_path: Path) -> None:
    """(There is no folder of lesions: whoever reads it first complains of that.)"""
    from plr_fast.data import write_phantom_store

    nothing = tmp_path / "no lesions needed"
    clouds, bank = tmp_path / "whole.yaml", tmp_path / "bank.yaml"
    clouds.write_text("base: default\npretrain: {lesions: clouds, blend: add}\n")
    bank.write_text(f"base: default\npretrain: {{bank: {tmp_path}/gone.npz}}\n")
    with pytest.raises(ConfigError, match=r"whole\.yaml: .* cover whole slices"):
        similarity(LikenessConfig(nothing, tmp_path, also=(str(clouds),)))
    with pytest.raises(ConfigError, match=r"bank\.yaml: there is no lesion bank .*gone\.npz"):
        similarity(LikenessConfig(nothing, tmp_path, also=(str(bank),)))
    with pytest.raises(StoreError, match="no slice store"):
        similarity(LikenessConfig(nothing, tmp_path, store=tmp_path / "no store"))
    write_phantom_store(tmp_path / "store", patients=12, slices_per_patient=1, size=64)
    with pytest.raises(DataError, match="no folder"):
        similarity(LikenessConfig(nothing, tmp_path, store=tmp_path / "store"))
    with pytest.raises(ConfigError, match="out is a file"):
        LikenessConfig(lesions, clouds)


def test_a_recipe_is_scaled_as_in_training(lesions: Path, tmp_path: Path) -> None:
    """With a reference size its patches are those of the settings that training scales it to."""
    (tmp_path / "scaled.yaml").write_text(
        "base: default\npretrain: {reference_size: 384, patch: [12, 40], cells: 3.0, bank_count: 60}\n"
    )
    (tmp_path / "plain.yaml").write_text("base: default\npretrain: {patch: [6, 20], cells: 6.0, bank_count: 60}\n")
    both = tuple(str(tmp_path / name) for name in ("scaled.yaml", "plain.yaml"))
    found = similarity(LikenessConfig(lesions, tmp_path, also=both, **SMALL))
    np.testing.assert_array_equal(found.sets["Recipe scaled"].patches, found.sets["Recipe plain"].patches)
    (tmp_path / "large.yaml").write_text("base: default\npretrain: {reference_size: 16, patch: [12, 60]}\n")
    with pytest.raises(ConfigError, match="larger bank_size"):
        similarity(LikenessConfig(lesions, tmp_path, also=(str(tmp_path / "large.yaml"),), **SMALL))
