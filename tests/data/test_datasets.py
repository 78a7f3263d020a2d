"""Data sets over a store: what a sample is, new lesions every epoch, the same for any number of workers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from plr_fast import FreshLesions, LesionBank, gaussian_blur, local_shuffle, paste_clouds, paste_lesions
from plr_fast.data import EpochSampler, LabelledSliceDataset, PseudoLesionDataset, SliceStore, collate
from plr_fast.data.store import SliceRecord, StoreWriter

BANK = LesionBank.generate(count=50, images=6, size=64, seed=1)
SIZE = 32


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    path = tmp_path_factory.mktemp("data") / "store"
    generator = np.random.default_rng(0)
    with StoreWriter(path, size=SIZE, count=10, class_names=("normal", "covid")) as writer:
        for i in range(10):
            mask = np.zeros((SIZE, SIZE), np.uint8)
            mask[4:28, 3:14] = i != 5  # slice 5 has no lung
            picture = generator.integers(0, 256, (SIZE, SIZE), np.uint8)
            label = -1 if i == 9 else int(i >= 6)
            writer.add(picture, mask, SliceRecord(id=f"s{i}", group=f"g{i}", split="train", label=label))
    return SliceStore.open(path)


def loaded(dataset: Any, sampler: EpochSampler, **kwargs: Any) -> dict[str, torch.Tensor]:
    batches = list(DataLoader(dataset, sampler=sampler, collate_fn=collate, **kwargs))
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


@pytest.mark.parametrize("corruption", ["perlin", "gaussian", "shuffle"])
def test_sample(store: SliceStore, corruption: Any) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), corruption=corruption, bank=BANK, count=9, seed=4)
    assert len(dataset) == 6
    sample = dataset[2]
    for name in ("image", "target"):
        assert sample[name].shape == (1, SIZE, SIZE)
        assert sample[name].dtype == torch.float32
    original = store.slices[2:3]
    expected = {
        "perlin": lambda: paste_lesions(original, store.masks[2:3], BANK, count=9, seed=4, samples=[2]),
        "gaussian": lambda: gaussian_blur(original),
        "shuffle": lambda: local_shuffle(original, seed=4, samples=[2]),
    }[corruption]()
    assert torch.equal(sample["target"], torch.from_numpy(original / np.float32(255)))
    assert torch.equal(sample["image"], torch.from_numpy(expected / np.float32(255)))
    assert torch.equal(sample["mask"], torch.from_numpy(store.masks[2:3].astype(bool)))
    assert sample["index"] == 2


def test_every_epoch_has_new_lesions_and_repeats_itself(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK, seed=4)
    first = dataset[1]["image"]
    assert torch.equal(dataset[1]["image"], first)
    dataset.set_epoch(1)
    second = dataset[1]["image"]
    assert not torch.equal(second, first)
    sampler = EpochSampler(len(dataset), shuffle=False)
    sampler.set_epoch(1)
    dataset.set_epoch(0)
    assert torch.equal(loaded(dataset, sampler, batch_size=4)["image"][1], second), "the epoch travels with the keys"


def test_workers_batches_and_order_make_no_difference(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK, seed=4, length=14)
    sampler = EpochSampler(len(dataset), seed=2)
    for epoch in (0, 3):
        sampler.set_epoch(epoch)
        one = loaded(dataset, sampler, batch_size=5)
        for kwargs in ({"batch_size": 3}, {"batch_size": 4, "num_workers": 2}, {"batch_size": 1, "num_workers": 1}):
            other = loaded(dataset, sampler, **kwargs)
            assert all(torch.equal(one[name], other[name]) for name in one)


def test_persistent_workers_learn_the_epoch(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK)
    sampler = EpochSampler(len(dataset), shuffle=False)
    loader = DataLoader(
        dataset, batch_size=6, sampler=sampler, collate_fn=collate, num_workers=1, persistent_workers=True
    )
    images = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        images.append(next(iter(loader))["image"].clone())
    assert torch.equal(images[0], images[2])
    assert not torch.equal(images[0], images[1])


def test_fresh_lesions(store: SliceStore) -> None:
    settings: dict[str, Any] = {"lesions": "fresh", "count": (2, 6), "seed": 4}
    lesions = FreshLesions(images=6, size=64, patch=(3, 8), seed=1)
    dataset = PseudoLesionDataset(store, np.arange(5), bank=lesions, **settings)
    sampler = EpochSampler(len(dataset), seed=1)
    first = loaded(dataset, sampler, batch_size=5)
    split = loaded(dataset, sampler, batch_size=2, num_workers=2)
    assert all(torch.equal(first[name], split[name]) for name in first)
    one = dataset[3]["image"]
    original, mask = store.slices[3:4], store.masks[3:4]
    expected = paste_lesions(original, mask, lesions, count=(2, 6), seed=4, samples=[3])
    assert torch.equal(one, torch.from_numpy(expected / np.float32(255)))
    dataset.set_epoch(1)
    assert not torch.equal(one, dataset[3]["image"])


def test_clouds(store: SliceStore) -> None:
    settings: dict[str, Any] = {"cells": 6, "threshold": (100, 120), "alpha": (0.4, 0.9), "blend": "add"}
    dataset = PseudoLesionDataset(store, np.arange(5), lesions="clouds", clouds=settings, seed=4, lesion_masks=True)
    sampler = EpochSampler(len(dataset), seed=1)
    first = loaded(dataset, sampler, batch_size=5)
    split = loaded(dataset, sampler, batch_size=2, num_workers=2)
    assert all(torch.equal(first[name], split[name]) for name in first)
    sample = dataset[3]
    expected, info = paste_clouds(
        store.slices[3:4], store.masks[3:4], seed=4, samples=[3], return_info=True, lesion_mask=True, **settings
    )
    assert torch.equal(sample["image"], torch.from_numpy(expected / np.float32(255)))
    assert sample["lesion"].any()
    assert torch.equal(sample["lesion"], torch.as_tensor(info.lesion_mask))
    dataset.set_epoch(1)
    assert not torch.equal(sample["image"], dataset[3]["image"])
    for wrong, message in (
        ({"lesions": "clouds", "bank": BANK}, "no use for patches"),
        ({"lesions": "bank", "clouds": settings}, "clouds are settings of"),
        ({"corruption": "gaussian", "clouds": settings}, "clouds are settings of"),
        ({"lesions": "clouds", "clouds": {"alpha": 2.0}}, "alpha"),
    ):
        with pytest.raises(ValueError, match=message):
            PseudoLesionDataset(store, np.arange(5), **wrong)


def test_lesions_come_from_where_they_are_said_to(store: SliceStore) -> None:
    assert PseudoLesionDataset(store, np.arange(5), lesions="fresh", seed=3).bank == FreshLesions(seed=3)
    with pytest.raises(ValueError, match="lesions must be one of bank, fresh, clouds"):
        PseudoLesionDataset(store, np.arange(5), lesions="rotten")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='pass lesions="fresh" with it'):
        PseudoLesionDataset(store, np.arange(5), bank=FreshLesions(images=6, size=64))
    with pytest.raises(ValueError, match="no use for a LesionBank"):
        PseudoLesionDataset(store, np.arange(5), lesions="fresh", bank=BANK)


def test_slices_repeat_with_other_lesions(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK, length=13)
    a, b = dataset[1], dataset[7]
    assert a["index"] == b["index"]
    assert torch.equal(a["target"], b["target"])
    assert not torch.equal(a["image"], b["image"])
    with pytest.raises(IndexError):
        dataset[13]


def test_a_slice_without_lung_stays_as_it_is(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, np.array([5]), bank=BANK)
    sample = dataset[0]
    assert torch.equal(sample["image"], sample["target"])


def test_labelled(store: SliceStore) -> None:
    dataset = LabelledSliceDataset(store, np.array([7, 0, 8]))
    batch = loaded(dataset, EpochSampler(3, shuffle=False), batch_size=2)
    assert batch["label"].tolist() == [1.0, 0.0, 1.0]
    assert batch["index"].tolist() == [7, 0, 8]
    assert batch["image"].shape == (3, 1, SIZE, SIZE)
    assert torch.equal(batch["image"][1, 0], torch.from_numpy(store.slices[0] / np.float32(255)))
    with pytest.raises(ValueError, match="'s9'"):
        LabelledSliceDataset(store, np.array([0, 9]))


def test_the_fetched_batch_is_handed_on_without_copying(store: SliceStore) -> None:
    dataset = LabelledSliceDataset(store, np.arange(9))
    fetched = dataset.__getitems__([3, 4])
    batch = collate(fetched)
    assert batch["image"].data_ptr() == fetched[0]["image"].data_ptr()
    stacked = collate(list(fetched))
    assert all(torch.equal(batch[name], stacked[name]) for name in batch)
    default = next(iter(DataLoader(dataset, batch_size=9)))
    assert torch.equal(default["image"], collate(dataset.__getitems__(range(9)))["image"]), "torch's own collate works"


def test_datasets_can_be_pickled(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK)
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[3]["image"], dataset[3]["image"])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"indices": []}, "is the split or class empty"),
        ({"indices": [10]}, "indices must be 0..9"),
        ({"corruption": "fog"}, "corruption must be one of perlin"),
        ({"length": 0}, "length"),
        ({"count": -1}, "count"),
        ({"blend": "mix"}, "blend"),
    ],
)
def test_bad_settings_are_refused_at_once(store: SliceStore, kwargs: dict[str, Any], message: str) -> None:
    indices = np.array(kwargs.pop("indices", [0, 1]), np.int64)
    with pytest.raises(ValueError, match=message):
        PseudoLesionDataset(store, indices, bank=BANK, **kwargs)


@pytest.mark.real_data
def test_real_slices(real_data: Path) -> None:
    """Lesions stay inside the lungs of real slices, whatever their size."""
    from PIL import Image

    from plr_fast import lung_mask

    files = sorted((real_data / "ct" / "sars_cov2_ct" / "normal").glob("*.png"))[:6]
    for file in files:
        picture = np.asarray(Image.open(file))[None]
        mask = lung_mask(picture)
        result = paste_lesions(picture, mask, BANK, count=10)
        assert (result[~mask] == picture[~mask]).all()
        assert (result != picture).any()


# Memory


def test_batches_that_are_held_stay_as_they_are(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK, seed=4)
    held = [collate(dataset.__getitems__([0, 1])) for _ in range(20)]
    copies = [batch["image"].clone() for batch in held]
    for epoch in range(1, 5):
        dataset.set_epoch(epoch)
        dataset.__getitems__([2, 3])
    assert all(torch.equal(batch["image"], copy) for batch, copy in zip(held, copies, strict=True))


def test_batches_that_are_dropped_give_their_memory_to_the_next(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK, seed=4)
    places = set()
    for _ in range(10):
        batch = collate(dataset.__getitems__([0, 1, 2]))
        places.add(batch["image"].data_ptr())
    assert len(places) <= 4, "image and target of two batches: the one at hand and the one that is made"


def test_parts_of_large_batches_make_no_difference(store: SliceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK, seed=4, length=11, lesion_masks=True)
    whole = collate(dataset.__getitems__(range(11)))
    monkeypatch.setattr("plr_fast.data.datasets._PART_PIXELS", 2 * SIZE**2)
    parts = collate(dataset.__getitems__(range(11)))
    for name, tensor in whole.items():
        assert torch.equal(parts[name], tensor), name


# Options


def test_frozen_samples_are_the_same_in_every_epoch(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK, seed=4, freeze=15)
    free = PseudoLesionDataset(store, store.select("train", 0), bank=BANK, seed=4, length=15)
    assert len(dataset) == 15
    first = collate(dataset.__getitems__(range(15)))["image"].clone()
    assert torch.equal(collate(free.__getitems__(range(15)))["image"], first)
    assert len(torch.unique(first.flatten(1), dim=0)) == 14, "slices come again with other lesions, but 5 has no lung"
    dataset.set_epoch(3)
    free.set_epoch(3)
    assert torch.equal(collate(dataset.__getitems__(range(15)))["image"], first)
    assert not torch.equal(collate(free.__getitems__(range(15)))["image"], first)
    sampler = EpochSampler(15, shuffle=False)
    sampler.set_epoch(7)
    assert torch.equal(loaded(dataset, sampler, batch_size=4)["image"], first), "nor does the sampler's epoch count"


def test_lesion_masks_are_where_the_slice_changed(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK, seed=4, count=5, lesion_masks=True)
    batch = collate(dataset.__getitems__(range(6)))
    lesion, changed = batch["lesion"], batch["image"] != batch["target"]
    assert lesion.dtype == torch.bool
    assert (lesion | ~changed).all(), "nothing changed outside"
    assert (batch["mask"] | ~lesion).all(), "lesions lie in the lung"
    assert changed.sum() > 0.9 * lesion.sum(), "a patch may repeat a pixel's own grey, seldom"
    assert not lesion[5].any(), "slice 5 has no lung"


def test_shapes_reach_the_pasting(store: SliceStore) -> None:
    indices = store.select("train", 0)
    rectangle = PseudoLesionDataset(store, indices, bank=BANK, seed=4, lesion_masks=True)
    ellipse = PseudoLesionDataset(store, indices, bank=BANK, seed=4, lesion_masks=True, shape="ellipse")
    whole = PseudoLesionDataset(store, indices, bank=BANK, seed=4, lesion_masks=True, inside="patch")
    areas = [d[0]["lesion"].sum() for d in (rectangle, ellipse, whole)]
    assert areas[1] < areas[0]
    assert areas[2] != areas[0]


def test_masks_of_large_stores_are_packed_for_each_batch(store: SliceStore) -> None:
    dataset = PseudoLesionDataset(store, store.select("train", 0), bank=BANK, seed=4)
    expected = collate(dataset.__getitems__(range(6)))["image"].clone()
    dataset.masks.most_bytes = 100
    dataset.masks._kept = None
    assert torch.equal(collate(dataset.__getitems__(range(6)))["image"], expected)
    assert dataset.masks._kept is None


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"length": 3, "freeze": 3}, "give one of them"),
        ({"length": 2**32}, "length must be 1"),
        ({"freeze": 0}, r"freeze must be 1\.\."),
        ({"clean_share": 1.0}, "clean_share must be below 1"),
        ({"clean_share": -0.1}, "clean_share must be a finite number in 0..1"),
        ({"shape": "star"}, "shape must be one of"),
        ({"inside": "out"}, "inside must be one of"),
    ],
)
def test_bad_options(store: SliceStore, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PseudoLesionDataset(store, store.select("train", 0), bank=BANK, **kwargs)


@pytest.mark.parametrize("indices", [np.array([True, False, True]), [0.5, 1.0], ["a"]])
def test_indices_must_be_integers(store: SliceStore, indices: Any) -> None:
    with pytest.raises(TypeError, match=r"indices must be integers.*np\.flatnonzero"):
        PseudoLesionDataset(store, indices, bank=BANK)


@pytest.mark.parametrize("option", ["length", "freeze"])
@pytest.mark.parametrize("value", [2.5, True, "3"])
def test_lengths_must_be_integers(store: SliceStore, option: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{option} must be an integer"):
        PseudoLesionDataset(store, store.select("train", 0), bank=BANK, **{option: value})
