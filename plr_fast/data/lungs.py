"""Lung masks without a trained model, for slices as grey pictures or in Hounsfield units.

The paper does not say where its lung regions come from (section III.B only needs them as places to paste). This module
segments each slice on its own by threshold, connected regions and morphology, and says per slice whether the result is
plausible. Lung that is as dense as soft tissue (consolidation at the pleura, effusion) can't be found this way: give
own masks where that matters.
"""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch

from .lungs_quality import MaskQuality, Settings, judge

_LEAST_SIDE = 16
_HU_LOW, _HU_HIGH = -1000.0, 400.0


@overload
def lung_mask(
    images: torch.Tensor,
    *,
    return_quality: Literal[False] = ...,
    blur: float = ...,
    threshold_shift: float = ...,
    closing: float = ...,
    hole_share: float = ...,
    max_regions: int = ...,
    min_region: float = ...,
    min_share: float = ...,
    max_share: float = ...,
    working_size: int = ...,
) -> torch.Tensor: ...


@overload
def lung_mask(
    images: torch.Tensor,
    *,
    return_quality: Literal[True],
    blur: float = ...,
    threshold_shift: float = ...,
    closing: float = ...,
    hole_share: float = ...,
    max_regions: int = ...,
    min_region: float = ...,
    min_share: float = ...,
    max_share: float = ...,
    working_size: int = ...,
) -> tuple[torch.Tensor, list[MaskQuality]]: ...


@overload
def lung_mask(
    images: npt.NDArray[Any],
    *,
    return_quality: Literal[False] = ...,
    blur: float = ...,
    threshold_shift: float = ...,
    closing: float = ...,
    hole_share: float = ...,
    max_regions: int = ...,
    min_region: float = ...,
    min_share: float = ...,
    max_share: float = ...,
    working_size: int = ...,
) -> npt.NDArray[np.bool_]: ...


@overload
def lung_mask(
    images: npt.NDArray[Any],
    *,
    return_quality: Literal[True],
    blur: float = ...,
    threshold_shift: float = ...,
    closing: float = ...,
    hole_share: float = ...,
    max_regions: int = ...,
    min_region: float = ...,
    min_share: float = ...,
    max_share: float = ...,
    working_size: int = ...,
) -> tuple[npt.NDArray[np.bool_], list[MaskQuality]]: ...


def lung_mask(
    images: torch.Tensor | npt.NDArray[Any],
    *,
    return_quality: bool = False,
    blur: float = 1 / 224,
    threshold_shift: float = 0.35,
    closing: float = 0.022,
    hole_share: float = 0.12,
    max_regions: int = 4,
    min_region: float = 0.004,
    min_share: float = 0.05,
    max_share: float = 0.75,
    working_size: int = 256,
) -> Any:
    """Segment the lungs on each slice.

    Args:
        images: ``(H, W)``, ``(B, H, W)`` or ``(B, 1, H, W)``, each side at least 16, any memory layout, NumPy array or
            torch tensor on any device (the work is done on the CPU); lungs are darker than the tissue. Either
            uint8 grey, floating point grey in [0, 1], or int16 Hounsfield units (cut to -1000..400).
        return_quality: also return a :class:`MaskQuality` for each slice.
        blur: standard deviation of the blur before the threshold, as a fraction of the shorter side.
        threshold_shift: how far the threshold moves from Otsu's towards the median of the tissue, 0..1. Larger values
            take in more of ground-glass opacities and of the outline.
        closing: radius of the closing that takes in vessels at the outline, as a fraction of the shorter side.
        hole_share: largest hole that is filled, as a fraction of its region (a larger one is the heart or the liver).
        max_regions: most regions that are kept, largest first. Regions below a tenth of the largest are dropped.
        min_region: smallest region, as a fraction of the slice.
        min_share: smallest plausible part of the slice that is lung.
        max_share: largest plausible part.
        working_size: slices whose shorter side is about twice this or more are reduced by a whole factor first.

    Returns:
        A bool mask of the same kind, shape and device as ``images``; with ``return_quality=True`` a tuple of it and a
        list of B qualities (one for a single slice). A slice where no plausible lungs are found gets the best guess
        and ``ok=False`` with the reason; no slice raises for its content, unless it holds NaN or is out of range.

    Raises:
        TypeError: ``images`` is neither array nor tensor, or has another dtype.
        ValueError: wrong rank or size, NaN or infinity, grey outside [0, 1], int16 that is not HU, or a parameter out
            of range; the message names the slice or the parameter.
    """
    from .lungs_segment import segment

    settings = Settings(
        blur=_number("blur", blur, 0.0, 0.1),
        threshold_shift=_number("threshold_shift", threshold_shift, 0.0, 1.0),
        closing=_number("closing", closing, 0.0, 0.2),
        hole_share=_number("hole_share", hole_share, 0.0, 1.0),
        max_regions=int(_number("max_regions", max_regions, 1, 1000, whole=True)),
        min_region=_number("min_region", min_region, 0.0, 1.0),
        min_share=_number("min_share", min_share, 0.0, 1.0),
        max_share=_number("max_share", max_share, 0.0, 1.0),
        working_size=int(_number("working_size", working_size, 64, 100_000, whole=True)),
    )
    if settings.min_share >= settings.max_share:
        raise ValueError(f"min_share ({min_share}) must be below max_share ({max_share})")
    array = _as_array(images)
    slices = array.reshape(-1, *array.shape[-2:]) if array.ndim != 2 else array[None]
    _check_values(slices)
    masks = np.zeros(slices.shape, np.bool_)
    qualities: list[MaskQuality] = []
    for index, picture in enumerate(slices):
        found = segment(_grey(picture), settings)
        masks[index] = found.mask
        qualities.append(judge(found.mask, found.features, settings, found.method, found.threshold))
    result: torch.Tensor | npt.NDArray[np.bool_] = masks.reshape(array.shape)
    if isinstance(images, torch.Tensor):
        result = torch.from_numpy(result).to(images.device)
    return (result, qualities) if return_quality else result


def _as_array(images: object) -> npt.NDArray[Any]:
    """Check kind, dtype and shape, and view the images as a NumPy array."""
    if isinstance(images, torch.Tensor):
        dtype, good = str(images.dtype).removeprefix("torch."), images.dtype in (torch.uint8, torch.int16)
        good = good or images.dtype.is_floating_point
        shape = tuple(images.shape)
    elif isinstance(images, np.ndarray):
        dtype, good = str(images.dtype), images.dtype in (np.uint8, np.int16) or images.dtype.kind == "f"
        shape = images.shape
    else:
        raise TypeError(f"images must be a NumPy array or a torch tensor, got {type(images).__name__}")
    if not good:
        raise TypeError(
            f"images must be uint8 grey, floating point grey in [0, 1] or int16 Hounsfield units, got {dtype}: convert "
            "with .astype(...) or .to(...), scaling the values if need be"
        )
    if len(shape) not in (2, 3, 4) or (len(shape) == 4 and shape[1] != 1):
        raise ValueError(f"images must have shape (H, W), (B, H, W) or (B, 1, H, W), got {shape}")
    if min(shape[-2:]) < _LEAST_SIDE:
        raise ValueError(f"images must be at least {_LEAST_SIDE} pixels high and wide, got {shape[-2]}x{shape[-1]}")
    if isinstance(images, torch.Tensor):
        host = images.detach().cpu()
        wide: npt.NDArray[Any] = (host.float() if host.is_floating_point() else host).numpy()  # NumPy has no bfloat16
        return wide
    return images


def _check_values(slices: npt.NDArray[Any]) -> None:
    """Refuse NaN, grey outside [0, 1] and grey in disguise, before any slice is worked on. ``slices`` is [B, H, W]."""
    if slices.dtype.kind == "f":
        for index, picture in enumerate(slices):  # slice by slice: no temporary as large as the batch
            if not np.isfinite(picture).all():
                raise ValueError(f"images[{index}] holds NaN or infinity: mend or leave out that slice")
            low, high = float(picture.min()), float(picture.max())
            if low < -1e-3 or high > 1.0 + 1e-3:
                raise ValueError(
                    f"images[{index}] has values {low:.4g}..{high:.4g}, floating point grey must lie in [0, 1]: divide "
                    "8-bit values by 255, or pass Hounsfield units as int16"
                )
    elif slices.dtype == np.int16 and slices.size:
        low, high = int(slices.min()), int(slices.max())
        if low < 0 or high > 255 or high - low < 100:  # fat and air are negative: a chest in HU never looks like this
            return
        raise ValueError(
            f"images is int16, which is read as Hounsfield units, but holds only {low}..{high} as "
            "8-bit grey does: convert with .astype('uint8') or .to(torch.uint8)"
        )


def _grey(picture: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """One slice [H, W] as float32 in 0..1."""
    grey = picture.astype(np.float32)
    if picture.dtype == np.uint8:
        grey *= np.float32(1 / 255)
    elif picture.dtype == np.int16:
        grey = (grey - np.float32(_HU_LOW)) * np.float32(1.0 / (_HU_HIGH - _HU_LOW))
    return np.clip(grey, 0.0, 1.0)


def _number(name: str, value: object, low: float, high: float, *, whole: bool = False) -> float:
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(f"{name} must be {'an integer' if whole else 'a number'}, got {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number) or not low <= number <= high:
        raise ValueError(f"{name} must lie in {low:g}..{high:g}, got {value}")
    return number
