"""``plr-fast demo``: the paper from beginning to end, on the built-in phantom or on your own slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import LesionBank
from ..console import console
from ..data.prepare import PrepareConfig, prepare
from ..errors import ConfigError
from ..evaluation import EvaluateConfig, EvaluationResult, evaluate
from ..files import write_json
from ..training import FinetuneConfig, PretrainConfig, finetune, pretrain
from .options import read
from .results import print_results

# Slices come without patient ids in many public sets; neighbouring files are then kept together (see docs/data.md).
BLOCK_SIZE = 40
WIDTHS = (8, 16, 32, 64, 64)


@dataclass(frozen=True)
class DemoConfig:
    """Prepare slices, pretrain a U-Net to remove pseudo lesions, fine-tune its encoder, compare with training from
    scratch, and write a report. Interrupted, it goes on where it stopped when it is called again."""

    source: str = "phantom"
    """phantom, a slice store, or a folder with class folders 'covid' and 'normal'."""
    out: Path = Path("plr-fast-demo")
    """Folder for everything the demo makes."""
    quick: bool = False
    """Seconds instead of minutes: smaller and shorter, for checking an installation; the figures mean nothing."""
    fraction: float = 0.25
    """Share of the labelled training groups that the classifiers may use."""
    size: int = 96
    """Height and width of the slices in pixels (not for a slice store, which has its own)."""
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
    config = read(DemoConfig, "demo", arguments)
    result = demo(config)
    print_results(result)
    return 0


def demo(config: DemoConfig) -> EvaluationResult:
    """Run all stages that are not finished yet; see :class:`DemoConfig`.

    Raises:
        ConfigError: ``out`` holds a demo with other settings.
        PlrFastError: whatever a stage raises.
    """
    scale = QUICK if config.quick else replace(FULL, size=config.size)
    check_settings(config)
    store = prepared(config, scale)
    say("2/5 pretraining: the U-Net learns to remove pseudo lesions")
    common: dict[str, Any] = {"store": store, "seed": config.seed, "widths": WIDTHS, "checkpoint_seconds": 60.0}
    run = config.out / "pretrain-plr-p"
    unet = pretrain(
        PretrainConfig(
            run=run,
            resume=run.exists(),
            bank=lesion_bank(config, store),
            epochs=scale.pretrain_epochs,
            batch_size=8,
            **common,
        )
    )
    runs = []
    for step, (name, init) in enumerate({"ri": "random", "plr-p": str(unet.run)}.items(), 3):
        how = "from random weights" if init == "random" else "from the pretrained encoder"
        say(f"{step}/5 fine-tuning {how}, with {config.fraction:.0%} of the labels")
        run = config.out / f"finetune-{name}"
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
            store=store, out=config.out / "report", classifiers=tuple(runs), restorers=(unet.run,),
            bootstrap=scale.bootstrap, seed=config.seed, title="plr_fast demo",
        )
    )  # fmt: skip


def say(text: str) -> None:
    console.print(text, style="bold", markup=False, highlight=False)


def check_settings(config: DemoConfig) -> None:
    """Write the settings to ``out``, or refuse to mix them with those of an earlier demo there."""
    import json

    settings = {key: value for key, value in asdict(config).items() if key != "out"}
    path = config.out / "demo.json"
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        differing = [
            f"{key} was {found.get(key)!r}, is {value!r}" for key, value in settings.items() if found.get(key) != value
        ]
        if differing:
            raise ConfigError(
                f"{config.out} holds a demo with other settings ({'; '.join(differing)}): choose another --out"
            )
        return
    if config.out.exists() and any(config.out.iterdir()):
        raise ConfigError(f"{config.out} exists and holds no demo: choose another --out")
    write_json(path, settings)


def prepared(config: DemoConfig, scale: Scale) -> Path:
    """Return the slice store of the demo, made now if it is not there yet."""
    source = Path(config.source)
    if (source / "store.json").is_file():
        say(f"1/5 using the slice store {source}")
        return source
    store = config.out / "store"
    if (store / "store.json").is_file():
        return store
    say(f"1/5 preparing slices from {config.source}")
    if config.source == "phantom":
        settings = PrepareConfig(
            source=source, out=store, size=scale.size, phantom_patients=scale.patients, phantom_slices=scale.slices,
            seed=config.seed,
        )  # fmt: skip
    else:
        settings = PrepareConfig(source=source, out=store, size=scale.size, block_size=BLOCK_SIZE, seed=config.seed)
    report = prepare(settings)
    console.print(report.table())
    for line in report.lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return store


def lesion_bank(config: DemoConfig, store: Path) -> Path:
    """Return the bank of lesions, made now if it is not there; sides are scaled from the paper's 512 pixels."""
    from ..data.store import SliceStore

    path = config.out / "bank.npz"
    if not path.exists():
        size = SliceStore.open(store).size
        low, high = max(2, round(5 * size / 512)), max(4, round(25 * size / 512))
        LesionBank.generate(patch=(low, high), seed=config.seed).save(path)
    return path
