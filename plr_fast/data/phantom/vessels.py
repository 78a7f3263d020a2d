"""Branching trees of vessels and bronchi in three dimensions, and their cut at a level.

Each lung has one tree: trunks leave the hilum in evenly spread directions and fork; radii fall by a fixed factor per
generation, and a vein keeps apart from the artery and its bronchus. A slice shows what lies within its thickness: short
branches where the tree runs in the plane, dots where it crosses. The tree is kept as a cloud of points along the
branches, so that drawing a slice is a handful of array operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from plr_fast.data.phantom.anatomy import Patient
from plr_fast.data.phantom.fields import Array, Grid, Stream, stream

_GENERATIONS = 7
_TRUNKS = 16
_BRONCHUS_GENERATIONS = 3


@dataclass(frozen=True)
class Tree:
    """Points along branches: ``xyz`` [K, 3] in cm (z downwards from the apex) and ``radius`` [K] in cm."""

    xyz: Array
    radius: Array


def grow(patient: Patient, spacing: float) -> tuple[Tree, Tree]:
    """Vessels and bronchi of both lungs. ``spacing``: distance of points along a branch, cm.

    Branches do not depend on ``spacing``: the same patient has the same trees at every resolution.
    """
    rng = stream(patient.seed, Stream.VESSELS, patient.number)
    caliber = float(rng.uniform(0.85, 1.2)) * patient.scale
    vessels: list[Tree] = []
    bronchi: list[Tree] = []
    half_x, half_y, _ = patient.cage_at(0.6)
    for sign in (-1.0, 1.0):
        hilum = np.array([sign * 3.9 * patient.scale, -0.2, 0.50 * patient.height])
        reach = np.array([0.72 * half_x, 0.95 * half_y, 0.50 * patient.height])
        start, direction, radius = _trunks(rng, hilum, sign, caliber)
        length = 0.255 / np.sqrt(((direction / reach) ** 2).sum(axis=1))
        for generation in range(_GENERATIONS):
            end = start + direction * length[:, None]
            vessels.append(_points(start, end, radius, spacing))
            if generation < _BRONCHUS_GENERATIONS:
                aside = np.cross(direction, [0.0, 0.0, 1.0])
                aside /= np.linalg.norm(aside, axis=1, keepdims=True) + 1e-6
                shift = aside * (1.75 * radius + 0.05)[:, None]
                bronchi.append(_points(start + shift, end + shift, 0.72 * radius, spacing))
            start, direction, radius, length = _fork(rng, end, direction, radius, length, hilum)
    return _joined(vessels), _joined(bronchi)


def _trunks(
    rng: np.random.Generator, hilum: npt.NDArray[np.float64], sign: float, caliber: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    k = np.arange(_TRUNKS) + 0.5
    azimuth = np.pi * (1.0 + 5.0**0.5) * k + rng.uniform(0.0, 2.0 * np.pi)
    outward = 1.0 - 1.15 * k / _TRUNKS
    around = np.sqrt(1.0 - outward**2)
    direction = np.stack([sign * outward, around * np.cos(azimuth), around * np.sin(azimuth)], axis=1)
    direction += rng.normal(0.0, 0.15, direction.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = caliber * rng.uniform(0.28, 0.48, _TRUNKS)
    return np.repeat(hilum[None], _TRUNKS, axis=0) + 0.6 * direction, direction, radius


def _fork(
    rng: np.random.Generator,
    end: npt.NDArray[np.float64],
    direction: npt.NDArray[np.float64],
    radius: npt.NDArray[np.float64],
    length: npt.NDArray[np.float64],
    hilum: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], ...]:
    """Two children for each branch, on opposite sides of it; branches keep leaving the hilum."""
    away = end - hilum
    away /= np.linalg.norm(away, axis=1, keepdims=True) + 1e-6
    across = np.cross(direction, rng.normal(size=direction.shape))
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-6
    children = []
    for side in (-1.0, 1.0):
        bend = np.tan(rng.uniform(0.25, 0.75, len(end)))[:, None]
        child = direction + side * bend * across + 0.25 * away + rng.normal(0.0, 0.06, direction.shape)
        children.append(child / np.linalg.norm(child, axis=1, keepdims=True))
    taper = rng.uniform(0.70, 0.86, 2 * len(end))
    shrink = rng.uniform(0.68, 0.95, 2 * len(end))
    return np.tile(end, (2, 1)), np.concatenate(children), np.tile(radius, 2) * taper, np.tile(length, 2) * shrink


def _points(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], radius: npt.NDArray[np.float64], spacing: float
) -> Tree:
    count = max(2, int(np.ceil(float(np.linalg.norm(end - start, axis=1).max()) / spacing)) + 1)
    t = np.linspace(0.0, 1.0, count)[None, :, None]
    xyz = start[:, None] * (1.0 - t) + end[:, None] * t
    # each branch narrows a little along its way, so that a fork shows no step
    r = radius[:, None] * (1.0 - 0.2 * t[..., 0])
    return Tree(xyz.reshape(-1, 3).astype(np.float32), r.reshape(-1).astype(np.float32))


def _joined(parts: list[Tree]) -> Tree:
    return Tree(np.concatenate([p.xyz for p in parts]), np.concatenate([p.radius for p in parts]))


def draw(tree: Tree, grid: Grid, depth: float, thickness: float, wall: float = 0.0) -> Array:
    """Share of each pixel that the tree fills in the slice at ``depth`` (cm below the apex), 0..1, ``[S, S]``.

    ``wall`` (cm) thickens every branch, for the outside of a bronchus.
    """
    size = grid.size
    canvas = np.zeros(size * size, np.float32)
    radius = tree.radius + np.float32(wall)
    off = np.maximum(np.abs(tree.xyz[:, 2] - np.float32(depth)) - np.float32(thickness / 2), 0.0)
    near = off < radius
    xyz, radius, off = tree.xyz[near], radius[near], off[near]
    # a sphere cut off its middle shows a smaller disc
    disc = np.sqrt(np.maximum(radius**2 - off**2, 0.0))
    rows, columns = grid.to_pixels(xyz[:, 0], xyz[:, 1])
    # branches thinner than a pixel are drawn a pixel wide and fainter: partial volume
    weight = np.minimum(np.float32(2.0 / grid.step) * disc, 1.0).astype(np.float32)
    reach = np.ceil(disc / np.float32(min(grid.step_x, grid.step_y)) + np.float32(0.5)).astype(np.int64)
    base_row, base_column = np.rint(rows).astype(np.int64), np.rint(columns).astype(np.int64)
    for window in np.unique(reach):
        chosen = reach == window
        r0, c0, d0, w0 = base_row[chosen], base_column[chosen], disc[chosen], weight[chosen]
        fr, fc = rows[chosen], columns[chosen]
        for dr in range(-int(window), int(window) + 1):
            for dc in range(-int(window), int(window) + 1):
                r, c = r0 + dr, c0 + dc
                distance = np.hypot((r - fr) * np.float32(grid.step_y), (c - fc) * np.float32(grid.step_x))
                value = w0 * np.clip((d0 - distance) / np.float32(grid.step) + np.float32(0.5), 0.0, 1.0)
                inside = (r >= 0) & (r < size) & (c >= 0) & (c < size) & (value > 0)
                np.maximum.at(canvas, r[inside] * size + c[inside], value[inside].astype(np.float32))
    return canvas.reshape(size, size)
