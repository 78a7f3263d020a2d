"""Readers: every kind of picture becomes the grey it means; whatever is no picture is named, never guessed at."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plr_fast.data.readers import LUNG_WINDOW, RawSlice, find_reader, to_grey
from plr_fast.data.readers_pillow import MAX_PIXELS
from plr_fast.errors import DataError, ImageReadError

HEIGHT, WIDTH = 37, 53


@pytest.fixture
def grey() -> np.ndarray:
    smooth = np.add.outer(np.arange(HEIGHT) * 4, np.arange(WIDTH) * 2)
    return (smooth + np.random.default_rng(0).integers(0, 9, (HEIGHT, WIDTH))).astype(np.uint8)


def read(path: Path) -> list[RawSlice]:
    reader = find_reader(path)
    assert reader is not None
    slices = list(reader.read(path))
    assert reader.count(path) == len(slices)
    return slices


def read_one(path: Path) -> np.ndarray:
    (only,) = read(path)
    assert only.page is None
    return only.pixels


def luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R 601 in float64; Pillow's fixed-point form is within half a grey level plus its rounding."""
    return rgb[..., :3].astype(np.float64) @ np.array([0.299, 0.587, 0.114])


class TestModes:
    @pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "PNG", "TIF"])
    def test_8_bit_grey_is_exact(self, tmp_path: Path, grey: np.ndarray, suffix: str) -> None:
        path = tmp_path / f"x.{suffix}"
        Image.fromarray(grey).save(path)
        found = read_one(path)
        np.testing.assert_array_equal(found, grey)
        assert found.dtype == np.uint8

    @pytest.mark.parametrize("suffix", ["jpg", "jpeg", "JPG"])
    def test_jpeg_is_close(self, tmp_path: Path, grey: np.ndarray, suffix: str) -> None:
        path = tmp_path / f"x.{suffix}"
        Image.fromarray(grey).save(path, quality=95)
        assert np.abs(read_one(path).astype(int) - grey).mean() < 3

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_16_bit_grey_keeps_its_depth(self, tmp_path: Path, grey: np.ndarray, suffix: str) -> None:
        deep = grey.astype(np.uint16) * 251 + 3
        Image.fromarray(deep).save(tmp_path / f"x.{suffix}")
        found = read_one(tmp_path / f"x.{suffix}")
        assert found.dtype == np.uint16
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, deep)

    def test_big_endian_tiff(self, tmp_path: Path) -> None:
        values = (np.arange(6).reshape(2, 3) * 9001).astype(">u2")
        tags = [(256, 3), (257, 2), (258, 16), (259, 1), (262, 1), (273, 8 + 2 + 12 * 8 + 4), (278, 2), (279, 12)]
        entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
        header = b"MM\x00*" + struct.pack(">I", 8) + struct.pack(">H", len(tags)) + entries + struct.pack(">I", 0)
        (tmp_path / "x.tif").write_bytes(header + values.tobytes())
        found = read_one(tmp_path / "x.tif")
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, values.astype(np.uint16))

    @pytest.mark.parametrize("dtype", [np.float32, np.int32])
    def test_signed_and_floating_tiff_keep_their_values(self, tmp_path: Path, grey: np.ndarray, dtype: Any) -> None:
        values = grey.astype(dtype) * 10 - 1000
        Image.fromarray(values).save(tmp_path / "x.tif")
        np.testing.assert_array_equal(read_one(tmp_path / "x.tif"), values)

    def test_rgb_becomes_luma(self, tmp_path: Path) -> None:
        rgb = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(rgb).save(tmp_path / "x.png")
        assert np.abs(read_one(tmp_path / "x.png") - luma(rgb)).max() <= 0.51

    def test_grey_in_rgb_is_exact(self, tmp_path: Path, grey: np.ndarray) -> None:
        Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "x.png")
        np.testing.assert_array_equal(read_one(tmp_path / "x.png"), grey)

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_transparent_is_black(self, tmp_path: Path, grey: np.ndarray, mode: str) -> None:
        alpha = np.full_like(grey, 255)
        alpha[:10] = 0
        alpha[10:20] = 128
        channels = [grey] * (3 if mode == "RGBA" else 1) + [alpha]
        Image.fromarray(np.stack(channels, axis=-1)).save(tmp_path / "x.png")
        expected = grey.astype(np.float64) * alpha / 255
        found = read_one(tmp_path / "x.png")
        assert np.abs(found - expected).max() <= 1.0  # Pillow composites in fixed point
        np.testing.assert_array_equal(found[20:], grey[20:])

    def test_palette_shows_its_colours(self, tmp_path: Path) -> None:
        index = (np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) % 4).astype(np.uint8)
        colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [200, 200, 200]], dtype=np.uint8)
        image = Image.fromarray(index, mode="P")
        image.putpalette(colours.tobytes())
        image.save(tmp_path / "x.png")
        assert np.abs(read_one(tmp_path / "x.png") - luma(colours)[index]).max() <= 0.51

    def test_palette_with_transparency(self, tmp_path: Path) -> None:
        index = np.zeros((4, 4), dtype=np.uint8)
        index[2:] = 1
        image = Image.fromarray(index, mode="P")
        image.putpalette(bytes([90, 90, 90, 180, 180, 180]))
        image.save(tmp_path / "x.png", transparency=1)
        np.testing.assert_array_equal(read_one(tmp_path / "x.png"), np.repeat([90, 90, 0, 0], 4).reshape(4, 4))

    def test_1_bit(self, tmp_path: Path) -> None:
        bits = np.random.default_rng(2).random((HEIGHT, WIDTH)) < 0.5
        Image.fromarray(bits).save(tmp_path / "x.png")
        np.testing.assert_array_equal(read_one(tmp_path / "x.png"), bits * np.uint8(255))

    def test_cmyk_jpeg(self, tmp_path: Path, grey: np.ndarray) -> None:
        Image.fromarray(np.stack([grey] * 3, axis=-1)).convert("CMYK").save(tmp_path / "x.jpg", quality=100)
        assert np.abs(read_one(tmp_path / "x.jpg").astype(int) - grey).mean() < 3

    def test_exif_orientation(self, tmp_path: Path, grey: np.ndarray) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to show
        Image.fromarray(grey).save(tmp_path / "x.png", exif=exif)
        np.testing.assert_array_equal(read_one(tmp_path / "x.png"), np.rot90(grey, -1))

    def test_content_counts_not_the_suffix(self, tmp_path: Path, grey: np.ndarray) -> None:
        Image.fromarray(grey).save(tmp_path / "x.jpg", format="PNG")
        np.testing.assert_array_equal(read_one(tmp_path / "x.jpg"), grey)

    def test_result_owns_its_memory(self, tmp_path: Path, grey: np.ndarray) -> None:
        Image.fromarray(grey).save(tmp_path / "x.png")
        assert read_one(tmp_path / "x.png").flags.writeable


class TestPages:
    def test_each_page_is_a_slice(self, tmp_path: Path, grey: np.ndarray) -> None:
        pages = [grey, 255 - grey, grey[:20, :30]]  # sizes may differ
        first, *others = [Image.fromarray(page) for page in pages]
        first.save(tmp_path / "x.tif", save_all=True, append_images=others)
        found = read(tmp_path / "x.tif")
        assert [slice_.page for slice_ in found] == [0, 1, 2]
        for slice_, page in zip(found, pages, strict=True):
            np.testing.assert_array_equal(slice_.pixels, page)

    def test_previews_are_no_slices(self, tmp_path: Path, grey: np.ndarray) -> None:
        preview = Image.fromarray(grey[::4, ::4])
        preview.encoderinfo = {"tiffinfo": {254: 1}}
        Image.fromarray(grey).save(tmp_path / "x.tif", save_all=True, append_images=[preview])
        np.testing.assert_array_equal(read_one(tmp_path / "x.tif"), grey)

    def test_animated_png_gives_its_first_picture(self, tmp_path: Path, grey: np.ndarray) -> None:
        Image.fromarray(grey).save(tmp_path / "x.png", save_all=True, append_images=[Image.fromarray(255 - grey)])
        np.testing.assert_array_equal(read_one(tmp_path / "x.png"), grey)

    def test_a_page_cut_off_is_an_error(self, tmp_path: Path, grey: np.ndarray) -> None:
        path = tmp_path / "x.tif"
        Image.fromarray(grey).save(path, save_all=True, append_images=[Image.fromarray(grey)] * 3)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ImageReadError, match=r"x\.tif is damaged or truncated"):
            read(path)

    def test_warning_filters_stay_the_callers(self, tmp_path: Path, grey: np.ndarray) -> None:
        Image.fromarray(grey).save(tmp_path / "x.tif", save_all=True, append_images=[Image.fromarray(grey)])
        reader = find_reader(tmp_path / "x.tif")
        assert reader is not None
        slices = reader.read(tmp_path / "x.tif")
        next(slices)
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", UserWarning, stacklevel=1)


def bomb(path: Path, width: int, height: int) -> None:
    """A small PNG that claims to be enormous."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


class TestUnreadable:
    # Just above our own limit; above Pillow's warning; above Pillow's error.
    @pytest.mark.parametrize("side", [8193, 10_000, 60_000])
    def test_decompression_bomb(self, tmp_path: Path, side: int) -> None:
        bomb(tmp_path / "bomb.png", side, side)
        assert side * side > MAX_PIXELS
        with pytest.raises(ImageReadError, match=r"bomb\.png claims .*no CT slice"):
            read(tmp_path / "bomb.png")

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("x.png", b"", r"x\.png is empty \(0 bytes\)"),
            ("x.png", b"<html>not found</html>", r"x\.png is not a PNG, JPEG or TIFF"),
            ("x.tif", b"II*\x00\xff\xff\xff\x7f", r"x\.tif is"),
            ("x.jpg", b"\xff\xd8\xff\xe0" + bytes(50), r"x\.jpg is"),
        ],
    )
    def test_no_picture(self, tmp_path: Path, name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageReadError, match=message):
            read(tmp_path / name)

    def test_other_formats_are_refused_whatever_their_suffix(self, tmp_path: Path, grey: np.ndarray) -> None:
        Image.fromarray(grey).save(tmp_path / "x.png", format="GIF")
        with pytest.raises(ImageReadError, match="is not a PNG, JPEG or TIFF"):
            read(tmp_path / "x.png")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ImageReadError, match=r"x\.png does not exist"):
            read(tmp_path / "x.png")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_forbidden(self, tmp_path: Path, grey: np.ndarray) -> None:
        Image.fromarray(grey).save(tmp_path / "x.png")
        (tmp_path / "x.png").chmod(0)
        with pytest.raises(ImageReadError, match="may not be read"):
            read(tmp_path / "x.png")

    def test_a_folder_called_like_a_picture(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").mkdir()
        assert find_reader(tmp_path / "x.png") is None

    @pytest.mark.parametrize(("suffix", "options"), [("png", {}), ("jpg", {"quality": 95}), ("tif", {})])
    def test_a_truncated_file_never_gives_other_pixels(
        self, tmp_path: Path, grey: np.ndarray, suffix: str, options: dict[str, Any]
    ) -> None:
        whole = tmp_path / f"whole.{suffix}"
        Image.fromarray(grey).save(whole, **options)
        expected, content = read_one(whole), whole.read_bytes()
        cut = tmp_path / f"cut.{suffix}"
        refused = 0
        for length in [*range(0, len(content), 7), *range(len(content) - 30, len(content))]:
            cut.write_bytes(content[:length])
            try:
                # A TIFF that lacks only the end of its directory has all its pixels and may pass.
                np.testing.assert_array_equal(read_one(cut), expected)
            except ImageReadError as error:
                assert str(cut) in str(error)  # noqa: PT017
                refused += 1
        assert refused > len(content) // 8

    def test_damage_to_a_png_never_gives_other_pixels(self, tmp_path: Path, grey: np.ndarray) -> None:
        Image.fromarray(grey).save(tmp_path / "whole.png")
        content = (tmp_path / "whole.png").read_bytes()
        path = tmp_path / "x.png"
        found = 0
        places = range(8, len(content), 11)
        for place in places:
            path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
            try:
                np.testing.assert_array_equal(read_one(path), grey)
            except ImageReadError as error:
                assert str(path) in str(error)  # noqa: PT017
                found += 1
        assert found > 0.9 * len(places)


class TestGrey:
    def test_8_bit_stays(self, grey: np.ndarray) -> None:
        assert to_grey(RawSlice(grey), (0.0, 10.0), "x") is grey

    def test_16_bit_spans_the_full_range_by_default(self) -> None:
        values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
        found = to_grey(RawSlice(values), None, "x")
        np.testing.assert_array_equal(found, np.rint(values / 257.0))

    @pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64])
    def test_window(self, dtype: Any) -> None:
        values = np.array([[0, 100, 150, 200, 300]], dtype=dtype)
        np.testing.assert_array_equal(
            to_grey(RawSlice(values), (100.0, 200.0), "x"), [[0, 0, 128, 255, 255]]
        )  # 127.5 rounds to the even neighbour

    def test_hounsfield_has_the_lung_window(self) -> None:
        values = np.array([[-2000, -1350, -600, 150, 3000]], dtype=np.int16)
        assert LUNG_WINDOW == (-1350.0, 150.0)
        np.testing.assert_array_equal(to_grey(RawSlice(values, hounsfield=True), None, "x"), [[0, 0, 128, 255, 255]])
        wide = to_grey(RawSlice(values, hounsfield=True), (-1000.0, 1000.0), "x")
        np.testing.assert_array_equal(wide, [[0, 0, 51, 147, 255]])

    @pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
    def test_unknown_meaning_needs_a_window(self, dtype: Any) -> None:
        with pytest.raises(DataError, match=r"x\.tif holds .* values \(-5 to 7\) .*--window LOW HIGH"):
            to_grey(RawSlice(np.array([[-5, 7]], dtype=dtype)), None, "x.tif")

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_not_finite(self, bad: float) -> None:
        with pytest.raises(ImageReadError, match="NaN or infinite"):
            to_grey(RawSlice(np.array([[0.0, bad]])), (0.0, 1.0), "x.tif")

    @pytest.mark.parametrize("shape", [(0, 4), (4,), (2, 3, 4)])
    def test_wrong_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ImageReadError, match="two dimensions"):
            to_grey(RawSlice(np.zeros(shape, np.uint8)), None, "x")
