"""Preparation of DICOM series and NIfTI volumes end to end: a hospital's folders in, a store without names out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pydicom", reason='pip install "plr-fast[codecs]"')

from pydicom.uid import RLELossless

from plr_fast.data import SliceStore, thorax_phantom
from plr_fast.data.identities import pseudonym
from plr_fast.data.prepare import PrepareConfig, PrepareReport, prepare
from plr_fast.errors import ConfigError, DataError, ImageReadError
from tests.data.medical_files import STANDARD, ct_slices, dataset, nibabel, one_series, save, save_series, uid, volume

SIZE = 64
DEPTH = 4
PATIENTS = 6  # of each class
PRONE = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def hounsfield(patient: int) -> np.ndarray:
    """A phantom's scan, (DEPTH, SIZE, SIZE), with the grey values of the lung window."""
    phantom = thorax_phantom(2, DEPTH, SIZE, seed=patient)
    grey = phantom.slices[DEPTH * (patient % 2) : DEPTH * (patient % 2 + 1)].astype(float)
    return np.rint(grey * 1500 / 255 - 1350).clip(-1024).astype(np.int16)


def tags(patient: int) -> dict[str, Any]:
    return {
        "PatientID": f"MRN{patient}",
        "PatientName": f"Roe^Jane{patient}",
        "StudyInstanceUID": uid("study", patient),
        "SeriesInstanceUID": uid("series", patient),
    }


@pytest.fixture(scope="module")
def scans() -> list[np.ndarray]:
    return [hounsfield(number) for number in range(2 * PATIENTS)]


@pytest.fixture
def hospital(tmp_path: Path, scans: list[np.ndarray]) -> Path:
    """``tmp_path/set/<class>/ROE_JANE<n>/scan``: every second patient stored upside down, one compressed."""
    for number, scan in enumerate(scans):
        made = ct_slices(scan, PRONE if number % 2 else STANDARD, **tags(number))
        if number == 4:
            for item in made:
                item.compress(RLELossless)
        folder = tmp_path / "set" / ("normal", "covid")[number // PATIENTS] / f"ROE_JANE{number}" / "scan"
        save_series(made, folder, suffix="" if number % 3 else ".dcm", seed=number)
    return tmp_path / "set"


def made(source: Path, **options: Any) -> tuple[PrepareReport, SliceStore]:
    values: dict[str, Any] = {"size": SIZE, "progress": False, "out": source.parent / "store"}
    if source.is_dir():
        source = source.resolve()
    report = prepare(PrepareConfig(**(values | {"source": source} | options)))
    return report, SliceStore.open(report.store)


def rows(path: Path, lines: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


class TestFolders:
    def test_patients_slices_and_order(self, hospital: Path, scans: list[np.ndarray]) -> None:
        report, store = made(hospital, patient_ids="keep", source_names="keep")
        assert (report.slices, report.groups, report.unit) == (2 * PATIENTS * DEPTH, 2 * PATIENTS, "patient")
        assert report.notes == ()
        assert report.mask_failures == 0
        for number, scan in enumerate(scans):
            name = f"{('normal', 'covid')[number // PATIENTS]}/ROE_JANE{number}/scan"
            places = [store.ids.tolist().index(f"{name}#{page:04d}") for page in range(DEPTH)]
            assert places == list(range(places[0], places[0] + DEPTH))  # neighbours lie side by side
            expected = np.rint(np.clip((scan + 1350.0) * 255 / 1500, 0, 255))
            assert np.abs(store.slices[places] - expected).max() <= 1  # float32 against float64 at a half
            assert {store.patients[place] for place in places} == {f"MRN{number}"}
            assert store.labels[places[0]] == number // PATIENTS
        np.testing.assert_allclose(store.spacings, np.tile([0.8, 0.7], (len(store), 1)))

    def test_nothing_tells_who_it_is(self, hospital: Path) -> None:
        (hospital / "normal" / "ROE_JANE0" / "scan" / "ROE.dcm").write_bytes(b"damaged")
        (hospital / "normal" / "ROE_JANE0" / "ROE.txt").write_text("")
        table_file = hospital.parent / "names.csv"
        report, store = made(hospital, on_error="skip", patient_salt="sesame", names_table=table_file)
        assert report.skipped
        assert any("ROE.txt" in note for note in report.notes)  # told, not kept
        for file in report.store.iterdir():
            if file.suffix in (".csv", ".json"):
                content = file.read_text().upper()
                for secret in ("JANE", "ROE", "MRN", "SESAME", uid("study", 1), uid("series", 1), str(hospital)):
                    assert secret.upper() not in content, (file, secret)
        assert set(store.patients) == {pseudonym(f"MRN{number}", "sesame") for number in range(2 * PATIENTS)}
        with table_file.open() as stream:
            table = {row["source"]: row["file"] for row in csv.DictReader(stream)}
        assert set(store.sources) <= set(table)
        assert table[store.sources[0]] == "covid/ROE_JANE6/scan"  # positive comes first

    def test_the_same_salt_gives_the_same_store(self, hospital: Path) -> None:
        first, _ = made(hospital, patient_salt="a")
        other, _ = made(hospital, patient_salt="a", out=hospital.parent / "other", jobs=2)
        third, _ = made(hospital, patient_salt="b", out=hospital.parent / "third")
        manifests = [(report.store / "manifest.csv").read_text() for report in (first, other, third)]
        assert manifests[0] == manifests[1] != manifests[2]
        for file in first.store.iterdir():
            assert file.read_bytes() == (other.store / file.name).read_bytes()

    def test_two_series_of_one_patient_share_a_group(self, hospital: Path) -> None:
        again = ct_slices(volume(3, SIZE, SIZE), **(tags(0) | {"SeriesInstanceUID": uid("more")}))
        save_series(again, hospital / "normal" / "ROE_JANE0" / "scan", suffix=".other")
        save_series(again, hospital / "normal" / "elsewhere")
        report, store = made(hospital, source_names="keep")
        assert report.groups == 2 * PATIENTS
        names = sorted({str(name) for name in store.sources if "JANE0/" in name})
        assert names == [
            f"normal/ROE_JANE0/scan/series-{pseudonym(series)[:8]}"
            for series in sorted((uid("series", 0), uid("more")), key=pseudonym)
        ]

    def test_ids_can_be_passed_over(self, hospital: Path) -> None:
        report, store = made(hospital, patient_ids="none")
        assert report.unit == "file"
        assert set(store.patients) == {""}
        assert store.sources[0].startswith("covid/ROE_JANE6")  # names are the user's affair then

    def test_patient_folders_go_before_tags(self, hospital: Path) -> None:
        _, store = made(hospital, patient_folders=True)
        assert set(store.patients) == {f"ROE_JANE{number}" for number in range(2 * PATIENTS)}

    def test_splits_are_checked_before_anything_is_read(self, hospital: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for folder in sorted((hospital / "covid").iterdir())[1:]:
            folder.rename(hospital / "normal" / folder.name)
        monkeypatch.setattr("plr_fast.data.prepare_pool.prepare_slices", lambda *_, **__: pytest.fail("read too early"))
        with pytest.raises(DataError, match=r"the class 'covid' has 1 group\(s\)"):
            made(hospital)

    def test_refusals_stop_or_skip(self, hospital: Path) -> None:
        coronal = ct_slices(volume(3), ImageOrientationPatient=[1, 0, 0, 0, 0, -1], SeriesInstanceUID=uid("coronal"))
        save_series(coronal, hospital / "normal" / "ROE_JANE1" / "coronal")
        with pytest.raises(ImageReadError, match=r"3 coronal slices; only axial.*--on-error skip"):
            made(hospital)
        report, _ = made(hospital, on_error="skip")
        assert "3 coronal slices" in report.skipped[0][1]
        assert report.slices == 2 * PATIENTS * DEPTH

    @pytest.mark.parametrize("kept", [False, True])
    def test_a_truncated_slice_takes_its_series_along(self, hospital: Path, kept: bool) -> None:
        folder = hospital / "covid" / "ROE_JANE8" / "scan"
        file = sorted(folder.iterdir())[1]
        file.write_bytes(file.read_bytes()[:-100])
        if kept:  # the skipping call goes on from what the stopped one left
            with pytest.raises(ImageReadError, match=rf"^{file} .*--on-error skip"):
                made(hospital)
        report, _ = made(hospital, on_error="skip")
        (reason,) = (reason for _, reason in report.skipped)
        assert reason.startswith(f"the series {folder} ({DEPTH} slices) is left out, because {file} ")
        assert report.slices == (2 * PATIENTS - 1) * DEPTH

    def test_garbage_behind_the_mark_is_named(self, hospital: Path) -> None:
        file = hospital / "covid" / "ROE_JANE8" / "scan" / "garbage"
        file.write_bytes(b"\0" * 128 + b"DICM" + np.random.default_rng(0).bytes(3000))
        with pytest.raises(ImageReadError, match=rf"^{file} is damaged.*--on-error skip"):
            made(hospital)
        report, _ = made(hospital, on_error="skip")
        assert [str(file) in reason for _, reason in report.skipped] == [True]
        assert report.slices == 2 * PATIENTS * DEPTH

    def test_the_window_in_force_is_recorded(self, hospital: Path) -> None:
        assert made(hospital)[1].info["window"] == [-1350.0, 150.0]
        assert made(hospital, window="wide", overwrite=True)[1].info["window"] == [-1000.0, 1000.0]

    def test_gaps_are_noted_or_refused(self, hospital: Path) -> None:
        folder = hospital / "covid" / "ROE_JANE8" / "scan"
        one_series(folder).frames[1].file.unlink()
        report, store = made(hospital, on_error="skip")
        (note,) = report.notes
        assert note.startswith("1 source(s): slices are missing: 'covid/")
        assert "1 behind #0000" in note
        pages = [name[-4:] for name in store.ids if name.startswith(f"covid/{pseudonym('covid/ROE_JANE8/scan')}")]
        assert pages == ["0000", "0002", "0003"]
        report, _ = made(hospital, on_error="skip", gaps="refuse", overwrite=True)
        assert "slices are missing" in report.skipped[0][1]
        assert report.slices == (2 * PATIENTS - 1) * DEPTH

    def test_what_is_no_ct_is_told(self, hospital: Path) -> None:
        scout = dataset(np.zeros((8, 8), np.uint16), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        save(scout, hospital / "normal" / "ROE_JANE1" / "scout")
        report, _ = made(hospital)
        assert "1 DICOM files are neither CT slices nor X-rays and were passed over (1 localizer)" in report.notes

    def test_only_other_things(self, tmp_path: Path) -> None:
        for name in ("covid", "normal"):
            save(dataset(np.zeros((8, 8), np.uint16), modality="MR"), tmp_path / "set" / name / "x")
        with pytest.raises(DataError, match=r"covid holds no pictures .*1 modality MR"):
            made(tmp_path / "set")


class TestChoice:
    def test_every_and_range(self, hospital: Path) -> None:
        report, store = made(hospital, every=2, slice_range=(0.25, 1.0))
        assert report.slices == 2 * PATIENTS * 2
        assert {name[-5:] for name in store.ids} == {"#0001", "#0003"}

    def test_lung_share(self, hospital: Path) -> None:
        _, everything = made(hospital)
        shares = everything.masks.mean(axis=(1, 2))
        least = float(np.sort(shares)[len(shares) // 3]) - 1e-9
        _, store = made(hospital, min_lung_share=least, out=hospital.parent / "other")
        assert store.ids.tolist() == everything.ids[shares > least].tolist()
        with pytest.raises(DataError, match="lung share asked for"):
            made(hospital, min_lung_share=0.99, overwrite=True)

    def test_windows_by_name(self, hospital: Path, scans: list[np.ndarray]) -> None:
        _, store = made(hospital, window="mediastinum", source_names="keep")
        assert store.info["window"] == [-160.0, 240.0]
        place = store.ids.tolist().index("normal/ROE_JANE0/scan#0000")
        expected = np.rint(np.clip((scans[0][0] + 160.0) * 255 / 400, 0, 255))
        assert np.abs(store.slices[place] - expected).max() <= 1

    @pytest.mark.parametrize(
        ("option", "value"),
        [("every", 0), ("slice_range", (0.5, 0.5)), ("slice_range", (-0.1, 1.0)), ("min_lung_share", 1.0)],
    )
    def test_out_of_range(self, tmp_path: Path, option: str, value: Any) -> None:
        with pytest.raises(ConfigError, match=option):
            made(tmp_path, **{option: value})

    def test_no_such_window(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="one of lung, mediastinum, wide"):
            made(tmp_path, window="bone")

    def test_no_meaning_for_the_phantom(self) -> None:
        with pytest.raises(ConfigError, match="--patient-ids has no meaning"):
            prepare(PrepareConfig(Path("phantom"), Path("x"), patient_ids="keep"))


class TestManifest:
    def lines(self, hospital: Path) -> list[dict[str, str]]:
        return [
            {"file": path.relative_to(hospital).as_posix(), "label": path.parts[-2]}
            for path in sorted(hospital.glob("*/*"))
        ]

    def test_rows_name_folders(self, hospital: Path) -> None:
        manifest = rows(hospital / "index.csv", self.lines(hospital))
        report, store = made(manifest, out=hospital.parent / "store", source_names="keep", patient_ids="keep")
        assert report.unit == "patient"
        assert len(store) == 2 * PATIENTS * DEPTH
        assert store.ids[0] == "covid/ROE_JANE10#0000"
        assert store.sources[0] == "covid/ROE_JANE10/scan"
        assert store.patients[0] == "MRN10"

    def test_a_row_of_several_series(self, hospital: Path) -> None:
        more = ct_slices(volume(3, SIZE, SIZE), **(tags(0) | {"SeriesInstanceUID": uid("more")}))
        save_series(more, hospital / "normal" / "ROE_JANE0" / "thin")
        manifest = rows(hospital / "index.csv", self.lines(hospital))
        _, store = made(manifest, out=hospital.parent / "store", source_names="keep")
        found = sorted({str(name).partition("#")[0] for name in store.ids if "JANE0/" in name or "JANE0#" in name})
        assert found == ["normal/ROE_JANE0/scan", "normal/ROE_JANE0/thin"]

    def test_rows_name_single_files(self, hospital: Path) -> None:
        lines = [
            {"file": path.relative_to(hospital).as_posix(), "label": path.relative_to(hospital).parts[0]}
            for path in sorted(hospital.glob("*/*/*/*"))
        ]
        manifest = rows(hospital / "index.csv", lines)
        report, store = made(manifest, out=hospital.parent / "store")
        assert (report.slices, report.groups, report.unit) == (2 * PATIENTS * DEPTH, 2 * PATIENTS, "patient")
        assert "#" not in store.ids[0]

    def test_the_users_ids_and_patients_stay(self, hospital: Path) -> None:
        lines = [line | {"name": f"n{k}", "who": f"w{k // 2}"} for k, line in enumerate(self.lines(hospital))]
        manifest = rows(hospital / "index.csv", lines)
        _, store = made(manifest, out=hospital.parent / "s", id_column="name", patient_column="who")
        assert store.ids[0] == "n0#0000"
        assert set(store.patients) == {f"w{k}" for k in range(PATIENTS)}
        assert "JANE" not in " ".join(store.sources)

    def test_an_empty_folder_and_a_mask_for_many(self, hospital: Path) -> None:
        (hospital / "nothing").mkdir()
        manifest = rows(hospital / "index.csv", [{"file": "nothing", "label": "covid"}, *self.lines(hospital)])
        with pytest.raises(DataError, match=r"index\.csv, line 2: the folder .*nothing holds no PNG"):
            made(manifest, out=hospital.parent / "store")
        lines = [{"file": name, "label": name, "mask": f"{name}.nii"} for name in ("normal", "covid")]
        manifest = rows(hospital / "index.csv", lines)
        with pytest.raises(DataError, match=r"line 2: the folder .*normal holds 6 sources, but one mask is given"):
            made(manifest, out=hospital.parent / "store", mask_column="mask")


def to_nifti(values: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.transpose(2, 1, 0)[::-1, ::-1, ::-1], np.diag([0.7, 0.8, 2.5, 1])), path)


class TestNifti:
    def test_volumes_and_masks(self, tmp_path: Path, scans: list[np.ndarray]) -> None:
        for number, scan in enumerate(scans):
            name = f"{('normal', 'covid')[number // PATIENTS]}/v{number}.nii.gz"
            to_nifti(scan, tmp_path / "set" / name)
            to_nifti((scan < -500).astype(np.uint8), tmp_path / "masks" / name.replace(".gz", ""))
        report, store = made(tmp_path / "set", mask_dir=tmp_path / "masks", every=2)
        assert report.slices == 2 * PATIENTS * DEPTH // 2
        assert report.unit == "file"  # NIfTI names no patients
        (hint,) = [note for note in report.notes if "Hounsfield" in note]
        assert hint.startswith("12 source(s): taken as Hounsfield units")
        place = store.ids.tolist().index("normal/v0.nii.gz#0002")
        np.testing.assert_array_equal(store.masks[place], scans[0][2] < -500)
        expected = np.rint(np.clip((scans[0][2] + 1350.0) * 255 / 1500, 0, 255))
        assert np.abs(store.slices[place] - expected).max() <= 1

    def test_unknown_units_need_a_window(self, tmp_path: Path, scans: list[np.ndarray]) -> None:
        for number, scan in enumerate(scans):
            to_nifti(scan + 1024, tmp_path / "set" / ("normal", "covid")[number // PATIENTS] / f"v{number}.nii")
        with pytest.raises(DataError, match=r"page 0 holds int16 values .* --window LOW HIGH"):
            made(tmp_path / "set")
        _, store = made(tmp_path / "set", window=(-326.0, 1174.0))
        expected = np.rint(np.clip((scans[0][0] + 1350.0) * 255 / 1500, 0, 255))
        assert np.abs(store.slices[store.ids.tolist().index("normal/v0.nii#0000")] - expected).max() <= 1

    def test_masks_for_dicom_series(self, hospital: Path, scans: list[np.ndarray]) -> None:
        for number, scan in enumerate(scans):
            name = f"{('normal', 'covid')[number // PATIENTS]}/ROE_JANE{number}/scan.nii.gz"
            to_nifti((scan < -500).astype(np.uint8), hospital.parent / "masks" / name)
        _, store = made(hospital, mask_dir=hospital.parent / "masks", patient_ids="keep", source_names="keep")
        for number, scan in enumerate(scans):
            places = [place for place, patient in enumerate(store.patients) if patient == f"MRN{number}"]
            np.testing.assert_array_equal(store.masks[places], scan < -500)

    def test_names_can_be_hidden(self, tmp_path: Path, scans: list[np.ndarray]) -> None:
        for number, scan in enumerate(scans):
            to_nifti(scan, tmp_path / "set" / ("normal", "covid")[number // PATIENTS] / f"ROE_JANE{number}.nii")
        report, store = made(tmp_path / "set", source_names="hash")
        assert store.sources[0] == f"covid/{pseudonym('covid/ROE_JANE6.nii')}"
        assert "JANE" not in (report.store / "store.json").read_text()
        assert "JANE" not in (report.store / "manifest.csv").read_text()


def test_pictures_are_named_as_ever(tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / "set" / ("normal", "covid")[number // PATIENTS] / f"ROE{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)).save(path)
    _, store = made(tmp_path / "set")
    assert store.sources[0] == "covid/ROE6.png"
