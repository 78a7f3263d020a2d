"""Plans of the two other corruptions of the paper: Gaussian blur and local shuffle."""

from __future__ import annotations

import ctypes

from ..specs import BlurSpec, ShuffleSpec, Windows
from .arrays import Array
from .copies import copy
from .launch import Context, Launch
from .params import F32, I32, I64, STRUCTURES, U32, U64, Pointer, SampleIds, SampleIdsParams
from .tiles import GROUP, TilesParams, in_groups, tiles_for

_THREADS = 256
_MAX_TAPS = 63
_FEW_TAPS = (3, 5)  # kernels of these sizes are blurred with in one launch
# Rows of a thread that blurs. Long columns spread the cost of their first rows, short ones make more blocks: the
# longest is taken that gives every multiprocessor so many.
_BLUR_ROWS = (16, 8, 4)
_BLUR_BLOCKS = 4
_STREAM_BLUR_WINDOW, _STREAM_SHUFFLE_WINDOW = 5, 6  # of csrc/core/philox.h
_SHARED_PIECE = 4096  # pixels of a piece that is shuffled in shared memory
_CHUNK = 4096  # pixels that a block does of a larger piece
_PIECES_BYTES = 256 * 2**20  # of larger pieces at a time


class WindowsParams(ctypes.Structure):
    """``Windows`` of ``csrc/core/filters.h``."""

    _fields_ = tuple((name, I32) for name in ("count", "low_height", "high_height", "low_width", "high_width"))


class WindowMapParams(ctypes.Structure):
    """``WindowMapParams`` of ``csrc/cuda/windows.h``."""

    _fields_ = (
        ("seed", U64),
        ("samples", SampleIdsParams),
        ("windows", WindowsParams),
        ("height", I32),
        ("width", I32),
        ("stream", U32),
        ("owners", Pointer),
        ("groups", I64),
    )


class BlurTilesParams(ctypes.Structure):
    """``BlurTilesParams`` of ``csrc/cuda/blur.h``."""

    _fields_ = (
        ("tiles", TilesParams),
        ("pixels", I64),
        ("images", Pointer),
        ("out", Pointer),
        ("along_x", Pointer),
        ("owners", Pointer),
        ("taps", I32),
        ("whole", I32),
        ("weights", F32 * _MAX_TAPS),
        ("weights_q8", I32 * _MAX_TAPS),
    )


class ShuffleParams(ctypes.Structure):
    """``ShuffleParams`` of ``csrc/core/filters.h``."""

    _fields_ = (
        ("seed", U64),
        ("height", I64),
        ("width", I64),
        ("grid_rows", I32),
        ("grid_columns", I32),
        ("windows", WindowsParams),
    )


class ShufflePieceParams(ctypes.Structure):
    """``ShufflePieceParams`` of ``csrc/cuda/shuffle.h``."""

    _fields_ = (
        ("shuffle", ShuffleParams),
        ("samples", SampleIdsParams),
        ("images", Pointer),
        ("out", Pointer),
        ("owners", Pointer),
        ("pieces", I32),
        ("chunks", I32),
        ("first", I64),
        ("most", I64),
        ("memory", Pointer),
    )


STRUCTURES.update(
    Windows=WindowsParams,
    WindowMapParams=WindowMapParams,
    BlurTilesParams=BlurTilesParams,
    ShuffleParams=ShuffleParams,
    ShufflePieceParams=ShufflePieceParams,
)


def blur(context: Context, images: Array, out: Array, samples: SampleIds, spec: BlurSpec) -> None:
    """Blur ``images`` (B, H, W), uint8 or float32, contiguous, into ``out`` (may be the same memory)."""
    batch, height, width = images.shape
    if images.size == 0:
        return
    taps = len(spec.weights)
    if taps > _MAX_TAPS:
        raise ValueError(f"a blur may have {_MAX_TAPS} taps on a GPU, not {taps}")
    source, _copy = _original(context, images, out)
    owners, _map = _window_map(context, images.shape, samples, spec.windows, spec.seed, _STREAM_BLUR_WINDOW)
    few = taps in _FEW_TAPS
    sums = 4 if images.dtype == "float32" else 2
    along_x, _sums = (0, None) if few else context.memory.empty(images.size * sums)
    for rows in _BLUR_ROWS:
        tiles = tiles_for(height, width, rows)
        blocks = batch * tiles.across * tiles.down
        if blocks >= _BLUR_BLOCKS * context.multiprocessors:
            break
    params = BlurTilesParams(
        tiles, images.size, source.pointer, out.pointer, along_x, owners, taps, in_groups(width, source, out),
        (F32 * _MAX_TAPS)(*spec.weights.tolist()), (I32 * _MAX_TAPS)(*spec.weights_q8.tolist()),
    )  # fmt: skip
    if few:
        context.run(Launch(f"blur_{images.dtype}_{taps}", (blocks, 1, 1), params))
        return
    grid = (-(-images.size // _THREADS), 1, 1)
    context.run(*(Launch(f"blur_{images.dtype}_along_{axis}", grid, params) for axis in "xy"))


def shuffle(context: Context, images: Array, out: Array, samples: SampleIds, spec: ShuffleSpec) -> None:
    """Shuffle pixels of ``images`` (B, H, W), uint8 or float32, contiguous, into ``out`` (may be the same memory)."""
    batch, height, width = images.shape
    if images.size == 0:
        return
    windows = spec.windows
    source, _copy = _original(context, images, out)
    if windows.count and source is images:
        copy(context, images.pointer, out.pointer, images.size * images.itemsize)
    owners, _map = _window_map(context, images.shape, samples, windows, spec.seed, _STREAM_SHUFFLE_WINDOW)
    pieces = windows.count or spec.grid[0] * spec.grid[1]
    if windows.count:
        most = windows.height[1] * windows.width[1]
    else:
        most = -(-height // spec.grid[0]) * -(-width // spec.grid[1])
    chunks = -(-most // _CHUNK)
    in_shared = most <= _SHARED_PIECE
    at_once = batch * pieces if in_shared else max(1, min(batch * pieces, _PIECES_BYTES // (12 * most)))
    memory, _lists = (0, None) if in_shared else context.memory.empty(12 * most * at_once)
    shuffle_params = ShuffleParams(spec.seed, height, width, *spec.grid, _windows_params(windows))
    for first in range(0, batch * pieces, at_once):
        params = ShufflePieceParams(
            shuffle_params, samples.params(), source.pointer, out.pointer, owners, pieces, chunks, first, most, memory
        )
        some = min(at_once, batch * pieces - first)
        if in_shared:
            context.run(Launch(f"shuffle_{images.dtype}", (some, 1, 1), params))
            continue
        kernels = ("shuffle_clear", "shuffle_link", f"shuffle_move_{images.dtype}")
        context.run(*(Launch(kernel, (some * chunks, 1, 1), params) for kernel in kernels))


def _original(context: Context, images: Array, out: Array) -> tuple[Array, object]:
    """Return the images, or a copy of them if ``out`` is the same memory, and the owner of the copy.

    Every launch of a call may read all pixels as they were before it.
    """
    if images.pointer != out.pointer:
        return images, None
    size = images.size * images.itemsize
    pointer, owner = context.memory.empty(size)
    copy(context, images.pointer, pointer, size)
    return images._replace(pointer=pointer, owner=owner), owner


def _window_map(
    context: Context, shape: tuple[int, ...], samples: SampleIds, windows: Windows, seed: int, stream: int
) -> tuple[int, object]:
    """Return the address of a map of each image's windows, 0 without windows, and its owner."""
    if windows.count == 0:
        return 0, None
    batch, height, width = shape
    groups = -(-batch * height * width // GROUP)
    pointer, owner = context.memory.empty(4 * GROUP * groups)
    params = WindowMapParams(seed, samples.params(), _windows_params(windows), height, width, stream, pointer, groups)
    context.run(
        Launch("clear_windows", (-(-groups // _THREADS), 1, 1), params),
        Launch("map_windows", (batch * windows.count, 1, 1), params),
    )
    return pointer, owner


def _windows_params(windows: Windows) -> WindowsParams:
    return WindowsParams(windows.count, *windows.height, *windows.width)
