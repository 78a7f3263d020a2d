"""Likeness of lesions: against hand-computed values and SciPy, and controls that must come out in the right order."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cosine, jensenshannon
from scipy.stats import wasserstein_distance

from plr_fast.errors import DataError
from plr_fast.evaluation.likeness import likeness, patch_distances, texture, texture_distances
from tests.lesion_pictures import write_lesion_folder

TOOL = Path(__file__).parents[2] / "tools" / "compare_lesions.py"


def test_patch_distances_by_hand() -> None:
    # (1, 0) and (0, 1) have no pixel in common: cosine distance 1, divergence ln 2.
    assert patch_distances(np.array([[1, 0]]), np.array([[0, 5]])) == pytest.approx((1, np.sqrt(np.log(2))))
    assert patch_distances(np.array([[2, 4]]), np.array([[1, 2]])) == pytest.approx((0, 0), abs=1e-7)


def test_patch_distances_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (19, 8, 8)), rng.integers(0, 256, (7, 8, 8))
    pairs = [(a.ravel(), b.ravel()) for a in first for b in second]
    expected = np.mean([cosine(a, b) for a, b in pairs]), np.mean([jensenshannon(a, b) for a, b in pairs])
    assert patch_distances(first, second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("patches", "message"),
    [(np.zeros((0, 4)), "at least one"), (np.zeros((1, 4)), "all zero"), (np.array([[1, -1, 1, 1]]), "not negative"),
     (np.array([[1, np.nan, 1, 1]]), "finite"), (np.ones((1, 9)), "resize")],
)  # fmt: skip
def test_patch_distances_refuse(patches: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        patch_distances(patches, np.ones((1, 4)))


def noise(sigma: float, seed: int, *, mean: float = 120, spread: float = 20) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(3, 64, 64)), (0, sigma, sigma))
    return np.clip(mean + spread * field / field.std(), 0, 255).round().astype(np.uint8)


REGION = np.zeros((3, 64, 64), bool)
REGION[:, 8:56, 8:56] = True


def test_textures_are_those_of_scipy() -> None:
    first, second = noise(2, 0), noise(1, 1, mean=150)
    distances = texture_distances(texture(first, REGION), texture(second, REGION))
    assert distances["grey"] == pytest.approx(wasserstein_distance(first[REGION], second[REGION]))
    slopes = [np.hypot(*np.gradient(x.astype(float), axis=(1, 2)))[REGION] for x in (first, second)]
    assert distances["gradient"] == pytest.approx(wasserstein_distance(*slopes), abs=0.25)  # bins of half a level


def test_texture_by_hand() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8) * 3, (1, 64, 64)).copy()
    found = texture(ramp, REGION[:1])
    assert found.gradient[6] == pytest.approx(1)  # 3 grey levels per pixel, in bins of one half
    assert found.edge[6] == pytest.approx(1)
    assert found.contrast[round(3 * np.sqrt(2) / 0.5)] == pytest.approx(1)  # 3 x the deviation of -2..2
    flat = texture(np.full((1, 64, 64), 80, np.uint8), REGION[:1])
    assert (flat.grey[160], flat.gradient[0], flat.contrast[0], flat.slices) == (1, 1, 1, 1)
    np.testing.assert_allclose(flat.spectrum, 10 * np.log10(1 / 12))
    assert texture_distances(found, found) == dict.fromkeys(texture_distances(found, found), 0)


def test_white_noise_has_a_flat_spectrum_at_its_variance() -> None:
    white = np.random.default_rng(0).integers(0, 256, (20, 64, 64), dtype=np.uint8)
    found = texture(white, np.ones(white.shape, bool))
    assert found.windows == 20 * 49
    # The lowest circle loses what the mean takes away.
    np.testing.assert_allclose(found.spectrum[1:], 10 * np.log10((256**2 - 1) / 12), atol=0.3)


def test_every_slice_counts_the_same_and_small_regions_do_not() -> None:
    images = np.stack([np.full((64, 64), level, np.uint8) for level in (10, 20, 30)])
    regions = np.zeros(images.shape, bool)
    regions[0, :40, :40] = regions[1, :10, :10] = regions[2, :7, :7] = True
    found = texture(images, regions)
    assert (found.grey[20], found.grey[40], found.grey[60], found.slices) == (0.5, 0.5, 0, 2)


def test_pixels_outside_within_do_not_count() -> None:
    image = noise(2, 0)
    image[:, :, 40:] = 255
    within = np.ones(image.shape, bool)
    within[:, :, 38:] = False
    assert texture(image, REGION, within).grey[510] == 0
    assert texture(image, REGION).grey[510] > 0.3


def test_controls_come_out_in_order() -> None:
    """Flatness wins the paper's measure, and loses the others."""
    real, other = texture(noise(2, 0), REGION), texture(noise(2, 1), REGION)
    flat = texture(np.where(REGION, np.uint8(120), noise(2, 0, mean=60)), REGION)
    rough = texture(noise(0.4, 2), REGION)
    floor = texture_distances(other, real)
    scores = [likeness(texture_distances(one, real), floor) for one in (other, rough, flat)]
    assert scores[0] == 1
    assert min(scores[1:]) > 3
    cut = [noise(2, seed)[:, 16:48, 16:48] for seed in (0, 1)]
    constant = np.full((1, 32, 32), 120)
    assert np.all(np.array(patch_distances(constant, cut[0])) < patch_distances(cut[1], cut[0]))


def test_texture_refuses() -> None:
    image = noise(2, 0)
    with pytest.raises(ValueError, match="uint8"):
        texture(image.astype(np.float32), REGION)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="regions must be bool"):
        texture(image, REGION[:2])
    with pytest.raises(DataError, match="nothing to compare"):
        texture(image, np.zeros_like(REGION))
    with pytest.raises(ValueError, match="different sets"):
        likeness({"grey": 1.0}, {"grey": 0.0})


def test_too_few_pixels_are_nan_and_left_out() -> None:
    thin = np.zeros_like(REGION)
    thin[:, 30:32] = True  # no window of the spectrum fits
    distances = texture_distances(texture(noise(2, 0), thin), texture(noise(2, 1), REGION))
    assert np.isnan(distances["spectrum"])
    assert likeness(distances, dict.fromkeys(distances, 2.0)) == pytest.approx(
        np.mean([v for k, v in distances.items() if k != "spectrum"]) / 2
    )


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("compare_lesions", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compare_lesions", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lesions(tmp_path: Path) -> Path:
    """Phantom slices with a bright blob as the real lesion of each."""
    return write_lesion_folder(tmp_path, patients=4, slices=2, size=256, radius=45)


def test_tool_writes_its_table(tool: Any, lesions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool.main(tool.Options(lesions, lesions / "table.csv"))
    lines = (lesions / "table.csv").read_text().splitlines()
    assert lines[0] == "setting,cosine,jensen_shannon,grey,gradient,contrast,edge,spectrum,score"
    table = {line.split(",cosine")[0].rsplit(",", 8)[0].strip('"'): float(line.rsplit(",", 1)[1]) for line in lines[1:]}
    assert table["real lesions, other half"] == pytest.approx(1)
    assert {tool.PAPER.name, tool.RECOMMENDED.name} <= set(table)
    alone = table.pop("patches of the paper's bank alone")
    assert np.isnan(alone)  # they lie in no picture
    assert all(score > 1 for name, score in table.items() if name != "real lesions, other half")
    assert "score" in capsys.readouterr().out


def test_tool_says_what_is_missing(tool: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 0 PNG files"):
        tool.main(tool.Options(tmp_path, tmp_path / "table.csv"))
