"""How far the lung mask of a slice can be believed: measured features, each against the limit of what is plausible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

LEAST_HALF = 0.05
"""Least part of a plausible mask that lies in the emptier half, left or right, of the slice."""
MOST_ENCLOSED = 0.35
"""Most that a plausible mask encloses, as a part of its own area: the heart, where the lungs meet around it."""


@dataclass(frozen=True)
class Settings:
    """Parameters of :func:`plr_fast.lung_mask`, documented there."""

    blur: float = 1 / 224
    threshold_shift: float = 0.35
    closing: float = 0.022
    hole_share: float = 0.12
    max_regions: int = 4
    min_region: float = 0.004
    min_share: float = 0.05
    max_share: float = 0.75
    working_size: int = 256


@dataclass(frozen=True)
class Features:
    """What a mask looks like, beyond its pixels."""

    regions: int
    """Number of dark regions that it was made of."""
    enclosed: float
    """What it encloses without covering it, as a part of its own area."""
    corner: bool
    """Whether it reaches into a corner of the slice."""


@dataclass(frozen=True)
class MaskQuality:
    """What is known about the mask of one slice."""

    ok: bool
    """Whether the mask is plausible; where False, it is a best guess and may be empty."""
    reason: str
    """Why it is not, in words; empty when ``ok``."""
    doubt: float
    """How near the mask is to being implausible: the largest of its features, each divided by its limit. At most 1
    where ``ok``, infinite where the mask is empty."""
    area_share: float
    """Part of the slice that the mask covers, 0..1."""
    components: int
    """Number of dark regions that the mask was made of (both lungs may be one, where they meet)."""
    touches_border: bool
    """Whether the mask reaches the border of the slice: common and harmless in tightly cut pictures."""
    least_half: float
    """Part of the mask that lies in the emptier half, left or right, of the slice, 0..0.5; 0 where it is empty."""
    enclosed: float
    """What the mask encloses without covering it, as a part of its own area."""
    method: str
    """Which proposal was taken: "otsu" or "darker half", perhaps with ", border allowed" behind it, or "none"; or the
    name of the network."""
    threshold: float
    """Grey value on the scale 0..1 below which a pixel was lung; NaN where nothing was found, or by a network."""


@dataclass(frozen=True)
class Appraisal:
    """``doubt`` and ``reason`` as in :class:`MaskQuality`."""

    doubt: float
    reason: str


def appraise(mask: Mask, features: Features, settings: Settings) -> Appraisal:
    """Hold each feature of ``mask`` [H, W] against its limit; the worst one is the reason."""
    share = int(np.count_nonzero(mask)) / mask.size
    if share == 0.0:
        return Appraisal(float("inf"), "nothing looks like a lung")
    half = least_half(mask)
    low, high = settings.min_share, settings.max_share
    doubts = (
        (low / share, f"the mask covers only {share:.1%} of the slice, less than {low:.1%}"),
        (share / high, f"the mask covers {share:.1%} of the slice, more than {high:.1%}"),
        (
            features.enclosed / MOST_ENCLOSED,
            f"the mask is a ring around {features.enclosed:.0%} of its own area, as a chest wall is: if air is white, "
            "invert the slice",
        ),
        (
            1.1 if features.corner else 0.0,
            "the mask reaches into a corner, as the air around the body does",
        ),
        (
            1.0 + LEAST_HALF - half if half < LEAST_HALF else LEAST_HALF / half,
            "the mask lies in one half of the slice: one lung was missed, or is not there",
        ),
    )
    doubt, reason = max(doubts, key=lambda pair: pair[0])
    return Appraisal(doubt, reason if doubt > 1.0 else "")


def judge(mask: Mask, features: Features, settings: Settings, method: str, threshold: float) -> MaskQuality:
    """The quality of ``mask`` [H, W]."""
    verdict = appraise(mask, features, settings)
    return MaskQuality(
        ok=not verdict.reason,
        reason=verdict.reason,
        doubt=verdict.doubt,
        area_share=int(np.count_nonzero(mask)) / mask.size,
        components=features.regions,
        touches_border=bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()),
        least_half=least_half(mask),
        enclosed=features.enclosed,
        method=method,
        threshold=threshold,
    )


def no_mask(reason: str) -> MaskQuality:
    """The quality of an empty mask, for slices that were not looked at."""
    return MaskQuality(False, reason, float("inf"), 0.0, 0, False, 0.0, 0.0, "none", float("nan"))


def least_half(mask: Mask) -> float:
    """Part of ``mask`` in the emptier of its left and right half, 0..0.5; 0 where it is empty."""
    half = mask.shape[1] // 2
    sides = (mask[:, :half], mask[:, mask.shape[1] - half :])
    return min(int(np.count_nonzero(side)) for side in sides) / max(1, int(np.count_nonzero(mask)))
