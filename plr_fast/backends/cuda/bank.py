"""Plans of the lesion bank's search: candidates, the first bright ones among them, and their pixels."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from .arrays import Array
from .launch import Context, Launch
from .params import I32, I64, STRUCTURES, U32, U64, Pointer, SampleIds, SampleIdsParams

_CANDIDATE_THREADS = 128
_PICKED_BY_BLOCK = 1024


class CandidateParams(ctypes.Structure):
    """``CandidateParams`` of ``csrc/cuda/candidates.h``."""

    _fields_ = (
        ("seed", U64),
        ("ids", SampleIdsParams),
        ("images", Pointer),
        ("count", I64),
        *((name, I32) for name in ("rows", "columns", "low", "high")),
        ("first_round", U32),
        ("rounds", U32),
        ("whole", I32),
        ("out", Pointer),
    )


class CutParams(ctypes.Structure):
    """``CutParams`` of ``csrc/cuda/candidates.h``."""

    _fields_ = (
        ("images", Pointer),
        ("rows", I64),
        ("columns", I64),
        *((name, Pointer) for name in ("boxes", "offsets", "found", "out")),
    )


class PickParams(ctypes.Structure):
    """``PickParams`` of ``csrc/cuda/pick.h``."""

    _fields_ = (
        ("candidates", Pointer),
        ("ids", SampleIdsParams),
        *((name, I64) for name in ("images", "rounds", "first_round", "all_images", "wanted")),
        ("threshold", I32),
        ("count_blocks", U32),
        *((name, Pointer) for name in ("counts", "grey", "found", "orders", "boxes", "offsets")),
    )


STRUCTURES.update(CandidateParams=CandidateParams, CutParams=CutParams, PickParams=PickParams)


class Picks(NamedTuple):
    """Arrays of a device that receive the first bright candidates; ``n`` is how many are wanted."""

    found: Array  # int64 (2,): how many were picked, how many are bright in all
    grey: Array  # int32 or uint32 (256,): candidates by mean grey are added to these
    orders: Array  # int64 (n,): place in candidate order, round * images of the bank + image id; ascending
    boxes: Array  # int64 (n, 5): image (its index, not its id), top, left, height, width
    offsets: Array  # int64 (n,): of their pixels when these lie one after the other


def candidates(
    context: Context, images: Array, ids: SampleIds, seed: int, patch: tuple[int, int], first_round: int, out: Array
) -> None:
    """Fill ``out`` (images, rounds, 5), int32, with grey sum, top, left, height, width of each candidate patch.

    ``images`` (M, H, W) is uint8; ``ids`` are those of its M images; ``patch`` is the smallest and largest side.
    """
    count, rounds = out.shape[:2]
    if out.size == 0:
        return
    _, rows, columns = images.shape
    whole = images.pointer % 4 == 0 and images.size % 4 == 0
    params = CandidateParams(
        seed, ids.params(), images.pointer, count * rounds, rows, columns, *patch, first_round, rounds, whole,
        out.pointer,
    )  # fmt: skip
    context.run(Launch("candidates", (-(-count * rounds // _CANDIDATE_THREADS), 1, 1), params))


def pick(
    context: Context,
    candidates: Array,
    ids: SampleIds,
    all_images: int,
    first_round: int,
    patch: tuple[int, int],
    threshold: int,
    out: Picks,
) -> None:
    """Fill ``out`` with the first candidates, in candidate order, whose mean grey is above ``threshold``.

    Args:
        context: where it runs.
        candidates: what :func:`candidates` made, for all rounds from ``first_round`` on of images with these ids.
        ids: of the images, ascending.
        all_images: images of the whole bank.
        first_round: number of the first round.
        patch: smallest and largest side.
        threshold: 0..254.
        out: entries beyond those found are left as they are.

    Raises:
        ValueError: the patches could have 2^32 pixels, more than are counted.
    """
    count, rounds = candidates.shape[:2]
    wanted = out.orders.size
    if wanted * patch[1] ** 2 >= 2**32:
        raise ValueError(
            f"{wanted} patches of up to {patch[1]} x {patch[1]} pixels are too many for a GPU: 2^32 at most"
        )
    blocks = -(-count * rounds // _PICKED_BY_BLOCK)
    counts, _owner = context.memory.empty(4 * max(blocks, 1))
    params = PickParams(
        candidates.pointer, ids.params(), count, rounds, first_round, all_images, wanted, threshold, blocks, counts,
        out.grey.pointer, out.found.pointer, out.orders.pointer, out.boxes.pointer, out.offsets.pointer,
    )  # fmt: skip
    # Without candidates, the scan still says that none was found.
    names = ("pick_count", "pick_scan", "pick_rows", "pick_offsets") if blocks else ("pick_scan",)
    grids = {"pick_count": blocks, "pick_rows": blocks}
    context.run(*(Launch(name, (grids.get(name, 1), 1, 1), params) for name in names))


def cut(context: Context, images: Array, boxes: Array, offsets: Array, out: Array, found: Array | None = None) -> None:
    """Copy ``boxes`` (n, 5), int64 = image, top, left, height, width of ``images`` (M, H, W) to ``out[offsets[i] :]``.

    Each is copied row by row; no two may overlap in ``out``. ``found`` (int64, its first entry counts) says how many
    there are, if that is known to the device alone.
    """
    count = boxes.shape[0]
    if count == 0:
        return
    _, rows, columns = images.shape
    params = CutParams(
        images.pointer, rows, columns, boxes.pointer, offsets.pointer, 0 if found is None else found.pointer,
        out.pointer,
    )  # fmt: skip
    context.run(Launch("cut_boxes", (count, 1, 1), params))
