"""Lung masks without a trained model, for slices as grey pictures or in Hounsfield units.

The paper does not say where its lung regions come from (section III.B only needs them as places to paste). This module
segments each slice on its own by threshold, connected regions and morphology, and says per slice whether the result is
plausible. Lung that is as dense as soft tissue (consolidation at the pleura, effusion) can't be found this way: give
own masks where that matters, or, for volumes in Hounsfield units, those of a trained network (``lungs.r231``).
"""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from .quality import MaskQuality, Settings, judge

if TYPE_CHECKING:
    import torch
    from typing_extensions import TypeIs  # of the type checker; not needed to run

__all__ = ["MASK_VERSION", "MaskQuality", "lung_mask", "mask_recipe"]

MASK_VERSION = 2
"""Goes up whenever the same slice and parameters may give another mask; kept with stored masks."""

Units: TypeAlias = Literal["auto", "grey", "hounsfield"]

_LEAST_SIDE = 16
_HU_LOW, _HU_HIGH = -1000.0, 400.0


@overload
def lung_mask(
    images: torch.Tensor,
    *,
    units: Units = ...,
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
    units: Units = ...,
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
    units: Units = ...,
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
    units: Units = ...,
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
    units: Units = "auto",
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
    """Segment the lungs on each slice, without a trained model.

    Slices are judged one by one, each with the front or the back of the body up. Flipping a slice flips its mask; the
    masks of a slice lying on its side may differ where the lungs touch the border.

    Args:
        images: ``(H, W)``, ``(B, H, W)`` or ``(B, 1, H, W)``, each side at least 16, any memory layout, NumPy array or
            torch tensor on any device (the work is done on the CPU); lungs are darker than the tissue.
        units: "auto": uint8 is grey, floating point is grey in [0, 1], int16 is Hounsfield units. "grey": the first two
            only. "hounsfield": int16, int32 or floating point HU, slope and intercept applied. HU are cut to
            -1000..400, so that padding of any value below air is air.
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
        list of B qualities (one for a single slice). A slice where no plausible lungs are found (too little or too
        much area, one lung only, a ring around brighter parts as on inverted slices, air in a corner) gets the best
        guess and ``ok=False`` with the reason; no slice raises for its content, unless it holds NaN or is out of range.

    Raises:
        TypeError: ``images`` is neither array nor tensor, or has another dtype.
        ValueError: wrong rank or size, NaN or infinity, grey outside [0, 1], values that cannot be HU, or a parameter
            out of range; the message names the slice or the parameter.
    """
    from .segment import segment

    settings = check_settings(
        blur=blur, threshold_shift=threshold_shift, closing=closing, hole_share=hole_share, max_regions=max_regions,
        min_region=min_region, min_share=min_share, max_share=max_share, working_size=working_size,
    )  # fmt: skip
    if units not in ("auto", "grey", "hounsfield"):
        raise ValueError(f"units must be 'auto', 'grey' or 'hounsfield', not {units!r}")
    array = as_array(images)
    hounsfield = is_hounsfield(array.dtype, units)
    slices = array.reshape(-1, *array.shape[-2:]) if array.ndim != 2 else array[None]
    check_values(slices, hounsfield)
    masks = np.zeros(slices.shape, np.bool_)
    qualities: list[MaskQuality] = []
    for index, picture in enumerate(slices):
        found = segment(_grey(picture, hounsfield), settings)
        masks[index] = found.mask
        qualities.append(judge(found.mask, found.features, settings, found.method, found.threshold))
    result: torch.Tensor | npt.NDArray[np.bool_] = masks.reshape(array.shape)
    if _is_tensor(images):
        result = sys.modules["torch"].from_numpy(result).to(images.device)
    return (result, qualities) if return_quality else result


def mask_recipe(**parameters: float) -> dict[str, Any]:
    """What a mask of :func:`lung_mask` with these parameters depends on beside the slice: JSON values.

    Two masks of equal slices are equal where their recipes are. Holds "method", "version" (:data:`MASK_VERSION`) and
    "parameters" (all of them, defaults included).

    Raises:
        TypeError, ValueError: a parameter is unknown, of the wrong type or out of range.
    """
    known = {field.name for field in fields(Settings)}
    for name in parameters:
        if name not in known:
            raise TypeError(f"lung_mask has no parameter {name!r} that a mask depends on; there are {sorted(known)}")
    return {"method": "threshold", "version": MASK_VERSION, "parameters": asdict(check_settings(**parameters))}


def check_settings(**values: Any) -> Settings:
    """The settings with these values, defaults elsewhere. Raises ``TypeError`` or ``ValueError``."""
    ranges = {
        "blur": (0.0, 0.1), "threshold_shift": (0.0, 1.0), "closing": (0.0, 0.2), "hole_share": (0.0, 1.0),
        "max_regions": (1, 1000), "min_region": (0.0, 1.0), "min_share": (0.0, 1.0), "max_share": (0.0, 1.0),
        "working_size": (64, 100_000),
    }  # fmt: skip
    checked: dict[str, Any] = {}
    for name, (low, high) in ranges.items():
        whole = isinstance(low, int)
        number = _number(name, values.get(name, getattr(Settings, name)), low, high, whole=whole)
        checked[name] = int(number) if whole else number
    if checked["min_share"] >= checked["max_share"]:
        raise ValueError(f"min_share ({checked['min_share']}) must be below max_share ({checked['max_share']})")
    return Settings(**checked)


def _is_tensor(images: object) -> TypeIs[torch.Tensor]:
    # Who has a tensor has torch loaded; those who prepare slices on many cores do without its seconds and its memory.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(images, torch.Tensor)


def as_array(images: object) -> npt.NDArray[Any]:
    """Check kind and shape, and view the images as a NumPy array."""
    if _is_tensor(images):
        shape = tuple(images.shape)
    elif isinstance(images, np.ndarray):
        shape = images.shape
    else:
        raise TypeError(f"images must be a NumPy array or a torch tensor, got {type(images).__name__}")
    if len(shape) not in (2, 3, 4) or (len(shape) == 4 and shape[1] != 1):
        raise ValueError(f"images must have shape (H, W), (B, H, W) or (B, 1, H, W), got {shape}")
    if min(shape[-2:]) < _LEAST_SIDE:
        raise ValueError(f"images must be at least {_LEAST_SIDE} pixels high and wide, got {shape[-2]}x{shape[-1]}")
    if _is_tensor(images):
        host = images.detach().cpu()
        wide: npt.NDArray[Any] = (host.float() if str(host.dtype) == "torch.bfloat16" else host).numpy()
        return wide
    return images


def is_hounsfield(dtype: np.dtype[Any], units: Units) -> bool:
    """Whether values of ``dtype`` are Hounsfield units; refuses what ``units`` does not allow."""
    if units == "hounsfield":
        if dtype in (np.int16, np.int32) or dtype.kind == "f":
            return True
        raise TypeError(
            f"images must be int16, int32 or floating point Hounsfield units, got {dtype}: 8-bit pictures are no HU "
            "(leave units at 'auto'), stored values need the scan's slope and intercept first"
        )
    if dtype == np.uint8 or dtype.kind == "f":
        return False
    if dtype == np.int16 and units == "auto":
        return True
    wanted = "uint8 grey, floating point grey in [0, 1]" + (" or int16 Hounsfield units" if units == "auto" else "")
    raise TypeError(f"images must be {wanted}, got {dtype}: convert with .astype(...) or .to(...), scaling if need be")


def check_values(slices: npt.NDArray[Any], hounsfield: bool) -> None:
    """Refuse NaN, grey outside [0, 1] and grey in disguise, before any slice is worked on. ``slices`` is [B, H, W]."""
    if not slices.size or slices.dtype == np.uint8:
        return
    lows, highs = [], []
    for index, picture in enumerate(slices):  # slice by slice: no temporary as large as the batch
        low, high = float(picture.min()), float(picture.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"images[{index}] holds NaN or infinity: mend or leave out that slice")
        if not hounsfield and (low < -1e-3 or high > 1.0 + 1e-3):
            raise ValueError(
                f"images[{index}] has values {low:.4g}..{high:.4g}, floating point grey must lie in [0, 1]: divide "
                "8-bit values by 255; for Hounsfield units give units='hounsfield', or pass them as int16"
            )
        lows.append(low)
        highs.append(high)
    if hounsfield:
        _check_hounsfield(slices.dtype, min(lows), max(highs))


def _check_hounsfield(dtype: np.dtype[Any], low: float, high: float) -> None:
    if low < 0:  # fat and air are negative: a chest in HU is never without
        return
    what = f"images is {dtype} read as Hounsfield units, but holds only {low:g}..{high:g}"
    if high <= 255 and (high - low >= 100 or (0 < high <= 1 and high > low)):
        raise ValueError(f"{what} as grey pictures do: convert with .astype('uint8') or .to(torch.uint8), or give "
                         "floating point grey in [0, 1] with units='auto'")  # fmt: skip
    if high >= 500:
        raise ValueError(f"{what}, nothing below water: apply the scan's slope and intercept (often -1024) first")


def _grey(picture: npt.NDArray[Any], hounsfield: bool) -> npt.NDArray[np.float32]:
    """One slice [H, W] as float32 in 0..1."""
    grey = picture.astype(np.float32)
    if picture.dtype == np.uint8:
        grey *= np.float32(1 / 255)
    elif hounsfield:
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
