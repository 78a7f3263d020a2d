"""Preparation in several processes: the same bytes, clear ends, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from plr_fast.data import prepare_pool
from plr_fast.data.prepare import PrepareConfig, prepare
from plr_fast.data.prepare_images import How
from plr_fast.data.prepare_pool import choose_jobs, prepared
from plr_fast.data.readers import register_reader, unregister_reader
from plr_fast.data.store import SliceStore
from plr_fast.data.store_workplace import workplace_of
from plr_fast.errors import ConfigError, DataError, ImageReadError, WorkerError
from tests.data.odd_readers import OddReader
from tests.data.slice_files import DataSet, picture


@pytest.fixture
def reader() -> Iterator[OddReader]:
    reader = OddReader()
    register_reader(reader)
    yield reader
    unregister_reader(reader)


@pytest.fixture
def volumes(tmp_path: Path, reader: OddReader) -> PrepareConfig:
    del reader
    rows = ["file,label,split,lungs"]
    for number in range(12):
        folder = tmp_path / "set" / f"p{number}"
        folder.mkdir(parents=True)
        (folder / f"{number}.odd").write_text(f"slices {1 + number % 5 * 4}")
        split = ("train", "val", "test")[number // 2 % 3]
        rows.append(f"p{number}/{number}.odd,{('normal', 'covid')[number % 2]},{split},p{number}/{number}.odd")
    (tmp_path / "set" / "index.csv").write_text("\n".join(rows))
    # The volumes are their own masks, and the splits are given: that keeps the workers light and quick.
    options: dict[str, Any] = {"mask_column": "lungs", "split_column": "split", "size": 32, "progress": False}
    return PrepareConfig(tmp_path / "set" / "index.csv", tmp_path / "store", **options)


def change(config: PrepareConfig, **values: Any) -> PrepareConfig:
    return PrepareConfig(**{**vars(config), **values})


def odd(config: PrepareConfig, number: int, text: str) -> Path:
    file = config.source.parent / f"p{number}" / f"{number}.odd"
    file.write_text(text)
    return file


def files(store: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(store.iterdir())}


def test_the_same_bytes_from_any_number_of_processes(volumes: PrepareConfig) -> None:
    odd(volumes, 3, "broken 7")  # seven slices come before it turns out
    stores = []
    for jobs in (1, 2, 3):
        out = volumes.out.with_name(f"store{jobs}")
        report = prepare(change(volumes, out=out, jobs=jobs, on_error="skip"))
        assert [name for name, _ in report.skipped] == ["p3/3.odd"]
        stores.append(files(out))
    assert stores[0] == stores[1] == stores[2]
    SliceStore.open(out).verify()


def test_computed_masks_and_those_of_an_earlier_store(data: DataSet) -> None:
    one = prepare(data.config(mask_dir=None, jobs=1))
    before = files(one.store)
    Image.fromarray(picture(77)).save(data.file(3))  # one slice needs a mask of its own
    two = prepare(data.config(mask_dir=None, jobs=2, overwrite=True))
    assert two.masks_reused == 23
    assert files(two.store) != before
    whole = prepare(data.config(mask_dir=None, jobs=1, out=data.root.parent / "whole"))
    assert files(two.store) == files(whole.store)


class TestErrors:
    def test_a_death_names_the_source(self, volumes: PrepareConfig) -> None:
        file = odd(volumes, 7, "die 2")
        with pytest.raises(WorkerError, match=rf"killed by signal 9 \(SIGKILL\) while it prepared {file}.*memory ran"):
            prepare(change(volumes, jobs=2))
        odd(volumes, 7, "slices 2")
        report = prepare(change(volumes, jobs=2))
        assert report.resumed > 0
        whole = prepare(change(volumes, jobs=1, out=volumes.out.with_name("whole")))
        assert files(report.store) == files(whole.store)

    def test_a_worker_that_cannot_start(self, volumes: PrepareConfig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("plr_fast.worker_process._CODE", "raise SystemExit(3)")
        with pytest.raises(WorkerError, match="ended with status 3"):
            prepare(change(volumes, jobs=2))

    def test_unreadable(self, volumes: PrepareConfig) -> None:
        odd(volumes, 4, "broken 3")
        with pytest.raises(ImageReadError, match=r"4\.odd breaks off \(listed at .*line 6\); add --on-error skip"):
            prepare(change(volumes, jobs=2))

    def test_unknown_meaning(self, data: DataSet) -> None:
        data.rows[0]["file"] = "normal/0.tif"
        Image.fromarray(picture(0).astype("f4")).save(data.root / "normal/0.tif")
        with pytest.raises(DataError, match=r"0\.tif holds float32 values .*--window LOW HIGH"):
            prepare(data.config(jobs=2, on_error="skip"))

    @pytest.mark.parametrize(("kind", "error"), [("bug", KeyError), ("odd", RuntimeError)])
    def test_what_nobody_foresaw_says_where(self, volumes: PrepareConfig, kind: str, error: type[Exception]) -> None:
        odd(volumes, 4, f"{kind} 3")
        with pytest.raises(error) as caught:
            prepare(change(volumes, jobs=2))
        told = str(caught.value.__cause__)
        assert "odd_readers.py" in told
        assert "in a worker process" in told

    def test_a_disk_that_is_full_for_a_worker(self, volumes: PrepareConfig, tmp_path: Path) -> None:
        from plr_fast.data.manifest import Entry
        from plr_fast.errors import StorageError

        entry = Entry("0", volumes.source.parent / "p0/0.odd", "p0/0.odd", 0, "here")
        folder = tmp_path / "no such folder"
        with (
            prepared([entry, entry], How(32, "squash", None), 2, folder) as sources,
            pytest.raises(StorageError, match=r"could not write .*0\.part: No such file"),
        ):
            list(next(sources).slices)


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_end_all_processes_at_once(volumes: PrepareConfig, number: int) -> None:
    odd(volumes, 5, "wait 1")
    script = (
        "import sys; from plr_fast.data.readers import register_reader; from tests.data.odd_readers import OddReader\n"
        "from plr_fast.cli.main import main; register_reader(OddReader()); sys.exit(main(sys.argv[1:]))"
    )
    options = ["--mask-column", "lungs", "--split-column", "split", "--size", "32", "--jobs", "2", "--no-progress"]
    command = [sys.executable, "-c", script, "prepare", "--source", str(volumes.source), "--out", str(volumes.out)]
    # A session of its own: the signal goes to the whole group, as a terminal's Ctrl-C does.
    with subprocess.Popen([*command, *options], start_new_session=True, stderr=subprocess.PIPE, text=True) as process:
        journal = workplace_of(volumes.out) / "journal.jsonl"
        while not journal.exists() or journal.read_bytes().count(b"\n") < 5:
            assert process.poll() is None
            time.sleep(0.01)
        workers = children(process.pid)
        assert len(workers) == 2
        started = time.perf_counter()
        if number == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, number)
        if number != signal.SIGKILL:
            assert process.stderr is not None
            said = process.stderr.read()
            assert f"run the same command again to go on, or delete {journal.parent}" in said
            assert said.endswith("plr-fast: interrupted\n")
            assert "Traceback" not in said
            assert process.wait() == 128 + number
            assert not any(map(alive, workers))
            assert time.perf_counter() - started < 5
        else:
            # Nobody tells the workers: the one at work ends after its source, which would be in ten minutes here.
            idle = time.perf_counter() + 20
            while sum(map(alive, workers)) > 1:
                assert time.perf_counter() < idle
                time.sleep(0.01)
            for worker in filter(alive, workers):
                os.kill(worker, signal.SIGKILL)
    assert not volumes.out.exists()


class TestBounds:
    def test_workers_do_not_run_ahead(self, volumes: PrepareConfig, tmp_path: Path) -> None:
        from plr_fast.data.manifest import Entry

        (tmp_path / "parts").mkdir()
        entries = [
            Entry(str(number), volumes.source.parent / f"p{number}/{number}.odd", f"p{number}", 0, "here")
            for number in range(12)
        ]
        seen = 0
        how = How(32, "squash", (-1350.0, 150.0), _NoMask())  # type: ignore[arg-type]
        with prepared(entries, how, 2, tmp_path / "parts") as sources:
            for entry, source in zip(entries, sources, strict=True):
                time.sleep(0.05)
                waiting = sorted(int(file.stem) for file in (tmp_path / "parts").iterdir())
                assert waiting[0] == int(entry.id)
                assert waiting[-1] < int(entry.id) + prepare_pool.AHEAD * 2
                seen += len(list(source.slices))
        assert seen == sum(1 + number % 5 * 4 for number in range(12))
        assert list((tmp_path / "parts").iterdir()) == []

    @pytest.mark.parametrize(
        ("asked", "slices", "sources", "expected"),
        [
            (None, 24, 24, 1),
            (None, 10**6, 10**6, 8),
            (None, 10**6, 3, 3),
            (None, 200, 200, 3),
            (5, 24, 24, 5),
            (5, 24, 2, 2),
        ],
    )
    def test_how_many(
        self, monkeypatch: pytest.MonkeyPatch, asked: int | None, slices: int, sources: int, expected: int
    ) -> None:
        monkeypatch.setattr(prepare_pool, "available_cpus", lambda: 8)
        assert choose_jobs(asked, slices, sources) == expected

    @pytest.mark.parametrize("jobs", [0, -1])
    def test_senseless(self, data: DataSet, jobs: int) -> None:
        data.refuse(ConfigError, "jobs must be at least 1", jobs=jobs)

    def test_a_reader_that_cannot_travel(self, data: DataSet) -> None:
        class Local(OddReader):
            pass

        local = Local()
        register_reader(local)
        try:
            data.refuse(ConfigError, "the reader .*Local cannot be used in worker processes; .*--jobs 1", jobs=2)
            assert choose_jobs(None, 10**6, 10**6) == 1
            assert prepare(data.config()).slices == 24
        finally:
            unregister_reader(local)


class _NoMask:
    """Stands for the masks of an earlier store: one for each slice, so that none is computed."""

    def find(self, picture: Any) -> Any:
        return picture > 0, None


def test_facts_are_all_there(volumes: PrepareConfig) -> None:
    # What a worker tells is what is told within one process: spacing, patient, pages.
    stores = [SliceStore.open(prepare(change(volumes, jobs=jobs, overwrite=True)).store) for jobs in (1, 2)]
    for store in stores:
        assert store.spacings[0].tolist() == [0.5 * 48 / 32, 0.7 * 40 / 32]
        assert store.patients[0] == "p0"
        assert store.ids[1] == "p1/1.odd#0000"
