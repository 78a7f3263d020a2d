"""Patches of real and pseudo lesions: what is cut is what was asked for, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plr_fast import LesionBank, gaussian_blur, local_shuffle
from plr_fast.errors import DataError, ImageReadError
from plr_fast.evaluation import lesion_patches as cut
from plr_fast.evaluation.lesion_patches import LungSlice, blurred, lesion_patches, lung_patches, pasted_patches
from plr_fast.evaluation.lesion_slices import MOST_OF_A_VOLUME, LesionSlice, read_lesion_slices

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a picture and its mask into ``images`` and ``masks``; returns the folder of both."""

    def write(name: str, image: np.ndarray, mask: np.ndarray | None, suffix: str = ".png") -> Path:
        for folder, pixels in (("images", image), ("masks", mask)):
            (tmp_path / folder).mkdir(exist_ok=True)
            if pixels is not None:
                Image.fromarray(pixels).save(tmp_path / folder / f"{name}{suffix if folder == 'images' else '.png'}")
        return tmp_path

    return write


def picture(seed: int, shape: tuple[int, int] = (96, 120)) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 256, shape, dtype=np.uint8)


def square(shape: tuple[int, int], top: int, left: int, side: int, value: int = 255) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[top : top + side, left : left + side] = value
    return mask


def test_reads_pictures_with_lesions_in_the_order_of_their_names(write: Write) -> None:
    for name, side in (("b", 10), ("a", 4), ("empty", 0)):
        folder = write(name, picture(len(name)), square((96, 120), 5, 7, side), ".tif" if name == "a" else ".png")
    (folder / "images" / "index.csv").write_text("file\n")
    found = read_lesion_slices(folder)
    assert [(one.name, one.group, int(one.lesion.sum())) for one in found] == [("a.tif", "a", 16), ("b.png", "b", 100)]
    np.testing.assert_array_equal(found[1].image, picture(1))
    again = read_lesion_slices(folder / "images", folder / "masks")
    np.testing.assert_array_equal(again[0].lesion, found[0].lesion)


def test_masks_of_classes_and_of_greys(write: Write) -> None:
    classes = square((96, 120), 0, 0, 8, value=1) + square((96, 120), 0, 0, 4, value=1)
    soft = square((96, 120), 0, 0, 8, value=120) + square((96, 120), 0, 0, 4, value=120)  # 120 on the rim, 240 inside
    write("classes", picture(0), classes)
    folder = write("soft", picture(0), soft)
    assert [int(one.lesion.sum()) for one in read_lesion_slices(folder)] == [64, 64]
    write("soft", picture(0), soft - square((96, 120), 0, 0, 8, value=1) * (soft == 120))
    assert [int(one.lesion.sum()) for one in read_lesion_slices(folder)] == [64, 16]


def test_groups_come_from_the_list(write: Write) -> None:
    folder = write("a", picture(0), square((96, 120), 0, 0, 8))
    assert read_lesion_slices(folder, groups={"a.png": "patient 7"})[0].group == "patient 7"
    with pytest.raises(DataError, match=r"a\.png has no patient"):
        read_lesion_slices(folder, groups={"b.png": "patient 7"})


def test_errors_name_files(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        read_lesion_slices(tmp_path / "nowhere")
    folder = write("a", picture(0), square((90, 120), 0, 0, 8))
    with pytest.raises(DataError, match=r"a\.png is 120×96 pixels and its mask .*a\.png is 120×90"):
        read_lesion_slices(folder)
    write("a", picture(0), np.zeros((96, 120), np.uint8))
    with pytest.raises(DataError, match=r"all 1 masks .* are empty"):
        read_lesion_slices(folder)
    write("b", picture(0), None)
    with pytest.raises(DataError, match=r"b\.png has no mask"):
        read_lesion_slices(folder)
    (folder / "masks" / "b.png").write_bytes(b"not a picture")
    with pytest.raises(ImageReadError, match=r"masks/b\.png"):
        read_lesion_slices(folder)
    (folder / "masks" / "b.png").unlink()
    (folder / "masks" / "b.tif").touch()
    (folder / "images" / "b.jpg").touch()
    with pytest.raises(DataError, match="differ in their suffix alone"):
        read_lesion_slices(folder)


def test_volumes_give_slices_spread_over_their_lesions(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    values = np.full((40, 32, 50), -800, np.int16)
    values[:, :, ::2] = -1000
    mask = np.zeros(values.shape, np.uint8)
    mask[10:20, 10:20, 5:45] = 1
    for folder, voxels in (("images", values), ("masks", mask)):
        (tmp_path / folder).mkdir()
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / folder / "scan.nii.gz")
    found = read_lesion_slices(tmp_path)
    assert len(found) == MOST_OF_A_VOLUME
    assert {one.group for one in found} == {"scan"}
    assert {one.lesion.sum() for one in found} == {100}
    assert (found[0].name, found[-1].name) == ("scan.nii.gz#5", "scan.nii.gz#44")
    nibabel.save(nibabel.Nifti1Image(mask[:, :, 1:], np.eye(4)), tmp_path / "masks" / "scan.nii.gz")
    with pytest.raises(DataError, match=r"has 50 slices and .* has 49"):
        read_lesion_slices(tmp_path)


def lesion(name: str, seed: int, side: int) -> LesionSlice:
    return LesionSlice(name, name, picture(seed), square((96, 120), 10, 20, side) > 0)


def test_patches_are_windows_of_lesion() -> None:
    slices = [lesion("a", 0, 24), lesion("b", 1, 40), lesion("none", 2, 6)]
    found = lesion_patches(slices, 30, window=16, share=0.9, size=16, seed=3)
    for patch, name in zip(found.patches, found.origins, strict=True):
        one = slices["ab".index(name)]
        views = np.lib.stride_tricks.sliding_window_view(one.image, (16, 16))
        [(y, x)] = np.argwhere((views == patch).all(axis=(2, 3)))
        assert one.lesion[y : y + 16, x : x + 16].mean() > 0.9
    assert len(np.unique(found.patches, axis=0)) == len(found)
    again = lesion_patches(slices, 30, window=16, share=0.9, size=16, seed=3)
    np.testing.assert_array_equal(again.patches, found.patches)
    other = lesion_patches(slices, 30, window=16, share=0.9, size=16, seed=4)
    assert not np.array_equal(other.patches[:2], found.patches[:2])


def test_patches_are_spread_over_slices() -> None:
    slices = [lesion("large", 0, 60), lesion("small", 1, 18), lesion("middle", 2, 30)]
    found = lesion_patches(slices, 8, window=16, size=16)
    counts = {name: int((found.origins == name).sum()) for name in ("large", "small", "middle")}
    assert counts["small"] >= 1
    assert abs(counts["large"] - counts["middle"]) <= 1
    assert sum(counts.values()) == 8
    assert list(found.origins) == sorted(found.origins, key=["large", "small", "middle"].index)


def test_patches_are_resized_as_pillow_does() -> None:
    one = LesionSlice("a", "a", picture(0, (64, 64)), np.ones((64, 64), bool))
    [patch] = lesion_patches([one], 1, window=64).patches
    expected = np.asarray(Image.fromarray(one.image).resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(patch, expected)


def test_no_window_says_how_full_the_fullest_is() -> None:
    with pytest.raises(DataError, match=r"20 pixels is lesion by more than 90%; the most is 64% \(b\)"):
        lesion_patches([lesion("a", 0, 8), lesion("b", 1, 16)], window=20)
    with pytest.raises(DataError, match="none is as large as the square"):
        lesion_patches([lesion("a", 0, 8)], window=200)
    with pytest.raises(ValueError, match="share in"):
        lesion_patches([lesion("a", 0, 8)], share=1.0)


def lung(name: str, seed: int) -> LungSlice:
    return LungSlice(name, name, picture(seed, (120, 120)), square((120, 120), 20, 10, 80) > 0)


def test_altered_patches_lie_at_the_same_places() -> None:
    slices = [lung("a", 0), lung("b", 1)]
    plain = lung_patches(slices, 6, window=24, size=24)
    for alter, whole in ((blurred, gaussian_blur), (cut.shuffled, local_shuffle)):
        found = lung_patches(slices, 6, window=24, size=24, alter=alter)
        for patch, before, name in zip(found.patches, plain.patches, found.origins, strict=True):
            one = slices["ab".index(name)]
            views = np.lib.stride_tricks.sliding_window_view(one.image, (24, 24))
            [(y, x)] = np.argwhere((views == before).all(axis=(2, 3)))
            expected = np.asarray(whole(one.image[None]))[0, y : y + 24, x : x + 24]
            np.testing.assert_array_equal(patch, expected)


def test_pasted_patches_are_those_of_the_bank() -> None:
    """Pasted opaque into free lung, a box holds the bank's patch or a later one over it."""
    bank = LesionBank.generate(count=20, images=4, size=64, patch=(10, 10), threshold=120)
    found = pasted_patches([lung("a", 0), lung("b", 1)], bank, 40, paste={"count": 1, "inside": "patch"}, size=10)
    assert len(found) == 2
    assert all(any(np.array_equal(patch, one) for one in bank) for patch in found.patches)
    assert list(found.groups) == ["a", "b"]
    with pytest.raises(DataError, match="no pseudo lesion lies in the lungs"):
        pasted_patches([LungSlice("a", "a", picture(0), square((96, 120), 3, 3, 2) > 0)], bank, paste={"count": 3})


def test_free_lung_leaves_lesions_out() -> None:
    from plr_fast.data import thorax_phantom

    phantom = thorax_phantom(1, 3, 128, positive_share=0.0, seed=0)
    image, mask = phantom.slices[1], phantom.masks[1].astype(bool)
    y, x = np.argwhere(mask)[mask.sum() // 2]
    lesion = square(image.shape, y - 5, x - 5, 10) > 0
    [found] = cut.free_lung([LesionSlice("a", "a", image, lesion), LesionSlice("b", "b", np.zeros_like(image), lesion)])
    assert not (found.free & lesion).any()
    rest = mask & ~lesion
    assert (found.free & rest).sum() > 0.7 * rest.sum()
