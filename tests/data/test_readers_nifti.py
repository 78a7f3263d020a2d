"""NIfTI volumes against nibabel and the volume that the files were made from."""

from __future__ import annotations

import builtins
import gc
import gzip
import itertools
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from plr_fast.data.readers import RawSlice, ReadOptions, find_reader, to_grey
from plr_fast.data.readers_nifti import NiftiReader
from plr_fast.errors import DataError, ImageReadError, StorageError
from tests.data.medical_files import SPACING, nibabel, notes_of, volume

# All 48 ways in which the axes of a volume can run along those of the patient.
CODES = [
    "".join(axis[sign] for axis, sign in zip(axes, signs, strict=True))
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for signs in itertools.product((0, 1), repeat=3)
]
HOUNSFIELD = "taken as Hounsfield units for values of -500 and less (--hounsfield no forbids it)"


def image(values: np.ndarray, code: str = "RAS", **header: Any) -> Any:
    """A volume in the display convention (D, H, W) as NIfTI with axes that run as ``code`` says."""
    shown = values.transpose(2, 1, 0)[::-1, ::-1, ::-1]  # right, front and head grow
    sz, sy, sx = SPACING
    ras = nibabel.Nifti1Image(shown, np.diag([sx, sy, sz, 1.0]))
    ras.header.set_xyzt_units("mm")
    target = nibabel.orientations.axcodes2ornt(tuple(code))
    moved = ras.as_reoriented(nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), target))
    for name, value in header.items():
        moved.header[name] = value
    return moved


def save(made: Any, path: Path) -> Path:
    nibabel.save(made, path)
    return path


def read(path: Path, **options: Any) -> list[RawSlice]:
    reader = NiftiReader(ReadOptions(**options))
    found = list(reader.read(path))
    assert len(found) == reader.count(path)
    return found


@pytest.mark.parametrize("code", CODES)
def test_every_orientation_gives_the_same_slices(tmp_path: Path, code: str) -> None:
    expected = volume(5, 6, 7)
    made = image(expected, code)
    assert "".join(nibabel.aff2axcodes(made.affine)) == code
    found = read(save(made, tmp_path / "x.nii"))
    np.testing.assert_array_equal([item.pixels for item in found], expected)
    assert [item.page for item in found] == list(range(5))
    np.testing.assert_allclose(found[0].spacing, SPACING[1:])
    assert all(item.hounsfield for item in found)
    assert found[0].pixels.dtype == np.int16


def test_right_is_right_by_nibabels_own_means(tmp_path: Path) -> None:
    """Not through the helper above: world coordinates of the voxels, as nibabel computes them."""
    made = image(volume(5, 6, 7), "PIR")
    (tmp_path / "x.nii").write_bytes(made.to_bytes())
    found = np.stack([item.pixels for item in read(tmp_path / "x.nii")])
    data, hits = np.asarray(made.dataobj), []
    for k, i, j in ((0, 0, 0), (4, 0, 0), (0, 5, 0), (0, 0, 6)):
        (voxel,) = np.argwhere(data == found[k, i, j])
        hits.append(nibabel.affines.apply_affine(made.affine, voxel))
    first, feet, back, left = np.array(hits)
    np.testing.assert_allclose(feet - first, [0, 0, -4 * SPACING[0]], atol=1e-5)
    np.testing.assert_allclose(back - first, [0, -5 * SPACING[1], 0], atol=1e-5)  # +y is the front in NIfTI
    np.testing.assert_allclose(left - first, [-6 * SPACING[2], 0, 0], atol=1e-5)  # +x is the right


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.5, -1000), (np.nan, np.nan)])
def test_values_are_nibabels(tmp_path: Path, suffix: str, dtype: Any, slope: float, intercept: float) -> None:
    made = image(np.abs(volume(4, 5, 6)).astype(dtype))
    path = save(made, tmp_path / f"x.{suffix}")
    raw = bytearray(gzip.decompress(path.read_bytes()) if suffix.endswith("gz") else path.read_bytes())
    raw[112:120] = np.array([slope, intercept], dtype="<f4").tobytes()  # nibabel sets its own where it saves
    path.write_bytes(gzip.compress(bytes(raw)) if suffix.endswith("gz") else bytes(raw))
    expected = np.asarray(nibabel.load(path).dataobj)[::-1, ::-1, ::-1].transpose(2, 1, 0)
    np.testing.assert_allclose([item.pixels for item in read(path)], expected, rtol=1e-6)


def test_big_endian(tmp_path: Path) -> None:
    made = image(volume(3, 4, 5))
    swapped = nibabel.Nifti1Image(np.asarray(made.dataobj), made.affine, made.header.as_byteswapped(">"))
    found = read(save(swapped, tmp_path / "x.nii"))
    np.testing.assert_array_equal([item.pixels for item in found], volume(3, 4, 5))
    assert found[0].pixels.dtype.isnative


class TestHounsfield:
    def test_by_values(self, tmp_path: Path) -> None:
        low = save(image(np.full((2, 3, 4), -500, np.int16)), tmp_path / "low.nii")
        high = save(image(np.full((2, 3, 4), -499, np.int16)), tmp_path / "high.nii")
        assert notes_of(read(low)) == {HOUNSFIELD: ""}
        (first, _), notes = read(high), notes_of(read(high))
        assert not first.hounsfield
        assert notes == {}
        with pytest.raises(DataError, match="--window LOW HIGH"):
            to_grey(first, None, "high.nii")

    @pytest.mark.parametrize(("option", "expected"), [("yes", True), ("no", False)])
    def test_by_option(self, tmp_path: Path, option: Any, expected: bool) -> None:
        for level in (-1000, 0):
            path = save(image(np.full((2, 3, 4), level, np.int16)), tmp_path / "x.nii")
            assert {item.hounsfield for item in read(path, hounsfield=option)} == {expected}

    def test_voxels_that_are_nan(self, tmp_path: Path) -> None:
        values = volume(3, 4, 5).astype(np.float32)
        values[1:, 0, 0] = np.nan
        found = read(save(image(values), tmp_path / "x.nii"))
        np.testing.assert_array_equal([item.pixels for item in found], np.nan_to_num(values, nan=-1000))
        assert [len(item.notes) for item in found] == [1, 1, 0]
        values[0, 0, 0] = np.inf
        with pytest.raises(ImageReadError, match="NaN or infinite"):
            to_grey(read(save(image(values), tmp_path / "y.nii"))[0], None, "y")


class TestGeometry:
    def test_choice_of_slices(self, tmp_path: Path) -> None:
        found = read(save(image(volume(10)), tmp_path / "x.nii.gz"), every=4, part=(0.1, 1.0))
        assert [item.page for item in found] == [1, 5, 9]
        np.testing.assert_array_equal([item.pixels for item in found], volume(10)[1::4])

    @pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("meter", 1000.0), ("micron", 0.001), ("unknown", 1.0)])
    def test_units(self, tmp_path: Path, unit: str, factor: float) -> None:
        made = image(volume())
        made.header.set_xyzt_units(unit)
        np.testing.assert_allclose(read(save(made, tmp_path / "x.nii"))[0].spacing, np.array(SPACING[1:]) * factor)

    @pytest.mark.parametrize(("degrees", "refused"), [(0.5, False), (10.0, False), (40.0, True)])
    def test_oblique(self, tmp_path: Path, degrees: float, refused: bool) -> None:
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        made = image(volume())
        turn = np.array([[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]])
        path = save(nibabel.Nifti1Image(np.asarray(made.dataobj), turn @ made.affine), tmp_path / "x.nii")
        if refused:
            with pytest.raises(ImageReadError, match=r"lies 40° oblique"):
                read(path)
        else:
            found = read(path)
            np.testing.assert_array_equal([item.pixels for item in found], volume())
            assert ("the slices are tilted against the patient's axes" in notes_of(found)) == (degrees > 1)

    def test_no_orientation(self, tmp_path: Path) -> None:
        path = save(image(volume()), tmp_path / "x.nii")
        raw = bytearray(path.read_bytes())
        raw[252:256] = bytes(4)  # qform_code, sform_code
        path.write_bytes(raw)
        assert any("orientation is not stated" in matter for matter in notes_of(read(path)))

    def test_thick_slices_across(self, tmp_path: Path) -> None:
        made = image(volume(6, 5, 4))
        thick = nibabel.Nifti1Image(np.asarray(made.dataobj), np.diag([0.7, 5.0, 0.7, 1]))
        assert "axial slices cross the scan's own, which are thicker" in notes_of(read(save(thick, tmp_path / "x.nii")))

    def test_one_time_point_and_one_slice(self, tmp_path: Path) -> None:
        values = np.asarray(image(volume()).dataobj)
        affine = image(volume()).affine
        path = save(nibabel.Nifti1Image(values[..., None], affine), tmp_path / "x.nii")
        np.testing.assert_array_equal([item.pixels for item in read(path)], volume())
        path = save(nibabel.Nifti1Image(values[..., 0], affine), tmp_path / "y.nii")
        (found,) = read(path)
        np.testing.assert_array_equal(found.pixels, volume()[-1])
        assert found.page is None


class TestRefused:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (np.zeros((3, 4, 5, 2), np.int16), r"3×4×5×2: not one volume"),
            (np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "holds colours"),
            (np.zeros((3, 4, 5), np.complex64), "holds complex64"),
        ],
    )
    def test_no_grey_volume(self, tmp_path: Path, values: np.ndarray, message: str) -> None:
        path = save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii")
        with pytest.raises(ImageReadError, match=rf"x\.nii .*{message}"):
            NiftiReader().count(path)

    def test_affine_of_nothing(self, tmp_path: Path) -> None:
        made = image(volume())
        path = save(nibabel.Nifti1Image(np.asarray(made.dataobj), made.affine), tmp_path / "x.nii")
        raw = bytearray(path.read_bytes())
        raw[280:296] = bytes(16)  # srow_x
        path.write_bytes(raw)
        with pytest.raises(ImageReadError, match="affine"):
            NiftiReader().count(path)

    @pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
    def test_cut_anywhere(self, tmp_path: Path, suffix: str) -> None:
        content = save(image(volume()), tmp_path / f"whole.{suffix}").read_bytes()
        end = len(content) - (8 if suffix.endswith("gz") else 0)  # without gzip's checksum all voxels are there
        for length in range(0, end, 29):
            path = tmp_path / f"cut.{suffix}"
            path.write_bytes(content[:length])
            with pytest.raises(ImageReadError, match=r"cut\.nii"):
                read(path)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ImageReadError, match="does not exist"):
            read(tmp_path / "x.nii")

    def test_nibabel_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = save(image(volume()), tmp_path / "x.nii")
        real = builtins.__import__

        def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
            if name == "nibabel":
                raise ImportError(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(DataError, match=r"pip install \"plr-fast\[medical\]\"") as caught:
            NiftiReader().count(path)
        assert not isinstance(caught.value, ImageReadError)


class TestUnpacking:
    def test_leaves_nothing_behind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        (tmp_path / "tmp").mkdir()
        path = save(image(volume()), tmp_path / "x.nii.gz")
        slices = NiftiReader().read(path)
        next(slices)
        assert os.listdir(tmp_path / "tmp") == []  # noqa: PTH208 - already without a name
        del slices
        gc.collect()
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(ImageReadError):
            read(path)
        assert os.listdir(tmp_path / "tmp") == []  # noqa: PTH208

    def test_no_space(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = save(image(volume()), tmp_path / "x.nii.gz")
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
        with pytest.raises(StorageError, match="set TMPDIR"):
            read(path)

    def test_is_done_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path, opened = save(image(volume(20)), tmp_path / "x.nii.gz"), []
        real = gzip.open
        monkeypatch.setattr(gzip, "open", lambda *args: opened.append(args) or real(*args))
        assert len(read(path)) == 20
        assert len(opened) == 1


def test_claims(tmp_path: Path) -> None:
    for name in ("x.nii", "x.NII.GZ"):
        (tmp_path / name).write_bytes(b"")
        assert isinstance(find_reader(tmp_path / name), NiftiReader)
    (tmp_path / "x.gz").write_bytes(b"")
    assert find_reader(tmp_path / "x.gz") is None
