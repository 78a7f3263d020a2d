"""Body, lungs, mediastinum and bones of the thorax phantom: what a patient is, and one slice of it as shapes.

Lengths are in cm. ``level`` runs from 0 (apex of the lungs) to 1 (deepest costophrenic angle). The lungs are the inside
of the rib cage less the mediastinum and the diaphragm, which gives them their concave medial border, the gutters beside
the spine, and two separate fields, at every level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plr_fast.data.phantom.fields import (
    Array,
    Grid,
    Stream,
    capsule,
    ellipse,
    ramp,
    smooth_max,
    smooth_min,
    stream,
)


@dataclass(frozen=True)
class Patient:
    """Anatomy of one patient, drawn once; every slice is a cut through the same body."""

    seed: int
    number: int
    scale: float
    """Overall size, about 1."""
    cage_x: float
    """Half width of the inside of the rib cage at its widest, cm."""
    cage_y: float
    """Half depth of the inside of the rib cage at its deepest, cm."""
    exponent: float
    """Squareness of the cage: 2 is an ellipse."""
    wobble: tuple[tuple[float, float], ...]
    """Amplitude and phase of the outline's 2nd to 5th harmonics: no chest is symmetric."""
    wall: float
    """Thickness of ribs and muscle, cm."""
    fat: float
    """Mean thickness of the fat under the skin, cm."""
    breast: float
    """Additional fat in front of the chest, cm."""
    height: float
    """Height of the lungs, cm: what a level of 1 stands for."""
    heart: float
    """Size of the heart, about 1."""
    heart_angle: float
    """Direction of the heart's long axis, radians."""
    mediastinum: float
    """Width of the mediastinum, about 1."""
    dome_right: float
    """Level of the top of the right half of the diaphragm; the left lies ``dome_gap`` lower."""
    dome_gap: float
    rib_phase: float
    rib_slope: float

    @classmethod
    def draw(cls, seed: int, number: int) -> Patient:
        """Patient ``number`` of ``seed``, independent of how many others there are."""
        rng = stream(seed, Stream.ANATOMY, number)
        scale = float(np.clip(rng.normal(1.0, 0.07), 0.85, 1.15))
        return cls(
            seed=seed,
            number=number,
            scale=scale,
            cage_x=13.0 * scale * float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.12)),
            cage_y=9.6 * scale * float(np.clip(rng.normal(1.0, 0.08), 0.82, 1.2)),
            exponent=float(rng.uniform(1.95, 2.45)),
            wobble=tuple((float(rng.normal(0.0, 0.011)), float(rng.uniform(0, 2 * np.pi))) for _ in range(4)),
            wall=float(rng.uniform(1.2, 1.8)) * scale,
            fat=float(np.clip(rng.lognormal(0.1, 0.45), 0.5, 3.0)),
            breast=float(rng.uniform(0.8, 3.0)) if rng.random() < 0.45 else float(rng.uniform(0.0, 0.5)),
            height=float(rng.uniform(20.0, 26.0)) * scale,
            heart=float(np.clip(rng.normal(1.0, 0.09), 0.8, 1.25)),
            heart_angle=-float(rng.uniform(0.35, 0.95)),
            mediastinum=float(np.clip(rng.normal(1.0, 0.13), 0.75, 1.35)),
            dome_right=float(rng.uniform(0.74, 0.86)),
            dome_gap=float(rng.uniform(0.01, 0.07)),
            rib_phase=float(rng.uniform(0.0, 1.0)),
            rib_slope=float(rng.uniform(2.0, 3.2)),
        )

    def cage_at(self, level: float) -> tuple[float, float, float]:
        """Half width, half depth and vertical centre of the cage: a dome that widens downwards."""
        grow = 1.0 - (1.0 - min(level, 1.0)) ** 2.4
        return (
            self.cage_x * (0.58 + 0.42 * grow),
            self.cage_y * (0.62 + 0.38 * grow),
            1.4 * self.scale * (1.0 - grow),
        )

    @property
    def body_half(self) -> tuple[float, float]:
        """Half width and half depth of the whole body, cm, for choosing a field of view."""
        thick = self.wall + self.fat + 0.2
        return self.cage_x + thick + 0.8, self.cage_y + thick + 0.4 * self.breast + 0.8


@dataclass(frozen=True)
class Section:
    """One slice as signed distances in cm (negative inside), ``[S, S]`` each."""

    level: float
    body: Array
    cage: Array
    fat: Array
    """Negative where the fat under the skin has ended."""
    mediastinum: Array
    organs: tuple[tuple[Array, float], ...]
    """Shapes inside the mediastinum and the abdomen with their density in HU, in the order of drawing."""
    bones: tuple[tuple[Array, float, float], ...]
    """Shape, density of the marrow, density of the cortex (HU)."""
    airways: tuple[tuple[Array, float], ...]
    """Large airways: shape of the lumen and thickness of the wall in cm."""
    lungs: Array
    side: Array
    """-1 in the half of the patient's right lung (left in the picture), 1 in the other."""


def cut(patient: Patient, level: float, grid: Grid) -> Section:
    """The shapes of one slice."""
    half_x, half_y, centre_y = patient.cage_at(level)
    cage, body, inner_fat = _outlines(patient, level, grid)
    s = patient.scale
    spine_y = centre_y + 0.80 * half_y
    mediastinum, organs = _mediastinum(patient, level, grid, spine_y)
    liver = _diaphragm(patient, level, grid)
    solid = mediastinum
    for shape in liver:
        solid = smooth_min(solid, shape, 0.5)
    lungs = smooth_max(cage + np.float32(0.2), -solid, 0.9 * s)
    middle = np.float32(0.35 * s * ramp(level, 0.4, 0.7))
    side = np.where(grid.x < middle, np.float32(-1.0), np.float32(1.0))
    return Section(
        level=level,
        body=body,
        cage=cage,
        fat=inner_fat,
        mediastinum=mediastinum,
        organs=(*organs, *((shape, 55.0) for shape in liver)),
        bones=_bones(patient, level, grid, cage, (half_x, half_y, centre_y), spine_y),
        airways=_large_airways(patient, level, grid, spine_y),
        lungs=lungs,
        side=side,
    )


def _outlines(patient: Patient, level: float, grid: Grid) -> tuple[Array, Array, Array]:
    half_x, half_y, centre_y = patient.cage_at(level)
    dy = grid.y - np.float32(centre_y)
    # anterior chest is flatter than the back
    depth = np.where(dy < 0, np.float32(0.94 * half_y), np.float32(1.06 * half_y))
    u, v = np.abs(grid.x) / np.float32(half_x), np.abs(dy) / depth
    p = np.float32(patient.exponent)
    g = (u**p + v**p) ** (np.float32(1.0) / p) + np.float32(1e-5)
    radius = np.hypot(grid.x, dy)
    theta = np.arctan2(dy, grid.x)
    wobble = np.ones_like(theta)
    for harmonic, (amplitude, phase) in enumerate(patient.wobble, start=2):
        wobble += np.float32(amplitude) * np.cos(np.float32(harmonic) * theta + np.float32(phase))
    cage = radius * (np.float32(1.0) - wobble / g)
    # shoulders and back muscles thicken the wall towards the apex, breasts in front, less fat over the spine
    up = ramp(1.0 - level, 0.45, 1.0)
    lateral = np.abs(np.cos(theta))
    front = np.clip(-np.sin(theta), 0.0, 1.0)
    muscle = patient.wall + np.float32(3.2 * up * patient.scale) * lateral + np.float32(1.4 * up) * front
    muscle += np.float32(0.9) * np.clip(np.sin(theta), 0.0, 1.0) ** 4
    bump = np.exp(-(((np.abs(np.cos(theta)) - np.float32(0.55)) / np.float32(0.3)) ** 2)) * front
    breast = patient.breast * (1.0 - abs(level - 0.55) / 0.55)
    fat = (
        np.float32(patient.fat) * (np.float32(0.75) + np.float32(0.45) * lateral) + np.float32(max(breast, 0.0)) * bump
    )
    inner_fat = cage - muscle.astype(np.float32)
    body = inner_fat - fat - np.float32(0.15)
    return cage.astype(np.float32), body.astype(np.float32), inner_fat.astype(np.float32)


def _mediastinum(patient: Patient, level: float, grid: Grid, spine_y: float) -> tuple[Array, list[tuple[Array, float]]]:
    _, half_y, centre_y = patient.cage_at(level)
    s, wide = patient.scale, patient.mediastinum
    organs: list[tuple[Array, float]] = []

    # the strip from breastbone to spine: broad in the middle, narrow where the lungs nearly meet in front
    v = (grid.y - np.float32(centre_y)) / np.float32(half_y)
    belly = 2.9 * wide * s * (1.0 - 0.35 * ramp(level, 0.55, 0.8)) * (0.8 + 0.2 * ramp(level, 0.0, 0.2))
    waist = np.float32(0.55 * s * wide) + np.float32(belly) * np.exp(-(((v - np.float32(0.1)) / np.float32(0.62)) ** 2))
    waist += np.float32(1.1 * s) * np.clip(-v - np.float32(0.75), 0.0, 0.4)
    shape = np.abs(grid.x) - waist
    # the anterior part ends in a narrow junction once the vessels of the neck are passed
    shape = smooth_min(shape, ellipse(grid, 0.0, spine_y, 2.5 * s, 2.3 * s), 0.8)
    back = np.maximum(np.abs(grid.x) - np.float32(1.9 * s), np.float32(spine_y) - grid.y)
    shape = smooth_min(shape, back, 0.5)

    aorta = ellipse(grid, 1.9 * s, spine_y - 2.4 * s, 1.2 * s, 1.2 * s)
    if level < 0.28:
        for x, y, r in ((-2.0, -2.2, 0.75), (-0.6, -3.0, 0.6), (1.2, -2.0, 0.55), (2.2, -0.4, 0.6)):
            organs.append((ellipse(grid, x * s, centre_y + y * s, r * s, r * s), 60.0))
    arch = ramp(level, 0.24, 0.29) * (1.0 - ramp(level, 0.34, 0.39))
    if arch > 0.05:
        limb = capsule(grid, (-1.3 * s, centre_y - 3.0 * s), (2.3 * s, spine_y - 3.2 * s), 1.35 * s * arch)
        organs.append((limb, 65.0))
        shape = smooth_min(shape, limb - np.float32(0.35), 0.7)
    if level > 0.31:
        organs.append((aorta, 65.0))
        shape = smooth_min(shape, aorta - np.float32(0.25), 0.8)
    hilum = ramp(level, 0.36, 0.44) * (1.0 - ramp(level, 0.54, 0.64))
    if hilum > 0.05:
        for sign, reach, drop in ((-1.0, 4.6, 0.9), (1.0, 4.3, 0.2)):
            start, end = (sign * s, centre_y - 1.2 * s), (sign * reach * s * wide, centre_y + drop * s)
            limb = capsule(grid, start, end, 1.05 * s * hilum)
            organs.append((limb, 70.0))
            shape = smooth_min(shape, limb - np.float32(0.15), 0.9)
    if 0.31 < level < 0.6:
        organs.append((ellipse(grid, -1.5 * s, centre_y - 3.2 * s, 1.5 * s, 1.5 * s), 65.0))
    beat = ramp(level, 0.40, 0.58) * (1.0 - 0.55 * ramp(level, 0.86, 1.0))
    if beat > 0.05:
        rx, ry = 5.9 * s * patient.heart * beat, 4.5 * s * patient.heart * beat
        cx, cy = 1.7 * s, centre_y - 0.30 * half_y
        heart = ellipse(grid, cx, cy, rx, ry, patient.heart_angle)
        organs.append((heart, 50.0))
        left = ellipse(grid, cx + 1.4 * s, cy - 0.6 * s, 0.45 * rx, 0.42 * ry, patient.heart_angle)
        organs.append((left, 85.0))
        shape = smooth_min(shape, heart - np.float32(0.35), 1.2)
        # the fat pad that fills the corner between heart and chest wall
        corner = ellipse(grid, cx - 0.2 * rx, cy - 0.95 * ry, 0.75 * rx, 0.5 * ry)
        shape = smooth_min(shape, corner, 1.0)
    organs.append((ellipse(grid, 0.4 * s, spine_y - 3.0 * s, 0.75 * s, 0.55 * s), 30.0))  # oesophagus
    return shape, organs


def _diaphragm(patient: Patient, level: float, grid: Grid) -> list[Array]:
    half_x, half_y, centre_y = patient.cage_at(level)
    shapes = []
    # the liver fills the right half; the left dome is smaller, lies further out and leaves room under the heart
    for sign, top, shift, rx, ry in (
        (-1.0, patient.dome_right, 0.42, 0.60, 0.80),
        (1.0, patient.dome_right + patient.dome_gap + 0.03, 0.50, 0.42, 0.66),
    ):
        depth = (level - top) / 0.36
        if depth <= 0.0:
            continue
        size = float(np.sqrt(max(1.0 - (1.0 - min(depth, 1.0)) ** 2, 0.0)))
        low = centre_y + (0.02 if sign > 0 else -0.10) * half_y
        shapes.append(ellipse(grid, sign * shift * half_x, low, rx * half_x * size, ry * half_y * size, -0.25 * sign))
    return shapes


def _large_airways(patient: Patient, level: float, grid: Grid, spine_y: float) -> tuple[tuple[Array, float], ...]:
    s = patient.scale
    y = spine_y - 4.4 * s
    carina = 0.40
    if level < carina - 0.03:
        return ((ellipse(grid, -0.2 * s, y, 0.85 * s, 0.95 * s), 0.15 * s),)
    if level > 0.62:
        return ()
    spread = (level - carina + 0.06) / 0.22
    shapes = []
    for sign, reach in ((-1.0, 3.6), (1.0, 4.0)):
        x0, x1 = sign * max(reach * spread - 0.9, 0.25) * s, sign * (reach * spread + 0.5) * s
        radius = (0.78 - 0.35 * min(spread, 1.0)) * s
        shapes.append((capsule(grid, (x0, y + 0.5 * s * spread), (x1, y + 0.9 * s * spread), radius), 0.12 * s))
    return tuple(shapes)


def _bones(
    patient: Patient, level: float, grid: Grid, cage: Array, outline: tuple[float, float, float], spine_y: float
) -> tuple[tuple[Array, float, float], ...]:
    half_x, half_y, centre_y = outline
    s = patient.scale
    bones: list[tuple[Array, float, float]] = []
    # ribs: arcs in the wall; going down a slice, each is met further to the front
    theta = np.arctan2(grid.y - np.float32(centre_y), np.abs(grid.x))
    radius = np.hypot(grid.x, grid.y - np.float32(centre_y))
    side = np.where(grid.x < 0, np.float32(-1.0), np.float32(1.0))
    # each side has its own phase, each rib its own length; a rib crosses the slice obliquely, so an arc drifts outwards
    phase = level * patient.rib_slope + patient.rib_phase + np.float32(0.17) * side
    for k in range(-1, 8):
        angle = np.float32(1.35) - (np.float32(k) + phase % np.float32(1.0)) * np.float32(0.42)
        along = (theta - angle) * radius
        half = (1.15 + 0.55 * np.cos(2.4 * k + 9.0 * patient.rib_phase)) * s
        layer = np.abs(cage - np.float32(0.66 * s) - np.float32(0.13) * along) - np.float32(0.36 * s)
        arc = np.abs(along) - np.float32(half)
        arc = np.where((angle > -1.1) & (angle < 1.38), arc, np.float32(9.0))
        bones.append((smooth_max(layer, arc, 0.7), 180.0, 620.0))
    # vertebra: body, arch with the canal left free, processes
    body = ellipse(grid, 0.0, spine_y, 1.75 * s, 1.45 * s)
    canal = ellipse(grid, 0.0, spine_y + 2.15 * s, 0.95 * s, 0.8 * s)
    arch = np.maximum(canal - np.float32(0.55 * s), -canal)
    spinous = capsule(grid, (0.0, spine_y + 3.3 * s), (0.0, spine_y + (4.6 + 0.5 * np.cos(25 * level)) * s), 0.35 * s)
    bones += [(body, 170.0, 420.0), (arch, 350.0, 520.0), (spinous, 300.0, 500.0)]
    if np.cos(2.0 * np.pi * (level * 10.0 + patient.rib_phase)) > -0.2:
        for sign in (-1.0, 1.0):
            start, end = (sign * 1.3 * s, spine_y + 1.9 * s), (sign * 3.2 * s, spine_y + 2.7 * s)
            bones.append((capsule(grid, start, end, 0.42 * s), 220.0, 480.0))
    # breastbone, down to the middle of the heart; collar bones and shoulder blades near the apex
    front_y = centre_y - 0.94 * half_y - 0.75 * s
    if 0.12 < level < 0.78:
        broad = (2.4 if level < 0.3 else 1.6) * s
        bones.append((ellipse(grid, 0.0, front_y, broad, 0.55 * s), 110.0, 420.0))
    for sign in (-1.0, 1.0):
        if level < 0.13:
            start = (sign * 2.2 * s, front_y + 0.3 * s)
            bones.append((capsule(grid, start, (sign * 7.5 * s, front_y + 1.8 * s), 0.55 * s), 200.0, 600.0))
        if level < 0.55:
            x = half_x * (1.0 - 0.12 * level)
            top, low = (
                (sign * (x + 2.0 * s), centre_y + 0.15 * half_y),
                (sign * 0.72 * x, centre_y + 1.02 * half_y + 0.9 * s),
            )
            bones.append((capsule(grid, top, low, 0.22 * s), 300.0, 560.0))
    return tuple(bones)
