"""``plr-fast demo``: the paper from beginning to end, on the built-in phantom or on your own slices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import LesionBank
from ..console import console
from ..data.prepare import PrepareConfig, prepare
from ..errors import ConfigError, DataError
from ..evaluation import EvaluateConfig, EvaluationResult, evaluate
from ..files import write_json
from ..training import FinetuneConfig, PretrainConfig, finetune, pretrain
from .options import read
from .results import print_results

# Slices come without patient ids in many public sets; neighbouring files are then kept together (see docs/data.md).
BLOCK_SIZE = 40
WIDTHS = (8, 16, 32, 64, 64)
SETTINGS = "demo.json"
OWN_STORE = "Other layouts: make a slice store with `plr-fast prepare`, which has all options, and pass it as --source."


@dataclass(frozen=True)
class DemoConfig:
    """Prepare slices, pretrain a U-Net to remove pseudo lesions, fine-tune its encoder, compare with training from
    scratch, and write a report. Interrupted, it goes on where it stopped when it is called again."""

    source: str = "phantom"
    """phantom, a slice store, or a folder with class folders 'covid' and 'normal'."""
    out: Path | None = None
    """Folder for everything the demo makes; default plr-fast-demo, or plr-fast-demo-quick."""
    quick: bool = False
    """Seconds instead of minutes: smaller and shorter, for checking an installation; the figures mean nothing."""
    fraction: float = 0.25
    """Share of the labelled training groups that the classifiers may use."""
    size: int = 96
    """Height and width of the slices in pixels (not for a slice store, which has its own)."""
    block_size: int = BLOCK_SIZE
    """For a folder without patient ids: so many neighbouring files are never parted by a split."""
    seed: int = 0
    """Seed of everything."""


@dataclass(frozen=True)
class Scale:
    """How much work the demo does."""

    patients: int
    slices: int
    size: int
    pretrain_epochs: int
    finetune_epochs: int
    bootstrap: int


FULL = Scale(patients=80, slices=8, size=96, pretrain_epochs=30, finetune_epochs=25, bootstrap=2000)
QUICK = Scale(patients=24, slices=3, size=48, pretrain_epochs=2, finetune_epochs=2, bootstrap=200)


def main(arguments: Sequence[str]) -> int:
    print_results(demo(read(DemoConfig, "demo", arguments)))
    return 0


def demo(config: DemoConfig) -> EvaluationResult:
    """Run all stages that are not finished yet; see :class:`DemoConfig`.

    Raises:
        ConfigError: a setting is out of range, or ``out`` holds a demo with other settings.
        PlrFastError: whatever a stage raises.
    """
    scale = QUICK if config.quick else replace(FULL, size=config.size)
    out = config.out or Path("plr-fast-demo-quick" if config.quick else "plr-fast-demo")
    check(config, scale, out)
    store = prepared(config, scale, out)
    # Only now: settings that did not get this far shall not stand in the way of the next try.
    write_json(out / SETTINGS, settings_of(config))
    say("2/5 pretraining: the U-Net learns to remove pseudo lesions")
    common: dict[str, Any] = {"store": store, "seed": config.seed, "widths": WIDTHS, "checkpoint_seconds": 60.0}
    run = out / "pretrain-plr-p"
    unet = pretrain(
        PretrainConfig(
            run=run,
            resume=run.exists(),
            bank=lesion_bank(config, store, out),
            epochs=scale.pretrain_epochs,
            batch_size=8,
            **common,
        )
    )
    runs = []
    for step, (name, init) in enumerate({"ri": "random", "plr-p": str(unet.run)}.items(), 3):
        how = "from random weights" if init == "random" else "from the pretrained encoder"
        say(f"{step}/5 fine-tuning {how}, with {config.fraction:.0%} of the labels")
        run = out / f"finetune-{name}"
        settings = FinetuneConfig(
            run=run,
            resume=run.exists(),
            init=init,
            fraction=config.fraction,
            epochs=scale.finetune_epochs,
            **common,
        )
        runs.append(finetune(settings).run)
    say("5/5 evaluation on the test split")
    return evaluate(
        EvaluateConfig(
            store=store, out=out / "report", classifiers=tuple(runs), restorers=(unet.run,),
            bootstrap=scale.bootstrap, seed=config.seed, title="plr_fast demo",
        )
    )  # fmt: skip


def say(text: str) -> None:
    console.print(text, style="bold", markup=False, highlight=False)


def settings_of(config: DemoConfig) -> dict[str, Any]:
    return {key: value for key, value in asdict(config).items() if key != "out"}


def check(config: DemoConfig, scale: Scale, out: Path) -> None:
    """Refuse what cannot work before anything is done, and folders that hold something else."""
    FinetuneConfig(store=out / "store", run=out, fraction=config.fraction, seed=config.seed).check()
    if not is_store(Path(config.source)):
        prepare_config(config, scale, out).validate()
    path = out / SETTINGS
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path} is damaged ({error}): delete it, or choose another --out") from None
        now = settings_of(config)
        differing = [f"{key} was {found.get(key)!r}, is {now[key]!r}" for key in now if found.get(key) != now[key]]
        if differing:
            raise ConfigError(f"{out} holds a demo with other settings ({'; '.join(differing)}): choose another --out")
    elif out.is_dir() and any(p.name != "store" and not p.name.startswith(".") for p in out.iterdir()):
        # (A demo that was killed while it prepared its slices has left nothing but these.)
        raise ConfigError(f"{out} exists and holds no demo: choose another --out")
    elif out.exists() and not out.is_dir():
        raise ConfigError(f"out is a file: {out}; choose a folder")


def is_store(source: Path) -> bool:
    return (source / "store.json").is_file()


def prepare_config(config: DemoConfig, scale: Scale, out: Path) -> PrepareConfig:
    source, store = Path(config.source), out / "store"
    if config.source != "phantom":
        if source.is_file():
            raise ConfigError(f"{source} is a file. {OWN_STORE}")
        return PrepareConfig(
            source=source, out=store, size=scale.size, block_size=config.block_size, seed=config.seed
        )  # fmt: skip
    return PrepareConfig(
        source=source, out=store, size=scale.size, phantom_patients=scale.patients, phantom_slices=scale.slices,
        seed=config.seed,
    )  # fmt: skip


def prepared(config: DemoConfig, scale: Scale, out: Path) -> Path:
    """Return the slice store of the demo, made now if it is not there yet."""
    source = Path(config.source)
    if is_store(source):
        say(f"1/5 using the slice store {source}")
        return source
    settings = prepare_config(config, scale, out)
    if is_store(settings.out):
        return settings.out
    say(f"1/5 preparing slices from {config.source}")
    try:
        report = prepare(settings)
    except DataError as error:
        raise DataError(f"{error}. {OWN_STORE} For small sets --block-size may be all that is needed.") from error
    console.print(report.table())
    for line in report.lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return settings.out


def lesion_bank(config: DemoConfig, store: Path, out: Path) -> Path:
    """Return the bank of lesions, made now if it is not there; sides are scaled from the paper's 512 pixels."""
    from ..data.store import SliceStore

    path = out / "bank.npz"
    if not path.exists():
        size = SliceStore.open(store).size
        low, high = max(2, round(5 * size / 512)), max(4, round(25 * size / 512))
        LesionBank.generate(patch=(low, high), seed=config.seed).save(path)
    return path
