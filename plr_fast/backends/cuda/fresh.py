"""Plans of fresh lesions: the table of their noise images, and patches made from it."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from ..specs import FreshSpec, NoiseSpec
from .arrays import Array
from .launch import Context, Launch
from .noise import NoiseTablesParams, noise_extremes, noise_tables
from .params import I32, STRUCTURES, U64, Pointer, SampleIds, SampleIdsParams
from .paste import Bank


class FreshTableArraysParams(ctypes.Structure):
    """``FreshTable`` of ``csrc/core/fresh.h``."""

    _fields_ = tuple((name, Pointer) for name in ("low", "scale", "permutation", "offsets"))


class FreshParams(ctypes.Structure):
    """``FreshParams`` of ``csrc/core/fresh.h``."""

    _fields_ = (
        ("seed", U64),
        *((name, I32) for name in (
            "images", "low_side", "high_side", "threshold", "centre", "low_count", "high_count",
        )),
        ("table", FreshTableArraysParams),
    )  # fmt: skip


class FreshPatchParams(ctypes.Structure):
    """``FreshPatchParams`` of ``csrc/cuda/fresh_patches.h``."""

    _fields_ = (
        ("fresh", FreshParams),
        ("tables", NoiseTablesParams),
        ("samples", SampleIdsParams),
        ("octaves", I32),
        ("size", I32),
        ("pixels", Pointer),
        ("heights", Pointer),
        ("widths", Pointer),
    )


class FreshTableParams(ctypes.Structure):
    """``FreshTableParams`` of ``csrc/cuda/fresh_patches.h``."""

    _fields_ = (
        ("tables", NoiseTablesParams),
        ("octaves", I32),
        *((name, Pointer) for name in ("low", "scale", "permutation", "offsets")),
    )


STRUCTURES.update(
    FreshTable=FreshTableArraysParams,
    FreshParams=FreshParams,
    FreshPatchParams=FreshPatchParams,
    FreshTableParams=FreshTableParams,
)


class Table(NamedTuple):
    """The table of noise images on a device: the arrays of :class:`plr_fast.backends.specs.FreshTable`."""

    low: Array  # float32 (images,)
    scale: Array  # float32 (images,)
    permutation: Array  # uint8 (images, 512)
    offsets: Array  # uint8 (images, octaves, 2)


def fresh_table(context: Context, table: Table, noise: NoiseSpec, size: int) -> None:
    """Fill ``table`` from the ``size`` x ``size`` noise images 0, 1, ..."""
    images = table.low.size
    tables = noise_extremes(context, SampleIds(), noise, images, (size, size))
    params = FreshTableParams(tables.params, noise.octaves, *(array.pointer for array in table))
    context.run(Launch("fresh_table", (images, 1, 1), params))


def fresh(
    context: Context,
    samples: SampleIds,
    batch: int,
    table: Table,
    spec: FreshSpec,
    seed: int,
    count: tuple[int, int],
    out: Bank,
) -> None:
    """Fill ``out`` with ``count[1]`` fresh patches for each of ``batch`` samples, one after the other.

    Patch i begins at byte ``i * spec.patch[1] ** 2``, as ``out.offsets`` already says. Height and width are 0 where
    there is none: beyond the sample's count, drawn as for pasting, or when no candidate was bright enough. Bytes of a
    slot behind its patch are left as they happen to be.
    """
    slots = batch * count[1]
    if slots == 0:
        return
    # The tables of coordinates and gradients alone: samples need nothing but what `table` holds.
    tables = noise_tables(context, SampleIds(), spec.noise, 0, (spec.size, spec.size))
    fresh_params = FreshParams(
        seed, table.low.size, *spec.patch, spec.threshold, spec.centre, *count,
        FreshTableArraysParams(*(array.pointer for array in table)),
    )  # fmt: skip
    params = FreshPatchParams(
        fresh_params, tables.params, samples.params(), spec.noise.octaves, spec.size, out.pixels.pointer,
        out.heights.pointer, out.widths.pointer,
    )  # fmt: skip
    context.run(Launch("fresh_patches", (slots, 1, 1), params))
