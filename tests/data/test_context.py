"""2.5-D input: which slices are neighbours, and samples that carry them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from plr_fast import FreshLesions, LesionBank, gaussian_blur, local_shuffle, paste_lesions
from plr_fast.data import EpochSampler, LabelledSliceDataset, PseudoLesionDataset, SliceStore, collate
from plr_fast.data.store import SliceRecord, StoreWriter
from plr_fast.errors import DataError

SIZE = 32
BANK = LesionBank.generate(count=50, images=6, size=64, seed=1)


def make(path: Path, ids: Sequence[str], patients: Sequence[str] = (), splits: Sequence[str] = ()) -> SliceStore:
    generator = np.random.default_rng(0)
    with StoreWriter(path, size=SIZE, count=len(ids), class_names=("normal", "covid")) as writer:
        for row, name in enumerate(ids):
            mask = np.zeros((SIZE, SIZE), np.uint8)
            mask[4 + row % 5 : 28, 3:14] = 1
            picture = generator.integers(0, 256, (SIZE, SIZE), np.uint8)
            record = SliceRecord(
                id=name,
                group=f"g{row}",
                split=splits[row] if splits else "train",
                label=0,
                patient=patients[row] if patients else "",
            )
            writer.add(picture, mask, record)
    return SliceStore.open(path)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    """Two volumes of four and three slices, rows in turn, and a single picture."""
    ids = ["a.tif#0000", "b.tif#0007", "a.tif#0001", "b.tif#0008", "a.tif#0002", "b.tif#0009", "a.tif#0003", "c.png"]
    return make(tmp_path_factory.mktemp("context") / "store", ids)


def names(store: SliceStore, rows: np.ndarray) -> list[list[str]]:
    return [[str(name) for name in store.ids[row]] for row in rows]


def test_pages_of_a_source_are_neighbours_and_ends_repeat(volumes: SliceStore) -> None:
    found = volumes.neighbours(np.array([0, 4, 1, 7]), 2)
    assert found.dtype == np.int64
    assert names(volumes, found) == [
        ["a.tif#0000", "a.tif#0000", "a.tif#0000", "a.tif#0001", "a.tif#0002"],
        ["a.tif#0000", "a.tif#0001", "a.tif#0002", "a.tif#0003", "a.tif#0003"],
        ["b.tif#0007", "b.tif#0007", "b.tif#0007", "b.tif#0008", "b.tif#0009"],
        ["c.png"] * 5,
    ]
    assert volumes.neighbours(np.array([3, 1]), 0).tolist() == [[3], [1]]
    with pytest.raises(ValueError, match="context must be at least 0, not -1"):
        volumes.neighbours(np.array([0]), -1)


def test_a_gap_is_an_end_and_every_kth_slice_is_none(tmp_path: Path) -> None:
    store = make(tmp_path / "s", ["v#0000", "v#0003", "v#0006", "v#0012", "v#0015", "w#0001", "w#0003"])
    assert store.neighbours(np.arange(7), 1)[:, 0].tolist() == [0, 0, 1, 3, 3, 5, 5]
    assert store.neighbours(np.arange(7), 1)[:, 2].tolist() == [1, 2, 2, 4, 4, 6, 6]


def test_numbered_pictures_of_a_known_patient_are_neighbours(tmp_path: Path) -> None:
    ids = ["p1/s10.png", "p1/s9.png", "p1/s8.png", "p2/s9.png", "p2/t10.jp2", "p2/s10.png", "p1/x.png", "q/s1.png"]
    patients = ["1", "1", "1", "2", "2", "2", "1", ""]
    store = make(tmp_path / "s", ids, patients)
    assert names(store, store.neighbours(np.arange(8), 1)) == [
        ["p1/s9.png", "p1/s10.png", "p1/s10.png"],
        ["p1/s8.png", "p1/s9.png", "p1/s10.png"],
        ["p1/s8.png", "p1/s8.png", "p1/s9.png"],
        ["p2/s9.png", "p2/s9.png", "p2/s10.png"],
        ["p2/t10.jp2"] * 3,
        ["p2/s9.png", "p2/s10.png", "p2/s10.png"],
        ["p1/x.png"] * 3,
        ["q/s1.png"] * 3,
    ]


def test_numbers_without_a_patient_prove_nothing(tmp_path: Path) -> None:
    store = make(tmp_path / "s", [f"covid/Covid ({number}).png" for number in range(4)])
    for data in (lambda: LabelledSliceDataset(store, np.arange(4), 1), lambda: store.neighbours(np.arange(4), 1)):
        with pytest.raises(DataError, match="holds no volumes: none of its 4 slices"):
            data()
    LabelledSliceDataset(store, np.arange(4))


def test_neighbours_never_come_from_another_split(tmp_path: Path) -> None:
    ids = [f"v#{page:04d}" for page in range(4)]
    store = make(tmp_path / "s", ids, splits=["train", "train", "test", "test"])
    assert store.neighbours(np.arange(4), 1).tolist() == [[0, 0, 1], [0, 1, 1], [2, 2, 3], [2, 3, 3]]


def grey(store: SliceStore, rows: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(store.slices[rows]) / np.float32(255))


def test_labelled_samples_carry_their_neighbours(volumes: SliceStore) -> None:
    data = LabelledSliceDataset(volumes, np.array([4, 1]), context=1)
    assert torch.equal(data[0]["image"], grey(volumes, [2, 4, 6]))
    assert torch.equal(data[1]["image"], grey(volumes, [1, 1, 3]))
    assert data[1]["index"] == 1


@pytest.mark.parametrize("corruption", ["perlin", "gaussian", "shuffle"])
def test_all_channels_are_corrupted_alike(volumes: SliceStore, corruption: Any) -> None:
    options: dict[str, Any] = {"corruption": corruption, "bank": BANK if corruption == "perlin" else None}
    windows = None if corruption == "perlin" else 9
    data = PseudoLesionDataset(volumes, np.arange(8), **options, count=9, windows=windows, seed=4, context=1)
    sample = data[4]
    assert [sample[name].shape[0] for name in ("image", "target", "mask")] == [3, 1, 1]
    assert torch.equal(sample["target"], grey(volumes, [4]))
    assert torch.equal(sample["mask"][0], torch.from_numpy(volumes.masks[4].astype(bool)))
    for channel, row in enumerate((2, 4, 6)):
        # One slice at a time, with the mask and the sample number of the slice in the middle.
        original = np.asarray(volumes.slices[row : row + 1])
        expected = {
            "perlin": lambda original=original: paste_lesions(
                original, volumes.masks[4:5], BANK, count=9, seed=4, samples=[4]
            ),
            "gaussian": lambda original=original: gaussian_blur(original, windows=9, seed=4, samples=[4]),
            "shuffle": lambda original=original: local_shuffle(original, windows=9, seed=4, samples=[4]),
        }[corruption]()
        assert torch.equal(sample["image"][channel], torch.from_numpy(expected[0] / np.float32(255)))
    plain = PseudoLesionDataset(volumes, np.arange(8), **options, count=9, windows=windows, seed=4)
    assert torch.equal(plain[4]["image"][0], sample["image"][1])


def test_fresh_lesions_and_lesion_masks(volumes: SliceStore) -> None:
    fresh = FreshLesions(images=5, size=64, seed=2)
    options: dict[str, Any] = {"lesions": "fresh", "bank": fresh, "count": 5, "seed": 1, "lesion_masks": True}
    sample = PseudoLesionDataset(volumes, np.arange(8), **options, context=2)[4]
    plain = PseudoLesionDataset(volumes, np.arange(8), **options)[4]
    assert torch.equal(sample["lesion"], plain["lesion"])
    assert torch.equal(sample["image"][2:3], plain["image"])
    lesion = sample["lesion"][0]
    assert 0 < lesion.sum() < lesion.numel()
    for channel, row in enumerate((0, 2, 4, 6, 6)):
        changed = sample["image"][channel] != grey(volumes, row)
        assert not (changed & ~lesion).any(), "only where the lesions are"
        assert (sample["image"][channel] == sample["image"][2])[lesion].all(), "the same lesion everywhere"


def test_clouds_over_whole_slices(volumes: SliceStore) -> None:
    options: dict[str, Any] = {"lesions": "clouds", "seed": 1, "lesion_masks": True}
    sample = PseudoLesionDataset(volumes, np.arange(8), **options, context=1)[4]
    plain = PseudoLesionDataset(volumes, np.arange(8), **options)[4]
    assert torch.equal(sample["image"][1:2], plain["image"])
    assert torch.equal(sample["lesion"], plain["lesion"])
    assert sample["lesion"].any()
    for channel, row in enumerate((2, 4, 6)):
        assert not ((sample["image"][channel] != grey(volumes, row)) & ~sample["lesion"][0]).any()


def loaded(data: Any, **options: Any) -> torch.Tensor:
    sampler = EpochSampler(len(data), seed=2)
    sampler.set_epoch(3)
    batches = list(DataLoader(data, sampler=sampler, collate_fn=collate, **options))
    order = torch.cat([batch["index"] for batch in batches]).argsort(stable=True)
    return torch.cat([batch["image"] for batch in batches])[order]


def test_workers_and_batches_make_no_difference(volumes: SliceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    data = PseudoLesionDataset(volumes, np.arange(8), bank=BANK, count=9, seed=4, context=1)
    expected = loaded(data, batch_size=1)
    assert torch.equal(loaded(data, batch_size=3), expected)
    assert torch.equal(loaded(data, batch_size=2, num_workers=1), expected)
    assert torch.equal(loaded(pickle.loads(pickle.dumps(data)), batch_size=8), expected)
    from plr_fast.data import datasets

    monkeypatch.setattr(datasets, "_PART_PIXELS", 1)
    assert torch.equal(loaded(data, batch_size=8), expected)


def test_the_phantom_is_made_of_volumes(tmp_path: Path) -> None:
    from plr_fast.data import write_phantom_store

    write_phantom_store(tmp_path / "s", patients=6, slices_per_patient=3, size=32, val_fraction=0.34, test_fraction=0.3)
    store = SliceStore.open(tmp_path / "s")
    middle = store.neighbours(np.arange(1, 18, 3), 1)
    np.testing.assert_array_equal(middle, np.arange(18).reshape(6, 3))


def test_a_hundred_thousand_slices_in_a_moment() -> None:
    from time import perf_counter
    from types import SimpleNamespace

    from plr_fast.data.volumes import adjacent_rows

    count = 100_000
    ids = np.array([f"volume-{row // 300}.nii.gz#{row % 300:04d}" for row in range(count)])
    texts = np.full(count, "")
    store: Any = SimpleNamespace(path="s", ids=ids, patients=texts, splits=texts)
    started = perf_counter()
    before, after = adjacent_rows(store)
    assert perf_counter() - started < 10.0
    assert int((after == np.arange(count)).sum()) == int((before == np.arange(count)).sum()) == -(-count // 300)
