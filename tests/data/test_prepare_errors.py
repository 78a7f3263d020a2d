"""Preparation of bad input: a clear error, and nothing left behind."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plr_fast.data.prepare import PrepareConfig, prepare
from plr_fast.errors import ConfigError, DataError, ImageReadError, StorageError, StoreError
from tests.data.slice_files import SIZE, DataSet, lung, picture


class TestBadFiles:
    @pytest.mark.parametrize("kind", ["truncated", "empty", "text", "missing", "unknown"])
    def test_named_and_skipped_only_when_asked(self, data: DataSet, kind: str) -> None:
        path = data.file(5)
        if kind == "truncated":
            path.write_bytes(path.read_bytes()[:200])
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "text":
            path.write_text("404 not found")
        elif kind == "missing":
            path.unlink()
        else:
            data.rows[5]["file"] = "normal/5.dat"
            (data.root / "normal/5.dat").write_bytes(b"x")
            Image.fromarray(lung(5)).save(data.root.parent / "masks" / "normal/5.png")
            path = data.root / "normal/5.dat"
        data.refuse(ImageReadError, r"5\.(png|dat).*--on-error skip", kept=kind in ("truncated", "empty", "text"))
        report, store = data.prepare(on_error="skip")
        assert report.resumed == (5 if kind in ("truncated", "empty", "text") else 0)
        assert report.slices == 23
        assert [name for name, _ in report.skipped] == [data.rows[5]["file"]]
        assert str(path) in report.skipped[0][1]
        assert data.rows[5]["file"] not in store.ids
        assert store.info["summary"]["skipped"] == [list(report.skipped[0])]
        np.testing.assert_array_equal(store.masks[5].any(), True)

    def test_all_missing_files_are_counted_at_once(self, data: DataSet) -> None:
        for index in (1, 2, 3):
            data.file(index).unlink()
        data.refuse(ImageReadError, r"3 of 24 files do not exist: 'normal/1\.png', 'normal/2\.png', 'normal/3\.png'")

    @pytest.mark.parametrize("content", [None, b""])
    def test_nothing_readable(self, data: DataSet, content: bytes | None) -> None:
        for index in range(24):
            data.file(index).unlink()
            if content is not None:
                data.file(index).write_bytes(content)
        data.refuse(DataError, "none of the 24 files can be read; the first: ", on_error="skip")

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            (np.zeros((24, 41), np.uint8), r"masks/normal/3\.png is 41×24, but its picture .*3\.png is 40×24"),
            (None, r"masks/normal/3\.png is empty"),
        ],
    )
    def test_masks_that_do_not_fit(self, data: DataSet, mask: np.ndarray | None, message: str) -> None:
        path = data.root.parent / "masks" / data.rows[3]["file"]
        path.write_bytes(b"")
        if mask is not None:
            Image.fromarray(mask).save(path)
        data.refuse(ImageReadError, message, kept=True)
        assert data.prepare(on_error="skip")[0].slices == 23

    @pytest.mark.parametrize(("pages", "message"), [(1, "has fewer pages"), (3, "has more pages")])
    def test_masks_with_other_pages(self, data: DataSet, pages: int, message: str) -> None:
        data.rows[0]["file"] = "normal/0.tif"
        for folder, count in ((data.root, 2), (data.root.parent / "masks", pages)):
            first, *others = [Image.fromarray(picture(page)) for page in range(count)]
            first.save(folder / "normal/0.tif", save_all=True, append_images=others)
        data.refuse(ImageReadError, message)

    def test_missing_masks(self, data: DataSet) -> None:
        (data.root.parent / "masks" / data.rows[3]["file"]).unlink()
        data.refuse(DataError, r"1 pictures have no mask in .*: 'normal/3\.png'")

    def test_mask_column(self, data: DataSet) -> None:
        for row in data.rows:
            row["lungs"] = "masks/" + row["file"]
            row["file"] = "set/" + row["file"]
        _, store = data.prepare(mask_column="lungs", mask_dir=None, root=data.root.parent)
        assert store.info["mask_source"] == "given"
        assert store.mask_ok.all()

    def test_a_value_range_nobody_knows(self, data: DataSet) -> None:
        data.rows[0]["file"] = "normal/0.tif"
        Image.fromarray(picture(0).astype(np.float32)).save(data.root / "normal/0.tif")
        data.refuse(DataError, r"0\.tif holds float32 values .*--window LOW HIGH", on_error="skip")
        assert data.prepare(window=(0.0, 255.0))[0].slices == 24


class TestBadManifest:
    def test_files_outside(self, data: DataSet) -> None:
        data.rows[4]["file"] = "../masks/normal/4.png"
        data.refuse(DataError, "line 6: '../masks/normal/4.png' lies outside")

    @pytest.mark.parametrize("column", ["file", "label", "id", "patient", "split", "order", "mask"])
    def test_unknown_columns(self, data: DataSet, column: str) -> None:
        changes: dict[str, Any] = {f"{column}_column": "wrong"}
        if column == "mask":
            changes["mask_dir"] = None
        data.refuse(DataError, "has no column 'wrong'; its columns are file, label, patient, split, order", **changes)

    def test_duplicated_ids(self, data: DataSet) -> None:
        data.refuse(DataError, "line 3: the id 'P0' occurs already at .*line 2", id_column="patient")

    def test_too_few_groups_fail_before_reading(self, data: DataSet) -> None:
        data.file(0).write_bytes(b"")  # would be the error if it came to reading
        for row in data.rows:
            row["patient"] = row["label"]
        data.refuse(DataError, r"the class 'normal' has 1 group\(s\), but train, val, test need one each")

    def test_fold_out_of_range_fails_before_reading(self, data: DataSet) -> None:
        data.file(0).write_bytes(b"")
        data.refuse(DataError, r"fold is 7", fold=7)

    def test_missing_patients(self, data: DataSet) -> None:
        for index in (0, 1, 12):
            data.rows[index]["patient"] = " "
        report, store = data.prepare()
        assert store.groups[[0, 1, 12]].tolist() == ["unknown:normal", "unknown:normal", "unknown:covid"]
        assert "3 of 24 files have no patient id: they form 2 group(s)" in report.notes[0]
        data.refuse(DataError, "3 entries have no patient id", missing_patient="error", overwrite=True)


class TestDisk:
    def test_existing_stores(self, data: DataSet) -> None:
        data.prepare()
        data.refuse(StoreError, "add --overwrite")
        assert data.prepare(overwrite=True)[0].slices == 24

    def test_out_in_use_by_something_else(self, data: DataSet) -> None:
        data.refuse(StoreError, "is no slice store", out=data.root, overwrite=True)
        assert data.file(0).is_file()

    def test_a_disk_that_fills_up(self, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
        from plr_fast.data import store_writer

        written = 0

        class FullDisk:
            """A file on a disk with room for ten slices."""

            def __init__(self, stream: Any) -> None:
                self.stream = stream

            def write(self, content: bytes) -> int:
                nonlocal written
                written += len(content)
                if written > 10 * SIZE * SIZE:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return int(self.stream.write(content))

            def __getattr__(self, name: str) -> Any:
                return getattr(self.stream, name)

        def full_open(path: Path, *arguments: Any, _open: Any = Path.open, **options: Any) -> Any:
            stream = _open(path, *arguments, **options)
            return FullDisk(stream) if path.suffix == ".npy" else stream

        monkeypatch.setattr(store_writer.Path, "open", full_open)
        message = "store: No space left on device; nothing was overwritten; free some space"
        data.refuse(StorageError, message, kept=True)
        monkeypatch.undo()
        report, store = data.prepare()
        assert 0 < report.resumed < 10
        _, whole = data.prepare(out=data.root.parent / "whole")
        assert store.fingerprint == whole.fingerprint
        store.verify()


class TestConfig:
    @pytest.mark.parametrize(("option", "value"), [("test_fraction", 0.3), ("fold", 1)])
    def test_fractions_beside_given_splits(self, data: DataSet, option: str, value: float) -> None:
        message = f"--{option.replace('_', '-')} has no meaning beside --split-column"
        data.refuse(ConfigError, message, split_column="split", **{option: value})

    def test_a_validation_share_beside_given_validation_rows_is_noted(self, data: DataSet) -> None:
        report, _ = data.prepare(split_column="split", val_fraction=0.3)
        assert "the split column names the validation rows: val_fraction=0.3 had no effect" in report.notes

    def test_fold_moves_validation_where_none_is_given(self, data: DataSet) -> None:
        for row in data.rows:
            row["split"] = row["split"].replace("val", "train")
        _, first = data.prepare(split_column="split", val_fraction=0.25)
        _, second = data.prepare(split_column="split", val_fraction=0.25, fold=1, overwrite=True)
        assert first.splits.tolist() != second.splits.tolist()
        data.refuse(ConfigError, "--test-fraction", split_column="split", test_fraction=0.1, overwrite=True)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"size": 15}, "size must lie in 16..4096, not 15"),
            ({"size": -3}, "size must lie in"),
            ({"size": 10**9}, "size must lie in"),
            ({"val_fraction": -0.1}, "val_fraction must lie in"),
            ({"test_fraction": 1.0}, "test_fraction must lie in"),
            ({"test_fraction": float("nan")}, "test_fraction must lie in"),
            ({"val_fraction": 0.5, "test_fraction": 0.5}, "leave nothing for training"),
            ({"seed": -1}, "seed must not be negative"),
            ({"seed": 2**32}, "seed must be below"),
            ({"fold": -1}, "fold must not be negative"),
            ({"block_size": -1}, "block_size must not be negative"),
            ({"window": (5.0, 5.0)}, "LOW < HIGH"),
            ({"window": (0.0, float("inf"))}, "LOW < HIGH"),
            ({"mask_column": "m"}, "mask_dir or mask_column, not both"),
            ({"file_column": ""}, "file_column must name"),
            ({"patient_folders": True}, "--patient-folders has no meaning for a manifest"),
            ({"phantom_patients": 3}, "--phantom-patients has no meaning for a manifest"),
        ],
    )
    def test_values(self, data: DataSet, changes: dict[str, Any], message: str) -> None:
        data.refuse(ConfigError, message, **changes)

    @pytest.mark.parametrize(
        "option", ["patient_column", "split_column", "order_column", "id_column", "mask_column", "label_column"]
    )
    def test_columns_without_a_manifest(self, data: DataSet, option: str) -> None:
        config = PrepareConfig(source=data.root, out=data.root / "s", **{option: "x"})
        with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} has no meaning for a folder"):
            prepare(config)

    @pytest.mark.parametrize("name", ["none", "none.csv", "text.txt"])
    def test_no_such_source(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "text.txt").write_text("")
        with pytest.raises(DataError, match=f"the source .*{name} (does not exist|is neither)"):
            prepare(PrepareConfig(source=tmp_path / name, out=tmp_path / "s"))
