"""The training loop that pretraining and fine-tuning share, on Lightning Fabric.

The order at the end of an epoch makes a kill harmless at any moment: best checkpoint, metrics, then the last
checkpoint, which alone says that the epoch is done.
"""

from __future__ import annotations

import faulthandler
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..files import write_json
from .average import Average
from .batches import Step
from .checkpoint import find_checkpoint
from .config import RunResult, TrainConfig
from .display import Display
from .errors import TrainingInterrupted
from .interrupt import InterruptGuard
from .launch import (
    make_loader,
    prepare_model,
    run_folder,
    shared_machine,
    start_fabric,
    torch_settings,
    with_devices,
    with_precision,
)
from .logs import EventLog, write_metrics
from .optimizers import make_optimizer
from .ranks import Ranks, end_together
from .record import SUMMARY_FILE, check_same_run, other_split, write_record
from .schedules import make_schedule
from .state import Keeper, State
from .stored import require_files
from .sync_norm import share_norms
from .task import Batch, Task, has_batch_norm

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
        RankLostError: another process of a run on many devices ended or does not answer.
        DivergenceError: the loss became NaN or infinite; the last good checkpoint is kept.
        StorageError: the disk is full or not writable; the last good checkpoint is kept.
        TrainingInterrupted: Ctrl-C or SIGTERM; the state is saved.
    """
    config.check()
    if not faulthandler.is_enabled():
        with suppress(OSError, ValueError):  # no terminal, no file
            faulthandler.enable()
    config = with_precision(with_devices(config))
    with torch_settings(config):
        fabric = start_fabric(config)
        with (
            shared_machine(config, fabric),
            end_together(fabric, Path(config.run), config.collective_timeout),
            run_folder(config, fabric),
        ):
            task, facts = build()
            try:
                return Engine(fabric, task, config, facts).run()
            except RuntimeError as error:
                # torch reports a worker's death by a signal (SIGBUS) wherever the main thread is just then.
                if "DataLoader worker" in str(error):
                    for dataset in (task.train_data, task.val_data):
                        require_files(dataset)
                raise


class Engine:
    """One run of :func:`train`."""

    def __init__(self, fabric: Fabric, task: Task, config: TrainConfig, facts: Mapping[str, Any]) -> None:
        self.fabric, self.task, self.config, self.facts = fabric, task, config, facts
        self.run_path = Path(config.run)
        self.first = fabric.is_global_zero
        self.ranks = Ranks(fabric)
        self.train_loader, self.train_batches = make_loader(config, fabric, task.train_data, training=True)
        self.val_loader, self.val_batches = make_loader(config, fabric, task.val_data, training=False)
        self.epoch_samples = len(task.train_data)
        self.norms = share_norms(task.model) if config.sync_norm and fabric.world_size > 1 else []
        prepare_model(config, fabric, task.model)
        optimizer = make_optimizer(config, task.model)
        self.model, self.optimizer = fabric.setup(task.model, optimizer)
        self.scheduler = make_schedule(config, optimizer, task.plateau[1])
        self.average = Average(task.model, config.ema) if config.ema else None
        self.keeper = Keeper(self.run_path, fabric, task.model, optimizer, self.scheduler, self.average)
        self.state = State()
        self.pending: list[tuple[Tensor, int]] = []
        self.saved_at: tuple[int, int] | None = None
        self.saved_time = self.clock = time.monotonic()
        self.data_seconds = self.data_share = 0.0
        self.display = Display(task.kind, self.run_path, epochs=config.epochs, enabled=config.progress and self.first)
        self.guard = InterruptGuard(self.display.signal, merge=3.0 if fabric.world_size > 1 else 0.0)

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
                self._interrupt(self.guard.received)
            return result

    def _begin(self) -> None:
        config, state = self.config, self.state
        found = find_checkpoint(self.keeper.last) is not None
        self.ranks.require_same(self.run_path, self.facts, checkpoint=found)
        if found:
            check_same_run(config, self.task.kind, self.facts)
            self.state = state = self.keeper.restore()
            self.saved_at = (state.epoch, state.samples)
            if not self.first:
                state.loss_sum = 0.0  # rank 0 carries the sum of all
            self.display.resumed(state.epoch, state.step)
            if not config.sync_norm and has_batch_norm(self.task.model) and (split := other_split(config)):
                self.display.other_split(split)
        elif config.resume:
            self.display.nothing_to_resume()
        else:
            self.display.started(
                samples=len(self.task.train_data),
                validation=len(self.task.val_data),
                device=self.ranks.describe(),
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
        state, config, batches = self.state, self.config, self.train_batches
        if state.samples >= self.epoch_samples or state.step == config.max_steps:
            return
        bar = self.display.training_bar(
            state.epoch + 1,
            total=math.ceil(self.epoch_samples / batches.step_size),
            completed=math.ceil(state.samples / batches.step_size),
        )
        self.model.train()
        batches.set_epoch(state.epoch, state.samples)
        self.data_seconds, started = 0.0, time.monotonic()
        fetched = self._fetch(self.train_loader)
        while state.samples < self.epoch_samples and state.step != config.max_steps:
            loss = self._train_step(batches.step(state.samples), fetched)
            if state.step % config.log_every == 0:
                self._settle()
                parts = {f"train/{name}_step": float(part) for name, part in self.task.parts.items()}
                self.events.add({"train/loss_step": float(loss), **parts}, state.step)
                self.display.note(bar, f"loss {float(loss):.4g}")
            self.display.training_step(bar)
            self._after_step()
        self._obey(*self.ranks.settle())
        self._settle()
        self.ranks.share_buffers(self.task.model)
        if self.average is not None:
            self.average.take_buffers(self.task.model)
        self.data_share = self.data_seconds / max(time.monotonic() - started, 1e-9)
        self.display.remove(bar)

    def _train_step(self, step: Step, fetched: Iterator[Batch]) -> Tensor:
        """One optimiser step; returns the loss of its last micro-batch."""
        self.scheduler.begin_step((self.state.epoch + self.state.samples / self.epoch_samples) / self.config.epochs)
        world = self.fabric.world_size
        loss = torch.zeros(())
        for number, local in enumerate(step.local, start=1):
            batch = next(fetched)
            for norm in self.norms:
                norm.idle = not local
            # Only the last backward pass of a step averages the gradients over the ranks.
            skip = world > 1 and number < len(step.local)
            with self.fabric.no_backward_sync(self.model, enabled=skip) if skip else nullcontext():
                loss = self.task.loss(self.model, batch, self.state.epoch)
                self.pending.append((loss.detach(), local))
                # On a CPU reading the loss is free, and the weights stay good; a GPU would have to be waited for.
                if self.fabric.device.type == "cpu":
                    self._settle()
                # Every sample of the step counts alike, wherever it is; ranks average their gradients.
                share = local * world / step.size
                self.fabric.backward(loss if share == 1.0 else loss * share)
        if self.config.clip_norm:
            # Where float16's scaled gradients overflow, the optimiser leaves the step out by itself.
            self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.state.samples += step.size
        self.state.step += 1
        if self.average is not None:
            self.average.update(self.task.model, self.state.step)
        return loss.detach()

    def _after_step(self) -> None:
        config = self.config
        due = bool(config.checkpoint_seconds) and time.monotonic() - self.saved_time >= config.checkpoint_seconds
        stop, due = self.ranks.vote(self.guard.received or 0, due)
        self._obey(stop, due or bool(config.checkpoint_every and self.state.step % config.checkpoint_every == 0))

    def _obey(self, stop: int, due: bool) -> None:
        """Save if it is time or a signal asks all to stop; then stop."""
        if stop or due:
            self._save_last()
        if stop:
            self._interrupt(stop)

    @torch.no_grad()
    def _validate(self) -> dict[str, float | None]:
        meter, batches = self.task.meter(), self.val_batches
        model = self.task.model if self.average is None else self.average.model
        bar = self.display.bar("validation", total=math.ceil(batches.length / batches.step_size))
        self.model.eval()
        batches.set_epoch(0)
        fetched = self._fetch(self.val_loader)
        for position in range(0, batches.length, batches.step_size):
            (local,) = batches.step(position).local
            batch = next(fetched)
            if local:
                # Not through the wrapper for many devices, which exchanges buffers: another rank may have no batch now.
                with self.fabric.autocast():
                    meter.update(model, batch)
            self.display.advance(bar)
            self._obey(self.ranks.vote(self.guard.received or 0, False)[0], False)
        self._obey(*self.ranks.settle())
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
            "train_loss": self.ranks.sum(self.state.loss_sum) / state.samples,
            **values,
            "seconds": round(self._tick(), 3),
            "data_share": round(self.data_share, 5),  # of the training time (since a resumption)
        }
        self.scheduler.end_epoch(row[self.task.plateau[0]])
        score = [float(value) for value in self.task.score(row)]
        state.history.append(row)
        state.epoch += 1
        state.samples, state.loss_sum = 0, 0.0
        if not state.best_score or score > state.best_score:
            state.best_epoch, state.best_score = state.epoch, score
            self.keeper.save_best(state, row)
        due = bool(self.config.checkpoint_epochs) and state.epoch % self.config.checkpoint_epochs == 0
        if self.first:
            if due:
                write_metrics(self.run_path / "metrics.csv", state.history)
            values = {name: value for name, value in row.items() if name not in ("epoch", "step")}
            self.events.add(values, state.step, prefix="epoch/")
            self.events.flush()
        if due:
            self._save_last()
        self.display.epoch(row, best=state.best_epoch)

    def _finish(self, reason: str) -> RunResult:
        state = self.state
        self._save_last()
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
        return RunResult(self.run_path, self.keeper.best, state.epoch, value, state.seconds, self.ranks.rank)

    def _save_last(self) -> None:
        """Save the state, unless this very state is saved already."""
        self._settle()
        state = self.state
        if self.saved_at != (state.epoch, state.samples):
            self._tick()
            self.keeper.save_last(state, self.ranks.sum(self.state.loss_sum))
            self.saved_at = (state.epoch, state.samples)
        self.saved_time = time.monotonic()

    def _interrupt(self, signal: int) -> None:
        if self.first:
            self.display.saved_for_resume()
        raise TrainingInterrupted(self.run_path, signal)

    def _fetch(self, loader: DataLoader[Batch]) -> Iterator[Batch]:
        batches = iter(loader)
        try:
            while True:
                asked = time.monotonic()
                require_files(loader.dataset)
                batch = next(batches, None)
                self.data_seconds += time.monotonic() - asked
                if batch is None:
                    return
                yield self.fabric.to_device(batch)
        except RuntimeError as error:
            # Whoever sent us a signal may have ended the workers; the state is that of the last step.
            alone = self.fabric.world_size == 1
            if not alone or self.guard.received is None or "DataLoader worker" not in str(error):
                raise
            self._save_last()
            self._interrupt(self.guard.received)

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

    def _tick(self) -> float:
        """Bring the run's wall time up to date."""
        now = time.monotonic()
        self.state.seconds += now - self.clock
        self.clock = now
        return self.state.seconds
