"""Controls without a network: what they see, what they score, and that they are the same each time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plr_fast.data.duplicates import thumbnails
from plr_fast.data.store import SliceRecord, SliceStore, StoreWriter
from plr_fast.errors import DataError
from plr_fast.experiment.engine.controls import _FUNCTIONS, control
from plr_fast.experiment.engine.grey_forest import grey_forest_scores, grey_statistics
from plr_fast.experiment.engine.nearest_slice import nearest_slice_scores
from plr_fast.experiment.planning.controls import CONTROLS

SIZE, COUNT = 16, 80


def make_store(path: Path, *, brighter: int = 30) -> SliceStore:
    """Positives are brighter inside the lungs; every fifth slice has no usable mask."""
    generator = np.random.default_rng(0)
    with StoreWriter(path, size=SIZE, count=COUNT, class_names=("normal", "covid")) as writer:
        for number in range(COUNT):
            mask = np.zeros((SIZE, SIZE), np.bool_)
            mask[4:12, 2 : 6 + number % 8] = number % 10 != 0
            picture = generator.integers(60, 200, (SIZE, SIZE))
            picture[4:12, 2:14] += brighter * (number % 2)
            record = SliceRecord(f"{number}", f"g{number}", "train", number % 2, mask_ok=number % 10 != 5)
            writer.add(picture.astype(np.uint8), mask, record)
    return SliceStore.open(path)


@pytest.fixture
def store(tmp_path: Path) -> SliceStore:
    return make_store(tmp_path / "store")


def test_statistics_are_those_of_numpy(store):
    table = grey_statistics(store, np.array([3, 20, 5]))
    assert table.shape == (3, 47)
    inside = np.asarray(store.slices[3])[np.asarray(store.masks[3]) == 1]
    for part, pixels in ((table[0, :23], inside), (table[0, 23:46], np.asarray(store.slices[3]).ravel())):
        assert part[0] == pytest.approx(pixels.mean())
        assert part[1] == pytest.approx(pixels.std())
        assert part[2:7].tolist() == np.percentile(pixels, (5, 25, 50, 75, 95), method="inverted_cdf").tolist()
        assert part[7:] == pytest.approx(np.histogram(pixels, bins=16, range=(0, 256))[0] / len(pixels))
    assert table[0, 46] == pytest.approx(store.masks[3].mean())
    for row in (1, 2):  # an empty mask; one that is marked implausible
        assert table[row, :23].tolist() == table[row, 23:46].tolist()
        assert table[row, 46] == 0


def test_forest_finds_what_grey_levels_tell_and_nothing_else(store, tmp_path):
    train, test = np.arange(60), np.arange(60, 80)
    scores = grey_forest_scores(store, train, test, 1)
    assert scores.shape == (20,)
    assert scores.dtype == np.float64
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.mean((scores >= 0.5) == store.labels[test]) >= 0.9
    blind = make_store(tmp_path / "blind", brighter=0)
    assert np.mean((grey_forest_scores(blind, train, test, 1) >= 0.5) == blind.labels[test]) < 0.9


def test_forest_depends_on_its_seed_alone(store):
    train, test = np.arange(40), np.arange(40, 60)
    np.random.seed(5)  # noqa: NPY002 - global state must not matter
    first = grey_forest_scores(store, train, test, 2**40 + 3)
    assert np.array_equal(first, grey_forest_scores(store, train, test, 2**40 + 3))
    assert not np.array_equal(first, grey_forest_scores(store, train, test, 4))
    # Each slice is judged on its own.
    assert np.array_equal(first[5:9], grey_forest_scores(store, train, test[5:9], 2**40 + 3))


def test_nearest_slice_knows_what_it_has_seen(store):
    train = np.arange(50)
    scores = nearest_slice_scores(store, train, train)
    assert np.array_equal(scores >= 0.5, store.labels[train] == 1)
    rows = thumbnails(store.slices).reshape(COUNT, -1)
    table = np.corrcoef(rows)[70, :50]
    expected = 0.5 + (table[store.labels[:50] == 1].max() - table[store.labels[:50] == 0].max()) / 4
    assert nearest_slice_scores(store, train, np.array([70])) == pytest.approx([expected], abs=1e-5)


def test_every_control_has_a_name_a_description_and_a_function():
    assert set(_FUNCTIONS) == set(CONTROLS)
    assert all(CONTROLS.values())
    assert all(callable(control(name)) for name in CONTROLS)


def test_a_file_is_read_without_the_engine():
    code = "import sys, plr_fast.experiment.planning.plan_reader; print([n for n in sys.modules if '.engine' in n])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"


@pytest.mark.parametrize("scores", [grey_forest_scores, nearest_slice_scores])
def test_one_class_is_not_enough(store, scores):
    with pytest.raises(DataError, match="0 are normal and 3 covid"):
        scores(store, np.array([1, 3, 5]), np.array([0]), 0)
