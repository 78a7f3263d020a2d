"""Lesions whose outline is noise over the whole slice: how DRAEM and GLASS make anomalies, but inside the lungs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, overload

import numpy as np
import torch

from ..backends import get_num_threads
from ..backends.specs import CLOUD_COMBINATIONS, Blend, CloudRecord, CloudSpec, Uint8Array
from ..backends.threads import for_each_range
from . import tracing
from .arguments import (
    LARGEST_SIDE,
    Array,
    Batch,
    Images,
    choice,
    ids_at,
    image_batch,
    integer,
    output_for,
    pair,
    require_memory,
    seed_value,
)
from .clouds_host import BYTES_PER_PIXEL, HostRecord, Painter
from .masks import MaskIndex, pack
from .noise import noise_plan
from .paste import lungs_for, marks_for, warn_of_empty, weight_range

Combination = Literal["single", "union", "intersection", "any"]
CloudBlend = Literal["alpha", "add"]


@dataclass(frozen=True)
class CloudInfo:
    """What :func:`paste_clouds` did, for each image. Where the mask is empty, everything else is 0, "" or -1.

    Arrays of NumPy for images on the CPU, else tensors or CuPy arrays on the device of the images.
    """

    empty: Any  # (B,) bool: the mask had no pixel, the image is unchanged
    area: Any  # (B,) int64: pixels of the lesion
    share: Any  # (B,) float32: of the lung's pixels, 0..1
    opacity: Any  # (B,) float32: what alpha was for the image
    threshold: Any  # (B,) int32: what threshold was, after lowering if it was lowered; may be negative then
    combine: Any  # (B,) "single", "union" or "intersection"; on a device 0, 1, 2 in their place, int32; -1 if empty
    draws: Any  # (B,) int32: how often the noise was drawn; more than 1 where min_area asked for it
    lowered: Any  # (B,) bool: no draw had min_area pixels, so the threshold was lowered
    lesion_mask: Any = None  # bool, like the images: where noise was above the threshold


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
    check: bool | None = ...,
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
    check: bool | None = ...,
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
    check: bool | None = None,
    return_info: bool = False,
    lesion_mask: bool | torch.Tensor | np.ndarray = False,
) -> Images | tuple[Images, CloudInfo]:
    """Blend lesions into each image's lung mask where Perlin noise over the whole slice is bright; only lung changes.

    The outline is that of one noise image or of two combined; another one, not related to it, is the texture. All are
    stretched to 0..255 by their own extremes, as the bank's are. What is pasted into an image depends on ``seed``, its
    sample id, its mask's pixels and the settings alone.

    Args:
        images: (B, H, W) or (B, 1, H, W), uint8 or float32 in [0, 1], torch, NumPy or CuPy, on the CPU or a
            CUDA device.
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
        check: look for NaN and values outside [0, 1] in float images first (one pass over them); default on the CPU
            only, because a GPU would have to be waited for.
        return_info: return a :class:`CloudInfo` as well: areas, opacities, thresholds, redraws.
        lesion_mask: True: also mark the lesions, in the :class:`CloudInfo`: lung where noise is above the threshold,
            even where the value came out as it was before. An array, bool or uint8 like ``images``, is filled instead
            of a new one.

    Returns:
        The pseudo-lesion images, same kind, shape and dtype as ``images`` (``out`` itself if given).

    Raises:
        TypeError, ValueError: wrong kind, rank, dtype, device, range, or masks of another shape.
        MemoryError: the noise of images so large would not fit into this machine's memory, or the GPU's.
        BackendUnavailableError: nothing here can run on their device; the message says why.

    Warns:
        EmptyMaskWarning: some masks are empty; those images are unchanged (not with ``return_info``, which tells, and
            not for images on a GPU, which would have to be waited for).
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
    check: bool | None,
    return_info: bool,
    lesion_mask: bool | torch.Tensor | np.ndarray,
) -> Images | tuple[Images, CloudInfo]:
    """Check the arguments of :func:`paste_clouds`, and do its work."""
    batch = image_batch(images, check=check)
    home, (count, height, width) = batch.home, batch.array.shape
    lungs = lungs_for(masks, batch)
    plan = noise_plan((1, height, width), cells, octaves, persistence, lacunarity, False, "uint8", "minmax")
    spec = CloudSpec(
        noise=plan.seeded(seed_value(seed)),
        combine=choice(combine, "combine", (*CLOUD_COMBINATIONS, "any")),
        threshold=pair(threshold, "threshold", 0, 254),
        softness=integer(softness, "softness", 0, 255),
        texture=pair(texture, "texture", 0, 255),
        blend=cast(Blend, choice(blend, "blend", ("alpha", "add"))),
        weight=weight_range(alpha),
        min_area=integer(min_area, "min_area", 0, LARGEST_SIDE),
    )
    ids = ids_at(home, samples, count)
    target, result = output_for(batch, out)
    if not isinstance(lungs, MaskIndex) and home.overlap(target, lungs):
        raise ValueError("out must not be the masks: they are still needed while out is written")
    marks = marks_for(lesion_mask, batch, target, return_info, lungs)
    if not home.on_host:
        record = _paint_on_device(batch, target, lungs, ids, spec, marks)
        if not return_info:
            return cast(Images, result)  # whether masks were empty is not known here yet
        return cast(Images, result), _device_info(batch, record, lesion_mask)
    info = _paint_on_host(batch, target, lungs, ids, spec, marks)
    if return_info:
        return cast(Images, result), _host_info(info, marks, batch.original, lesion_mask)
    if info.empty.any():
        warn_of_empty(np.flatnonzero(info.empty), count)
    return cast(Images, result)


def _paint_on_host(
    batch: Batch, target: Any, lungs: Any, ids: np.ndarray, spec: CloudSpec, marks: Uint8Array | None
) -> HostRecord:
    count, height, width = batch.array.shape
    threads = min(get_num_threads(), count)
    require_memory(threads * BYTES_PER_PIXEL * height * width, f"noise over {threads} images of {height} x {width}")
    info = HostRecord(count)

    def work(first: int, last: int) -> None:
        painter = Painter(spec, (height, width))
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
    return info


def _paint_on_device(
    batch: Batch, target: Any, lungs: Any, ids: Any, spec: CloudSpec, marks: Uint8Array | None
) -> CloudRecord:
    home, count = batch.home, len(batch.array)
    dtypes = ("int64", "float32", "int32", "int32", "int32", "int32", "bool", "bool")
    areas, shares, weights, thresholds, combines, draws, lowered, empty = (home.empty((count,), d) for d in dtypes)
    record = CloudRecord(areas, shares, weights, thresholds, combines, draws, lowered, empty, marks)
    index = lungs if isinstance(lungs, MaskIndex) else pack(lungs, home)
    home.backend().clouds(batch.array, target, index.packed, ids, spec, record)
    return record


def _device_info(batch: Batch, record: CloudRecord, lesion_mask: bool | Array) -> CloudInfo:
    marks: Any = lesion_mask
    if isinstance(lesion_mask, (bool, np.bool_)):
        marks = None if record.lesions is None else record.lesions.reshape(batch.original.shape)
    with batch.home.chosen():
        opacity = batch.home.cast(record.weights, "float32") / 256
    return CloudInfo(
        empty=record.empty,
        area=record.areas,
        share=record.shares,
        opacity=opacity,
        threshold=record.thresholds,
        combine=record.combines,
        draws=record.draws,
        lowered=record.lowered,
        lesion_mask=marks,
    )


def _host_info(info: HostRecord, marks: Uint8Array | None, like: Array, lesion_mask: bool | Array) -> CloudInfo:
    """Return the record with the mask of lesions, as the caller gave it or of the images' kind."""
    mask: Array | None = None
    if not isinstance(lesion_mask, (bool, np.bool_)):
        mask = lesion_mask
    elif marks is not None:
        mask = marks.view(np.bool_).reshape(like.shape)
        mask = torch.from_numpy(mask) if isinstance(like, torch.Tensor) else mask
    return CloudInfo(**{**vars(info), "lesion_mask": mask})
