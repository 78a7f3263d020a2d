"""Runs on several processes, started as torchrun would, from a server that has the imports done."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from plr_fast.training import FinetuneConfig, TrainConfig

context = multiprocessing.get_context("forkserver")
PRELOAD = ["lightning_fabric", "sklearn.metrics", "tyro", "plr_fast.cli.pretrain", "plr_fast.data.datasets", __name__]


class Ranks:
    """The processes of one run; what each says goes to ``logs[rank]``, what it saw to ``seen(rank)``."""

    def __init__(self, folder: Path, processes: Sequence[BaseProcess]) -> None:
        self.folder, self.processes = folder, processes

    def wait(self, seconds: float = 180.0) -> list[int | None]:
        """Exit codes, once all have ended; a test that waits longer fails."""
        deadline = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
            assert not process.is_alive(), f"a process hangs:\n{self.said()}"
        return [process.exitcode for process in self.processes]

    def said(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob("log*")))

    def seen(self, rank: int) -> dict[str, Any]:
        """``weights``: digest of the weights at the end; ``samples``: digest of each training sample by its key."""
        found: dict[str, Any] = json.loads((self.folder / f"seen{rank}.json").read_text())
        return found

    @property
    def alive(self) -> bool:
        return any(process.is_alive() for process in self.processes)


@contextmanager
def started(folder: Path, configs: Sequence[TrainConfig]) -> Iterator[Ranks]:
    """Context with one process for each of ``configs``, all of one run; ends them in the end."""
    context.set_forkserver_preload(PRELOAD)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    processes = []
    for rank, config in enumerate(configs):
        environment = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": len(configs),
            "LOCAL_WORLD_SIZE": len(configs),
            "GROUP_RANK": 0,
            "GROUP_WORLD_SIZE": 1,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "TORCHELASTIC_RUN_ID": "test",
            "OMP_NUM_THREADS": 1,
        }
        values = {name: str(value) for name, value in environment.items()}
        process = context.Process(target=_main, args=(command(config), values, folder, rank))
        process.start()
        processes.append(process)
    try:
        yield Ranks(folder, processes)
    finally:
        for process in processes:
            process.kill()
            process.join()


def command(config: TrainConfig) -> list[str]:
    """The command line that says the same as ``config``."""
    words = ["finetune" if isinstance(config, FinetuneConfig) else "pretrain"]
    for field in fields(config):
        value, option = getattr(config, field.name), field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif value is not None:
            words += [f"--{option}", *map(str, value if isinstance(value, tuple) else (value,))]
    return words


def wait_for_step(run: Path, alive: Callable[[], bool], step: int) -> None:
    """Wait until the run has saved a state at or beyond ``step``."""
    path = run / "checkpoints/last/state.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert alive(), "the run ended by itself"
        try:
            if json.loads(path.read_text())["progress"]["step"] >= step:
                return
        except (FileNotFoundError, NotADirectoryError):
            pass  # before the first save, or between two renames
        time.sleep(0.002)
    raise AssertionError(f"step {step} was not reached")


def _main(arguments: list[str], environment: dict[str, str], folder: Path, rank: int) -> None:
    os.environ.update(environment)
    log = os.open(folder / f"log{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # Those of the server's parent may be a test runner's, which wrote elsewhere.
    sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    # A process of a fork server would start its workers from another one, with the imports still to do.
    multiprocessing.set_start_method("fork", force=True)
    _watch(folder, rank)
    from plr_fast.cli.main import run

    run(arguments)


def _watch(folder: Path, rank: int) -> None:
    """Write down what this process trains on and what comes out."""
    from plr_fast.data.datasets import PseudoLesionDataset
    from plr_fast.training.engine import Engine

    samples: dict[str, str] = {}
    fetch, run = PseudoLesionDataset.__getitems__, Engine.run

    def watched_fetch(self: PseudoLesionDataset, keys: Any) -> Any:
        batch = fetch(self, keys)
        if self.seed == 0:  # the training's
            samples.update({str(key): _digest(image) for key, image in zip(keys, batch.tensors["image"], strict=True)})
        return batch

    def watched_run(self: Engine) -> Any:
        result = run(self)
        weights = "".join(_digest(tensor) for tensor in self.task.model.state_dict().values())
        (folder / f"seen{rank}.json").write_text(json.dumps({"weights": weights, "samples": samples}))
        return result

    PseudoLesionDataset.__getitems__ = watched_fetch  # type: ignore[method-assign]
    Engine.run = watched_run  # type: ignore[method-assign]


def _digest(tensor: Any) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()[:16]
