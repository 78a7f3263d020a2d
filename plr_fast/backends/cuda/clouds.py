"""Plans of clouds, lesions outlined by noise over whole slices: see ``csrc/core/clouds.h`` and ``cloud_noise.h``."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace

from ..specs import CLOUD_COMBINATIONS, CLOUD_DRAWS, CloudSpec
from .arrays import Array, packed
from .launch import Context, Launch
from .masks import Masks
from .memory import Pieces
from .noise import NoiseTablesParams, find_extremes, noise_rows, noise_tables
from .params import I32, I64, STRUCTURES, U32, U64, Pointer, SampleIds, SampleIdsParams
from .paste import BLENDS
from .tiles import GROUP, TilesParams, in_groups, tiles_for

COMBINES = (*CLOUD_COMBINATIONS, "any")
_FIRST, _OTHERS, _CHOSEN = range(3)
_OUTLINE_ROWS = 8  # of a thread
_ROWS = {"uint8": 8, "float32": 4}  # likewise
_PIXELS_OF_BLOCK = 4096  # where draws are counted without being stored
AT_ONCE = 64 * 2**20  # bytes of scratch: batches that would need more are done in parts


class CloudParams(ctypes.Structure):
    """``CloudParams`` of ``csrc/core/clouds.h``."""

    _fields_ = (
        ("seed", U64),
        *((name, I32) for name in (
            "combine", "low_threshold", "high_threshold", "softness", "darkest", "brightest", "blend", "low_weight",
            "high_weight", "min_area",
        )),
    )  # fmt: skip


class CloudBatchParams(ctypes.Structure):
    """``CloudBatchParams`` of ``csrc/cuda/cloud_noise.h``."""

    _fields_ = (
        ("clouds", CloudParams),
        ("samples", SampleIdsParams),
        ("tables", NoiseTablesParams),
        *((name, Pointer) for name in ("bits", "before", "wanted", "counts", "levels")),
        ("height", I64),
        ("width", I64),
        *((name, I32) for name in ("octaves", "outlines", "textures", "stage")),
    )


class CloudOutlineParams(ctypes.Structure):
    """``CloudOutlineParams`` of ``csrc/cuda/cloud_areas.h``."""

    _fields_ = (("batch", CloudBatchParams), ("tiles", TilesParams), ("noise", Pointer), ("pitch", I64))


class CloudDrawsParams(ctypes.Structure):
    """``CloudDrawsParams`` of ``csrc/cuda/cloud_areas.h``."""

    _fields_ = (("batch", CloudBatchParams), ("rows", I32), ("row_blocks", U32))


class CloudRecordParams(ctypes.Structure):
    """``CloudRecordParams`` of ``csrc/cuda/cloud_areas.h``."""

    _fields_ = (
        ("batch", CloudBatchParams),
        *((name, Pointer) for name in (
            "areas", "shares", "weights", "thresholds", "combines", "draws", "lowered", "empty",
        )),
    )  # fmt: skip


class CloudTilesParams(ctypes.Structure):
    """``CloudTilesParams`` of ``csrc/cuda/cloud_tiles.h``."""

    _fields_ = (
        ("outline", CloudOutlineParams),
        *((name, Pointer) for name in ("images", "out", "lesions", "thresholds", "weights", "combines")),
        ("whole", I32),
    )


STRUCTURES.update(
    CloudParams=CloudParams,
    CloudBatchParams=CloudBatchParams,
    CloudOutlineParams=CloudOutlineParams,
    CloudDrawsParams=CloudDrawsParams,
    CloudRecordParams=CloudRecordParams,
    CloudTilesParams=CloudTilesParams,
)


@dataclass(frozen=True)
class Record:
    """Arrays of a device that receive what was done: those of :class:`plr_fast.backends.specs.CloudRecord`."""

    areas: Array
    shares: Array
    weights: Array
    thresholds: Array
    combines: Array
    draws: Array
    lowered: Array
    empty: Array
    lesions: Array | None = None

    def part(self, first: int, end: int) -> Record:
        """Return the entries of some images."""
        rows = {name: array and _rows(array, first, end) for name, array in vars(self).items()}
        return replace(self, **rows)


def clouds(
    context: Context, images: Array, out: Array, masks: Masks, samples: SampleIds, spec: CloudSpec, record: Record
) -> None:
    """Copy ``images`` (B, H, W), uint8 or float32, to ``out`` (may be the same memory) and paint clouds into the lungs.

    All arrays are contiguous. Queues 7 launches, 14 if lesions must have an area, for each part of the batch.
    """
    batch, height, width = images.shape
    if batch == 0:
        return
    plan = _Plan(spec, height, width)
    part = min(batch, max(1, AT_ONCE // plan.bytes_each))
    noise, _owner = context.memory.empty(part * plan.noise_images * height * plan.pitch)
    for first in range(0, batch, part):
        end = min(first + part, batch)
        some = Masks(_rows(masks.bits, first, end), _rows(masks.before, first, end))
        _paint(
            context, plan, noise, _rows(images, first, end), _rows(out, first, end), some, _ids_from(samples, first),
            record.part(first, end),
        )  # fmt: skip


class _Plan:
    """What is the same for all parts of a batch."""

    def __init__(self, spec: CloudSpec, height: int, width: int) -> None:
        self.spec = spec
        self.outlines = 1 if spec.combine == "single" else 2
        self.textures = int(spec.texture[0] != spec.texture[1])
        self.noise_images = self.outlines + self.textures  # of an image
        self.others = self.outlines * (CLOUD_DRAWS - 1) if spec.min_area > 0 else 0
        self.pitch = -(-width // GROUP) * GROUP
        self.bytes_each = self.noise_images * height * self.pitch + 1024 * (2 + max(self.noise_images, self.others))
        self.params = CloudParams(
            spec.noise.seed, COMBINES.index(spec.combine), *spec.threshold, spec.softness, *spec.texture,
            BLENDS.index(spec.blend), *spec.weight, spec.min_area,
        )  # fmt: skip


def _paint(
    context: Context,
    plan: _Plan,
    noise: int,
    images: Array,
    out: Array,
    masks: Masks,
    samples: SampleIds,
    record: Record,
) -> None:
    batch, height, width = images.shape
    spec = plan.spec.noise
    made, others = batch * plan.noise_images, batch * plan.others
    # Noise that is stored needs its tables no longer: those of other draws take their place.
    most = max(made, others)
    tables = noise_tables(context, None, spec, most, (height, width))
    pieces = Pieces()
    parts = pieces.add_all((most, 4 * CLOUD_DRAWS * batch, 4 * 256 * batch))
    scratch, _owner = context.memory.empty(pieces.size)
    wanted, counts, levels = (scratch + part for part in parts)
    params = CloudBatchParams(
        plan.params, samples.params(), tables.params, masks.bits.pointer, masks.before.pointer, wanted, counts, levels,
        height, width, spec.octaves, plan.outlines, plan.textures, _FIRST,
    )  # fmt: skip
    outline = CloudOutlineParams(params, tiles_for(height, width, _OUTLINE_ROWS), noise, plan.pitch)
    outline_grid = (batch * outline.tiles.across * outline.tiles.down, 1, 1)
    strides = packed((height, plan.pitch), 1)
    greys = Array(noise, (made, height, width), (height * plan.pitch, *strides), "uint8", None)

    context.run(Launch("cloud_noise", (made, 1, 1), params))
    noise_rows(context, tables.params, spec, greys, wanted)
    context.run(Launch("cloud_count", outline_grid, outline))
    if plan.others:
        later = CloudBatchParams.from_buffer_copy(params)
        later.stage = _OTHERS
        context.run(Launch("cloud_noise", (others, 1, 1), later))
        find_extremes(context, tables.params, spec, (others, height, width), wanted)
        rows = max(1, min(height, _PIXELS_OF_BLOCK // width))
        draws = CloudDrawsParams(later, rows, -(-height // rows))
        context.run(Launch("cloud_other_draws", (batch * (CLOUD_DRAWS - 1) * draws.row_blocks, 1, 1), draws))
        chosen = CloudBatchParams.from_buffer_copy(params)
        chosen.stage = _CHOSEN
        context.run(Launch("cloud_noise", (made, 1, 1), chosen))
        noise_rows(context, tables.params, spec, greys, wanted)
        context.run(Launch("cloud_levels", outline_grid, outline))
    noted = (array.pointer for name, array in vars(record).items() if name != "lesions")
    context.run(Launch("cloud_record", (batch, 1, 1), CloudRecordParams(params, *noted)))
    tiles = CloudTilesParams(
        outline, images.pointer, out.pointer, 0 if record.lesions is None else record.lesions.pointer,
        record.thresholds.pointer, record.weights.pointer, record.combines.pointer,
        in_groups(width, images, out, record.lesions),
    )  # fmt: skip
    tiles.outline.tiles = tiles_for(height, width, _ROWS[images.dtype])
    grid = (batch * tiles.outline.tiles.across * tiles.outline.tiles.down, 1, 1)
    context.run(Launch(f"cloud_{images.dtype}", grid, tiles))


def _rows(array: Array, first: int, end: int) -> Array:
    """Return entries first .. end - 1 along the first axis."""
    return array._replace(pointer=array.pointer + first * array.strides[0], shape=(end - first, *array.shape[1:]))


def _ids_from(samples: SampleIds, first: int) -> SampleIds:
    if samples.pointer:
        return samples._replace(pointer=samples.pointer + 8 * first)
    return samples._replace(first=samples.first + first * samples.step)
