"""Near duplicates: altered copies are found, other pictures are not, and prepare writes down, joins or passes over."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from plr_fast.data import SliceStore, duplicates
from plr_fast.data.duplicates import (
    BITS,
    NearDuplicates,
    duplicates_table,
    near_duplicates,
    perceptual_hashes,
    thumbnails,
)
from plr_fast.data.phantom.scans import thorax_phantom
from plr_fast.data.prepare import PrepareConfig, prepare
from plr_fast.data.resplit import resplit
from plr_fast.errors import DataError

SIZE = 224


@pytest.fixture(scope="module")
def chests() -> np.ndarray:
    """One slice of each of 24 people, who look alike but for their vessels: uint8 (24, 224, 224)."""
    return thorax_phantom(24, 1, SIZE, seed=3).slices


def jpeg(picture: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=50)
    return np.asarray(Image.open(stream))


def cropped(picture: np.ndarray, share: float) -> np.ndarray:
    left, top, right, bottom = share * SIZE * np.array([1.0, 0.3, 0.2, 0.8])
    box = (left, top, SIZE - right, SIZE - bottom)
    return np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box))


ALTERATIONS = {
    "smaller": lambda picture: np.asarray(
        Image.fromarray(picture).resize((100, 100), Image.Resampling.BICUBIC).resize((SIZE, SIZE))
    ),
    "compressed": jpeg,
    "brighter": lambda picture: np.clip(picture * 0.85 + 25, 0, 255).astype(np.uint8),
    "gamma": lambda picture: (255 * (picture / 255) ** 0.8).astype(np.uint8),
    "cropped": lambda picture: cropped(picture, 0.015),
    "shifted": lambda picture: np.pad(picture, ((1, 0), (0, 1)), mode="edge")[:SIZE, 1:],
    "noisy": lambda picture: np.clip(picture + np.random.default_rng(0).normal(0, 4, picture.shape), 0, 255).astype(
        np.uint8
    ),
}


@pytest.mark.parametrize("how", ALTERATIONS)
def test_altered_copies_are_found_and_nothing_else(chests, how):
    altered = [ALTERATIONS[how](picture) for picture in chests]
    assert not any(np.array_equal(one, other) for one, other in zip(altered, chests, strict=True))
    found = near_duplicates(thumbnails([*chests, *altered]))
    assert found.pairs.tolist() == [[k, k + len(chests)] for k in range(len(chests))]
    assert found.likeness.min() >= duplicates.LIKENESS


def test_alignment_is_what_finds_crops(chests):
    """A crop of 5 % is far from its original pixel for pixel, and covers it after alignment."""
    pictures = thumbnails([chests[0], cropped(chests[0], 0.05)])
    plain = np.corrcoef(duplicates._inner(duplicates._band(pictures)))[0, 1]
    (aligned,) = duplicates._aligned(pictures, np.array([0]), np.array([1]))
    assert plain < 0.8
    assert aligned > 0.95


def test_alignment_recovers_a_known_shift():
    """Of a smooth random picture and its part 1.5 thumbnail pixels further, only the shift makes one the other."""
    field = gaussian_filter(np.random.default_rng(1).normal(size=(160, 160)), 4)
    field = (255 * (field - field.min()) / np.ptp(field)).astype(np.uint8)
    pictures = thumbnails([field[8:136, 8:136], field[8:136, 14:142]])  # 6 pixels of 4 each
    (aligned,) = duplicates._aligned(pictures, np.array([0]), np.array([1]))
    fine = duplicates._fine(pictures).astype(np.float32)
    assert float(fine[0] @ fine[1]) < 0.7
    assert aligned > 0.98


def test_different_people_are_apart(chests):
    found = near_duplicates(thumbnails(chests), radius=BITS, likeness=0.0)
    assert 0.8 < found.likeness.max() < 0.95
    assert len(near_duplicates(thumbnails(chests))) == 0


def test_hashes_do_not_see_brightness_and_contrast():
    grey = np.random.default_rng(0).integers(40, 100, (5, 32, 32), dtype=np.uint8)
    hashes = perceptual_hashes(grey)
    assert hashes.shape == (5, 2)
    assert np.array_equal(hashes, perceptual_hashes(grey * 2 + 20))
    ones = np.unpackbits(hashes.view(np.uint8), axis=1).sum(axis=1)
    assert (ones == BITS // 2).all()
    between = np.unpackbits((hashes[0] ^ hashes[1:]).view(np.uint8), axis=1).sum(axis=1)
    assert (between > 40).all()  # of 128; 64 ± 5.7 for noise


def test_all_pairs_are_counted_in_blocks_like_at_once(monkeypatch):
    """Against the plain double loop, over the edges of blocks, and by both ways to count bits."""
    generator = np.random.default_rng(2)
    hashes = generator.integers(0, 2**63, (150, 2), dtype=np.uint64)
    hashes[100:140] = hashes[3:43] ^ (np.uint64(1) << generator.integers(0, 63, (40, 2), dtype=np.uint64))
    bits = np.unpackbits(hashes.view(np.uint8), axis=1)
    distance = (bits[:, None] != bits[None]).sum(axis=2)
    expected = {(a, b): distance[a, b] for a in range(150) for b in range(a + 1, 150) if distance[a, b] <= 50}
    assert len(expected) > 40
    monkeypatch.setattr(duplicates, "_COLUMN_BLOCK", 70)
    done: list[int] = []

    def found() -> dict[tuple[int, int], int]:
        blocks = duplicates._close(hashes, 50, done.append)
        return {(a, b): d for block in blocks for a, b, d in zip(*(part.tolist() for part in block), strict=True)}

    assert found() == expected
    assert sum(done) == 150
    if hasattr(np, "bitwise_count"):
        monkeypatch.delattr(np, "bitwise_count")
    assert found() == expected


def test_pairs_that_are_alike_anyway_are_left_out(chests):
    pictures = thumbnails([chests[0], chests[0], chests[1], chests[1]])
    assert near_duplicates(pictures).pairs.tolist() == [[0, 1], [2, 3]]
    assert near_duplicates(pictures, alike=np.array([7, 7, 1, 2])).pairs.tolist() == [[2, 3]]


def test_blank_pictures_are_duplicates_of_nothing():
    assert len(near_duplicates(np.full((6, 32, 32), 9, np.uint8), radius=BITS)) == 0
    assert len(near_duplicates(thumbnails([]))) == 0


def test_clusters_and_counts():
    found = NearDuplicates(np.array([[0, 5], [1, 3], [5, 9]]), np.ones(3, np.float32), np.zeros(3, np.int64))
    assert found.clusters() == [[0, 5, 9], [1, 3]]
    assert found.where(["a"] * 9 + ["b"]) == 1
    empty = NearDuplicates(np.empty((0, 2), np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
    assert empty.clusters() == []
    table = duplicates_table(found, list("abcdefghij"), [0, 1, -1, 1, 0, 0, 0, 0, 0, -1], list("0123456789"))
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows[2] == {
        "first": "f", "second": "j", "likeness": "1.000", "distance": "0",
        "first_label": "0", "second_label": "", "first_group": "5", "second_group": "9",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pictures", "options"),
    [
        (np.zeros((2, 32, 31), np.uint8), {}),
        (np.zeros((2, 32, 32), np.float32), {}),
        (np.zeros((2, 32, 32), np.uint8), {"alike": np.zeros(3, np.int64)}),
        (np.zeros((2, 32, 32), np.uint8), {"radius": 129}),
        (np.zeros((2, 32, 32), np.uint8), {"likeness": 1.5}),
    ],
)
def test_wrong_arguments(pictures, options):
    with pytest.raises(ValueError, match="must"):
        near_duplicates(pictures, **options)


class TestPrepare:
    """Twenty people, of whom four are in the set twice: one of those under both labels."""

    @pytest.fixture
    def pictures(self, tmp_path: Path, chests: np.ndarray) -> Path:
        root = tmp_path / "set"
        for name in ("covid", "normal"):
            (root / name).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(chests[number]).save(root / ("normal", "covid")[number % 2] / f"{number}.png")
        for number in range(4):
            other = zoom(cropped(chests[number], 0.01), 1.5, order=1)
            name = ("normal", "covid")[number % 2] if number else "covid"
            Image.fromarray(other).save(root / name / f"copy{number}.png")
        return root

    def prepared(self, pictures: Path, **changes: object):
        values = {"source": pictures, "out": pictures.parent / "store", "size": 64, "progress": False, "jobs": 1}
        report = prepare(PrepareConfig(**(values | {"overwrite": True, "masks": "none"} | changes)))
        return report, SliceStore.open(report.store)

    def test_report(self, pictures):
        report, store = self.prepared(pictures)
        assert report.near is not None
        assert (report.near.pairs, report.near.slices, report.near.clusters) == (4, 8, 4)
        assert (report.near.across_labels, report.near.groups_joined) == (1, 0)
        rows = list(csv.DictReader(io.StringIO((report.store / "duplicates.csv").read_text())))
        named = {frozenset((row["first"], row["second"])) for row in rows}
        assert named == {
            frozenset((f"{name}/copy{n}.png", f"{own}/{n}.png"))
            for n, (name, own) in enumerate([("covid", "normal"), ("covid",) * 2, ("normal",) * 2, ("covid",) * 2])
        }
        place = dict(zip(store.ids.tolist(), store.splits.tolist(), strict=True))
        apart = sum(place[row["first"]] != place[row["second"]] for row in rows)
        assert report.near.across_splits == apart > 0
        assert store.info["summary"]["near_duplicates"]["across_splits"] == apart
        text = "\n".join(report.lines())
        assert "4 pairs of near duplicates in different groups or classes (8 slices, duplicates.csv)" in text
        assert f"{apart} pairs of near-duplicate slices lie in different splits" in text
        assert "without the split column" not in text
        assert "1 pairs of near-duplicate slices have different labels: 'covid/copy0.png ~ normal/0.png'" in text
        # Other splits: what was said of the first ones is not repeated, the list stays.
        other = SliceStore.open(resplit(store, pictures.parent / "other", seed=4))
        notes = "\n".join(other.info["summary"]["notes"])
        assert "lie in different splits" not in notes
        assert "have different labels" in notes
        assert "across_splits" not in other.info["summary"]["near_duplicates"]
        assert (other.path / "duplicates.csv").samefile(report.store / "duplicates.csv")

    def test_group(self, pictures):
        report, store = self.prepared(pictures, near_duplicates="group")
        assert report.near is not None
        assert (report.near.pairs, report.near.groups_joined, report.near.across_splits) == (4, 4, 0)
        assert report.groups == 20
        group = dict(zip(store.ids.tolist(), store.groups.tolist(), strict=True))
        assert group["covid/copy0.png"] == group["normal/0.png"]
        assert "4 groups were joined for that" in "\n".join(report.lines())

    def test_off_and_none(self, pictures):
        report, store = self.prepared(pictures, near_duplicates="off")
        assert report.near is None
        assert "near_duplicates" not in store.info["summary"]
        assert not (report.store / "duplicates.csv").exists()
        for copy in pictures.glob("*/copy*.png"):
            copy.unlink()
        report, _ = self.prepared(pictures)
        assert "no near duplicates in different groups" in report.lines()
        assert not (report.store / "duplicates.csv").exists()

    def test_given_splits_are_not_joined_over(self, pictures):
        rows = ["file,label,split"]
        for file in sorted(pictures.glob("*/*.png")):
            split = "test" if "copy" in file.name else "train"
            rows.append(f"{file.relative_to(pictures)},{file.parent.name},{split}")
        manifest = pictures / "index.csv"
        manifest.write_text("\n".join(rows))
        given = {"source": manifest, "split_column": "split", "val_fraction": 0.2}
        report, _ = self.prepared(pictures, **given)
        assert report.near is not None
        assert report.near.across_splits == 4
        assert "--near-duplicates group and without the split column" in "\n".join(report.lines())
        with pytest.raises(DataError, match="4 pairs of near-duplicate slices lie in different given splits"):
            self.prepared(pictures, **given, near_duplicates="group")
        report, _ = self.prepared(pictures, **given, near_duplicates="group", allow_shared_groups=True)
        assert report.shared_groups == 4


def test_one_patient_is_not_listed(tmp_path, chests):
    """Slices of one patient and label are not parted, so their likeness tells nothing."""
    for patient in range(6):
        for name in ("covid", "normal"):
            folder = tmp_path / "set" / name / f"p{patient}{name}"
            folder.mkdir(parents=True)
            for copy in range(2):
                picture = chests[2 * patient + (name == "covid")]
                Image.fromarray(picture + np.uint8(copy)).save(folder / f"{copy}.png")
    config = PrepareConfig(tmp_path / "set", tmp_path / "store", patient_folders=True, size=64, masks="none", jobs=1)
    report = prepare(config)
    assert report.near is not None
    assert report.near.pairs == 0


@pytest.mark.real_data
def test_public_sets_hold_what_was_found(real_data, tmp_path):
    """UCSD COVID-CT shows two slices under both labels and two names of patients."""
    source = real_data / "ct" / "ucsd_covid_ct"
    pictures = sorted(source.glob("*/*.png"))
    assert len(pictures) == 746
    found = near_duplicates(
        thumbnails(np.asarray(Image.open(file).convert("L").resize((224, 224))) for file in pictures),
        alike=np.array([file.parent.name == "covid" for file in pictures]).astype(np.int64),
    )
    names = [tuple(f"{pictures[row].parent.name}/{pictures[row].stem}" for row in pair) for pair in found.pairs]
    assert names == [
        ("covid/covid_0342", "normal/noncovid_0339"),
        ("covid/covid_0343", "normal/noncovid_0340"),
    ]
