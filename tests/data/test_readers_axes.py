"""The display convention: what direction cosines mean, against the coordinates of single pixels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from plr_fast.data.readers_axes import axial_view, normal, plane_name

AXES = [np.array(axis, dtype=float) for axis in ([1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0])]


@pytest.mark.parametrize(("across", "down"), [p for p in itertools.permutations(AXES, 2) if not p[0] @ p[1]])
def test_left_grows_with_columns_and_back_with_rows(across: np.ndarray, down: np.ndarray) -> None:
    height, width = 3, 5
    place = np.array([[i * down + j * across for j in range(width)] for i in range(height)])  # (H, W, 3)
    view = axial_view(across, down)
    to_left, to_back = view.apply(place[..., 0]), view.apply(place[..., 1])
    assert (np.diff(to_left, axis=1) == 1).all()
    assert (np.diff(to_back, axis=0) == 1).all()
    assert to_left.flags.c_contiguous
    assert view.angle == 0.0
    assert view.spacing(0.8, 0.7) == ((0.7, 0.8) if to_left.shape == (5, 3) else (0.8, 0.7))


@pytest.mark.parametrize("degrees", [5.0, 20.0])
def test_tilt_and_turn(degrees: float) -> None:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    tilted = axial_view((1, 0, 0), (0, c, s))  # a gantry
    turned = axial_view((c, s, 0), (-s, c, 0))  # a head on its side
    for view in (tilted, turned):
        assert view.angle == pytest.approx(degrees)
        assert (view.transpose, view.flip_rows, view.flip_columns) == (False, False, False)


def test_planes() -> None:
    assert plane_name(normal((1, 0, 0), (0, 1, 0))) == "axial"
    assert plane_name(normal((1, 0, 0), (0, 0, -1))) == "coronal"
    assert plane_name(normal((0, 1, 0), (0, 0, -1))) == "sagittal"
    half = np.sqrt(0.5)
    assert plane_name(normal((1, 0, 0), (0, half, half))) == "oblique"


def test_the_normal_points_to_the_head() -> None:
    np.testing.assert_array_equal(normal((-1, 0, 0), (0, 1, 0)), [0, 0, 1])


@pytest.mark.parametrize("bad", [((1, 0, 0), (1, 0, 0)), ((1, 0, 0), (0, 2, 0)), ((1, 0, 0), (0, np.nan, 0))])
def test_no_directions(bad: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="unit vectors at right angles"):
        axial_view(*bad)
