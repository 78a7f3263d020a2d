"""How well near duplicates are found, and what memory and grey levels alone score: the figures of ``docs/data.md``.

    python -m benchmarks.near_duplicates DATA [--store STORE]

DATA holds ``ct/``, ``lung/`` and ``xray/`` (see CONTRIBUTING.md), STORE is SARS-CoV-2 CT prepared in blocks of 40.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from plr_fast.data.duplicates import near_duplicates, thumbnails
from plr_fast.data.splits import compute_splits
from plr_fast.data.store import SliceStore
from plr_fast.experiment.engine.grey_forest import grey_forest_scores
from plr_fast.experiment.engine.nearest_slice import nearest_slice_scores

SIZE, COPIES = 224, 300
BICUBIC = Image.Resampling.BICUBIC
Picture = npt.NDArray[np.uint8]
Alter = Callable[[Picture, np.random.Generator], Picture]


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def pictures(pattern: str, root: Path) -> list[Picture]:
    files = sorted(root.glob(pattern))
    return [np.asarray(Image.open(file).convert("L").resize((SIZE, SIZE), BICUBIC)) for file in files]


def grey(values: npt.NDArray[np.float64]) -> Picture:
    return np.clip(values, 0, 255).astype(np.uint8)


def resized(picture: Picture, random: np.random.Generator) -> Picture:
    size = int(SIZE * random.choice([0.5, 0.75, 1.5]))
    return np.asarray(Image.fromarray(picture).resize((size, size), BICUBIC).resize((SIZE, SIZE), BICUBIC))


def compressed(picture: Picture, random: np.random.Generator) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=int(random.integers(40, 81)))
    return np.asarray(Image.open(stream))


def cropped(share: float) -> Alter:
    def alter(picture: Picture, random: np.random.Generator) -> Picture:
        left, top, right, bottom = random.uniform(0, share, 4) * SIZE
        box = (left, top, SIZE - right, SIZE - bottom)
        return np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), BICUBIC, box=box))

    return alter


def shifted(pixels: int) -> Alter:
    def alter(picture: Picture, random: np.random.Generator) -> Picture:
        y, x = pixels + random.choice([-pixels, pixels], 2)
        return np.pad(picture, pixels, mode="edge")[y : y + SIZE, x : x + SIZE]

    return alter


ALTERATIONS: dict[str, Alter] = {
    "size x 0.5 to 1.5": resized,
    "JPEG 40 to 80": compressed,
    "contrast x 0.8 to 1.2, brightness by 20": lambda p, r: grey(p * r.uniform(0.8, 1.2) + r.uniform(-20, 20)),
    "gamma 0.75 to 1.33": lambda p, r: grey(255 * (p / 255) ** r.uniform(0.75, 1.33)),
    "noise of 5 grey levels": lambda p, r: grey(p + r.normal(0, 5, p.shape)),
    "shift by 1 pixel": shifted(1),
    "shift by 2 pixels": shifted(2),
    "edges cropped by up to 2 %": cropped(0.02),
    "edges cropped by up to 5 %": cropped(0.05),
}


def recall(name: str, slices: list[Picture]) -> None:
    random = np.random.default_rng(0)
    chosen = [slices[row] for row in random.choice(len(slices), COPIES, replace=False)]
    for how, alter in ALTERATIONS.items():
        found = near_duplicates(thumbnails([*chosen, *(alter(picture, random) for picture in chosen)]))
        hits = int(np.sum(found.pairs[:, 1] - found.pairs[:, 0] == COPIES))
        tell(f"{name}: {how}: {hits / COPIES:.1%}")


def false_alarms(sets: dict[str, list[Picture]], *, alone: tuple[str, ...], across: tuple[str, ...]) -> None:
    for name in alone:
        count = len(sets[name])
        found = near_duplicates(thumbnails(sets[name]), likeness=0.8)
        told = f"{np.sum(found.likeness >= 0.97)} found, most alike {found.likeness.max(initial=0):.2f}"
        tell(f"within {name}: {count * (count - 1) // 2:,} pairs, {told}")
    counts = [len(sets[name]) for name in across]
    kind = np.repeat(np.arange(len(across)), counts)
    found = near_duplicates(thumbnails(chain.from_iterable(sets[name] for name in across)), alike=kind, likeness=0.8)
    pairs = (sum(counts) ** 2 - sum(count**2 for count in counts)) // 2
    told = f"{np.sum(found.likeness >= 0.97)} found, most alike {found.likeness.max(initial=0):.2f}"
    tell(f"between {', '.join(across)}: {pairs:,} pairs, {told}")


def controls(store: SliceStore) -> None:
    labels, rows = store.labels, np.arange(len(store))
    # Contiguous fifths of each class, in the order of the file numbers, which the ids hold.
    fifths = np.empty(len(store), np.int64)
    for label in (0, 1):
        members = rows[labels == label][np.argsort(store.ids[labels == label])]
        fifths[members] = np.arange(len(members)) * 5 // len(members)
    shares = {"val_fraction": 0.0, "test_fraction": 0.2, "seed": 0}
    blocks = [np.array(compute_splits(labels, store.groups.tolist(), **shares, fold=k)) == "test" for k in range(5)]
    random = StratifiedKFold(5, shuffle=True, random_state=0).split(labels, labels)
    ways = {
        "random slices": [test for _, test in random],
        "contiguous fifths": [np.flatnonzero(fifths == k) for k in range(5)],
        "groups of the store": [np.flatnonzero(held_out) for held_out in blocks],
    }
    for way, folds in ways.items():
        for name, score in (("nearest slice", nearest_slice_scores), ("grey forest", grey_forest_scores)):
            found = [
                np.mean((score(store, np.setdiff1d(rows, test), test, 0) >= 0.5) == labels[test]) for test in folds
            ]
            tell(f"{way}: {name}: accuracy {np.mean(found):.1%} of five folds")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.near_duplicates")
    parser.add_argument("data", type=Path)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    patterns = {
        "SARS-CoV-2 CT": "ct/sars_cov2_ct/*/*.png",
        "UCSD COVID-CT": "ct/ucsd_covid_ct/*/*.png",
        "lungs": "lung/kaggle_finding_lungs/images/*.png",
        "X-rays": "xray/*/*.png",
    }
    sets = {name: pictures(pattern, options.data) for name, pattern in patterns.items()}
    for name in ("SARS-CoV-2 CT", "UCSD COVID-CT"):
        recall(name, sets[name])
    false_alarms(sets, alone=("lungs", "X-rays"), across=("SARS-CoV-2 CT", "UCSD COVID-CT", "lungs"))
    if options.store is not None:
        controls(SliceStore.open(options.store))


if __name__ == "__main__":
    main()
