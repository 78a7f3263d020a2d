"""What is taken for the same slice or patient, and what only has the same name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plr_fast.data.store import SliceRecord, SliceStore, StoreWriter
from plr_fast.training.overlap import overlap
from plr_fast.training.seen import SeenSlices, seen_slices

Look = Callable[[np.ndarray], np.ndarray]
Make = Callable[..., SliceStore]


def coarse(seed: int, count: int) -> np.ndarray:
    """Pictures of 8×8 greys, (count, 8, 8): enlarged they are smooth, so that hashes of thumbnails mean something."""
    return np.random.default_rng(seed).uniform(60, 200, (count, 8, 8))


def padded(picture: np.ndarray) -> np.ndarray:
    """A picture that was not squashed: as wide as before, but with black bars above and below."""
    size, height = len(picture), len(picture) * 3 // 4
    shrunk = np.asarray(Image.fromarray(picture.astype(np.uint8)).resize((size, height)))
    above = (size - height) // 2
    return np.pad(shrunk, ((above, size - height - above), (0, 0)))


def narrow(picture: np.ndarray) -> np.ndarray:
    """A picture in a narrower window."""
    return np.clip((picture - 80) * 2.5, 0, 255)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Stores of the pictures given, with ids 0.png, 1.png, … and patients 1, 2, …"""

    def store(
        name: str, pictures: np.ndarray, *, size: int = 48, look: Look = np.asarray, ids: str = "{}.png"
    ) -> SliceStore:
        with StoreWriter(tmp_path / name, size=size, count=len(pictures), class_names=("normal", "covid")) as writer:
            for index, picture in enumerate(pictures):
                record = SliceRecord(
                    id=ids.format(index), group=str(index), patient=str(index + 1), split="test", label=index % 2
                )
                large = np.kron(picture, np.ones((size // 8, size // 8)))
                writer.add(look(large).astype(np.uint8), np.ones((size, size), np.uint8), record)
        return SliceStore.open(tmp_path / name)

    return store


def seen_all(store: SliceStore) -> SeenSlices:
    return seen_slices(store, np.arange(len(store)))


@pytest.mark.parametrize("count", [8, 60])
def test_names_alone_are_no_evidence_where_pictures_differ(make: Make, count: int) -> None:
    """Collections that have nothing in common have files of the same names."""
    seen, other = seen_all(make("one", coarse(1, count))), make("other", coarse(2, count))
    assert overlap(seen, other).slices <= count // 8
    unknown = replace(seen, looks=("",) * count)
    assert overlap(unknown, other).slices == count, "where looks are not known, names must do"


@pytest.mark.parametrize("count", [8, 60])
@pytest.mark.parametrize(
    ("size", "look"),
    [(96, np.asarray), (48, narrow), (48, lambda picture: picture / 2)],
    ids=["size", "window", "dark"],
)
def test_names_are_evidence_where_pictures_look_alike(make: Make, count: int, size: int, look: Look) -> None:
    seen = seen_all(make("one", coarse(1, count)))
    assert overlap(seen, make("again", coarse(1, count), size=size, look=look)).slices == count


@pytest.mark.parametrize("same", [1, 10, 20, 28, 40])
def test_in_a_mixed_collection_each_pair_is_taken_by_itself_first(make: Make, same: int) -> None:
    """60 names, some of them of the same pictures at another size and in another window."""
    pictures = np.concatenate([coarse(1, 60)[:same], coarse(2, 60)[same:]])
    seen, mixed = seen_all(make("one", coarse(1, 60))), make("mixed", pictures, size=96, look=narrow)
    assert overlap(seen, mixed).slices == same
    assert overlap(seen, mixed, np.arange(same)).slices == same
    assert overlap(seen, mixed, np.arange(same, 60)).slices == 0


def test_many_pairs_tell_together_what_none_tells_alone(make: Make) -> None:
    """Padded instead of squashed, some pictures are as far from themselves as others are."""
    seen, again = seen_all(make("one", coarse(1, 60))), make("again", coarse(1, 60), look=padded)
    assert sum(overlap(seen, again, few).slices for few in np.arange(60).reshape(-1, 10)) < 60
    assert overlap(seen, again).slices == 60


def test_numbered_patients_of_another_collection_are_not_the_same(make: Make) -> None:
    """Patients are numbered 1, 2, … everywhere: ids mean nothing where equal slice ids do not."""
    seen = seen_all(make("one", coarse(1, 60)))
    assert overlap(seen, make("other", coarse(2, 60))).patients == 0
    mixed = make("mixed", np.concatenate([coarse(1, 10), coarse(2, 60)[10:]]), size=96)
    found = overlap(seen, mixed)
    assert (found.slices, found.patients) == (10, 50)


def test_patients_count_where_the_pictures_tell_nothing_of_their_collection(make: Make) -> None:
    seen, pictures = seen_all(make("one", coarse(1, 60))), coarse(2, 60)
    other_names = make("visit", pictures, ids="second-visit-{}.png")
    assert overlap(seen, other_names).patients == 60
    few = overlap(seen, make("few", pictures[:8]))
    assert few.slices + few.patients == 8, "a few pictures are no evidence of another collection"
    unknown = replace(seen, looks=("",) * 60)
    assert overlap(unknown, make("unknown", pictures)).slices == 60
    # A slice that is found by its pixels shows that the collections have something in common.
    one = make("pixels", np.concatenate([pictures[:59], coarse(1, 60)[:1]]))
    found = overlap(seen, one)
    assert (found.slices, found.patients) == (1, 59)
