"""Morphology of masks against SciPy's distance transforms, zoom and hole filling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from plr_fast.data.lungs.morphology import dilate, enlarge, erode, holes, outline

Mask = npt.NDArray[np.bool_]

masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24)))
radii = st.one_of(st.floats(0, 12), st.sampled_from([0.0, 1.0, 2**0.5, 2.0, 5**0.5, 3.0, 5.0, 50.0]))


@settings(deadline=None)
@given(masks, radii)
def test_dilation_is_a_distance(mask: Mask, radius: float) -> None:
    before = mask.copy()
    # SciPy's distance to a set without pixels is no distance
    expected = ndimage.distance_transform_edt(~mask) <= radius if mask.any() else mask
    np.testing.assert_array_equal(dilate(mask, radius), expected)
    np.testing.assert_array_equal(mask, before)


@settings(deadline=None)
@given(masks, radii)
def test_erosion_is_a_distance(mask: Mask, radius: float) -> None:
    expected = ndimage.distance_transform_edt(mask) > radius if not mask.all() else mask
    np.testing.assert_array_equal(erode(mask, radius), expected)


@settings(deadline=None)
@given(masks)
def test_outline(mask: Mask) -> None:
    np.testing.assert_array_equal(outline(mask), mask & ~ndimage.binary_erosion(mask, border_value=1))


@settings(deadline=None)
@given(masks)
def test_holes(mask: Mask) -> None:
    labels, areas = holes(mask)
    np.testing.assert_array_equal((areas > 0)[labels], ndimage.binary_fill_holes(mask) & ~mask)
    np.testing.assert_array_equal(areas[areas > 0], np.bincount(labels.ravel())[areas > 0])


@settings(deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(2, 16), st.integers(2, 16))), st.integers(1, 6))
def test_enlarging_is_bilinear(mask: Mask, factor: int) -> None:
    soft = ndimage.zoom(mask.astype(np.float64), factor, order=1, mode="nearest", grid_mode=True)
    result = enlarge(mask, factor)
    assert result.shape == soft.shape
    clear = np.abs(soft - 0.5) > 1e-9  # at one half SciPy's rounding decides
    np.testing.assert_array_equal(result[clear], (soft > 0.5)[clear])


@pytest.mark.parametrize("factor", [90, 91])  # where the integers become wider
def test_enlarging_by_much(factor: int) -> None:
    large = enlarge(np.array([[True, False], [True, False]]), factor)
    assert large[:, : factor - 1].all()
    assert not large[:, factor + 1 :].any()
