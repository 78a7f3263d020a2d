"""Blur and shuffle: against OpenCV, SciPy and the reference, on every backend; properties and errors."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import plr_fast
from plr_fast import gaussian_blur, local_shuffle
from plr_fast.ops.filters import gaussian_kernel

SIZES = [(1, 1), (1, 9), (3, 2), (16, 17), (50, 37), (64, 33)]


def pictures(dtype: Any, size: tuple[int, int] = (50, 37), count: int = 3) -> np.ndarray:
    grey = np.random.default_rng(1).integers(0, 256, (count, *size), np.uint8)
    return grey if dtype == np.uint8 else (grey / 255).astype(np.float32)


CASES: list[tuple[Any, dict[str, Any]]] = [
    (gaussian_blur, {}),
    (gaussian_blur, {"size": 11, "sigma": 2.3}),
    (gaussian_blur, {"size": 1}),
    (gaussian_blur, {"windows": 25}),
    (gaussian_blur, {"windows": 9, "window": (1, 1)}),
    (local_shuffle, {"grid": 1}),
    (local_shuffle, {"windows": 40}),
    (local_shuffle, {"windows": 3, "window": 1}),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("operation", "kwargs"), CASES)
def test_equals_the_reference(
    backend: str, operation: Any, kwargs: dict[str, Any], dtype: Any, size: tuple[int, int]
) -> None:
    images = pictures(dtype, size)
    result = operation(images, seed=4, **kwargs)
    plr_fast.use_backend("reference")
    expected = operation(images, seed=4, **kwargs)
    # float32 sums of up to 11 x 11 weighted pixels round to 1e-6; shuffles and uint8 are exact.
    np.testing.assert_allclose(result, expected, atol=2e-6 if dtype == np.float32 else 0, rtol=0)


@pytest.mark.parametrize(("operation", "kwargs"), [*CASES, (local_shuffle, {"grid": (7, 4)})])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_backend_gives_the_same_bits(operation: Any, kwargs: dict[str, Any], dtype: Any) -> None:
    from tests.conftest import activate, variants

    images = pictures(dtype)
    results = []
    for variant in variants():
        activate(variant)
        results.append(operation(images, seed=8, samples=[2**50, -1, 6], **kwargs))
    assert all(np.array_equal(result, results[0]) for result in results[1:])


def hashed_pictures(dtype: Any, size: tuple[int, int], count: int) -> np.ndarray:
    """Return pictures that no library's random numbers enter."""
    number = np.arange(count * size[0] * size[1], dtype=np.uint64)
    grey = ((number * np.uint64(2654435761)) >> np.uint64(13)).astype(np.uint8).reshape(count, *size)
    return grey if dtype == np.uint8 else (grey / 255).astype(np.float32)


# Digests of the exact bits, float32 and uint8: a change of meaning, however small, cannot slip in.
KNOWN: list[tuple[Any, dict[str, Any], str, str]] = [
    (gaussian_blur, {}, "c0964b3e3222d1b8", "4f29efe43a3e47f0"),
    (gaussian_blur, {"size": 3, "sigma": 0.8}, "4d34f900b144154c", "eed114100f71be06"),
    (gaussian_blur, {"size": 7}, "255b516b9777b656", "de360f950cf8d907"),
    (gaussian_blur, {"size": 9}, "14d30b6c906a5a99", "58bcd86929343612"),
    (gaussian_blur, {"size": 15, "sigma": 2.5}, "95553e69490634de", "00df27ab74881776"),
    (gaussian_blur, {"windows": 30}, "50912c57d13e8dc6", "72fa15b0bc1de6df"),
    (gaussian_blur, {"size": 31, "windows": 500}, "27a7d1e925b278d2", "d86b94957a284884"),
    (local_shuffle, {}, "8b6ecbe82f706aa0", "7e9a7a3a736101a7"),
    (local_shuffle, {"grid": (3, 1)}, "13ee1e2b553f5c50", "4797546cc615cb70"),
    (local_shuffle, {"windows": 40}, "64028e10ef49b007", "b5b3bc67cc8f724b"),
    (local_shuffle, {"windows": 3000, "window": (2, 25)}, "7a4e47803f8a68b9", "f1d4f03737442bd4"),
    (local_shuffle, {"windows": 9, "window": 130}, "e1b3b093ba2fdcb9", "3255570613c6d0ec"),
]


@pytest.mark.parametrize(("operation", "kwargs", "floats", "greys"), KNOWN)
def test_known_answers(backend: str, operation: Any, kwargs: dict[str, Any], floats: str, greys: str) -> None:
    for dtype, digest in ((np.float32, floats), (np.uint8, greys)):
        result = operation(hashed_pictures(dtype, (130, 203), 2), seed=2**64 - 5, samples=[-3, 2**60], **kwargs)
        assert hashlib.sha256(result.tobytes()).hexdigest()[:16] == digest


windows_or_none = st.none() | st.integers(1, 60)
pictures_drawn = {
    "size": st.tuples(st.integers(1, 90), st.integers(1, 140)),
    "dtype": st.sampled_from([np.uint8, np.float32]),
    "seed": st.integers(0, 2**64 - 1),
    "samples": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=2),
}
property_of_all_backends = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def equal_on_every_backend(operation: Any, images: np.ndarray, **kwargs: Any) -> np.ndarray:
    """Run an operation on each backend and instruction set, also in place, and return what all of them gave."""
    from tests.conftest import activate, variants

    results: list[np.ndarray] = []
    for variant in variants():
        activate(variant)
        results.append(operation(images, **kwargs))
        copy = images.copy()
        results.append(operation(copy, out=copy, **kwargs))
    for other in results[1:]:
        np.testing.assert_array_equal(other.view(np.uint8), results[0].view(np.uint8))
    return results[0]


def by_the_reference(operation: Any, images: np.ndarray, **kwargs: Any) -> np.ndarray:
    plr_fast.use_backend("reference")
    try:
        result: np.ndarray = operation(images, **kwargs)
    finally:
        plr_fast.use_backend("auto")
    return result


@property_of_all_backends
@given(
    **pictures_drawn,
    kernel=st.sampled_from([1, 3, 5, 7, 9, 11, 17, 63]),
    sigma=st.sampled_from([0.0, 0.01, 1.1, 9.0]),
    windows=windows_or_none,
)
def test_any_blur(
    size: tuple[int, int], dtype: Any, seed: int, samples: list[int], kernel: int, sigma: float, windows: int | None
) -> None:
    images = hashed_pictures(dtype, size, len(samples))
    asked = {"size": kernel, "sigma": sigma, "windows": windows, "seed": seed, "samples": samples}
    result = equal_on_every_backend(gaussian_blur, images, **asked)
    # float32: two sums of up to 63 terms whose weights add to 1 round to a few 1e-7; uint8 is exact.
    expected = by_the_reference(gaussian_blur, images, **asked)
    np.testing.assert_allclose(result, expected, atol=2e-6 if dtype == np.float32 else 0, rtol=0)


@property_of_all_backends
@given(**pictures_drawn, grid=st.tuples(st.integers(1, 12), st.integers(1, 12)), windows=windows_or_none)
def test_any_shuffle(
    size: tuple[int, int], dtype: Any, seed: int, samples: list[int], grid: tuple[int, int], windows: int | None
) -> None:
    images = hashed_pictures(dtype, size, len(samples))
    blocks = (min(grid[0], size[0]), min(grid[1], size[1]))
    asked = {"grid": blocks, "windows": windows, "seed": seed, "samples": samples}
    if windows is not None:  # up to the whole image, so that many are hidden by later ones
        asked["window"] = (1, min(size))
    result = equal_on_every_backend(local_shuffle, images, **asked)
    np.testing.assert_array_equal(result, by_the_reference(local_shuffle, images, **asked))


def test_windows_over_the_whole_image_leave_the_last_one(backend: str) -> None:
    images = pictures(np.uint8, (40, 40), 1)
    many = local_shuffle(images, windows=50, window=40, seed=6)
    assert np.array_equal(np.sort(many, None), np.sort(images, None)), "the pixels of the original, once each"
    assert np.array_equal(many, by_the_reference(local_shuffle, images, windows=50, window=40, seed=6))


def test_empty_batches(backend: str) -> None:
    for operation in (gaussian_blur, local_shuffle):
        assert operation(np.empty((0, 20, 30), np.float32)).shape == (0, 20, 30)


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize(("kernel", "sigma"), [(5, 0.0), (3, 0.0), (7, 1.5)])
def test_blur_equals_opencv(backend: str, kernel: int, sigma: float, size: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    for dtype, tolerance in ((np.float32, 1e-6), (np.uint8, 1)):
        images = pictures(dtype, size)
        expected = np.stack([cv2.GaussianBlur(image, (kernel, kernel), sigma).reshape(size) for image in images])
        difference = np.abs(gaussian_blur(images, size=kernel, sigma=sigma).astype(float) - expected)
        assert difference.max() <= tolerance


def test_blur_equals_scipy(backend: str) -> None:
    images = pictures(np.float32)
    weights, _ = gaussian_kernel(5, 0.0)
    expected = images.astype(np.float64)
    for axis in (1, 2):
        expected = scipy.ndimage.correlate1d(expected, weights.astype(np.float64), axis, mode="mirror")
    np.testing.assert_allclose(gaussian_blur(images), expected, atol=1e-6)


def test_kernel_sums_are_exact() -> None:
    for size in (1, 3, 5, 31, 63):
        weights, weights_q8 = gaussian_kernel(size, 0.0)
        assert weights_q8.sum() == 256
        assert abs(weights.astype(np.float64).sum() - 1) < 1e-6
    assert (gaussian_kernel(5, 0.0)[0] * 16).tolist() == [1, 4, 6, 4, 1]


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9, 11, 31])
@pytest.mark.parametrize("sigma", [0.0, 1.1, 4.0])
def test_kernel_equals_opencv(size: int, sigma: float) -> None:
    cv2 = pytest.importorskip("cv2")
    np.testing.assert_allclose(gaussian_kernel(size, sigma)[0], cv2.getGaussianKernel(size, sigma)[:, 0], atol=1e-7)


def test_flat_images_stay_flat(backend: str) -> None:
    for value in (0, 1, 128, 255):
        assert (gaussian_blur(np.full((1, 20, 20), value, np.uint8)) == value).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shuffle_permutes_inside_blocks_only(backend: str, dtype: Any) -> None:
    images = np.arange(43 * 57).reshape(1, 43, 57).astype(np.float32) / (43 * 57)
    if dtype == np.uint8:
        images = pictures(np.uint8, (43, 57), 1)
    result = local_shuffle(images, grid=(10, 6))
    for i in range(10):
        for j in range(6):
            block = (0, slice(43 * i // 10, 43 * (i + 1) // 10), slice(57 * j // 6, 57 * (j + 1) // 6))
            np.testing.assert_array_equal(np.sort(result[block], None), np.sort(images[block], None))
    assert not np.array_equal(result, images)


def test_windows_leave_the_rest_alone(backend: str) -> None:
    images = pictures(np.uint8, (60, 60), 20)
    for operation in (gaussian_blur, local_shuffle):
        changed = operation(images, windows=1, window=6, seed=3) != images
        for one in changed:
            rows, columns = np.nonzero(one)
            assert rows.size > 0
            assert np.ptp(rows) < 6
            assert np.ptp(columns) < 6


@pytest.mark.parametrize(("operation", "kwargs"), CASES)
def test_in_place_kinds_and_batches(backend: str, operation: Any, kwargs: dict[str, Any]) -> None:
    images = torch.from_numpy(pictures(np.float32))
    plain = operation(images, seed=1, **kwargs)
    assert isinstance(plain, torch.Tensor)
    copy = images.clone()
    assert operation(copy, seed=1, out=copy, **kwargs) is copy
    assert torch.equal(copy, plain), "in place"
    assert torch.equal(operation(images[:, None], seed=1, **kwargs)[:, 0], plain)
    parts = [operation(images[i : i + 1], seed=1, samples=[i], **kwargs) for i in range(3)]
    assert torch.equal(torch.cat(parts), plain)
    plr_fast.set_num_threads(2)
    assert torch.equal(operation(images, seed=1, **kwargs), plain)


@pytest.mark.parametrize(
    ("operation", "kwargs", "error", "message"),
    [
        (gaussian_blur, {"size": 4}, ValueError, "size must be odd"),
        (gaussian_blur, {"size": -1}, ValueError, "size"),
        (gaussian_blur, {"size": 65}, ValueError, "size"),
        (gaussian_blur, {"sigma": 1e-200}, ValueError, "sigma must be 0 or at least"),
        (gaussian_blur, {"sigma": -1}, ValueError, "sigma"),
        (gaussian_blur, {"sigma": float("nan")}, ValueError, "sigma"),
        (gaussian_blur, {"windows": 0}, ValueError, "windows"),
        (gaussian_blur, {"windows": 3, "window": 51}, ValueError, "window must fit"),
        (local_shuffle, {"grid": 38}, ValueError, "more than the image has pixels"),
        (local_shuffle, {"grid": 0}, ValueError, "grid"),
        (local_shuffle, {"grid": (2, 3, 4)}, ValueError, "grid must be one number"),
        (local_shuffle, {"windows": -2}, ValueError, "windows"),
        (local_shuffle, {"seed": 1.5}, TypeError, "seed"),
    ],
)
def test_bad_arguments(operation: Any, kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        operation(pictures(np.uint8), **kwargs)


@pytest.mark.parametrize("weights_q8", [[64, 128, 63], [-1, 256, 1], [300, -44, 0]])
def test_the_compiled_blur_refuses_integer_weights_that_would_overflow(weights_q8: list[int]) -> None:
    native = pytest.importorskip("plr_fast._native", reason="the compiled extension is not built")
    images = pictures(np.uint8)
    weights = np.full(3, 1 / 3, np.float32)
    with pytest.raises(ValueError, match="weights_q8"):
        native.blur(
            images, images, np.arange(3), weights, np.array(weights_q8, np.int32), 0, 0, (0, 0, 0, 0), 1
        )  # fmt: skip


def test_nan_is_found_before_work() -> None:
    images = pictures(np.float32)
    images[1, 2, 3] = np.nan
    for operation in (gaussian_blur, local_shuffle):
        with pytest.raises(ValueError, match=r"NaN \(in image 1\)"):
            operation(images)
