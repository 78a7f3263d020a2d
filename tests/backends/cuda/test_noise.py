"""Noise by the CUDA kernels, run on the host, has the bits of the native backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from plr_fast.backends import get_backend
from plr_fast.backends.cuda import noise as cuda_noise
from plr_fast.backends.cuda.arrays import from_numpy
from plr_fast.backends.cuda.launch import Context, HostLauncher
from plr_fast.backends.cuda.memory import NumpyMemory
from plr_fast.backends.cuda.params import SampleIds
from plr_fast.backends.specs import NoiseFormat, NoiseSpec

pytest.importorskip("plr_fast._native", reason="the native backend is what the bits are compared with")

STORAGE = {"float32": "f4", "float16": "f2", "bfloat16": "u2", "fixed": "u1", "minmax": "u1"}
FORMATS: list[NoiseFormat] = ["float32", "float16", "bfloat16", "fixed", "minmax"]


def expected(shape: tuple[int, ...], ids: list[int], spec: NoiseSpec) -> np.ndarray:
    """Return the bits that the CPU makes."""
    out = np.empty(shape, STORAGE[spec.format])
    get_backend("native").noise(out, np.array(ids, np.int64), spec, 1)
    return bits(out)


def place(shape: tuple[int, ...], dtype: str, margins: tuple[int, ...], steps: tuple[int, ...]) -> Any:
    """Return a filled block of memory, and a view of ``shape`` in it whose rows are contiguous."""
    spans = [2 * m + (n - 1) * abs(s) + 1 for n, m, s in zip(shape, margins, steps, strict=True)]
    whole = np.full(spans, 7, dtype)
    cut = tuple(slice(m, m + (n - 1) * abs(s) + 1, abs(s)) for n, m, s in zip(shape, margins, steps, strict=True))
    return whole, whole[cut][tuple(slice(None, None, 1 if s > 0 else -1) for s in steps)]


def run(context: Context, out: np.ndarray, ids: SampleIds, spec: NoiseSpec) -> np.ndarray:
    dtype = "bfloat16" if spec.format == "bfloat16" else ""
    cuda_noise.noise(context, from_numpy(out, dtype), ids, spec)
    return out


def bits(array: np.ndarray) -> np.ndarray:
    return array.copy().view(f"i{array.itemsize}" if array.itemsize > 1 else "u1")


@st.composite
def specs(draw: st.DrawFn) -> NoiseSpec:
    tileable = draw(st.booleans())
    if tileable:
        one: Any = st.sampled_from([1, 2, 3, 5, 8, 64, 255, 256, 257, 1000])
        lacunarity = float(draw(st.integers(1, 3)))
    else:
        # Cells wider than the image, some, narrower than a pixel, beyond the lattice's period.
        one = st.one_of(st.floats(0.05, 3), st.floats(3, 90), st.floats(90, 3000))
        lacunarity = draw(st.one_of(st.just(2.0), st.floats(1, 3)))
    return NoiseSpec(
        seed=draw(st.integers(0, 2**64 - 1)),
        cells=tuple(float(draw(one)) for _ in range(3)),  # type: ignore[arg-type]
        octaves=draw(st.one_of(st.integers(1, 7), st.integers(1, 12))),
        persistence=draw(st.sampled_from([0.5, 0.0, 1.0, 0.7, 3.0])),
        lacunarity=lacunarity,
        tileable=tileable,
        format=draw(st.sampled_from(FORMATS)),
    )


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), spec=specs())
def test_same_bits_as_the_cpu_whatever_the_call(host: Context, data: st.DataObject, spec: NoiseSpec) -> None:
    batch = data.draw(st.integers(1, 3))
    width = data.draw(st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 127, 128, 129, 255, 256, 260, 515])))
    height = data.draw(st.integers(1, max(1, min(40, 5000 // (batch * width)))))
    depth = data.draw(st.one_of(st.none(), st.integers(1, 4)))
    shape = (batch, height, width) if depth is None else (batch, depth, height, width)
    event(f"{spec.format}, {len(shape) - 1} axes, tileable {spec.tileable}")
    ids = data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=batch, max_size=batch))
    margins = tuple(data.draw(st.integers(0, 3)) for _ in shape)
    steps = (*(data.draw(st.sampled_from([1, 1, 2, -1])) for _ in shape[:-1]), 1)
    whole, view = place(shape, STORAGE[spec.format], margins, steps)
    before = whole.copy()

    memory = np.array(ids, np.int64)
    run(host, view, SampleIds(pointer=memory.ctypes.data, owner=memory), spec)

    np.testing.assert_array_equal(bits(view), expected(shape, ids, spec))
    view[...] = 7
    np.testing.assert_array_equal(whole, before, err_msg="nothing outside of out is written to")


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("octaves", [*range(1, 8), 24])
def test_every_kernel_in_whole_and_odd_rows(host: Context, dims: int, octaves: int) -> None:
    for width in (64, 61):  # stored four at a time, and one by one
        shape = (2, 2, 21, width)[-dims - 1 :] if dims == 3 else (2, 21, width)
        spec = NoiseSpec(5, (2.5, 2.3, 3.7), octaves, 0.6, 1.4, False, "float32")
        found = run(host, np.empty(shape, np.float32), SampleIds(first=9), spec)
        np.testing.assert_array_equal(bits(found), expected(shape, list(range(9, 9 + shape[0])), spec))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_large_image_in_every_format(host: Context, kind: NoiseFormat) -> None:
    spec = NoiseSpec(11, (1.0, 4.0, 4.0), 6, 0.5, 2.0, True, kind)
    found = run(host, np.empty((1, 256, 512), STORAGE[kind]), SampleIds(first=3), spec)
    np.testing.assert_array_equal(bits(found), expected((1, 256, 512), [3], spec))


@pytest.mark.parametrize("multiprocessors", [1, 3, 132])
def test_the_cut_into_strips_does_not_show(multiprocessors: int) -> None:
    pytest.importorskip("plr_fast._cuda_host", reason="needs the host launcher")
    context = Context(HostLauncher(multiprocessors), NumpyMemory())
    spec = NoiseSpec(2, (1.0, 7.3, 5.1), 3, 0.5, 2.0, False, "minmax")
    found = run(context, np.empty((3, 200, 90), np.uint8), SampleIds(first=-4, step=3), spec)
    np.testing.assert_array_equal(found, expected((3, 200, 90), [-4, -1, 2], spec))


def test_a_flat_sample_and_an_empty_batch(host: Context) -> None:
    flat = NoiseSpec(2, (1.0, 1.0, 1.0), 1, 0.5, 2.0, False, "minmax")
    found = run(host, np.full((1, 1, 1), 9, np.uint8), SampleIds(), flat)
    assert found.item() == 0
    run(host, np.empty((0, 5, 5), np.uint8), SampleIds(), flat)


def test_an_output_of_another_dtype_is_refused(host: Context) -> None:
    spec = NoiseSpec(2, (1.0, 1.0, 1.0), 1, 0.5, 2.0, False, "float16")
    with pytest.raises(TypeError, match="out has dtype float32, which does not fit format float16"):
        cuda_noise.noise(host, from_numpy(np.empty((1, 2, 2), np.float32)), SampleIds(), spec)
