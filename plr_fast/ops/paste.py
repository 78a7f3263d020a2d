"""Pasting lesion patches into lungs (paper III.B)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray

from ..backends import active_backend, get_num_threads
from ..backends.specs import Blend, Int32Array, PasteSpec, Uint8Array
from ..errors import EmptyMaskWarning
from . import tracing
from .arguments import (
    Images,
    choice,
    image_batch,
    integer,
    mask_batch,
    number,
    output_for,
    pair,
    sample_ids,
    seed_value,
)
from .bank import LesionBank


@dataclass(frozen=True)
class PasteInfo:
    """What :func:`paste_lesions` did, per image."""

    counts: np.ndarray  # int32 (B,): patches pasted
    empty: np.ndarray  # bool (B,): the mask had no pixel, the image is unchanged


@overload
def paste_lesions(
    images: Images,
    masks: torch.Tensor | np.ndarray,
    bank: LesionBank,
    *,
    count: int | tuple[int, int] = ...,
    blend: Blend = ...,
    alpha: float | tuple[float, float] = ...,
    feather: int = ...,
    seed: int = ...,
    samples: Iterable[int] | torch.Tensor | None = ...,
    out: Images | None = ...,
    check: bool = ...,
    return_info: Literal[False] = ...,
) -> Images: ...


@overload
def paste_lesions(
    images: Images,
    masks: torch.Tensor | np.ndarray,
    bank: LesionBank,
    *,
    count: int | tuple[int, int] = ...,
    blend: Blend = ...,
    alpha: float | tuple[float, float] = ...,
    feather: int = ...,
    seed: int = ...,
    samples: Iterable[int] | torch.Tensor | None = ...,
    out: Images | None = ...,
    check: bool = ...,
    return_info: Literal[True],
) -> tuple[Images, PasteInfo]: ...


def paste_lesions(
    images: Images,
    masks: torch.Tensor | np.ndarray,
    bank: LesionBank,
    *,
    count: int | tuple[int, int] = 30,
    blend: Blend = "replace",
    alpha: float | tuple[float, float] = 1.0,
    feather: int = 0,
    seed: int = 0,
    samples: Iterable[int] | torch.Tensor | None = None,
    out: Images | None = None,
    check: bool = True,
    return_info: bool = False,
) -> Images | tuple[Images, PasteInfo]:
    """Paste patches of ``bank`` at random places of each image's lung mask; only lung pixels change.

    Each patch is centred on a random lung pixel; later patches lie over earlier ones. What is pasted into an image
    depends on ``seed``, its sample id and its mask alone.

    Args:
        images: (B, H, W) or (B, 1, H, W), uint8 or float32 in [0, 1], torch or NumPy, on the CPU.
        masks: bool or uint8 (non-zero = lung), the same shape up to the channel axis.
        bank: the patches.
        count: patches per image, or a range (low, high) with both ends included, drawn for each image.
        blend: "replace" (the paper's), "max" (the brighter of the two), "alpha" (mixed by ``alpha``) or "add" (patch
            times ``alpha`` added, held at white).
        alpha: opacity 0..1 for "alpha" and "add", or a range drawn for each patch; kept in steps of 1/256.
        feather: pixels over which "alpha" and "add" fade in from the patch's edge.
        seed: 0..2^64-1.
        samples: ids of the samples, one per image; default 0..B-1.
        out: where to write, like ``images``; may be ``images`` itself.
        check: look for NaN and values outside [0, 1] in float images first (one pass over them).
        return_info: return a :class:`PasteInfo` as well.

    Returns:
        The pseudo-lesion images, same kind, shape and dtype as ``images`` (``out`` itself if given).

    Raises:
        TypeError, ValueError: wrong kind, rank, dtype, device, range, or masks of another shape.

    Warns:
        EmptyMaskWarning: some masks are empty; those images are unchanged (not with ``return_info``, which tells).
    """
    run = tracing.paste_lesions if torch.compiler.is_compiling() else paste
    return run(
        images, masks, bank, count=count, blend=blend, alpha=alpha, feather=feather, seed=seed, samples=samples,
        out=out, check=check, return_info=return_info,
    )  # fmt: skip


def paste(
    images: Images,
    masks: torch.Tensor | np.ndarray,
    bank: LesionBank,
    *,
    count: object,
    blend: object,
    alpha: object,
    feather: object,
    seed: object,
    samples: object,
    out: Images | None,
    check: bool,
    return_info: bool,
) -> Images | tuple[Images, PasteInfo]:
    """Check the arguments of :func:`paste_lesions`, and do its work."""
    batch = image_batch(images, check=check)
    lungs = mask_batch(masks, batch.array.shape)
    if not isinstance(bank, LesionBank):
        raise TypeError(f"bank must be a LesionBank, not {type(bank).__name__}: make one with LesionBank.generate()")
    spec = PasteSpec(
        seed=seed_value(seed),
        count=pair(count, "count", 0, 2**20),
        blend=cast(Blend, choice(blend, "blend", ("replace", "max", "alpha", "add"))),
        weight=_weights(alpha),
        feather=integer(feather, "feather", 0, 2**15),
    )
    ids = sample_ids(samples, len(batch.array))
    target, result = output_for(batch, out)
    if np.shares_memory(target, lungs):
        raise ValueError("out must not be the masks: they are still needed while out is written")
    counts = np.zeros(len(batch.array), np.int32)
    active_backend().paste(batch.array, target, lungs, ids, bank.packed, spec, counts, get_num_threads())
    if return_info:
        return cast(Images, result), PasteInfo(counts, _empty(lungs, counts))
    empty = np.flatnonzero(_empty(lungs, counts))
    if empty.size:
        warnings.warn(
            f"{len(empty)} of {len(counts)} masks are empty (image {', '.join(map(str, empty[:5]))}"
            f"{', ...' if len(empty) > 5 else ''}): these images are unchanged",
            EmptyMaskWarning,
            stacklevel=3,
        )
    return cast(Images, result)


def _empty(lungs: Uint8Array, counts: Int32Array) -> NDArray[np.bool_]:
    """Return which masks are empty; only where nothing was pasted is there a need to look."""
    empty: NDArray[np.bool_] = np.equal(counts, 0)
    for i in np.flatnonzero(empty):
        empty[i] = not lungs[i].any()
    return empty


def _weights(alpha: object) -> tuple[int, int]:
    """Return opacity as a range in 1/256."""
    ends = alpha if isinstance(alpha, (tuple, list)) else (alpha, alpha)
    if len(ends) != 2:
        raise ValueError(f"alpha must be a number or a pair (low, high), not {len(ends)} values")
    low, high = (round(number(a, "alpha", 0.0, 1.0) * 256) for a in ends)
    if low > high:
        raise ValueError(f"alpha must be (low, high) with low <= high, not {alpha}")
    return low, high
