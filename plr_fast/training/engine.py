"""The training loop that pretraining and fine-tuning share, on Lightning Fabric.

The order at the end of an epoch makes a kill harmless at any moment: best checkpoint, metrics, then the last
checkpoint, which alone says that the epoch is done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..errors import CheckpointError, DataError
from ..files import write_json
from .checkpoint import find_checkpoint
from .config import RunResult, TrainConfig
from .display import Display
from .errors import TrainingInterrupted
from .interrupt import InterruptGuard
from .launch import make_loader, run_folder, start_fabric, torch_threads
from .logs import EventLog, write_metrics
from .optimizers import make_optimizer
from .record import SUMMARY_FILE, check_same_run, write_record
from .state import Keeper, State
from .task import Batch, Task, reduced_sums

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch.utils.data import DataLoader


def train(config: TrainConfig, build: Callable[[], tuple[Task, Mapping[str, Any]]]) -> RunResult:
    """Train in the folder ``config.run``, from the start or from its last checkpoint.

    Args:
        config: The settings.
        build: Makes the task and the facts about its data (``store_fingerprint``, counts, …) that go into the run's
            record and must be equal to resume. Called once the folder is known to be free.

    Raises:
        ConfigError: a setting is out of range, or the folder holds a run and ``config.resume`` is False.
        CheckpointError: the run cannot be resumed (damaged, or started under another configuration).
        DivergenceError: the loss became NaN or infinite; the last good checkpoint is kept.
        StorageError: the disk is full or not writable; the last good checkpoint is kept.
        TrainingInterrupted: Ctrl-C or SIGTERM; the state is saved.
    """
    config.check()
    with torch_threads(config.threads):
        fabric = start_fabric(config)
        with run_folder(config, fabric):
            task, facts = build()
            return Engine(fabric, task, config, facts).run()


class Engine:
    """One run of :func:`train`."""

    def __init__(self, fabric: Fabric, task: Task, config: TrainConfig, facts: Mapping[str, Any]) -> None:
        self.fabric, self.task, self.config, self.facts = fabric, task, config, facts
        self.run_path = Path(config.run)
        self.first = fabric.is_global_zero
        self.train_loader, self.train_sampler = make_loader(config, fabric, task.train_data, shuffle=True)
        self.val_loader, self.val_sampler = make_loader(config, fabric, task.val_data, shuffle=False)
        self.global_batch = config.batch_size * fabric.world_size
        self.epoch_samples = self._count_epoch_samples(len(task.train_data))
        if fabric.device.type == "cpu":
            # oneDNN convolves few channels up to 1.6 times as fast in this order, and many as fast as in the other.
            task.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = make_optimizer(config, task.model)
        self.model, self.optimizer = fabric.setup(task.model, optimizer)
        self.scheduler = ReduceLROnPlateau(
            optimizer,
            mode=task.plateau[1],
            factor=config.plateau_factor,
            patience=config.plateau_patience,
            min_lr=config.min_lr,
        )
        self.keeper = Keeper(self.run_path, fabric, task.model, optimizer, self.scheduler)
        self.state = State()
        self.pending: list[tuple[Tensor, int]] = []
        self.saved_at: tuple[int, int] | None = None
        self.saved_time = self.clock = time.monotonic()
        self.data_seconds = self.data_share = 0.0
        self.display = Display(task.kind, self.run_path, epochs=config.epochs, enabled=config.progress and self.first)
        self.guard = InterruptGuard(self.display.signal)

    def run(self) -> RunResult:
        with self.guard, self.display:
            self._begin()
            try:
                while (reason := self._reason_to_stop()) is None:
                    self._train_epoch()
                    self._close_epoch(self._validate())
            finally:
                self.events.close()
            result = self._finish(reason)
            if self.guard.received is not None:
                # Too late to stop this run, but whoever called it shall not go on with the next.
                self._interrupt()
            return result

    def _begin(self) -> None:
        config, state = self.config, self.state
        if find_checkpoint(self.keeper.last):
            check_same_run(config, self.task.kind, self.facts)
            self.state = state = self.keeper.restore()
            self.saved_at = (state.epoch, state.samples)
            if not self.first:
                state.loss_sum = 0.0  # rank 0 carries the sum of all
            self.display.resumed(state.epoch, state.step)
        elif config.resume:
            self.display.nothing_to_resume()
        else:
            self.display.started(
                samples=len(self.task.train_data),
                validation=len(self.task.val_data),
                device=str(self.fabric.device),
            )
        if self.first:
            write_record(config, self.task.kind, self.facts, step=state.step)
            if self._reason_to_stop() is None:
                (self.run_path / SUMMARY_FILE).unlink(missing_ok=True)
            if self.saved_at is None:
                self.keeper.require_space()
        # A first save before any work shows whether the folder can take what will be written to it.
        self._save_last()
        self.events = EventLog(self.run_path / "logs", step=state.step, enabled=config.tensorboard and self.first)

    def _reason_to_stop(self) -> str | None:
        config, state = self.config, self.state
        if state.epoch >= config.epochs:
            return "all epochs done"
        # Inside an epoch (samples > 0) its validation is still to come.
        if config.max_steps is not None and state.step >= config.max_steps and not state.samples:
            return "max_steps reached"
        if config.early_stop and state.epoch - state.best_epoch >= config.early_stop:
            return f"no better epoch among the last {config.early_stop}"
        return None

    def _train_epoch(self) -> None:
        state, config, world = self.state, self.config, self.fabric.world_size
        if state.samples >= self.epoch_samples or state.step == config.max_steps:
            return
        start, rest = divmod(state.samples, world)
        if rest:
            raise CheckpointError(
                f"{self.run_path} stopped {state.samples} samples into an epoch, which {world} devices cannot share; "
                "resume on as many devices as before"
            )
        bar = self.display.bar(
            f"epoch {state.epoch + 1}",
            total=math.ceil(self.epoch_samples / self.global_batch),
            completed=math.ceil(state.samples / self.global_batch),
        )
        self.model.train()
        self.train_sampler.set_epoch(state.epoch, start)
        self.data_seconds, started = 0.0, time.monotonic()
        for batch in self._fetch(self.train_loader):
            size = min(self.global_batch, self.epoch_samples - state.samples)
            local = len(batch["index"])
            loss = self.task.loss(self.model, batch, state.epoch)
            self.pending.append((loss.detach(), local))
            # On a CPU reading the loss is free, and the weights stay good; a GPU would have to be waited for.
            if self.fabric.device.type == "cpu":
                self._settle()
            # Ranks average their gradients: with unequal shares of the last batch each counts by its samples.
            self.fabric.backward(loss if world == 1 else loss * (local * world / size))
            self.optimizer.step()
            self.optimizer.zero_grad()
            state.samples += size
            state.step += 1
            if state.step % config.log_every == 0:
                self._settle()
                self.events.add({"train/loss_step": float(loss.detach())}, state.step)
                self.display.note(bar, f"loss {float(loss.detach()):.4g}")
            self.display.advance(bar)
            self._after_step()
            if state.samples >= self.epoch_samples or state.step == config.max_steps:
                break
        self._settle()
        self.data_share = self.data_seconds / max(time.monotonic() - started, 1e-9)
        self.display.remove(bar)

    def _after_step(self) -> None:
        config = self.config
        due = bool(config.checkpoint_seconds) and time.monotonic() - self.saved_time >= config.checkpoint_seconds
        stop, due = self._agree(self.guard.received is not None, due)
        if stop or due or (config.checkpoint_every and self.state.step % config.checkpoint_every == 0):
            self._save_last()
        if stop:
            self._interrupt()

    @torch.no_grad()
    def _validate(self) -> dict[str, float | None]:
        meter = self.task.meter()
        bar = self.display.bar("validation", total=math.ceil(len(self.task.val_data) / self.global_batch))
        self.model.eval()
        self.val_sampler.set_epoch(0)
        for batch in self._fetch(self.val_loader):
            meter.update(self.model, batch)
            self.display.advance(bar)
            # Ranks may have unequal numbers of batches here, so only a single one can decide to leave.
            if self.fabric.world_size == 1 and self.guard.received is not None:
                self._save_last()
                self._interrupt()
        values = meter.compute(self.fabric)
        self.display.remove(bar)
        for name, value in values.items():
            if value is not None and not math.isfinite(value):
                raise self.keeper.diverged(f"{name} is {value}", self.state)
        return values

    def _close_epoch(self, values: Mapping[str, float | None]) -> None:
        state = self.state
        row: dict[str, Any] = {
            "epoch": state.epoch + 1,
            "step": state.step,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": self._loss_sum() / state.samples,
            **values,
            "seconds": round(self._tick(), 3),
            "data_share": round(self.data_share, 5),  # of the training time (since a resumption)
        }
        self.scheduler.step(row[self.task.plateau[0]])
        score = [float(value) for value in self.task.score(row)]
        state.history.append(row)
        state.epoch += 1
        state.samples, state.loss_sum = 0, 0.0
        if not state.best_score or score > state.best_score:
            state.best_epoch, state.best_score = state.epoch, score
            self.keeper.save_best(state, row)
        if self.first:
            write_metrics(self.run_path / "metrics.csv", state.history)
            values = {name: value for name, value in row.items() if name not in ("epoch", "step")}
            self.events.add(values, state.step, prefix="epoch/")
            self.events.flush()
        self._save_last()
        self.display.epoch(row, best=state.best_epoch)

    def _finish(self, reason: str) -> RunResult:
        state = self.state
        best = state.history[state.best_epoch - 1]
        name = self.task.best_metric
        value = float(best[name])
        data_share = sum(row["data_share"] for row in state.history) / len(state.history)
        if self.first:
            write_metrics(self.run_path / "metrics.csv", state.history)
            summary = {
                "kind": self.task.kind,
                "stopped": reason,
                "epochs": state.epoch,
                "steps": state.step,
                "seconds": round(state.seconds, 3),
                "data_share": round(data_share, 5),
                "best_metric": {name: value},
                "best": best,
                "last": state.history[-1],
            }
            write_json(self.run_path / SUMMARY_FILE, summary)
        self.display.finished(reason, state.best_epoch, name, value, state.seconds, data_share)
        return RunResult(self.run_path, self.keeper.best, state.epoch, value, state.seconds)

    def _save_last(self) -> None:
        """Save the state, unless this very state is saved already."""
        self._settle()
        state = self.state
        if self.saved_at != (state.epoch, state.samples):
            self._tick()
            self.keeper.save_last(state, self._loss_sum())
            self.saved_at = (state.epoch, state.samples)
        self.saved_time = time.monotonic()

    def _interrupt(self) -> None:
        if self.first:
            self.display.saved_for_resume()
        raise TrainingInterrupted(self.run_path, self.guard.received or 2)

    def _fetch(self, loader: DataLoader[Batch]) -> Iterator[Batch]:
        batches = iter(loader)
        try:
            while True:
                asked = time.monotonic()
                batch = next(batches, None)
                self.data_seconds += time.monotonic() - asked
                if batch is None:
                    return
                yield self.fabric.to_device(batch)
        except RuntimeError as error:
            # A signal to the whole process group takes the workers along; the state is that of the last step.
            if self.guard.received is None or "DataLoader worker" not in str(error):
                raise
            self._save_last()
            self._interrupt()

    def _count_epoch_samples(self, total: int) -> int:
        """Samples of an epoch: all, but for a last step that would not reach every rank."""
        rest = total % self.global_batch
        count = total if rest == 0 or rest >= self.fabric.world_size else total - rest
        if count == 0:
            raise DataError(f"{total} training samples are too few for {self.fabric.world_size} devices")
        return count

    def _settle(self) -> None:
        """Read the losses of the steps since the last call and add them up, in order."""
        if not self.pending:
            return
        values = torch.stack([loss for loss, _ in self.pending]).float().cpu().tolist()
        for value, (_, samples) in zip(values, self.pending, strict=True):
            if not math.isfinite(value):
                raise self.keeper.diverged(f"the training loss is {value}", self.state)
            self.state.loss_sum += value * samples
        self.pending.clear()

    def _loss_sum(self) -> float:
        """Sum of the training loss over the samples of this epoch on all ranks."""
        if self.fabric.world_size == 1:
            return self.state.loss_sum
        mine = torch.tensor([self.state.loss_sum], dtype=torch.float64, device=self.fabric.device)
        return reduced_sums(self.fabric, mine)[0]

    def _agree(self, stop: bool, due: bool) -> tuple[bool, bool]:
        """True where any rank says so: a signal may reach one of them, and their clocks differ."""
        if self.fabric.world_size == 1:
            return stop, due
        sums = reduced_sums(self.fabric, torch.tensor([float(stop), float(due)], device=self.fabric.device))
        return sums[0] > 0, sums[1] > 0

    def _tick(self) -> float:
        """Bring the run's wall time up to date."""
        now = time.monotonic()
        self.state.seconds += now - self.clock
        self.clock = now
        return self.state.seconds
