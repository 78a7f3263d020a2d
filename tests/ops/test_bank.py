"""The lesion bank: against a bank searched by hand in NumPy, the same for every backend, safe files, clear errors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plr_fast
from plr_fast import DataError, LesionBank, perlin_noise
from plr_fast.backends import get_backend
from plr_fast.backends.reference.philox import Stream, below, draw, random_box
from plr_fast.ops import bank_search
from plr_fast.ops.bank_settings import Between, image_groups

SMALL: dict[str, Any] = {"count": 60, "images": 7, "size": 64, "seed": 5}


@pytest.fixture(scope="module")
def small() -> LesionBank:
    return LesionBank.generate(**SMALL)


def by_hand(
    count: int, images: int, size: int, seed: int, threshold: int = 180, noise: list[dict[str, Any]] | None = None
) -> list[np.ndarray]:
    """Search candidates one by one in candidate order, as the paper's sentence reads."""
    settings: Any = [{}] * images if noise is None else noise
    grey = np.concatenate(
        [
            perlin_noise((1, size, size), seed=seed, samples=[m], dtype="uint8", grey="minmax", **settings[m]).numpy()
            for m in range(images)
        ]
    )
    kept: list[np.ndarray] = []
    for r in range(10_000):
        for m in range(images):
            words = draw(seed, m, Stream.CANDIDATE, r)
            top, left, height, width = random_box(words, (5, 25), (5, 25), (size, size))
            patch = grey[m, top : top + height, left : left + width]
            if patch.mean() > threshold:
                kept.append(patch)
            if len(kept) == count:
                return kept
    raise AssertionError("not enough candidates")


def test_is_what_the_paper_describes(backend: str) -> None:
    bank = LesionBank.generate(**SMALL)
    expected = by_hand(**SMALL)
    assert len(bank) == len(expected) == 60
    for patch, other in zip(bank, expected, strict=True):
        np.testing.assert_array_equal(patch, other)


def test_known_answer(backend: str, small: LesionBank) -> None:
    packed = LesionBank.generate(**SMALL).packed
    digest = hashlib.sha256(packed.pixels.tobytes() + packed.heights.tobytes()).hexdigest()[:16]
    assert digest == "45c1075725cc269a", "a change of meaning must be meant"


def test_candidates_equal_the_reference(backend: str) -> None:
    generator = np.random.default_rng(3)
    images = generator.integers(0, 256, (3, 40, 33), np.uint8)
    ids = np.array([0, -7, 2**40], np.int64)
    name = backend.partition("-")[0]
    results = []
    for one in (name, "reference"):
        out = np.empty((3, 50, 5), np.int32)
        get_backend(one).candidates(images, ids, 2**64 - 1, (1, 30), 2**31, out, 2)
        results.append(out)
    np.testing.assert_array_equal(results[0], results[1])


def test_cut_equals_the_reference(backend: str) -> None:
    generator = np.random.default_rng(3)
    images = generator.integers(0, 256, (3, 40, 90), np.uint8)
    sizes = np.array([(1, 1), (5, 25), (40, 90), (3, 64), (2, 33), (0, 4)], np.int64)
    starts = np.array([(0, 39, 89), (1, 0, 65), (2, 0, 0), (1, 37, 26), (0, 5, 7), (2, 1, 1)], np.int64)
    boxes = np.concatenate([starts, sizes], axis=1)
    ends = np.cumsum(sizes.prod(axis=1))
    results = []
    for one in (backend.partition("-")[0], "reference"):
        out = np.zeros(ends[-1], np.uint8)
        get_backend(one).cut(images, boxes, ends - sizes.prod(axis=1), out, 2)
        results.append(out)
    np.testing.assert_array_equal(*results)


def test_native_cut_checks_its_boxes() -> None:
    native = pytest.importorskip("plr_fast._native")
    images = np.zeros((2, 10, 10), np.uint8)
    for box in ((2, 0, 0, 1, 1), (0, -1, 0, 1, 1), (0, 6, 0, 5, 1), (0, 0, 6, 1, 5), (0, 0, 0, -1, 1), (1, 0, 0, 9, 9)):
        with pytest.raises(ValueError, match="box 0 lies outside the images or does not fit into out"):
            native.cut(images, np.array([box], np.int64), np.zeros(1, np.int64), np.zeros(80, np.uint8), 1)


VARIED: dict[str, Any] = {"cells": (2, 10), "octaves": [4, 2, 1], "persistence": (0.3, 0.7)}


def drawn(m: int) -> dict[str, Any]:
    """Return the noise settings of image ``m`` of :data:`VARIED`, drawn one at a time."""
    words = draw(5, m, Stream.BANK_NOISE, 0)
    steps = [below(word, 17) / 16 for word in words]
    return {"cells": 2 + 8 * steps[0], "octaves": [4, 2, 1][m % 3], "persistence": 0.3 + (0.7 - 0.3) * steps[2]}


def test_noise_settings_may_vary(backend: str) -> None:
    bank = LesionBank.generate(**SMALL, **VARIED)
    expected = by_hand(**SMALL, noise=[drawn(m) for m in range(7)])
    for patch, other in zip(bank, expected, strict=True):
        np.testing.assert_array_equal(patch, other)
    turns = LesionBank.generate(**SMALL, cells=[2, 4, 9.5])
    expected = by_hand(**SMALL, noise=[{"cells": [2, 4, 9.5][m % 3]} for m in range(7)])
    assert all(np.array_equal(a, b) for a, b in zip(turns, expected, strict=True))
    octaves = {noise.octaves for noise, _ in image_groups(dataclasses.replace(bank.settings, octaves=Between(1, 3)))}
    assert octaves <= {1, 2, 3}
    assert len(octaves) > 1


def test_one_value_is_one_value_however_it_is_said(small: LesionBank) -> None:
    assert LesionBank.generate(**SMALL, cells=[4], octaves=(4, 4), persistence=[0.5, 0.5]) == small


def test_every_image_has_settings_in_range() -> None:
    settings = dataclasses.replace(LesionBank.generate(**SMALL, **VARIED).settings, images=5000, octaves=Between(2, 6))
    groups = image_groups(settings)
    ids = np.sort(np.concatenate([members for _, members in groups]))
    np.testing.assert_array_equal(ids, np.arange(5000))
    assert {noise.octaves for noise, _ in groups} == {2, 3, 4, 5, 6}
    cells = {noise.cells: 0 for noise, _ in groups}
    for noise, members in groups:
        cells[noise.cells] += len(members)
    assert sorted(cells) == [2 + k / 2 for k in range(17)]
    expected = 5000 / 17
    chi_square = sum((n - expected) ** 2 / expected for n in cells.values())
    assert chi_square < 40, "99.9 % quantile at 16 degrees of freedom is 39.3"


def test_same_whatever_the_chunks_threads_and_rounds(monkeypatch: pytest.MonkeyPatch, small: LesionBank) -> None:
    mixed = LesionBank.generate(**SMALL, **VARIED)
    for chunk_bytes, first_rounds, threads in [(1, 24, 1), (20_000, 1, 2), (2**30, 100, 3)]:
        monkeypatch.setattr(bank_search, "_CHUNK_BYTES", chunk_bytes)
        monkeypatch.setattr(bank_search, "_FIRST_ROUNDS", first_rounds)
        plr_fast.set_num_threads(threads)
        assert LesionBank.generate(**SMALL) == small
        assert LesionBank.generate(**SMALL, **VARIED) == mixed


def test_no_more_is_kept_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many candidates that are bright enough, pixels of no more than twice the bank and a chunk are held."""
    held: list[int] = []
    real = bank_search._first

    def first(count: int, parts: list[Any]) -> Any:
        held.append(sum(len(part.rows) for part in parts))
        return real(count, parts)

    monkeypatch.setattr(bank_search, "_first", first)
    monkeypatch.setattr(bank_search, "_CHUNK_BYTES", 64 * 64)
    bank = LesionBank.generate(count=50, images=40, size=64, threshold=0, seed=2)
    assert len(bank) == 50
    assert len(held) > 2
    assert max(held) <= 2 * 50 + 30, "a chunk is one image with 30 rounds"
    monkeypatch.undo()
    assert LesionBank.generate(count=50, images=40, size=64, threshold=0, seed=2) == bank


def test_patches_obey_the_rules(small: LesionBank) -> None:
    for patch in small:
        assert patch.mean() > 180
        assert all(5 <= side <= 25 for side in patch.shape)
    heights = LesionBank.generate(count=2000, images=50, size=128, threshold=0).packed.heights
    counts = np.bincount(heights, minlength=26)[5:]
    assert counts.min() > 0.5 * counts.mean(), "with no threshold, all heights are about equally frequent"


def test_more_patches_begin_with_fewer(small: LesionBank) -> None:
    more = LesionBank.generate(**{**SMALL, "count": 90})
    assert all(np.array_equal(a, b) for a, b in zip(more[:60], small, strict=True))


def test_indexing(small: LesionBank) -> None:
    assert np.array_equal(small[-1], small[59])
    assert len(small[10:20]) == 10
    with pytest.raises(IndexError):
        small[60]
    assert "60 patches" in repr(small)


def test_save_and_load(tmp_path: Path, small: LesionBank) -> None:
    path = tmp_path / "bank.npz"
    small.save(path)
    loaded = LesionBank.load(path)
    assert loaded == small
    assert loaded.settings == small.settings
    assert [p.name for p in tmp_path.iterdir()] == ["bank.npz"], "no temporary file is left"


def test_varied_settings_are_saved(tmp_path: Path) -> None:
    bank = LesionBank.generate(**SMALL, **VARIED)
    bank.save(tmp_path / "bank.npz")
    assert LesionBank.load(tmp_path / "bank.npz").settings == bank.settings
    assert bank.settings.cells == Between(2.0, 10.0)
    assert bank.settings.octaves == (4, 2, 1)
    again = LesionBank.generate(
        bank.settings.count, bank.settings.images, bank.settings.size, bank.settings.threshold, bank.settings.patch,
        cells=bank.settings.cells, octaves=list(bank.settings.octaves), persistence=bank.settings.persistence,
        seed=bank.settings.seed,
    )  # fmt: skip
    assert again == bank


def test_banks_of_the_first_format_are_read(tmp_path: Path, small: LesionBank) -> None:
    path = tmp_path / "bank.npz"
    small.save(path)
    with np.load(path) as file:
        content = dict(file)
    header = json.loads(str(content["header"]))
    assert header["format_version"] == 2
    np.savez(path, **{**content, "header": json.dumps({**header, "format_version": 1})})
    loaded = LesionBank.load(path)
    assert loaded == small
    assert loaded.settings == small.settings


def test_numpy_numbers_are_as_good_as_others(tmp_path: Path, small: LesionBank) -> None:
    settings = {key: np.int64(value) for key, value in SMALL.items()}
    bank = LesionBank.generate(**settings, cells=np.float32(4), octaves=np.int64(4))
    bank.save(tmp_path / "bank.npz")
    assert LesionBank.load(tmp_path / "bank.npz").settings == small.settings


def test_large_patches_keep_to_the_threshold() -> None:
    bank = LesionBank.generate(count=3, images=1, size=2048, patch=(900, 2048), threshold=120, octaves=1, cells=1)
    assert all(patch.mean() > 120 for patch in bank)


def test_damaged_files_are_named(tmp_path: Path, small: LesionBank) -> None:
    path = tmp_path / "bank.npz"
    with pytest.raises(FileNotFoundError):
        LesionBank.load(path)
    small.save(path)
    whole = path.read_bytes()
    for broken in (b"", b"hello", whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=r"bank\.npz"):
            LesionBank.load(path)
    np.savez(path, pixels=np.zeros(3, np.uint8))
    with pytest.raises(DataError, match="is damaged or is no lesion bank"):
        LesionBank.load(path)


def test_newer_and_inconsistent_files_are_refused(tmp_path: Path, small: LesionBank) -> None:
    path = tmp_path / "bank.npz"
    small.save(path)
    with np.load(path) as file:
        content = dict(file)
    header = json.loads(str(content["header"]))
    np.savez(path, **{**content, "header": json.dumps({**header, "format_version": 99})})
    with pytest.raises(DataError, match="newer than this: upgrade"):
        LesionBank.load(path)
    np.savez(path, **{**content, "pixels": content["pixels"][:-1]})
    with pytest.raises(DataError, match="do not fit its pixels"):
        LesionBank.load(path)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "bank.npz"
    np.savez(path, header=np.array([{"format_version": 1}], dtype=object))
    with pytest.raises(DataError):
        LesionBank.load(path)


def test_a_threshold_out_of_reach_is_explained() -> None:
    with pytest.raises(DataError, match=r"only \d+ of 60 patches found among [\d,]+ candidates: .*maximum \d+"):
        LesionBank.generate(**SMALL, threshold=254, max_candidates=5000)
    with pytest.raises(DataError, match="raise it"):
        LesionBank.generate(**SMALL, max_candidates=3)


def test_contact_sheet(tmp_path: Path, small: LesionBank) -> None:
    from PIL import Image

    small.contact_sheet(tmp_path / "sheet.png", rows=3, columns=5, scale=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    side = max(small.packed.heights.max(), small.packed.widths.max()) + 2
    assert sheet.shape == (3 * side * 2, 5 * side * 2)
    patch = small[0]
    top, left = (side - patch.shape[0]) // 2, (side - patch.shape[1]) // 2
    np.testing.assert_array_equal(sheet[::2, ::2][top:, left:][: patch.shape[0], : patch.shape[1]], patch)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"count": 0}, ValueError, "count"),
        ({"images": 0}, ValueError, "images"),
        ({"size": -4}, ValueError, "size"),
        ({"size": 20}, ValueError, "patch must fit"),
        ({"patch": (9, 3)}, ValueError, "low <= high"),
        ({"patch": (0, 3)}, ValueError, "patch"),
        ({"patch": (1, 2, 3)}, ValueError, "patch must be a number or a pair"),
        ({"threshold": 255}, ValueError, "threshold"),
        ({"threshold": 1.5}, TypeError, "threshold"),
        ({"cells": -1}, ValueError, "cells"),
        ({"count": 2**24, "patch": (1, 2048), "size": 2**12}, MemoryError, "bank of"),
        ({"patch": (1, 2049), "size": 2**12}, ValueError, "patch"),
        ({"octaves": 99}, ValueError, "octaves"),
        ({"cells": "4"}, TypeError, "cells must be a number"),
        ({"cells": []}, ValueError, r"cells must be a number, a list with at least one, or a range"),
        ({"cells": [4, -1]}, ValueError, "cells must be a finite number"),
        ({"cells": (8, 4)}, ValueError, r"cells must be .low, high. with low <= high, not \(8, 4\)"),
        ({"cells": (2, 4, 8)}, ValueError, r"cells must be a range .low, high., not 3 values: pass a list"),
        ({"octaves": (2, 4.5)}, TypeError, "octaves must be an integer"),
        ({"octaves": [1, 99]}, ValueError, "octaves must be 1..24"),
        ({"persistence": (0.2, 99)}, ValueError, "persistence"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LesionBank.generate(**{**SMALL, **kwargs})
