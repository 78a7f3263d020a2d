"""Noise: a launch for tables and permutations, one for the pixels, and for "minmax" one that finds the extremes."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import NamedTuple

from ..specs import LATTICE_PERIOD, NoiseFormat, NoiseSpec
from ..tables import amplitudes, frequencies
from .arrays import Array
from .launch import Context, Launch
from .memory import Pieces
from .params import F64, I32, I64, MAX_OCTAVES, STRUCTURES, U32, U64, Pointer, SampleIds, SampleIdsParams

FORMATS: dict[NoiseFormat, int] = {"float32": 0, "float16": 1, "bfloat16": 2, "fixed": 3, "minmax": 4}
DTYPES: dict[NoiseFormat, str] = {
    "float32": "float32", "float16": "float16", "bfloat16": "bfloat16", "fixed": "uint8", "minmax": "uint8",
}  # fmt: skip
_FIND_EXTREMES = 5

# Kernels that keep the terms of so many octaves in registers; for more there is one that keeps them in shared memory.
_IN_REGISTERS = {2: 6, 3: 4}

# Rows of a strip, the work of one thread. Long strips spread the cost of their beginning over more rows, short ones
# make more blocks: the longest is taken that gives every multiprocessor so many.
STRIPS = (128, 64, 32, 16, 8)
BLOCKS_PER_MULTIPROCESSOR = 12


class NoiseTablesParams(ctypes.Structure):
    """``NoiseTables`` of ``csrc/cuda/noise_setup.h``."""

    _fields_ = (
        *((name, Pointer) for name in (
            "permutation", "offsets", "extremes", "gradients", "columns", "column_lines", "factors", "row_lines",
            "band_end", "planes",
        )),
        ("column_count", I32),
        ("factor_count", I32),
    )  # fmt: skip


class NoiseSetupParams(ctypes.Structure):
    """``NoiseSetup::Params`` of ``csrc/cuda/noise_setup.h``."""

    _fields_ = (
        ("seed", U64),
        ("samples", SampleIdsParams),
        ("batch", I32),
        ("octaves", I32),
        ("dims", I32),
        ("tileable", I32),
        ("depth", I64),
        ("height", I64),
        ("width", I64),
        ("tables", NoiseTablesParams),
        ("frequency", F64 * 3 * MAX_OCTAVES),
        ("amplitude", F64 * MAX_OCTAVES),
    )


class NoiseRowsParams(ctypes.Structure):
    """``NoiseRowsParams`` of ``csrc/cuda/noise_work.h``."""

    _fields_ = (
        ("tables", NoiseTablesParams),
        ("out", Pointer),
        *((name, I64) for name in ("stride_sample", "stride_plane", "stride_row", "depth", "height", "width")),
        *((name, I32) for name in ("octaves", "output", "aligned", "groups", "group_shift", "strip")),
        ("row_blocks", U32),
        ("strip_blocks", U32),
        ("chosen", Pointer),
    )


STRUCTURES.update(NoiseTables=NoiseTablesParams, NoiseSetup=NoiseSetupParams, NoiseRows=NoiseRowsParams)


class NoiseTables(NamedTuple):
    """What :func:`noise_tables` made, in the device's memory: valid as long as ``owner`` lives."""

    params: NoiseTablesParams
    owner: object


def noise(context: Context, out: Array, samples: SampleIds, spec: NoiseSpec) -> None:
    """Queue the launches that fill ``out`` with noise, one sample for each id.

    Args:
        context: where they run.
        out: (B, H, W) or (B, D, H, W) of the dtype that ``spec.format`` stands for. Rows are contiguous, other strides
            any, but no two elements share their memory.
        samples: B ids.
        spec: what noise; checked by the caller.
    """
    if out.dtype != DTYPES[spec.format]:
        raise TypeError(f"out has dtype {out.dtype}, which does not fit format {spec.format}")
    if not out.size:
        return
    batch, *sizes = out.shape
    tables = noise_tables(context, samples, spec, batch, tuple(sizes))
    noise_rows(context, tables.params, spec, out)


def noise_rows(context: Context, tables: NoiseTablesParams, spec: NoiseSpec, out: Array, chosen: int = 0) -> None:
    """Queue the launches that fill ``out`` from tables that are there.

    ``chosen`` is the address of a byte for each sample, 0 where nothing is to be made; 0: all are made.
    """
    strides = (out.strides[0], out.strides[1] if len(out.shape) == 4 else 0, out.strides[-2])
    if spec.format == "minmax":
        find_extremes(context, tables, spec, out.shape, chosen)
    kernel, grid, params = _rows(context, spec, out.shape, _aligned(out))
    params.tables, params.chosen, params.out = tables, chosen, out.pointer
    params.stride_sample, params.stride_plane, params.stride_row = strides
    params.output = FORMATS[spec.format]
    context.run(Launch(kernel, grid, params))


def find_extremes(
    context: Context, tables: NoiseTablesParams, spec: NoiseSpec, shape: tuple[int, ...], chosen: int = 0
) -> None:
    """Queue the launch that puts the extremes of noise of ``shape`` into its tables, and stores no noise."""
    kernel, grid, params = _rows(context, spec, shape, True)
    params.tables, params.chosen = tables, chosen
    params.output = _FIND_EXTREMES
    context.run(Launch(kernel, grid, params))


def _rows(
    context: Context, spec: NoiseSpec, shape: tuple[int, ...], aligned: bool
) -> tuple[str, tuple[int, int, int], NoiseRowsParams]:
    kernel = rows_kernel(len(shape) - 1, spec.octaves)
    threads = context.launcher.threads(kernel, context.device)
    plan = _rows_plan(shape, spec.octaves, aligned, threads, context.multiprocessors)
    return kernel, plan.grid, NoiseRowsParams.from_buffer_copy(plan.template)


def noise_tables(
    context: Context, samples: SampleIds | None, spec: NoiseSpec, batch: int, sizes: tuple[int, ...]
) -> NoiseTables:
    """Queue the launch that makes the tables for noise of (batch, *sizes), and return where they will be.

    ``sizes`` is (H, W) or (D, H, W). The extremes in the tables are those of no pixel yet. Without ``samples``,
    only the tables that all samples share are made; there is room for the rest.
    """
    plan = _tables_plan(batch, sizes, spec._replace(seed=0))
    address, owner = context.memory.empty(plan.size)
    params = NoiseSetupParams.from_buffer_copy(plan.template)
    params.seed = spec.seed
    grid = plan.grid
    if samples is None:
        params.batch, grid = 0, (grid[0] - batch, 1, 1)
    else:
        params.samples = samples.params()
    tables = NoiseTablesParams(*(address + offset for offset in plan.offsets), *plan.counts)
    params.tables = tables
    context.run(Launch("noise_setup", grid, params))
    return NoiseTables(tables, owner)


def noise_extremes(
    context: Context, samples: SampleIds, spec: NoiseSpec, batch: int, sizes: tuple[int, ...]
) -> NoiseTables:
    """Queue the launches that make the tables with each sample's extremes, and store no noise."""
    tables = noise_tables(context, samples, spec, batch, sizes)
    find_extremes(context, tables.params, spec, (batch, *sizes))
    return tables


class _TablesPlan(NamedTuple):
    template: NoiseSetupParams  # without addresses, seed and ids
    offsets: list[int]  # of the tables in scratch, in the order of the structure's fields
    counts: tuple[int, int]  # column_count, factor_count
    size: int
    grid: tuple[int, int, int]


@lru_cache(maxsize=64)
def _tables_plan(batch: int, sizes: tuple[int, ...], spec: NoiseSpec) -> _TablesPlan:
    dims, octaves = len(sizes), spec.octaves
    depth, height, width = (1,) * (3 - dims) + sizes
    columns, factors = _round_up(width, 4), _round_up(3 * octaves, 4)
    pieces = Pieces()
    table_sizes = {
        "permutation": batch * LATTICE_PERIOD,
        "offsets": 4 * batch * octaves,
        "extremes": 8 * batch,
        "gradients": 4 * octaves * LATTICE_PERIOD * (2 if dims == 2 else 4),
        "columns": 4 * octaves * 3 * columns,
        "column_lines": 2 * octaves * columns,
        "factors": 4 * height * factors,
        "row_lines": 2 * octaves * height,
        "band_end": 4 * height,
        "planes": 16 * octaves * depth,
    }
    offsets = pieces.add_all(table_sizes[name] for name, *_ in NoiseTablesParams._fields_[:-2])
    template = NoiseSetupParams(
        batch=batch, octaves=octaves, dims=dims, tileable=spec.tileable, depth=depth, height=height, width=width
    )
    for o, (cells, amplitude) in enumerate(zip(frequencies(spec), amplitudes(spec, dims), strict=True)):
        template.frequency[o][:] = cells
        template.amplitude[o] = amplitude
    # A block for each sample, and threads for the entries of the tables, in the order of NoiseSetup::table_entry.
    entries = LATTICE_PERIOD + octaves * columns + height + (octaves * depth if dims == 3 else 0)
    return _TablesPlan(
        template, offsets, (columns, factors), pieces.size, (batch + _ceil_div(entries, LATTICE_PERIOD), 1, 1)
    )


def rows_kernel(dims: int, octaves: int) -> str:
    """Return the name of the kernel that makes the pixels."""
    return f"noise_rows_{dims}d_{octaves if octaves <= _IN_REGISTERS[dims] else 'many'}"


class _RowsPlan(NamedTuple):
    grid: tuple[int, int, int]
    template: NoiseRowsParams  # without tables, output and strides


@lru_cache(maxsize=64)
def _rows_plan(shape: tuple[int, ...], octaves: int, aligned: bool, threads: int, multiprocessors: int) -> _RowsPlan:
    dims = len(shape) - 1
    batch, depth, height, width = (shape[0], *(1,) * (3 - dims), *shape[1:])
    groups = _ceil_div(width, 4) if octaves <= _IN_REGISTERS[dims] else width
    # Threads of a block go along a row; where a row is short, the rest of them take other strips.
    along = min(threads, 1 << (groups - 1).bit_length())
    row_blocks, strips_of_block = _ceil_div(groups, along), threads // along
    wanted = BLOCKS_PER_MULTIPROCESSOR * multiprocessors
    for strip in STRIPS:
        strip_blocks = _ceil_div(height, strip * strips_of_block)
        if batch * depth * row_blocks * strip_blocks >= wanted:
            break
    template = NoiseRowsParams(
        depth=depth, height=height, width=width, octaves=octaves, aligned=aligned, groups=groups,
        group_shift=along.bit_length() - 1, strip=strip, row_blocks=row_blocks, strip_blocks=strip_blocks,
    )  # fmt: skip
    return _RowsPlan((row_blocks * strip_blocks * depth * batch, 1, 1), template)


def _aligned(out: Array) -> bool:
    """Return whether four neighbours of every row that begin at a multiple of four can be stored at once."""
    unit = 4 * out.itemsize
    return out.pointer % unit == 0 and all(step % unit == 0 for step in out.strides[:-1])


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def _round_up(a: int, b: int) -> int:
    return _ceil_div(a, b) * b
