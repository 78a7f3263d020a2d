"""Near duplicates: the same picture twice, though no byte of it need be the same.

Public CT collections hold the same slice at another size, in another window, cropped a little differently, compressed
once more, under another file name or patient. Where one copy is trained on and the other tested on, memory is
measured. Two looks find them:

1. A perceptual hash of 128 bits: signs (about their median) of the lowest cosine coefficients of a 32×32 thumbnail, the
   "pHash" with twice the usual bits: CT slices are so alike that with 64 bits one pair in a hundred is near. All pairs
   within a Hamming radius are candidates.
2. Of the candidates, thumbnails without their coarse shape (band-passed) are correlated, after they were brought to
   cover each other by a shift and a stretch along each axis (inverse compositional Lucas-Kanade; Baker and Matthews,
   IJCV 2004). Slices of different people have similar outlines; vessels and airways tell them apart.

What is found at the default threshold is one slice twice, or it and its next neighbour of the same scan.
``docs/data.md`` has the measured recall and false alarms.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Thumbnails = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

THUMBNAIL = 32
BITS = 128
RADIUS = 20
"""Largest Hamming distance of candidates, of :data:`BITS`."""
LIKENESS = 0.97
"""Smallest correlation of near duplicates after alignment."""
FILE = "duplicates.csv"
PARTED_NOTE = "pairs of near-duplicate slices lie in different splits"
"""What notes say that hold for the splits of a store only."""

_GATE = 0.8  # correlation before alignment, below which alignment is not tried
_MARGIN = 2  # thumbnail pixels left out on each side: alignment moves the border in
_STEPS = 5
_MAX_SHIFT, _MAX_STRETCH = 2.0, 0.08  # thumbnail pixels; share
_ROW_BLOCK, _COLUMN_BLOCK = 64, 16384  # of pairs at a time: their distances stay in the cache
_BATCH = 1024  # pairs correlated or aligned at a time


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of slices that show the same.

    Attributes:
        pairs: int64 (P, 2), indices of slices, the smaller first, in ascending order.
        likeness: float32 (P,), correlation of the aligned thumbnails, at most 1.
        distances: int64 (P,), Hamming distance of the hashes.
    """

    pairs: Rows
    likeness: Floats
    distances: Rows

    def __len__(self) -> int:
        return len(self.pairs)

    def clusters(self) -> list[list[int]]:
        """Slices that hang together by pairs, each cluster ascending, in the order of their first slices."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        members, places = np.unique(self.pairs, return_inverse=True)
        if not len(members):
            return []
        first, second = places.reshape(-1, 2).T
        links = coo_array((np.ones(len(first)), (first, second)), shape=(len(members), len(members)))
        _, names = connected_components(links, directed=False)
        found: dict[int, list[int]] = {}
        for member, name in zip(members.tolist(), names.tolist(), strict=True):
            found.setdefault(name, []).append(member)
        return list(found.values())

    def where(self, values: Sequence[object]) -> int:
        """How many pairs have two different ones of ``values`` (N,), one of each slice: labels, splits, groups."""
        return sum(values[first] != values[second] for first, second in self.pairs.tolist())


def thumbnails(slices: Iterable[npt.NDArray[np.uint8]]) -> Thumbnails:
    """Each of ``slices``, uint8 (S, S), as the means of 32×32 boxes: uint8 (N, 32, 32)."""
    from PIL import Image

    size = (THUMBNAIL, THUMBNAIL)
    found = [np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX)) for picture in slices]
    return np.stack(found) if found else np.empty((0, *size), np.uint8)


def perceptual_hashes(pictures: Thumbnails) -> npt.NDArray[np.uint64]:
    """Hash of each of the ``pictures``, uint8 (N, 32, 32): uint64 (N, 2).

    Bit k says whether cosine coefficient k (by distance from the mean, which is left out) is above the median of the
    128; so neither brightness nor contrast matters.
    """
    from scipy.fft import dctn

    rows, columns = np.indices((THUMBNAIL // 2, THUMBNAIL // 2))
    nearest = np.lexsort(((columns).ravel(), rows.ravel(), (rows**2 + columns**2).ravel()))[1 : BITS + 1]
    found = np.empty((len(pictures), BITS // 64), np.uint64)
    for start in range(0, len(pictures), _BATCH):
        waves = dctn(pictures[start : start + _BATCH].astype(np.float32), axes=(1, 2), norm="ortho")
        low = waves[:, : THUMBNAIL // 2, : THUMBNAIL // 2].reshape(len(waves), -1)[:, nearest]
        bits = low > np.median(low, axis=1, keepdims=True)
        found[start : start + _BATCH] = np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)
    return found


def near_duplicates(
    pictures: Thumbnails,
    *,
    alike: npt.NDArray[np.int64] | None = None,
    radius: int = RADIUS,
    likeness: float = LIKENESS,
    advance: Callable[[int], None] | None = None,
) -> NearDuplicates:
    """All pairs of near duplicates among ``pictures``, uint8 (N, 32, 32), as :func:`thumbnails` makes them.

    Every pair is looked at: time grows with N², memory with N (about 3 KiB each) and the pairs found. Equal pictures
    are found too; pictures of one grey value are near duplicates of nothing.

    Args:
        alike: (N,): pairs with equal numbers are left out, because nothing could be learnt from them (slices of one
            group, which no split parts).
        radius: largest Hamming distance of candidates, 0..128.
        likeness: smallest correlation after alignment, 0..1.
        advance: called with the number of rows done, as work goes on.

    Raises:
        ValueError: an argument has a wrong shape or value.
    """
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (THUMBNAIL, THUMBNAIL):
        raise ValueError(f"pictures must be uint8 (N, 32, 32), not {pictures.dtype} {pictures.shape}")
    if alike is not None and alike.shape != (len(pictures),):
        raise ValueError(f"alike must have one number for each of {len(pictures)} pictures, not {alike.shape}")
    if not 0 <= radius <= BITS or not 0.0 <= likeness <= 1.0:
        raise ValueError(f"radius must lie in 0..{BITS} and likeness in 0..1, not {radius} and {likeness}")
    hashes, fine = perceptual_hashes(pictures), _fine(pictures)
    gate = min(_GATE, likeness)
    pairs: list[Rows] = []
    scores: list[Floats] = []
    distances: list[Rows] = []
    for first, second, distance in _close(hashes, radius, advance):
        apart = np.ones(len(first), np.bool_) if alike is None else alike[first] != alike[second]
        for start in range(0, len(first), _BATCH):
            chosen = np.flatnonzero(apart[start : start + _BATCH]) + start
            a, b = first[chosen], second[chosen]
            near = np.einsum("ij,ij->i", fine[a].astype(np.float32), fine[b].astype(np.float32)) >= gate
            a, b = a[near], b[near]
            score = _aligned(pictures, a, b)
            same = score >= likeness
            if same.any():
                pairs.append(np.stack((a[same], b[same]), axis=1))
                scores.append(score[same])
                distances.append(distance[chosen][near][same])
    if not pairs:
        return NearDuplicates(np.empty((0, 2), np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
    both = np.concatenate(pairs)
    order = np.lexsort((both[:, 1], both[:, 0]))
    return NearDuplicates(both[order], np.concatenate(scores)[order], np.concatenate(distances)[order])


def duplicates_table(found: NearDuplicates, ids: Sequence[str], labels: Sequence[int], groups: Sequence[str]) -> str:
    """CSV: a row for each pair, most alike first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("first", "second", "likeness", "distance", *_COLUMNS))
    for place in np.lexsort((found.pairs[:, 1], found.pairs[:, 0], -found.likeness)).tolist():
        a, b = found.pairs[place].tolist()
        shown = ["" if labels[row] < 0 else labels[row] for row in (a, b)]
        score, distance = f"{found.likeness[place]:.3f}", int(found.distances[place])
        writer.writerow((ids[a], ids[b], score, distance, *shown, groups[a], groups[b]))
    return text.getvalue()


_COLUMNS = ("first_label", "second_label", "first_group", "second_group")


def _close(
    hashes: npt.NDArray[np.uint64], radius: int, advance: Callable[[int], None] | None
) -> Iterator[tuple[Rows, Rows, Rows]]:
    """Pairs (first < second) within ``radius`` and their distances, block by block."""
    count = len(hashes)
    words = [np.ascontiguousarray(word) for word in hashes.T]
    signs = None if hasattr(np, "bitwise_count") else _signs(hashes)
    for top in range(0, count, _ROW_BLOCK):
        rows = slice(top, min(top + _ROW_BLOCK, count))
        for left in range(top, count, _COLUMN_BLOCK):
            columns = slice(left, min(left + _COLUMN_BLOCK, count))
            if signs is None:
                distance = sum(np.bitwise_count(word[rows, None] ^ word[None, columns]) for word in words)
            else:
                distance = _distance(signs[rows], signs[columns])
            first, second = np.nonzero(distance <= radius)
            found = distance[first, second].astype(np.int64)
            first, second = first + top, second + left
            upper = first < second
            yield first[upper], second[upper], found[upper]
        if advance is not None:
            advance(rows.stop - rows.start)


def _signs(hashes: npt.NDArray[np.uint64]) -> Floats:
    """Bits as -1 and 1, for NumPy before 2.0, which cannot count them."""
    return np.unpackbits(hashes.view(np.uint8), axis=1).astype(np.float32) * 2 - 1


def _distance(first: Floats, second: Floats) -> npt.NDArray[np.uint8]:
    """Hamming distances (R, C): each differing bit takes 2 off the product of signs, which float32 holds exactly."""
    return ((BITS - first @ second.T) / 2).astype(np.uint8)


def _band(pictures: Thumbnails) -> Floats:
    """Without coarse shape and without noise: (N, 32, 32)."""
    from scipy.ndimage import gaussian_filter

    grey = pictures.astype(np.float32)
    band: Floats = gaussian_filter(grey, (0, 0.6, 0.6)) - gaussian_filter(grey, (0, 3.0, 3.0))
    return band


def _unit(rows: Floats) -> Floats:
    """Rows (N, K) of mean 0 and length 1; rows of one value become 0."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(length > 1.0, rows / np.maximum(length, 1.0), np.float32(0.0))


def _inner(pictures: Floats) -> Floats:
    inner = slice(_MARGIN, THUMBNAIL - _MARGIN)
    return np.ascontiguousarray(pictures[:, inner, inner]).reshape(len(pictures), -1)


def _fine(pictures: Thumbnails) -> npt.NDArray[np.float16]:
    """What is correlated before alignment: (N, 784), of length 1."""
    found = np.empty((len(pictures), (THUMBNAIL - 2 * _MARGIN) ** 2), np.float16)
    for start in range(0, len(pictures), _BATCH):
        found[start : start + _BATCH] = _unit(_inner(_band(pictures[start : start + _BATCH])))
    return found


def _aligned(pictures: Thumbnails, first: Rows, second: Rows) -> Floats:
    """Correlation of the pictures ``first`` (P,) and ``second`` (P,) at the best alignment that was come by: (P,)."""
    if not len(first):
        return np.empty(0, np.float32)
    fixed, moving = _band(pictures[first]), _band(pictures[second])
    target = _unit(_inner(fixed))
    middle = (THUMBNAIL - 1) / 2
    place = np.arange(_MARGIN, THUMBNAIL - _MARGIN, dtype=np.float32) - np.float32(middle)
    y, x = (grid.ravel() for grid in np.meshgrid(place, place, indexing="ij"))
    slopes: list[Floats] = [np.asarray(np.gradient(fixed, axis=axis), np.float32) for axis in (1, 2)]
    slope_y, slope_x = (_inner(slope) for slope in slopes)
    # How the target changes with shift and stretch along y and x; what mean and length take away again is taken out.
    change = np.stack((slope_y, slope_x, slope_y * y, slope_x * x), axis=1)
    change -= change.mean(axis=2, keepdims=True)
    change -= np.einsum("pkn,pn->pk", change, target)[:, :, None] * target[:, None, :]
    square = change @ change.transpose(0, 2, 1)
    ridge = 1e-6 * np.trace(square, axis1=1, axis2=2) + 1e-12
    square += ridge[:, None, None].astype(np.float32) * np.eye(4, dtype=np.float32)
    length = np.linalg.norm(_inner(fixed) - _inner(fixed).mean(axis=1, keepdims=True), axis=1)
    shift, stretch = (np.zeros((len(first), 2), np.float32) for _ in range(2))
    best = np.full(len(first), -1.0, np.float32)
    for step in range(_STEPS + 1):
        rows = y * (1 + stretch[:, :1]) + shift[:, :1] + np.float32(middle)
        columns = x * (1 + stretch[:, 1:]) + shift[:, 1:] + np.float32(middle)
        warped = _unit(_sample(moving, rows, columns))
        best = np.maximum(best, np.einsum("pn,pn->p", target, warped))
        if step == _STEPS:
            break
        error = (warped - target) * length[:, None]
        move = np.linalg.solve(square, np.einsum("pkn,pn->pk", change, error)[:, :, None])[:, :, 0]
        # The warp so far, after the inverse of what the target would have to do.
        scale = (1 + stretch) / (1 + np.clip(move[:, 2:], -0.5, 0.5))
        shift = np.clip(shift - scale * move[:, :2], -_MAX_SHIFT, _MAX_SHIFT)
        stretch = np.clip(scale - 1, -_MAX_STRETCH, _MAX_STRETCH)
    return best


def _sample(pictures: Floats, rows: Floats, columns: Floats) -> Floats:
    """Values of each of ``pictures`` (P, 32, 32) at (P, K) places, between pixels bilinearly, beyond the border its."""
    rows, columns = (np.clip(axis, 0, np.float32(THUMBNAIL - 1.001)) for axis in (rows, columns))
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    down, right = rows - top, columns - left
    flat = pictures.reshape(-1)
    corner = np.arange(len(pictures))[:, None] * THUMBNAIL**2 + top * THUMBNAIL + left
    upper = flat[corner] * (1 - right) + flat[corner + 1] * right
    lower = flat[corner + THUMBNAIL] * (1 - right) + flat[corner + THUMBNAIL + 1] * right
    found: Floats = upper * (1 - down) + lower * down
    return found
