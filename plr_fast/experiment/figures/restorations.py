"""Figures 8 and 10: what restorers make of corrupted normal slices, and of real positive ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...evaluation import pictures
from ...evaluation.corruptions import make_test_sets
from ...evaluation.draw import Album, draw_real, draw_restorations, file_name
from ...evaluation.figures import listing
from ...evaluation.inference import restore
from ...evaluation.restoration import Picture, RestorationTestSet, choose_slices, middle
from ...files import atomic_path
from ..before_after import BeforeAfter
from .generation import draw_generations
from .runs import ShownRuns

if TYPE_CHECKING:
    from torch import nn

    from ...data.store import SliceStore
    from ...evaluation.metrics import IntArray

_SLIDERS = 6  # restorers that get sliders: a page of many more is not read
_LEAST_SIDE = 384  # pixels: small slices are enlarged to at least this for the slider


@dataclass(frozen=True)
class _Pair:
    before: Picture
    after: Picture


def draw_slices(
    album: Album, shown: ShownRuns, *, examples: int, seed: int, about: str
) -> tuple[list[BeforeAfter], list[str]]:
    """Figures 5, 8 and 10 of one data set, the pairs for sliders, and a sentence for each thing that is absent.

    Test slices are chosen by their place in the store, corrupted with lesions that no training saw.

    Args:
        album: takes the figures.
        shown: networks and slices; at least one restorer.
        examples: how many slices of each kind.
        seed: of the corruption.
        about: ends the titles; may be empty.

    Raises:
        ConfigError: a lesion bank that a pretraining used is gone.
        CheckpointError: a network is damaged, or gives NaN.
    """
    store, runs = shown.store, list(shown.restorers.values())
    normal, positive = store.class_names
    absent: list[str] = []
    candidates = store.select("test", 0)
    negatives = choose_slices(store, candidates[store.mask_ok[candidates]], max(examples, 1))
    chosen = pictures.choose_shown(store, store.select("test", 1), len(negatives), examples)
    networks = {run.name: run.model() for run in runs}
    if len(runs) > _SLIDERS:
        absent.append(
            f"{shown.dataset.name}: sliders of {listing([run.name for run in runs[_SLIDERS:]])}, which are many"
        )
    pairs: list[BeforeAfter] = []
    if len(chosen.positions):
        test_sets, own = make_test_sets(runs, store, negatives, seed=seed)
        draw_generations(album, store, runs, test_sets, own, about)
        pairs += _corrupted(album, store, networks, test_sets, own, chosen.positions, about)
    else:
        absent.append(f"{shown.dataset.name}: figures 5 and 8, as no {normal} test slice has a usable lung mask")
    if len(chosen.real):
        context = max(int(run.setting("context", 0)) for run in runs)
        pairs += _real(album, store, networks, chosen.real, context, about)
    else:
        absent.append(f"{shown.dataset.name}: figure 10, as no {positive} test slice has a usable lung mask")
    return pairs, absent


def _corrupted(
    album: Album,
    store: SliceStore,
    networks: Mapping[str, nn.Module],
    test_sets: Sequence[RestorationTestSet],
    own: Mapping[str, str],
    positions: IntArray,
    about: str,
) -> list[BeforeAfter]:
    """Figure 8 from the slices at ``positions`` of the test sets, and its sliders."""
    normal, pairs = store.class_names[0], []
    corrupted = {one.name: pictures.corrupted_examples(one, positions) for one in test_sets}
    restored = {
        name: (own[name], restore(network, corrupted[own[name]][0], name=name)) for name, network in networks.items()
    }
    by_name: Mapping[str, RestorationTestSet] = {one.name: one for one in test_sets}
    rows = pictures.restored_rows(store, by_name, positions, corrupted, restored)
    draw_restorations(album, rows, about=about)
    identity = store.ids[test_sets[0].indices[positions[0]]]
    for name, (kind, results) in list(restored.items())[:_SLIDERS]:
        spoiled, original = middle(corrupted[kind][0])[0], corrupted[kind][1][0]
        error, before = (float(((one - original) ** 2).mean()) for one in (results[0], spoiled))
        change = f"The mean squared error to the {normal} slice is {before:.4f} before and {error:.4f} after."
        pairs.append(
            _pair(
                album.folder,
                f"restored-{name}-{about}",
                _Pair(spoiled, results[0]),
                title=_titled(f"{name}: a corrupted {normal} slice restored", about),
                labels=("corrupted", "restored"),
                alt=f"{normal.capitalize()} test slice {identity}, corrupted as {name} was trained to mend, and "
                f"as {name} restores it. {change}",
                caption=f"{change} (Figure 8 of the paper.)",
            )
        )
    return pairs


def _real(
    album: Album, store: SliceStore, networks: Mapping[str, nn.Module], chosen: IntArray, context: int, about: str
) -> list[BeforeAfter]:
    """Figure 10 from the slices ``chosen`` of the store, and its sliders."""
    positive, pairs = store.class_names[1], []
    stacks = pictures.real_stacks(store, chosen, context)
    answers = {name: restore(network, stacks, name=name) for name, network in networks.items()}
    draw_real(album, pictures.real_examples(store, chosen, answers), positive, about=about)
    image = pictures.real_slices(store, chosen[:1])[0]
    mask = np.asarray(store.masks[chosen[0]]).astype(bool)
    for name, answer in list(answers.items())[:_SLIDERS]:
        inside, outside = (float((answer[0] - image)[region].mean()) for region in (mask, ~mask))
        change = (
            f"On average the lungs changed by {_signed(inside)} and the rest by {_signed(outside)} of the grey range."
        )
        pairs.append(
            _pair(
                album.folder,
                f"real-{name}-{about}",
                _Pair(image, answer[0]),
                title=_titled(f"{name}: a real {positive} slice restored", about),
                labels=(f"real {positive}", "restored"),
                alt=f"{positive} test slice {store.ids[chosen[0]]}, and what {name} makes of it. {change}",
                caption=f"{change} Nobody knows how this lung looked without disease. (Figure 10 of the paper.)",
            )
        )
    return pairs


def _pair(
    folder: Path, name: str, pictured: _Pair, *, title: str, labels: tuple[str, str], alt: str, caption: str
) -> BeforeAfter:
    files = [f"figures/{file_name(name)}-{place}.png" for place in ("before", "after")]
    for file, picture in zip(files, (pictured.before, pictured.after), strict=True):
        write_picture(folder / file, picture)
    before, after = files
    return BeforeAfter(before, after, title, labels[0], labels[1], alt, caption)


def write_picture(path: Path, picture: Picture) -> None:
    """Write a slice, float32 (S, S) in [0, 1], as 8-bit grey PNG; small ones enlarged by whole pixels.

    Raises:
        StorageError: it cannot be written.
    """
    from PIL import Image

    times = -(-_LEAST_SIDE // max(picture.shape))
    grey = np.rint(picture.clip(0, 1) * 255).astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)
    with atomic_path(path) as temporary:
        Image.fromarray(grey).save(temporary, format="PNG", optimize=True)


def _titled(title: str, about: str) -> str:
    return f"{title} ({about})" if about else title


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
