"""Compare pseudo lesions with real ones, setting by setting: a table to look at and a CSV file.

`python tools/compare_lesions.py --lesions FOLDER --out table.csv` where FOLDER holds `images` and `masks` (pictures of
the same names; masks white in lesions). Pseudo lesions are pasted into the lung that real ones left free in the same
slices, or with `--lungs STORE` into the normal slices of a slice store.

The files are halved in the order of their names, as neighbours may show one patient. Distances are to the real lesions
of one half (`--half`); the row `real` is the other half, and `score` counts in its distances.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.ndimage import binary_closing, binary_dilation, binary_erosion

from plr_fast import LesionBank, gaussian_blur, local_shuffle, paste_lesions
from plr_fast.console import progress_bar
from plr_fast.data import SliceStore, lung_mask
from plr_fast.errors import DataError
from plr_fast.evaluation.likeness import (
    MEASURES,
    PATCH,
    Texture,
    likeness,
    patch_distances,
    texture,
    texture_distances,
)
from plr_fast.files import atomic_path

WINDOW, WINDOW_SHARE = 64, 0.9  # the paper's real patches; the share of lesion in them is not stated
PATCHES = 200  # of each kind, for the paper's measure
WALL = 3  # pixels beside the lung's edge that do not count
LEAST_CHANGE = 8  # grey levels: what is changed less is not seen as a lesion
PLANE = np.ones((1, 3, 3), bool)


@dataclass(frozen=True)
class Options:
    """Compare pseudo lesions with real ones by the paper's measure and by texture."""

    lesions: Path
    """Folder with `images` and `masks`."""
    out: Path
    """CSV file to write."""
    lungs: Path | None = None
    """Slice store whose normal training slices are pasted into; default: free lung of the lesions' own slices."""
    size: int = 256
    """The longer side of slices, in pixels (with --lungs: that of the store)."""
    half: Literal["first", "second"] = "first"
    """Which half of the real lesions is compared with."""
    settings: Literal["table", "search"] = "table"
    """table: the paper's, the recommended, and one change at a time; search: all combinations."""
    slices: int = 64
    """Slices of the store to paste into, at most."""
    seed: int = 0
    """Seed of noise and places."""


@dataclass(frozen=True)
class Setting:
    """How pseudo lesions are made."""

    name: str
    bank: dict[str, Any] = field(default_factory=dict)
    paste: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Slices:
    """Slices (N, S, S), where lesions may be pasted, what may count, and the real lesions if known."""

    images: np.ndarray
    free: np.ndarray
    within: np.ndarray
    lesions: np.ndarray | None = None


@dataclass(frozen=True)
class Look:
    """What a row of the table is computed from: patches (n, 32, 32) and the texture of regions."""

    patches: np.ndarray
    texture: Texture | None  # None: patches that lie in no picture


def main(options: Options) -> None:
    cases = read_cases(options.lesions, options.size if options.lungs is None else SliceStore.open(options.lungs).size)
    middle = len(cases.images) // 2
    halves = [part(cases, slice(0, middle)), part(cases, slice(middle, None))]
    target, other = halves if options.half == "first" else halves[::-1]
    names = sorted(path.name for path in (options.lesions / "images").iterdir())
    names = names[:middle] if options.half == "first" else names[middle:]
    rest = sorted({path.name for path in (options.lesions / "images").iterdir()} - set(names))
    rng = np.random.default_rng(options.seed)
    real = Look(real_patches(options.lesions, names, rng), real_texture(target))
    second = Look(real_patches(options.lesions, rest, rng), real_texture(other))
    floor = texture_distances(known(second), known(real))
    ground = target if options.lungs is None else store_slices(options.lungs, options.slices)
    chosen = list(table_settings() if options.settings == "table" else search_settings())
    rows = [row("real lesions, other half", second, real, floor)]
    with progress_bar() as progress:
        task = progress.add_task("settings", total=len(chosen), note="")
        rows += [row(name, look, real, floor) for name, look in controls(ground, real, options.seed)]
        for setting in chosen:
            rows.append(row(setting.name, look_of(setting, ground, options.seed), real, floor))
            write_csv(options.out, rows)  # what is done stays, should the rest be interrupted
            progress.advance(task)
    if options.settings == "search":
        first = len(rows) - len(chosen)
        rows = rows[:first] + sorted(rows[first:], key=lambda r: r["score"])
    write_csv(options.out, rows)
    show(rows, f"{len(target.images)} slices with real lesions, {len(ground.images)} to paste into")


def read_cases(folder: Path, size: int) -> Slices:
    """Read all pictures and masks of the folder, scaled to fit ``size``, in the order of their names."""
    paths = sorted((folder / "images").glob("*.png")) if (folder / "images").is_dir() else []
    if len(paths) < 4:
        raise DataError(f"{folder / 'images'} holds {len(paths)} PNG files: at least four are needed for two halves")
    images = np.zeros((len(paths), size, size), np.uint8)
    lesions, lungs = np.zeros(images.shape, bool), np.zeros(images.shape, bool)
    for i, path in enumerate(paths):
        picture = read_grey(path)
        scale = size / max(picture.shape)
        height, width = (max(16, round(side * scale)) for side in picture.shape)
        grey = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
        mask = Image.fromarray(read_grey(folder / "masks" / path.name)).resize((width, height), Image.Resampling.BOX)
        images[i, :height, :width] = grey
        lesions[i, :height, :width] = np.asarray(mask) >= 128
        lungs[i, :height, :width] = lung_mask(grey)
    lungs = binary_closing(lungs | lesions, PLANE)
    return Slices(images, lungs & ~binary_dilation(lesions, PLANE, iterations=WALL), inner(lungs), lesions)


def store_slices(path: Path, count: int) -> Slices:
    """Normal training slices of a store, spread over it."""
    store = SliceStore.open(path)
    chosen = store.select("train", 0)
    chosen = chosen[store.mask_ok[chosen]]
    if not len(chosen):
        raise DataError(f"{path} has no normal training slices with a plausible lung mask")
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, count).round().astype(int))]
    lungs = np.array(store.masks[chosen]).astype(bool)
    return Slices(np.array(store.slices[chosen]), lungs, inner(lungs))


def part(slices: Slices, which: slice) -> Slices:
    return Slices(*(getattr(slices, name)[which] for name in ("images", "free", "within", "lesions")))


def inner(lungs: np.ndarray) -> np.ndarray:
    return binary_erosion(lungs, PLANE, iterations=WALL)


def read_grey(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


def real_texture(slices: Slices) -> Texture:
    assert slices.lesions is not None
    return texture(slices.images, slices.lesions, slices.within)


def real_patches(folder: Path, names: list[str], rng: np.random.Generator) -> np.ndarray:
    """Squares of 64 pixels that are lesion for the most part, at the pictures' own size, made 32 pixels wide."""
    found = []
    for name in names:
        picture, mask = read_grey(folder / "images" / name), read_grey(folder / "masks" / name) >= 128
        tops, lefts = (range(0, side - WINDOW + 1, WINDOW // 4) for side in picture.shape)
        for top, left in itertools.product(tops, lefts):
            box = slice(top, top + WINDOW), slice(left, left + WINDOW)
            if mask[box].mean() > WINDOW_SHARE:
                found.append(resized(picture[box]))
    if not found:
        raise DataError(f"no lesion in {folder} fills {WINDOW_SHARE:.0%} of a square of {WINDOW} pixels")
    return some(np.stack(found), rng)


def resized(patch: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(patch).resize((PATCH, PATCH), Image.Resampling.BILINEAR))


def some(patches: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    chosen = rng.permutation(len(patches))[:PATCHES]
    patches = patches[np.sort(chosen)]
    return patches[patches.any(axis=(1, 2))]


def crops(images: np.ndarray, within: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Squares of 32 pixels around random pixels of the lungs."""
    half = PATCH // 2
    found = np.argwhere(within[:, half:-half, half:-half])
    found = found[rng.permutation(len(found))[:PATCHES]]
    return some(np.stack([images[i, y : y + PATCH, x : x + PATCH] for i, y, x in found]), rng)


def controls(ground: Slices, real: Look, seed: int) -> Iterator[tuple[str, Look]]:
    """Flat grey in place of each lesion, unaltered lung, and the paper's two other corruptions."""
    bank = LesionBank.generate(seed=seed)
    _, info = paste_lesions(ground.images, ground.free, bank, seed=seed, return_info=True, lesion_mask=True)
    marks = np.asarray(info.lesion_mask)
    level = round(float(np.average(np.arange(len(known(real).grey)) / 2, weights=known(real).grey)))
    flat = np.where(marks, np.uint8(level), ground.images)
    raw = some(np.stack([resized(patch) for patch in bank[:PATCHES]]), np.random.default_rng(seed))
    yield "patches of the paper's bank alone", Look(raw, None)
    yield (
        f"constant grey {level}",
        Look(np.full((1, PATCH, PATCH), level, np.uint8), texture(flat, marks, ground.within)),
    )
    pictures = {
        "unaltered lung": ground.images,
        "Gaussian blur (PLR-G)": gaussian_blur(ground.images),
        "local shuffle (PLR-L)": local_shuffle(ground.images, seed=seed),
    }
    for name, images in pictures.items():
        region = marks if name == "unaltered lung" else ground.free
        patches = crops(images, ground.within, np.random.default_rng(seed))
        yield name, Look(patches, texture(images, region, ground.within))


@lru_cache(maxsize=4)
def bank_of(seed: int, settings: tuple[tuple[str, Any], ...]) -> LesionBank:
    return LesionBank.generate(seed=seed, **dict(settings))


def look_of(setting: Setting, ground: Slices, seed: int) -> Look:
    """Paste, and look at what can be seen: the boxes of the lesions as they lie in the picture, and changed regions."""
    bank = bank_of(seed, tuple(setting.bank.items()))
    images, info = paste_lesions(
        ground.images, ground.free, bank, seed=seed, return_info=True, lesion_mask=True, **setting.paste
    )
    changed = np.abs(images.astype(np.int16) - ground.images) >= LEAST_CHANGE
    regions = binary_closing(changed, PLANE, iterations=2) & np.asarray(info.lesion_mask)
    boxes = [
        images[i, top : top + height, left : left + width]
        for i in range(len(images))
        for top, left, height, width in info.boxes[i, : info.counts[i]]
        if min(height, width) >= 4
    ]
    rng = np.random.default_rng(seed)
    chosen = [resized(boxes[i]) for i in rng.permutation(len(boxes))[:PATCHES]]
    return Look(some(np.stack(chosen), rng), texture(images, regions, ground.within))


def row(name: str, look: Look, real: Look, floor: dict[str, float]) -> dict[str, Any]:
    cosine, js = patch_distances(look.patches, real.patches)
    distances, score = dict.fromkeys(MEASURES, float("nan")), float("nan")
    if look.texture is not None:
        distances = texture_distances(look.texture, known(real))
        score = likeness(distances, floor)
    return {"setting": name, "cosine": cosine, "jensen_shannon": js, **distances, "score": score}


def known(look: Look) -> Texture:
    assert look.texture is not None
    return look.texture


PAPER = Setting("paper: rectangle, replace, 5..25 pixels")
BANK: dict[str, Any] = {"patch": (10, 50), "threshold": 150, "count": 1000, "images": 100, "cells": 8}
PASTE: dict[str, Any] = {"count": 12, "shape": "cloud", "blend": "add", "alpha": (0.3, 0.7)}
RECOMMENDED = Setting("recommended: cloud, add 0.3..0.7, 10..50 pixels", BANK, PASTE)


def table_settings() -> Iterator[Setting]:
    """The paper's setting, the recommended one, and changes of one thing at a time."""
    yield PAPER
    yield RECOMMENDED
    for name, paste in (
        ("rectangle", {"shape": "rectangle", "feather": 4}),
        ("ellipse", {"shape": "ellipse", "feather": 4}),
        ("replace", {"blend": "replace", "alpha": 1.0}),
        ("max", {"blend": "max", "alpha": 1.0}),
        ("alpha 0.5..1", {"blend": "alpha", "alpha": (0.5, 1.0)}),
        ("add 0.1..0.5", {"alpha": (0.1, 0.5)}),
        ("add 0.5..1", {"alpha": (0.5, 1.0)}),
        ("add 0.5", {"alpha": 0.5}),
    ):
        yield Setting(f"recommended, but {name}", BANK, {**PASTE, **paste})
    for name, bank, count in (
        ("5..25 pixels, 30 lesions", {"patch": (5, 25)}, 30),
        ("20..80 pixels, 6 lesions", {"patch": (20, 80)}, 6),
        ("4 cells", {"cells": 4}, 12),
        ("16 cells", {"cells": 16}, 12),
        ("1 octave", {"octaves": 1}, 12),
        ("6 octaves", {"octaves": 6}, 12),
        ("persistence 0.3", {"persistence": 0.3}, 12),
        ("persistence 0.7", {"persistence": 0.7}, 12),
    ):
        yield Setting(f"recommended, but {name}", {**BANK, **bank}, {**PASTE, "count": count})


def search_settings() -> Iterator[Setting]:
    """Noise x size x shape x blend."""
    noises = [
        {"cells": cells, "octaves": octaves, "persistence": persistence}
        for cells, octaves, persistence in ((4, 4, 0.5), (8, 4, 0.5), (16, 5, 0.7))
    ]
    sizes = (((5, 25), 30), ((10, 50), 12), ((20, 80), 6))
    ways: list[dict[str, Any]] = [{"blend": "replace"}]
    ways += [{"blend": "alpha", "alpha": a} for a in ((0.2, 0.6), (0.5, 1.0))]
    ways += [{"blend": "add", "alpha": a} for a in ((0.1, 0.5), (0.3, 0.7))]
    for noise, (patch, count), shape, way in itertools.product(noises, sizes, ("rectangle", "ellipse", "cloud"), ways):
        feather = 4 if way["blend"] in ("alpha", "add") else 0
        yield make(noise, patch, count, shape=shape, feather=feather, **way)


def make(noise: dict[str, Any], patch: tuple[int, int], count: int, **paste: Any) -> Setting:
    values = [*noise.values(), *patch, count, *paste.values()]
    bank = {"patch": patch, "count": 500, "images": 60, "threshold": 150, **noise}
    return Setting(" ".join(str(v) for v in values), bank, {"count": count, **paste})


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def show(rows: list[dict[str, Any]], title: str) -> None:
    table = Table(title=title)
    table.add_column("setting")
    keys = ["cosine", "jensen_shannon", *MEASURES, "score"]
    for key in keys:
        table.add_column(key.replace("_", "-"), justify="right")
    for one in rows:
        table.add_row(one["setting"], *(number(one[k], 3 if k in keys[:2] else 2) for k in keys))
    console = Console()
    # Where the output is a file, its lines may be as long as the table.
    (console if console.is_terminal else Console(width=160)).print(table)


def number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "-"


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
