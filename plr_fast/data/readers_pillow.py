"""PNG, JPEG and TIFF through Pillow.

Rules: colour becomes grey by ITU-R 601 luma; transparent parts show black (air); 1-bit and palette pictures become
the grey that a viewer shows; 16-bit grey stays 16-bit (``to_grey`` applies the window); EXIF orientation is applied.
Each page of a TIFF is a slice, except reduced-size previews; of an animated PNG or a multi-picture JPEG the first
picture counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import ImageReadError
from .readers import RawSlice, access_errors

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

MAX_PIXELS = 2**26
"""Larger pictures (beyond 8192×8192) are no CT slices, but files made to exhaust memory."""

_FORMATS = ("PNG", "JPEG", "TIFF")
_NEW_SUBFILE_TYPE = 254  # TIFF tag; bit 0: a smaller version of another page


class PictureReader:
    """The :class:`~plr_fast.data.readers.SliceReader` of picture files."""

    names_patients = False

    def claims(self, path: Path) -> bool:
        """By suffix, in any case; what the file really is decides when it is opened."""
        return path.suffix.lower() in SUFFIXES and not path.is_dir()

    def count(self, path: Path) -> int:
        """1, or the number of full-size pages of a TIFF. Raises ``ImageReadError``."""
        if path.suffix.lower() not in (".tif", ".tiff"):
            return 1
        with _clear_errors(path), _open(path) as image:
            return len(_page_numbers(image))

    def read(self, path: Path) -> Iterator[RawSlice]:
        """Yield the picture, or the pages of a TIFF. Raises ``ImageReadError``, naming the file."""
        with _clear_errors(path):
            with _open(path) as image:
                if image.format == "PNG":
                    image.verify()  # the checksums of all chunks, which decoding alone passes over
            image = _open(path)
        with image:
            with _clear_errors(path):
                numbers = _page_numbers(image)
            for page, number in enumerate(numbers):
                # Not around the yield: the warning filters inside would then hold for the caller, too.
                with _clear_errors(path):
                    if image.format == "TIFF":
                        image.seek(number)
                    _check_size(image, path)
                    pixels = _grey(image)
                yield RawSlice(pixels, page=page if len(numbers) > 1 else None)


def _open(path: Path) -> Image.Image:
    image = Image.open(path, formats=_FORMATS)
    try:
        _check_size(image, path)
    except ImageReadError:
        image.close()
        raise
    return image


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        with access_errors(path), warnings.catch_warnings():
            # Pillow warns of odd metadata in files that it can read; a picture too large is an error here.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (ImageReadError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageReadError(f"{path} claims more than {MAX_PIXELS:,} pixels; that is no CT slice") from error
    except UnidentifiedImageError as error:
        what = "is empty (0 bytes)" if path.stat().st_size == 0 else "is not a PNG, JPEG or TIFF picture, or is damaged"
        raise ImageReadError(f"{path} {what}") from error
    except Exception as error:  # damaged files make Pillow raise OSError, SyntaxError, struct.error, EOFError and more
        raise ImageReadError(f"{path} is damaged or truncated: {error or type(error).__name__}") from error


def _check_size(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageReadError(f"{path} claims {width}×{height} pixels (limit {MAX_PIXELS:,}); that is no CT slice")


def _page_numbers(image: Image.Image) -> list[int]:
    """The frames that are slices: all pages of a TIFF but previews, the first frame of anything else."""
    if image.format != "TIFF":
        return [0]
    numbers = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        tags: Any = getattr(image, "tag_v2", {})
        if not tags.get(_NEW_SUBFILE_TYPE, 0) & 1:
            numbers.append(number)
    image.seek(0)
    return numbers


def _grey(image: Image.Image) -> npt.NDArray[Any]:
    """(H, W) uint8, or the deeper type that the file has."""
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        deep = np.asarray(image)
        return np.ascontiguousarray(deep, dtype=deep.dtype.newbyteorder("="))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    elif image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return np.array(image.convert("L"))
