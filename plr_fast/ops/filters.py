"""The paper's two other corruptions: Gaussian blur (PLR-G) and local pixel shuffling (PLR-L)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import cast

import numpy as np
import torch

from ..backends import get_num_threads
from ..backends.specs import BlurSpec, Float32Array, Int32Array, ShuffleSpec
from . import tracing
from .arguments import (
    LARGEST_SIDE,
    Images,
    ids_at,
    image_batch,
    integer,
    number,
    output_for,
    seed_value,
    window_ranges,
)

_LARGEST_KERNEL = 63
_SMALLEST_SIGMA = 1e-2  # below, the kernel is a single pixel anyway
# What OpenCV uses for sigma 0 at these sizes, in 1/256, instead of its formula.
_OPENCV_KERNELS = {
    1: (256,),
    3: (64, 128, 64),
    5: (16, 64, 96, 64, 16),
    7: (8, 28, 56, 72, 56, 28, 8),
    9: (4, 13, 30, 51, 60, 51, 30, 13, 4),
}


def gaussian_blur(
    images: Images,
    *,
    size: int = 5,
    sigma: float = 0.0,
    windows: int | None = None,
    window: int | tuple[int, int] | None = None,
    seed: int = 0,
    samples: Iterable[int] | torch.Tensor | None = None,
    out: Images | None = None,
    check: bool | None = None,
) -> Images:
    """Blur each image with a Gaussian kernel, as PLR-G does (paper III.B: 5 x 5, sigma 0).

    Borders are mirrored without repeating the border pixel, as OpenCV does. uint8 images are blurred with weights
    rounded to 1/256, so the result can differ from the exact one by a grey level.

    Args:
        images: (B, H, W) or (B, 1, H, W), uint8 or float32 in [0, 1], of torch, NumPy or CuPy, on the CPU or a GPU.
        size: side of the kernel, odd, 1..63.
        sigma: standard deviation in pixels. 0 (the paper's) means what it means to OpenCV: a fixed kernel up to size 9,
            binomial (1, 4, 6, 4, 1) / 16 for 5; beyond, sigma = 0.3 * ((size - 1) / 2 - 1) + 0.8. That formula would
            give 1.1 for 5: pass it to get it.
        windows: blur only this many random windows of each image (the paper speaks of 500); default the whole image.
        window: side of the windows in pixels, or a range; default 1 to a tenth of the image's side.
        seed: 0..2^64-1; matters with ``windows`` only.
        samples: ids of the samples, one per image; default 0..B-1.
        out: where to write, like ``images``; may be ``images`` itself.
        check: look for NaN and values outside [0, 1] in float images first; default on the CPU only, because a GPU
            would have to be waited for.

    Returns:
        The blurred images, same kind, shape and dtype as ``images`` (``out`` itself if given).

    Raises:
        TypeError, ValueError: wrong kind, rank, dtype, device or range.
    """
    run = tracing.gaussian_blur if torch.compiler.is_compiling() else blur
    return run(
        images, size=size, sigma=sigma, windows=windows, window=window, seed=seed, samples=samples, out=out, check=check
    )  # fmt: skip


def blur(
    images: Images,
    *,
    size: object,
    sigma: float,
    windows: object,
    window: object,
    seed: object,
    samples: object,
    out: Images | None,
    check: bool | None,
) -> Images:
    """Check the arguments of :func:`gaussian_blur`, and do its work."""
    batch = image_batch(images, check=check)
    size = integer(size, "size", 1, _LARGEST_KERNEL)
    if size % 2 == 0:
        raise ValueError(f"size must be odd, not {size}")
    if number(sigma, "sigma", 0.0, 1e3) != 0 and sigma < _SMALLEST_SIGMA:
        raise ValueError(f"sigma must be 0 or at least {_SMALLEST_SIGMA:g}, not {sigma}")
    weights, weights_q8 = gaussian_kernel(size, float(sigma))
    height, width = batch.array.shape[1:]
    spec = BlurSpec(seed_value(seed), weights, weights_q8, window_ranges(windows, window, (height, width)))
    ids = ids_at(batch.home, samples, len(batch.array))
    target, result = output_for(batch, out)
    batch.home.backend().blur(batch.array, target, ids, spec, get_num_threads())
    return cast(Images, result)


@lru_cache(maxsize=32)
def gaussian_kernel(size: int, sigma: float) -> tuple[Float32Array, Int32Array]:
    """Return the weights of a kernel as float32 with sum 1, and as integers with sum 256."""
    half = size // 2
    if sigma == 0 and size in _OPENCV_KERNELS:
        exact = np.array(_OPENCV_KERNELS[size]) / 256
    else:
        sigma = sigma or 0.3 * ((size - 1) * 0.5 - 1) + 0.8
        raw = [math.exp(-((i - half) ** 2) / (2 * sigma * sigma)) for i in range(size)]
        exact = np.array(raw) / math.fsum(raw)
    # Rounding the running sum spreads the error: no weight is off by more than 1/256, and the sum stays exact.
    side = np.diff(np.floor(np.cumsum(exact[:half]) * 256 + 0.5), prepend=0)
    q8 = np.concatenate([side, [256 - 2 * side.sum()], side[::-1]]).astype(np.int32)
    weights = exact.astype(np.float32)
    weights.flags.writeable = q8.flags.writeable = False
    return weights, q8


def local_shuffle(
    images: Images,
    *,
    grid: int | tuple[int, int] = 10,
    windows: int | None = None,
    window: int | tuple[int, int] | None = None,
    seed: int = 0,
    samples: Iterable[int] | torch.Tensor | None = None,
    out: Images | None = None,
    check: bool | None = None,
) -> Images:
    """Shuffle the pixels inside each block of a grid, as PLR-L does (paper III.B: 100 blocks), or inside windows.

    Args:
        images: (B, H, W) or (B, 1, H, W), uint8 or float32 in [0, 1], of torch, NumPy or CuPy, on the CPU or a GPU.
        grid: blocks along each side, or (rows, columns); sides that do not divide give blocks that differ by a pixel.
        windows: instead of the grid, shuffle inside this many random windows, each filled from the original image
            (Models Genesis' way; the paper speaks of 1000).
        window: side of the windows in pixels, or a range; default 1 to a tenth of the image's side.
        seed: 0..2^64-1.
        samples: ids of the samples, one per image; default 0..B-1.
        out: where to write, like ``images``; may be ``images`` itself.
        check: look for NaN and values outside [0, 1] in float images first; default on the CPU only, because a GPU
            would have to be waited for.

    Returns:
        The shuffled images, same kind, shape and dtype as ``images`` (``out`` itself if given).

    Raises:
        TypeError, ValueError: wrong kind, rank, dtype, device or range.
    """
    run = tracing.local_shuffle if torch.compiler.is_compiling() else shuffle
    return run(
        images, grid=grid, windows=windows, window=window, seed=seed, samples=samples, out=out, check=check
    )  # fmt: skip


def shuffle(
    images: Images,
    *,
    grid: object,
    windows: object,
    window: object,
    seed: object,
    samples: object,
    out: Images | None,
    check: bool | None,
) -> Images:
    """Check the arguments of :func:`local_shuffle`, and do its work."""
    batch = image_batch(images, check=check)
    height, width = batch.array.shape[1:]
    blocks = grid if isinstance(grid, (tuple, list)) else (grid, grid)
    if len(blocks) != 2:
        raise ValueError(f"grid must be one number or (rows, columns), not {len(blocks)} values")
    rows, columns = (integer(n, "grid", 1, LARGEST_SIDE) for n in blocks)
    if windows is None and (rows > height or columns > width):
        raise ValueError(f"grid has {rows} x {columns} blocks, more than the image has pixels ({height} x {width})")
    if rows * columns >= 2**24:
        raise ValueError(f"grid must have fewer than 2^24 blocks, not {rows} x {columns}")
    spec = ShuffleSpec(seed_value(seed), (rows, columns), window_ranges(windows, window, (height, width)))
    ids = ids_at(batch.home, samples, len(batch.array))
    target, result = output_for(batch, out)
    batch.home.backend().shuffle(batch.array, target, ids, spec, get_num_threads())
    return cast(Images, result)
