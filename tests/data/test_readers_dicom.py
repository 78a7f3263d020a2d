"""DICOM: values, orientation, what is no CT, and what is damaged; against the volume that the files were made from."""

from __future__ import annotations

import builtins
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason='pip install "plr-fast[codecs]"')

from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from plr_fast.data.identities import pseudonym
from plr_fast.data.readers import RawSlice, ReadOptions, find_reader
from plr_fast.data.readers_dicom import DicomReader
from plr_fast.errors import DataError, ImageReadError
from tests.data.medical_files import (
    SECONDARY_CAPTURE,
    SPACING,
    STANDARD,
    XRAY,
    ct_slices,
    dataset,
    enhanced_ct,
    notes_of,
    one_series,
    read_series,
    reopened,
    save,
    save_series,
    volume,
)

AXES = [(1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, -1.0, 0.0)]
ORIENTATIONS = [a + b for a, b in itertools.permutations(AXES, 2) if not np.dot(a, b)]


def read_file(path: Path, **options: Any) -> list[RawSlice]:
    reader = DicomReader(ReadOptions(**options))
    found = list(reader.read(path))
    assert len(found) == reader.count(path)
    return found


class TestSeries:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_every_orientation_gives_the_same_slices(self, tmp_path: Path, orientation: tuple[float, ...]) -> None:
        expected = volume()
        save_series(ct_slices(expected, orientation), tmp_path)
        found = read_series(tmp_path)
        assert [item.page for item in found] == list(range(6))
        for item, picture in zip(found, expected, strict=True):
            np.testing.assert_array_equal(item.pixels, picture)
            assert item.hounsfield
            assert item.spacing == SPACING[1:]
            assert item.patient == pseudonym("P1")
        assert notes_of(found) == {}

    def test_a_tilted_gantry(self, tmp_path: Path) -> None:
        angle = np.radians(20)
        down = [0.0, float(np.cos(angle)), float(np.sin(angle))]
        made = ct_slices(volume())
        for item in made:
            item.ImageOrientationPatient = [1.0, 0.0, 0.0, *down]
        save_series(made, tmp_path)
        found = read_series(tmp_path)
        np.testing.assert_array_equal([item.pixels for item in found], volume())
        assert notes_of(found) == {"the slices are tilted against the patient's axes": "20°"}

    @pytest.mark.parametrize(("down", "plane"), [((0, 0, -1), "coronal"), ((0, 0.7071, 0.7071), "oblique")])
    def test_other_planes_are_refused(self, tmp_path: Path, down: tuple[float, ...], plane: str) -> None:
        save_series(ct_slices(volume(), ImageOrientationPatient=[1, 0, 0, *down]), tmp_path)
        with pytest.raises(ImageReadError, match=rf"IM000\d\.dcm belongs to a series of 6 {plane} slices; only axial"):
            read_series(tmp_path)

    def test_choice_of_slices_keeps_their_pages(self, tmp_path: Path) -> None:
        save_series(ct_slices(volume(10)), tmp_path)
        found = read_series(tmp_path, every=3, part=(0.2, 0.9))
        assert [item.page for item in found] == [2, 5, 8]
        np.testing.assert_array_equal([item.pixels for item in found], volume(10)[2:9:3])

    def test_files_are_read_when_their_turn_comes(self, tmp_path: Path) -> None:
        save_series(ct_slices(volume()), tmp_path)
        series = one_series(tmp_path)
        slices = DicomReader(series=series).read(tmp_path)
        np.testing.assert_array_equal(next(slices).pixels, volume()[0])
        series.frames[1].file.unlink()
        with pytest.raises(ImageReadError, match="does not exist"):
            next(slices)

    def test_a_file_alone(self, tmp_path: Path) -> None:
        (found,) = read_file(save(ct_slices(volume())[2], tmp_path / "x.dcm"))
        assert found.page is None
        np.testing.assert_array_equal(found.pixels, volume()[2])


class TestValues:
    def check(self, path: Path, **options: Any) -> np.ndarray:
        """The values must be what pydicom makes of the file."""
        (found,) = read_file(path, **options)
        made = reopened(path)
        np.testing.assert_allclose(found.pixels, apply_modality_lut(made.pixel_array, made), rtol=1e-6)
        return found.pixels

    @pytest.mark.parametrize("stored", [np.uint16, np.int16, np.uint8])
    @pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (1, 0), (0.5, -1000.25), (2, -3024), (1, 40000)])
    def test_as_pydicom(self, tmp_path: Path, stored: Any, slope: float, intercept: float) -> None:
        info = np.iinfo(stored)
        values = np.random.default_rng(1).integers(info.min, info.max, (7, 9), endpoint=True).astype(stored)
        made = dataset(values, RescaleSlope=slope, RescaleIntercept=intercept)
        found = self.check(save(made, tmp_path / "x.dcm"))
        assert found.dtype == np.int16 or found.dtype == np.float32

    def test_bits_that_are_not_stored_do_not_count(self, tmp_path: Path) -> None:
        values = np.random.default_rng(2).integers(0, 4096, (7, 9)).astype(np.uint16)
        made = dataset(values | 0x8000, BitsStored=12, HighBit=11, RescaleSlope=1, RescaleIntercept=-1024)  # an overlay
        (found,) = read_file(save(made, tmp_path / "x.dcm"))
        np.testing.assert_array_equal(found.pixels, values.astype(int) - 1024)

    @pytest.mark.parametrize("limit", [None, 70])
    def test_padding_is_air(self, tmp_path: Path, limit: int | None) -> None:
        values = np.arange(63, 84, dtype=np.int16).reshape(3, 7)
        tags = {"PixelPaddingValue": 65, "RescaleSlope": 1, "RescaleIntercept": -10}
        made = dataset(values, **tags, **({} if limit is None else {"PixelPaddingRangeLimit": limit}))
        (found,) = read_file(save(made, tmp_path / "x.dcm"))
        padded = (values >= 65) & (values <= (limit or 65))
        np.testing.assert_array_equal(found.pixels, np.where(padded, -1000, values - 10))

    def test_padding_written_unsigned(self, tmp_path: Path) -> None:
        values = np.array([[-2000, -2000, 5]], dtype=np.int16)
        made = dataset(values, RescaleSlope=1, RescaleIntercept=0)
        made.add_new("PixelPaddingValue", "US", 65536 - 2000)
        (found,) = read_file(save(made, tmp_path / "x.dcm"))
        np.testing.assert_array_equal(found.pixels, [[-1000, -1000, 5]])

    @pytest.mark.parametrize("slope", ["0", "nan", "inf"])
    def test_slopes_that_make_no_picture(self, tmp_path: Path, slope: str) -> None:
        made = dataset(np.ones((4, 4), np.int16), RescaleSlope=float(slope), RescaleIntercept=0)
        with pytest.raises(ImageReadError, match=r"x\.dcm: RescaleSlope .* make no picture"):
            read_file(save(made, tmp_path / "x.dcm"))

    def test_no_number(self, tmp_path: Path) -> None:
        values = np.array([[0.5, np.nan]], dtype=np.float32)
        made = dataset(np.zeros((1, 2), np.uint16), PixelData=None, BitsAllocated=32)
        for name in ("BitsStored", "HighBit", "PixelRepresentation"):
            delattr(made, name)
        made.FloatPixelData = values.tobytes()
        with pytest.raises(ImageReadError, match="NaN or infinite"):
            read_file(save(made, tmp_path / "x.dcm"))

    @pytest.mark.parametrize(("kind", "hounsfield"), [(None, True), ("HU", True), ("OD", False)])
    def test_units(self, tmp_path: Path, kind: str | None, hounsfield: bool) -> None:
        tags = {} if kind is None else {"RescaleType": kind}
        path = save(ct_slices(volume())[0].copy(), tmp_path / "x.dcm")
        made = reopened(path)
        for name, value in tags.items():
            setattr(made, name, value)
        save(made, path)
        assert read_file(path)[0].hounsfield is hounsfield
        assert read_file(path, hounsfield="yes")[0].hounsfield
        assert not read_file(path, hounsfield="no")[0].hounsfield

    def test_values_that_cannot_be_hounsfield(self, tmp_path: Path) -> None:
        made = dataset(np.arange(12, dtype=np.uint16).reshape(3, 4) + 7)
        notes = notes_of(read_file(save(made, tmp_path / "x.dcm")))
        (matter,) = [matter for matter in notes if matter.startswith("the values cannot be Hounsfield units")]
        assert notes[matter] == "the least is 7"

    def test_monochrome1_of_ct(self, tmp_path: Path) -> None:
        values = np.arange(12, dtype=np.uint16).reshape(3, 4)
        made = dataset(values, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)
        path = save(made, tmp_path / "x.dcm")
        np.testing.assert_array_equal(read_file(path)[0].pixels, values)  # Hounsfield units are what they are
        np.testing.assert_array_equal(read_file(path, hounsfield="no")[0].pixels, 4095 - values.astype(int))


class TestEnhanced:
    def test_frames_have_their_own_places_and_slopes(self, tmp_path: Path) -> None:
        expected = np.where(volume() == -1024, -1023, volume())
        order, slopes = [3, 0, 5, 1, 4, 2], [1, 2, 1, 0.5, 1, 1]
        path = save(enhanced_ct(expected, order, slopes), tmp_path / "x.dcm")
        found = read_file(path)
        assert [item.page for item in found] == list(range(6))
        assert {item.spacing for item in found} == {SPACING[1:]}
        for k, slope in zip(order, slopes, strict=True):
            np.testing.assert_allclose(found[k].pixels, (expected[k] + 1024.0) * slope - 1024 * slope)

    def test_compressed_frames(self, tmp_path: Path) -> None:
        made = enhanced_ct(volume(), [2, 1, 0, 3, 4, 5], [1] * 6)
        made.compress(RLELossless)
        found = read_file(save(made, tmp_path / "x.dcm"), every=2)
        np.testing.assert_array_equal([item.pixels for item in found], volume()[::2])

    def test_two_files_make_one_series(self, tmp_path: Path) -> None:
        for name, order in (("a", [5, 1, 3]), ("b", [0, 2, 4])):
            save(enhanced_ct(volume(), order, [1] * 3), tmp_path / f"{name}.dcm")
        np.testing.assert_array_equal([item.pixels for item in read_series(tmp_path)], volume())

    def test_frames_without_places(self, tmp_path: Path) -> None:
        made = enhanced_ct(volume(), range(6), [1] * 6)
        made.PerFrameFunctionalGroupsSequence = made.PerFrameFunctionalGroupsSequence[:4]
        with pytest.raises(ImageReadError, match=r"x\.dcm has 6 frames, but says of 4 where they lie"):
            read_file(save(made, tmp_path / "x.dcm"))


class TestTransferSyntaxes:
    @pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
    def test_compressed(self, tmp_path: Path, syntax: str) -> None:
        made = ct_slices(volume(2, 32, 48))
        for item in made:
            item.compress(syntax)
        save_series(made, tmp_path)
        np.testing.assert_array_equal([item.pixels for item in read_series(tmp_path)], volume(2, 32, 48))

    @pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
    def test_plain(self, tmp_path: Path, syntax: str) -> None:
        made = ct_slices(volume())[0]
        made.file_meta.TransferSyntaxUID = syntax
        (found,) = read_file(save(made, tmp_path / "x.dcm"))
        np.testing.assert_array_equal(found.pixels, volume()[0])

    def test_lossless_jpeg(self, tmp_path: Path) -> None:
        gdcm = pytest.importorskip("gdcm")  # pydicom decodes, but does not write this syntax
        save(ct_slices(volume(1, 32, 48))[0], tmp_path / "plain.dcm")
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(tmp_path / "plain.dcm"))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(tmp_path / "x.dcm"))
        assert writer.Write()
        assert reopened(tmp_path / "x.dcm").file_meta.TransferSyntaxUID == JPEGLosslessSV1
        np.testing.assert_array_equal(read_file(tmp_path / "x.dcm")[0].pixels, volume(1, 32, 48)[0])

    @pytest.mark.parametrize(
        ("syntax", "message"),
        [
            (JPEGLosslessSV1, r"no decoder is installed; pip install \"plr-fast\[codecs\]\""),
            ("1.2.840.10008.1.2.4.103", "there is no decoder; export it uncompressed"),  # MPEG-4
        ],
    )
    def test_no_decoder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: str, message: str) -> None:
        made = ct_slices(volume())[0]
        made.compress(RLELossless)
        made.file_meta.TransferSyntaxUID = syntax
        path = save(made, tmp_path / "x.dcm")
        from pydicom.pixels import get_decoder

        if syntax == JPEGLosslessSV1:
            monkeypatch.setattr(get_decoder(JPEGLosslessSV1), "_available", {})
        with pytest.raises(ImageReadError, match=rf"x\.dcm is compressed as .*\({syntax}\).*{message}"):
            DicomReader().count(path)


class TestXrays:
    def made(self, **tags: Any) -> Any:
        values = np.random.default_rng(3).integers(0, 4096, (20, 30)).astype(np.uint16)
        return dataset(values, XRAY, "DX", **({"BitsStored": 12, "HighBit": 11} | tags))

    @pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
    def test_window_as_pydicom(self, tmp_path: Path, function: str | None) -> None:
        tags = {} if function is None else {"VOILUTFunction": function}
        made = self.made(WindowCenter=[2000, 1], WindowWidth=[1500, 1], **tags)
        (found,) = read_file(save(made, tmp_path / "x.dcm"))
        expected = apply_voi_lut(made.pixel_array, made) / 4095 * 255
        assert found.pixels.dtype == np.uint8
        assert not found.hounsfield
        assert np.abs(found.pixels - expected).max() <= 0.5001

    def test_table_as_pydicom(self, tmp_path: Path) -> None:
        made = self.made()
        from pydicom.dataset import Dataset

        table = Dataset()
        table.LUTDescriptor = [4096, 0, 10]
        table.LUTData = (np.sqrt(np.linspace(0, 1, 4096)) * 1023).astype(np.uint16).tobytes()
        table["LUTData"].VR = "OW"
        made.VOILUTSequence = [table]
        path = save(made, tmp_path / "x.dcm")
        expected = apply_voi_lut(reopened(path).pixel_array, reopened(path)) / 1023 * 255
        assert np.abs(read_file(path)[0].pixels - expected).max() <= 0.5001

    @pytest.mark.parametrize("kind", [XRAY, SECONDARY_CAPTURE])  # public sets are often secondary captures
    def test_white_for_black(self, tmp_path: Path, kind: str) -> None:
        tags = {"WindowCenter": 2000, "WindowWidth": 1500, "SOPClassUID": kind}
        (plain,) = read_file(save(self.made(**tags), tmp_path / "a.dcm"))
        (turned,) = read_file(save(self.made(PhotometricInterpretation="MONOCHROME1", **tags), tmp_path / "b.dcm"))
        np.testing.assert_array_equal(turned.pixels, 255 - plain.pixels)
        both = self.made(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE", **tags)
        for made in (both, self.made(PresentationLUTShape="INVERSE", **tags)):  # two ways to say it, not to undo it
            np.testing.assert_array_equal(read_file(save(made, tmp_path / "c.dcm"))[0].pixels, turned.pixels)

    def test_without_window_its_extremes(self, tmp_path: Path) -> None:
        made = self.made(PixelPaddingValue=0, ImagerPixelSpacing=[0.2, 0.1])
        stored = made.pixel_array.copy()
        stored[0] = 0
        made.PixelData = stored.tobytes()
        (found,) = read_file(save(made, tmp_path / "x.dcm"))
        low, high = float(stored[stored > 0].min()), float(stored.max())
        expected = np.where(stored == 0, 0, (stored - low) / (high - low) * 255)
        assert np.abs(found.pixels - expected).max() <= 0.5001
        assert found.spacing == (0.2, 0.1)

    def test_each_is_a_source(self, tmp_path: Path) -> None:
        from plr_fast.data.sources import find_sources

        for name in ("a.dcm", "b.dcm"):
            save(self.made(), tmp_path / name)
        assert [source.name for source in find_sources(tmp_path).found] == ["a.dcm", "b.dcm"]


class TestWhatItIs:
    def test_claims(self, tmp_path: Path) -> None:
        for name in ("x.dcm", "x.DCM", "x.ima", "IM0001", "1.2.840.113619"):
            path = save(dataset(np.zeros((2, 2), np.uint16)), tmp_path / name)
            assert isinstance(find_reader(path), DicomReader), name
        (tmp_path / "short").write_bytes(b"DICM")
        (tmp_path / "text.txt").write_bytes(bytes(200))
        (tmp_path / "folder.dcm").mkdir()
        assert all(find_reader(tmp_path / name) is None for name in ("short", "text.txt", "folder.dcm"))

    def test_without_preamble(self, tmp_path: Path) -> None:
        made = ct_slices(volume())[0]
        path = tmp_path / "x.dcm"
        with path.open("wb") as stream:
            from pydicom.filebase import DicomFileLike
            from pydicom.filewriter import write_dataset

            target = DicomFileLike(stream)
            target.is_implicit_VR, target.is_little_endian = True, True
            write_dataset(target, made)
        np.testing.assert_array_equal(read_file(path)[0].pixels, volume()[0])

    def test_colour(self, tmp_path: Path) -> None:
        made = dataset(np.zeros((4, 4), np.uint8), XRAY, "CR", SamplesPerPixel=3, PhotometricInterpretation="RGB")
        made.PlanarConfiguration, made.PixelData = 0, bytes(48)
        with pytest.raises(ImageReadError, match="colour picture"):
            read_file(save(made, tmp_path / "x.dcm"))

    @pytest.mark.parametrize(
        ("tags", "what"),
        [
            ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
            ({"Modality": "MR"}, "modality MR"),
            ({"SOPClassUID": SECONDARY_CAPTURE}, "screenshot or secondary capture"),
            ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "screenshot or secondary capture"),
            ({"Modality": "SR", "Rows": None, "PixelData": None}, "SR object without pictures"),
        ],
    )
    def test_neither_ct_nor_xray(self, tmp_path: Path, tags: dict[str, Any], what: str) -> None:
        path = save(dataset(np.zeros((4, 4), np.uint16), **tags), tmp_path / "x.dcm")
        with pytest.raises(ImageReadError, match=rf"x\.dcm holds neither CT slices nor an X-ray, but: {what}"):
            read_file(path)


class TestDamage:
    def test_cut_anywhere(self, tmp_path: Path) -> None:
        whole = save(ct_slices(volume())[0], tmp_path / "whole.dcm")
        content = whole.read_bytes()
        refused = 0
        for length in range(0, len(content), 13):
            path = tmp_path / "cut.dcm"
            path.write_bytes(content[:length])
            with pytest.raises(ImageReadError, match=r"cut\.dcm"):
                read_file(path)
            refused += 1
        assert refused > 50

    def test_cut_while_compressed(self, tmp_path: Path) -> None:
        made = ct_slices(volume(1, 64, 64))[0]
        made.compress(RLELossless)
        content = save(made, tmp_path / "whole.dcm").read_bytes()
        (tmp_path / "cut.dcm").write_bytes(content[: len(content) - 300])
        with pytest.raises(ImageReadError, match=r"cut\.dcm is damaged or truncated"):
            read_file(tmp_path / "cut.dcm")

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"", r"empty \(0 bytes\)"), (b"<html>" * 50, "not a DICOM file"), (bytes(128) + b"DICM", "x.dcm")],
    )
    def test_no_dicom(self, tmp_path: Path, content: bytes, message: str) -> None:
        (tmp_path / "x.dcm").write_bytes(content)
        with pytest.raises(ImageReadError, match=message):
            DicomReader().count(tmp_path / "x.dcm")

    def test_no_pixels(self, tmp_path: Path) -> None:
        path = save(dataset(np.zeros((4, 4), np.uint16), PixelData=None), tmp_path / "x.dcm")
        with pytest.raises(ImageReadError, match=r"x\.dcm has no pixel data"):
            read_file(path)

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ImageReadError, match="does not exist"):
            read_file(tmp_path / "x.dcm")

    def test_enormous(self, tmp_path: Path) -> None:
        path = save(dataset(np.zeros((4, 4), np.uint16), Rows=60000, Columns=60000), tmp_path / "x.dcm")
        with pytest.raises(ImageReadError, match="claims 60000×60000 pixels"):
            read_file(path)

    def test_orientation_that_is_none(self, tmp_path: Path) -> None:
        made = ct_slices(volume(), ImageOrientationPatient=[1, 0, 0, 1, 0, 0])[0]
        with pytest.raises(ImageReadError, match="ImageOrientationPatient is no orientation"):
            read_file(save(made, tmp_path / "x.dcm"))

    def test_pydicom_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = save(dataset(np.zeros((4, 4), np.uint16)), tmp_path / "x.dcm")
        real = builtins.__import__

        def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
            if name == "pydicom":
                raise ImportError(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(DataError, match=r"pip install \"plr-fast\[medical\]\"") as caught:
            DicomReader().count(path)
        assert not isinstance(caught.value, ImageReadError)  # no file's fault: never skipped


def test_no_orientation_and_no_position_are_told(tmp_path: Path) -> None:
    made = ct_slices(volume(), STANDARD, ImageOrientationPatient=None, ImagePositionPatient=None)
    save_series(made, tmp_path)
    found = read_series(tmp_path)
    np.testing.assert_array_equal([item.pixels for item in found], volume()[::-1])  # numbered from the feet
    assert any("orientation is not stated" in matter for matter in notes_of(found))
    assert any("ordered by number" in matter for matter in notes_of(found))
