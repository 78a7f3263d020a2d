"""Classical segmentation of the lungs on one slice: the arithmetic behind :func:`plr_fast.lung_mask`.

Dark regions are proposed by a threshold and judged one by one: lungs are enclosed by thick tissue (the picture's border
counts as tissue, since slices are often cut tightly), whereas the air around the body lies in the corners and the air
under it faces a thin table, or is wide and flat. Where the first proposal is implausible, the border is forgiven more,
then darker thresholds are tried (mediastinal windows). Sizes are fractions of the slice, so one setting serves every
resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from .morphology import dilate, enlarge, erode, holes, outline
from .quality import Features, Settings, appraise, least_half

Array: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]

_TISSUE = 0.012
"""Half thickness from which tissue counts as a body wall rather than a table or a frame, of the shorter side."""
_CORNER = 0.03
"""Side of the boxes in the corners where air outside the body is looked for, of the shorter side."""
_TIP = 0.01
"""Side of the boxes that count as the very corner."""
_FRAME = 0.12
"""Widest bright frame that is looked through, of each side."""
_EDGE, _WIDE = 0.3, 0.6
"""A region that keeps within this part of the height from the upper or lower edge and is wider than that part of the
width is air between the body and the table."""
_PARTNER = 0.2
"""Least size of a second lung that touches the border, as a part of the first."""


@dataclass(frozen=True)
class Found:
    """Result for one slice. ``method`` is the proposal that was used; ``features`` says what the mask looks like."""

    mask: Mask
    method: str
    threshold: float
    features: Features


@dataclass(frozen=True)
class _Frame:
    """Rows ``top..bottom`` and columns ``left..right`` inside a bright frame drawn around the picture."""

    top: int
    bottom: int
    left: int
    right: int


def segment(grey: Array, settings: Settings) -> Found:
    """Lungs of one slice ``[H, W]`` float32 in 0..1 (larger = denser); the best guess where nothing is plausible."""
    height, width = grey.shape
    factor = max(1, int(min(height, width) / settings.working_size + 0.25))
    if factor == 1:
        return _segment(grey, settings)
    padded = np.pad(grey, ((0, -height % factor), (0, -width % factor)), mode="edge")
    found = _segment(_reduce(padded, factor), settings)
    large = enlarge(found.mask, factor)[:height, :width]
    return Found(large, found.method, found.threshold, found.features)


def _reduce(grey: Array, factor: int) -> Array:
    """Means of blocks of ``factor`` by ``factor`` pixels; strided sums, as NumPy's mean over two axes is slow."""
    total = np.zeros((grey.shape[0] // factor, grey.shape[1] // factor), np.float32)
    for row in range(factor):
        for column in range(factor):
            total += grey[row::factor, column::factor]
    return total * np.float32(1.0 / (factor * factor))


def _segment(grey: Array, settings: Settings) -> Found:
    sigma = max(0.5, settings.blur * min(grey.shape))
    smooth = ndimage.gaussian_filter(grey, sigma, mode="nearest")
    best, least = Found(np.zeros(grey.shape, np.bool_), "none", float("nan"), Features(0, 0.0, False)), np.inf
    if float(smooth.max() - smooth.min()) < 0.05:
        return best
    frame = _frame(grey)
    for method, threshold, relaxed in _proposals(smooth, settings):
        regions = _regions(smooth < threshold, relaxed, frame, settings)
        if not regions:
            continue
        mask = _union(regions)
        enclosed = float(holes(mask)[1].sum()) / float(np.count_nonzero(mask))
        found = Found(mask, method, threshold, Features(len(regions), enclosed, _corners(mask, frame, _TIP) > 0))
        doubt = appraise(mask, found.features, settings).doubt
        if doubt < least:
            best, least = found, doubt
        if doubt <= 1.0:
            break
    return best


def _proposals(smooth: Array, settings: Settings) -> Iterator[tuple[str, float, bool]]:
    """Thresholds from the likeliest on: (name, threshold, whether regions may touch the border much)."""
    threshold = _otsu(smooth)
    # halfway values are opacities as often as edges: the threshold moves towards the median of the tissue
    threshold += settings.threshold_shift * (float(np.median(smooth[smooth >= threshold])) - threshold)
    yield "otsu", threshold, False
    yield "otsu, border allowed", threshold, True
    dark = smooth[smooth < threshold]
    if dark.size > 64 and float(np.ptp(dark)) > 0.02:  # fat and muscle may be dark too: split the dark side again
        low = _otsu(dark)
        yield "darker half", low, False
        yield "darker half, border allowed", low, True


def _otsu(values: Array) -> float:
    counts, edges = np.histogram(values, 256, (0.0, 1.0))
    middles = 0.5 * (edges[1:] + edges[:-1])
    return float(threshold_otsu(hist=(counts, middles)))  # type: ignore[no-untyped-call]


def _frame(grey: Array) -> _Frame:
    """Look through a bright, even frame: behind it, and its blurred edge, the corners of the actual picture begin."""

    def even(line: Array) -> bool:
        return bool(line.mean() > 0.65 and line.std() < 0.1)

    height, width = grey.shape
    top, bottom, left, right = 0, height, 0, width
    while top < _FRAME * height and even(grey[top]):
        top += 1
    while bottom > (1 - _FRAME) * height and even(grey[bottom - 1]):
        bottom -= 1
    while left < _FRAME * width and even(grey[top:bottom, left]):
        left += 1
    while right > (1 - _FRAME) * width and even(grey[top:bottom, right - 1]):
        right -= 1
    return _Frame(top + (top > 0), bottom - (bottom < height), left + (left > 0), right - (right < width))


def _corners(region: Mask, frame: _Frame, size: float) -> int:
    """In how many corners of the picture ``region`` lies; a corner's ``size`` is a part of the shorter side."""
    c = max(1, round(size * min(region.shape)))
    # the boxes reach out to the border: a thin dark line between picture and frame lies there
    top, bottom = slice(0, frame.top + c), slice(frame.bottom - c, None)
    left, right = slice(0, frame.left + c), slice(frame.right - c, None)
    return sum(bool(region[rows, columns].any()) for rows in (top, bottom) for columns in (left, right))


def _regions(dark: Mask, relaxed: bool, frame: _Frame, settings: Settings) -> list[Mask]:
    """Regions of ``dark`` that look like lungs, closed and filled, largest first."""
    labels, count = ndimage.label(dark)
    if count == 0:
        return []
    areas = np.bincount(labels.ravel())
    boxes = ndimage.find_objects(labels)
    least = settings.min_region * dark.size
    large = [int(i) for i in np.argsort(-areas[1:], kind="stable") + 1 if areas[i] >= least]
    walls = _near_walls(dark)
    radius = settings.closing * min(dark.shape)
    kept: list[Mask] = []
    spare: list[tuple[Mask, Mask]] = []  # closed and as they are
    largest = 0
    for label in large:
        if areas[label] < 0.1 * largest or len(kept) == settings.max_regions:
            break
        region = labels == label
        if _below_body(boxes[label - 1], region.shape):
            continue
        outside = _outside(region, relaxed, frame, float(areas[label]) / dark.size)
        if outside and relaxed:
            continue
        closed = _close_and_fill(region, boxes[label - 1], radius, settings.hole_share)
        if not outside and _lung_like(closed, region, walls, relaxed):
            largest = max(largest, int(areas[label]))
            kept.append(closed)
        elif not relaxed:
            spare.append((closed, region))
    if kept and len(kept) < settings.max_regions:
        kept += _partner(kept, spare, walls, frame)
    return kept


def _partner(kept: list[Mask], spare: list[tuple[Mask, Mask]], walls: Mask, frame: _Frame) -> list[Mask]:
    """The second lung where only one was found: it may touch the border more than a region on its own may."""
    first = _union(kept)
    if least_half(first) >= 0.05:
        return []
    area = float(np.count_nonzero(first))
    for closed, region in spare:
        size = float(np.count_nonzero(region))
        if (
            _PARTNER * area <= size <= area / _PARTNER
            and least_half(first | closed) >= 0.05
            and not _corners(region, frame, _TIP)
            and not _outside(region, True, frame, size / region.size)
            and _lung_like(closed, region, walls, True)
        ):
            return [closed]
    return []


def _union(regions: list[Mask]) -> Mask:
    mask = regions[0].copy()
    for region in regions[1:]:
        mask |= region
    return mask


def _near_walls(dark: Mask) -> Mask:
    """Pixels in or beside tissue that is thick enough to be body; beyond the border all is taken for tissue."""
    radius = max(1, round(_TISSUE * min(dark.shape)))
    margin = radius + 2
    thick = erode(np.pad(~dark, margin, constant_values=True), radius)
    return dilate(thick, radius + 2.5)[margin:-margin, margin:-margin]


def _below_body(box: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    rows, columns = box
    at_edge = rows.stop < _EDGE * shape[0] or rows.start > (1 - _EDGE) * shape[0]
    return bool(at_edge and columns.stop - columns.start > _WIDE * shape[1])


def _outside(region: Mask, relaxed: bool, frame: _Frame, share: float) -> bool:
    """Whether a region is air around the body: it fills corners, or runs along the upper or lower edge."""
    if _corners(region, frame, _CORNER) > 1:
        return True
    tip = _corners(region, frame, _TIP) > 0
    along = max(float(region[0].mean()), float(region[-1].mean()))
    if not relaxed:
        return tip or along > 0.15
    # a lung in a tight cut may reach into one corner; a wedge of air there is small
    return (tip and share <= 0.06) or along > 0.6 or share >= 0.75


def _lung_like(closed: Mask, region: Mask, walls: Mask, relaxed: bool) -> bool:
    """Whether a region has body around it on most sides and lies at the border with little of its outline."""
    edge = outline(closed)
    length = max(1, int(np.count_nonzero(edge)))
    enclosed = float(np.count_nonzero(walls & edge)) / length
    at_border = int(region[0].sum() + region[-1].sum() + region[:, 0].sum() + region[:, -1].sum())
    border = at_border / (at_border + length)
    if not relaxed:
        return enclosed > 0.75 and border < 0.3
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    flat = np.ptp(rows) + 1 < 0.2 * region.shape[0] and np.ptp(columns) + 1 > 0.3 * region.shape[1]
    strip = bool(flat and region[0].mean() + region[-1].mean() > 0.2)
    return enclosed > 0.6 and border < 0.45 and not strip


def _close_and_fill(region: Mask, box: tuple[slice, slice], radius: float, hole_share: float) -> Mask:
    """Take in vessels at the outline, and what lies wholly inside, up to ``hole_share`` of the region per hole.

    Larger holes are the heart or the liver, around which the two lungs have met.
    """
    margin = int(radius) + 2
    part = np.pad(region[box], margin)
    part = erode(dilate(part, radius), radius)[margin:-margin, margin:-margin]
    labels, areas = holes(part)
    if areas.any():
        part |= ((areas > 0) & (areas <= hole_share * float(np.count_nonzero(part))))[labels]
    closed = np.zeros_like(region)
    closed[box] = part
    return closed
