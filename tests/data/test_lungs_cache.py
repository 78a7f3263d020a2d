"""Masks that a store hands on to the one that replaces it: only where slice and recipe are equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plr_fast.data.lungs import cache
from plr_fast.data.lungs import masks as lung_masks
from plr_fast.data.lungs.cache import MaskCache, read_qualities
from plr_fast.data.lungs.masks import lung_mask, mask_recipe
from plr_fast.data.phantom.scans import thorax_phantom
from plr_fast.data.prepare import PrepareConfig, PrepareReport, prepare
from plr_fast.data.store import SliceStore, StoreWriter
from plr_fast.errors import StoreError

SIZE = 48


@pytest.fixture
def source(tmp_path: Path) -> Path:
    data = thorax_phantom(8, 3, SIZE, seed=2)
    for index, (picture, label) in enumerate(zip(data.slices, data.labels, strict=True)):
        folder = tmp_path / "source" / ("normal", "covid")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{index:02d}.png")
    return tmp_path / "source"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def make(source: Path, store: Path, **changes: Any) -> PrepareReport:
    return prepare(PrepareConfig(source, store, **({"size": SIZE, "progress": False, "overwrite": True} | changes)))


def test_the_store_knows_how_its_masks_were_made(source: Path, store: Path) -> None:
    report = make(source, store)
    opened = SliceStore.open(store)
    assert opened.info["mask_recipe"] == mask_recipe()
    masks, expected = lung_mask(np.array(opened.slices), return_quality=True)
    np.testing.assert_array_equal(opened.masks, masks)
    assert repr(read_qualities(opened)) == repr(expected)  # NaN = NaN
    assert [quality.ok for quality in expected] == opened.mask_ok.tolist()
    sheet = np.asarray(Image.open(store / "masks_worst.png"))
    assert sheet.ndim == 3
    assert sheet.std() > 10
    assert report.masks_reused == 0
    assert any("masks_worst.png" in line for line in report.lines())


def test_equal_slices_are_taken_over(source: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(source, store)
    before = {name: (store / name).read_bytes() for name in ("masks.npy", "masks.csv", "masks_worst.png")}
    calls: list[int] = []

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        return lung_mask(*arguments, **named)

    monkeypatch.setattr(lung_masks, "lung_mask", counted)
    again = make(source, store, seed=1)  # other splits, the same slices
    assert not calls
    assert again.masks_reused == 24
    assert any("24 were taken over" in line for line in again.lines())
    assert before == {name: (store / name).read_bytes() for name in before}
    # one picture changes: one mask is computed
    changed = next((source / "normal").iterdir())
    Image.fromarray(np.asarray(Image.open(changed)) // 2 + 40).save(changed)
    assert make(source, store).masks_reused == 23
    assert len(calls) == 1


@pytest.mark.parametrize("change", ["version", "parameter", "size", "pad", "damaged", "no table", "given", "none"])
def test_others_are_computed(source: Path, store: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    changes: dict[str, Any] = {}
    if change != "none":
        make(source, store, **({"fit": "pad"} if change == "pad" else {}))
    info = json.loads((store / "store.json").read_text()) if change != "none" else {}
    if change == "version":
        monkeypatch.setattr(lung_masks, "MASK_VERSION", lung_masks.MASK_VERSION + 1)
    elif change == "parameter":
        info["mask_recipe"]["parameters"]["closing"] = 0.05
    elif change == "size":
        changes["size"] = SIZE + 16
    elif change == "pad":
        changes["fit"] = "pad"
    elif change == "given":
        info["mask_source"] = "given"
    elif change == "no table":
        (store / "masks.csv").unlink()
    elif change == "damaged":
        masks = np.load(store / "masks.npy")
        masks[3] ^= 1
        np.save(store / "masks.npy", masks)
    if info:
        (store / "store.json").write_text(json.dumps(info))
    assert make(source, store, **changes).masks_reused == 0
    opened = SliceStore.open(store)
    np.testing.assert_array_equal(opened.masks, lung_mask(np.array(opened.slices)))


def test_given_and_phantom_masks_have_no_recipe(source: Path, store: Path, tmp_path: Path) -> None:
    make(source, store, mask_dir=source)
    assert SliceStore.open(store).info["mask_recipe"] is None
    assert not (store / "masks.csv").exists()
    with pytest.raises(StoreError, match=r"masks.csv does not say"):
        read_qualities(SliceStore.open(store))
    make(Path("phantom"), tmp_path / "phantom", phantom_patients=10, phantom_slices=2)
    assert SliceStore.open(tmp_path / "phantom").info["mask_recipe"] is None


@pytest.mark.parametrize("damage", ["order", "value", "column", "bytes"])
def test_a_damaged_table(source: Path, store: Path, damage: str) -> None:
    make(source, store)
    file = store / "masks.csv"
    lines = file.read_text().splitlines()
    if damage == "order":
        lines[1], lines[2] = lines[2], lines[1]
    elif damage == "value":
        lines[1] = lines[1].replace(",1,", ",maybe,", 1)
    elif damage == "column":
        lines[0] = lines[0].replace("doubt", "certainty")
    file.write_bytes(b"\xff\xfe" if damage == "bytes" else "\n".join(lines).encode())
    with pytest.raises(StoreError, match=r"masks.csv does not say"):
        read_qualities(SliceStore.open(store))
    assert MaskCache.open(store, mask_recipe(), size=SIZE, fit="squash") is None


@pytest.mark.parametrize("name", ["slices.npy", "masks.npy", "manifest.csv", "store.json", "a/b", "..", ""])
def test_only_new_files_are_attached(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(ValueError, match="must be the plain name of a file"),
        StoreWriter(tmp_path / "s", size=8, count=1, class_names=("a", "b")) as writer,
    ):
        writer.attach(name, b"")
    with pytest.raises(RuntimeError, match="inside its 'with' block"):
        writer.attach("notes.txt", b"")
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_take_over_from(tmp_path: Path) -> None:
    assert MaskCache.open(tmp_path / "nowhere", mask_recipe(), size=SIZE, fit="squash") is None
    assert cache.QUALITY_FILE == "masks.csv"
