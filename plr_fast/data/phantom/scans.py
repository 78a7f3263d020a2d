"""A seeded thorax phantom: chest-CT-like slices with lung masks, labels and lesions, made from nothing.

It lets every part of the package run, be tested and be measured without patient data. It is a stand-in, not a model of
disease: figures obtained on it say whether a method works at all, and nothing about patients.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plr_fast.data.phantom.fields import Stream, stream
from plr_fast.data.phantom.render import Scan
from plr_fast.ops.arguments import require_memory

_SMALLEST, _LARGEST = 32, 2048


@dataclass(frozen=True)
class Phantom:
    """Slices of all patients, patient after patient, N = patients × slices per patient."""

    slices: npt.NDArray[np.uint8]
    """[N, S, S], grey 0..255 in a lung window that differs between patients."""
    masks: npt.NDArray[np.bool_]
    """[N, S, S], True in the lungs: the exact shape, vessels and opacities included, airways outside them left out."""
    lesions: npt.NDArray[np.bool_]
    """[N, S, S], True where an opacity is visible; within ``masks``, and empty for negative slices."""
    labels: npt.NDArray[np.int8]
    """[N], 1 where the slice shows opacities, else 0; the same for all slices of a patient."""
    patients: list[str]
    """Patient id of each slice, N of them: ``phantom-0000``, ``phantom-0001``, …"""
    levels: npt.NDArray[np.float32]
    """[N], 0 at the apex of the lungs to 1 at their base, increasing within a patient."""

    def __len__(self) -> int:
        return int(self.slices.shape[0])


def thorax_phantom(
    patients: int = 40,
    slices_per_patient: int = 10,
    size: int = 128,
    *,
    positive_share: float = 0.5,
    seed: int = 0,
) -> Phantom:
    """Make chest-CT-like slices of ``patients`` invented patients.

    Patient ``k`` depends on ``seed`` and ``k`` (and on ``slices_per_patient``, ``size``, ``positive_share``), never on
    how many patients there are. With another ``positive_share`` the patients' bodies stay and some labels change.
    Body, scanner, display and confounders (dependent density, motion, bands, mosaic aeration) are drawn alike for
    both classes; only positive patients have ground-glass-like opacities, in each of their slices, made without
    gradient noise.

    Args:
        patients: number of patients, at least 1.
        slices_per_patient: slices of each, spread over the height of the lungs; at least 1.
        size: height and width of a slice in pixels, 32..2048.
        positive_share: part of the patients that is positive, 0..1; positives are spread evenly over the numbers.
        seed: any non-negative integer.

    Returns:
        A :class:`Phantom` with ``patients * slices_per_patient`` slices.

    Raises:
        TypeError: an integer argument is not an integer.
        ValueError: an argument is out of range.
        MemoryError: the arrays would not fit into memory.
    """
    patients = _integer("patients", patients, 1, 1_000_000)
    slices_per_patient = _integer("slices_per_patient", slices_per_patient, 1, 10_000)
    size = _integer("size", size, _SMALLEST, _LARGEST)
    seed = _integer("seed", seed, 0, 2**128 - 1)
    if isinstance(positive_share, bool) or not isinstance(positive_share, (int, float, np.floating)):
        raise TypeError(f"positive_share must be a number in 0..1, got {type(positive_share).__name__}")
    if not 0.0 <= positive_share <= 1.0:
        raise ValueError(f"positive_share must lie in 0..1, got {positive_share}")

    count = patients * slices_per_patient
    require_memory(3 * count * size * size, f"a phantom of {count} slices of {size}x{size} with masks")
    slices = np.empty((count, size, size), np.uint8)
    masks = np.empty((count, size, size), np.bool_)
    lesions = np.empty((count, size, size), np.bool_)
    labels = np.empty(count, np.int8)
    levels = np.empty(count, np.float32)
    for number in range(patients):
        positive = _is_positive(number, float(positive_share))
        scan = Scan(seed, number, size, positive)
        # one level in each of equal parts of the lungs; the outermost few per cent show no lung worth a slice
        jitter = stream(seed, Stream.LEVEL, number).uniform(0.1, 0.9, slices_per_patient)
        for index in range(slices_per_patient):
            row = number * slices_per_patient + index
            level = 0.10 + 0.82 * (index + float(jitter[index])) / slices_per_patient
            slices[row], masks[row], lesions[row] = scan.slice(level, index)
            labels[row], levels[row] = positive, level
    names = [f"phantom-{number:04d}" for number in range(patients) for _ in range(slices_per_patient)]
    return Phantom(slices, masks, lesions, labels, names, levels)


def _is_positive(number: int, share: float) -> bool:
    """Whether the running count of positives steps up at this patient, so that shares are exact at any count."""
    tiny = 1e-9  # 0.1 * 10 must count as 1
    return int(np.floor((number + 1) * share + tiny)) > int(np.floor(number * share + tiny))


def _integer(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got bool")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} must lie in {low}..{high}, got {number}")
    return number
