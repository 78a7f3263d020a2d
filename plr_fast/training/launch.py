"""Around the loop: devices, the run's folder, CPU threads, and the loaders of batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import ConfigError
from .config import TrainConfig
from .interrupt import shield_worker
from .record import check_run_folder, locked
from .task import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch.utils.data import DataLoader

    from ..data.sampling import EpochSampler


def start_fabric(config: TrainConfig) -> Fabric:
    """Lightning Fabric on the devices that ``config`` asks for, launched.

    Raises:
        ConfigError: this machine cannot do that.
    """
    from lightning_fabric import Fabric

    try:
        fabric = Fabric(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            precision=config.precision,
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"accelerator={config.accelerator!r}, devices={config.devices}, num_nodes={config.num_nodes}, "
            f"precision={config.precision!r} cannot be used here: {error}"
        ) from error
    fabric.launch()
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
    with locked(run):
        check_run_folder(config)
        fabric.barrier()
        yield


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Context with that many CPU threads in torch; None leaves them as they are."""
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_loader(
    config: TrainConfig, fabric: Fabric, dataset: Any, *, shuffle: bool
) -> tuple[DataLoader[Batch], EpochSampler]:
    """The loader of ``dataset``'s batches for this rank, and the sampler that tells it epoch and start."""
    from torch.utils.data import DataLoader

    from ..data.datasets import collate
    from ..data.sampling import EpochSampler

    sampler = EpochSampler(
        len(dataset), seed=config.seed, shuffle=shuffle, rank=fabric.global_rank, world_size=fabric.world_size
    )
    # Not wrapped by fabric.setup_dataloaders: the wrapper calls the sampler's set_epoch with a count of its own,
    # which would undo a start in the middle of an epoch. A generator of its own: the global one is the caller's.
    loader: DataLoader[Batch] = DataLoader(
        dataset,
        batch_size=config.batch_size,
        sampler=sampler,
        collate_fn=collate,
        num_workers=config.num_workers,
        worker_init_fn=shield_worker,
        persistent_workers=config.num_workers > 0,
        pin_memory=fabric.device.type == "cuda",
        generator=torch.Generator(),
    )
    return loader, sampler
