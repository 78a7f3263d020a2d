"""Samples that stay clean, and what is told of the others: the same for any batch, order, device and kind of array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from plr_fast import LesionBank, PseudoLesionTransform
from plr_fast.backends.reference.philox import Stream, draw
from plr_fast.data import PseudoLesionDataset, SliceStore, collate
from plr_fast.data.clean import clean_samples
from plr_fast.data.sampling import encode
from tests.backends.cuda.device import pretended
from tests.data.test_context import make
from tests.training.conftest import write_store

SHARE = 0.4
KINDS: list[dict[str, Any]] = [
    {"corruption": "perlin"},
    {"corruption": "perlin", "lesions": "fresh"},
    {"corruption": "perlin", "lesions": "clouds"},
    {"corruption": "gaussian"},
    {"corruption": "shuffle", "windows": 3},
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SliceStore:
    return SliceStore.open(write_store(tmp_path_factory.mktemp("store") / "store"))


@pytest.fixture(scope="module")
def bank() -> LesionBank:
    return LesionBank.generate(count=40, images=4, size=64, patch=(3, 9), threshold=140, seed=3)


def options(kind: dict[str, Any], bank: LesionBank) -> dict[str, Any]:
    uses_bank = kind["corruption"] == "perlin" and "lesions" not in kind
    return {**kind, "seed": 5, "bank": bank} if uses_bank else {**kind, "seed": 5}


@pytest.mark.parametrize("seed", [0, 2**64 - 1, 0x9E3779B97F4A7C15])
def test_the_choice_is_that_of_philox(seed: int) -> None:
    ids = [0, 1, -1, 2**32, 2**40 + 77, 2**63 - 1, -(2**63)]
    words = [draw(seed, sample, Stream.CLEAN, 0)[0] for sample in ids]
    for share in (0.0, 0.25, 0.5, 0.9):
        expected = [word < round(share * 2**32) for word in words]
        chosen = clean_samples(seed, np.array(ids), share)
        assert chosen.dtype == np.bool_
        assert chosen.tolist() == expected
        assert clean_samples(seed, torch.tensor(ids), share).tolist() == expected
    # To the last bit: one more than the word is above it, the word itself is not.
    for sample, word in zip(ids, words, strict=True):
        assert clean_samples(seed, np.array([sample]), (word + 1) / 2**32).all()
        assert not clean_samples(seed, np.array([sample]), word / 2**32).any()


def test_the_share_is_met() -> None:
    chosen = clean_samples(3, np.arange(40_000), 0.3)
    assert abs(chosen.mean() - 0.3) < 4 * (0.3 * 0.7 / 40_000) ** 0.5
    assert abs(np.corrcoef(chosen[:-1], chosen[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_clean_samples_are_the_slices_and_the_others_what_they_were(
    store: SliceStore, bank: LesionBank, kind: dict[str, Any]
) -> None:
    indices = store.select("train", 0)
    plain = PseudoLesionDataset(store, indices, length=40, **options(kind, bank))
    some = PseudoLesionDataset(
        store, indices, length=40, clean_share=SHARE, lesion_masks=True, clean_flags=True, **options(kind, bank)
    )
    keys = [encode(2, position) for position in range(40)]
    before, batch = (collate(data.__getitems__(keys)) for data in (plain, some))
    assert before.keys() == batch.keys() - {"lesion", "clean"}
    chosen = torch.from_numpy(clean_samples(5, np.array(keys), SHARE))
    assert 5 < chosen.sum() < 35
    assert torch.equal(batch["image"][chosen], batch["target"][chosen])
    assert torch.equal(batch["image"][~chosen], before["image"][~chosen])
    assert torch.equal(batch["clean"], chosen)
    assert not batch["lesion"][chosen].any()
    changed = batch["image"] != batch["target"]
    if kind["corruption"] == "perlin":
        assert (batch["lesion"] | ~changed).all()
        assert batch["lesion"][~chosen].flatten(1).any(dim=1).all()
    else:
        assert torch.equal(batch["lesion"], changed)


def test_batches_orders_and_workers_make_no_difference(store: SliceStore, bank: LesionBank) -> None:
    data = PseudoLesionDataset(
        store, store.select("train", 0), bank=bank, clean_share=SHARE, lesion_masks=True, clean_flags=True
    )
    whole = collate(data.__getitems__(range(len(data))))
    loader = DataLoader(data, batch_size=3, num_workers=1, collate_fn=collate)
    parts = list(loader)
    for name, tensor in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), tensor), name
    assert torch.equal(data[4]["clean"], whole["clean"][4])


def test_where_nothing_can_be_pasted_the_sample_is_clean(store: SliceStore, bank: LesionBank) -> None:
    data = PseudoLesionDataset(store, store.select("train", 0), bank=bank, count=(0, 1), clean_flags=True)
    batch = collate(data.__getitems__(range(len(data))))
    assert "lesion" not in batch
    assert 0 < batch["clean"].sum() < len(data)
    assert torch.equal(batch["clean"], (batch["image"] == batch["target"]).flatten(1).all(dim=1))


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[3]], ids=str)
def test_neighbours_stay_clean_together(tmp_path: Path, bank: LesionBank, kind: dict[str, Any]) -> None:
    store = make(tmp_path / "volumes", [f"{volume}.tif#{page:04d}" for page in range(6) for volume in "ab"])
    common = {**options(kind, bank), "clean_share": SHARE, "lesion_masks": True, "clean_flags": True}
    wide, narrow = (PseudoLesionDataset(store, np.arange(12), context=context, **common) for context in (1, 0))
    batch, plain = (collate(data.__getitems__(range(12))) for data in (wide, narrow))
    for name in ("target", "lesion", "clean"):
        assert torch.equal(batch[name], plain[name]), name
    assert torch.equal(batch["image"][:, 1:2], plain["image"])
    rows = store.neighbours(np.arange(12), 1)
    neighbours = torch.from_numpy(store.slices[rows] / np.float32(255))
    assert 0 < batch["clean"].sum() < 12
    same = (batch["image"] == neighbours).flatten(2).all(dim=2)
    assert torch.equal(same.all(dim=1), batch["clean"])


@pytest.mark.filterwarnings("ignore::plr_fast.errors.EmptyMaskWarning")
@pytest.mark.parametrize("corruption", ["perlin", "gaussian", "shuffle"])
@pytest.mark.parametrize("kind", ["torch", "numpy", "in place", "ids from a generator", "device"])
def test_the_transform_does_the_same(bank: LesionBank, corruption: Any, kind: str) -> None:
    images = torch.from_numpy(np.random.default_rng(0).random((9, 1, 37, 45), np.float32))
    masks = torch.zeros(images.shape, dtype=torch.bool)
    masks[..., 4:30, 7:40] = True
    masks[3] = False
    ids = list(range(20, 29))
    patches = {"bank": bank, "count": 4} if corruption == "perlin" else {"windows": 2}
    chosen = clean_samples(8, torch.tensor(ids), 0.5)
    expected = PseudoLesionTransform(corruption, seed=8, **patches)(images, masks, samples=ids)
    expected[chosen] = images[chosen]
    marks = torch.empty_like(masks)
    flags = torch.empty(9, dtype=torch.bool)
    arguments: dict[str, Any] = {"samples": ids, "lesion_mask": marks, "clean": flags}
    original = images.clone()
    if kind == "device":
        with pretended():
            transform = PseudoLesionTransform(corruption, clean_share=0.5, seed=8, **patches)
            result = transform(images, masks, **{**arguments, "samples": torch.tensor(ids)})
            again = transform(images, masks, **{**arguments, "samples": ids})
            assert torch.equal(again, result)
    else:
        transform = PseudoLesionTransform(corruption, clean_share=0.5, seed=8, **patches)
        if kind == "numpy":
            arguments |= {"lesion_mask": marks.numpy(), "clean": flags.numpy()}
            result = torch.from_numpy(transform(images.numpy(), masks.numpy(), **arguments))  # type: ignore[arg-type]
        elif kind == "in place":
            result = transform(images, masks, out=images, **arguments)
            assert result.data_ptr() == images.data_ptr()
        elif kind == "ids from a generator":
            result = transform(images, masks, **{**arguments, "samples": iter(ids)})
        else:
            result = transform(images, masks, **arguments)
    assert torch.equal(result, expected)
    changed = result != original
    assert (marks | ~changed).all()
    assert corruption == "perlin" or torch.equal(marks, changed)
    assert torch.equal(flags, ~marks.flatten(1).any(dim=1))
    assert torch.equal(flags, chosen | (torch.arange(9) == 3 if corruption == "perlin" else False))
    alone = torch.empty(9, dtype=torch.bool)
    transform(original, masks, samples=ids, clean=alone)
    assert torch.equal(alone, flags), "without a mask to fill as well"


def test_bad_shares_are_refused(store: SliceStore, bank: LesionBank) -> None:
    with pytest.raises(ValueError, match="clean_share must be below 1"):
        PseudoLesionTransform(bank=bank, clean_share=1.0)
    with pytest.raises(TypeError, match="clean_share must be a number"):
        PseudoLesionDataset(store, [0], bank=bank, clean_share="half")  # type: ignore[arg-type]
