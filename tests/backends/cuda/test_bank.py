"""The bank's search: the CUDA kernels, run on the host, against the native backend and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plr_fast
from plr_fast.backends import native
from plr_fast.backends.cuda import bank
from plr_fast.backends.cuda.arrays import from_numpy
from plr_fast.backends.cuda.launch import Context
from plr_fast.backends.cuda.noise import noise
from plr_fast.backends.cuda.params import SampleIds
from plr_fast.backends.specs import NoiseSpec

from .arrays import off_by, sample_ids


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_candidates_and_cuts_are_those_of_the_native_backend(host: Context, data: st.DataObject) -> None:
    draw = data.draw
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 90)))
    sides = sorted(draw(st.tuples(*2 * [st.integers(1, min(shape[1:]))])))
    images = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape, np.uint8)
    images = off_by(images, draw(st.sampled_from([0, 0, 1])))
    ids = np.arange(7, 7 + 3 * shape[0], 3, dtype=np.int64)
    seed, first_round = draw(st.integers(0, 2**64 - 1)), draw(st.integers(0, 1000))
    expected = np.full((shape[0], draw(st.integers(1, 70)), 5), -1, np.int32)
    out = np.full_like(expected, -1)
    native.candidates(images, ids, seed, (sides[0], sides[1]), first_round, expected, 1)
    bank.candidates(host, from_numpy(images), sample_ids(ids), seed, (sides[0], sides[1]), first_round, from_numpy(out))
    np.testing.assert_array_equal(out, expected)

    boxes = np.empty((shape[0] * out.shape[1], 5), np.int64)
    boxes[:, 0] = np.repeat(np.arange(shape[0]), out.shape[1])
    boxes[:, 1:] = out.reshape(-1, 5)[:, 1:]
    lengths = boxes[:, 3] * boxes[:, 4]
    offsets = np.cumsum(lengths) - lengths
    pixels = [np.empty(int(lengths.sum()), np.uint8) for _ in range(2)]
    native.cut(images, boxes, offsets, pixels[0], 1)
    bank.cut(host, *(from_numpy(a) for a in (images, boxes, offsets, pixels[1])))
    np.testing.assert_array_equal(pixels[1], pixels[0])


def test_boxes_beyond_those_found_are_not_cut(host: Context) -> None:
    images = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    boxes = np.array([[0, 1, 2, 2, 3], [-(2**40), 0, 0, 2, 2]], np.int64)
    out = np.zeros(10, np.uint8)
    bank.cut(host, *(from_numpy(a) for a in (images, boxes, np.array([0, 6]), out, np.array([1, 9]))))
    assert out.tolist() == [10, 11, 12, 18, 19, 20, 0, 0, 0, 0]


@pytest.mark.parametrize(("images", "rounds"), [(1, 1), (3, 5), (7, 400), (300, 9), (4, 0)])
@pytest.mark.parametrize("wanted", [1, 40, 2000])
def test_the_first_bright_candidates_are_picked_in_order(host: Context, images: int, rounds: int, wanted: int) -> None:
    rng = np.random.default_rng(images * rounds)
    candidates = rng.integers(1, 12, (images, rounds, 5), np.int32)
    area = candidates[..., 3] * candidates[..., 4]
    candidates[..., 0] = rng.integers(150, 200, area.shape) * area + rng.integers(0, 2, area.shape)
    ids, threshold, first_round = np.arange(images, dtype=np.int64) * 2 + 1, 180, 11
    arrays = {
        "found": np.full(2, -1, np.int64),
        "grey": np.full(256, 3, np.uint32),
        "orders": np.full(wanted, -1, np.int64),
        "boxes": np.full((wanted, 5), -1, np.int64),
        "offsets": np.full(wanted, -1, np.int64),
    }
    bank.pick(
        host, from_numpy(candidates), sample_ids(ids), 2 * images + 1, first_round, (1, 12), threshold,
        bank.Picks(**{name: from_numpy(array) for name, array in arrays.items()}),
    )  # fmt: skip

    bright = candidates[..., 0] > threshold * area
    number, image = np.nonzero(bright.T)
    some = min(len(number), wanted)
    assert arrays["found"].tolist() == [some, len(number)]
    expected = (first_round + number) * (2 * images + 1) + ids[image]
    np.testing.assert_array_equal(arrays["orders"][:some], expected[:some])
    boxes = np.column_stack([image, candidates[image, number, 1:]])[:some]
    np.testing.assert_array_equal(arrays["boxes"][:some], boxes)
    lengths = boxes[:, 3] * boxes[:, 4]
    np.testing.assert_array_equal(arrays["offsets"][:some], np.cumsum(lengths) - lengths)
    for name in ("orders", "boxes", "offsets"):
        assert (arrays[name][some:] == -1).all()
    if rounds:
        grey = np.bincount((candidates[..., 0] // area).ravel(), minlength=256)
        np.testing.assert_array_equal(arrays["grey"], grey + 3)


def test_more_pixels_than_are_counted_are_refused(host: Context) -> None:
    many = from_numpy(np.empty(2**21, np.int64))
    little = from_numpy(np.empty((1, 1, 5), np.int32))
    with pytest.raises(ValueError, match="2\\^32"):
        bank.pick(
            host,
            little,
            sample_ids(np.zeros(1, np.int64)),
            1,
            0,
            (5, 64),
            180,
            bank.Picks(many, many, many, many, many),
        )


def test_the_whole_search_makes_the_bank_of_the_cpu(host: Context) -> None:
    """Noise, candidates, picks and cuts in one go, as a GPU does it: nothing in between looks at what was found."""
    images, size, count, patch, threshold, rounds = 12, 96, 60, (5, 15), 150, 120
    expected = plr_fast.LesionBank.generate(
        count, images=images, size=size, threshold=threshold, patch=patch, octaves=3, seed=4
    )
    grey, rows = np.empty((images, size, size), np.uint8), np.empty((images, rounds, 5), np.int32)
    noise(host, from_numpy(grey), SampleIds(), NoiseSpec(4, (1.0, 4.0, 4.0), 3, 0.5, 2.0, False, "minmax"))
    bank.candidates(host, from_numpy(grey), SampleIds(), 4, patch, 0, from_numpy(rows))
    found, seen, orders = np.empty(2, np.int64), np.zeros(256, np.uint32), np.empty(count, np.int64)
    boxes, offsets = np.empty((count, 5), np.int64), np.empty(count, np.int64)
    picks = bank.Picks(*(from_numpy(a) for a in (found, seen, orders, boxes, offsets)))
    bank.pick(host, from_numpy(rows), SampleIds(), images, 0, patch, threshold, picks)
    pixels = np.empty(count * patch[1] ** 2, np.uint8)
    bank.cut(host, from_numpy(grey), picks.boxes, picks.offsets, from_numpy(pixels), picks.found)
    assert found[0] == count
    assert seen.sum() == images * rounds
    for i, lesion in enumerate(expected):
        height, width = boxes[i, 3:]
        np.testing.assert_array_equal(pixels[offsets[i] : offsets[i] + height * width].reshape(height, width), lesion)
