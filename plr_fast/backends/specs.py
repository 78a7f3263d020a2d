"""What an operation is asked to do, once the public functions have checked it: the contract between ops and backends.

A backend is a module with the functions of :class:`Backend`. All get NumPy arrays that are allocated, C-contiguous
unless said otherwise, of the right dtype and shape; all write into ``out`` and return nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

NoiseFormat = Literal["float32", "float16", "bfloat16", "fixed", "minmax"]
Blend = Literal["replace", "max", "alpha", "add"]
Shape = Literal["rectangle", "ellipse", "cloud"]

MAX_OCTAVES = 24
LATTICE_PERIOD = 256
CLOUD_COMBINATIONS = ("single", "union", "intersection")
CLOUD_DRAWS = 10  # of the noise of a cloud, before its threshold is lowered
FRESH_ROUNDS = 4096  # candidates for one fresh patch, before it is left out

Int64Array = NDArray[np.int64]
Int32Array = NDArray[np.int32]
Uint64Array = NDArray[np.uint64]
Uint32Array = NDArray[np.uint32]
Uint8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]
ImageArray = Uint8Array | Float32Array


class NoiseSpec(NamedTuple):  # a tuple, because one is made at each call, and a data class takes a microsecond more
    """Octave noise: see ``csrc/core/noise.h`` for the scheme and the meaning of each number."""

    seed: int
    cells: tuple[float, float, float]  # z, y, x of the first octave; z is unused in the plane
    octaves: int
    persistence: float
    lacunarity: float
    tileable: bool
    format: NoiseFormat


@dataclass(frozen=True)
class PatchBank:
    """Packed patches: ``pixels[offsets[i] : offsets[i] + heights[i] * widths[i]]`` is patch i, row by row."""

    pixels: Uint8Array  # (total,)
    offsets: Int64Array  # (patches,)
    heights: Int32Array  # (patches,)
    widths: Int32Array  # (patches,)


@dataclass(frozen=True)
class PackedMasks:
    """Masks (B, H, W) as bits, and how many pixels are set before each row."""

    bits: Uint64Array  # (B, H, words for W): bit x % 64 of word x // 64 stands for pixel x; bits beyond W are 0
    before: Uint32Array  # (B, H + 1): the last entry counts them all


def mask_words(width: int) -> int:
    """Return how many 64-bit words hold a row of ``width`` pixels."""
    return -(-width // 64)


@dataclass(frozen=True)
class FreshTable:
    """What making fresh patches needs of their noise images: see ``csrc/core/fresh.h``."""

    low: Float32Array  # (images,) darkest value, 0 for a flat image
    scale: Float32Array  # (images,) grey levels per unit, 0 for a flat image
    permutation: Uint8Array  # (images, 512) twice over
    offsets: Uint8Array  # (images, octaves, 2) of the lattice along x, y


@dataclass(frozen=True)
class FreshSpec:
    """Fresh patches: boxes of square noise images whose mean grey is above ``threshold``, and whose centre is above
    ``centre``."""

    noise: NoiseSpec  # format "minmax"; the sample of an image is its number
    size: int  # height and width of the images
    patch: tuple[int, int]  # smallest and largest side, both included
    threshold: int
    centre: int  # -1: any centre will do


@dataclass(frozen=True)
class PasteSpec:
    """Pasting: ``count`` and ``weight`` are ranges with both ends included; weights are in 1/256."""

    seed: int
    count: tuple[int, int]
    blend: Blend
    weight: tuple[int, int]
    feather: int
    whole: bool  # the whole patch, not just its centre, must lie in the mask
    own: bool = False  # image n has patches of its own, count[1] entries of the bank from n * count[1] on, in turn


@dataclass(frozen=True)
class PasteRecord:
    """Arrays that receive what pasting did; those that nobody asked for are None."""

    counts: Int32Array  # (B,): patches pasted
    skipped: Int32Array  # (B,): patches for which there was no place, or that could not be made (height 0)
    boxes: Int32Array | None = None  # (B, highest count, 4): top, left, height, width of each, cut to the image
    patches: Int32Array | None = None  # (B, highest count): index in the bank, or among the image's own
    weights: Int32Array | None = None  # (B, highest count): opacity in 1/256
    lesions: Uint8Array | None = None  # (B, H, W): 1 where a patch wrote, else 0


@dataclass(frozen=True)
class Windows:
    """Random windows of blur and shuffle; ``count`` 0 means the whole image. Sizes include both ends."""

    count: int
    height: tuple[int, int]
    width: tuple[int, int]


@dataclass(frozen=True)
class BlurSpec:
    """Separable blur with ``weights`` (float32, sum 1) or, for uint8 images, ``weights_q8`` (int32, sum 256)."""

    seed: int
    weights: Float32Array
    weights_q8: Int32Array
    windows: Windows


@dataclass(frozen=True)
class ShuffleSpec:
    """Pixel shuffling inside the blocks of ``grid`` (rows, columns), or inside windows if there are any."""

    seed: int
    grid: tuple[int, int]
    windows: Windows


class CloudSpec(NamedTuple):
    """Clouds: ranges include both ends, weights are in 1/256."""

    noise: NoiseSpec  # format "minmax"; its seed is the call's, which is not that of the noise images
    combine: str  # of CLOUD_COMBINATIONS, or "any"
    threshold: tuple[int, int]
    softness: int
    texture: tuple[int, int]
    blend: Blend  # "alpha" or "add"
    weight: tuple[int, int]
    min_area: int


@dataclass(frozen=True)
class CloudRecord:
    """Arrays (B,) of a device that receive what was done for each image."""

    areas: Int64Array
    shares: Float32Array
    weights: Int32Array
    thresholds: Int32Array
    combines: Int32Array  # index among CLOUD_COMBINATIONS, -1 where the mask is empty
    draws: Int32Array
    lowered: NDArray[np.bool_]
    empty: NDArray[np.bool_]
    lesions: Uint8Array | None = None  # (B, H, W), if wanted: 1 in the lesion, else 0


class Backend(Protocol):
    """The functions every backend module has, with exactly these parameters (a test compares them)."""

    def noise(self, out: np.ndarray, samples: Int64Array, spec: NoiseSpec, threads: int) -> None:
        """Fill ``out`` (B, H, W) or (B, D, H, W), any strides with contiguous rows, one sample per id.

        ``out`` is float32, float16, uint16 (holding bfloat16) or uint8, as ``spec.format`` says.
        """

    def candidates(
        self,
        images: Uint8Array,
        image_ids: Int64Array,
        seed: int,
        patch: tuple[int, int],
        first_round: int,
        out: Int32Array,
        threads: int,
    ) -> None:
        """Fill ``out`` (images, rounds, 5) with grey sum, top, left, height, width of each candidate patch."""

    def cut(self, images: Uint8Array, boxes: Int64Array, offsets: Int64Array, out: Uint8Array, threads: int) -> None:
        """Copy ``boxes`` (n, 5) = image, top, left, height, width of ``images`` (M, H, W) to ``out[offsets[i] :]``.

        Each is copied row by row; no two may overlap in ``out``.
        """

    def pack_masks(self, masks: Uint8Array, out: PackedMasks, threads: int) -> None:
        """Fill ``out`` from ``masks`` (B, H, W), non-zero = set."""

    def cover_patches(self, bank: PatchBank, shape: Shape, feather: int, out: Uint8Array, threads: int) -> None:
        """Fill ``out``, as long as the bank's pixels, with how much of each its patch covers: 0 nothing, 255 all.

        ``shape`` is "ellipse" or "cloud"; rectangles need no such table.
        """

    def fresh_table(self, table: FreshTable, noise: NoiseSpec, size: int, threads: int) -> None:
        """Fill ``table`` from the ``size`` x ``size`` noise images 0, 1, ..."""

    def fresh(
        self,
        samples: Int64Array,
        table: FreshTable,
        spec: FreshSpec,
        seed: int,
        count: tuple[int, int],
        out: PatchBank,
        threads: int,
    ) -> None:
        """Fill ``out`` with ``count[1]`` fresh patches for each sample, one after the other.

        Patch i begins at byte ``i * spec.patch[1] ** 2``, as ``out.offsets`` already says. Height and width are 0 where
        there is none: beyond the sample's count, drawn as for pasting, or when no candidate was bright enough.
        """

    def paste(
        self,
        images: ImageArray,
        out: ImageArray,
        masks: PackedMasks,
        samples: Int64Array,
        bank: PatchBank,
        cover: Uint8Array | None,
        spec: PasteSpec,
        record: PasteRecord,
        threads: int,
    ) -> None:
        """Copy ``images`` (B, H, W) to ``out`` (may be the same memory) and paste into the masked part.

        ``cover`` is what :meth:`cover_patches` made, None for rectangles. ``record`` receives what was done; entries
        of boxes, patches and weights beyond an image's count are left as they are.
        """

    def scale_grey(self, images: Uint8Array, out: Float32Array, threads: int) -> None:
        """Fill ``out`` with ``images`` / 255, of the same shape."""

    def blur(self, images: ImageArray, out: ImageArray, samples: Int64Array, spec: BlurSpec, threads: int) -> None:
        """Blur ``images`` (B, H, W) into ``out`` (may be the same memory)."""

    def shuffle(
        self, images: ImageArray, out: ImageArray, samples: Int64Array, spec: ShuffleSpec, threads: int
    ) -> None:
        """Shuffle pixels of ``images`` (B, H, W) into ``out`` (may be the same memory)."""
