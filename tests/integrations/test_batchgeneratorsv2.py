"""Pseudo lesions within batchgeneratorsv2 itself: its composition, its random wrapper, its spatial transforms."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from plr_fast import LesionBank

pytest.importorskip("batchgeneratorsv2", reason="needs batchgeneratorsv2: pip install batchgeneratorsv2")

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform

from plr_fast.integrations import PseudoLesionTransform

BANK = LesionBank.generate(count=40, images=4, size=64, seed=1)
SHAPES = [(1, 40, 50), (2, 6, 40, 50)]


def sample(shape: tuple[int, ...] = SHAPES[0]) -> dict[str, torch.Tensor]:
    """Return an image, and a segmentation as nnU-Net has it: -1 outside, 0 body, 1 and 2 the lungs, 3 the heart."""
    segmentation = torch.zeros((1, *shape[1:]), dtype=torch.int16)
    segmentation[..., 5:30, 5:20] = 1
    segmentation[..., 5:30, 25:40] = 2
    segmentation[..., 31:36, 20:30] = 3
    segmentation[..., :2, :] = -1
    image = torch.from_numpy(np.random.default_rng(3).random(shape, np.float32))
    return {"image": image, "segmentation": segmentation}


def transform(**kwargs: Any) -> PseudoLesionTransform:
    return PseudoLesionTransform(**{"bank": BANK, "count": 6, "labels": (1, 2), **kwargs})


@pytest.mark.parametrize("shape", SHAPES)
def test_lesions_lie_in_the_lungs_and_the_original_is_the_target(shape: tuple[int, ...]) -> None:
    data = sample(shape)
    original, segmentation = data["image"].clone(), data["segmentation"].clone()
    np.random.seed(0)
    result = transform(lesion_mask_key="lesions")(**data)
    assert set(result) == {"image", "segmentation", "regression_target", "lesions"}
    assert torch.equal(result["regression_target"], original)
    assert torch.equal(result["segmentation"], segmentation)
    changed = (result["image"] != original).any(0, keepdim=True)
    assert torch.equal(result["lesions"], changed.to(torch.int16))
    lungs = (segmentation == 1) | (segmentation == 2)
    assert not changed[~lungs].any()
    for slices in changed[0] if len(shape) == 4 else changed:
        assert slices.any()


def test_labels() -> None:
    data = sample()
    np.random.seed(0)
    everything = transform(labels=None, count=200, lesion_mask_key="lesions")(**data)["lesions"] > 0
    assert everything[data["segmentation"] == 3].any(), "all labels above zero"
    assert not everything[data["segmentation"] <= 0].any(), "-1 is outside"


def test_the_mask_may_lie_elsewhere_and_lesions_may_become_the_segmentation() -> None:
    data = sample()
    lungs = (data["segmentation"] == 1).to(torch.uint8)
    other = transform(mask_key="lungs", labels=None, target_key=None, lesion_mask_key="segmentation")
    result = other(**data, lungs=lungs)
    assert "regression_target" not in result
    assert result["segmentation"].dtype == torch.int16
    assert torch.equal(result["segmentation"] > 0, result["image"] != data["image"])
    with pytest.raises(ValueError, match="the data has no 'lungs' to take the lungs from"):
        other(**data)


def test_numpys_state_decides() -> None:
    data = sample()
    twice = []
    for _ in range(2):
        np.random.seed(4)
        twice.append([transform()(**data)["image"] for _ in range(3)])
    assert all(torch.equal(one, two) for one, two in zip(*twice, strict=True))
    assert not torch.equal(twice[0][0], twice[0][1])


def test_parameters_decide_everything_else() -> None:
    """The library's contract: what is random is drawn in get_parameters, the rest is repeatable."""
    data = sample()
    one = transform()
    parameters = one.get_parameters(**data)
    first = one.apply(dict(data), **parameters)["image"]
    assert torch.equal(first, one._apply_to_image(data["image"], **parameters))
    assert torch.equal(first, one.apply(dict(data), **parameters)["image"])


def test_probability_leaves_the_keys_in_place() -> None:
    data = sample()
    never = transform(probability=0.0, lesion_mask_key="lesions")(**data)
    assert torch.equal(never["image"], data["image"])
    assert torch.equal(never["regression_target"], data["image"])
    assert never["regression_target"].data_ptr() != never["image"].data_ptr()
    assert not never["lesions"].any()
    np.random.seed(0)
    rare = transform(probability=0.3)
    pasted = [not torch.equal(rare(**data)["image"], data["image"]) for _ in range(300)]
    assert 60 < sum(pasted) < 120  # 90 expected, standard deviation 8


@pytest.mark.parametrize("probability", [0, 1])
def test_within_random_transform(probability: int) -> None:
    data = sample()
    result = RandomTransform(transform(), apply_probability=probability)(**data)
    assert ("regression_target" in result) == bool(probability)
    assert torch.equal(result["image"], data["image"]) != bool(probability)


def test_in_a_pipeline_with_spatial_transforms() -> None:
    """A mirror after the lesions moves image, target and lesions alike; slices of a volume may be made channels."""
    data = sample(SHAPES[1])
    lungs = (data["segmentation"] == 1) | (data["segmentation"] == 2)
    steps: list[BasicTransform] = [
        transform(lesion_mask_key="segmentation"),
        Convert3DTo2DTransform(),
        MirrorTransform((0, 1)),
        Convert2DTo3DTransform(),
    ]
    torch.manual_seed(1)
    for seed in range(8):
        np.random.seed(seed)
        result = ComposeTransforms(steps)(**data)
        changed = (result["image"] != result["regression_target"]).any(0, keepdim=True)
        assert torch.equal(result["segmentation"] > 0, changed)
        target = result["regression_target"]
        turned = [axes for axes in ((), (2,), (3,), (2, 3)) if torch.equal(data["image"].flip(axes), target)]
        assert len(turned) == 1
        assert not changed[~lungs.flip(turned[0])].any()


def test_z_scores_with_a_value_range() -> None:
    data = sample()
    scored = {**data, "image": (data["image"] * 1500 - 1350 + 600) / 450}
    with pytest.raises(ValueError, match="or give value_range"):
        transform()(**scored)
    np.random.seed(1)
    result = transform(value_range=((-1350 + 600) / 450, (150 + 600) / 450))(**scored)["image"]
    np.random.seed(1)
    expected = (transform()(**data)["image"] * 1500 - 1350 + 600) / 450
    torch.testing.assert_close(result, expected, atol=2e-6, rtol=0)


def test_data_without_an_image_passes() -> None:
    data = {"segmentation": sample()["segmentation"]}
    assert set(transform()(**data)) == {"segmentation"}


def test_it_is_one_of_the_librarys_transforms_and_copies() -> None:
    one = transform()
    assert isinstance(one, ImageOnlyTransform)
    assert "PseudoLesionTransform" in repr(one)
    data = sample()
    images = []
    for other in (one, copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        np.random.seed(9)
        images.append(other(**data)["image"])
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])


class Forever:
    """A loader as nnU-Net's: endless, it transforms its samples itself, and runs in batchgenerators' processes."""

    def __init__(self) -> None:
        self.transform = transform()

    def __iter__(self) -> Forever:
        return self

    def __next__(self) -> tuple[int, bytes]:
        # Not a tensor: those travel as files of a worker that may end before they are fetched.
        return self.thread_id, self.transform(**sample())["image"].numpy().tobytes()

    def set_thread_id(self, thread_id: int) -> None:
        self.thread_id = thread_id


def test_unseeded_workers_of_batchgenerators_differ() -> None:
    """They inherit torch's random state by the fork, all the same, and seed NumPy alone."""
    module = "batchgenerators.dataloading.nondet_multi_threaded_augmenter"
    augmenter = pytest.importorskip(module, reason="needs batchgenerators, which batchgeneratorsv2 brings along")
    workers = augmenter.NonDetMultiThreadedAugmenter(Forever(), None, num_processes=2, num_cached=2, seeds=None)
    images: dict[int, list[bytes]] = {0: [], 1: []}
    try:
        while min(map(len, images.values())) < 3:
            worker, image = next(workers)
            images[worker].append(image)
    finally:
        workers._finish()
    assert not set(images[0]) & set(images[1])


def test_data_loader_workers_differ() -> None:
    loader = torch.utils.data.DataLoader(Repeated(), batch_size=2, num_workers=2)
    torch.manual_seed(0)
    images = torch.cat([batch["image"] for batch in loader])
    assert len({image.numpy().tobytes() for image in images}) == 8


class Repeated(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Eight times the same sample, through the transform."""

    transform = transform()

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return dict(self.transform(**sample()))
