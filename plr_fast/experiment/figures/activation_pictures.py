"""Figure 9 of an experiment: the maps of its pretrained encoders and fine-tuned classifiers on its own test slices."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch

from ...evaluation.draw import Album
from ...evaluation.figures import listing
from ...evaluation.pictures import choose_shown, real_slices
from ...evaluation.trained import TrainedRun
from ...models import Encoder, Pyramid
from .activations import ActivationMap, activation_figure, activation_maps, lung_focus
from .runs import ShownRuns


def draw_activations(album: Album, shown: ShownRuns, *, examples: int, about: str) -> list[str]:
    """One figure for each of ``examples`` positive test slices; returns a sentence for what is absent.

    Pretrained encoders come first, with random weights of the same shape beside them as a control; then the classifiers
    at the largest share of labels that has any.

    Raises:
        CheckpointError: a network is damaged or gives NaN.
        DataError: a network takes neighbouring slices and the store holds no volumes.
    """
    store = shown.store
    positive = store.class_names[1]
    indices = choose_shown(store, store.select("test", 1), 0, examples).real
    if not len(indices):
        return [f"{shown.dataset.name}: figure 9, as no {positive} test slice has a usable lung mask"]
    kinds: list[tuple[str, dict[str, Pyramid]]] = []
    if shown.encoders:
        encoders = {name: _encoder(run) for name, run in shown.encoders.items()}
        first = next(iter(encoders.values()))
        control = {"random weights": _random_twin(first)} if isinstance(first, Encoder) else {}
        kinds.append(("Pretrained encoders", {**encoders, **control}))
    if shown.classifiers:
        most = max(shown.classifiers)
        tuned = {name: _encoder(run) for name, run in shown.classifiers[most].items()}
        kinds.append((f"Classifiers, fine-tuned with {100 * most:g} % of the labels", tuned))
    maps = [(heading, activation_maps(encoders, store, indices)) for heading, encoders in kinds]
    for place, index in enumerate(indices):
        image = real_slices(store, indices[place : place + 1])[0]
        mask = np.asarray(store.masks[index]).astype(bool)
        groups = [
            (heading, [ActivationMap(name, one[place], lung_focus(one[place], mask)) for name, one in found.items()])
            for heading, found in maps
        ]
        told = "; ".join(
            f"{heading}: {', '.join(f'{one.name} {one.focus:.2f}' for one in members)}" for heading, members in groups
        )
        side = -(-store.size // 8)
        album.add(
            f"fig09-activation-{place + 1}-{about}",
            activation_figure(image, mask, groups),
            section="pictures",
            title="Activation of the eighth convolution (the paper's figure 9)"
            + (f": {about}" if about else "")
            + (f", slice {place + 1} of {len(indices)}" if len(indices) > 1 else ""),
            caption=f"Real {positive} slice {store.ids[index]}. Colour: mean over channels behind the ReLU, as a share "
            f"of each map's own greatest value; the maps have {side}×{side} pixels and were enlarged. Below in grey "
            "the map alone, and the lungs' outline. “lungs × 1.5”: half as much again inside the lungs as outside. "
            "Random weights show what the slice's own brightness does; a map must differ from theirs to tell of "
            "learning. A map shows where a layer is active, not why, nor what decided.",
            alt=f"Activation maps over a real {positive} slice. Mean activation inside the lungs over that outside: "
            f"{told}. Methods: {listing([name for _, found in maps for name in found])}.",
        )
    return []


def _encoder(run: TrainedRun) -> Pyramid:
    return cast(Pyramid, run.model().encoder)


def _random_twin(encoder: Encoder) -> Encoder:
    """An encoder of the same shape with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Encoder(encoder.in_channels, encoder.widths, encoder.norm).eval()
