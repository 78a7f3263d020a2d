"""Sheets of pictures: what stands where."""

from __future__ import annotations

import numpy as np
import pytest

from plr_fast.evaluation.figures import styled
from plr_fast.evaluation.figures_pictures import grey_panel
from plr_fast.evaluation.sheets import Heading, Row, Strip, build


def test_a_strip_holds_its_pictures_with_white_between_them() -> None:
    pictures = np.random.default_rng(0).integers(0, 200, (5, 32, 32), dtype=np.uint8)
    joined = Strip(pictures, 12, grey_panel).joined
    gap = (joined.shape[1] - 5 * 32) // 4
    assert gap >= 1
    for number, picture in enumerate(pictures):
        start = number * (32 + gap)
        np.testing.assert_array_equal(joined[:, start : start + 32], picture)
        assert (joined[:, start + 32 : start + 32 + gap] == 255).all()


def test_a_strip_is_as_large_as_a_row_of_the_same_pictures() -> None:
    pictures = np.zeros((12, 64, 64), np.uint8)
    strip, row = Strip(pictures, 12, grey_panel), Row([grey_panel(one) for one in pictures], 12)
    with styled():
        one, many = build([Heading("a"), strip]), build([Heading("a"), row])
    assert len(one.axes) == 1
    assert len(many.axes) == 12
    assert one.get_size_inches().tolist() == many.get_size_inches().tolist()
    first, last = many.axes[0].get_position(), many.axes[-1].get_position()
    place = one.axes[0].get_position()
    assert (place.x0, place.y0, place.y1) == pytest.approx((first.x0, first.y0, first.y1))
    assert place.x1 == pytest.approx(last.x1, abs=0.01)
