"""Zoom and shear: geometry against SciPy, draws that depend on (seed, epoch, index) alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from plr_fast.training.augment import STREAM, ZoomShear


@pytest.mark.parametrize("shape", [(24, 24), (17, 30)])
def test_geometry_is_that_of_scipy(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    images = generator.random((4, 1, *shape))
    augment = ZoomShear()
    indices = np.array([5, 0, 2**40, 7])
    out = augment(torch.from_numpy(images), seed=3, epoch=2, indices=torch.from_numpy(indices)).numpy()
    drawn = augment.parameters(seed=3, epoch=2, indices=indices)
    centre = (np.array(shape) - 1) / 2
    for image, result, (zoom, shear) in zip(images[:, 0], out[:, 0], drawn, strict=True):
        # In (row, column) order: (y, x) moves to zoom · (y, x + tan(shear) · y) about the centre.
        forward = zoom * np.array([[1.0, 0.0], [np.tan(shear), 1.0]])
        inverse = np.linalg.inv(forward)
        expected = ndimage.affine_transform(
            image, inverse, offset=centre - inverse @ centre, order=1, mode="nearest", output=np.float64
        )
        np.testing.assert_allclose(result, expected, atol=1e-9)


def test_a_factor_above_one_magnifies() -> None:
    image = torch.zeros(1, 1, 31, 31)
    image[..., 11:20, 11:20] = 1.0
    out = ZoomShear((1.5, 1.5), (0.0, 0.0))(image, seed=0, epoch=0, indices=torch.tensor([0]))
    assert 1.8 < out.sum().item() / image.sum().item() < 2.7  # 1.5² = 2.25, but for the border pixels


def test_result_depends_on_seed_epoch_and_index_only() -> None:
    torch.manual_seed(0)
    images, indices = torch.rand(7, 1, 40, 40), torch.arange(100, 107)
    augment = ZoomShear()
    whole = augment(images, seed=1, epoch=4, indices=indices)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    parts = torch.cat(
        [augment(images[part], seed=1, epoch=4, indices=indices[part]) for part in (order[:2], order[2:3], order[3:])]
    )
    assert torch.equal(parts, whole[order])
    for changed in ({"seed": 2, "epoch": 4}, {"seed": 1, "epoch": 5}):
        assert not torch.isclose(augment(images, indices=indices, **changed), whole).all(dim=(1, 2, 3)).any()


def test_draws_are_uniform_in_their_ranges() -> None:
    drawn = ZoomShear((0.8, 1.2), (-0.2, 0.1)).parameters(seed=0, epoch=0, indices=np.arange(4000))
    for values, low, high in ((drawn[:, 0], 0.8, 1.2), (drawn[:, 1], -0.2, 0.1)):
        counts, _ = np.histogram(values, bins=10, range=(low, high))
        assert counts.sum() == 4000
        # Chi-square with 9 degrees of freedom exceeds 27.9 once in a thousand seeds; the draws are fixed.
        assert ((counts - 400) ** 2 / 400).sum() < 27.9
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.05


def philox4x64(counter: list[int], key: list[int]) -> list[int]:
    """Ten rounds of Philox4x64 as Salmon et al. (2011) define it, in whole numbers."""
    word = 2**64
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * counter[0], word)
        high1, low1 = divmod(0xCA5A826395121157 * counter[2], word)
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
        key = [(key[0] + 0x9E3779B97F4A7C15) % word, (key[1] + 0xBB67AE8584CAA73B) % word]
    return counter


@pytest.mark.parametrize(("seed", "epoch", "index"), [(0, 0, 0), (7, 3, 12345), (2**62, 1000, 2**33)])
def test_draws_are_those_of_philox(seed: int, epoch: int, index: int) -> None:
    # NumPy counts up before its first block.
    words = philox4x64([1, 0, index, epoch], [seed, STREAM])
    zoom, shear = ((word >> 11) / 2**53 for word in words[:2])
    drawn = ZoomShear((0.0, 1.0), (0.0, 1.0)).parameters(seed=seed, epoch=epoch, indices=np.array([index]))
    assert drawn.tolist() == [[zoom, shear]]


def test_switched_off_it_returns_the_images_themselves() -> None:
    images = torch.rand(2, 1, 8, 8)
    assert ZoomShear((1.0, 1.0), (0.0, 0.0))(images, seed=0, epoch=0, indices=torch.arange(2)) is images
