"""Preparation end to end: pictures in, a store out."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plr_fast.data import SliceStore, lung_mask, prepare_images, thorax_phantom, write_phantom_store
from plr_fast.data.lungs.quality import no_mask
from plr_fast.data.prepare import PrepareConfig, prepare
from plr_fast.data.readers import RawSlice, register_reader, unregister_reader
from plr_fast.errors import ConfigError, DataError, StoreError
from tests.data.slice_files import PER_CLASS, SIZE, DataSet, lung, picture


class TestPixels:
    def test_same_size_is_exact(self, data: DataSet) -> None:
        for number, row in enumerate(data.rows):
            Image.fromarray(picture(number, SIZE, SIZE)).save(data.root / row["file"])
            Image.fromarray(lung(number, SIZE, SIZE)).save(data.root.parent / "masks" / row["file"])
        _, store = data.prepare()
        for number, row in enumerate(data.rows):
            assert store.ids[number] == row["file"]
            np.testing.assert_array_equal(store.slices[number], picture(number, SIZE, SIZE))
            np.testing.assert_array_equal(store.masks[number], lung(number, SIZE, SIZE) > 0)

    def test_squash(self, data: DataSet) -> None:
        _, store = data.prepare(fit="squash")
        expected = Image.fromarray(picture(3)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(store.slices[3], np.asarray(expected))
        rows, columns = np.nonzero(store.masks[3])
        # The rectangle 4..16 × 5..23 of 24 × 40, scaled to 32 × 32.
        np.testing.assert_allclose([rows.min(), rows.max() + 1], [4 * 32 / 24, 16 * 32 / 24], atol=1)
        np.testing.assert_allclose([columns.min(), columns.max() + 1], [5 * 32 / 40, 23 * 32 / 40], atol=1)

    def test_pad_keeps_the_aspect(self, data: DataSet) -> None:
        _, store = data.prepare(fit="pad")
        height = round(24 * SIZE / 40)  # 19 rows of picture, 6 black ones above, 7 below
        expected = Image.fromarray(picture(3)).resize((SIZE, height), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(store.slices[3][6:25], np.asarray(expected))
        assert not store.slices[3][:6].any()
        assert not store.slices[3][25:].any()
        assert not store.masks[3][:6].any()
        assert store.masks[3].any()

    def test_16_bit_and_window(self, data: DataSet) -> None:
        for number, row in enumerate(data.rows):
            deep = picture(number, SIZE, SIZE).astype(np.uint16) * 16
            Image.fromarray(deep).save(data.root / row["file"])
            Image.fromarray(lung(number, SIZE, SIZE)).save(data.root.parent / "masks" / row["file"])
        report, store = data.prepare(window=(0.0, 4080.0))
        np.testing.assert_array_equal(store.slices[5], picture(5, SIZE, SIZE))
        assert report.notes == ()
        assert store.info["window"] == [0.0, 4080.0]
        report, store = data.prepare(overwrite=True)
        assert "largest value is 4080 of 65535; if they hold fewer bits, give --window 0 4095" in report.notes[0]
        assert store.slices.max() == round(4080 / 257)

    def test_pages_of_a_tiff(self, data: DataSet) -> None:
        data.rows[0]["file"] = "normal/0.tif"
        for folder, make in ((data.root, picture), (data.root.parent / "masks", lung)):
            first, *others = [Image.fromarray(make(100 + page)) for page in range(3)]
            first.save(folder / "normal/0.tif", save_all=True, append_images=others)
        report, store = data.prepare(patient_column="")
        assert report.slices == 2 * PER_CLASS + 2
        assert store.ids[:4].tolist() == [*(f"normal/0.tif#000{page}" for page in range(3)), "normal/1.png"]
        assert len(set(store.groups[:3])) == 1
        assert len(set(store.splits[:3])) == 1
        assert store.sources[1] == "normal/0.tif"
        expected = Image.fromarray(picture(102)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(store.slices[2], np.asarray(expected))

    def test_jpeg_masks_have_noise(self, data: DataSet) -> None:
        for number, row in enumerate(data.rows):
            mask = data.root.parent / "masks" / row["file"]
            Image.fromarray(np.where(lung(number) > 0, 250, 3).astype(np.uint8)).save(mask.with_suffix(".jpg"))
            mask.unlink()
        _, store = data.prepare()
        share = store.masks[0].mean()
        assert abs(share - (lung(0) > 0).mean()) < 0.05

    def test_label_masks_count_as_lung(self, data: DataSet) -> None:
        _, before = data.prepare()
        for number, row in enumerate(data.rows):
            labels = (lung(number) > 0).astype(np.uint8) * (1 + number % 2)
            Image.fromarray(labels).save(data.root.parent / "masks" / row["file"])
        _, after = data.prepare(out=data.root.parent / "other")
        np.testing.assert_array_equal(after.masks, before.masks)


class TestReport:
    def test_counts(self, data: DataSet) -> None:
        report, store = data.prepare()
        assert report.slices == len(store) == 24
        assert report.groups == len(set(store.groups)) == 12
        assert report.unit == "patient"
        for split, counts in report.splits.items():
            assert counts == {
                "normal": len(store.select(split, 0)),
                "covid": len(store.select(split, 1)),
            }
            assert report.split_groups[split] == len(set(store.groups[store.select(split)]))
        assert all(counts["covid"] > 0 and counts["normal"] > 0 for counts in report.splits.values())
        assert (report.mask_source, report.mask_failures, report.duplicates, report.skipped) == ("given", 0, 0, ())
        assert report.notes == ()

    def test_empty_masks_are_counted(self, data: DataSet) -> None:
        Image.fromarray(np.zeros((24, 40), np.uint8)).save(data.root.parent / "masks" / data.rows[7]["file"])
        report, store = data.prepare()
        assert report.mask_failures == 1
        assert report.mask_failure_share == 1 / 24
        assert np.flatnonzero(~store.mask_ok).tolist() == [7]
        assert "1 of 24 failed (4.2%)" in report.lines()[0]

    def test_table_and_lines_can_be_shown(self, data: DataSet) -> None:
        from rich.console import Console

        data.file(0).write_bytes(b"")
        report, _ = data.prepare(on_error="skip")
        console = Console(width=120, file=io.StringIO())
        console.print(report.table())
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "23 slices in 12 groups (one per patient)" in text
        assert "train" in text
        assert any("0.png is empty (0 bytes)" in line for line in report.lines())

    def test_same_input_same_store(self, data: DataSet) -> None:
        _, first = data.prepare()
        _, second = data.prepare(out=data.root.parent / "again")
        assert first.fingerprint == second.fingerprint
        assert first.info["sources_sha256"] == second.info["sources_sha256"]
        data.file(3).write_bytes(data.file(4).read_bytes())
        _, third = data.prepare(out=data.root.parent / "third")
        assert third.fingerprint != first.fingerprint
        assert third.info["sources_sha256"] != first.info["sources_sha256"]
        third.verify()


class TestGroupsAndSplits:
    def test_blocks(self, data: DataSet) -> None:
        report, store = data.prepare(patient_column="", order_column="order", block_size=3)
        assert report.unit == "block"
        assert report.groups == 8
        assert store.groups[:4].tolist() == ["block:normal:0000"] * 3 + ["block:normal:0001"]

    def test_given_splits(self, data: DataSet) -> None:
        report, store = data.prepare(split_column="split")
        assert store.splits.tolist() == [row["split"] for row in data.rows]
        assert report.notes == ()

    def test_validation_is_taken_from_training_where_none_is_given(self, data: DataSet) -> None:
        for row in data.rows:
            row["split"] = row["split"].replace("val", "train")
        report, store = data.prepare(split_column="split", val_fraction=0.25)
        given = np.array([row["split"] for row in data.rows])
        np.testing.assert_array_equal(store.splits == "test", given == "test")
        assert {"train", "val"} == set(store.splits[given == "train"])
        assert "the split column names no validation rows: 4 training slices were taken" in report.notes
        report, store = data.prepare(split_column="split", val_fraction=0.0, overwrite=True)
        assert store.splits.tolist() == given.tolist()
        assert "the split column names no val rows" in report.notes

    def test_a_patient_in_two_given_splits(self, data: DataSet) -> None:
        data.rows[0]["split"] = "test"
        data.refuse(DataError, r"1 group\(s\) have slices in several given splits: 'patient:P0", split_column="split")
        report, store = data.prepare(split_column="split", allow_shared_groups=True)
        assert report.shared_groups == 1
        assert store.splits[0] == "test"
        assert store.info["summary"]["shared_groups"] == 1

    def test_equal_pictures_join_their_groups(self, data: DataSet) -> None:
        shutil.copy(data.file(2), data.file(8))  # of patients P1 and P4
        report, store = data.prepare()
        assert (report.duplicates, report.groups_joined, report.groups) == (1, 1, 11)
        assert set(store.groups[[2, 3, 8, 9]]) == {"patient:P1"}
        assert len(set(store.splits[[2, 3, 8, 9]])) == 1
        assert store.patients[8] == "P4"

    def test_equal_pictures_of_one_group(self, data: DataSet) -> None:
        shutil.copy(data.file(2), data.file(3))
        report, _ = data.prepare()
        assert (report.duplicates, report.groups_joined, report.groups) == (1, 0, 12)

    def test_blank_pictures_join_nothing(self, data: DataSet) -> None:
        for index in (0, 4, 8):
            Image.fromarray(np.full((24, 40), 7, np.uint8)).save(data.file(index))
        report, _ = data.prepare()
        assert (report.duplicates, report.groups_joined, report.groups) == (0, 0, 12)

    def test_equal_pictures_with_two_labels(self, data: DataSet) -> None:
        shutil.copy(data.file(0), data.file(23))
        report, _ = data.prepare()
        assert report.notes == ("1 equal pictures have different labels: 'normal/0.png = covid/23.png'",)

    def test_equal_pictures_in_two_given_splits(self, data: DataSet) -> None:
        shutil.copy(data.file(0), data.file(10))
        message = r"1 equal pictures lie in different given splits: 'normal/0\.png \(train\) = normal/10\.png \(test\)'"
        data.refuse(DataError, message, split_column="split", kept=True)
        report, _ = data.prepare(split_column="split", allow_shared_groups=True)
        assert report.shared_groups == 1
        assert report.resumed == 24

    def test_files_alone_are_said_aloud(self, data: DataSet) -> None:
        report, _ = data.prepare(patient_column="")
        assert report.unit == "file"
        assert "results may be inflated" in report.notes[0]

    def test_folds_differ(self, data: DataSet) -> None:
        tests = []
        for fold in range(5):
            _, store = data.prepare(fold=fold, overwrite=True)
            tests += store.ids[store.select("test")].tolist()
        assert sorted(tests) == sorted(row["file"] for row in data.rows)


class TestFolderSource:
    def test_class_folders(self, data: DataSet) -> None:
        report, store = data.prepare(source=data.root, patient_column="", block_size=3)
        assert report.slices == 24
        assert store.class_names == ("normal", "covid")
        # Classes in the order they are named, files in natural order: 12.png .. 23.png, then 0.png .. 11.png.
        assert store.ids.tolist() == [f"covid/{n}.png" for n in range(12, 24)] + [f"normal/{n}.png" for n in range(12)]
        assert store.labels.tolist() == [1] * 12 + [0] * 12

    def test_patient_folders(self, data: DataSet) -> None:
        for folder in (data.root, data.root.parent / "masks"):
            for number, row in enumerate(data.rows):
                place = folder / row["label"] / f"who{number // 2}"
                place.mkdir(exist_ok=True)
                (folder / row["file"]).rename(place / f"{number}.png")
        report, store = data.prepare(source=data.root, patient_column="", patient_folders=True)
        assert report.unit == "patient"
        assert set(store.patients) == {f"who{number}" for number in range(12)}

    def test_names_of_classes(self, data: DataSet) -> None:
        _, store = data.prepare(source=data.root, patient_column="", positive=("COVID",), negative=("Normal",))
        assert store.class_names == ("Normal", "COVID")

    def test_one_class_only(self, data: DataSet) -> None:
        report, store = data.prepare(source=data.root, patient_column="", positive=())
        assert set(store.labels) == {0}
        assert "folders that name no class were passed over ('covid')" in report.notes[0]


class VolumeReader:
    """A stand-in for DICOM and NIfTI: an .npy volume in Hounsfield units, spacing and patient beside it."""

    names_patients = True

    def claims(self, path: Path) -> bool:
        return path.suffix == ".npy"

    def count(self, path: Path) -> int:
        return len(np.load(path, mmap_mode="r"))

    def read(self, path: Path) -> Iterator[RawSlice]:
        for page, values in enumerate(np.load(path)):
            yield RawSlice(values, page=page, hounsfield=True, spacing=(0.8, 0.7), patient=path.stem.split("-")[0])


class TestVolumes:
    """The reader interface carries what volumes need: many slices, Hounsfield units, spacing, patient."""

    @pytest.fixture
    def volumes(self, tmp_path: Path) -> Iterator[Path]:
        generator = np.random.default_rng(0)
        for number in range(24):
            folder = tmp_path / "set" / ("normal", "covid")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            values = generator.integers(-1400, 200, (3, 20, 40)).astype(np.int16)
            np.save(folder / f"patient{number // 4 * 2 + number % 2}-scan{number}.npy", values)
            masks = tmp_path / "masks" / folder.name
            masks.mkdir(parents=True, exist_ok=True)
            pages = [Image.fromarray(np.full((20, 40), 255, np.uint8)) for _ in range(3)]
            pages[0].save(
                masks / f"patient{number // 4 * 2 + number % 2}-scan{number}.tif",
                save_all=True,
                append_images=pages[1:],
            )
        reader = VolumeReader()
        register_reader(reader)
        yield tmp_path
        unregister_reader(reader)

    def test_end_to_end(self, volumes: Path) -> None:
        config = PrepareConfig(
            source=volumes / "set", out=volumes / "store", size=SIZE, mask_dir=volumes / "masks", progress=False
        )
        report = prepare(config)
        store = SliceStore.open(report.store)
        assert report.slices == 72
        assert report.unit == "patient"
        assert report.groups == 12
        assert store.groups[0] == f"patient:{store.patients[0]}"
        np.testing.assert_allclose(store.spacings, np.tile([0.8 * 20 / 32, 0.7 * 40 / 32], (72, 1)))
        number = store.ids.tolist().index("covid/patient1-scan1.npy#0002")
        values = np.load(volumes / "set/covid/patient1-scan1.npy")[2]
        grey = np.rint(np.clip((values + 1350.0) * 255 / 1500, 0, 255)).astype(np.uint8)
        expected = np.asarray(Image.fromarray(grey).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
        assert np.abs(store.slices[number].astype(int) - expected).max() <= 1  # float32 against float64 at a half
        assert "results may be inflated" not in " ".join(report.notes)


class TestComputedMasks:
    def test_phantom_pictures(self, tmp_path: Path) -> None:
        phantom = thorax_phantom(12, 2, 96, seed=1)
        for index, image in enumerate(phantom.slices):
            folder = tmp_path / "set" / ("normal", "covid")[int(phantom.labels[index])] / phantom.patients[index]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{index}.png")
        config = PrepareConfig(tmp_path / "set", tmp_path / "s", size=96, patient_folders=True, progress=False)
        report = prepare(config)
        store = SliceStore.open(report.store)
        assert report.mask_source == "computed"
        assert report.mask_failures == int(np.sum(~store.mask_ok))
        dice = []
        for row, source in enumerate(store.sources):
            truth, found = phantom.masks[int(Path(source).stem)], store.masks[row].astype(bool)
            dice.append(2 * np.sum(truth & found) / (np.sum(truth) + np.sum(found)))
        assert np.median(dice) > 0.9

    def test_padding_is_no_air(self, tmp_path: Path) -> None:
        # The same picture with black bars: its mask must be that of the picture alone.
        phantom = thorax_phantom(12, 1, 96, seed=1)
        for index, image in enumerate(phantom.slices):
            folder = tmp_path / "set" / ("normal", "covid")[int(phantom.labels[index])]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[16:80]).save(folder / f"{index}.png")
        config = PrepareConfig(tmp_path / "set", tmp_path / "s", size=96, fit="pad", progress=False)
        store = SliceStore.open(prepare(config).store)
        for row, source in enumerate(store.sources):
            image = phantom.slices[int(Path(source).stem)][16:80]
            np.testing.assert_array_equal(store.slices[row][16:80], image)
            np.testing.assert_array_equal(store.masks[row][16:80].astype(bool), lung_mask(image))
            assert not store.masks[row][:16].any()

    def test_a_strip_has_no_mask(self, data: DataSet) -> None:
        Image.fromarray(picture(0, 12, 100)).save(data.file(0))
        _, store = data.prepare(mask_dir=None, fit="pad")
        assert not store.mask_ok[0]
        assert not store.masks[0].any()
        assert store.slices[0].any()

    def test_a_picture_without_lungs_is_counted(self, data: DataSet) -> None:
        Image.fromarray(np.full((24, 40), 200, np.uint8)).save(data.file(0))
        report, store = data.prepare(mask_dir=None)
        assert not store.mask_ok[0]
        assert report.mask_failures == int(np.sum(~store.mask_ok)) >= 1


@pytest.mark.real_data
class TestRealData:
    def test_sars_cov2_by_blocks(self, real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # Groups and splits are the matter here; the masks of all 2,481 slices would take most of the time.
        monkeypatch.setattr(
            prepare_images, "_compute_mask", lambda content, _: (content < 100, no_mask("not computed"), False)
        )
        source = real_data / "ct/sars_cov2_ct/index.csv"
        options: dict[str, Any] = {"order_column": "order", "block_size": 40, "size": 32, "progress": False, "jobs": 1}
        report = prepare(PrepareConfig(source, tmp_path / "s", **options))
        store = SliceStore.open(report.store)
        assert (report.slices, report.groups, report.unit) == (2481, 32 + 31, "block")
        assert (report.duplicates, report.groups_joined, report.skipped) == (2, 0, ())
        # Scans of one patient lie hundreds of numbers apart: blocks do not keep them together.
        assert report.near is not None
        assert report.near.across_labels == 0
        assert report.near.pairs > report.near.across_splits > 50
        assert len(report.notes) == 1
        assert report.notes[0].startswith(f"{report.near.across_splits} pairs of near-duplicate slices lie in diff")
        for split, share in (("train", 0.65), ("val", 0.15), ("test", 0.2)):
            assert abs(sum(report.splits[split].values()) / 2481 - share) < 0.03
        with source.open(newline="") as stream:
            order = {row["file"]: int(row["order"]) for row in csv.DictReader(stream)}
        for group in np.unique(store.groups):
            numbers = sorted(order[name] for name in store.ids[store.groups == group])
            assert len(numbers) <= 40
            assert numbers[-1] - numbers[0] <= 40  # one number is missing from the source

    def test_ucsd_by_its_official_split(self, real_data: Path, tmp_path: Path) -> None:
        source = real_data / "ct/ucsd_covid_ct/index.csv"
        options: dict[str, Any] = {"patient_column": "patient_id", "split_column": "official_split", "size": 32}
        report = prepare(PrepareConfig(source, tmp_path / "s", progress=False, **options))
        assert report.splits == {
            "train": {"normal": 234, "covid": 191},
            "val": {"normal": 58, "covid": 60},
            "test": {"normal": 105, "covid": 98},
        }
        assert report.unit == "patient"
        assert report.groups == 376 + 1
        assert report.notes[0] == "30 of 746 files have no patient id: they form 1 group(s) that no split parts"
        assert report.notes[1].startswith("2 pairs of near-duplicate slices lie in different splits")
        assert report.notes[2].startswith(
            "2 pairs of near-duplicate slices have different labels: 'covid/covid_0342.png ~"
        )
        assert len(report.notes) == 3
        assert report.mask_failure_share < 0.1


class TestPhantom:
    def test_by_function_and_by_config(self, tmp_path: Path) -> None:
        options: Mapping[str, Any] = {"size": 32, "seed": 4}
        report = write_phantom_store(tmp_path / "a", patients=12, slices_per_patient=2, **options)
        store = SliceStore.open(report.store)
        assert report.mask_source == "phantom"
        assert report.slices == len(store) == 24
        assert report.groups == 12
        assert store.class_names == ("normal", "covid")
        assert store.mask_ok.all()
        assert 0.02 < store.masks.mean() < 0.6
        for split in ("train", "val", "test"):
            assert len(store.select(split, 0)) > 0
            assert len(store.select(split, 1)) > 0
        config = PrepareConfig(Path("phantom"), tmp_path / "b", phantom_patients=12, phantom_slices=2, **options)
        assert SliceStore.open(prepare(config).store).fingerprint == store.fingerprint
        other = prepare(replace(config, out=tmp_path / "c", seed=5))
        assert SliceStore.open(other.store).fingerprint != store.fingerprint

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"size": 16}, "size must lie in 32..2048 for the phantom"),
            ({"phantom_patients": 0}, "must be at least 1"),
            ({"mask_dir": Path("m")}, "--mask-dir has no meaning for a phantom"),
        ],
    )
    def test_options(self, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            prepare(PrepareConfig(Path("phantom"), tmp_path / "s", **changes))

    @pytest.mark.parametrize("reason", ["store", "patients"])
    def test_refused_before_it_is_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
        from plr_fast.data.phantom import scans

        write_phantom_store(tmp_path / "s", patients=12, slices_per_patient=1, size=32)
        monkeypatch.setattr(scans, "thorax_phantom", None)  # calling it now would fail
        if reason == "store":
            with pytest.raises(StoreError, match="add --overwrite"):
                write_phantom_store(tmp_path / "s", patients=12, slices_per_patient=1, size=32)
        else:
            with pytest.raises(DataError, match="need one each"):
                write_phantom_store(tmp_path / "t", patients=5, slices_per_patient=1, size=32)

    def test_too_few_patients(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"has 2 group\(s\), but train, val, test need one each"):
            write_phantom_store(tmp_path / "s", patients=4, slices_per_patient=1, size=32)
        assert list(tmp_path.iterdir()) == []
