"""Which DICOM files belong together and in which order."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plr_fast.data.readers import ReadOptions
from plr_fast.data.readers_dicom_series import scan_files
from plr_fast.errors import ImageReadError
from tests.data.medical_files import (
    SECONDARY_CAPTURE,
    SPACING,
    ct_slices,
    dataset,
    notes_of,
    one_series,
    read_series,
    save,
    save_series,
    uid,
    volume,
)


def scan(folder: Path) -> Any:
    return scan_files(sorted(path for path in folder.iterdir() if path.is_file()), ReadOptions())


class TestOrder:
    @pytest.mark.parametrize("numbers", ["up", "down", "same", "none"])
    def test_by_position_alone(self, tmp_path: Path, numbers: str) -> None:
        made = ct_slices(volume())
        for place, item in enumerate(made):
            item.InstanceNumber = {"up": place, "down": 9 - place, "same": 1, "none": None}[numbers]
        save_series(made, tmp_path, seed=3)
        np.testing.assert_array_equal([item.pixels for item in read_series(tmp_path)], volume())

    def test_missing_slices_keep_their_pages(self, tmp_path: Path) -> None:
        made = ct_slices(volume(10))
        save_series([made[k] for k in (0, 1, 2, 5, 6, 7, 9)], tmp_path)
        found = read_series(tmp_path)
        assert [item.page for item in found] == [0, 1, 2, 5, 6, 7, 9]
        gap = f"{3 * SPACING[0]:g} mm where others are {SPACING[0]:g} mm apart"
        told = notes_of(found)["slices are missing"]
        assert told.startswith(f"2 behind #0002: {gap}")
        assert "1 behind #0007" in told
        with pytest.raises(ImageReadError, match=r"IM000\d\.dcm .* slices are missing \(2 behind #0002"):
            read_series(tmp_path, gaps="refuse")

    def test_no_gap_is_seen_where_there_is_none(self, tmp_path: Path) -> None:
        made = ct_slices(volume(8))
        for item, shift in zip(made, np.random.default_rng(0).uniform(-0.04, 0.04, 8), strict=True):  # rounded tables
            item.ImagePositionPatient[2] += float(shift)
        save_series(made, tmp_path)
        found = read_series(tmp_path, gaps="refuse")
        assert [item.page for item in found] == list(range(8))
        assert notes_of(found) == {}

    def test_uneven_spacing(self, tmp_path: Path) -> None:
        made = ct_slices(volume())
        made[0].ImagePositionPatient[2] += 0.4 * SPACING[0]
        save_series(made, tmp_path)
        found = read_series(tmp_path)
        assert notes_of(found) == {"the slices are unevenly spaced": "2.5 to 3.5 mm"}
        assert [item.page for item in found] == list(range(6))

    def test_copies_are_left_out(self, tmp_path: Path) -> None:
        paths = save_series(ct_slices(volume()), tmp_path)
        for path in paths[:2]:
            shutil.copy(path, path.with_name(f"copy-{path.name}"))
        found = read_series(tmp_path)
        np.testing.assert_array_equal([item.pixels for item in found], volume())
        assert notes_of(found) == {"copies of a slice were left out": "2"}

    def test_of_several_phases_the_first_is_taken(self, tmp_path: Path) -> None:
        for phase in (2, 1, 3):
            save_series(ct_slices(volume(seed=phase), AcquisitionNumber=phase), tmp_path / str(phase))
        files = [path for phase in (2, 1, 3) for path in (tmp_path / str(phase)).iterdir()]
        (series,) = scan_files(files, ReadOptions()).series
        assert {frame.file.parent.name for frame in series.frames} == {"1"}
        assert dict(series.notes).popitem()[1] == "12"


class TestWhatBelongsTogether:
    def test_series_of_a_folder_are_kept_apart(self, tmp_path: Path) -> None:
        for number in range(3):
            made = ct_slices(volume(seed=number), SeriesInstanceUID=uid(number))
            for place, item in enumerate(made):
                save(item, tmp_path / f"{(place * 3 + number * 7) % 19:02d}-{number}")
        found = scan(tmp_path)
        assert sorted(len(series.frames) for series in found.series) == [6, 6, 6]
        assert not found.broken
        for series in found.series:
            assert {frame.file.name[-1] for frame in series.frames} == {series.files[0].name[-1]}

    def test_what_is_no_slice_is_counted(self, tmp_path: Path) -> None:
        save_series(ct_slices(volume()), tmp_path)
        nothing = np.zeros((4, 4), np.uint16)
        save(dataset(nothing, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path / "scout")  # same series
        save(dataset(nothing, modality="PT"), tmp_path / "pet")
        save(dataset(nothing, SECONDARY_CAPTURE), tmp_path / "capture")
        save(dataset(nothing, "1.2.840.10008.1.3.10", Rows=None), tmp_path / "DICOMDIR")
        (tmp_path / "broken.dcm").write_bytes(b"no")
        found = scan(tmp_path)
        assert len(found.series) == 1
        assert len(found.series[0].frames) == 6
        assert [path.name for path in found.broken] == ["broken.dcm"]
        assert found.passed_over == {"localizer": 1, "modality PT": 1, "screenshot or secondary capture": 1}

    @pytest.mark.parametrize("content", [b"", b"\0" * 500, b"\xff" * 500, b"not found" * 90])
    def test_garbage_behind_the_mark_is_broken(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "garbage").write_bytes(b"\0" * 128 + b"DICM" + content)
        found = scan(tmp_path)
        assert ([path.name for path in found.broken], found.passed_over) == (["garbage"], {})

    def test_a_header_that_is_cut_off_is_broken(self, tmp_path: Path) -> None:
        (file,) = save_series(ct_slices(volume(1)), tmp_path)
        content = file.read_bytes()
        for length in range(140, content.index(b"\x28\x00\x10\x00"), 40):
            file.write_bytes(content[:length])
            assert scan(tmp_path).broken == (file,), length

    def test_a_directory_is_known_by_its_file_header(self, tmp_path: Path) -> None:
        made = dataset(np.zeros((4, 4), np.uint16), "1.2.840.10008.1.3.10", SOPClassUID=None, Rows=None)
        made.save_as(tmp_path / "DICOMDIR")
        found = scan(tmp_path)
        assert (found.broken, found.passed_over) == ((), {})

    def test_captures_that_say_where_they_lie_are_slices(self, tmp_path: Path) -> None:
        save_series(ct_slices(volume(), SOPClassUID=SECONDARY_CAPTURE), tmp_path)
        np.testing.assert_array_equal([item.pixels for item in read_series(tmp_path)], volume())

    def test_a_scout_that_is_not_called_so(self, tmp_path: Path) -> None:
        save_series(ct_slices(volume()), tmp_path)
        save(ct_slices(volume(1, 20, 30), ImageOrientationPatient=[1, 0, 0, 0, 0, -1])[0], tmp_path / "scout")
        found = read_series(tmp_path)
        np.testing.assert_array_equal([item.pixels for item in found], volume())
        assert notes_of(found) == {"slices of another orientation in a series were passed over": "1"}

    def test_two_sizes_in_a_series(self, tmp_path: Path) -> None:
        save_series(ct_slices(volume()), tmp_path / "a")
        save_series(ct_slices(volume(3, 8, 8)), tmp_path / "b")
        files = [*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()]
        found = scan_files(files, ReadOptions()).series
        assert sorted(len(series.frames) for series in found) == [3, 6]
        assert len({series.uid for series in found}) == 2

    def test_without_series_uid_the_folder_counts(self, tmp_path: Path) -> None:
        save_series(ct_slices(volume(), SeriesInstanceUID=None), tmp_path)
        assert len(one_series(tmp_path).frames) == 6

    def test_without_modality_the_class_counts(self, tmp_path: Path) -> None:
        save_series(ct_slices(volume(), Modality=None), tmp_path)
        assert len(one_series(tmp_path).frames) == 6
