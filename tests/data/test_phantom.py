"""The thorax phantom: reproducible, anatomically sane, and neither trivial nor hopeless to classify."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from plr_fast.data.phantom.anatomy import Patient, cut
from plr_fast.data.phantom.fields import (
    Grid,
    Stream,
    capsule,
    coverage,
    ct_noise,
    ellipse,
    gaussian_field,
    ramp,
    smooth_max,
    smooth_min,
    stream,
)
from plr_fast.data.phantom.lesions import Disease
from plr_fast.data.phantom.render import Scan
from plr_fast.data.phantom.scans import Phantom, thorax_phantom
from plr_fast.data.phantom.vessels import Tree, draw, grow


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return thorax_phantom(24, 5, 96, seed=3)


def test_arrays_have_the_documented_form(phantom: Phantom) -> None:
    assert len(phantom) == 120
    for array, dtype in ((phantom.slices, np.uint8), (phantom.masks, np.bool_), (phantom.lesions, np.bool_)):
        assert array.shape == (120, 96, 96)
        assert array.dtype == dtype
    assert phantom.labels.dtype == np.int8
    assert phantom.levels.dtype == np.float32
    assert phantom.patients == [f"phantom-{k:04d}" for k in range(24) for _ in range(5)]
    levels = phantom.levels.reshape(24, 5)
    assert (np.diff(levels, axis=1) > 0).all()
    assert levels.min() > 0.0
    assert levels.max() < 1.0


def test_a_patient_does_not_depend_on_the_others(phantom: Phantom) -> None:
    fewer = thorax_phantom(4, 5, 96, seed=3)
    for name in ("slices", "masks", "lesions", "labels", "levels"):
        np.testing.assert_array_equal(getattr(fewer, name), getattr(phantom, name)[:20], err_msg=name)
    other = thorax_phantom(4, 5, 96, seed=4)
    assert (other.slices != fewer.slices).mean() > 0.3
    firsts = phantom.slices[::5].reshape(24, -1)
    assert len(np.unique(firsts, axis=0)) == 24


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 1 / 3, 1.0])
def test_share_of_positive_patients_is_exact(share: float) -> None:
    labels = thorax_phantom(20, 1, 32, positive_share=share).labels
    for count in range(1, 21):
        assert abs(int(labels[:count].sum()) - share * count) < 1.0
    assert set(np.unique(labels)) <= {0, 1}


def test_disease_is_all_that_differs_between_the_classes() -> None:
    well, ill = (thorax_phantom(8, 4, 96, positive_share=share, seed=9) for share in (0.0, 1.0))
    np.testing.assert_array_equal(well.masks, ill.masks)
    np.testing.assert_array_equal(well.levels, ill.levels)
    change = ill.slices.astype(int) - well.slices.astype(int)
    # optics and motion carry an edge a few pixels: beyond them nothing may change outside the lungs
    for index in range(len(well)):
        far = ~ndimage.binary_dilation(well.masks[index], iterations=8)
        assert not change[index][far].any()
        assert change[index][ill.lesions[index]].mean() > 5.0


def test_lesions_lie_in_the_lungs_of_positive_slices(phantom: Phantom) -> None:
    assert not (phantom.lesions & ~phantom.masks).any()
    share = phantom.lesions.sum(axis=(1, 2)) / phantom.masks.sum(axis=(1, 2))
    assert (share[phantom.labels == 0] == 0.0).all()
    assert (share[phantom.labels == 1] > 0.02).all()
    assert np.median(share[phantom.labels == 1]) < 0.5


def test_lesions_prefer_the_periphery_and_the_back() -> None:
    ill = thorax_phantom(30, 4, 64, positive_share=1.0, seed=1)
    depth_of_lesions, depth_of_lungs, behind = [], [], []
    for mask, lesion in zip(ill.masks, ill.lesions, strict=True):
        depth = ndimage.distance_transform_edt(mask)
        depth_of_lesions.append(depth[lesion].mean())
        depth_of_lungs.append(depth[mask].mean())
        behind.append(np.nonzero(lesion)[0].mean() - np.nonzero(mask)[0].mean())
    # opacities are wide, so that their mean depth lies below the lung's by a few per cent only
    assert np.mean(depth_of_lesions) < 0.98 * np.mean(depth_of_lungs)
    assert np.mean(behind) > 2.0
    drawn = [opacity for k in range(40) for opacity in Disease.draw(Patient.draw(0, k)).opacities]
    assert np.mean([opacity.depth < 1.5 for opacity in drawn]) > 0.7
    assert np.mean([opacity.angle > 0.0 for opacity in drawn]) > 0.7
    assert np.mean([opacity.level > 0.5 for opacity in drawn]) > 0.6


def test_lungs_are_dark_and_two(phantom: Phantom) -> None:
    fields = []
    for picture, mask, level in zip(phantom.slices, phantom.masks, phantom.levels, strict=True):
        assert 0.02 < mask.mean() < 0.6
        wall = ndimage.binary_dilation(mask, iterations=4) & ~ndimage.binary_dilation(mask, iterations=2)
        assert np.median(picture[mask]) + 20 < np.median(picture[wall])
        if 0.2 < level < 0.7:
            labels, count = ndimage.label(mask)
            sizes = np.bincount(labels.ravel())[1:] / mask.sum()
            fields.append(int((sizes > 0.1).sum()))
            assert count <= 4
    assert len(fields) > 40
    assert fields.count(2) > 0.9 * len(fields)


@pytest.mark.parametrize("level", [0.2, 0.45])
def test_airways_are_dark_and_stay_out_of_the_masks(level: float) -> None:
    scan = Scan(0, 0, 192, positive=False)
    picture, mask, _ = scan.slice(level, 0)
    section = cut(scan.patient, level, scan.grid)
    assert len(section.airways) == (1 if level < 0.3 else 2)
    for lumen, wall in section.airways:
        inside = lumen < -0.25
        around = (lumen > wall + 0.3) & (lumen < wall + 0.6)
        assert inside.sum() > 5
        assert np.median(picture[inside]) < np.median(picture[mask])
        assert np.median(picture[inside]) + 60 < np.median(picture[around])
        assert not mask[inside].any()


def test_anatomy_is_the_same_at_every_resolution() -> None:
    small, large = (thorax_phantom(4, 3, size, seed=5) for size in (64, 192))
    reduced = large.masks.reshape(12, 64, 3, 64, 3).mean(axis=(2, 4)) > 0.5
    overlap = 2 * (reduced & small.masks).sum(axis=(1, 2)) / (reduced.sum(axis=(1, 2)) + small.masks.sum(axis=(1, 2)))
    assert overlap.min() > 0.93
    assert overlap.mean() > 0.97


def test_grey_alone_neither_solves_nor_hides_the_task() -> None:
    data = thorax_phantom(80, 3, 64, seed=2)
    mean = data.slices.mean(axis=(1, 2))
    assert 0.25 < roc_auc_score(data.labels, mean) < 0.75
    inside = np.array([p[m].std() for p, m in zip(data.slices, data.masks, strict=True)])
    assert roc_auc_score(data.labels, inside) < 0.95
    upper = np.array([np.percentile(p[m], 75) for p, m in zip(data.slices, data.masks, strict=True)])
    assert 0.6 < roc_auc_score(data.labels, upper) < 0.95


@pytest.mark.parametrize("size", [32, 33, 47])
def test_any_size(size: int) -> None:
    made = thorax_phantom(2, 2, size)
    assert made.slices.shape == (4, size, size)
    assert made.lesions[made.labels == 1].any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"patients": 0}, ValueError, "patients must lie in 1"),
        ({"patients": 2.5}, TypeError, "patients must be an integer, got float"),
        ({"patients": True}, TypeError, "patients must be an integer, got bool"),
        ({"slices_per_patient": 0}, ValueError, "slices_per_patient"),
        ({"size": 16}, ValueError, "size must lie in 32..2048, got 16"),
        ({"size": 4096}, ValueError, "size"),
        ({"seed": -1}, ValueError, "seed"),
        ({"positive_share": 1.5}, ValueError, "positive_share must lie in 0..1, got 1.5"),
        ({"positive_share": float("nan")}, ValueError, "positive_share"),
        ({"positive_share": "half"}, TypeError, "positive_share must be a number"),
        ({"patients": 1_000_000, "slices_per_patient": 10_000, "size": 2048}, MemoryError, "make fewer or smaller"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        thorax_phantom(**arguments)  # type: ignore[arg-type]


def test_numpy_integers_are_integers() -> None:
    made = thorax_phantom(np.int64(1), np.int32(1), np.uint8(32), seed=np.int64(4))  # type: ignore[arg-type]
    np.testing.assert_array_equal(made.slices, thorax_phantom(1, 1, 32, seed=4).slices)


# the parts


def test_streams_are_independent() -> None:
    draws = [
        stream(seed, kind, patient, index).integers(0, 2**62)
        for seed in (0, 1)
        for kind in Stream
        for patient in range(3)
        for index in range(3)
    ]
    assert len(set(draws)) == len(draws)
    assert stream(5, Stream.VESSELS, 2).random() == stream(5, Stream.VESSELS, 2).random()


def test_pixels_and_body_coordinates_are_inverse() -> None:
    grid = Grid.make(40, 17.0, 12.0, (0.7, -1.2), 0.13)
    rows, columns = grid.to_pixels(grid.x.ravel(), grid.y.ravel())
    expected = np.mgrid[:40, :40].reshape(2, -1)
    np.testing.assert_allclose(rows, expected[0], atol=1e-3)
    np.testing.assert_allclose(columns, expected[1], atol=1e-3)
    assert grid.step_x == pytest.approx(2 * 17.0 / 40)


def test_shapes_have_their_areas() -> None:
    grid = Grid.make(400, 10.0, 10.0, (0.0, 0.0), 0.3)
    pixel = grid.step_x * grid.step_y
    assert coverage(ellipse(grid, 1.0, -2.0, 3.0, 1.5, 0.7), grid.step).sum() * pixel == pytest.approx(
        np.pi * 3.0 * 1.5, rel=0.01
    )
    length, radius = np.hypot(4.0, 3.0), 0.8
    assert coverage(capsule(grid, (-2.0, 0.0), (2.0, 3.0), radius), grid.step).sum() * pixel == pytest.approx(
        np.pi * radius**2 + 2 * radius * length, rel=0.01
    )
    circle = ellipse(grid, 0.0, 0.0, 4.0, 4.0)
    np.testing.assert_allclose(circle, np.hypot(grid.x, grid.y) - 4.0, atol=2e-3)


def test_smooth_extremes_touch_the_sharp_ones_away_from_the_corner() -> None:
    a = np.linspace(-3, 3, 61, dtype=np.float32)[None].repeat(61, 0)
    b = a.T
    far = np.abs(a - b) >= 1.0
    for smooth, sharp, sign in ((smooth_max, np.maximum, 1), (smooth_min, np.minimum, -1)):
        result = smooth(a, b, 1.0)
        np.testing.assert_allclose(result[far], sharp(a, b)[far], atol=1e-6)
        assert (sign * (result - sharp(a, b)) >= -1e-6).all()
        assert sign * (result - sharp(a, b)).diagonal() == pytest.approx(np.full(61, 0.25), abs=1e-6)


def test_ramp() -> None:
    assert [ramp(v, 1.0, 3.0) for v in (0.0, 1.0, 2.0, 3.0, 9.0)] == [0.0, 0.0, 0.5, 1.0, 1.0]


def _power(field: np.ndarray, grid: Grid, low: float, high: float) -> float:
    fy = np.fft.fftfreq(grid.size, grid.step_y)[:, None]
    fx = np.fft.fftfreq(grid.size, grid.step_x)[None]
    f = np.hypot(fy, fx)
    return float((np.abs(np.fft.fft2(field)) ** 2)[(f >= low) & (f < high)].mean())


def test_field_has_the_spectrum_it_claims() -> None:
    grid = Grid.make(256, 20.0, 14.0, (0.0, 0.0), 0.0)
    scale, slope = 0.5, 3.0
    fields = [gaussian_field(np.random.default_rng(k), grid, scale, slope) for k in range(6)]
    for field in fields:
        assert field.dtype == np.float32
        assert field.mean() == pytest.approx(0.0, abs=1e-5)
        assert field.std() == pytest.approx(1.0, abs=1e-4)
    for low, high in ((0.4, 0.5), (1.4, 1.5)):
        measured = np.mean([_power(f, grid, low, high) / _power(f, grid, 0.9, 1.0) for f in fields])
        gain = [(1 + (2 * np.pi * f * scale) ** 2) ** -slope for f in (0.5 * (low + high), 0.95)]
        assert measured == pytest.approx(gain[0] / gain[1], rel=0.25)


def test_noise_has_little_power_at_low_frequencies() -> None:
    grid = Grid.make(256, 20.0, 20.0, (0.0, 0.0), 0.0)
    noise = ct_noise(np.random.default_rng(0), grid, 3.0)
    assert noise.std() == pytest.approx(1.0, abs=1e-4)
    assert _power(noise, grid, 0.05, 0.3) < 0.3 * _power(noise, grid, 1.8, 2.4)


def test_a_crossing_vessel_is_a_disc_of_its_size() -> None:
    grid = Grid.make(200, 5.0, 5.0, (0.0, 0.0), 0.2)
    z = np.arange(-1.0, 1.0, 0.02, dtype=np.float32)
    tree = Tree(np.stack([np.full_like(z, 0.6), np.full_like(z, -1.1), z], axis=1), np.full_like(z, 0.5))
    image = draw(tree, grid, 0.0, 0.1)
    assert image.sum() * grid.step_x * grid.step_y == pytest.approx(np.pi * 0.25, rel=0.02)
    centre = ndimage.center_of_mass(image)
    rows, columns = grid.to_pixels(np.float32([0.6]), np.float32([-1.1]))
    assert centre == pytest.approx((float(rows[0]), float(columns[0])), abs=0.1)
    assert not draw(tree, grid, 5.0, 0.1).any()
    # thinner than a pixel: fainter, by the share of the pixel it fills
    thin = draw(Tree(tree.xyz, np.full_like(z, 0.3 * grid.step)), grid, 0.0, 0.1)
    assert 0.05 < thin.max() < 0.7


def test_vessels_taper_and_do_not_depend_on_sampling() -> None:
    patient = Patient.draw(0, 0)
    vessels, bronchi = grow(patient, 0.05)
    again, _ = grow(patient, 0.2)
    assert len(vessels.radius) > 2 * len(again.radius)
    assert vessels.radius.max() == pytest.approx(again.radius.max())
    assert vessels.radius.min() == pytest.approx(again.radius.min())
    left = vessels.xyz[:, 0] > 0
    distance = np.linalg.norm(vessels.xyz[left] - np.float32([3.9 * patient.scale, -0.2, 0.5 * patient.height]), axis=1)
    near, far = vessels.radius[left][distance < 3.0], vessels.radius[left][distance > 8.0]
    assert near.mean() > 2.0 * far.mean()
    assert len(bronchi.radius) < len(vessels.radius) / 5
