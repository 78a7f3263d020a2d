"""Atomic writing: the old file or the new one, whatever happens, and messages that help."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from plr_fast import LesionBank, StorageError
from plr_fast.files import atomic_path, require_space, write_json, write_text


def full_disk(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_writes_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.json"
    write_json(target, {"a": 1})
    write_json(target, {"a": 2})
    assert json.loads(target.read_text()) == {"a": 2}
    assert list(target.parent.iterdir()) == [target], "no temporary file is left"


def test_permissions_are_those_of_other_files(tmp_path: Path) -> None:
    write_text(tmp_path / "atomic", "x")
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_text(target, "old")

    def fail_halfway() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("ne")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_explained_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "bank.npz"
    bank = LesionBank.generate(count=5, images=2, size=64)
    bank.save(target)
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(
        StorageError, match=r"bank\.npz: No space left on device; nothing was overwritten; free some space"
    ):
        LesionBank.generate(count=6, images=2, size=64).save(target)
    monkeypatch.undo()
    assert LesionBank.load(target) == bank
    assert list(tmp_path.iterdir()) == [target]


def test_an_impossible_place_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"could not write .*inside"):
        write_text(tmp_path / "file" / "inside", "x")


def test_space_is_asked_for_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_space(tmp_path / "not" / "yet" / "there", 1, "a byte")
    with pytest.raises(StorageError, match=r"a store needs [\d,.]+ MiB of disk, but only [\d,.]+ MiB are free at"):
        require_space(tmp_path / "new", 2 * shutil.disk_usage(tmp_path).total, "a store")


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []
