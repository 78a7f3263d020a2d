"""Plans of pasting patches and of the shapes they have."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import NamedTuple

from ..specs import PasteSpec, Shape
from .arrays import Array
from .launch import Context, Launch
from .masks import Masks
from .params import I32, I64, STRUCTURES, U64, Pointer, SampleIds, SampleIdsParams
from .tiles import TilesParams, in_groups, tiles_for

BLENDS = ("replace", "max", "alpha", "add")
SHAPES = ("rectangle", "ellipse", "cloud")
_ROWS = {"uint8": 8, "float32": 4}  # of a thread
_MOST = 1024  # patches that one launch lays over an image
_PLACED_BYTES = 32
_PLACE_AND_NOTE, _PLACE_ONLY, _NOTE_ONLY = range(3)


class PasteParams(ctypes.Structure):
    """``PasteParams`` of ``csrc/core/lesions.h``."""

    _fields_ = (
        ("seed", U64),
        ("height", I64),
        ("width", I64),
        ("pixels", Pointer),
        ("bytes", I64),
        ("offsets", Pointer),
        ("heights", Pointer),
        ("widths", Pointer),
        ("patches", I32),
        ("own", ctypes.c_bool),
        ("low_count", I32),
        ("high_count", I32),
        ("blend", I32),
        ("low_weight", I32),
        ("high_weight", I32),
        ("feather", I32),
        ("cover", Pointer),
        ("whole", ctypes.c_bool),
        ("stream", ctypes.c_bool),
    )


class PlaceParams(ctypes.Structure):
    """``PlaceParams`` of ``csrc/cuda/paste_place.h``."""

    _fields_ = (
        ("paste", PasteParams),
        ("samples", SampleIdsParams),
        *((name, Pointer) for name in (
            "bits", "before", "placed", "counts", "skipped", "boxes", "patches", "weights",
        )),
        ("stage", I32),
    )  # fmt: skip


class PasteTilesParams(ctypes.Structure):
    """``PasteTilesParams`` of ``csrc/cuda/paste_tiles.h``."""

    _fields_ = (
        ("paste", PasteParams),
        ("tiles", TilesParams),
        ("images", Pointer),
        ("out", Pointer),
        ("bits", Pointer),
        ("before", Pointer),
        ("samples", SampleIdsParams),
        ("placed", Pointer),
        ("lesions", Pointer),
        ("first", I32),
        ("whole", I32),
    )


class CoverParams(ctypes.Structure):
    """``CoverParams`` of ``csrc/cuda/cover.h``."""

    _fields_ = (
        *((name, Pointer) for name in ("pixels", "offsets", "heights", "widths", "cover")),
        ("shape", I32),
        ("feather", I32),
    )


STRUCTURES.update(
    PasteParams=PasteParams, PlaceParams=PlaceParams, PasteTilesParams=PasteTilesParams, CoverParams=CoverParams
)


class Bank(NamedTuple):
    """Packed patches on a device: the arrays of :class:`plr_fast.backends.specs.PatchBank`."""

    pixels: Array  # uint8 (total,)
    offsets: Array  # int64 (patches,)
    heights: Array  # int32 (patches,)
    widths: Array  # int32 (patches,)


@dataclass(frozen=True)
class Record:
    """Arrays of a device that receive what pasting did: those of :class:`plr_fast.backends.specs.PasteRecord`."""

    counts: Array  # int32 (B,)
    skipped: Array  # int32 (B,)
    boxes: Array | None = None  # int32 (B, highest count, 4)
    patches: Array | None = None  # int32 (B, highest count)
    weights: Array | None = None  # int32 (B, highest count)
    lesions: Array | None = None  # uint8 or bool (B, H, W)


def cover_patches(context: Context, bank: Bank, shape: Shape, feather: int, out: Array) -> None:
    """Fill ``out`` (uint8, as long as the bank's pixels) with how much of each its patch covers.

    ``shape`` is "ellipse" or "cloud"; rectangles need no such table.
    """
    patches = bank.heights.size
    if patches == 0:
        return
    params = CoverParams(
        bank.pixels.pointer, bank.offsets.pointer, bank.heights.pointer, bank.widths.pointer, out.pointer,
        SHAPES.index(shape), feather,
    )  # fmt: skip
    context.run(Launch("cover_patches", (patches, 1, 1), params))


def paste(
    context: Context,
    images: Array,
    out: Array,
    masks: Masks,
    samples: SampleIds,
    bank: Bank,
    cover: Array | None,
    spec: PasteSpec,
    record: Record,
) -> None:
    """Copy ``images`` (B, H, W), uint8 or float32, to ``out`` (may be the same memory) and paste into the masked part.

    All arrays are contiguous; arguments as :meth:`plr_fast.backends.specs.Backend.paste` has them.
    """
    batch, height, width = images.shape
    if batch == 0:
        return
    most = spec.count[1]
    paste = PasteParams(
        spec.seed, height, width, bank.pixels.pointer, bank.pixels.size, bank.offsets.pointer, bank.heights.pointer,
        bank.widths.pointer, bank.heights.size, spec.own, *spec.count, BLENDS.index(spec.blend), *spec.weight,
        spec.feather, _pointer(cover), spec.whole, False,
    )  # fmt: skip
    # Queued launches keep what they use of it: allocators reuse memory in the order of the stream.
    placed, _owner = context.memory.empty(max(batch * most, 1) * _PLACED_BYTES)
    ids = samples.params()
    place = PlaceParams(
        paste, ids, masks.bits.pointer, masks.before.pointer, placed, record.counts.pointer, record.skipped.pointer,
        _pointer(record.boxes), _pointer(record.patches), _pointer(record.weights), _PLACE_AND_NOTE,
    )  # fmt: skip
    context.run(*_places(place, batch, most if spec.whole else 0))
    tiles = tiles_for(height, width, _ROWS[images.dtype])
    grid = (batch * tiles.across * tiles.down, 1, 1)
    for first in range(0, max(most, 1), _MOST):
        source = images if first == 0 else out
        params = PasteTilesParams(
            paste, tiles, source.pointer, out.pointer, masks.bits.pointer, masks.before.pointer, ids, placed,
            _pointer(record.lesions), first, in_groups(width, source, out, record.lesions),
        )  # fmt: skip
        context.run(Launch(f"paste_{images.dtype}", grid, params))


def _places(params: PlaceParams, batch: int, searched: int) -> list[Launch]:
    """Return the launches that find all places; ``searched`` patches of each image may have to look at all."""
    grid = (batch, 1, 1)
    if searched == 0:
        return [Launch("place_patches", grid, params)]
    place, note = _staged(params, _PLACE_ONLY), _staged(params, _NOTE_ONLY)
    return [
        Launch("place_patches", grid, place),
        Launch("search_places", (batch * searched, 1, 1), params),
        Launch("place_patches", grid, note),
    ]


def _staged(params: PlaceParams, stage: int) -> PlaceParams:
    copy = PlaceParams.from_buffer_copy(params)
    copy.stage = stage
    return copy


def _pointer(array: Array | None) -> int:
    return 0 if array is None else array.pointer
