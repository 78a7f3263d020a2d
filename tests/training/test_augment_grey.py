"""Grey levels and flips: a function of (seed, epoch, index) alone, against a computation by hand."""

from __future__ import annotations

import numpy as np
import torch

from plr_fast.training.augment_grey import STREAM, GreyFlip

from .test_augment import philox4x64

FULL = GreyFlip((-0.15, 0.15), (0.7, 1.3), (0.74, 1.35), flip=True)


def test_matches_a_computation_by_hand() -> None:
    images = torch.rand((12, 2, 5, 7), generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1
    indices = np.arange(100, 112)
    drawn = FULL.parameters(seed=3, epoch=2, indices=indices)
    out = FULL(images, seed=3, epoch=2, indices=torch.from_numpy(indices))
    for picture, result, (brightness, contrast, gamma, flip) in zip(images.numpy(), out.numpy(), drawn, strict=True):
        expected = np.clip(contrast * np.clip(picture.astype(np.float64), 0, 1) ** gamma + brightness, 0, 1)
        np.testing.assert_allclose(result, expected[..., ::-1] if flip else expected, atol=1e-6)
    assert 0 < drawn[:, 3].sum() < 12


def test_draws_are_those_of_philox_in_their_ranges() -> None:
    words = philox4x64([1, 0, 55, 4], [9, STREAM])
    u = [(word >> 11) / 2**53 for word in words]
    drawn = FULL.parameters(seed=9, epoch=4, indices=np.array([55]))[0]
    expected = [-0.15 + 0.3 * u[0], 0.7 + 0.6 * u[1], 0.74 * (1.35 / 0.74) ** u[2], float(u[3] < 0.5)]
    np.testing.assert_allclose(drawn, expected, rtol=1e-12)
    many = FULL.parameters(seed=0, epoch=0, indices=np.arange(4000))
    logs = np.log(many[:, 2])
    for values, low, high in ((many[:, 0], -0.15, 0.15), (many[:, 1], 0.7, 1.3), (logs, np.log(0.74), np.log(1.35))):
        counts, _ = np.histogram(values, bins=10, range=(low, high))
        assert counts.sum() == 4000
        assert ((counts - 400) ** 2 / 400).sum() < 27.9  # chi-square, see test_augment
    assert abs(many[:, 3].mean() - 0.5) < 0.03
    assert np.abs(np.corrcoef(many.T) - np.eye(4)).max() < 0.05


def test_result_depends_on_seed_epoch_and_index_only() -> None:
    images, indices = torch.rand(6, 1, 8, 8), torch.arange(6)
    whole = FULL(images, seed=1, epoch=4, indices=indices)
    order = torch.tensor([3, 0, 2, 5, 1, 4])
    parts = [FULL(images[part], seed=1, epoch=4, indices=indices[part]) for part in (order[:2], order[2:])]
    assert torch.equal(torch.cat(parts), whole[order])
    for changed in ({"seed": 2, "epoch": 4}, {"seed": 1, "epoch": 5}):
        assert not torch.equal(FULL(images, indices=indices, **changed), whole)


def test_parts_alone_and_off() -> None:
    images, indices = torch.rand(64, 1, 4, 6), torch.arange(64)
    assert GreyFlip()(images, seed=0, epoch=0, indices=indices) is images
    flipped = GreyFlip(flip=True)(images, seed=0, epoch=0, indices=indices)
    turned = (flipped == images.flip(-1)).flatten(1).all(dim=1)
    assert torch.equal(flipped[~turned], images[~turned])
    assert 16 < turned.sum() < 48
    darker = GreyFlip(contrast=(0.5, 0.5))(images, seed=0, epoch=0, indices=indices)
    torch.testing.assert_close(darker, images / 2)
