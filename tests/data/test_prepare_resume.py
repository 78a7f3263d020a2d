"""Preparation that is cut off: nothing half done is seen, and the same call goes on to the same store."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plr_fast.data import store_workplace
from plr_fast.data.prepare import PrepareConfig, PrepareReport, prepare
from plr_fast.data.prepare_images import How, PreparedSlice, SliceFacts, prepare_slices
from plr_fast.data.prepare_journal import Done, Journal
from plr_fast.data.store import SliceStore, StoreWriter
from plr_fast.data.store_workplace import Workplace, unfinished, workplace_of
from plr_fast.errors import ImageReadError, StoreError
from tests.data.slice_files import DataSet, picture

Files = dict[str, bytes]


def files(store: Path) -> Files:
    return {file.name: file.read_bytes() for file in sorted(store.iterdir())}


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> list[str]:
    """Let the preparation of the source behind the first ``count`` fail; returns a list of those that are read."""
    read: list[str] = []

    def limited(entry: Any, how: How) -> Iterator[PreparedSlice]:
        if len(read) == count:
            raise error or KeyboardInterrupt
        read.append(entry.source)
        yield from prepare_slices(entry, how)

    monkeypatch.setattr("plr_fast.data.prepare_pool.prepare_slices", limited)
    return read


def interrupt(config: PrepareConfig, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(count, patch)
        with pytest.raises(KeyboardInterrupt):
            prepare(config)


def prepare_and_count(config: PrepareConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[PrepareReport, list[str]]:
    with monkeypatch.context() as patch:
        read = stop_after(-1, patch)
        return prepare(config), read


class TestGoingOn:
    @pytest.mark.parametrize("mask", ["given", "computed"])
    def test_ends_with_the_same_files(self, data: DataSet, monkeypatch: pytest.MonkeyPatch, mask: str) -> None:
        changes: dict[str, Any] = {} if mask == "given" else {"mask_dir": None}
        whole = prepare(data.config(out=data.root.parent / "whole", **changes))
        assert whole.resumed == 0
        config = data.config(**changes)
        interrupt(config, 7, monkeypatch)
        with pytest.raises(StoreError, match="unfinished preparation of it: run the same 'plr-fast prepare' again"):
            SliceStore.open(config.out)
        interrupt(config, 6, monkeypatch)  # a second time
        report, read = prepare_and_count(config, monkeypatch)
        assert read == [row["file"] for row in data.rows[13:]]
        assert report.resumed == 13
        assert "13 slices had been prepared by an earlier call that was cut off" in report.lines()
        assert files(report.store) == files(whole.store)
        assert not workplace_of(config.out).exists()

    def test_what_says_nothing_about_pixels_may_change(self, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
        interrupt(data.config(), 20, monkeypatch)
        changes: dict[str, Any] = {"seed": 3, "test_fraction": 0.3, "on_error": "skip", "jobs": 1}
        report, read = prepare_and_count(data.config(**changes), monkeypatch)
        assert (report.resumed, len(read)) == (20, 4)
        whole = prepare(data.config(out=data.root.parent / "whole", **changes))
        assert files(report.store) == files(whole.store)

    @pytest.mark.parametrize("changes", [{"size": 48}, {"fit": "pad"}, {"window": (0.0, 9.0)}, {"mask_dir": None}])
    def test_other_pixels_begin_anew_and_say_so(
        self, data: DataSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: Any
    ) -> None:
        interrupt(data.config(), 20, monkeypatch)
        report, read = prepare_and_count(data.config(progress=True, **changes), monkeypatch)
        assert (report.resumed, len(read)) == (0, 24)
        name = "masks" if "mask_dir" in changes else next(iter(changes))
        said = " ".join(capsys.readouterr().err.split())
        assert f"holds an unfinished preparation with other settings ({name}); starting anew" in said
        SliceStore.open(report.store).verify()

    @pytest.mark.parametrize("change", ["picture", "mask", "time", "gone", "new", "order"])
    def test_sources_that_change_are_read_again(
        self, data: DataSet, monkeypatch: pytest.MonkeyPatch, change: str
    ) -> None:
        interrupt(data.config(), 20, monkeypatch)
        mask = data.root.parent / "masks" / data.rows[9]["file"]
        if change == "picture":
            Image.fromarray(picture(900)).save(data.file(9))
        elif change == "mask":
            Image.fromarray(np.full((24, 40), 255, np.uint8)).save(mask)
        elif change == "time":
            os.utime(data.file(9), ns=(0, 10**18))
        elif change == "gone":
            del data.rows[9]
        elif change == "new":
            data.rows.insert(9, data.rows.pop())
        else:
            data.rows[9], data.rows[10] = data.rows[10], data.rows[9]
        report, read = prepare_and_count(data.config(), monkeypatch)
        assert report.resumed == 9
        assert read == [row["file"] for row in data.rows[9:]]
        whole = prepare(data.config(out=data.root.parent / "whole"))
        assert files(report.store) == files(whole.store)

    @pytest.mark.parametrize("name", ["slices.npy", "masks.npy"])
    @pytest.mark.parametrize("damage", ["flip", "cut"])
    def test_pixels_that_are_lost_are_read_again(
        self, data: DataSet, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
    ) -> None:
        # As after a power cut: the journal is there, and the pixels of which it speaks are not.
        interrupt(data.config(), 20, monkeypatch)
        file = workplace_of(data.config().out) / "store" / name
        with file.open("r+b") as stream:
            stream.seek(128 + 14 * 32 * 32 + 500)
            if damage == "cut":
                stream.truncate()
            else:
                byte = stream.read(1)[0]
                stream.seek(-1, 1)
                stream.write(bytes([byte ^ 1]))
        report, read = prepare_and_count(data.config(), monkeypatch)
        assert (report.resumed, len(read)) == (14, 10)
        whole = prepare(data.config(out=data.root.parent / "whole"))
        assert files(report.store) == files(whole.store)

    @pytest.mark.parametrize("tail", [b"", b"[[1", b"\0" * 300, b"{}\n", b"[1,2]\n", b"\xff\xfe\n"])
    def test_a_journal_that_breaks_off(self, data: DataSet, monkeypatch: pytest.MonkeyPatch, tail: bytes) -> None:
        interrupt(data.config(), 20, monkeypatch)
        journal = workplace_of(data.config().out) / "journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        assert len(lines) == 21
        journal.write_bytes(b"".join(lines[:11]) + lines[11][:40] * (not tail) + tail)
        report, read = prepare_and_count(data.config(), monkeypatch)
        assert (report.resumed, len(read)) == (10, 14)
        whole = prepare(data.config(out=data.root.parent / "whole"))
        assert files(report.store) == files(whole.store)

    @pytest.mark.parametrize("first", [b"", b"\n", b"[]\n", b'{"format": "0"}\n', b"\0" * 99])
    def test_a_journal_of_something_else(self, data: DataSet, monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
        interrupt(data.config(), 20, monkeypatch)
        journal = workplace_of(data.config().out) / "journal.jsonl"
        journal.write_bytes(first + b"".join(journal.read_bytes().splitlines(keepends=True)[1:]))
        report, read = prepare_and_count(data.config(), monkeypatch)
        assert (report.resumed, len(read)) == (0, 24)

    def test_unreadable_sources_stay_left_out_or_are_looked_at_again(
        self, data: DataSet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = data.file(5).read_bytes()
        data.file(5).write_bytes(content[:100])
        interrupt(data.config(on_error="skip"), 15, monkeypatch)
        # Without --on-error skip it stops at that source, and what came before it is kept.
        with pytest.raises(ImageReadError, match=r"5\.png is damaged"):
            prepare(data.config())
        report, _ = prepare_and_count(data.config(on_error="skip"), monkeypatch)
        assert (report.resumed, report.slices, len(report.skipped)) == (5, 23, 1)
        interrupt(data.config(on_error="skip", overwrite=True), 15, monkeypatch)
        report, read = prepare_and_count(data.config(on_error="skip", overwrite=True), monkeypatch)
        assert (report.resumed, len(read), len(report.skipped)) == (14, 9, 1)
        interrupt(data.config(on_error="skip", overwrite=True), 15, monkeypatch)
        data.file(5).write_bytes(content)
        report, _ = prepare_and_count(data.config(overwrite=True), monkeypatch)
        assert (report.resumed, report.slices, report.skipped) == (5, 24, ())

    def test_pages_of_a_source_that_fails_leave_no_trace(self, data: DataSet) -> None:
        # Two of three pages are in the store when the mask turns out to have too few.
        data.rows[3]["file"] = "normal/3.tif"
        for folder, pages in ((data.root, 3), (data.root.parent / "masks", 2)):
            first, *others = [Image.fromarray(picture(page)) for page in range(pages)]
            first.save(folder / "normal/3.tif", save_all=True, append_images=others)
        report = prepare(data.config(on_error="skip"))
        assert (report.slices, len(report.skipped)) == (23, 1)
        store = SliceStore.open(report.store)
        store.verify()
        del data.rows[3]
        whole = SliceStore.open(prepare(data.config(out=data.root.parent / "whole")).store)
        np.testing.assert_array_equal(store.slices, whole.slices)
        np.testing.assert_array_equal(store.masks, whole.masks)

    def test_notes_of_an_earlier_store_survive(self, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
        # An interrupted --overwrite leaves the old store, and its masks are taken over after going on, too.
        first = prepare(data.config(mask_dir=None))
        before = files(first.store)
        config = data.config(mask_dir=None, overwrite=True, seed=1)
        interrupt(config, 9, monkeypatch)
        assert files(first.store) == before
        report, read = prepare_and_count(config, monkeypatch)
        assert (report.resumed, len(read), report.masks_reused) == (9, 15, 24)


def test_the_journal_gives_back_what_it_got(tmp_path: Path) -> None:
    from plr_fast.data.lungs.quality import no_mask

    facts = SliceFacts(3, (0.1, 1 / 3), "Žofie", False, no_mask("nothing"), True, 65535, (0.1, 9.0), "ab" * 16)
    plain = SliceFacts(None, None, "", True, None, False, None, None, "")
    dones = [
        Done("a", (facts, plain), "00ff", 7),
        Done("b", (), "", 7, skipped="/x/\udcff.png is gone"),
    ]
    for kept in (2, 1):
        journal = Journal(tmp_path / "journal", {"size": 3})
        journal.begin()
        for done in dones:
            journal.add(done)
        journal.close()
        again = Journal(tmp_path / "journal", {"size": 3})
        found = []
        for done in again.earlier():
            found.append(done)
            if len(found) <= kept:
                again.accept()
        assert repr(found) == repr(dones)  # NaN = NaN
        again.begin()
        again.close()
        assert (tmp_path / "journal").read_text().count("\n") == 1 + kept
    other = Journal(tmp_path / "journal", {"size": 4, "salt": "secret"})
    assert list(other.earlier()) == []
    assert other.differing == ("size", "salt")
    other.begin()
    other.close()
    assert "secret" not in (tmp_path / "journal").read_text()


class TestWorkplace:
    def test_two_at_once(self, data: DataSet) -> None:
        config = data.config()
        place = Workplace(config.out)
        place.open()
        with pytest.raises(StoreError, match=r"another process makes the store .*store at the moment"):
            prepare(config)
        assert unfinished(config.out) is None
        place.release()
        assert prepare(config).slices == 24

    def test_the_lock_ends_with_its_process(self, data: DataSet) -> None:
        script = (
            "import sys, time; from pathlib import Path; from plr_fast.data.store_workplace import Workplace\n"
            "Workplace(Path(sys.argv[1])).open(); print('held', flush=True); time.sleep(60)"
        )
        config = data.config()
        with subprocess.Popen([sys.executable, "-c", script, config.out], stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(StoreError, match="another process"):
                prepare(config)
            holder.kill()
        assert prepare(config).slices == 24

    @pytest.mark.parametrize("moment", ["between", "after"])
    @pytest.mark.parametrize("overwrite", [True, False])
    def test_killed_while_one_store_replaces_another(
        self, data: DataSet, monkeypatch: pytest.MonkeyPatch, moment: str, overwrite: bool
    ) -> None:
        before = files(prepare(data.config(seed=1)).store)
        config = data.config(overwrite=True)
        place = workplace_of(config.out)

        class Kill(BaseException):
            pass

        def replace(self: Path, target: Path, _replace: Any = Path.replace) -> Path:
            if (moment == "between") == (target == config.out):
                raise Kill
            return Path(_replace(self, target))

        def discard(_: Workplace) -> None:
            raise Kill

        with monkeypatch.context() as patch:
            # A kill runs no handler: what would put things right is out of action.
            if moment == "between":
                patch.setattr(store_workplace.Path, "replace", lambda *arguments: replace(*arguments))
                patch.setattr(Workplace, "publish", _publish_without_a_net)
            else:
                patch.setattr(Workplace, "discard", discard)
            with pytest.raises(Kill):
                prepare(config)
        assert config.out.exists() == (moment == "after")
        assert (place / "replaced").exists()
        Workplace(config.out).release()
        if overwrite:
            whole = prepare(data.config(out=data.root.parent / "whole"))
            report = prepare(config)
            assert report.resumed == (24 if moment == "between" else 0)
            assert files(report.store) == files(whole.store)
            assert not place.exists()
        else:
            with pytest.raises(StoreError, match="add --overwrite"):
                prepare(data.config())
            assert (files(config.out) == before) == (moment == "between")
            assert not (place / "replaced").exists()

    def test_something_else_took_the_place(self, data: DataSet) -> None:
        config = data.config()
        place = workplace_of(config.out)
        (place / "replaced").mkdir(parents=True)
        (place / "store").mkdir()
        config.out.mkdir()
        with pytest.raises(StoreError, match=r"replaced holds the store that was at .*move one of them"):
            prepare(config)
        assert (place / "replaced").exists()

    def test_another_writer_takes_the_place_over(self, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
        config = data.config()
        interrupt(config, 5, monkeypatch)
        assert unfinished(config.out) == workplace_of(config.out)
        image = np.zeros((4, 4), np.uint8)
        from plr_fast.data.store import SliceRecord

        with StoreWriter(config.out, size=4, count=1, class_names=("a", "b")) as writer:
            writer.add(image, image, SliceRecord(id="x", group="x", split="train"))
        assert len(SliceStore.open(config.out)) == 1
        assert not workplace_of(config.out).exists()

    def test_who_lost_the_folder_does_not_remove_it(self, tmp_path: Path) -> None:
        first, second = Workplace(tmp_path / "s"), Workplace(tmp_path / "s")
        first.open()
        first.discard()
        assert list(tmp_path.iterdir()) == []
        second.open()
        first.discard()
        assert second.store.is_dir()
        second.discard()


def _publish_without_a_net(place: Workplace) -> None:
    place.target.replace(place.folder / "replaced")
    place.store.replace(place.target)


class TestKill:
    """Real processes, killed at random points, with and without workers."""

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        # Masks and splits are given: processes start sooner without what computes them.
        rows = ["file,label,mask,split"]
        (tmp_path / "set").mkdir()
        for number in range(48):
            first, *others = [Image.fromarray(picture(number * 10 + page, 96, 96)) for page in range(1 + number % 3)]
            first.save(tmp_path / "set" / f"{number}.tif", save_all=True, append_images=others)
            split = ("train", "train", "val", "test")[number // 2 % 4]
            rows.append(f"{number}.tif,{('normal', 'covid')[number % 2]},{number}.tif,{split}")
        (tmp_path / "set" / "index.csv").write_text("\n".join(rows))
        named = {"mask_column": "mask", "split_column": "split", "size": 64, "progress": False}
        return {"source": tmp_path / "set" / "index.csv"} | named

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_any_moment(self, tmp_path: Path, options: dict[str, Any], jobs: int) -> None:
        whole = prepare(PrepareConfig(out=tmp_path / "whole", jobs=1, **options))
        out, journal = tmp_path / "store", workplace_of(tmp_path / "store") / "journal.jsonl"
        script = (
            "import sys; from pathlib import Path; from plr_fast.data.prepare import PrepareConfig, prepare\n"
            f"options = {options!r}\n".replace("PosixPath", "Path")
            + f"prepare(PrepareConfig(out=Path({str(out)!r}), jobs={jobs}, **options))"
        )
        chance, reached = random.Random(jobs), 0
        for _ in range(4):
            # A wait for a number of lines, and then for anything: inside a source, a write, a line.
            goal = reached + chance.randint(2, 9)
            with subprocess.Popen([sys.executable, "-c", script]) as process:
                while _lines(journal) < goal:
                    assert process.poll() is None, "it ended before it was killed"
                    time.sleep(0.001)
                time.sleep(chance.random() * 0.01)
                process.kill()
            assert process.returncode == -signal.SIGKILL
            assert not out.exists()
            reached = _lines(journal) - 1
        report = prepare(PrepareConfig(out=out, jobs=jobs, **options))
        assert reached <= report.resumed < report.slices
        assert files(out) == files(whole.store)
        assert not journal.parent.exists()


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


class TestFullDisk:
    def test_the_journal_cannot_be_written(self, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
        from plr_fast.errors import StorageError

        written = Journal._write

        def refuse(journal: Journal, text: str) -> None:
            if journal._file.read_bytes().count(b"\n") == 1 + 6:
                journal._stream.write(text[:20].encode())  # type: ignore[union-attr]
                raise OSError(28, "No space left on device")
            written(journal, text)

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "_write", refuse)
            data.refuse(StorageError, "No space left on device", kept=True)
        report = prepare(data.config())
        assert report.resumed == 6
        whole = prepare(data.config(out=data.root.parent / "whole"))
        assert files(report.store) == files(whole.store)

    def test_a_folder_of_its_own_is_cleared(self, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
        interrupt(data.config(), 5, monkeypatch)
        shutil.rmtree(workplace_of(data.config().out))
        report, read = prepare_and_count(data.config(), monkeypatch)
        assert (report.resumed, len(read)) == (0, 24)
