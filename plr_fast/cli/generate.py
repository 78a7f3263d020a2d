"""``plr-fast generate``: noise, lesion patches or pseudo-lesion pictures as files to look at or to use elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from ..console import console, progress_bar
from ..errors import ConfigError
from ..files import require_space
from ..ops import LesionBank, gaussian_blur, local_shuffle, paste_lesions, perlin_noise
from .options import read
from .output_folder import OutputFolder
from .pictures import Grey, captioned, comparison, contact_sheet, write_png

SHEET_PICTURES = 16
SHEET_ROWS = 4
_CHUNK = 16


Shape = Literal["rectangle", "ellipse", "cloud"]


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
    """Seed, 0..2^64-1."""
    overwrite: bool = False
    """Replace what an earlier generate left in the folder."""


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
    """Seed, 0..2^64-1."""
    overwrite: bool = False
    """Replace what an earlier generate left in the folder."""


@dataclass(frozen=True)
class GenerateLesions:
    """Write pseudo-lesion pictures (8-bit PNG) and the originals beside them, from a slice store or the phantom."""

    out: Path
    """Folder to write to."""
    noise: NoiseSettings
    """Settings of the noise that lesions are cut from."""
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
    shape: Shape = "rectangle"
    """Outline of a lesion; clouds are soft all over."""
    inside: Literal["centre", "patch"] = "centre"
    """What of a lesion must lie in the lung: its centre (the rest is cut off at the edge), or the whole patch."""
    patch: tuple[int, int] = (5, 25)
    """Smallest and largest side of a lesion in pixels."""
    threshold: int = 180
    """Lesions have a mean grey above this, before they are blended."""
    bank: Path | None = None
    """Lesion bank (.npz); default: one is made from noise, patch and threshold."""
    size: int = 256
    """Height and width of the phantom's slices."""
    seed: int = 0
    """Seed, 0..2^64-1."""
    overwrite: bool = False
    """Replace what an earlier generate left in the folder."""


@dataclass(frozen=True)
class GenerateSheets:
    """Write sheets to look at: noise, lesion patches, and each corruption as normal slice, pseudo slice, difference."""

    out: Path
    """Folder to write to."""
    noise: NoiseSettings
    """Settings of the noise that lesions are cut from."""
    store: Path | None = None
    """Slice store; default: normal slices of the built-in phantom."""
    split: Literal["train", "val", "test"] = "train"
    """Which normal slices of the store to use."""
    count: int = 2
    """Slices, side by side."""
    lesions: tuple[int, int] = (30, 30)
    """Fewest and most lesions in a picture."""
    alpha: tuple[float, float] = (0.5, 1.0)
    """Lowest and highest opacity in the rows that blend."""
    feather: int = 2
    """Width in pixels of soft edges in the rows that blend."""
    inside: Literal["centre", "patch"] = "centre"
    """What of a lesion must lie in the lung: its centre (the rest is cut off at the edge), or the whole patch."""
    patch: tuple[int, int] = (5, 25)
    """Smallest and largest side of a lesion in pixels."""
    threshold: int = 180
    """Lesions have a mean grey above this, before they are blended."""
    size: int = 256
    """Height and width of the phantom's slices, and of the noise."""
    seed: int = 0
    """Seed, 0..2^64-1."""
    overwrite: bool = False
    """Replace what an earlier generate left in the folder."""


Noise = Annotated[GenerateNoise, tyro.conf.subcommand("noise")]
Patches = Annotated[GeneratePatches, tyro.conf.subcommand("patches")]
Lesions = Annotated[GenerateLesions, tyro.conf.subcommand("lesions")]
Sheets = Annotated[GenerateSheets, tyro.conf.subcommand("sheets")]
Config = GenerateNoise | GeneratePatches | GenerateLesions | GenerateSheets


def main(arguments: Sequence[str]) -> int:
    kinds: Any = Noise | Patches | Lesions | Sheets
    about = "Write noise, lesion patches, pseudo-lesion pictures, or sheets of all of them."
    config: Config = read(kinds, "generate", arguments, description=about)
    for name in ("count", "size"):
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} must be at least 1, not {getattr(config, name)}")
    if isinstance(config, (GenerateLesions, GenerateSheets)) and not 0 <= config.lesions[0] <= config.lesions[1]:
        raise ConfigError(f"lesions must be FEWEST MOST with 0 <= FEWEST <= MOST, not {config.lesions}")
    if not 0 <= config.seed < 2**64:
        raise ConfigError(f"seed must lie in 0..2^64-1, not {config.seed}")
    if isinstance(config, GenerateLesions):
        refuse_idle_options(config)
    folder = OutputFolder(config.out, config.overwrite)
    try:
        written = make(config, folder)
    except BaseException:
        folder.leave_unfinished()
        raise
    folder.finish(type(config).__name__, asdict(config))
    sys.stdout.write(f"{config.out}: {written}\n")
    return 0


def refuse_idle_options(config: GenerateLesions) -> None:
    """Refuse options that change nothing beside the others: whoever gives one believes in its effect.

    Raises:
        ConfigError: names the first of them, and why.
    """
    idle: dict[str, str] = {}
    if config.blend not in ("alpha", "add"):
        idle["alpha"] = f"--blend {config.blend} knows no opacity; choose --blend alpha or add"
        if config.shape == "rectangle":
            idle["feather"] = f"--blend {config.blend} has no soft edges; choose --blend alpha or add"
    if config.shape == "cloud":
        idle["feather"] = "clouds are soft all over"
    if config.bank is not None:
        idle |= dict.fromkeys(("noise", "patch", "threshold"), f"the bank {config.bank} is made already")
    if config.corruption != "perlin":
        names = ("bank", "noise", "patch", "threshold", "lesions", "blend", "alpha", "feather", "shape", "inside")
        idle = dict.fromkeys(names, f"--corruption {config.corruption} pastes no lesions")
    if config.store is None:
        idle["split"] = "the phantom has none"
    else:
        idle["size"] = "a slice store has its own"
    for field in fields(config):
        default = NoiseSettings() if field.name == "noise" else field.default
        if field.name in idle and getattr(config, field.name) != default:
            option = "noise (--cells, --octaves, --persistence, --lacunarity)" if field.name == "noise" else field.name
            raise ConfigError(f"{option} would have no effect: {idle[field.name]}. Leave it out")


def make(config: Config, folder: OutputFolder) -> str:
    if isinstance(config, GenerateNoise):
        return noise(config, folder)
    if isinstance(config, GeneratePatches):
        return patches(config, folder)
    return sheets(config, folder) if isinstance(config, GenerateSheets) else lesions(config, folder)


def noise(config: GenerateNoise, folder: OutputFolder) -> str:
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
                write_png(folder.path(f"noise_{sample:06d}.png"), picture)
                progress.advance(task)
            if first == 0:
                rows = [list(pictures[i : i + 4]) for i in range(0, min(len(pictures), SHEET_PICTURES), 4)]
    write_png(folder.path("overview.png"), contact_sheet(rows))
    return f"{config.count} noise pictures and overview.png"


def patches(config: GeneratePatches, folder: OutputFolder) -> str:
    bank = LesionBank.generate(
        config.count, config.images, config.size, config.threshold, config.patch, seed=config.seed,
        **asdict(config.noise),
    )  # fmt: skip
    bank.save(folder.path("bank.npz"))
    bank.contact_sheet(folder.path("overview.png"))
    return f"bank.npz with {len(bank)} patches and overview.png"


def lesions(config: GenerateLesions, folder: OutputFolder) -> str:
    slices, masks, names = normal_slices(config)
    bank = None
    if config.corruption == "perlin":
        bank = bank_of(config) if config.bank is None else LesionBank.load(config.bank)
    pseudo, unchanged = corrupted(
        config.corruption, slices, masks, bank, config.seed, count=config.lesions, blend=config.blend,
        alpha=config.alpha, feather=config.feather, shape=config.shape, inside=config.inside,
    )  # fmt: skip
    require_space(config.out, 2 * slices.size, f"writing {len(slices)} pictures")
    with progress_bar() as progress:
        task = progress.add_task("pseudo lesions", total=len(slices), note="")
        for name, original, picture in zip(names, slices, pseudo, strict=True):
            write_png(folder.path(f"{name}_original.png"), original)
            write_png(folder.path(f"{name}_{config.corruption}.png"), picture)
            progress.advance(task)
    rows = [
        (name, comparison(original[None], picture[None]))
        for name, original, picture in zip(names[:SHEET_ROWS], slices, pseudo, strict=False)
    ]
    write_png(folder.path("overview.png"), captioned(rows))
    note = f"; {unchanged} have no lung mask and are unchanged" if unchanged else ""
    return f"{len(slices)} pairs (original, {config.corruption}) and overview.png{note}"


def sheets(config: GenerateSheets, folder: OutputFolder) -> str:
    slices, masks, names = normal_slices(config)
    bank = bank_of(config)
    bank.contact_sheet(folder.path("patches.png"))
    pictures = perlin_noise(
        (8, config.size, config.size), seed=config.seed, dtype="uint8", grey="minmax", **asdict(config.noise)
    ).numpy()
    write_png(folder.path("noise.png"), contact_sheet([list(pictures[:4]), list(pictures[4:])]))
    soft = {"alpha": config.alpha, "feather": config.feather}
    low, high = config.alpha
    opacity = f"opacity {low:g}" if low == high else f"opacity {low:g} to {high:g}"
    kinds: list[tuple[str, str, dict[str, Any]]] = []
    for shape in ("rectangle", "ellipse", "cloud"):
        kinds += [
            (f"perlin, {shape}, replace", "perlin", {"shape": shape}),
            (f"perlin, {shape}, alpha, {opacity}", "perlin", {"shape": shape, "blend": "alpha", **soft}),
            (f"perlin, {shape}, add, {opacity}", "perlin", {"shape": shape, "blend": "add", **soft}),
        ]
    kinds += [("gaussian: 5 x 5 blur", "gaussian", {}), ("shuffle: 10 x 10 blocks", "shuffle", {})]
    rows, unchanged = [], 0
    for caption, corruption, settings in kinds:
        pseudo, empty = corrupted(
            corruption, slices, masks, bank, config.seed, count=config.lesions, inside=config.inside, **settings
        )
        rows.append((caption, comparison(slices, pseudo)))
        unchanged = max(unchanged, empty)
    write_png(folder.path("corruptions.png"), captioned(rows))
    note = f"; {unchanged} have no lung mask, without lesions" if unchanged else ""
    return f"noise.png, patches.png and corruptions.png with {', '.join(names)}{note}"


def bank_of(config: GenerateLesions | GenerateSheets) -> LesionBank:
    return LesionBank.generate(
        patch=config.patch, threshold=config.threshold, seed=config.seed, **asdict(config.noise)
    )  # fmt: skip


def corrupted(
    corruption: str, slices: Grey, masks: np.ndarray, bank: LesionBank | None, seed: int, **settings: Any
) -> tuple[Grey, int]:
    """Return pseudo slices, and how many have no lung mask and are therefore unchanged."""
    samples = np.arange(len(slices), dtype=np.int64)
    if bank is not None and corruption == "perlin":
        pseudo, info = paste_lesions(
            slices, masks, bank, seed=seed, samples=samples, return_info=True, **settings
        )  # fmt: skip
        return pseudo, int(info.empty.sum())
    corrupt = gaussian_blur if corruption == "gaussian" else local_shuffle
    return corrupt(slices, seed=seed, samples=samples), 0


def normal_slices(config: GenerateLesions | GenerateSheets) -> tuple[Grey, np.ndarray, list[str]]:
    """Return normal slices (N, S, S), their lung masks and names for files."""
    if config.store is None:
        from ..data.phantom.scans import thorax_phantom

        phantom = thorax_phantom(-(-config.count // 4), 4, config.size, positive_share=0.0, seed=config.seed)
        names = [f"phantom_{i:06d}" for i in range(config.count)]
        return phantom.slices[: config.count], phantom.masks[: config.count], names
    from ..data.store import SliceStore

    store = SliceStore.open(config.store)
    found = store.select(config.split, 0)
    if not len(found):
        raise ConfigError(f"{config.store} has no normal slices in its {config.split} split: choose another --split")
    chosen = found[: config.count]
    if len(chosen) < config.count:
        console.print(
            f"only {len(found)} of the {config.count} slices asked for: {config.store} has no more normal ones in its "
            f"{config.split} split",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    return np.array(store.slices[chosen]), np.array(store.masks[chosen]), [f"slice_{i:06d}" for i in chosen]
