"""Blur, shuffle and grey: the CUDA kernels, run on the host, against the native backend, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plr_fast.backends import native
from plr_fast.backends.cuda import copies, filters
from plr_fast.backends.cuda.arrays import from_numpy
from plr_fast.backends.cuda.launch import Context
from plr_fast.backends.specs import BlurSpec, ShuffleSpec, Windows
from plr_fast.ops.filters import gaussian_kernel

from .arrays import off_by, sample_ids

NO_WINDOWS = Windows(0, (1, 1), (1, 1))


def images_of(seed: int, dtype: str, shape: tuple[int, ...], skip: int = 0) -> np.ndarray:
    grey = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return off_by(grey if dtype == "uint8" else grey.astype(np.float32) / 255, skip)


def check(
    host: Context, name: str, images: np.ndarray, spec: BlurSpec | ShuffleSpec, *, in_place: bool, skip: int = 0
) -> None:
    ids = np.arange(3, 3 + len(images), dtype=np.int64)
    expected = np.empty_like(images)
    getattr(native, name)(images, expected, ids, spec, 1)
    source = images.copy() if in_place else images
    out = source if in_place else off_by(np.zeros_like(images), skip)
    getattr(filters, name)(host, from_numpy(source), from_numpy(out), sample_ids(ids), spec)
    np.testing.assert_array_equal(out, expected)


@st.composite
def windows_in(draw: st.DrawFn, height: int, width: int) -> Windows:
    sides = [sorted(draw(st.tuples(st.integers(1, n), st.integers(1, n)))) for n in (height, width)]
    return Windows(draw(st.integers(1, 12)), (sides[0][0], sides[0][1]), (sides[1][0], sides[1][1]))


sizes = st.tuples(st.integers(1, 2), st.integers(1, 40), st.integers(1, 40) | st.sampled_from([64, 100, 132]))
dtypes = st.sampled_from(["uint8", "float32"])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), shape=sizes, dtype=dtypes, taps=st.sampled_from([1, 3, 5, 5, 7, 9, 11, 63]))
def test_blur_is_that_of_the_native_backend(
    host: Context, data: st.DataObject, shape: tuple[int, int, int], dtype: str, taps: int
) -> None:
    windows = data.draw(st.just(NO_WINDOWS) | windows_in(*shape[1:]))
    weights, weights_q8 = gaussian_kernel(taps, data.draw(st.sampled_from([0.0, 0.8, 5.0])))
    spec = BlurSpec(data.draw(st.integers(0, 2**64 - 1)), weights, weights_q8, windows)
    skips = data.draw(st.tuples(st.sampled_from([0, 0, 1]), st.sampled_from([0, 0, 1])))
    images = images_of(data.draw(st.integers(0, 99)), dtype, shape, skips[0])
    check(host, "blur", images, spec, in_place=data.draw(st.booleans()), skip=skips[1])


@pytest.mark.parametrize("rows", filters._BLUR_ROWS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_blur_in_columns_of_any_length(host: Context, dtype: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "_BLUR_ROWS", (rows,))
    weights, weights_q8 = gaussian_kernel(5, 0.0)
    for shape in ((2, 131, 68), (1, 70, 600)):
        check(host, "blur", images_of(4, dtype, shape), BlurSpec(0, weights, weights_q8, NO_WINDOWS), in_place=False)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), shape=sizes, dtype=dtypes)
def test_shuffle_is_that_of_the_native_backend(
    host: Context, data: st.DataObject, shape: tuple[int, int, int], dtype: str
) -> None:
    windows = data.draw(st.just(NO_WINDOWS) | windows_in(*shape[1:]))
    grid = data.draw(st.tuples(*(st.integers(1, n) for n in shape[1:])))
    spec = ShuffleSpec(data.draw(st.integers(0, 2**64 - 1)), grid, windows)
    check(host, "shuffle", images_of(1, dtype, shape), spec, in_place=data.draw(st.booleans()))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("windows", [NO_WINDOWS, Windows(7, (60, 90), (70, 90))])
def test_pieces_too_large_for_shared_memory(
    host: Context, dtype: str, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "_PIECES_BYTES", 12 * 90 * 90 * 3)  # three at a time
    spec = ShuffleSpec(9, (2, 1), windows)
    check(host, "shuffle", images_of(2, dtype, (3, 180, 95)), spec, in_place=False)


@pytest.mark.parametrize("side", [64, 65])
def test_pieces_about_as_large_as_shared_memory(host: Context, side: int) -> None:
    check(host, "shuffle", images_of(3, "uint8", (1, side, 64)), ShuffleSpec(5, (1, 1), NO_WINDOWS), in_place=True)


@pytest.mark.parametrize("size", [0, 1, 4, 1000, 3 * 4096 + 5])
@pytest.mark.parametrize("skip", [0, 1])
def test_grey_is_scaled_as_the_native_backend_does(host: Context, size: int, skip: int) -> None:
    grey = off_by(np.arange(size).astype(np.uint8), skip)
    expected, out = np.empty(size, np.float32), np.empty(size, np.float32)
    native.scale_grey(grey, expected, 1)
    copies.scale_grey(host, from_numpy(grey), from_numpy(out))
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("size", [0, 5, 16, 16384, 40001])
@pytest.mark.parametrize("skips", [(0, 0), (1, 0), (0, 3)])
def test_bytes_are_copied_and_no_others(host: Context, size: int, skips: tuple[int, int]) -> None:
    source = off_by(np.random.default_rng(size).integers(0, 256, size, np.uint8), skips[0])
    room = off_by(np.zeros(size + 64, np.uint8), skips[1])
    copies.copy(host, source.ctypes.data, room.ctypes.data, size)
    np.testing.assert_array_equal(room[:size], source)
    assert not room[size:].any()


@pytest.mark.parametrize("name", ["blur", "shuffle"])
def test_an_empty_batch_is_nothing_to_do(host: Context, name: str) -> None:
    weights, weights_q8 = gaussian_kernel(5, 0.0)
    spec = BlurSpec(0, weights, weights_q8, NO_WINDOWS) if name == "blur" else ShuffleSpec(0, (2, 2), NO_WINDOWS)
    check(host, name, np.empty((0, 8, 8), np.uint8), spec, in_place=False)
