"""Masks as bits: the CUDA kernels, run on the host, against the native backend, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plr_fast.backends import native
from plr_fast.backends.cuda.arrays import from_numpy
from plr_fast.backends.cuda.launch import Context
from plr_fast.backends.cuda.masks import pack_masks
from plr_fast.backends.specs import PackedMasks, mask_words

from .arrays import packed


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 150)),
    share=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    values=st.sampled_from([1, 127, 128, 255]),
    seed=st.integers(0, 99),
)
def test_bits_and_counts_are_those_of_the_native_backend(
    host: Context, shape: tuple[int, int, int], share: float, values: int, seed: int
) -> None:
    masks = np.where(np.random.default_rng(seed).random(shape) < share, values, 0).astype(np.uint8)
    _check(host, masks)


@pytest.mark.parametrize("shape", [(2, 600, 64), (1, 3, 512), (2, 9, 1100), (1, 257, 16), (1, 1, 1)])
def test_long_columns_and_rows(host: Context, shape: tuple[int, int, int]) -> None:
    _check(host, np.random.default_rng(0).integers(0, 3, shape, np.uint8))


def test_rows_that_are_not_aligned(host: Context) -> None:
    whole = np.random.default_rng(0).integers(0, 2, 1 + 2 * 8 * 32, np.uint8)
    _check(host, whole[1:].reshape(2, 8, 32))


def test_no_masks_are_nothing_to_do(host: Context) -> None:
    _check(host, np.empty((0, 4, 4), np.uint8))


def _check(host: Context, masks: np.ndarray) -> None:
    batch, height, width = masks.shape
    ours = PackedMasks(
        np.full((batch, height, mask_words(width)), 0x5A, np.uint64), np.full((batch, height + 1), 7, np.uint32)
    )
    theirs = PackedMasks(np.empty_like(ours.bits), np.empty_like(ours.before))
    native.pack_masks(masks, theirs, 1)
    pack_masks(host, from_numpy(masks), packed(ours))
    np.testing.assert_array_equal(ours.bits, theirs.bits)
    np.testing.assert_array_equal(ours.before, theirs.before)
