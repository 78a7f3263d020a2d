"""Ground-glass-like opacities for the positive class of the thorax phantom.

Deliberately *not* gradient noise: pretraining pastes Perlin clouds, and a classifier would only have to recognise its
own pretext task. Here an opacity is a soft ellipsoid in three dimensions whose outline and density are disturbed by
Gaussian random fields made in the frequency domain, with septal lines from a Voronoi tessellation ("crazy paving") and,
in severe disease, a denser core. Opacities prefer the periphery, the back and the base of the lungs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from plr_fast.data.phantom.anatomy import Patient
from plr_fast.data.phantom.fields import Array, Grid, Stream, gaussian_field, stream

_LEAST_SHARE = 0.04
"""Smallest part of the lung that is opaque in a positive slice: below it no reader could tell."""
_VISIBLE = 0.35
"""Opacity weight from which a pixel belongs to the lesion mask."""


@dataclass(frozen=True)
class Opacity:
    """One opacity in coordinates of the lung, so that it stays in place from slice to slice."""

    side: float
    """-1 or 1, see ``Section.side``."""
    angle: float
    """Direction from the middle of the lung, radians; 0 is lateral, positive towards the back."""
    depth: float
    """Distance of its middle from the pleura, cm."""
    level: float
    extent: float
    """Half extent along the level."""
    along: float
    """Half size along the pleura, cm."""
    across: float
    """Half size at right angles to the pleura, cm."""
    density: float
    """HU that it tends to."""


@dataclass(frozen=True)
class Disease:
    """What one positive patient has."""

    opacities: tuple[Opacity, ...]
    roughness: float
    """How far the outline departs from an ellipse, 0..1."""
    grain: float
    """Length of the texture inside, cm."""
    paving: float
    """Density of septal lines in HU, 0 for none."""
    core: float
    """HU that the innermost part of an opacity gains."""

    @classmethod
    def draw(cls, patient: Patient) -> Disease:
        rng = stream(patient.seed, Stream.LESIONS, patient.number)
        severity = float(rng.beta(1.6, 1.5))
        count = 4 + int(rng.poisson(3.0 + 16.0 * severity))
        # faint in early disease, denser later; both ends overlap with ordinary variation of the lungs
        target = -570.0 + 340.0 * severity + float(rng.normal(0.0, 60.0))
        one_sided = rng.random() < 0.15
        only = -1.0 if rng.random() < 0.5 else 1.0
        opacities = []
        for _ in range(count):
            side = only if one_sided else float(rng.choice((-1.0, 1.0)))
            along = float(rng.uniform(1.2, 2.8) + 2.8 * severity * rng.random())
            central = rng.random() < 0.15
            opacities.append(
                Opacity(
                    side=side,
                    angle=float(rng.normal(0.55, 0.65)),
                    depth=float(rng.uniform(2.0, 4.5) if central else rng.exponential(0.5) + 0.3),
                    level=float(np.clip(rng.beta(2.6, 1.7), 0.05, 0.95)),
                    extent=float(rng.uniform(0.08, 0.20) + 0.12 * severity),
                    along=along,
                    across=along * float(rng.uniform(0.4, 0.8)),
                    density=float(np.clip(target + rng.normal(0.0, 50.0), -700.0, -200.0)),
                )
            )
        return cls(
            opacities=tuple(opacities),
            roughness=float(rng.uniform(0.35, 0.9)),
            grain=float(rng.uniform(0.18, 0.5)),
            paving=float(rng.uniform(90.0, 260.0)) if rng.random() < 0.35 else 0.0,
            core=float(rng.uniform(100.0, 320.0)) if rng.random() < 0.3 * (0.4 + severity) else 0.0,
        )


def add_opacities(
    disease: Disease, patient: Patient, level: float, index: int, grid: Grid, lungs: Array, side: Array, hu: Array
) -> npt.NDArray[np.bool_]:
    """Draw the opacities that reach ``level`` into ``hu`` ([S, S], in place); returns the lesion mask ``[S, S]``.

    ``lungs`` is the signed distance to the lungs, ``index`` the number of the slice within its patient. At least one
    opacity is drawn: where the disease misses the level, its nearest opacity is moved there.
    """
    inside = lungs < 0
    if not inside.any():
        return np.zeros_like(inside)
    rng = stream(patient.seed, Stream.SLICE_LESIONS, patient.number, index)
    shape_field = gaussian_field(rng, grid, 0.55, 3.5)
    grain_field = gaussian_field(rng, grid, disease.grain, 2.6)
    weight = np.zeros_like(hu)
    density = np.full_like(hu, -1000.0)
    at_level = [(o, 1.0 - ((level - o.level) / o.extent) ** 2) for o in disease.opacities]
    present = [(o, float(np.sqrt(cut))) for o, cut in at_level if cut > 0.05]
    nearest = sorted(disease.opacities, key=lambda o: abs(o.level - level))
    # those out of reach wait in line, and are used at full size while too little of the lung is opaque
    spare = [(o, 1.0) for o in nearest if all(o is not p for p, _ in present)] + [(nearest[0], 1.8), (nearest[0], 3.0)]
    needed = max(_LEAST_SHARE * float(inside.sum()), 6.0)
    mask = np.zeros_like(inside)
    for opacity, size in present + spare:
        if (opacity, size) not in present and mask.sum() >= needed:
            break
        _add_one(opacity, size, disease.roughness, grid, lungs, side, shape_field, weight, density)
        mask = (weight > _VISIBLE) & inside
    if not mask.any():  # a sliver of lung, thinner than any opacity's soft edge: all of it is taken
        mask = inside.copy()
        weight[mask], density[mask] = 1.0, nearest[0].density
    texture = np.clip(np.float32(0.85) + np.float32(0.16) * grain_field, 0.3, 1.25)
    core = np.clip((weight - np.float32(0.75)) * 4.0, 0.0, 1.0) * np.float32(disease.core)
    gain = (density + core - hu) * texture
    if disease.paving > 0.0:
        gain += np.float32(disease.paving) * _septa(rng, grid, mask)
    amount = weight * np.clip(-lungs / np.float32(0.12), 0.0, 1.0)
    hu += amount * np.maximum(gain, np.float32(30.0))
    return mask


def _add_one(
    opacity: Opacity,
    size: float,
    roughness: float,
    grid: Grid,
    lungs: Array,
    side: Array,
    shape_field: Array,
    weight: Array,
    density: Array,
) -> None:
    lung = (lungs < 0) & (side == opacity.side)
    if not lung.any():
        lung = lungs < 0
    xs, ys, depth = grid.x[lung], grid.y[lung], -lungs[lung]
    lateral = (xs - xs.mean()) * np.float32(opacity.side)
    angle = np.arctan2(ys - ys.mean(), lateral)
    misfit = np.abs(np.angle(np.exp(1j * (angle - opacity.angle)))) * 2.5 + np.abs(depth - np.float32(opacity.depth))
    best = int(np.argmin(misfit))
    cx, cy = float(xs[best]), float(ys[best])
    # the long axis follows the pleura, which is about at right angles to the direction from the lung's middle
    across_x, across_y = float(np.cos(opacity.angle)) * opacity.side, float(np.sin(opacity.angle))
    dx, dy = grid.x - np.float32(cx), grid.y - np.float32(cy)
    u = (dx * np.float32(across_x) + dy * np.float32(across_y)) / np.float32(opacity.across * size)
    v = (dy * np.float32(across_x) - dx * np.float32(across_y)) / np.float32(opacity.along * size)
    # disease of the periphery follows the pleura instead of filling the lung towards the hilum
    deep = np.maximum(-lungs - np.float32(opacity.depth + 0.9 * size), 0.0) / np.float32(1.1 * size)
    ripple = np.float32(1.0) - np.float32(0.55 * roughness) * shape_field
    soft = np.float32(1.0) / (
        np.float32(1.0) + np.exp(np.clip((u * u + v * v + deep * deep - ripple) * 4.0, -30.0, 30.0))
    )
    soft = np.where(side == opacity.side, soft, np.float32(0.0))
    denser = soft > weight
    density[denser] = np.float32(opacity.density)
    np.maximum(weight, soft, out=weight)


def _septa(rng: np.random.Generator, grid: Grid, mask: npt.NDArray[np.bool_]) -> Array:
    """Thin lines between the cells of a Voronoi tessellation with cells of about a lobule's size, inside ``mask``."""
    lines = np.zeros(mask.shape, np.float32)
    if not mask.any():
        return lines
    where = np.stack([grid.x[mask], grid.y[mask]], axis=1)
    low, high = where.min(axis=0) - 1.5, where.max(axis=0) + 1.5
    count = max(8, int(np.prod((high - low) / 0.85)))
    seeds = rng.uniform(low, high, (count, 2))
    distance, _ = cKDTree(seeds).query(where, k=2)
    width = max(0.16, 0.9 * grid.step)
    lines[mask] = np.clip(1.0 - (distance[:, 1] - distance[:, 0]) / width, 0.0, 1.0) * min(1.0, 0.16 / grid.step)
    return lines
