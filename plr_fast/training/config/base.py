"""What pretraining and fine-tuning are both asked: each field's docstring is also the command line's help."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ...errors import ConfigError

OptimizerName = Literal["sgd", "adam", "adamw", "adadelta"]
Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
Widths = tuple[int, int, int, int, int]

TIMM = "timm:"
"""What stands before the name of a timm model in ``encoder``."""


@dataclass(frozen=True)
class TrainConfig:
    """What pretraining and fine-tuning have in common."""

    store: Path
    """Slice store (a folder made by `plr-fast prepare`)."""
    run: Path
    """Folder of the run: configuration, logs, checkpoints. It must be new, unless --resume is given. With
    torchrun write --run-folder: it takes --run for an option of its own."""
    resume: bool = False
    """Go on where the run in this folder stopped (at its start if it never saved). The result is the same as without
    the stop. More epochs than before may be asked for."""
    seed: int = 0
    """Seed of the weights, the order of the samples, the pseudo lesions and the augmentation."""
    epochs: int = 50
    """Passes over the training samples. The paper does not state its number."""
    max_steps: int | None = None
    """Stop after so many optimiser steps even inside an epoch (which is then validated and counted)."""
    batch_size: int = 16
    """Samples that one device works on at once. A step takes batch_size × accumulate × devices × num_nodes of them,
    and a run can be resumed on other numbers of each with the same product."""
    optimizer: OptimizerName = "adam"
    """Update rule."""
    lr: float = 1e-3
    """Initial learning rate."""
    momentum: float = 0.0
    """Momentum of SGD. 0 is Keras' default, which the paper does not change."""
    weight_decay: float = 0.0
    """Weight decay (decoupled with adamw, else L2). The paper states none."""
    rho: float = 0.95
    """Decay of Adadelta's averages: Keras' default, as the paper was built on Keras (torch's is 0.9)."""
    eps: float = 1e-7
    """Adadelta's epsilon: Keras' default (torch's is 1e-6)."""
    schedule: Literal["plateau", "cosine"] = "plateau"
    """How the learning rate falls: plateau, the paper's, as the next settings say; cosine, a half wave from lr at the
    start to min_lr at the end of all epochs. More epochs can then not be asked for afterwards."""
    plateau_patience: int = 10
    """Reduce the learning rate after so many epochs without a better validation value. Not stated in the paper."""
    plateau_factor: float = 0.1
    """What the learning rate is multiplied by then. Not stated in the paper; 0.1 is Keras' and torch's default."""
    min_lr: float = 0.0
    """The learning rate is not reduced below this."""
    early_stop: int = 25
    """Stop after so many epochs without a better checkpoint; 0 = never. Not stated in the paper."""
    widths: Widths = (64, 128, 256, 512, 512)
    """Channels of the five levels. The paper gives none; these make the encoder's shapes those of VGG-13."""
    norm: Literal["none", "batch"] = "batch"
    """Normalisation behind each convolution. The paper mentions none; without it training stalls easily: batch norm
    alone gained as much on real CT as pretraining did."""
    encoder: str = "plr"
    """plr, the paper's ten convolutions; or timm:NAME, the feature pyramid of a timm model, e.g. timm:resnet34 (pip
    install 'plr-fast[zoo]'). Then widths mean nothing, and norm is the decoder's alone."""
    context: int = 0
    """2.5-D: so many neighbouring slices on each side come along as channels. The store must hold volumes."""
    num_workers: int = 0
    """Processes that prepare batches; 0 = the training process itself, which the compiled operations make cheap."""
    accelerator: str = "auto"
    """Device type for Lightning Fabric: auto, cpu, cuda, mps."""
    devices: int | None = None
    """Devices of each machine to train on. By default one, or as many as torchrun or SLURM has started processes; a
    number above one starts the processes itself where they have not."""
    num_nodes: int | None = None
    """Machines to train on. By default those that torchrun or SLURM has started processes on."""
    precision: Precision = "auto"
    """Number format: 32-true, or automatic mixed precision with bfloat16 or float16 (whose loss is scaled). auto is
    bf16-mixed on a GPU that has bfloat16, else 32-true."""
    threads: int | None = None
    """CPU threads for torch; left as they are by default. Another number of threads may change the last bits."""
    accumulate: int = 1
    """Batches whose gradients make one optimiser step: the step of a batch so many times as large, in the memory of
    one. Batch norm sees each batch by itself."""
    clip_norm: float = 0.0
    """Scale the gradients of a step down to this norm (2-norm over all weights) where it is larger; 0 = never."""
    ema: float = 0.0
    """Keep an exponential average of the weights with this decay (e.g. 0.999), validate it, and save it as the best
    checkpoint; 0 = none. The last checkpoint holds both."""
    compile: bool = False
    """Compile the network with torch.compile: minutes at the start for faster steps after it. Needs a C++ compiler, on
    a GPU Triton."""
    matmul: Literal["highest", "high"] = "highest"
    """Precision of float32 matrix products on a GPU, as torch.set_float32_matmul_precision has it: high allows TF32."""
    sync_norm: bool = False
    """On many devices batch norm takes its statistics over the batches of all of them; otherwise each takes its own."""
    collective_timeout: float = 1800.0
    """On many devices: seconds after which a process that does not answer counts as lost, which ends the run."""
    checkpoint_every: int = 0
    """Save the state every so many steps, too; 0 = not by steps."""
    checkpoint_epochs: int = 1
    """Save the state at the end of each so many-th epoch, and at the end of the run; 0 = at the end only, unless one of
    the other two settings says so. `metrics.csv` is written with it."""
    checkpoint_seconds: float = 300.0
    """Save the state when so many seconds have passed since the last save; 0 = not by time."""
    log_every: int = 20
    """Steps between two entries of the training loss in the TensorBoard log."""
    tensorboard: bool = True
    """Write TensorBoard events to the run's folder `logs`. `metrics.csv` is always written."""
    progress: bool = True
    """Show progress bars and a line for each epoch."""

    def check(self) -> None:
        """Refuse values that cannot work, before anything is opened.

        Raises:
            ConfigError: names the field, its value, and what would be right.
        """
        for name in ("epochs", "batch_size", "accumulate", "log_every"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in (
            "seed",
            "num_workers",
            "early_stop",
            "plateau_patience",
            "checkpoint_every",
            "context",
            "checkpoint_epochs",
        ):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        self._require("seed", self.seed < 2**63, "below 2^63")
        for name in ("max_steps", "threads", "devices", "num_nodes"):
            self._require(name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1, or left out")
        for name in ("lr", "eps", "collective_timeout"):
            self._require(name, 0.0 < getattr(self, name) < math.inf, "a positive number")
        for name in ("weight_decay", "min_lr", "checkpoint_seconds", "clip_norm"):
            self._require(name, 0.0 <= getattr(self, name) < math.inf, "at least 0")
        for name in ("momentum", "rho", "ema"):
            self._require(name, 0.0 <= getattr(self, name) < 1.0, "at least 0 and below 1")
        self._require("plateau_factor", 0.0 < self.plateau_factor < 1.0, "between 0 and 1")
        self._require("widths", len(self.widths) == 5 and min(self.widths) >= 1, "five positive numbers of channels")
        self._choice("optimizer", ("sgd", "adam", "adamw", "adadelta"))
        self._choice("norm", ("none", "batch"))
        self._choice("schedule", ("plateau", "cosine"))
        if self.schedule == "cosine":
            self._require("min_lr", self.min_lr <= self.lr, f"at most lr ({self.lr:g})")
        self._choice("precision", ("auto", "32-true", "bf16-mixed", "16-mixed"))
        self._choice("matmul", ("highest", "high"))
        self._check_encoder()
        if self.momentum and self.optimizer != "sgd":
            raise ConfigError(f"momentum={self.momentum} is for optimizer='sgd' only, not for {self.optimizer!r}")
        if Path(self.run).exists() and not Path(self.run).is_dir():
            raise ConfigError(f"run is a file: {self.run}; choose a folder")
        if Path(self.run).resolve() == Path(self.store).resolve():
            raise ConfigError(f"run is the store's own folder {self.store}; choose another folder for the run")

    def _check_encoder(self) -> None:
        if self.encoder != "plr" and not (self.encoder.startswith(TIMM) and len(self.encoder) > len(TIMM)):
            raise ConfigError(f"encoder must be 'plr' or {TIMM}NAME, e.g. {TIMM}resnet34, not {self.encoder!r}")

    def to_json(self) -> dict[str, Any]:
        """All fields, as JSON allows them."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ConfigError(f"{name} must be {wanted}, not {getattr(self, name)!r}")

    def _choice(self, name: str, allowed: tuple[Any, ...]) -> None:
        self._require(name, getattr(self, name) in allowed, f"one of {', '.join(map(str, allowed))}")

    def _range(self, name: str, low: float, high: float) -> None:
        first, last = getattr(self, name)
        self._require(name, low <= first <= last <= high, f"a range within {low:g} … {high:g}, the lower end first")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
