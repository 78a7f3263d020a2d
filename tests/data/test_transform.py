"""Corruption of batches: the same as the operations', counted ids, pickles, and a device's memory."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch

from plr_fast import (
    FreshLesions,
    LesionBank,
    PseudoLesionTransform,
    gaussian_blur,
    local_shuffle,
    paste_clouds,
    paste_lesions,
)
from tests.backends.cuda.device import pretended

SMALL: dict[str, Any] = {"size": 64, "patch": (3, 9), "threshold": 140, "seed": 3}


@pytest.fixture(scope="module")
def bank() -> LesionBank:
    return LesionBank.generate(count=40, images=4, **SMALL)


def scene(batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(np.random.default_rng(0).random((batch, 1, 37, 45), np.float32))
    masks = torch.zeros(images.shape, dtype=torch.bool)
    masks[..., 4:30, 7:40] = True
    return images, masks


def test_it_does_what_the_operations_do(bank: LesionBank) -> None:
    images, masks = scene()
    ids = [4, 9, -1]
    settings: dict[str, Any] = {"count": (3, 9), "blend": "alpha", "alpha": 0.5, "feather": 2}
    transform = PseudoLesionTransform(bank=bank, seed=8, **settings)
    expected = paste_lesions(images, masks, bank, seed=8, samples=ids, **settings)
    assert torch.equal(transform(images, masks, samples=ids), expected)
    fresh = FreshLesions(images=3, octaves=2, cells=2, **SMALL)
    expected = paste_lesions(images, masks, fresh, seed=8, samples=ids)
    assert torch.equal(PseudoLesionTransform(lesions="fresh", bank=fresh, seed=8)(images, masks, samples=ids), expected)
    clouds: dict[str, Any] = {"threshold": 120, "combine": "any", "alpha": 0.5}
    expected = paste_clouds(images, masks, seed=8, samples=ids, **clouds)
    transform = PseudoLesionTransform(lesions="clouds", clouds=clouds, seed=8)
    assert torch.equal(transform(images, masks, samples=ids), expected)
    for corruption, operation in (("gaussian", gaussian_blur), ("shuffle", local_shuffle)):
        for windows in (None, 3):
            transform = PseudoLesionTransform(corruption, seed=8, windows=windows)  # type: ignore[arg-type]
            expected = operation(images, seed=8, samples=ids, windows=windows)
            assert torch.equal(transform(images, samples=ids), expected)


def test_ids_are_counted(bank: LesionBank) -> None:
    images, masks = scene()
    transform = PseudoLesionTransform(bank=bank)
    first, second = transform(images, masks), transform(images, masks)
    assert transform.next_sample == 6
    assert not torch.equal(first, second)
    transform.next_sample = 3
    assert torch.equal(transform(images, masks), second)
    transform(images, masks, samples=[1, 2, 3])
    assert transform.next_sample == 6, "given ids are not counted"
    with pytest.raises(ValueError, match="masks must have the shape"):
        transform(images, masks[:2])
    assert transform.next_sample == 6, "nothing was made"


def test_it_pickles_with_its_count(bank: LesionBank) -> None:
    images, masks = scene()
    transform = PseudoLesionTransform(bank=bank, seed=5)
    transform(images, masks)
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy(images, masks), transform(images, masks))


def test_patches_follow_the_images(bank: LesionBank) -> None:
    pytest.importorskip("plr_fast._cuda_host", reason="needs the host launcher, which tools/setup.sh dev builds")
    images, masks = scene()
    expected = PseudoLesionTransform(bank=bank)(images.numpy(), masks.numpy())  # type: ignore[arg-type]
    with pretended() as home:
        transform = PseudoLesionTransform(bank=bank, device="cuda:0")
        home.launcher.launched.clear()
        assert np.array_equal(transform(images, masks).numpy(), expected)
        assert home.launcher.launched, "it ran on the device"
        copy = pickle.loads(pickle.dumps(transform))
        copy.next_sample = 0
        assert np.array_equal(copy(images, masks).numpy(), expected)
        copy.next_sample = 0
        assert np.array_equal(copy(images.numpy(), masks.numpy()), expected), "and on the host"


def test_clouds_are_made_where_the_images_are() -> None:
    pytest.importorskip("plr_fast._cuda_host", reason="needs the host launcher, which tools/setup.sh dev builds")
    images, masks = scene()
    settings: dict[str, Any] = {"lesions": "clouds", "clouds": {"min_area": 9, "threshold": (150, 254)}, "seed": 4}
    expected = PseudoLesionTransform(**settings)(images.numpy(), masks.numpy())  # type: ignore[arg-type]
    with pretended() as home:
        transform = pickle.loads(pickle.dumps(PseudoLesionTransform(**settings, device="cuda:0")))
        marks = torch.empty(images.shape, dtype=torch.bool)
        assert np.array_equal(transform(images, masks, lesion_mask=marks).numpy(), expected)
        assert "cloud_float32" in {kernel for kernel, _, _ in home.launcher.launched}
        assert transform.next_sample == 3
        assert marks.any()
        assert not marks[~masks].any()


def test_bad_settings_are_refused_at_once(bank: LesionBank) -> None:
    for settings, message in (
        ({"corruption": "salt"}, "corruption must be one of"),
        ({"blend": "burn"}, "blend must be one of"),
        ({"lesions": "fresh"}, "no use for a LesionBank"),
        ({"lesions": "clouds"}, "no use for patches"),
        ({"clouds": {}}, "settings of corruption"),
        ({"lesions": "clouds", "bank": None, "clouds": {"softness": 256}}, "softness must be"),
        ({"seed": -1}, "seed must be"),
        ({"device": "mps"}, "on the CPU and on CUDA devices alone"),
    ):
        with pytest.raises(ValueError, match=message):
            PseudoLesionTransform(**{"bank": bank, **settings})  # type: ignore[arg-type]
    images, _ = scene()
    with pytest.raises(ValueError, match="pass their masks"):
        PseudoLesionTransform(bank=bank)(images)
