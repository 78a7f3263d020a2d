"""The compiled C++ backend: hands checked arrays to ``plr_fast._native``."""

from __future__ import annotations

import numpy as np

from plr_fast import _native

from .specs import (
    BlurSpec,
    Float32Array,
    FreshSpec,
    FreshTable,
    ImageArray,
    Int32Array,
    Int64Array,
    NoiseSpec,
    PackedMasks,
    PasteRecord,
    PasteSpec,
    PatchBank,
    Shape,
    ShuffleSpec,
    Uint8Array,
    Windows,
)

__all__ = [
    "blur",
    "candidates",
    "cover_patches",
    "cut",
    "describe",
    "fresh",
    "fresh_table",
    "noise",
    "pack_masks",
    "paste",
    "scale_grey",
    "shuffle",
    "usable",
]


def describe() -> str:
    """Return the compiler and the instruction set in use, for :func:`plr_fast.backends`."""
    text = f"compiled C++ by {_native.compiler}"
    try:
        tier = _native.tier()
    except ValueError as error:  # PLR_FAST_ISA names something this machine lacks
        return f"{text}; {error}"
    others = [name for name, supported in _native.tiers() if supported and name != tier]
    return f"{text}, instruction set {tier} (also here: {', '.join(others) or 'none'})"


def usable() -> bool:
    """Return whether operations can run: not if PLR_FAST_ISA names an instruction set that this machine lacks."""
    try:
        _native.tier()
    except ValueError:
        return False
    return True


def noise(out: np.ndarray, samples: Int64Array, spec: NoiseSpec, threads: int) -> None:
    _native.noise(
        out, samples, spec.seed, spec.cells, spec.octaves, spec.persistence, spec.lacunarity, spec.tileable,
        spec.format, threads,
    )  # fmt: skip


def candidates(
    images: Uint8Array,
    image_ids: Int64Array,
    seed: int,
    patch: tuple[int, int],
    first_round: int,
    out: Int32Array,
    threads: int,
) -> None:
    _native.candidates(images, image_ids, seed, patch, first_round, out, threads)


def cut(images: Uint8Array, boxes: Int64Array, offsets: Int64Array, out: Uint8Array, threads: int) -> None:
    _native.cut(images, boxes, offsets, out, threads)


def pack_masks(masks: Uint8Array, out: PackedMasks, threads: int) -> None:
    _native.pack_masks(masks, out.bits, out.before, threads)


def cover_patches(bank: PatchBank, shape: Shape, feather: int, out: Uint8Array, threads: int) -> None:
    _native.cover_patches(bank.pixels, bank.offsets, bank.heights, bank.widths, shape, feather, out, threads)


def fresh_table(table: FreshTable, noise: NoiseSpec, size: int, threads: int) -> None:
    _native.fresh_table(
        table.low, table.scale, table.permutation, table.offsets, noise.seed, size, noise.cells[2], noise.octaves,
        noise.persistence, noise.lacunarity, threads,
    )  # fmt: skip


def fresh(
    samples: Int64Array,
    table: FreshTable,
    spec: FreshSpec,
    seed: int,
    count: tuple[int, int],
    out: PatchBank,
    threads: int,
) -> None:
    noise = spec.noise
    _native.fresh(
        samples, out.pixels, out.heights, out.widths, table.low, table.scale, table.permutation, table.offsets,
        spec.size, noise.cells[2], noise.octaves, noise.persistence, noise.lacunarity, spec.patch, spec.threshold,
        spec.centre, seed, count, threads,
    )  # fmt: skip


def paste(
    images: ImageArray,
    out: ImageArray,
    masks: PackedMasks,
    samples: Int64Array,
    bank: PatchBank,
    cover: Uint8Array | None,
    spec: PasteSpec,
    record: PasteRecord,
    threads: int,
) -> None:
    _native.paste(
        images, out, masks.bits, masks.before, samples, bank.pixels, bank.offsets, bank.heights, bank.widths, cover,
        spec.seed, spec.count, spec.blend, spec.weight, spec.feather, spec.whole, spec.own, record.counts,
        record.skipped, record.boxes, record.patches, record.weights, record.lesions, threads,
    )  # fmt: skip


def scale_grey(images: Uint8Array, out: Float32Array, threads: int) -> None:
    _native.scale_grey(images, out, threads)


def blur(images: ImageArray, out: ImageArray, samples: Int64Array, spec: BlurSpec, threads: int) -> None:
    count, sizes = _windows(spec.windows)
    _native.blur(images, out, samples, spec.weights, spec.weights_q8, spec.seed, count, sizes, threads)


def shuffle(images: ImageArray, out: ImageArray, samples: Int64Array, spec: ShuffleSpec, threads: int) -> None:
    count, sizes = _windows(spec.windows)
    _native.shuffle(images, out, samples, spec.seed, spec.grid, count, sizes, threads)


def _windows(windows: Windows) -> tuple[int, tuple[int, int, int, int]]:
    return windows.count, (*windows.height, *windows.width)
