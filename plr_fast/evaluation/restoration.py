"""How well corrupted slices are restored (paper section IV.C), in numbers.

Normal slices of the split are corrupted once, by the operations that pretraining uses but with lesions of another
seed, and each restorer is judged on exactly these pictures. The corrupted picture itself is judged the same way: it is
the baseline that a network which changes nothing would reach. Everything is measured inside and outside the lungs, and
on the altered pixels alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .bootstrap import Difference, GroupBootstrap, Interval, weighted_means
from .metrics import BoolArray, FloatArray, IntArray, MetricValue

if TYPE_CHECKING:
    import torch

    from ..data.store import SliceStore

Picture = npt.NDArray[np.float32]  # [S, S], grey in [0, 1]
Pictures = npt.NDArray[np.float32]  # [B, S, S]; corrupted ones [B, C, S, S] where neighbours come along

REGIONS: tuple[str, ...] = ("lungs", "outside", "altered")
REGION_TITLES: Mapping[str, str] = {
    "lungs": "inside the lungs",
    "outside": "outside the lungs",
    "altered": "altered pixels only",
}
MEASURES: tuple[str, ...] = ("mse", "psnr", "ssim")
SOURCES: tuple[str, ...] = ("corrupted", "restored")

IDENTICAL = "identical to the original: PSNR is infinite"

# The window of the usual SSIM: Gaussian of sigma 1.5, cut at 3.5 sigma -> 11 pixels wide.
_SSIM_SIGMA, SSIM_WINDOW = 1.5, 11


@dataclass(frozen=True)
class RestorationTestSet:
    """A fixed set of corrupted slices: the same pictures each time it is read.

    Attributes:
        name: short and unique, for example ``perlin``.
        settings: what made it, for the record.
        dataset: map-style, samples ``{"image": float32 (C, S, S), "target": float32 (1, S, S), "mask": bool (1, S,
            S)}``, C odd, the slice itself in the middle; sample k belongs to ``indices[k]``, depends on nothing but k.
        indices: store indices, int64 (N,).
    """

    name: str
    settings: Mapping[str, Any]
    dataset: torch.utils.data.Dataset[dict[str, torch.Tensor]]
    indices: IntArray

    def __len__(self) -> int:
        return len(self.indices)

    def batches(self, batch_size: int) -> Iterator[tuple[Pictures, Pictures, BoolArray]]:
        """Yield (corrupted, original, lung mask) in the order of ``indices``.

        Each is (B, S, S), but where neighbours come along the corrupted ones are (B, C, S, S).
        """
        from torch.utils.data import DataLoader

        from ..data.datasets import collate

        loader = DataLoader(self.dataset, batch_size=batch_size, shuffle=False, collate_fn=collate)
        for batch in loader:
            corrupted = batch["image"].numpy()
            if corrupted.shape[1] == 1:
                corrupted = corrupted[:, 0]
            yield corrupted, batch["target"][:, 0].numpy(), batch["mask"][:, 0].numpy().astype(bool)


@dataclass(frozen=True)
class RestorationScores:
    """Measures of one restorer (or of the corrupted pictures themselves) on one test set.

    Attributes:
        values: float64 (N, regions, measures), in the order of :data:`REGIONS` and :data:`MEASURES`. NaN where
            the region is empty or the slice too small for SSIM; PSNR is infinite where nothing differs.
    """

    values: FloatArray

    def column(self, region: str, measure: str) -> FloatArray:
        """Values (N,) of one measure in one region."""
        column: FloatArray = self.values[:, REGIONS.index(region), MEASURES.index(measure)]
        return column


@dataclass(frozen=True)
class RestorationResult:
    """One restorer on one test set.

    Attributes:
        restorer: its name.
        test_set: name of the test set.
        own: whether the restorer was trained for this kind of corruption.
        summary: region -> measure -> source (``corrupted``, ``restored``) -> mean over slices with its interval.
        gains: region -> measure -> paired difference restored − corrupted.
        scores: source -> values of each slice.
        indices: store indices of the slices.
    """

    restorer: str
    test_set: str
    own: bool
    summary: dict[str, dict[str, dict[str, Interval]]]
    gains: dict[str, dict[str, Difference]]
    scores: dict[str, RestorationScores] = field(repr=False)
    indices: IntArray = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "restorer": self.restorer,
            "test_set": self.test_set,
            "trained_for_it": self.own,
            "slices": len(self.indices),
            "regions": {
                region: {
                    measure: {
                        **{source: self.summary[region][measure][source].to_json() for source in SOURCES},
                        "restored_minus_corrupted": self.gains[region][measure].to_json(),
                    }
                    for measure in MEASURES
                }
                for region in REGIONS
            },
        }


def region_measures(images: Pictures, targets: Pictures, regions: Mapping[str, BoolArray]) -> FloatArray:
    """MSE, PSNR and SSIM of each picture against its original, over each region.

    MSE and PSNR (against the full range of 1) come from the region's pixels; SSIM is the mean of the SSIM map (Gaussian
    window, sigma 1.5) over the region.

    Args:
        images: float32 (B, S, S) in [0, 1].
        targets: the originals, same shape.
        regions: name -> bool (B, S, S), for each of :data:`REGIONS`.

    Returns:
        float64 (B, regions, measures): NaN for an empty region (and SSIM of slices smaller than its 11-pixel window);
        PSNR is +inf where the region is identical.
    """
    from skimage.metrics import structural_similarity

    if images.shape != targets.shape or images.ndim != 3:
        raise ValueError(f"images and targets must be (B, S, S) and equal, got {images.shape} and {targets.shape}")
    values = np.full((len(images), len(REGIONS), len(MEASURES)), math.nan)
    for row, (image, target) in enumerate(zip(images.astype(np.float64), targets.astype(np.float64), strict=True)):
        squared = (image - target) ** 2
        similarity = None
        if min(image.shape) >= SSIM_WINDOW:
            _, similarity = structural_similarity(  # type: ignore[no-untyped-call]
                image,
                target,
                data_range=1.0,
                gaussian_weights=True,
                sigma=_SSIM_SIGMA,
                use_sample_covariance=False,
                full=True,
            )
        for column, region in enumerate(REGIONS):
            inside = regions[region][row]
            if not inside.any():
                continue
            error = float(squared[inside].mean())
            values[row, column, 0] = error
            values[row, column, 1] = math.inf if error == 0 else -10.0 * math.log10(error)
            if similarity is not None:
                values[row, column, 2] = float(similarity[inside].mean())
    return values


def middle(pictures: Pictures) -> Pictures:
    """The pictures (B, S, S) themselves, of (B, S, S) or of (B, C, S, S) with their neighbours."""
    return pictures if pictures.ndim == 3 else pictures[:, pictures.shape[1] // 2]


def score_pictures(
    test_set: RestorationTestSet,
    process: Callable[[Pictures], Pictures] | None = None,
    *,
    batch_size: int = 16,
    advance: Callable[[int], None] | None = None,
) -> RestorationScores:
    """Measure a test set's pictures after ``process`` (a restorer), or as they are when it is None (the baseline)."""
    parts = []
    for corrupted, original, mask in test_set.batches(batch_size):
        images = middle(corrupted) if process is None else process(corrupted)
        regions = {"lungs": mask, "outside": ~mask, "altered": middle(corrupted) != original}
        parts.append(region_measures(images, original, regions))
        if advance is not None:
            advance(len(corrupted))
    return RestorationScores(np.concatenate(parts) if parts else np.empty((0, len(REGIONS), len(MEASURES))))


def summarise(
    restorer: str,
    test_set: RestorationTestSet,
    *,
    own: bool,
    corrupted: RestorationScores,
    restored: RestorationScores,
    bootstrap: GroupBootstrap,
) -> RestorationResult:
    """Means over slices with intervals by group, and the paired gain of restoring."""
    scores = {"corrupted": corrupted, "restored": restored}
    shape = corrupted.values.shape
    flat = np.concatenate([score.values.reshape(shape[0], -1) for score in scores.values()], axis=1)
    resampled = bootstrap.distribution(lambda weights: weighted_means(flat, weights))
    both = resampled.reshape(-1, len(scores), *shape[1:])  # [R, sources, regions, measures]
    samples = {source: both[:, place] for place, source in enumerate(scores)}
    summary: dict[str, dict[str, dict[str, Interval]]] = {}
    gains: dict[str, dict[str, Difference]] = {}
    for r, region in enumerate(REGIONS):
        summary[region], gains[region] = {}, {}
        for m, measure in enumerate(MEASURES):
            points = {source: mean_value(score.column(region, measure), measure) for source, score in scores.items()}
            summary[region][measure] = {
                source: bootstrap.interval(points[source], samples[source][:, r, m]) for source in SOURCES
            }
            gains[region][measure] = bootstrap.difference(
                points["restored"], points["corrupted"], samples["restored"][:, r, m], samples["corrupted"][:, r, m]
            )
    return RestorationResult(restorer, test_set.name, own, summary, gains, scores, test_set.indices)


def mean_value(values: FloatArray, measure: str) -> MetricValue:
    """Mean over slices; slices without a value are left out, and PSNR leaves out identical ones (infinite)."""
    finite = values[np.isfinite(values)]
    if finite.size:
        return MetricValue(float(finite.mean()))
    if measure == "psnr" and np.isposinf(values).any():
        return MetricValue(math.nan, IDENTICAL)
    if measure == "ssim" and values.size:
        return MetricValue(math.nan, f"slices smaller than {SSIM_WINDOW} pixels, or the region is empty")
    return MetricValue(math.nan, "the region is empty in every slice")


def choose_slices(store: SliceStore, indices: IntArray, limit: int) -> IntArray:
    """At most ``limit`` of the slices that have lung pixels, spread evenly over the order of the store.

    The choice depends on nothing but the store, so that it is the same for every restorer and every run.
    """
    with_lung = np.array([index for index in indices if store.masks[index].any()], dtype=np.int64)
    if len(with_lung) <= limit:
        return with_lung
    return with_lung[np.linspace(0, len(with_lung) - 1, limit).round().astype(np.int64)]


def rows(results: Sequence[RestorationResult], store: SliceStore) -> Iterator[dict[str, object]]:
    """The measures of each slice, one row for each slice, restorer, region and source, as restoration.csv has them.

    A value that does not exist is empty; the PSNR of identical pixels is ``inf``.
    """
    for result in results:
        for position, index in enumerate(result.indices):
            for region in REGIONS:
                for source in SOURCES:
                    values = [result.scores[source].column(region, measure)[position] for measure in MEASURES]
                    yield {
                        "id": store.ids[index],
                        "group": store.groups[index],
                        "restorer": result.restorer,
                        "test_set": result.test_set,
                        "region": region,
                        "picture": source,
                        **{
                            measure: "" if math.isnan(value) else f"{value:.6g}"
                            for measure, value in zip(MEASURES, values, strict=True)
                        },
                    }
