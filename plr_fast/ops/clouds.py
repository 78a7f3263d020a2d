"""Lesions whose outline is noise over the whole slice: how DRAEM and GLASS make anomalies, but inside the lungs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray

from ..backends import active_backend, get_num_threads
from ..backends.reference.philox import Stream, below, draw
from ..backends.specs import Float32Array, ImageArray, Int32Array, Int64Array, NoiseSpec, Uint8Array
from ..backends.threads import for_each_range
from . import tracing
from .arguments import (
    LARGEST_SIDE,
    Array,
    Images,
    choice,
    image_batch,
    integer,
    output_for,
    pair,
    require_memory,
    sample_ids,
    seed_value,
)
from .masks import MaskIndex
from .noise import noise_plan
from .paste import lungs_for, marks_for, warn_of_empty, weight_range

Combination = Literal["single", "union", "intersection", "any"]
CloudBlend = Literal["alpha", "add"]

MOST_DRAWS = 10  # of the noise, before the threshold is lowered
_COMBINATIONS = ("single", "union", "intersection")
_FIRST, _BOTH, _TEXTURE = np.arange(1), np.arange(2), np.array([2])  # ids of the noise images of a draw
_BYTES_PER_PIXEL = 96  # of a thread's scratch, at most: noise, places, and the lesion's pixels in float64


@dataclass(frozen=True)
class CloudInfo:
    """What :func:`paste_clouds` did, for each image. Where the mask is empty, everything else is 0 or ""."""

    empty: NDArray[np.bool_]  # (B,): the mask had no pixel, the image is unchanged
    area: Int64Array  # (B,): pixels of the lesion
    share: Float32Array  # (B,): of the lung's pixels, 0..1
    opacity: Float32Array  # (B,): what alpha was for the image
    threshold: Int32Array  # (B,): what threshold was, after lowering if it was lowered; may be negative then
    combine: NDArray[np.str_]  # (B,): "single", "union" or "intersection"
    draws: Int32Array  # (B,): how often the noise was drawn; more than 1 where min_area asked for it
    lowered: NDArray[np.bool_]  # (B,): no draw had min_area pixels, so the threshold was lowered
    lesion_mask: torch.Tensor | np.ndarray | None = None  # bool, like the images: where noise was above the threshold


@overload
def paste_clouds(
    images: Images,
    masks: torch.Tensor | np.ndarray | MaskIndex,
    *,
    cells: float | Sequence[float] = ...,
    octaves: int = ...,
    persistence: float = ...,
    lacunarity: float = ...,
    combine: Combination = ...,
    threshold: int | tuple[int, int] = ...,
    softness: int = ...,
    texture: int | tuple[int, int] = ...,
    blend: CloudBlend = ...,
    alpha: float | tuple[float, float] = ...,
    min_area: int = ...,
    seed: int = ...,
    samples: Iterable[int] | torch.Tensor | None = ...,
    out: Images | None = ...,
    check: bool = ...,
    return_info: Literal[False] = ...,
    lesion_mask: bool | torch.Tensor | np.ndarray = ...,
) -> Images: ...


@overload
def paste_clouds(
    images: Images,
    masks: torch.Tensor | np.ndarray | MaskIndex,
    *,
    cells: float | Sequence[float] = ...,
    octaves: int = ...,
    persistence: float = ...,
    lacunarity: float = ...,
    combine: Combination = ...,
    threshold: int | tuple[int, int] = ...,
    softness: int = ...,
    texture: int | tuple[int, int] = ...,
    blend: CloudBlend = ...,
    alpha: float | tuple[float, float] = ...,
    min_area: int = ...,
    seed: int = ...,
    samples: Iterable[int] | torch.Tensor | None = ...,
    out: Images | None = ...,
    check: bool = ...,
    return_info: Literal[True],
    lesion_mask: bool | torch.Tensor | np.ndarray = ...,
) -> tuple[Images, CloudInfo]: ...


def paste_clouds(
    images: Images,
    masks: torch.Tensor | np.ndarray | MaskIndex,
    *,
    cells: float | Sequence[float] = 4,
    octaves: int = 4,
    persistence: float = 0.5,
    lacunarity: float = 2,
    combine: Combination = "single",
    threshold: int | tuple[int, int] = (150, 190),
    softness: int = 32,
    texture: int | tuple[int, int] = (110, 210),
    blend: CloudBlend = "alpha",
    alpha: float | tuple[float, float] = (0.3, 0.8),
    min_area: int = 1,
    seed: int = 0,
    samples: Iterable[int] | torch.Tensor | None = None,
    out: Images | None = None,
    check: bool = True,
    return_info: bool = False,
    lesion_mask: bool | torch.Tensor | np.ndarray = False,
) -> Images | tuple[Images, CloudInfo]:
    """Blend lesions into each image's lung mask where Perlin noise over the whole slice is bright; only lung changes.

    The outline is that of one noise image or of two combined; another one, not related to it, is the texture. All are
    stretched to 0..255 by their own extremes, as the bank's are. What is pasted into an image depends on ``seed``, its
    sample id, its mask's pixels and the settings alone.

    Args:
        images: (B, H, W) or (B, 1, H, W), uint8 or float32 in [0, 1], torch or NumPy, on the CPU.
        masks: bool or uint8 (non-zero = lung), the same shape up to the channel axis; or what
            :func:`plr_fast.index_masks` made of them.
        cells, octaves, persistence, lacunarity: of the noise, see :func:`plr_fast.perlin_noise`. More cells make more
            and smaller lesions, more octaves or persistence rougher outlines.
        combine: "single" (one noise image), "union" (either of two is bright), "intersection" (both are), or "any" (one
            of the three, equally likely, drawn for each image: GLASS' way).
        threshold: noise above this belongs to the lesion, 0..254, or a range (low, high) with both ends included, drawn
            for each image. The lower, the larger the lesions.
        softness: grey levels of the noise above the threshold over which a lesion fades in, 0..255; 0 = hard outline.
        texture: grey of the lesion, 0..255 (255 is white in float images, too): a range (darkest, brightest) that the
            texture noise is scaled to, or one number for an even grey.
        blend: "alpha" (mixed by ``alpha``) or "add" (texture times ``alpha`` added, held at white).
        alpha: opacity 0..1, or a range drawn for each image; kept in steps of 1/256.
        min_area: pixels that a lesion must have, or all of the lung's if these are fewer. Else noise is drawn again, 10
            times in all; then the threshold is lowered until that many pixels lie ``softness`` above it. 0: an image
            may stay as it is.
        seed: 0..2^64-1.
        samples: ids of the samples, one per image; default 0..B-1.
        out: where to write, like ``images``; may be ``images`` itself.
        check: look for NaN and values outside [0, 1] in float images first (one pass over them).
        return_info: return a :class:`CloudInfo` as well: areas, opacities, thresholds, redraws.
        lesion_mask: True: also mark the lesions, in the :class:`CloudInfo`: lung where noise is above the threshold,
            even where the value came out as it was before. An array, bool or uint8 like ``images``, is filled instead
            of a new one.

    Returns:
        The pseudo-lesion images, same kind, shape and dtype as ``images`` (``out`` itself if given).

    Raises:
        TypeError, ValueError: wrong kind, rank, dtype, device, range, or masks of another shape.
        MemoryError: the noise of images so large would not fit into this machine's memory.

    Warns:
        EmptyMaskWarning: some masks are empty; those images are unchanged (not with ``return_info``, which tells).
    """
    run = tracing.paste_clouds if torch.compiler.is_compiling() else clouds
    return run(
        images, masks, cells=cells, octaves=octaves, persistence=persistence, lacunarity=lacunarity, combine=combine,
        threshold=threshold, softness=softness, texture=texture, blend=blend, alpha=alpha, min_area=min_area, seed=seed,
        samples=samples, out=out, check=check, return_info=return_info, lesion_mask=lesion_mask,
    )  # fmt: skip


def clouds(
    images: Images,
    masks: torch.Tensor | np.ndarray | MaskIndex,
    *,
    cells: object,
    octaves: object,
    persistence: object,
    lacunarity: object,
    combine: object,
    threshold: object,
    softness: object,
    texture: object,
    blend: object,
    alpha: object,
    min_area: object,
    seed: object,
    samples: object,
    out: Images | None,
    check: bool,
    return_info: bool,
    lesion_mask: bool | torch.Tensor | np.ndarray,
) -> Images | tuple[Images, CloudInfo]:
    """Check the arguments of :func:`paste_clouds`, and do its work."""
    batch = image_batch(images, check=check)
    if not batch.home.on_host:
        raise ValueError(
            f"paste_clouds runs on the CPU alone, and images are on {batch.home.device}: pass images.cpu()"
        )
    count, height, width = batch.array.shape
    lungs = lungs_for(masks, batch)
    plan = noise_plan((1, height, width), cells, octaves, persistence, lacunarity, False, "uint8", "minmax")
    spec = _Spec(
        noise=plan.seeded(seed_value(seed)),
        combine=choice(combine, "combine", (*_COMBINATIONS, "any")),
        threshold=pair(threshold, "threshold", 0, 254),
        softness=integer(softness, "softness", 0, 255),
        texture=pair(texture, "texture", 0, 255),
        blend=choice(blend, "blend", ("alpha", "add")),
        weight=weight_range(alpha),
        min_area=integer(min_area, "min_area", 0, LARGEST_SIDE),
    )
    ids = sample_ids(samples, count)
    target, result = output_for(batch, out)
    if not isinstance(lungs, MaskIndex) and np.shares_memory(target, lungs):
        raise ValueError("out must not be the masks: they are still needed while out is written")
    marks = marks_for(lesion_mask, batch, target, return_info, lungs)
    threads = min(get_num_threads(), count)
    require_memory(threads * _BYTES_PER_PIXEL * height * width, f"noise over {threads} images of {height} x {width}")
    info = _new_info(count)

    def work(first: int, last: int) -> None:
        painter = _Painter(spec, (height, width))
        lung = np.empty((height, width), np.bool_)
        for n in range(first, last):
            mask = lungs[n : n + 1].unpack()[0] if isinstance(lungs, MaskIndex) else lungs[n]
            np.not_equal(mask.view(np.uint8), 0, out=lung)
            if target.ctypes.data != batch.array.ctypes.data:
                target[n] = batch.array[n]
            lesion = painter.paint(target[n], lung, int(ids[n]), info, n)
            if marks is not None:
                marks[n] = lesion

    for_each_range(count, threads, work)
    if return_info:
        return cast(Images, result), _with_marks(info, marks, batch.original, lesion_mask)
    if info.empty.any():
        warn_of_empty(np.flatnonzero(info.empty), count)
    return cast(Images, result)


class _Spec(NamedTuple):
    """The settings of a call, checked; ranges include both ends, weights are in 1/256."""

    noise: NoiseSpec  # with the call's seed, which is not that of the noise images
    combine: str
    threshold: tuple[int, int]
    softness: int
    texture: tuple[int, int]
    blend: str
    weight: tuple[int, int]
    min_area: int


class _Painter:
    """Paints one image after the other, in memory of its own that is used again.

    Everything is integer arithmetic on uint8 noise, except that float32 images are blended in float64 and rounded once:
    so the results are the same bits everywhere. A lesion covers a small part of a slice, so its pixels are gathered,
    blended and put back, instead of passing over all pixels several times.
    """

    def __init__(self, spec: _Spec, shape: tuple[int, int]) -> None:
        self._spec = spec
        self._noise = np.empty((2, *shape), np.uint8)
        self._lesion = np.empty(shape, np.bool_)
        self._backend = active_backend()
        # Opacity, 0..256, by how far noise lies above the threshold: entry d + 255 is for a difference of d.
        above = np.clip(np.arange(-255, 512) * 256 // (spec.softness + 1), 0, 256)
        self._cover = ((above * above * (768 - 2 * above)) >> 16).astype(np.uint32)  # 3 t^2 - 2 t^3, as for patches
        low, high = spec.texture
        self._greys = (low + (np.arange(256) * (high - low) + 127) // 255).astype(np.uint16)  # of the texture's noise

    def paint(self, image: ImageArray, lung: NDArray[np.bool_], sample: int, info: CloudInfo, n: int) -> np.ndarray:
        """Paint lesions into ``image`` (H, W), note them as those of image n, return where they are, bool (H, W).

        What is returned holds until the next call.
        """
        spec, pixels = self._spec, int(np.count_nonzero(lung))
        if pixels == 0:
            info.empty[n] = True
            self._lesion[...] = False
            return self._lesion
        words = draw(spec.noise.seed, sample, Stream.CLOUD, 0)
        combine = _COMBINATIONS[below(words[0], 3)] if spec.combine == "any" else spec.combine
        threshold = spec.threshold[0] + below(words[1], spec.threshold[1] - spec.threshold[0] + 1)
        weight = spec.weight[0] + below(words[2], spec.weight[1] - spec.weight[0] + 1)
        wanted = min(spec.min_area, pixels)
        for number in range(MOST_DRAWS):
            seed = self._draw_outline(sample, number, combine)
            places = self._find_lesion(threshold, lung)
            if len(places) >= wanted:
                break
        else:
            info.lowered[n] = True
            threshold = self._lowered(wanted, lung)
            places = self._find_lesion(threshold, lung)
        self._blend(image.reshape(-1), places, seed, self._weights(threshold, weight))
        area = len(places)
        info.area[n], info.share[n], info.opacity[n] = area, area / pixels, weight / 256
        info.threshold[n], info.combine[n], info.draws[n] = threshold, combine, number + 1
        return self._lesion

    def _draw_outline(self, sample: int, number: int, combine: str) -> int:
        """Leave the noise that is compared with the threshold in the first image, return the draw's noise seed."""
        words = draw(self._spec.noise.seed, sample, Stream.CLOUD, 1 + number)
        seed = words[0] | words[1] << 32
        first, second = self._noise
        if combine == "single":
            self._make(self._noise[:1], _FIRST, seed)
        else:
            self._make(self._noise, _BOTH, seed)
            (np.maximum if combine == "union" else np.minimum)(first, second, out=first)
        return seed

    def _make(self, out: Uint8Array, ids: Int64Array, seed: int) -> None:
        self._backend.noise(out, ids, self._spec.noise._replace(seed=seed), 1)

    def _find_lesion(self, threshold: int, lung: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Mark where noise is above the threshold inside the lung, return the places of these pixels."""
        np.greater_equal(self._noise[0], max(threshold + 1, 0), out=self._lesion)
        np.logical_and(self._lesion, lung, out=self._lesion)
        return np.flatnonzero(self._lesion)

    def _lowered(self, wanted: int, lung: NDArray[np.bool_]) -> int:
        """Return the highest threshold at which ``wanted`` lung pixels get the full opacity."""
        counts = np.bincount(self._noise[0][lung], minlength=256)
        bright = counts[::-1].cumsum()  # entry i: pixels of grey 255 - i and more
        return 255 - int(np.searchsorted(bright, wanted)) - (self._spec.softness + 1)

    def _weights(self, threshold: int, weight: int) -> NDArray[np.uint16]:
        """Return the opacity in 1/256 for each grey of the outline's noise."""
        cover = self._cover[255 - threshold : 511 - threshold]
        return ((cover * np.uint32(weight) + np.uint32(128)) >> np.uint32(8)).astype(np.uint16)

    def _blend(self, pixels: ImageArray, places: NDArray[np.intp], seed: int, weights: NDArray[np.uint16]) -> None:
        """Blend the texture into the pixels at ``places``, with the opacity that the outline's noise has there."""
        if len(places) == 0:
            return
        outline, texture = self._noise.reshape(2, -1)
        weight = weights.take(outline.take(places))
        grey = self._greys[:1]  # for an even grey
        if self._greys[0] != self._greys[-1]:
            self._make(self._noise[1:], _TEXTURE, seed)
            grey = self._greys.take(texture.take(places))
        blend = _blend_grey if pixels.dtype == np.uint8 else _blend_float
        pixels[places] = blend(pixels.take(places), grey, weight, self._spec.blend)


def _blend_grey(pixel: ImageArray, grey: NDArray[np.uint16], weight: NDArray[np.uint16], blend: str) -> Uint8Array:
    """Return uint8 pixels with the lesion's grey blended in: the arithmetic of ``csrc/core/lesions.h``."""
    added = grey * weight + np.uint16(128)  # at most 255 * 256 + 128: 16 bits will do
    if blend == "add":
        mixed = np.minimum(pixel + (added >> np.uint16(8)), np.uint16(255))
    else:
        mixed = (pixel * (np.uint16(256) - weight) + added) >> np.uint16(8)
    return mixed.astype(np.uint8)


def _blend_float(pixel: ImageArray, grey: NDArray[np.uint16], weight: NDArray[np.uint16], blend: str) -> Float32Array:
    """Return float32 pixels with the lesion's grey blended in: float64 arithmetic, rounded once."""
    before, share = pixel.astype(np.float64), weight / 256.0
    if blend == "add":
        mixed = np.minimum(before + share * (grey / 255.0), 1.0)
    else:
        mixed = before + share * (grey / 255.0 - before)
    return mixed.astype(np.float32)


def _new_info(count: int) -> CloudInfo:
    return CloudInfo(
        empty=np.zeros(count, np.bool_),
        area=np.zeros(count, np.int64),
        share=np.zeros(count, np.float32),
        opacity=np.zeros(count, np.float32),
        threshold=np.zeros(count, np.int32),
        combine=np.zeros(count, f"U{max(map(len, _COMBINATIONS))}"),
        draws=np.zeros(count, np.int32),
        lowered=np.zeros(count, np.bool_),
    )


def _with_marks(info: CloudInfo, marks: Uint8Array | None, like: Array, lesion_mask: bool | Array) -> CloudInfo:
    """Return the record with the mask of lesions, as the caller gave it or of the images' kind."""
    mask: Array | None = None
    if not isinstance(lesion_mask, (bool, np.bool_)):
        mask = lesion_mask
    elif marks is not None:
        mask = marks.view(np.bool_).reshape(like.shape)
        mask = torch.from_numpy(mask) if isinstance(like, torch.Tensor) else mask
    return CloudInfo(**{**vars(info), "lesion_mask": mask})
