"""Heavy augmentation: a function of (seed, epoch, index) alone; each operation against a computation by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from plr_fast.errors import ConfigError
from plr_fast.models import DANet
from plr_fast.training import FinetuneConfig, finetune, load_classifier
from plr_fast.training.augment_heavy import HeavyAugment, inverse_affine

from .conftest import assert_same_run, write_store

INDICES = np.arange(4000)
IDLE = {
    **dict.fromkeys(("flip_x", "flip_y", "zoom", "stretch", "contrast", "gamma"), 1.0),
    **dict.fromkeys(("rotation", "shift_x", "shift_y", "shear_x", "shear_y", "brightness", "sharpness"), 0.0),
    **dict.fromkeys(("noise", "speckle", "erase_height", "erase_width", "erase_y", "erase_x"), 0.0),
}


class Fixed(HeavyAugment):
    """The strengths given, whatever the sample."""

    def __init__(self, **strengths: float) -> None:
        super().__init__()
        object.__setattr__(self, "strengths", {**IDLE, **strengths})

    def parameters(self, *, indices: np.ndarray, **_draw: int) -> dict[str, np.ndarray]:  # type: ignore[override]
        strengths: dict[str, float] = self.strengths  # type: ignore[attr-defined]
        return {name: np.full(len(indices), value) for name, value in strengths.items()}


def apply(augment: HeavyAugment, images: torch.Tensor, indices: Any = None, **changes: int) -> torch.Tensor:
    chosen = torch.arange(len(images)) if indices is None else torch.as_tensor(indices)
    return augment(images, **{"seed": 3, "epoch": 2, **changes}, indices=chosen)


def smooth(size: int = 48, channels: int = 1) -> torch.Tensor:
    noise = np.random.default_rng(0).normal(size=(1, channels, size, size))
    grey = ndimage.gaussian_filter(noise, (0, 0, 4, 4))
    return torch.from_numpy((grey - grey.min()) / (grey.max() - grey.min())).float() * 0.6 + 0.2


def test_names_as_many_strengths_as_the_idle_ones() -> None:
    assert HeavyAugment().parameters(seed=0, epoch=0, indices=INDICES[:1]).keys() == IDLE.keys()


def test_a_sample_depends_on_seed_epoch_and_index_alone() -> None:
    images = torch.rand(5, 2, 24, 20)
    whole = apply(HeavyAugment(), images)
    for part in ([3], [4, 1]):
        torch.testing.assert_close(apply(HeavyAugment(), images[part], part), whole[part], rtol=0, atol=1e-6)
    for change in ({"seed": 4}, {"epoch": 3}):
        assert (apply(HeavyAugment(), images, **change) - whole).abs().mean() > 0.01
    same = apply(HeavyAugment(), images[:1].expand(3, -1, -1, -1))
    assert (same[0] - same[1]).abs().mean() > 0.01


def test_strengths_fill_their_ranges_on_half_of_the_samples() -> None:
    drawn = HeavyAugment().parameters(seed=1, epoch=0, indices=INDICES)
    for name, low, high in (
        ("zoom", 0.8, 1.2),
        ("shear_x", -0.2, 0.2),
        ("shear_y", -0.2, 0.2),
        ("rotation", -np.radians(20), np.radians(20)),
        ("shift_x", -0.1, 0.1),
        ("stretch", 1 / 1.15, 1.15),
        ("brightness", -0.15, 0.15),
        ("contrast", 1 / 1.3, 1.3),
        ("gamma", 1 / 1.4, 1.4),
        ("sharpness", -1.0, 1.0),
        ("noise", 0.0, 0.05),
        ("speckle", 0.0, 0.1),
        ("erase_width", 0.0, 0.3),
    ):
        values, idle = drawn[name], IDLE[name]
        assert low <= values.min() <= low + 0.05 * (high - low), name
        assert high - 0.05 * (high - low) <= values.max() <= high, name
        assert abs((values == idle).mean() - 0.5) < 0.03, name
    for name in ("flip_x", "flip_y"):
        assert abs((drawn[name] == -1).mean() - 0.5) < 0.03
    together = np.corrcoef(np.stack([drawn[name] for name in ("zoom", "rotation", "gamma", "noise", "shift_x")]))
    assert np.abs(together - np.eye(5)).max() < 0.06


def test_idle_strengths_change_nothing() -> None:
    images = torch.rand(2, 3, 17, 24)
    torch.testing.assert_close(apply(Fixed(), images), images, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("strengths", "expected"),
    [
        ({"flip_x": -1.0}, lambda image: np.flip(image, 1)),
        ({"flip_y": -1.0}, lambda image: np.flip(image, 0)),
        # Turned by the matrix of the angle with y down: clockwise on the screen.
        ({"rotation": np.pi / 2}, lambda image: np.rot90(image, -1)),
        ({"shift_x": 0.25}, lambda image: np.pad(image, ((0, 0), (12, 0)), mode="edge")[:, :48]),
        ({"shift_y": -0.25}, lambda image: np.pad(image, ((0, 12), (0, 0)), mode="edge")[12:]),
        ({"brightness": 0.1}, lambda image: image + 0.1),
        ({"contrast": 0.5}, lambda image: image.mean() + 0.5 * (image - image.mean())),
        ({"gamma": 2.0}, lambda image: image**2),
        ({"sharpness": 1.0}, lambda image: blurred(image)),
        ({"sharpness": -1.0}, lambda image: 2 * image - blurred(image)),
    ],
)
def test_each_operation_by_hand(strengths: dict[str, float], expected: Callable[[np.ndarray], np.ndarray]) -> None:
    image = smooth()
    found = apply(Fixed(**strengths), image)[0, 0].numpy()
    np.testing.assert_allclose(found, expected(image[0, 0].numpy()), atol=1e-4)


def blurred(image: np.ndarray) -> np.ndarray:
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    blurred: np.ndarray = ndimage.convolve(image, kernel, mode="nearest")
    return blurred


def test_the_affine_map_against_scipy_off_the_square() -> None:
    image = smooth(64)[..., :40]
    strengths = {"zoom": 1.1, "stretch": 1.2, "shear_x": 0.15, "shear_y": -0.1, "rotation": 0.3, "flip_x": -1.0}
    found = apply(Fixed(**strengths), image)[0, 0].numpy()
    scale = np.diag([-1.1 * np.sqrt(1.2), 1.1 / np.sqrt(1.2)])
    shear_x, shear_y = np.array([[1, np.tan(0.15)], [0, 1]]), np.array([[1, 0], [np.tan(-0.1), 1]])
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    forward = turn @ shear_y @ shear_x @ scale  # acts on (x, y); SciPy wants the inverse on (row, column)
    inverse = np.linalg.inv(forward)[::-1, ::-1]
    centre = (np.array(image.shape[2:]) - 1) / 2
    expected = ndimage.affine_transform(
        image[0, 0].numpy(), inverse, centre - inverse @ centre, order=1, mode="nearest"
    )
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert inverse_affine({k: np.array([v]) for k, v in IDLE.items()}, height=3, width=7).tolist() == [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    ]


@pytest.mark.parametrize("name", ["noise", "speckle"])
def test_noise_is_normal_and_of_its_strength(name: str) -> None:
    image = torch.full((2, 1, 128, 128), 0.5)
    noise = (apply(Fixed(**{name: 0.05}), image) - 0.5).numpy() / (0.5 if name == "speckle" else 1.0)
    assert abs(noise.mean()) < 1e-3
    assert noise.std() == pytest.approx(0.05, rel=0.02)
    flat = noise[:, 0].reshape(2, -1)
    assert abs(np.corrcoef(flat)[0, 1]) < 0.03
    # A sum of four is nearly normal: kurtosis −0.3, and more than a uniform's share beyond two sigma.
    assert 0.03 < (np.abs(flat) > 0.1).mean() < 0.06


def test_an_erased_rectangle_holds_the_mean() -> None:
    image = smooth(40)
    found = apply(Fixed(erase_height=0.25, erase_width=0.5, erase_y=0.999, erase_x=0.0), image)
    rectangle = torch.zeros(40, 40, dtype=torch.bool)
    rectangle[30:, :20] = True
    torch.testing.assert_close(found[0, 0][rectangle], image.mean().expand(200), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[0, 0][~rectangle], image[0, 0][~rectangle], rtol=0, atol=1e-5)


def test_danet_learns_to_tell_the_classes_apart(finetune_config: Callable[..., FinetuneConfig], tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", normals=24, positives=24, val=12)
    options = {"store": store, "model": "danet", "danet_scale": 0.5, "optimizer": "adam", "lr": 3e-3, "batch_size": 8}
    options |= {"widths": FinetuneConfig.widths, "hidden": FinetuneConfig.hidden}
    # The heavy augmentation needs more epochs than a test has, on slices of 32 pixels.
    config = finetune_config(**options, augment="zoom-shear", epochs=12)
    assert finetune(config).best_metric < 0.4
    model = load_classifier(config.run)
    assert isinstance(model, DANet)
    assert model.encoder.scale == 0.5
    heavy = [finetune_config(name, **options, max_steps=2) for name in ("heavy", "again")]
    assert heavy[0].heavy
    assert not config.heavy
    for each in heavy:
        finetune(each)
    assert_same_run(heavy[0].run, heavy[1].run)


def test_settings_without_effect_are_refused(finetune_config: Callable[..., FinetuneConfig]) -> None:
    with pytest.raises(ConfigError, match=r"widths=.* would have no effect: model=danet"):
        finetune_config(model="danet").check()
    with pytest.raises(ConfigError, match=r"danet_scale=0\.5 would have no effect: it is for model=danet"):
        finetune_config(danet_scale=0.5).check()
    with pytest.raises(ConfigError, match=r"danet_scale must be one of 0\.5, 1\.0"):
        finetune_config(danet_scale=0.7).check()
