"""The slice store: what goes in comes out; whatever is damaged, foreign or too new is refused by name."""

from __future__ import annotations

import copy
import csv
import json
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

import plr_fast.data
from plr_fast.data.store import SliceRecord, SliceStore, StoreWriter
from plr_fast.errors import DataError, StorageError, StoreError

SIZE = 17  # odd, so that nothing relies on aligned rows
CLASSES = ("normal", "covid")


def pixels(index: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(index)
    return generator.integers(0, 256, (SIZE, SIZE), dtype=np.uint8), generator.random((SIZE, SIZE)) < 0.4


def record(index: int, **changes: Any) -> SliceRecord:
    values: dict[str, Any] = {
        "id": f'slice, "{index}"\n',  # commas, quotes and line breaks must survive the CSV
        "group": f"patient:{index // 2}",
        "split": ("train", "val", "test")[index // 2 % 3],
        "label": (-1, 0, 1)[index % 3],
        "patient": f"Žofie {index // 2}",
        "source": f"covid/{index}.png",
        "spacing": (0.7, 0.1 + index / 3) if index % 2 else None,
        "mask_ok": index % 4 != 0,
    }
    return SliceRecord(**(values | changes))


def write_store(
    path: Path, count: int = 12, *, records: Any = record, stop: BaseException | None = None, **options: Any
) -> Path:
    """Write slices 0..count-1 with ``records(index)``, then raise ``stop`` inside the block."""
    with StoreWriter(path, **({"size": SIZE, "count": count, "class_names": CLASSES} | options)) as writer:
        for index in range(count):
            assert writer.add(*pixels(index), records(index)) == index
        if stop is not None:
            raise stop
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_store(tmp_path / "store")


def edit_info(path: Path, **changes: Any) -> None:
    file = path / "store.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_manifest(path: Path, row: int, **changes: str) -> None:
    with (path / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[row].update(changes)
    with (path / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


class TestRoundTrip:
    def test_pixels_and_manifest_come_back(self, path: Path) -> None:
        store = SliceStore.open(path)
        assert len(store) == 12
        assert store.size == SIZE
        assert store.class_names == CLASSES
        for index in range(12):
            image, mask = pixels(index)
            expected = record(index)
            np.testing.assert_array_equal(store.slices[index], image)
            np.testing.assert_array_equal(store.masks[index], mask.astype(np.uint8))
            assert store.ids[index] == expected.id
            assert store.groups[index] == expected.group
            assert store.patients[index] == expected.patient
            assert store.splits[index] == expected.split
            assert store.sources[index] == expected.source
            assert store.labels[index] == expected.label
            assert store.mask_ok[index] == expected.mask_ok
            np.testing.assert_array_equal(store.spacings[index], expected.spacing or (np.nan, np.nan))
        store.verify()

    def test_arrays_are_plain_npy_files(self, path: Path) -> None:
        slices = np.load(path / "slices.npy", allow_pickle=False)
        np.testing.assert_array_equal(slices, SliceStore.open(path).slices)
        assert slices.dtype == np.uint8
        assert slices.flags.c_contiguous

    def test_dtypes_and_read_only(self, path: Path) -> None:
        store = SliceStore.open(path)
        assert store.labels.dtype == np.int8
        assert store.mask_ok.dtype == np.bool_
        assert isinstance(store.slices, np.memmap)
        for name in ("slices", "masks", "labels", "groups", "splits", "ids", "sources", "mask_ok"):
            assert not getattr(store, name).flags.writeable, name
        with pytest.raises(ValueError, match="read-only"):
            store.slices[0, 0, 0] = 1

    def test_fewer_slices_than_announced(self, tmp_path: Path) -> None:
        # 1000 announced, 3 come: the headers must shrink from four digits to one.
        with StoreWriter(tmp_path / "s", size=SIZE, count=1000, class_names=CLASSES) as writer:
            for index in range(3):
                writer.add(*pixels(index), record(index))
        assert SliceStore.open(tmp_path / "s").slices.shape == (3, SIZE, SIZE)

    def test_records_may_change_until_the_end(self, tmp_path: Path) -> None:
        with StoreWriter(tmp_path / "s", size=SIZE, count=2, class_names=CLASSES) as writer:
            for index in range(2):
                writer.add(*pixels(index), record(index))
            writer.records[:] = [record(index, split="test", group="all") for index in range(2)]
            writer.summary["note"] = "later"
        store = SliceStore.open(tmp_path / "s")
        assert set(store.splits) == {"test"}
        assert set(store.groups) == {"all"}
        assert store.info["summary"] == {"note": "later", "groups": 1, "shared_groups": 0}

    def test_select(self, path: Path) -> None:
        store = SliceStore.open(path)
        for split in (None, "train", "val", "test"):
            for label in (None, -1, 0, 1):
                expected = [
                    index
                    for index in range(12)
                    if split in (None, record(index).split) and label in (None, record(index).label)
                ]
                found = store.select(split, label)
                assert found.tolist() == expected
                assert found.dtype == np.int64

    @pytest.mark.parametrize("arguments", [{"split": "training"}, {"label": 2}])
    def test_select_refuses_unknown_values(self, path: Path, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be"):
            SliceStore.open(path).select(**arguments)

    def test_repr_names_sizes(self, path: Path) -> None:
        assert "12 slices of 17x17: train 4, val 4, test 4" in repr(SliceStore.open(path))


class TestPickling:
    @pytest.mark.parametrize("clone", [lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy])
    def test_copies_reopen_the_maps(self, path: Path, clone: Any) -> None:
        store = SliceStore.open(path)
        assert len(pickle.dumps(store)) < 1000  # the path, not the pixels
        twin = clone(store)
        assert isinstance(twin.slices, np.memmap)
        assert twin.fingerprint == store.fingerprint
        np.testing.assert_array_equal(twin.slices, store.slices)

    def test_relative_path_survives_another_working_folder(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(path.parent)
        content = pickle.dumps(SliceStore.open("store"))
        monkeypatch.chdir("/")
        assert len(pickle.loads(content)) == 12

    def test_a_changed_store_is_refused(self, path: Path) -> None:
        content = pickle.dumps(SliceStore.open(path))
        edit_manifest(path, 0, label="1")
        with pytest.raises(StoreError, match="changed while it was in use"):
            pickle.loads(content)


class TestFingerprint:
    def test_same_content_same_name(self, path: Path, tmp_path: Path) -> None:
        other = SliceStore.open(write_store(tmp_path / "other"))
        assert other.fingerprint == SliceStore.open(path).fingerprint
        assert len(other.fingerprint) == 64

    @pytest.mark.parametrize("changes", [{"id": "x"}, {"label": "1"}, {"split": "test", "group": "x"}])
    def test_depends_on_ids_labels_and_splits(self, path: Path, changes: dict[str, str]) -> None:
        before = SliceStore.open(path).fingerprint
        edit_manifest(path, 0, **changes)
        assert SliceStore.open(path).fingerprint != before

    def test_depends_on_pixels(self, path: Path, tmp_path: Path) -> None:
        with StoreWriter(tmp_path / "other", size=SIZE, count=12, class_names=CLASSES) as writer:
            for index in range(12):
                image, mask = pixels(index)
                if index == 7:
                    mask[0, 0] ^= True
                writer.add(image, mask, record(index))
        assert SliceStore.open(tmp_path / "other").fingerprint != SliceStore.open(path).fingerprint

    def test_verify_finds_a_flipped_bit(self, path: Path) -> None:
        with (path / "masks.npy").open("r+b") as stream:
            stream.seek(-5, 2)
            byte = stream.read(1)[0]
            stream.seek(-5, 2)
            stream.write(bytes([byte ^ 1]))
        with pytest.raises(StoreError, match=r"masks\.npy is not what was written"):
            SliceStore.open(path).verify()


class Damage(NamedTuple):
    name: str
    hurt: Any
    message: str


def truncate(path: Path, name: str, length: int) -> None:
    with (path / name).open("r+b") as stream:
        stream.truncate((path / name).stat().st_size + length if length < 0 else length)


def lengthen(path: Path, name: str) -> None:
    with (path / name).open("ab") as stream:
        stream.write(b"x")


def cut_last_row(path: Path) -> None:
    edit_info(path, count=11)


DAMAGES = [
    Damage("no folder", lambda p: shutil.rmtree(p), "does not exist; make one with 'plr-fast prepare'"),
    Damage("no json", lambda p: (p / "store.json").unlink(), "has no store.json"),
    Damage("json cut", lambda p: truncate(p, "store.json", 40), r"store\.json cannot be read"),
    Damage("json of something else", lambda p: (p / "store.json").write_text("[]"), "does not describe a plr_fast"),
    Damage("odd version", lambda p: edit_info(p, format_version="1"), "format_version is '1'"),
    Damage("newer", lambda p: edit_info(p, format_version=2, plr_fast="9.1"), "plr_fast 9.1 in store format 2.*update"),
    Damage("no size", lambda p: edit_info(p, size=None), "lacks size"),
    Damage("one class", lambda p: edit_info(p, class_names=["a"]), "lacks size, count, class_names"),
    Damage("no manifest", lambda p: (p / "manifest.csv").unlink(), r"manifest\.csv is missing"),
    Damage("manifest cut", lambda p: truncate(p, "manifest.csv", -8), r"manifest\.csv, line \d+: the number of fields"),
    Damage("manifest empty", lambda p: truncate(p, "manifest.csv", 0), r"lacks the column\(s\) id, patient"),
    Damage("binary", lambda p: (p / "manifest.csv").write_bytes(b"\xff\xfe\x00"), r"manifest\.csv cannot be read"),
    Damage("row count", cut_last_row, "has 12 rows, but store.json speaks of 11"),
    Damage("label", lambda p: edit_manifest(p, 3, label="covid"), "label is 'covid'"),
    Damage("split", lambda p: edit_manifest(p, 3, split="training"), "split is 'training'"),
    Damage("mask_ok", lambda p: edit_manifest(p, 3, mask_ok=""), "mask_ok is ''"),
    Damage("spacing", lambda p: edit_manifest(p, 3, spacing_y="wide"), "spacing is not a number"),
    Damage("twice", lambda p: edit_manifest(p, 3, id=record(1).id), "occurs twice"),
    Damage("no slices", lambda p: (p / "slices.npy").unlink(), r"slices\.npy is missing"),
    Damage("slices cut", lambda p: truncate(p, "slices.npy", -1), r"slices\.npy has \d+ bytes instead of \d+: trunc"),
    Damage("slices long", lambda p: lengthen(p, "slices.npy"), r"slices\.npy has \d+ bytes instead"),
    Damage("header cut", lambda p: truncate(p, "masks.npy", 20), r"masks\.npy is damaged"),
    Damage("empty array", lambda p: truncate(p, "masks.npy", 0), r"masks\.npy is damaged"),
    Damage("dtype", lambda p: np.save(p / "masks.npy", np.zeros((12, SIZE, SIZE))), r"masks\.npy holds float64"),
    Damage("rows", lambda p: np.save(p / "masks.npy", np.zeros((11, SIZE, SIZE), np.uint8)), r"\(11, 17, 17\) instead"),
    Damage("no array", lambda p: (p / "masks.npy").write_bytes(b"P" * 999), r"masks\.npy is damaged"),
    Damage("size", lambda p: edit_info(p, size=16), r"slices\.npy holds uint8 \(12, 17, 17\) instead of"),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=[damage.name for damage in DAMAGES])
def test_damage_is_named(path: Path, damage: Damage) -> None:
    damage.hurt(path)
    with pytest.raises(StoreError, match=damage.message):
        SliceStore.open(path)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match="is a file, not a folder"):
        SliceStore.open(tmp_path / "store")


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let the system refuse to write beyond ``size`` bytes into any file, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestAllOrNothing:
    def test_an_error_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="mine"):
            write_store(tmp_path / "s", stop=RuntimeError("mine"))
        assert list(tmp_path.iterdir()) == []

    def test_ctrl_c_leaves_the_old_store(self, path: Path) -> None:
        before = content(path)
        with pytest.raises(KeyboardInterrupt):
            write_store(path, count=2, overwrite=True, stop=KeyboardInterrupt())
        assert content(path) == before
        assert [entry.name for entry in path.parent.iterdir()] == ["store"]

    @pytest.mark.parametrize("room", [100, 64 * 1024, 300 * 1024])
    def test_a_disk_that_fills_up(self, path: Path, room: int) -> None:
        # 100 bytes: not even the header fits; 64 KiB: while slices come in; 300 KiB: only when buffers are flushed.
        before = content(path)
        count = 1 + room // (SIZE * SIZE)
        refusal = r"could not write .*store: File too large; nothing was overwritten"
        with disk_of(room), pytest.raises(StorageError, match=refusal):
            write_store(path, count, records=lambda index: record(index, split="train"), overwrite=True)
        assert content(path) == before
        assert [entry.name for entry in path.parent.iterdir()] == ["store"]

    def test_too_little_space_is_seen_at_once(self, tmp_path: Path) -> None:
        count = 2 * shutil.disk_usage(tmp_path).free // (SIZE * SIZE)
        with pytest.raises(StorageError, match="free some space"):
            write_store(tmp_path / "s", count, stop=AssertionError("must not begin"))
        assert list(tmp_path.iterdir()) == []

    def test_rename_fails(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = content(path)
        replace = Path.replace

        def refuse(self: Path, target: Path) -> Path:
            if self.name == "store" and self != path and Path(target) == path:
                raise OSError(5, "Input/output error")
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", refuse)
        with pytest.raises(StorageError, match="Input/output error"):
            write_store(path, overwrite=True)
        assert content(path) == before
        assert [entry.name for entry in path.parent.iterdir()] == ["store"]


class TestTarget:
    def test_overwrite_must_be_asked_for(self, path: Path) -> None:
        with pytest.raises(StoreError, match="add --overwrite"):
            write_store(path)
        assert len(SliceStore.open(write_store(path, count=3, overwrite=True))) == 3
        assert [entry.name for entry in path.parent.iterdir()] == ["store"]

    def test_an_empty_folder_is_used(self, tmp_path: Path) -> None:
        assert len(SliceStore.open(write_store(tmp_path))) == 12

    def test_other_folders_are_never_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(StoreError, match="is no slice store; choose another"):
            write_store(tmp_path, overwrite=True)
        assert (tmp_path / "thesis.tex").read_text() == "years of work"

    def test_a_file_is_never_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("")
        with pytest.raises(StoreError, match="is not a folder"):
            write_store(tmp_path / "x", overwrite=True)

    def test_a_link_is_followed(self, path: Path) -> None:
        link = path.parent / "link"
        link.symlink_to(path)
        write_store(link, count=2, overwrite=True)
        assert link.is_symlink()
        assert len(SliceStore.open(path)) == 2

    def test_a_parent_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("")
        with pytest.raises(StorageError, match=r"could not write .*x/s: (Not a directory|File exists)"):
            write_store(tmp_path / "x" / "s")

    def test_missing_parents_are_made(self, tmp_path: Path) -> None:
        assert len(SliceStore.open(write_store(tmp_path / "a" / "b"))) == 12


class TestAdd:
    @pytest.mark.parametrize(
        ("image", "mask", "message"),
        [
            (np.zeros((SIZE, SIZE + 1), np.uint8), np.zeros((SIZE, SIZE), bool), "image must be uint8"),
            (np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), bool), "not float32"),
            (np.zeros((SIZE, SIZE), np.uint8), np.zeros((1, SIZE, SIZE), bool), "mask must be bool"),
            (np.zeros((SIZE, SIZE), np.uint8), np.full((SIZE, SIZE), 255, np.uint8), "0 and 1 only, but has 255"),
        ],
    )
    def test_wrong_arrays(self, tmp_path: Path, image: np.ndarray, mask: np.ndarray, message: str) -> None:
        with (
            pytest.raises(ValueError, match=message),
            StoreWriter(tmp_path / "s", size=SIZE, count=1, class_names=CLASSES) as writer,
        ):
            writer.add(image, mask, record(0))
        assert list(tmp_path.iterdir()) == []

    def test_strided_input(self, tmp_path: Path) -> None:
        image, mask = pixels(0)
        with StoreWriter(tmp_path / "s", size=SIZE, count=1, class_names=CLASSES) as writer:
            writer.add(image.T, mask.T, record(0))
        store = SliceStore.open(tmp_path / "s")
        np.testing.assert_array_equal(store.slices[0], image.T)
        np.testing.assert_array_equal(store.masks[0], mask.T)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"id": record(0).id}, "must be unique"),
            ({"id": ""}, "must be unique and not empty"),
            ({"split": "dev"}, "split is 'dev'"),
            ({"label": 2}, "label is 2"),
            ({"group": ""}, "has no group"),
            (
                {"group": record(0).group, "split": "test"},
                "in several splits, .* 'patient:0' in test and train",
            ),
        ],
    )
    def test_wrong_records(self, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            write_store(tmp_path / "s", 2, records=lambda index: record(index, **(changes if index else {})))
        assert list(tmp_path.iterdir()) == []

    def test_shared_groups_when_asked(self, tmp_path: Path) -> None:
        with StoreWriter(tmp_path / "s", size=SIZE, count=2, class_names=CLASSES, allow_shared_groups=True) as writer:
            writer.add(*pixels(0), record(0))
            writer.add(*pixels(1), record(1, split="test"))
        assert SliceStore.open(tmp_path / "s").info["summary"]["shared_groups"] == 1

    def test_more_than_announced(self, tmp_path: Path) -> None:
        writer = StoreWriter(tmp_path / "s", size=SIZE, count=1, class_names=CLASSES)
        with writer:
            writer.add(*pixels(0), record(0))
            with pytest.raises(ValueError, match="only 1 slices were announced"):
                writer.add(*pixels(1), record(1))

    def test_no_slice_at_all(self, tmp_path: Path) -> None:
        with (
            pytest.raises(DataError, match="no slice to write"),
            StoreWriter(tmp_path / "s", size=SIZE, count=1, class_names=CLASSES),
        ):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_outside_the_block(self, tmp_path: Path) -> None:
        writer = StoreWriter(tmp_path / "s", size=SIZE, count=1, class_names=CLASSES)
        with pytest.raises(RuntimeError, match="inside its 'with' block"):
            writer.add(*pixels(0), record(0))

    @pytest.mark.parametrize(
        "changes", [{"size": 0}, {"count": 0}, {"class_names": ("a", "a")}, {"class_names": ("a",)}]
    )
    def test_senseless_arguments(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be"):
            StoreWriter(tmp_path / "s", **({"size": SIZE, "count": 1, "class_names": CLASSES} | changes))


class TestPackage:
    def test_importing_is_light(self) -> None:
        script = (
            "import sys, plr_fast.data, plr_fast.data.store\n"
            "heavy = {'sklearn', 'skimage', 'scipy', 'PIL', 'matplotlib', 'lightning_fabric', 'pandas'}\n"
            "sys.exit(', '.join(heavy & set(sys.modules)) or None)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_names_load_on_demand(self) -> None:
        assert plr_fast.data.SliceStore is SliceStore
        assert set(plr_fast.data.__all__) <= set(dir(plr_fast.data))
        for name in plr_fast.data.__all__:
            assert getattr(plr_fast.data, name).__name__ == name
        with pytest.raises(AttributeError, match="no attribute 'SliceStores'"):
            _ = plr_fast.data.SliceStores

    def test_prepare_is_always_the_module(self) -> None:
        from plr_fast.data import prepare

        assert isinstance(prepare, ModuleType)
        assert callable(prepare.prepare)
