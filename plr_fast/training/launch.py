"""Around the loop: devices, the run's folder, CPU threads, and the loaders of batches."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import distributed as dist
from torch import nn

from ..backends import get_num_threads, set_num_threads
from ..backends.threads import available_cpus
from ..console import console
from ..errors import ConfigError
from ..folder_lock import leave_locks, locked
from .config import TrainConfig
from .errors import RankLostError
from .interrupt import shield_worker
from .record import check_run_folder
from .task import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch.utils.data import DataLoader

    from .batches import StepBatches

Config = TypeVar("Config", bound=TrainConfig)


def with_devices(config: Config) -> Config:
    """``config`` with the numbers of devices and machines filled in, from torchrun's or SLURM's environment if need be.

    Raises:
        ConfigError: ``config`` contradicts the environment.
    """
    started = _started_processes()
    if started is None:
        if (config.num_nodes or 1) > 1 and "MASTER_ADDR" not in os.environ:
            raise ConfigError(
                f"num_nodes={config.num_nodes} needs something that starts the processes of all machines: torchrun or "
                "SLURM (docs/scale.md has the lines), which say by themselves how many there are"
            )
        return replace(config, devices=config.devices or 1, num_nodes=config.num_nodes or 1)
    launcher, devices, nodes = started
    for name, asked, found in (("devices", config.devices, devices), ("num_nodes", config.num_nodes, nodes)):
        if asked not in (None, found):
            raise ConfigError(
                f"{name}={asked} contradicts {launcher}, which has started {devices} processes on each of {nodes} "
                f"machines; leave {name} out"
            )
    return replace(config, devices=devices, num_nodes=nodes)


def with_precision(config: Config) -> Config:
    """``config`` with precision="auto" replaced by what suits the device.

    Raises:
        ConfigError: float16 on a CPU, where Lightning would take bfloat16 instead.
    """
    cuda = config.accelerator in ("cuda", "gpu", "auto") and torch.cuda.is_available()
    if config.precision == "16-mixed" and config.accelerator in ("cpu", "auto") and not cuda:
        raise ConfigError("precision='16-mixed' needs a GPU: a CPU has no float16 training; bf16-mixed runs on both")
    if config.precision != "auto":
        return config
    # Emulated, bfloat16 is slower than float32.
    suits = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    return replace(config, precision="bf16-mixed" if suits else "32-true")


def _started_processes() -> tuple[str, int, int] | None:
    """Who has started the processes of this run, how many on each machine, and on how many machines; None: nobody."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        launcher, nodes = "torchrun", int(os.environ["GROUP_WORLD_SIZE"])
        processes = int(os.environ["WORLD_SIZE"])
    elif SLURMEnvironment.detect():
        launcher, nodes = "SLURM", int(os.environ.get("SLURM_NNODES", 1))
        processes = int(os.environ.get("SLURM_NTASKS", 1))
    else:
        return None
    if processes % nodes:
        raise ConfigError(f"{launcher} has started {processes} processes on {nodes} machines: each needs as many")
    return launcher, processes // nodes, nodes


def start_fabric(config: TrainConfig) -> Fabric:
    """Lightning Fabric on the devices that ``config`` asks for, launched.

    ``config`` must have been filled in by :func:`with_devices` and :func:`with_precision`.

    Raises:
        ConfigError: this machine cannot do that.
        RankLostError: not all processes came.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    assert config.devices is not None
    assert config.num_nodes is not None
    # Which rank has joined which group is said by each of them otherwise.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    assert config.precision != "auto"
    strategy: Any = "auto"
    if config.devices * config.num_nodes > 1:
        timeout = timedelta(seconds=config.collective_timeout)
        strategy = DDPStrategy(timeout=timeout, gradient_as_bucket_view=True)
    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            precision=config.precision,
            strategy=strategy,
        )
        fabric.launch()
    except dist.DistError as error:
        raise RankLostError(
            f"the processes of this run did not find each other: one of them ended, or did not come up "
            f"({str(error).splitlines()[0]})"
        ) from error
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"accelerator={config.accelerator!r}, devices={config.devices}, num_nodes={config.num_nodes}, "
            f"precision={config.precision!r} cannot be used here: {error}"
        ) from error
    return fabric


@contextmanager
def run_folder(config: TrainConfig, fabric: Fabric) -> Iterator[None]:
    """Check and hold the run's folder, on rank 0 for all."""
    run = Path(config.run)
    if not fabric.is_global_zero:
        fabric.barrier()
        yield
        return
    check_run_folder(config)
    with locked(run, f"another process is training in {run}; wait for it or choose another folder"):
        check_run_folder(config)
        fabric.barrier()
        yield


@contextmanager
def shared_machine(config: TrainConfig, fabric: Fabric) -> Iterator[None]:
    """Context in which the processes of one machine share its CPUs, and only the first rank writes to the terminal."""
    processes = config.devices or 1
    if processes == 1:
        yield
        return
    quiet, mine = console.quiet, get_num_threads() == available_cpus()
    console.quiet = quiet or not fabric.is_global_zero
    if mine:
        set_num_threads(max(1, available_cpus() // processes))
    try:
        yield
    finally:
        console.quiet = quiet
        if mine:
            set_num_threads(None)


@contextmanager
def torch_settings(config: TrainConfig) -> Iterator[None]:
    """Context with the run's CPU threads (None leaves them as they are) and precision of matrix products."""
    threads, matmul = torch.get_num_threads(), torch.get_float32_matmul_precision()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    if torch.cuda.is_available():
        torch.set_float32_matmul_precision(config.matmul)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if torch.cuda.is_available():
            torch.set_float32_matmul_precision(matmul)


def prepare_model(config: TrainConfig, fabric: Fabric, model: nn.Module) -> None:
    """Lay ``model`` out in memory, and have it compiled, as its device likes it.

    Raises:
        ConfigError: ``config.compile`` without a compiler.
    """
    # oneDNN convolves few channels up to 1.6 times as fast in this order, and many as fast as in the other; tensor
    # cores know no other.
    device = fabric.device
    if device.type == "cpu" or (device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if not config.compile:
        return
    if device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++", "c++"))):
        raise ConfigError("compile needs a C++ compiler on a CPU: install g++ (or set CXX), or leave compile out")
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise ConfigError("compile needs Triton on a GPU: pip install triton, or leave compile out")
    # In place, so that the names in checkpoints stay; and for each of the few batch sizes that occur by itself.
    model.compile(dynamic=False)


def _begin_worker(worker: int) -> None:
    shield_worker(worker)
    leave_locks()


def make_loader(
    config: TrainConfig, fabric: Fabric, dataset: Any, *, training: bool
) -> tuple[DataLoader[Batch], StepBatches]:
    """The loader of ``dataset``'s batches for this rank, and the sampler that tells it epoch and start."""
    from torch.utils.data import DataLoader

    from ..data.datasets import collate
    from .batches import StepBatches

    sampler = StepBatches(
        len(dataset),
        seed=config.seed,
        shuffle=training,
        batch_size=config.batch_size,
        accumulate=config.accumulate if training else 1,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
    # What lies on a GPU is fetched where training runs, and cannot be pinned.
    on_gpu = getattr(dataset, "device", "cpu") != "cpu"
    workers = 0 if on_gpu else config.num_workers
    # Not wrapped by fabric.setup_dataloaders: the wrapper calls the sampler's set_epoch with a count of its own,
    # which would undo a start in the middle of an epoch. A generator of its own: the global one is the caller's.
    loader: DataLoader[Batch] = DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=_begin_worker,
        persistent_workers=workers > 0,
        pin_memory=fabric.device.type == "cuda" and not on_gpu,
        generator=torch.Generator(),
    )
    return loader, sampler
