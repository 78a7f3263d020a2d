"""Pasting: the CUDA kernels, run on the host, against the native backend, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plr_fast.backends import native
from plr_fast.backends.cuda import paste as cuda
from plr_fast.backends.cuda.arrays import from_numpy
from plr_fast.backends.cuda.launch import Context
from plr_fast.backends.cuda.params import SampleIds
from plr_fast.backends.specs import PasteRecord, PasteSpec, PatchBank

from .arrays import off_by, optional, pack, packed, sample_ids

BLENDS = ("replace", "max", "alpha", "add")


def make_bank(rng: np.random.Generator, patches: int, low: int, high: int, missing: bool = False) -> PatchBank:
    heights = rng.integers(low, high + 1, patches, np.int32)
    widths = rng.integers(low, high + 1, patches, np.int32)
    if missing:
        heights[rng.random(patches) < 0.3] = 0
        widths[heights == 0] = 0
    lengths = heights.astype(np.int64) * widths
    return PatchBank(rng.integers(0, 256, int(lengths.sum()), np.uint8), np.cumsum(lengths) - lengths, heights, widths)


def bank_on(bank: PatchBank) -> cuda.Bank:
    return cuda.Bank(*(from_numpy(a) for a in (bank.pixels, bank.offsets, bank.heights, bank.widths)))


def blobs(rng: np.random.Generator, shape: tuple[int, int, int], share: float) -> np.ndarray:
    """Return masks of boxes, so that whole patches fit now and then."""
    masks = np.zeros(shape, np.uint8)
    for mask in masks:
        while mask.mean() < share:
            top, left = rng.integers(-8, shape[1]), rng.integers(-8, shape[2])
            height, width = rng.integers(1, 30, 2)
            mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 1
    return masks


def record_for(shape: tuple[int, int, int], most: int, full: bool) -> PasteRecord:
    batch = shape[0]
    counts, skipped = np.full(batch, -1, np.int32), np.full(batch, -1, np.int32)
    if not full:
        return PasteRecord(counts, skipped)
    return PasteRecord(
        counts, skipped, np.full((batch, most, 4), -1, np.int32), np.full((batch, most), -1, np.int32),
        np.full((batch, most), -1, np.int32), np.full(shape, 9, np.uint8),
    )  # fmt: skip


def on_device(record: PasteRecord) -> cuda.Record:
    return cuda.Record(
        from_numpy(record.counts), from_numpy(record.skipped), optional(record.boxes), optional(record.patches),
        optional(record.weights), optional(record.lesions),
    )  # fmt: skip


def check(
    host: Context,
    images: np.ndarray,
    masks: np.ndarray,
    bank: PatchBank,
    cover: np.ndarray | None,
    spec: PasteSpec,
    *,
    full: bool = True,
    in_place: bool = False,
) -> PasteRecord:
    """Paste on both, compare all that they write, return the record."""
    bits, ids = pack(masks), np.arange(5, 5 + len(images), dtype=np.int64)
    records = [record_for(images.shape, spec.count[1], full) for _ in range(2)]
    expected = np.empty_like(images)
    native.paste(images, expected, bits, ids, bank, cover, spec, records[0], 1)
    source = images.copy() if in_place else images
    out = source if in_place else off_by(np.zeros_like(images), images.ctypes.data // images.itemsize % 4)
    cuda.paste(
        host, from_numpy(source), from_numpy(out), packed(bits), sample_ids(ids), bank_on(bank), optional(cover), spec,
        on_device(records[1]),
    )  # fmt: skip
    np.testing.assert_array_equal(out, expected)
    for name, value in vars(records[0]).items():
        if value is not None:
            np.testing.assert_array_equal(vars(records[1])[name], value, err_msg=name)
    return records[1]


def images_of(rng: np.random.Generator, dtype: str, shape: tuple[int, int, int], skip: int) -> np.ndarray:
    grey = rng.integers(0, 256, shape, np.uint8)
    return off_by(grey if dtype == "uint8" else grey.astype(np.float32) / 255, skip)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_images_and_records_are_those_of_the_native_backend(host: Context, data: st.DataObject) -> None:
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 9999), label="seed"))
    shape = (
        draw(st.integers(1, 3), label="batch"),
        draw(st.integers(1, 70), label="height"),
        draw(st.integers(1, 40) | st.sampled_from([64, 72, 130, 600]), label="width"),
    )
    own = draw(st.booleans(), label="own")
    low = draw(st.integers(0, 4), label="low count")
    count = (low, low + draw(st.integers(0, 6), label="more"))
    weight = draw(st.tuples(st.integers(0, 128), st.integers(0, 128)), label="weight")
    spec = PasteSpec(
        seed=draw(st.integers(0, 2**64 - 1), label="seed of the draws"),
        count=count,
        blend=draw(st.sampled_from(BLENDS), label="blend"),
        weight=(weight[0], weight[0] + weight[1]),
        feather=draw(st.sampled_from([0, 1, 3, 200]), label="feather"),
        whole=draw(st.booleans(), label="whole"),
        own=own,
    )
    largest = draw(st.sampled_from([1, 6, 25, 90]), label="largest")
    patches = shape[0] * count[1] if own else draw(st.integers(1, 9), label="patches")
    bank = make_bank(rng, patches, 1, largest, missing=own)
    shapes = draw(st.sampled_from(["rectangle", "ellipse", "cloud"]), label="shape")
    cover = None
    if shapes != "rectangle":
        cover = np.zeros_like(bank.pixels)
        native.cover_patches(bank, shapes, spec.feather, cover, 1)
    masks = blobs(rng, shape, draw(st.sampled_from([0.0, 0.1, 0.6, 1.0]), label="share"))
    masks[rng.random(shape[0]) < 0.2] = 0
    images = images_of(rng, draw(st.sampled_from(["uint8", "float32"])), shape, draw(st.sampled_from([0, 0, 1])))
    check(host, images, masks, bank, cover, spec, full=draw(st.booleans()), in_place=draw(st.booleans()))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("width", [512, 1100])
def test_patches_across_the_edges_of_tiles(host: Context, dtype: str, width: int) -> None:
    """Wide images are cut into tiles of few rows; patches begin and end at each row and column of them."""
    rng = np.random.default_rng(width)
    shape = (2, 50, width)
    spec = PasteSpec(21, (300, 300), "max", (256, 256), 0, whole=False)
    check(host, images_of(rng, dtype, shape, 0), np.ones(shape, np.uint8), make_bank(rng, 40, 1, 12), None, spec)


def test_more_patches_than_one_launch_takes(host: Context) -> None:
    rng = np.random.default_rng(1)
    spec = PasteSpec(3, (1100, 2500), "alpha", (20, 200), 2, whole=False)
    shape = (2, 24, 64)
    record = check(
        host, images_of(rng, "uint8", shape, 0), blobs(rng, shape, 0.4), make_bank(rng, 12, 1, 9), None, spec
    )
    assert record.counts.max() > cuda._MOST


@pytest.mark.parametrize("width", [70, 129, 200])
def test_places_for_the_whole_patch_are_searched(host: Context, width: int) -> None:
    """Few places, so that tries fail; patches wider than a word of the mask, too."""
    rng = np.random.default_rng(width)
    masks = np.zeros((3, 60, 300), np.uint8)
    masks[:, 2:9, 30:50] = masks[0, 20:50, 11:290] = masks[1, 20:40, 100:270] = masks[2, :, 63:130] = 1
    masks[0, 22:24, 200:206] = 0
    bank = make_bank(rng, 6, 4, 12)
    bank = replace(bank, widths=np.array([width, 64, 65, 1, 63, 20], np.int32))
    lengths = bank.heights.astype(np.int64) * bank.widths
    bank = replace(
        bank, pixels=rng.integers(0, 256, int(lengths.sum()), np.uint8), offsets=np.cumsum(lengths) - lengths
    )
    spec = PasteSpec(11, (40, 40), "replace", (256, 256), 0, whole=True)
    record = check(host, images_of(rng, "float32", masks.shape, 0), masks, bank, None, spec)
    assert record.skipped.any()
    assert record.counts.all()


def test_in_place_tiles_without_patches_are_left_alone(host: Context) -> None:
    images = np.full((1, 64, 512), np.nan, np.float32)  # NaN would not survive arithmetic as these bits
    images.view(np.uint32)[...] = 0x7FA12345
    masks = np.zeros(images.shape, np.uint8)
    masks[0, 40, 300] = 1
    bank = make_bank(np.random.default_rng(0), 1, 3, 3)
    out = images.copy()
    counts = np.empty((2, 1), np.int32)
    spec, record = PasteSpec(0, (1, 1), "replace", (256, 256), 0, whole=False), map(from_numpy, counts)
    array = from_numpy(out)
    cuda.paste(host, array, array, packed(pack(masks)), SampleIds(), bank_on(bank), None, spec, cuda.Record(*record))
    changed = np.argwhere(out.view(np.uint32) != images.view(np.uint32))
    assert changed.tolist() == [[0, 40, 300]]
    assert counts.tolist() == [[1], [0]]


@pytest.mark.parametrize("shape", ["ellipse", "cloud"])
@pytest.mark.parametrize("feather", [0, 2, 100])
def test_covers_are_those_of_the_native_backend(host: Context, shape: str, feather: int) -> None:
    bank = make_bank(np.random.default_rng(feather), 20, 1, 40, missing=True)
    bank.pixels[: int(bank.offsets[1])] = 77  # a flat patch
    expected, out = np.zeros_like(bank.pixels), np.zeros_like(bank.pixels)
    native.cover_patches(bank, shape, feather, expected, 1)
    cuda.cover_patches(host, bank_on(bank), shape, feather, from_numpy(out))
    np.testing.assert_array_equal(out, expected)


def test_an_empty_batch_and_an_empty_bank_are_nothing_to_do(host: Context) -> None:
    nothing = np.empty((0, 8, 8), np.uint8)
    bank = make_bank(np.random.default_rng(0), 2, 1, 4)
    check(host, nothing, nothing, bank, None, PasteSpec(0, (1, 2), "max", (256, 256), 0, whole=False))
    empty = PatchBank(*(a[:0] for a in (bank.pixels, bank.offsets, bank.heights, bank.widths)))
    cuda.cover_patches(host, bank_on(empty), "cloud", 1, from_numpy(empty.pixels))
