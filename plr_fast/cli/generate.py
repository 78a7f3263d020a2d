"""``plr-fast generate``: noise, lesion patches or pseudo-lesion pictures as files to look at or to use elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from .. import __version__
from ..console import progress_bar
from ..errors import ConfigError
from ..files import require_space, write_json
from ..ops import LesionBank, gaussian_blur, local_shuffle, paste_lesions, perlin_noise
from .options import read
from .pictures import Grey, contact_sheet, write_png

SHEET_PICTURES = 16
_CHUNK = 16


@dataclass(frozen=True)
class NoiseSettings:
    """Settings of Perlin octave noise."""

    cells: float = 4
    """Lattice cells across the picture in the first octave."""
    octaves: int = 4
    """Number of octaves."""
    persistence: float = 0.5
    """Amplitude of each octave relative to the one before."""
    lacunarity: float = 2
    """Cells of each octave relative to the one before."""


@dataclass(frozen=True)
class GenerateNoise:
    """Write noise pictures (8-bit PNG)."""

    out: Path
    """Folder to write to."""
    noise: NoiseSettings
    """Settings of the noise."""
    count: int = 16
    """Number of pictures."""
    size: int = 512
    """Height and width in pixels."""
    tileable: bool = False
    """Make opposite edges meet."""
    grey: Literal["fixed", "minmax"] = "minmax"
    """fixed: -1..1 to black..white; minmax: each picture's own extremes."""
    seed: int = 0
    """Seed."""


@dataclass(frozen=True)
class GeneratePatches:
    """Write a bank of lesion patches (.npz, for pretrain --bank) and a picture of its first patches."""

    out: Path
    """Folder to write to."""
    noise: NoiseSettings
    """Settings of the noise."""
    count: int = 5000
    """Number of patches."""
    images: int = 500
    """Noise images that they are cut from."""
    size: int = 512
    """Height and width of those in pixels."""
    threshold: int = 180
    """Keep patches whose mean grey is above this."""
    patch: tuple[int, int] = (5, 25)
    """Smallest and largest side of a patch in pixels."""
    seed: int = 0
    """Seed."""


@dataclass(frozen=True)
class GenerateLesions:
    """Write pseudo-lesion pictures (8-bit PNG) and the originals beside them, from a slice store or the phantom."""

    out: Path
    """Folder to write to."""
    store: Path | None = None
    """Slice store; default: normal slices of the built-in phantom."""
    split: Literal["train", "val", "test"] = "train"
    """Which normal slices of the store to use."""
    count: int = 16
    """Number of pictures."""
    corruption: Literal["perlin", "gaussian", "shuffle"] = "perlin"
    """Pseudo lesions (PLR-P), Gaussian blur (PLR-G) or local pixel shuffling (PLR-L)."""
    lesions: tuple[int, int] = (30, 30)
    """Fewest and most lesions in a picture."""
    blend: Literal["replace", "max", "alpha", "add"] = "replace"
    """How a lesion joins the lung."""
    alpha: tuple[float, float] = (1.0, 1.0)
    """Lowest and highest opacity for alpha and add."""
    feather: int = 0
    """Width in pixels of soft edges for alpha and add."""
    patch: tuple[int, int] = (5, 25)
    """Smallest and largest side of a lesion in pixels."""
    bank: Path | None = None
    """Lesion bank (.npz); default: one is made."""
    size: int = 256
    """Height and width of the phantom's slices."""
    seed: int = 0
    """Seed."""


Noise = Annotated[GenerateNoise, tyro.conf.subcommand("noise")]
Patches = Annotated[GeneratePatches, tyro.conf.subcommand("patches")]
Lesions = Annotated[GenerateLesions, tyro.conf.subcommand("lesions")]


def main(arguments: Sequence[str]) -> int:
    kinds: Any = Noise | Patches | Lesions
    about = "Write noise, lesion patches or pseudo-lesion pictures."
    config: GenerateNoise | GeneratePatches | GenerateLesions = read(kinds, "generate", arguments, description=about)
    for name in ("count", "size"):
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} must be at least 1, not {getattr(config, name)}")
    if isinstance(config, GenerateLesions) and not 0 <= config.lesions[0] <= config.lesions[1]:
        raise ConfigError(f"lesions must be FEWEST MOST with 0 <= FEWEST <= MOST, not {config.lesions}")
    if config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"out is a file: {config.out}; choose a folder")
    written = make(config)
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(config).items()}
    write_json(config.out / "settings.json", {"plr_fast": __version__, "what": type(config).__name__, **settings})
    sys.stdout.write(f"{config.out}: {written}\n")
    return 0


def make(config: GenerateNoise | GeneratePatches | GenerateLesions) -> str:
    if isinstance(config, GenerateNoise):
        return noise(config)
    return patches(config) if isinstance(config, GeneratePatches) else lesions(config)


def noise(config: GenerateNoise) -> str:
    require_space(config.out, config.count * config.size**2, f"writing {config.count} pictures")
    rows: list[list[Grey]] = []
    with progress_bar() as progress:
        task = progress.add_task("noise", total=config.count, note="")
        for first in range(0, config.count, _CHUNK):
            ids = range(first, min(first + _CHUNK, config.count))
            pictures = perlin_noise(
                (len(ids), config.size, config.size), samples=ids, seed=config.seed, tileable=config.tileable,
                dtype="uint8", grey=config.grey, **asdict(config.noise),
            ).numpy()  # fmt: skip
            for sample, picture in zip(ids, pictures, strict=True):
                write_png(config.out / f"noise_{sample:06d}.png", picture)
                progress.advance(task)
            if first == 0:
                rows = [list(pictures[i : i + 4]) for i in range(0, min(len(pictures), SHEET_PICTURES), 4)]
    write_png(config.out / "overview.png", contact_sheet(rows))
    return f"{config.count} noise pictures and overview.png"


def patches(config: GeneratePatches) -> str:
    bank = LesionBank.generate(
        config.count, config.images, config.size, config.threshold, config.patch, seed=config.seed,
        **asdict(config.noise),
    )  # fmt: skip
    bank.save(config.out / "bank.npz")
    bank.contact_sheet(config.out / "overview.png")
    return f"bank.npz with {len(bank)} patches and overview.png"


def lesions(config: GenerateLesions) -> str:
    slices, masks, names = normal_slices(config)
    samples = np.arange(len(slices), dtype=np.int64)
    if config.corruption == "perlin":
        bank = LesionBank.generate(patch=config.patch, seed=config.seed) if config.bank is None else None
        bank = bank or LesionBank.load(str(config.bank))
        pseudo, info = paste_lesions(
            slices, masks, bank, count=config.lesions, blend=config.blend, alpha=config.alpha, feather=config.feather,
            seed=config.seed, samples=samples, return_info=True,
        )  # fmt: skip
        unchanged = int(info.empty.sum())
    else:
        corrupt = gaussian_blur if config.corruption == "gaussian" else local_shuffle
        pseudo, unchanged = corrupt(slices, seed=config.seed, samples=samples), 0
    require_space(config.out, 2 * slices.size, f"writing {len(slices)} pictures")
    with progress_bar() as progress:
        task = progress.add_task("pseudo lesions", total=len(slices), note="")
        for name, original, picture in zip(names, slices, pseudo, strict=True):
            write_png(config.out / f"{name}_original.png", original)
            write_png(config.out / f"{name}_{config.corruption}.png", picture)
            progress.advance(task)
    shown = [picture for pair in zip(slices, pseudo, strict=True) for picture in pair][:SHEET_PICTURES]
    write_png(config.out / "overview.png", contact_sheet([shown[i : i + 4] for i in range(0, len(shown), 4)]))
    note = f"; {unchanged} have no lung mask and are unchanged" if unchanged else ""
    return f"{len(slices)} pairs (original, {config.corruption}) and overview.png{note}"


def normal_slices(config: GenerateLesions) -> tuple[Grey, np.ndarray, list[str]]:
    """Return normal slices (N, S, S), their lung masks and names for files."""
    if config.store is None:
        from ..data.phantom.scans import thorax_phantom

        phantom = thorax_phantom(-(-config.count // 4), 4, config.size, positive_share=0.0, seed=config.seed)
        names = [f"phantom_{i:06d}" for i in range(config.count)]
        return phantom.slices[: config.count], phantom.masks[: config.count], names
    from ..data.store import SliceStore

    store = SliceStore.open(config.store)
    chosen = store.select(config.split, 0)[: config.count]
    if not len(chosen):
        raise ConfigError(f"{config.store} has no normal slices in its {config.split} split: choose another --split")
    return np.array(store.slices[chosen]), np.array(store.masks[chosen]), [f"slice_{i:06d}" for i in chosen]
