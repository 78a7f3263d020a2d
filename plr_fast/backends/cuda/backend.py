"""The operations of :class:`plr_fast.backends.specs.Backend` on arrays of a CUDA device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..specs import (
    BlurSpec,
    CloudRecord,
    CloudSpec,
    FreshSpec,
    FreshTable,
    NoiseSpec,
    PackedMasks,
    PasteRecord,
    PasteSpec,
    PatchBank,
    Shape,
    ShuffleSpec,
)
from . import bank, clouds, copies, filters, fresh, masks, noise, paste
from .arrays import Array
from .fresh import Table
from .launch import Context
from .masks import Masks
from .params import SampleIds
from .paste import Bank, Record


class CudaBackend:
    """Has the methods of ``Backend`` (``threads`` is not looked at); arrays are of the library that ``describe`` knows.

    ``samples`` are :class:`plr_fast.backends.cuda.params.SampleIds`. One object serves one call: its context has the
    caller's stream.
    """

    def __init__(self, context: Context, describe: Callable[[Any], Array]) -> None:
        self.context = context
        self._describe = describe

    def noise(self, out: Any, samples: SampleIds, spec: NoiseSpec, threads: int) -> None:  # noqa: ARG002
        noise.noise(self.context, self._describe(out), samples, spec)

    def candidates(
        self,
        images: Any,
        image_ids: SampleIds,
        seed: int,
        patch: tuple[int, int],
        first_round: int,
        out: Any,
        threads: int,  # noqa: ARG002
    ) -> None:
        bank.candidates(self.context, self._describe(images), image_ids, seed, patch, first_round, self._describe(out))

    def pick(
        self,
        candidates: Any,
        image_ids: SampleIds,
        all_images: int,
        first_round: int,
        patch: tuple[int, int],
        threshold: int,
        out: tuple[Any, Any, Any, Any, Any],
    ) -> None:
        """Fill found, grey, orders, boxes and offsets: see :class:`plr_fast.backends.cuda.bank.Picks`."""
        picks = bank.Picks(*(self._describe(array) for array in out))
        bank.pick(
            self.context, self._describe(candidates), image_ids, all_images, first_round, patch, threshold, picks
        )  # fmt: skip

    def cut(self, images: Any, boxes: Any, offsets: Any, out: Any, threads: int) -> None:  # noqa: ARG002
        arrays = (self._describe(array) for array in (images, boxes, offsets, out))
        bank.cut(self.context, *arrays)

    def pack_masks(self, masks_: Any, out: PackedMasks, threads: int) -> None:  # noqa: ARG002
        masks.pack_masks(self.context, self._describe(masks_), self._masks(out))

    def cover_patches(self, bank_: PatchBank, shape: Shape, feather: int, out: Any, threads: int) -> None:  # noqa: ARG002
        paste.cover_patches(self.context, self._bank(bank_), shape, feather, self._describe(out))

    def fresh_table(self, table: FreshTable, noise_: NoiseSpec, size: int, threads: int) -> None:  # noqa: ARG002
        fresh.fresh_table(self.context, self._table(table), noise_, size)

    def fresh(
        self,
        samples: SampleIds,
        table: FreshTable,
        spec: FreshSpec,
        seed: int,
        count: tuple[int, int],
        out: PatchBank,
        threads: int,  # noqa: ARG002
    ) -> None:
        packed = self._bank(out)
        batch = packed.heights.size // count[1] if count[1] else 0
        fresh.fresh(self.context, samples, batch, self._table(table), spec, seed, count, packed)

    def paste(
        self,
        images: Any,
        out: Any,
        masks: PackedMasks,
        samples: SampleIds,
        bank: PatchBank,
        cover: Any,
        spec: PasteSpec,
        record: PasteRecord,
        threads: int,  # noqa: ARG002
    ) -> None:
        described = Record(
            self._describe(record.counts),
            self._describe(record.skipped),
            *(self._optional(a) for a in (record.boxes, record.patches, record.weights, record.lesions)),
        )
        paste.paste(
            self.context, self._describe(images), self._describe(out), self._masks(masks), samples, self._bank(bank),
            self._optional(cover), spec, described,
        )  # fmt: skip

    def scale_grey(self, images: Any, out: Any, threads: int) -> None:  # noqa: ARG002
        copies.scale_grey(self.context, self._describe(images), self._describe(out))

    def blur(self, images: Any, out: Any, samples: SampleIds, spec: BlurSpec, threads: int) -> None:  # noqa: ARG002
        filters.blur(self.context, self._describe(images), self._describe(out), samples, spec)

    def shuffle(self, images: Any, out: Any, samples: SampleIds, spec: ShuffleSpec, threads: int) -> None:  # noqa: ARG002
        filters.shuffle(self.context, self._describe(images), self._describe(out), samples, spec)

    def clouds(
        self, images: Any, out: Any, masks: PackedMasks, samples: SampleIds, spec: CloudSpec, record: CloudRecord
    ) -> None:
        """Copy ``images`` (B, H, W) to ``out`` (may be the same memory) and paint clouds into the masked part.

        On the CPU, :class:`plr_fast.ops.clouds_host.Painter` does it.
        """
        described = clouds.Record(*(self._optional(array) for array in vars(record).values()))  # type: ignore[arg-type]
        clouds.clouds(
            self.context, self._describe(images), self._describe(out), self._masks(masks), samples, spec, described
        )

    def _optional(self, array: Any) -> Array | None:
        return None if array is None else self._describe(array)

    def _masks(self, packed: PackedMasks) -> Masks:
        return Masks(self._describe(packed.bits), self._describe(packed.before))

    def _bank(self, packed: PatchBank) -> Bank:
        parts = (packed.pixels, packed.offsets, packed.heights, packed.widths)
        return Bank(*(self._describe(part) for part in parts))

    def _table(self, table: FreshTable) -> Table:
        parts = (table.low, table.scale, table.permutation, table.offsets)
        return Table(*(self._describe(part) for part in parts))
