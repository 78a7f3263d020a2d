"""Blurs and local shuffles by others: one small function for each, which makes ready what can be kept between calls.

Each returns a filter of one image: ``filter(image, out)``, both (H, W). Those whose library is missing say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.ndimage
import torch

from benchmarks.noise_peers import require
from benchmarks.noise_settings import UnsupportedError
from benchmarks.peers import genesis_shuffle
from benchmarks.rounds import Absent, Candidate

Filter = Callable[[np.ndarray, np.ndarray], object]


@dataclass(frozen=True)
class Peer:
    """Somebody else's filter.

    Attributes:
        name: name of the row.
        make: returns the filter.
        images: images a call filters: few for slow peers.
        check: called with the images and what the peer made of them; raises if that is another filter.
    """

    name: str
    make: Callable[[], Filter]
    images: int
    check: Callable[[np.ndarray, np.ndarray], None]


def opencv_blur() -> Filter:
    cv2 = require("cv2")
    cv2.setNumThreads(1)
    return lambda image, out: cv2.GaussianBlur(image, (5, 5), 0, dst=out)


def scipy_blur(weights: np.ndarray) -> Filter:
    def blur(image: np.ndarray, out: np.ndarray) -> None:
        rows = scipy.ndimage.correlate1d(image, weights, 1, mode="mirror")
        scipy.ndimage.correlate1d(rows, weights, 0, mode="mirror", output=out)

    return blur


def torch_blur(weights: np.ndarray) -> Filter:
    """Two one-dimensional convolutions over an image with mirrored borders."""
    half = len(weights) // 2
    taps = torch.from_numpy(weights.copy())

    def blur(image: np.ndarray, out: np.ndarray) -> None:
        padded = torch.nn.functional.pad(torch.from_numpy(image)[None, None], 4 * [half], mode="reflect")
        rows = torch.nn.functional.conv2d(padded, taps.view(1, 1, 1, -1))
        out[:] = torch.nn.functional.conv2d(rows, taps.view(1, 1, -1, 1))[0, 0].numpy()

    return blur


def monai_smooth() -> Filter:
    """RandGaussianSmooth at sigma 1.1; its kernel has a size of its own, and the borders are zeros."""
    smooth = require("monai.transforms").RandGaussianSmooth(sigma_x=(1.1, 1.1), sigma_y=(1.1, 1.1), prob=1.0)

    def blur(image: np.ndarray, out: np.ndarray) -> None:
        out[:] = smooth(image[None])[0].numpy()

    return blur


def numpy_blocks(grid: int) -> Filter:
    """Each block of a grid flattened, shuffled and put back, as a script does it."""
    generator = np.random.default_rng(0)

    def shuffle(image: np.ndarray, out: np.ndarray) -> None:
        rows, columns = ([n * b // grid for b in range(grid + 1)] for n in image.shape)
        for top, bottom in pairwise(rows):
            for left, right in pairwise(columns):
                block = image[top:bottom, left:right].flatten()
                generator.shuffle(block)
                out[top:bottom, left:right] = block.reshape(bottom - top, right - left)

    return shuffle


def genesis_windows(windows: int) -> Filter:
    generator = np.random.default_rng(0)

    def shuffle(image: np.ndarray, out: np.ndarray) -> None:
        out[:] = genesis_shuffle(image, windows, generator)

    return shuffle


def monai_coarse_shuffle(windows: int, low: int, high: int) -> Filter:
    """RandCoarseShuffle: windows one after the other, each on what the earlier ones left; it overwrites its input."""
    transforms = require("monai.transforms")
    shuffled = transforms.RandCoarseShuffle(holes=windows, spatial_size=low, max_spatial_size=high, prob=1.0)

    def shuffle(image: np.ndarray, out: np.ndarray) -> None:
        out[:] = image
        out[:] = shuffled(out[None])[0]

    return shuffle


def albumentations_tiles(grid: int) -> Filter:
    """RandomGridShuffle: whole tiles change places, the pixels inside each stay as they are."""
    shuffled = require("albumentations").RandomGridShuffle(grid=(grid, grid), p=1.0)

    def shuffle(image: np.ndarray, out: np.ndarray) -> None:
        out[:] = shuffled(image=image)["image"]

    return shuffle


def candidates(peers: Sequence[Peer], images: np.ndarray) -> tuple[list[Candidate], list[Absent]]:
    """Return the peers that work here, each tried and checked, and the others with the reason."""
    present, absent = [], []
    for peer in peers:
        source = images[: peer.images]
        out = np.empty_like(source)
        try:
            run = over(peer.make(), source, out)
            run()
        except UnsupportedError as error:
            absent.append(Absent(peer.name, str(error)))
            continue
        except Exception as error:  # whatever a package fails with today is said in its row
            absent.append(Absent(peer.name, f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"))
            continue
        peer.check(source, out)
        present.append(Candidate(peer.name, run, len(source), f"{len(source)} images"))
    return present, absent


def over(one: Filter, source: np.ndarray, out: np.ndarray) -> Callable[[], None]:
    """Return a call that filters image after image."""

    def run() -> None:
        for image, target in zip(source, out, strict=True):
            one(image, target)

    return run
