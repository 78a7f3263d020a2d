"""Which way is up: from direction cosines to the display convention of all stored slices.

The convention is the radiological one: axial slices, row 0 at the front of the patient (anterior), column 0 at the
patient's right. Directions are unit vectors in DICOM's patient coordinates: +x to the patient's left, +y to the back,
+z to the head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_ANGLE = 30.0
"""Degrees by which the axes of a scan may stand off the patient's: gantries tilt no further."""


@dataclass(frozen=True)
class AxialView:
    """How stored pixels are turned into the display convention; by flips and transposition only, so exactly."""

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    angle: float = 0.0
    """Largest angle in degrees between an axis of the slice, or its normal, and the nearest axis of the patient."""

    def apply(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """``pixels`` (H, W) in the display convention, contiguous; (W, H) where rows and columns change places."""
        turned = pixels.T if self.transpose else pixels
        return np.ascontiguousarray(turned[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1])

    def spacing(self, row_step: float, column_step: float) -> tuple[float, float]:
        """Spacing (y, x) of the turned picture."""
        return (column_step, row_step) if self.transpose else (row_step, column_step)


def normal(along_rows: Sequence[float], along_columns: Sequence[float]) -> npt.NDArray[np.float64]:
    """Unit normal of a slice, on the side of the head (z ≥ 0).

    Args:
        along_rows: direction in which the column index grows.
        along_columns: direction in which the row index grows.

    Raises:
        ValueError: the directions are not two unit vectors at right angles (beyond rounding of 0.01).
    """
    first, second = np.asarray(along_rows, dtype=np.float64), np.asarray(along_columns, dtype=np.float64)
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    if not (np.allclose(lengths, 1.0, atol=0.01) and abs(float(first @ second)) < 0.01):  # also false for NaN
        raise ValueError("directions must be two unit vectors at right angles")
    found: npt.NDArray[np.float64] = np.cross(first / lengths[0], second / lengths[1])
    return -found if found[2] < 0 else found


def plane_name(direction: npt.NDArray[np.float64]) -> str:
    """ "axial", "coronal", "sagittal" after the nearest axis of a slice's normal, or "oblique" beyond MAX_ANGLE."""
    axis = int(np.argmax(np.abs(direction)))
    if _angle(float(np.abs(direction[axis]))) > MAX_ANGLE:
        return "oblique"
    return ("sagittal", "coronal", "axial")[axis]


def axial_view(along_rows: Sequence[float], along_columns: Sequence[float]) -> AxialView:
    """The view of an axial slice; arguments and errors as :func:`normal`."""
    direction = normal(along_rows, along_columns)
    across, down = np.asarray(along_rows, dtype=np.float64), np.asarray(along_columns, dtype=np.float64)
    transpose = bool(abs(across[0]) < abs(across[1]))
    if transpose:
        across, down = down, across
    cosines = (abs(across[0]), abs(down[1]), abs(direction[2]))
    return AxialView(
        transpose=transpose,
        flip_rows=bool(down[1] < 0),
        flip_columns=bool(across[0] < 0),
        angle=max(_angle(float(cosine)) for cosine in cosines),
    )


def _angle(cosine: float) -> float:
    return math.degrees(math.acos(min(1.0, cosine)))
