"""Which slices are shown in the report, and what the networks make of them.

Slices are chosen by their place in the store, never by how well they turned out; only the gallery of errors looks at
scores, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .figures import spread
from .figures_pictures import ErrorExample, Grey, RealExample, RestoredExample
from .metrics import FloatArray, IntArray
from .restoration import Pictures, RestorationTestSet, middle

if TYPE_CHECKING:
    from ..data.store import SliceStore
    from ..ops import LesionBank

_SHOWN_PATCHES = 49


@dataclass(frozen=True)
class Shown:
    """The slices of the report's pictures.

    Attributes:
        real: store indices of positive slices, one for each of as many groups as are wanted.
        positions: positions in the test sets of the corrupted slices that are shown.
    """

    real: IntArray
    positions: IntArray


def choose_shown(store: SliceStore, positives: IntArray, test_slices: int, examples: int) -> Shown:
    """Choose ``examples`` positive slices, spread over groups, and as many corrupted ones, spread over the test set."""
    usable = np.array(
        [index for index in positives if store.mask_ok[index] and store.masks[index].any()], dtype=np.int64
    )
    groups = store.groups[usable]
    middle = []
    for group in dict.fromkeys(groups.tolist()):
        members = usable[groups == group]
        # The slice of a patient with the most lung in it shows most of what there is to see.
        middle.append(members[int(np.argmax([int(store.masks[index].sum()) for index in members]))])
    real = np.array([middle[position] for position in spread(len(middle), examples)], dtype=np.int64)
    return Shown(real, np.array(spread(test_slices, examples), dtype=np.int64))


def corrupted_examples(test_set: RestorationTestSet, positions: IntArray) -> tuple[Pictures, Pictures]:
    """(corrupted, original) of some samples of a test set, float32 (n, C, S, S) and (n, S, S)."""
    samples = [test_set.dataset[int(position)] for position in positions]
    corrupted = np.stack([sample["image"].numpy() for sample in samples])
    original = np.stack([sample["target"][0].numpy() for sample in samples])
    return corrupted, original


def real_slices(store: SliceStore, indices: IntArray) -> Pictures:
    """Slices of the store as float32 (n, S, S) in [0, 1]."""
    return np.asarray(store.slices[indices], dtype=np.float32) / np.float32(255.0)


def real_stacks(store: SliceStore, indices: IntArray, context: int) -> Pictures:
    """Slices of the store with their neighbours, float32 (n, 2·context + 1, S, S) in [0, 1]."""
    return real_slices(store, store.neighbours(indices, context))


def real_examples(store: SliceStore, indices: IntArray, restored: Mapping[str, Pictures]) -> list[RealExample]:
    """Blocks of figure 10."""
    images = real_slices(store, indices)
    return [
        RealExample(
            label=str(store.ids[index]),
            image=images[position],
            mask=np.asarray(store.masks[index]).astype(bool),
            restored={name: pictures[position] for name, pictures in restored.items()},
        )
        for position, index in enumerate(indices)
    ]


def restored_rows(
    store: SliceStore,
    test_sets: Mapping[str, RestorationTestSet],
    positions: IntArray,
    corrupted: Mapping[str, tuple[Pictures, Pictures]],
    restored: Mapping[str, tuple[str, Pictures]],
) -> list[list[RestoredExample]]:
    """Rows of figure 8, grouped into figures: one for each slice, or one for all slices of a single restorer.

    Args:
        store, test_sets, positions: what is shown.
        corrupted: test set -> (corrupted, original), as :func:`corrupted_examples` gives them.
        restored: restorer -> (name of its test set, restored pictures).
    """
    single = len(restored) == 1
    figures: list[list[RestoredExample]] = []
    for place, position in enumerate(positions):
        rows = []
        for name, (test_set, pictures) in restored.items():
            spoiled, original = corrupted[test_set]
            identity = str(store.ids[test_sets[test_set].indices[position]])
            label = f"slice {identity}" if single else f"{name} (corruption: {test_set})"
            rows.append(RestoredExample(label, identity, original[place], middle(spoiled)[place], pictures[place]))
        if single and figures:
            figures[0].extend(rows)
        else:
            figures.append(rows)
    return figures


def surest_errors(
    store: SliceStore, indices: IntArray, labels: IntArray, scores: FloatArray, threshold: float, examples: int
) -> tuple[list[ErrorExample], list[ErrorExample]]:
    """(missed positives, false alarms) that the classifier was surest of, at most ``examples`` each, surest first."""
    called = scores >= threshold
    found: list[list[ErrorExample]] = []
    for wrong, order in (((labels == 1) & ~called, scores), ((labels == 0) & called, -scores)):
        places = np.flatnonzero(wrong)
        places = places[np.argsort(order[places], kind="stable")][:examples]
        found.append(
            [
                ErrorExample(
                    label=str(store.ids[indices[place]]),
                    image=real_slices(store, indices[place : place + 1])[0],
                    score=float(scores[place]),
                    positive=bool(labels[place]),
                )
                for place in places
            ]
        )
    return found[0], found[1]


def has_patches(test_set: RestorationTestSet) -> bool:
    """Whether its lesions are patches of a bank, which can be shown."""
    return getattr(test_set.dataset, "bank", None) is not None


def noise_and_patches(test_set: RestorationTestSet) -> tuple[list[Grey], list[Grey]]:
    """Panels (a) and (b) of figure 5: the first noise images of a Perlin test set's bank, and patches cut from all."""
    bank: LesionBank = test_set.dataset.bank  # type: ignore[attr-defined]
    return bank_noise(bank, 4), [np.asarray(bank[index]) for index in spread(len(bank), _SHOWN_PATCHES)]


def bank_noise(bank: LesionBank, count: int) -> list[Grey]:
    """The first ``count`` noise images (or all, if there are fewer) that the patches of a bank were cut from."""
    from ..ops import perlin_noise
    from ..ops.bank_settings import image_groups

    settings = bank.settings
    images: dict[int, Grey] = {}
    for noise, ids in image_groups(settings):
        members = ids[ids < count]
        made = np.empty((len(members), settings.size, settings.size), np.uint8)
        if len(members):
            perlin_noise(
                made.shape, cells=noise.cells, octaves=noise.octaves, persistence=noise.persistence,
                lacunarity=settings.lacunarity, seed=settings.seed, samples=members.tolist(), dtype="uint8",
                grey="minmax", out=made,
            )  # fmt: skip
        images |= zip(members.tolist(), made, strict=True)
    return [images[number] for number in sorted(images)]
