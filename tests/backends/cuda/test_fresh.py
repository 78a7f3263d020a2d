"""Fresh lesions: the CUDA kernels, run on the host, against the native backend, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plr_fast.backends import native
from plr_fast.backends.cuda import fresh as cuda
from plr_fast.backends.cuda.arrays import from_numpy
from plr_fast.backends.cuda.launch import Context
from plr_fast.backends.cuda.paste import Bank
from plr_fast.backends.specs import FreshSpec, FreshTable, NoiseSpec, PatchBank

from .arrays import sample_ids


def noise_of(cells: float, octaves: int, persistence: float = 0.5, seed: int = 3) -> NoiseSpec:
    return NoiseSpec(seed, (1.0, cells, cells), octaves, persistence, 2.0, False, "minmax")


def table_on(table: FreshTable) -> cuda.Table:
    return cuda.Table(*(from_numpy(a) for a in (table.low, table.scale, table.permutation, table.offsets)))


def empty_table(images: int, octaves: int) -> FreshTable:
    return FreshTable(
        np.empty(images, np.float32),
        np.empty(images, np.float32),
        np.empty((images, 512), np.uint8),
        np.empty((images, octaves, 2), np.uint8),
    )


def check_table(host: Context, noise: NoiseSpec, images: int, size: int) -> FreshTable:
    expected, table = (empty_table(images, noise.octaves) for _ in range(2))
    native.fresh_table(expected, noise, size, 1)
    cuda.fresh_table(host, table_on(table), noise, size)
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(table, name), value, err_msg=name)
    return expected


def check_patches(
    host: Context, table: FreshTable, spec: FreshSpec, ids: np.ndarray, count: tuple[int, int]
) -> PatchBank:
    slots, side = len(ids) * count[1], spec.patch[1]
    banks = [
        PatchBank(
            np.zeros(slots * side * side, np.uint8), np.arange(slots, dtype=np.int64) * side * side,
            np.full(slots, -1, np.int32), np.full(slots, -1, np.int32),
        )
        for _ in range(2)
    ]  # fmt: skip
    native.fresh(ids, table, spec, 77, count, banks[0], 1)
    out = Bank(*(from_numpy(a) for a in vars(banks[1]).values()))
    cuda.fresh(host, sample_ids(ids), len(ids), table_on(table), spec, 77, count, out)
    np.testing.assert_array_equal(banks[1].heights, banks[0].heights)
    np.testing.assert_array_equal(banks[1].widths, banks[0].widths)
    for start, height, width in zip(banks[0].offsets, banks[0].heights, banks[0].widths, strict=True):
        patch = slice(start, start + height * width)
        np.testing.assert_array_equal(banks[1].pixels[patch], banks[0].pixels[patch])
    return banks[1]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_tables_and_patches_are_those_of_the_native_backend(host: Context, data: st.DataObject) -> None:
    draw = data.draw
    size = draw(st.integers(1, 60), label="size")
    octaves = draw(st.integers(1, 4) | st.just(7), label="octaves")
    noise = noise_of(
        draw(st.floats(0.5, 9.0), label="cells"), octaves, draw(st.sampled_from([0.5, 1.0])), draw(st.integers(0, 99))
    )
    table = check_table(host, noise, draw(st.integers(1, 5), label="images"), size)
    sides = sorted(draw(st.tuples(st.integers(1, size), st.integers(1, min(size, 30))), label="sides"))
    spec = FreshSpec(
        noise, size, (min(sides[0], 30), min(sides[1], 30)), draw(st.sampled_from([0, 60, 120])),
        draw(st.sampled_from([-1, 40, 150])),
    )  # fmt: skip
    low = draw(st.integers(0, 2), label="low count")
    ids = np.array(draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3)), np.int64)
    check_patches(host, table, spec, ids, (low, low + draw(st.integers(0, 3), label="more")))


def test_patches_as_rare_as_the_papers(host: Context) -> None:
    noise = noise_of(4, 4)
    table = check_table(host, noise, 6, 128)
    spec = FreshSpec(noise, 128, (5, 25), 180, 120)
    bank = check_patches(host, table, spec, np.arange(4, dtype=np.int64), (5, 8))
    found = bank.heights > 0
    assert found.any()
    assert not found.all()  # counts are drawn


def test_settings_that_give_no_patch_end(host: Context) -> None:
    """All rounds are looked at, those with a bright centre made as boxes; none is bright enough."""
    noise = noise_of(12, 1)
    table = check_table(host, noise, 1, 24)
    bank = check_patches(host, table, FreshSpec(noise, 24, (14, 16), 250, 251), np.array([5]), (2, 2))
    assert not bank.heights.any()


@pytest.mark.parametrize(("batch", "most"), [(0, 3), (2, 0)])
def test_no_patches_are_nothing_to_do(host: Context, batch: int, most: int) -> None:
    noise = noise_of(4, 2)
    table = check_table(host, noise, 2, 16)
    nothing = from_numpy(np.empty(0, np.uint8))
    ids = sample_ids(np.arange(batch, dtype=np.int64))
    cuda.fresh(
        host, ids, batch, table_on(table), FreshSpec(noise, 16, (2, 4), 100, -1), 0, (0, most), Bank(*4 * [nothing])
    )
