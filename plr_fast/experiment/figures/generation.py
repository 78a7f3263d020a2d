"""Figure 5: how pseudo slices were made, from the settings of the experiment's own pretrainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...evaluation.draw import Album, draw_generation
from ...evaluation.figures import styled
from ...evaluation.figures_pictures import DIFFERENCE_RANGE, Grey, difference_panel, four_in_one, grey_panel
from ...evaluation.metrics import BoolArray
from ...evaluation.pictures import corrupted_examples, has_patches, noise_and_patches
from ...evaluation.restoration import Picture, RestorationTestSet, middle
from ...evaluation.sheets import Bar, Row, build
from ...ops import perlin_noise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...data.store import SliceStore
    from ...evaluation.trained import TrainedRun

_NOISE = ("cells", "octaves", "persistence", "lacunarity")


def draw_generations(
    album: Album,
    store: SliceStore,
    runs: Sequence[TrainedRun],
    test_sets: Sequence[RestorationTestSet],
    own: Mapping[str, str],
    about: str,
) -> None:
    """One figure for each kind of pseudo lesion among the pretrainings ``runs``; none for blur and shuffling.

    Args:
        album: takes the figures.
        store: whose slices the test sets are of.
        runs: pretrainings, named by their methods.
        test_sets, own: what :func:`~plr_fast.evaluation.corruptions.make_test_sets` made of ``runs``.
        about: ends the titles, for example the name of the data set; may be empty.
    """
    for test_set in test_sets:
        of = [run for run in runs if own[run.name] == test_set.name]
        if not of or of[0].setting("corruption", "perlin") != "perlin":
            continue
        corrupted, original = corrupted_examples(test_set, np.zeros(1, np.int64))
        spoiled = middle(corrupted)[0]
        mask = np.asarray(store.masks[test_set.indices[0]]).astype(bool)
        names = ", ".join((*(run.name for run in of), *([about] if about else [])))
        if has_patches(test_set):
            noise, patches = noise_and_patches(test_set)
            draw_generation(album, noise, patches, spoiled, mask, about=names)
        else:
            _draw_clouds(album, _cloud_noise(of[0]), original[0], spoiled, mask, names)


def clouds_figure(noise: Sequence[Grey], original: Picture, corrupted: Picture, mask: BoolArray) -> Figure:
    """Figure 5 for lesions that are outlined by noise: noise, the slice, the slice with clouds, and what they changed.

    Args:
        noise: four uint8 (H, W) noise images of one size.
        original, corrupted: float32 (S, S) in [0, 1].
        mask: lungs, bool (S, S).
    """
    titles = ("(a) Perlin noise", "(b) normal slice", "(c) pseudo lesions", "(d) pseudo − normal")
    panels = [
        grey_panel(four_in_one(noise)),
        grey_panel(original),
        grey_panel(corrupted, mask),
        difference_panel(corrupted - original, mask),
    ]
    with styled():
        return build([Row(panels, 4, titles), Bar("darkened   ←   what the clouds changed   →   brightened")])


def _cloud_noise(run: TrainedRun) -> list[Grey]:
    settings = {name: run.setting(name) for name in _NOISE if run.setting(name) is not None}
    noise = perlin_noise((4, 256, 256), dtype="uint8", grey="minmax", seed=int(run.setting("seed", 0)), **settings)
    return list(noise.numpy())


def _draw_clouds(
    album: Album, noise: Sequence[Grey], original: Picture, corrupted: Picture, mask: BoolArray, names: str
) -> None:
    album.add(
        f"fig05-pseudo-lesions-{names}",
        clouds_figure(noise, original, corrupted, mask),
        section="pictures",
        title=f"How a pseudo COVID-19 slice is made (as the paper's figure 5, with clouds): {names}",
        caption="(a) Perlin octave noise as it outlines and fills the clouds; (b) a normal slice of the test set; (c) "
        "the same with clouds blended into its lungs, outlined; (d) what that changed, from "
        f"−{DIFFERENCE_RANGE:g} to {DIFFERENCE_RANGE:g} of the full grey range.",
        alt="Four panels: four cloudy noise images, a chest CT slice, the slice with soft cloudy lesions in its lungs, "
        f"and a map of the change, which lies inside the lungs. At its strongest the grey changes by "
        f"{float(np.abs(corrupted - original).max()):.2f} of the full range.",
    )
