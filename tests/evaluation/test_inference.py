"""Running networks: order, batches, and outputs that no metric may be made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from plr_fast.errors import CheckpointError
from plr_fast.evaluation.inference import choose_device, predict, restore


class Mean(torch.nn.Module):
    """The logit of a slice is its mean grey."""

    def forward(self, images):
        assert not torch.is_grad_enabled()
        assert not self.training
        return images.mean(dim=(1, 2, 3))


class Same(torch.nn.Module):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, images):
        return self.change(images)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_scores_stand_in_the_order_of_the_indices(store, batch_size):
    indices = store.select("test")[::-1][:7].copy()
    done: list[int] = []
    found = predict(Mean(), store, indices, name="m", batch_size=batch_size, advance=done.append)
    expected = 1 / (1 + np.exp(-store.slices[indices].mean(axis=(1, 2)) / 255))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float64
    assert sum(done) == 7


def test_a_classifier_must_give_one_logit_for_each_slice(store):
    with pytest.raises(CheckpointError, match=r"classifier m gives shape \(4, 2\) for 4 slices"):
        predict(Same(lambda images: images[:, 0, 0, :2]), store, store.select("test")[:4], name="m")
    assert predict(Mean(), store, np.empty(0, np.int64), name="m").shape == (0,)


def test_restored_pictures_are_clipped_and_checked():
    images = np.linspace(0, 1, 2 * 16 * 16, dtype=np.float32).reshape(2, 16, 16)
    np.testing.assert_array_equal(restore(Same(lambda x: x), images, name="r"), images)
    bright = restore(Same(lambda x: x * 3 - 1), images, name="r")
    np.testing.assert_allclose(bright, np.clip(images * 3 - 1, 0, 1), atol=1e-6)
    with pytest.raises(CheckpointError, match=r"restorer r gives shape \(2, 8, 16\)"):
        restore(Same(lambda x: x[:, :, :8]), images, name="r")
    with pytest.raises(CheckpointError, match="NaN or infinite pixels"):
        restore(Same(lambda x: x * math.inf), images, name="r")


def test_automatic_device_is_a_device_that_works():
    torch.empty(1, device=choose_device("auto"))
    assert choose_device("cpu").type == "cpu"
