"""Pasting lesion patches into lungs (paper III.B)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast, overload

import numpy as np
import torch

from ..backends import get_num_threads
from ..backends.specs import (
    Blend,
    Float32Array,
    PasteRecord,
    PasteSpec,
    PatchBank,
    Shape,
    Uint8Array,
)
from ..errors import EmptyMaskWarning
from . import tracing
from .arguments import (
    Array,
    Batch,
    Images,
    array_of,
    choice,
    ids_at,
    image_batch,
    integer,
    mask_batch,
    number,
    output_for,
    pair,
    planes,
    require_memory,
    seed_value,
    writeable,
)
from .bank import LesionBank
from .fresh import FreshLesions
from .homes import Home, same_home
from .masks import MaskIndex, pack

Inside = Literal["centre", "patch"]


@dataclass(frozen=True)
class PasteInfo:
    """What :func:`paste_lesions` did, for each image. M is the upper end of ``count``; places not used hold 0.

    NumPy arrays; for images on a CUDA device arrays there, of the images' library, so that nobody has to wait for them.
    A patch's box is the part of it that lies in the image; pixels of it outside the lung, or outside its shape, are
    not changed. ``boxes[i, : counts[i]]`` are those of image i, in the order of pasting: later ones lie over earlier.
    """

    counts: np.ndarray  # int32 (B,): patches pasted
    empty: np.ndarray  # bool (B,): the mask had no pixel, the image is unchanged
    skipped: np.ndarray  # int32 (B,): patches left out: they fit nowhere (inside="patch"); fresh ones not found
    boxes: np.ndarray  # int32 (B, M, 4): top, left, height, width
    patches: np.ndarray  # int32 (B, M): index in the bank; of fresh lesions, number of the patch
    opacity: np.ndarray  # float32 (B, M): what alpha was for the patch; 1 for blends that have none
    lesion_mask: torch.Tensor | np.ndarray | None = None  # bool, like the images: pixels that a patch wrote to

    def corners(self, image: int) -> Float32Array:
        """Return the boxes of one image as left, top, right, bottom (exclusive), float32 (n, 4)."""
        found, count = self.boxes[image], int(self.counts[image])
        if isinstance(found, torch.Tensor):
            found = found.cpu().numpy()
        elif not isinstance(found, np.ndarray):
            found = found.get()  # CuPy's
        top, left, height, width = found[:count].T
        return np.stack([left, top, left + width, top + height], axis=1).astype(np.float32)


@overload
def paste_lesions(
    images: Images,
    masks: torch.Tensor | np.ndarray | MaskIndex,
    bank: LesionBank | FreshLesions,
    *,
    count: int | tuple[int, int] = ...,
    blend: Blend = ...,
    alpha: float | tuple[float, float] = ...,
    feather: int = ...,
    shape: Shape = ...,
    inside: Inside = ...,
    seed: int = ...,
    samples: Iterable[int] | torch.Tensor | None = ...,
    out: Images | None = ...,
    check: bool | None = ...,
    return_info: Literal[False] = ...,
    lesion_mask: bool | torch.Tensor | np.ndarray = ...,
) -> Images: ...


@overload
def paste_lesions(
    images: Images,
    masks: torch.Tensor | np.ndarray | MaskIndex,
    bank: LesionBank | FreshLesions,
    *,
    count: int | tuple[int, int] = ...,
    blend: Blend = ...,
    alpha: float | tuple[float, float] = ...,
    feather: int = ...,
    shape: Shape = ...,
    inside: Inside = ...,
    seed: int = ...,
    samples: Iterable[int] | torch.Tensor | None = ...,
    out: Images | None = ...,
    check: bool | None = ...,
    return_info: Literal[True],
    lesion_mask: bool | torch.Tensor | np.ndarray = ...,
) -> tuple[Images, PasteInfo]: ...


def paste_lesions(
    images: Images,
    masks: torch.Tensor | np.ndarray | MaskIndex,
    bank: LesionBank | FreshLesions,
    *,
    count: int | tuple[int, int] = 30,
    blend: Blend = "replace",
    alpha: float | tuple[float, float] = 1.0,
    feather: int = 0,
    shape: Shape = "rectangle",
    inside: Inside = "centre",
    seed: int = 0,
    samples: Iterable[int] | torch.Tensor | None = None,
    out: Images | None = None,
    check: bool | None = None,
    return_info: bool = False,
    lesion_mask: bool | torch.Tensor | np.ndarray = False,
) -> Images | tuple[Images, PasteInfo]:
    """Paste patches of ``bank`` at random places of each image's lung mask; only lung pixels change.

    Each patch is centred on a random lung pixel; later patches lie over earlier ones. What is pasted into an image
    depends on ``seed``, its sample id and its mask alone.

    Args:
        images: (B, H, W) or (B, 1, H, W), uint8 or float32 in [0, 1], of torch, NumPy or CuPy, on the CPU or a GPU.
        masks: bool or uint8 (non-zero = lung), the same shape up to the channel axis; or what
            :func:`plr_fast.index_masks` made of them, which saves a pass over them in every call.
        bank: the patches; or :class:`plr_fast.FreshLesions`, which make new ones for each sample. On the images'
            device: ``bank.to(device)``.
        count: patches per image, or a range (low, high) with both ends included, drawn for each image.
        blend: "replace" (the paper's), "max" (the brighter of the two), "alpha" (mixed by ``alpha``) or "add" (patch
            times ``alpha`` added, held at white).
        alpha: opacity 0..1 for "alpha" and "add" (the others have no use for it), or a range drawn for each patch; kept
            in steps of 1/256.
        feather: pixels over which "alpha" and "add" fade in from the edge of a rectangle or an ellipse.
        shape: "rectangle" (the paper's), "ellipse" (with an edge about ``feather`` + 1 pixels wide) or "cloud" (soft
            all over: the brighter the patch and the nearer its middle, the denser). "replace" and "max" know no
            opacity: they take the pixels that the shape covers at least by half.
        inside: "centre": the patch's centre is a lung pixel, the rest may hang over the lung's edge and is cut off;
            "patch": the whole patch lies in the lung. Each such place is equally likely; patches for which there is
            none are left out.
        seed: 0..2^64-1.
        samples: ids of the samples, one per image; default 0..B-1.
        out: where to write, like ``images``; may be ``images`` itself. Large batches are written past the caches.
        check: look for NaN and values outside [0, 1] in float images first (one pass over them); default on the CPU
            only, because a GPU would have to be waited for.
        return_info: return a :class:`PasteInfo` as well: counts, boxes, bank indices, opacities.
        lesion_mask: True: also mark the pixels that patches wrote to, in the :class:`PasteInfo`. They are those inside
            lung and patch, even where the value came out as it was before. An array, bool or uint8 like ``images``, is
            filled instead of a new one.

    Returns:
        The pseudo-lesion images, same kind, shape and dtype as ``images`` (``out`` itself if given).

    Raises:
        TypeError, ValueError: wrong kind, rank, dtype, device, range, or masks of another shape.
        MemoryError: the boxes of so many patches would not fit into this machine's memory.

    Warns:
        EmptyMaskWarning: some masks are empty; those images are unchanged (not with ``return_info``, which tells, and
            not for images on a GPU, which would have to be waited for).
    """
    run = tracing.paste_lesions if torch.compiler.is_compiling() else paste
    return run(
        images, masks, bank, count=count, blend=blend, alpha=alpha, feather=feather, shape=shape, inside=inside,
        seed=seed, samples=samples, out=out, check=check, return_info=return_info, lesion_mask=lesion_mask,
    )  # fmt: skip


def paste(
    images: Images,
    masks: torch.Tensor | np.ndarray | MaskIndex,
    bank: LesionBank | FreshLesions,
    *,
    count: object,
    blend: object,
    alpha: object,
    feather: object,
    shape: object,
    inside: object,
    seed: object,
    samples: object,
    out: Images | None,
    check: bool | None,
    return_info: bool,
    lesion_mask: bool | torch.Tensor | np.ndarray,
) -> Images | tuple[Images, PasteInfo]:
    """Check the arguments of :func:`paste_lesions`, and do its work."""
    batch = image_batch(images, check=check)
    lungs = lungs_for(masks, batch)
    if not isinstance(bank, (LesionBank, FreshLesions)):
        raise TypeError(
            f"bank must be a LesionBank, not {type(bank).__name__}: make one with LesionBank.generate(), "
            "or pass FreshLesions()"
        )
    spec = PasteSpec(
        seed=seed_value(seed),
        count=pair(count, "count", 0, 2**20),
        blend=cast(Blend, choice(blend, "blend", ("replace", "max", "alpha", "add"))),
        weight=weight_range(alpha),
        feather=integer(feather, "feather", 0, 2**15),
        whole=choice(inside, "inside", ("centre", "patch")) == "patch",
        own=isinstance(bank, FreshLesions),
    )
    form = cast(Shape, choice(shape, "shape", ("rectangle", "ellipse", "cloud")))
    home = batch.home
    ids = ids_at(home, samples, len(batch.array))
    target, result = output_for(batch, out)
    if not isinstance(lungs, MaskIndex) and home.overlap(target, lungs):
        raise ValueError("out must not be the masks: they are still needed while out is written")
    marks = marks_for(lesion_mask, batch, target, return_info, lungs)
    record = _record(home, len(batch.array), spec.count[1], marks, return_info)
    index = lungs if isinstance(lungs, MaskIndex) else pack(lungs, home)
    packed, cover = _patches(home, bank, ids, len(batch.array), spec, form)
    home.backend().paste(batch.array, target, index.packed, ids, packed, cover, spec, record, get_num_threads())
    if not (return_info or home.on_host):
        return cast(Images, result)  # whether masks were empty is not known here yet
    lung_pixels = index.packed.before[:, -1]
    if return_info:
        with home.chosen():
            empty = lung_pixels == 0
        return cast(Images, result), _info(record, empty, spec, batch, lesion_mask)
    if 0 in lung_pixels.tolist():  # NumPy would take microseconds
        warn_of_empty(np.flatnonzero(lung_pixels == 0), len(lung_pixels))
    return cast(Images, result)


def _patches(
    home: Home, bank: LesionBank | FreshLesions, ids: Any, batch: int, spec: PasteSpec, form: Shape
) -> tuple[PatchBank, Uint8Array | None]:
    """Return the patches to paste, and how much of each pixel they cover."""
    if isinstance(bank, LesionBank):
        return bank.placed(home), None if form == "rectangle" else bank.placed_cover(home, form, spec.feather)
    packed = bank.make(home, ids, batch, spec.count, spec.seed)
    if form == "rectangle":
        return packed, None
    cover = home.empty(tuple(packed.pixels.shape), "uint8")
    home.backend().cover_patches(packed, form, spec.feather, cover, get_num_threads())
    return packed, cover


def lungs_for(masks: Array | MaskIndex, batch: Batch) -> Uint8Array | MaskIndex:
    shape = tuple(batch.array.shape)
    if not isinstance(masks, MaskIndex):
        return mask_batch(masks, tuple(shape), home=batch.home)
    if masks.home is not batch.home:
        same_home(batch.home, masks.packed.bits, "masks")
    if masks.shape != tuple(shape):
        raise ValueError(f"masks must have the shape of the images, {shape}, not {masks.shape}")
    return masks


def marks_for(
    wanted: Any, batch: Batch, target: np.ndarray, return_info: bool, lungs: Uint8Array | MaskIndex
) -> Uint8Array | None:
    """Return the array that receives the mask of changed pixels, if one is wanted."""
    home, shape = batch.home, tuple(batch.array.shape)
    if isinstance(wanted, (bool, np.bool_)):
        if wanted and not return_info:
            raise ValueError("lesion_mask=True needs return_info=True, which returns it; or pass an array to fill")
        made: Uint8Array | None = home.empty(shape, "uint8" if home.on_host else "bool") if wanted else None
        return made
    if not (isinstance(wanted, (torch.Tensor, np.ndarray)) or hasattr(wanted, "__cuda_array_interface__")):
        raise TypeError(f"lesion_mask must be a bool, a torch tensor or a NumPy array, not {type(wanted).__name__}")
    same_home(home, wanted, "lesion_mask")
    array = planes(array_of(home, wanted, "lesion_mask"), "lesion_mask")
    if tuple(array.shape) != shape or home.dtype(array) not in ("bool", "uint8"):
        raise ValueError(
            f"lesion_mask must have shape {shape} like the images and be bool or uint8, "
            f"not {tuple(array.shape)} and {home.dtype(array)}"
        )
    if not (home.is_contiguous(array) and writeable(array)):
        raise ValueError("lesion_mask must be contiguous and writeable")
    if home.overlap(array, target) or home.overlap(array, batch.array):
        raise ValueError("lesion_mask must not share memory with images or out")
    if not isinstance(lungs, MaskIndex) and home.overlap(array, lungs):
        raise ValueError("lesion_mask must not share memory with masks, which are still needed while it is written")
    marks: Uint8Array = array.view(np.uint8) if home.on_host else array
    return marks


def _record(home: Home, batch: int, most: int, marks: Uint8Array | None, details: bool) -> PasteRecord:
    if not details:
        return PasteRecord(home.empty((batch,), "int32"), home.empty((batch,), "int32"), lesions=marks)
    counts, skipped = home.zeros((batch,), "int32"), home.zeros((batch,), "int32")
    require_memory(batch * most * 28, f"the boxes of {most} patches in each of {batch} images")
    boxes = home.zeros((batch, most, 4), "int32")
    patches, weights = home.zeros((batch, most), "int32"), home.zeros((batch, most), "int32")
    return PasteRecord(counts, skipped, boxes, patches, weights, marks)


def _info(
    record: PasteRecord, empty: np.ndarray, spec: PasteSpec, batch: Batch, lesion_mask: bool | Array
) -> PasteInfo:
    assert record.boxes is not None
    assert record.patches is not None
    assert record.weights is not None
    home = batch.home
    with home.chosen():
        if spec.blend in ("alpha", "add"):
            opacity = home.cast(record.weights, "float32") / 256
        else:
            opacity = home.cast(home.numbers(spec.count[1], 1) < record.counts[:, None], "float32")
    marks: Any = None
    if not isinstance(lesion_mask, (bool, np.bool_)):
        marks = lesion_mask
    elif record.lesions is not None and not home.on_host:
        marks = record.lesions.reshape(batch.original.shape)
    elif record.lesions is not None:
        marks = record.lesions.view(np.bool_).reshape(batch.original.shape)
        marks = torch.from_numpy(marks) if isinstance(batch.original, torch.Tensor) else marks
    return PasteInfo(record.counts, empty, record.skipped, record.boxes, record.patches, opacity, marks)


def warn_of_empty(empty: np.ndarray, batch: int) -> None:
    warnings.warn(
        f"{len(empty)} of {batch} masks are empty (image {', '.join(map(str, empty[:5]))}"
        f"{', ...' if len(empty) > 5 else ''}): these images are unchanged",
        EmptyMaskWarning,
        stacklevel=4,  # the caller of the public function
    )


def weight_range(alpha: object) -> tuple[int, int]:
    """Return opacity as a range in 1/256."""
    if not isinstance(alpha, (tuple, list)):
        weight = round(number(alpha, "alpha", 0.0, 1.0) * 256)
        return weight, weight
    if len(alpha) != 2:
        raise ValueError(f"alpha must be a number or a pair (low, high), not {len(alpha)} values")
    low, high = (round(number(a, "alpha", 0.0, 1.0) * 256) for a in alpha)
    if low > high:
        raise ValueError(f"alpha must be (low, high) with low <= high, not {alpha}")
    return low, high
