"""Pseudo lesions within MONAI itself: kinds, random state, Compose, DataLoader workers, copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from plr_fast import EmptyMaskWarning, LesionBank

pytest.importorskip("monai", reason="needs MONAI: pip install monai")

from monai.data import CacheDataset, DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, EnsureTyped, RandFlipd, ScaleIntensityRanged
from monai.utils import set_determinism

from plr_fast.integrations import RandPseudoLesion, RandPseudoLesiond
from plr_fast.integrations.monai import RandPseudoLesionD

BANK = LesionBank.generate(count=40, images=4, size=64, seed=1)


def sample(*shape: int) -> dict[str, np.ndarray]:
    shape = shape or (1, 40, 50)
    mask = np.zeros((1, *shape[1:]), np.uint8)
    mask[:, 5:30, 10:45] = 1
    return {"image": np.random.default_rng(3).random(shape, np.float32), "lung": mask}


def transform(**kwargs: Any) -> RandPseudoLesion:
    return RandPseudoLesion(**{"bank": BANK, "count": 4, **kwargs})


def dictionary(**kwargs: Any) -> RandPseudoLesiond:
    return RandPseudoLesiond(**{"keys": "image", "mask_key": "lung", "bank": BANK, "count": 4, **kwargs})


@pytest.mark.parametrize("kind", ["numpy", "tensor", "meta"])
@pytest.mark.parametrize("shape", [(1, 40, 50), (2, 40, 50, 6)])
def test_the_same_kind_comes_out(kind: str, shape: tuple[int, ...]) -> None:
    data = sample(*shape)
    image: Any = data["image"]
    if kind == "tensor":
        image = torch.from_numpy(image)
    elif kind == "meta":
        image = MetaTensor(image, affine=torch.diag(torch.tensor([2.0, 2, 3, 1])), meta={"filename_or_obj": "a.nii"})
    result = transform().set_random_state(0)(image, data["lung"])
    assert type(result) is type(image)
    assert result.dtype == image.dtype
    assert result.shape == image.shape
    outside = np.broadcast_to(data["lung"] == 0, shape)
    np.testing.assert_array_equal(np.asarray(result)[outside], data["image"][outside])
    assert (np.asarray(result) != data["image"]).any()
    if kind == "meta":
        assert result.meta["filename_or_obj"] == "a.nii"
        assert torch.equal(result.affine, image.affine)


def test_the_random_state_decides() -> None:
    data = sample()
    one, two = transform().set_random_state(seed=5), transform().set_random_state(seed=5)
    first = [one(data["image"], data["lung"]) for _ in range(3)]
    again = [two(data["image"], data["lung"]) for _ in range(3)]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    np.testing.assert_array_equal(one(data["image"], data["lung"], randomize=False), first[2])
    other = transform().set_random_state(state=np.random.RandomState(6))(data["image"], data["lung"])
    assert not np.array_equal(other, first[0])


def test_neither_numpys_nor_torchs_global_state_is_touched() -> None:
    data = sample()
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    dictionary(prob=0.5).set_random_state(1)(data)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_probability() -> None:
    data = sample()
    rare = transform(prob=0.3).set_random_state(0)
    pasted = [rare(data["image"], data["lung"]) is not data["image"] for _ in range(300)]
    assert 60 < sum(pasted) < 120  # 90 expected, standard deviation 8
    never = transform(prob=0.0)
    assert never(data["image"], data["lung"]) is data["image"]


@pytest.mark.parametrize("prob", [0.0, 1.0])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, MetaTensor])
def test_dictionary_with_targets_and_lesion_mask(prob: float, kind: Any) -> None:
    data = {"other": 1, **{key: kind(value) for key, value in sample().items()}}
    original = np.asarray(data["image"]).copy()
    lesions = dictionary(prob=prob, target_key="target", lesion_mask_key="lesions").set_random_state(0)
    result = lesions(data)
    assert set(data) == {"other", "image", "lung"}, "the sample given is left alone"
    assert {key: type(value) for key, value in result.items()} == {
        "other": int, **dict.fromkeys(("image", "lung", "target", "lesions"), type(data["image"])),
    }  # fmt: skip
    np.testing.assert_array_equal(np.asarray(result["target"]), original)
    changed = np.asarray(result["image"]) != original
    assert changed.any() == bool(prob)
    np.testing.assert_array_equal(np.asarray(result["lesions"]), changed)
    assert str(result["lesions"].dtype).removeprefix("torch.") == "bool"
    result["image"][:] = 0
    np.testing.assert_array_equal(np.asarray(result["target"]), original, err_msg="no memory in common")


def test_several_images_get_the_same_lesions() -> None:
    data = {**sample(), "contrast": sample(2, 40, 50)["image"]}
    data["contrast"][:] = data["image"]
    both = dictionary(keys=("image", "contrast"), target_key=("a", "b"), lesion_mask_key="lesions").set_random_state(0)
    result = both(data)
    np.testing.assert_array_equal(result["contrast"], np.repeat(result["image"], 2, 0))
    np.testing.assert_array_equal(result["b"], data["contrast"])
    assert result["lesions"].shape == (1, 40, 50)


def test_missing_keys() -> None:
    data = sample()
    with pytest.raises(KeyError, match="contrast"):
        dictionary(keys=("image", "contrast"))(data)
    some = dictionary(keys=("contrast", "image"), target_key=("a", "b"), allow_missing_keys=True).set_random_state(0)
    assert set(some(data)) == {"image", "lung", "b"}
    assert some({"label": 3}) == {"label": 3}
    with pytest.raises(KeyError, match="'lung', the lung mask of RandPseudoLesiond, is missing"):
        dictionary(allow_missing_keys=True)({"image": data["image"]})
    with pytest.raises(ValueError, match="target_key must name one target for each of the 2 keys"):
        dictionary(keys=("a", "b"), target_key="target")


def pipeline() -> Compose:
    """Hounsfield units in; the spatial transform after the lesions moves all four alike."""
    names = ("image", "target", "lesions", "lung")
    return Compose(
        [
            EnsureTyped(("image", "lung")),
            ScaleIntensityRanged("image", -1350, 150, 0, 1, clip=True),
            dictionary(prob=0.7, target_key="target", lesion_mask_key="lesions"),
            RandFlipd(names, prob=0.5, spatial_axis=0),
        ]
    )


def hounsfield(count: int) -> list[dict[str, np.ndarray]]:
    return [{**sample(), "image": sample()["image"] * 1500 - 1350, "number": np.int64(i)} for i in range(count)]


def test_compose_seeds_it() -> None:
    first, second = pipeline(), pipeline()
    first.set_random_state(seed=3)
    second.set_random_state(seed=3)
    for item in hounsfield(6):
        one, two = first(item), second(item)
        assert type(one["image"]) is MetaTensor
        assert torch.equal(one["image"], two["image"])
        assert torch.equal((one["image"] != one["target"]).as_tensor(), one["lesions"].as_tensor())


@pytest.mark.parametrize("dataset", [Dataset, CacheDataset])
def test_data_loader_workers(dataset: Any) -> None:
    """Every sample other lesions, in both workers and epochs; the same again for the same seed."""

    def epochs(workers: int) -> list[torch.Tensor]:
        set_determinism(seed=7)
        kwargs = {"progress": False} if dataset is CacheDataset else {}
        steps = Compose([EnsureTyped(("image", "lung")), dictionary(value_range=(-1350, 150))])
        data = dataset(hounsfield(8), steps, **kwargs)
        loader = DataLoader(data, batch_size=2, num_workers=workers)
        return [torch.cat([batch["image"].as_tensor() for batch in loader]) for _ in range(2)]

    try:
        first, again = epochs(2), epochs(2)
    finally:
        set_determinism(seed=None)
    images = torch.cat(first)
    assert torch.equal(images, torch.cat(again))
    # All inputs are the same image: equal outputs would be repeated random numbers.
    assert len({image.numpy().tobytes() for image in images}) == 16


def test_copies_go_on_alike() -> None:
    data = sample()
    for original in (dictionary(prob=0.5).set_random_state(2), Compose([dictionary()]).set_random_state(2)):
        copies = [copy.deepcopy(original), pickle.loads(pickle.dumps(original))]
        expected = [original(data)["image"] for _ in range(4)]
        for other in copies:
            np.testing.assert_array_equal([other(data)["image"] for _ in range(4)], expected)


def test_an_empty_mask_is_said() -> None:
    data = sample()
    with pytest.warns(EmptyMaskWarning, match="no lung pixel"):
        dictionary()({**data, "lung": data["lung"] * 0})


def test_names() -> None:
    assert RandPseudoLesionD is RandPseudoLesiond
