"""Gaussian blur (PLR-G) and local shuffle (PLR-L) of 512x512 images, into a buffer that is used again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

import plr_fast
from benchmarks import filter_peers
from benchmarks.filter_peers import Peer
from benchmarks.our_noise import NATIVE, NUMBA, present
from benchmarks.rounds import Candidate
from plr_fast.ops.filters import gaussian_kernel

BATCH, SIZE = 16, 512
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.uint8], ids=["float32", "uint8"])
PEERS_WARN = pytest.mark.filterwarnings("ignore")  # peers' warnings are not ours to mend


def some_images(dtype: Any) -> np.ndarray:
    grey = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE), np.uint8)
    return grey if dtype == np.uint8 else (grey / 255).astype(np.float32)


def ours(label: str, backend: str, operation: Any, images: np.ndarray, **options: Any) -> Candidate:
    out = np.empty_like(images)
    return Candidate(
        label,
        lambda: operation(images, out=out, check=False, **options),
        len(images),
        f"{len(images)} images",
        lambda: plr_fast.use_backend(backend),
    )


def compare_filters(
    compare: Any, group: str, operation: Any, peers: Sequence[Peer], dtype: Any = np.float32, **options: Any
) -> None:
    images = some_images(dtype)
    both = [
        ours(label, backend, operation, images, **options) for label, backend in ((NATIVE, "native"), (NUMBA, "numba"))
    ]
    mine, missing = present(both)
    others, absent = filter_peers.candidates(peers, images)
    # What filtering could cost at the least: every image is read once and written once.
    out = np.empty_like(images)
    copy = Candidate("copying the images", lambda: np.copyto(out, images), BATCH, f"{BATCH} images")
    name = f"{group}, {np.dtype(dtype)}"
    compare(name, [*mine, copy, *others], unit="image", baseline=NATIVE, absent=[*missing, *absent])


def same_blur(images: np.ndarray, out: np.ndarray) -> None:
    difference = np.abs(plr_fast.gaussian_blur(images).astype(float) - out)
    assert difference.max() <= (1 if out.dtype == np.uint8 else 1e-6)


def smoother(images: np.ndarray, out: np.ndarray) -> None:
    assert out.std() < 0.5 * images.std()


def same_pixels(images: np.ndarray, out: np.ndarray) -> None:
    """What moves pixels loses none."""
    assert not np.array_equal(out, images)
    assert np.array_equal(np.sort(out, None), np.sort(images, None))


def moved_pixels(images: np.ndarray, out: np.ndarray) -> None:
    """Windows over windows lose some pixels and double others."""
    assert (out != images).mean() > 0.5
    assert np.isin(out, images).all()


@PEERS_WARN
@DTYPES
def test_blur(compare: Any, dtype: Any) -> None:
    weights, _ = gaussian_kernel(5, 0.0)
    peers = [Peer("OpenCV", filter_peers.opencv_blur, BATCH, same_blur)]
    if dtype == np.float32:
        peers += [
            Peer("SciPy correlate1d", partial(filter_peers.scipy_blur, weights), 4, same_blur),
            Peer("torch conv2d", partial(filter_peers.torch_blur, weights), 4, same_blur),
            Peer("MONAI RandGaussianSmooth (another kernel)", filter_peers.monai_smooth, 4, smoother),
        ]
    compare_filters(compare, "blur 5x5", plr_fast.gaussian_blur, peers, dtype)


@DTYPES
def test_blur_windows(compare: Any, dtype: Any) -> None:
    compare_filters(compare, "blur 5x5, 500 windows", plr_fast.gaussian_blur, [], dtype, windows=500)


@PEERS_WARN
@DTYPES
def test_shuffle_grid(compare: Any, dtype: Any) -> None:
    peers = [Peer("NumPy, block by block", partial(filter_peers.numpy_blocks, 10), 2, same_pixels)]
    if dtype == np.float32:
        peers += [
            Peer(
                "MONAI RandCoarseShuffle, 100 windows",
                partial(filter_peers.monai_coarse_shuffle, 100, 51, 51),
                1,
                same_pixels,
            ),
            Peer(
                "albumentations RandomGridShuffle (moves tiles)",
                partial(filter_peers.albumentations_tiles, 10),
                4,
                same_pixels,
            ),
        ]
    compare_filters(compare, "shuffle, 10x10 grid", plr_fast.local_shuffle, peers, dtype)


@PEERS_WARN
@pytest.mark.parametrize("windows", [1_000, 10_000])  # the paper's number, and Models Genesis' own default
def test_shuffle_windows(compare: Any, windows: int) -> None:
    peers = [Peer("Models Genesis' loop", partial(filter_peers.genesis_windows, windows), 1, moved_pixels)]
    if windows == 1_000:
        monai = partial(filter_peers.monai_coarse_shuffle, windows, 1, SIZE // 10)
        peers.append(Peer("MONAI RandCoarseShuffle", monai, 1, same_pixels))
    group = f"shuffle, {windows:,} windows"
    compare_filters(compare, group, plr_fast.local_shuffle, peers, windows=windows)
