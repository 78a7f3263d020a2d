"""The anomaly generator: its contract, the blend, masks, turning, sources, seeding; with and without torchvision."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image

from plr_fast import DataError, ImageReadError
from plr_fast.integrations import PerlinAnomalyGenerator
from tests.conftest import activate, variants

ROOT = Path(__file__).parents[2]
BASE = (
    "from plr_fast.integrations import PerlinAnomalyGenerator as G; print(G.__base__.__module__, G.__base__.__name__)"
)


def generate(images: torch.Tensor, seed: int = 0, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    augmented, masks = PerlinAnomalyGenerator(**{"probability": 1.0, **kwargs})(images)
    return augmented, masks


def test_the_constructor_is_anomalibs() -> None:
    parameters = inspect.signature(PerlinAnomalyGenerator).parameters
    assert list({name: p.default for name, p in parameters.items()}.items())[:5] == [
        ("anomaly_source_path", None),
        ("probability", 0.5),
        ("blend_factor", (0.2, 1.0)),
        ("rotation_range", (-90, 90)),
        ("dual_mask", False),
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 40, 56), (1, 33, 20), (5, 3, 40, 56), (0, 1, 8, 8)])
def test_shapes_and_dtypes(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    images = torch.rand(shape, dtype=dtype)
    before = images.clone()
    augmented, masks = generate(images)
    assert torch.equal(images, before)
    assert augmented.shape == shape
    assert masks.shape == (*shape[:-3], 1, *shape[-2:])
    assert augmented.dtype == masks.dtype == dtype
    assert ((masks == 0) | (masks == 1)).all()
    outside = (masks == 0).expand(shape)
    assert torch.equal(augmented[outside], images[outside])
    assert (augmented != images).any() == bool(images.numel())


def test_the_noise_is_blended_in_as_grey() -> None:
    images = torch.rand(8, 3, 64, 64)
    augmented, masks = generate(images, blend_factor=0.75)
    source = (augmented - 0.25 * images) / 0.75
    inside = masks[:, 0] == 1
    for channel in range(3):
        torch.testing.assert_close(source[:, channel][inside], source[:, 0][inside], atol=1e-5, rtol=0)
    # The mask is where the noise exceeds 0.5, and grey is 0.25 + noise / 2.
    assert source[:, 0][inside].min() > 0.5 - 1e-5
    assert source[:, 0][inside].max() < 0.75 + 1e-5


def test_the_blend_factor_is_drawn_for_each_image(tmp_path: Path) -> None:
    Image.new("L", (10, 10), 255).save(tmp_path / "white.png")
    augmented, masks = generate(torch.zeros(200, 1, 24, 24), anomaly_source_path=tmp_path, blend_factor=(0.3, 0.9))
    beta = augmented.amax((1, 2, 3))
    torch.testing.assert_close(augmented, beta.view(-1, 1, 1, 1) * masks)
    assert beta.min() >= 0.3
    assert beta.max() <= 0.9
    assert abs(beta.mean() - 0.6) < 0.05  # standard error 0.012
    assert beta.std() > 0.15


def test_no_mask_is_empty_and_some_are_small() -> None:
    """Coarse noise of one cell often stays below the threshold: it is stretched or drawn again."""
    _, masks = generate(torch.zeros(400, 1, 40, 30))
    share = masks.mean((1, 2, 3))
    assert share.min() > 0
    assert share.max() < 0.9
    assert 0.01 < share.mean() < 0.2


def test_flat_noise_leaves_the_image_alone() -> None:
    """A single pixel lies on the lattice, where all noise is zero: no retry can help."""
    images = torch.rand(2, 3, 1, 1)
    augmented, masks = generate(images)
    assert torch.equal(augmented, images)
    assert not masks.any()


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_probability(probability: float) -> None:
    images = torch.rand(300, 1, 16, 16)
    augmented, masks = generate(images, probability=probability)
    touched = masks.flatten(1).any(1)
    assert torch.equal((augmented != images).flatten(1).any(1), touched)
    assert abs(touched.float().mean() - probability) <= (0.1 if probability == 0.3 else 0)


def test_quarter_and_half_turns() -> None:
    square, oblong = torch.zeros(20, 1, 48, 48), torch.zeros(20, 1, 30, 48)
    for images, degrees, turned in (
        (square, 90, lambda m: torch.rot90(m, -1, (2, 3))),
        (oblong, 180, lambda m: torch.rot90(m, 2, (2, 3))),
    ):
        plain = generate(images, rotation_range=(0, 0))[1]
        # Bilinear weights round, and the noise may lie at the threshold.
        assert (generate(images, rotation_range=(degrees, degrees))[1] != turned(plain)).float().mean() < 1e-3


def test_any_turn_keeps_angles_in_oblong_images() -> None:
    images = torch.zeros(20, 1, 60, 90)
    plain, turned = (generate(images, rotation_range=(a, a))[1] for a in (0, 25))
    agreement = []
    for before, after in zip(plain.numpy(), turned.numpy(), strict=True):
        expected = scipy.ndimage.rotate(before[0], -25, reshape=False, order=1) > 0.5
        agreement.append((expected == (after[0] > 0)).mean())
    # An image whose turned mask was empty is drawn again.
    assert np.median(agreement) > 0.98


def test_dual_masks_are_union_intersection_or_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = torch.zeros(300, 4, 4), torch.zeros(300, 4, 4)
    first[:, :, :3] = second[:, :, 1:] = 1
    fields = [first, second]
    monkeypatch.setattr(PerlinAnomalyGenerator, "_turned", lambda *_: fields.pop(0))
    _, masks = generate(torch.zeros(300, 1, 4, 4), dual_mask=True)
    shapes = [(first + second > 0), (first + second > 1), (first > 0)]
    how = torch.stack([(masks[:, 0].bool() == shape).flatten(1).all(1) for shape in shapes])
    assert (how.sum(0) == 1).all()
    assert how.float().mean(1).min() > 0.25


def test_torchs_seed_decides() -> None:
    images = torch.rand(6, 3, 32, 32)
    first, again, other = generate(images, 1), generate(images, 1), generate(images, 2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    generator = PerlinAnomalyGenerator(probability=1.0)
    assert not torch.equal(generator(images)[1], generator(images)[1])
    single = generate(images[0], 3)
    batch = generate(images[:1], 3)
    assert all(torch.equal(a, b[0]) for a, b in zip(single, batch, strict=True))


def test_every_backend_gives_the_same_bits() -> None:
    images = torch.rand(6, 3, 41, 32)
    results = []
    for variant in variants():
        activate(variant)
        results.append(generate(images, 5, dual_mask=True))
    assert all(torch.equal(a, b) for result in results for a, b in zip(result, results[0], strict=True))


def pictures(folder: Path) -> Path:
    """Two pictures of one colour each, one in a subfolder, and a file that is none."""
    (folder / "deeper").mkdir()
    Image.new("RGB", (9, 5), (255, 0, 51)).save(folder / "deeper" / "red.PNG")
    Image.new("RGB", (30, 70), (0, 102, 255)).save(folder / "blue.bmp")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_sources_are_pictures_of_the_folder(tmp_path: Path) -> None:
    images = torch.zeros(40, 3, 24, 32)
    augmented, masks = generate(images, anomaly_source_path=str(pictures(tmp_path)), blend_factor=1.0)
    colours = {
        tuple(np.round(a[:, m[0] > 0].mean(1).numpy() * 255).astype(int)) for a, m in zip(augmented, masks, strict=True)
    }
    assert colours == {(255, 0, 51), (0, 102, 255)}
    grey, masks = generate(images[:, :2], anomaly_source_path=tmp_path, blend_factor=1.0)
    luma = {int(np.round(g.max() * 255)) for g in grey.numpy()}
    assert luma == {82, 89}  # 0.299 R + 0.587 G + 0.114 B
    assert torch.equal(grey[:, 0], grey[:, 1])


def test_a_source_keeps_its_orientation(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    Image.fromarray(np.repeat(ramp[None], 32, 0)).save(tmp_path / "ramp.png")
    augmented, masks = generate(torch.zeros(4, 1, 16, 32), anomaly_source_path=tmp_path, blend_factor=1.0)
    expected = torch.linspace(0, 1, 32).expand(4, 1, 16, 32) * masks
    torch.testing.assert_close(augmented, expected, atol=0.02, rtol=0)


def test_folders_without_pictures_and_damaged_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no picture: give a folder with"):
        PerlinAnomalyGenerator(tmp_path)
    with pytest.raises(DataError, match="missing is no folder"):
        PerlinAnomalyGenerator(tmp_path / "missing")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageReadError, match=r"broken\.png cannot be read as a picture"):
        generate(torch.zeros(1, 8, 8), anomaly_source_path=tmp_path)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"probability": 1.5}, ValueError, "probability"),
        ({"blend_factor": (0.9, 0.2)}, ValueError, "blend_factor must be .low, high. with low <= high"),
        ({"blend_factor": 2.0}, ValueError, "blend_factor"),
        ({"rotation_range": (0, 10, 20)}, ValueError, "rotation_range must be"),
        ({"rotation_range": "90"}, TypeError, "rotation_range"),
    ],
)
def test_bad_settings(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PerlinAnomalyGenerator(**kwargs)


def test_bad_images() -> None:
    generator = PerlinAnomalyGenerator()
    with pytest.raises(TypeError, match=r"img must be a floating tensor in \[0, 1\], not torch.uint8"):
        generator(torch.zeros(3, 8, 8, dtype=torch.uint8))
    with pytest.raises(TypeError, match="not float32"):
        generator(np.zeros((3, 8, 8), np.float32))
    with pytest.raises(ValueError, match=r"\(C, H, W\) or \(B, C, H, W\), not \(8, 8\)"):
        generator(torch.zeros(8, 8))


def test_images_in_another_range_are_refused_unless_told() -> None:
    normalised = (torch.rand(2, 3, 16, 16) - 0.45) / 0.225
    with pytest.raises(ValueError, match=r"img must lie in \[0, 1\] .* augment before you normalise"):
        PerlinAnomalyGenerator()(normalised)
    with pytest.raises(ValueError, match="not nan to nan"):
        PerlinAnomalyGenerator()(torch.full((1, 8, 8), torch.nan))
    PerlinAnomalyGenerator(check_range=False)(normalised)
    PerlinAnomalyGenerator()(torch.rand(2, 3, 16, 16) * 1.01 - 0.005)  # as resizing leaves them


def test_copies(tmp_path: Path) -> None:
    images = torch.rand(3, 3, 16, 16)
    generator = PerlinAnomalyGenerator(pictures(tmp_path), probability=1.0)
    results = []
    for other in (generator, copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        torch.manual_seed(1)
        results.append(other(images)[0])
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


class Repeated(torch.utils.data.Dataset[torch.Tensor]):
    """Eight times the same image, through the generator."""

    generator = PerlinAnomalyGenerator(probability=1.0)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        masks: torch.Tensor = self.generator(torch.zeros(1, 24, 24))[1]
        return masks


def test_data_loader_workers_differ_and_repeat() -> None:
    epochs = []
    for _ in range(2):
        torch.manual_seed(0)
        epochs.append(torch.cat(list(torch.utils.data.DataLoader(Repeated(), batch_size=2, num_workers=2))))
    assert torch.equal(*epochs)
    assert len({mask.numpy().tobytes() for mask in epochs[0]}) == 8


def run(code: str, *folders: Path) -> str:
    path = os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.strip()


def test_a_torchvision_of_another_torch_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"  # what torchvision says then
    (tmp_path / "torchvision" / "__init__.py").write_text(broken)
    assert run(BASE, tmp_path) == "torch.nn.modules.module Module"


@pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="needs torchvision: pip install torchvision"
)
def test_within_torchvision() -> None:
    """It is one of torchvision's transforms, and works in its Compose.

    The parts in Python of a torchvision that was built for another torch can be tried, if it registers no operators.
    """
    assert run(BASE) in ("torchvision.transforms.v2._transform Transform", "torch.nn.modules.module Module")
    compose = """
from unittest import mock
import torch
with mock.patch("torch.library.register_fake", lambda *_, **__: lambda function: function):
    from torchvision.transforms import v2
from plr_fast.integrations import PerlinAnomalyGenerator
assert issubclass(PerlinAnomalyGenerator, v2.Transform)
steps = v2.Compose([v2.RandomHorizontalFlip(p=1.0), PerlinAnomalyGenerator(probability=1.0)])
images = torch.rand(2, 3, 32, 32)
augmented, masks = steps(images)
outside = (masks == 0).expand_as(images)
assert masks.any() and torch.equal(augmented[outside], images.flip(3)[outside])
print("PerlinAnomalyGenerator" in repr(steps))
"""
    assert run(compose) == "True"
