"""Options that make training faster or steadier do what they say, and are resumed bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from plr_fast.errors import CheckpointError, ConfigError
from plr_fast.training import FinetuneConfig, PretrainConfig, finetune, load_classifier, load_unet, pretrain
from plr_fast.training.average import Average
from plr_fast.training.checkpoint import load_checkpoint
from plr_fast.training.engine import Engine

from .conftest import assert_same_run
from .test_resume import stop_and_resume

MakePretrain = Callable[..., PretrainConfig]
MakeFinetune = Callable[..., FinetuneConfig]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoints/last").model


def test_accumulated_batches_are_one_large_batch(pretrain_config: MakePretrain) -> None:
    # 14 samples in steps of 6 by micro-batches of 2: the last step has one of them instead of three.
    changes: dict[str, Any] = {"norm": "none", "optimizer": "sgd", "lr": 0.05, "epochs": 2}
    large = pretrain_config("large", batch_size=6, **changes)
    small = pretrain_config("small", batch_size=2, accumulate=3, **changes)
    pretrain(large)
    pretrain(small)
    for name, tensor in weights(large.run).items():
        torch.testing.assert_close(weights(small.run)[name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    rows = [load_checkpoint(run / "checkpoints/last").state["progress"]["history"] for run in (large.run, small.run)]
    assert [row["step"] for row in rows[1]] == [row["step"] for row in rows[0]] == [3, 6]
    assert rows[1][-1]["train_loss"] == pytest.approx(rows[0][-1]["train_loss"], rel=1e-5)


def test_clipping_bounds_the_step_and_leaves_small_ones_alone(pretrain_config: MakePretrain) -> None:
    changes: dict[str, Any] = {"norm": "none", "optimizer": "sgd", "lr": 0.5, "max_steps": 1}
    free, bound, wide = (pretrain_config(str(clip), clip_norm=clip, **changes) for clip in (0.0, 1e-3, 1e6))
    start = pretrain_config("start", **{**changes, "lr": 1e-30})
    for config in (free, bound, wide, start):
        pretrain(config)

    def moved(config: PretrainConfig) -> float:
        before, after = weights(start.run), weights(config.run)
        return float(torch.cat([(after[name] - before[name]).double().flatten() for name in before]).norm())

    assert moved(bound) == pytest.approx(0.5e-3, rel=1e-3)
    assert moved(free) > 10 * moved(bound)
    assert all(torch.equal(tensor, weights(wide.run)[name]) for name, tensor in weights(free.run).items())


def test_the_average_is_what_the_formula_says_and_what_is_validated(
    pretrain_config: MakePretrain, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = pretrain_config(ema=0.5, epochs=2)
    seen: list[dict[str, torch.Tensor]] = []
    update = Average.update

    def watched(self: Average, model: nn.Module, step: int) -> None:
        if step == 1:
            seen.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})
        update(self, model, step)
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})

    monkeypatch.setattr(Average, "update", watched)
    pretrain(config)
    assert len(seen) == 1 + 8
    last = load_checkpoint(config.run / "checkpoints/last")
    assert last.average is not None
    for name, _ in load_unet(config.run).named_parameters():
        expected = seen[0][name].double()
        for step, now in enumerate(seen[1:], start=1):
            keep = min(0.5, (1 + step) / (10 + step))
            expected = keep * expected + (1 - keep) * now[name].double()
        torch.testing.assert_close(last.average[name].double(), expected, rtol=1e-5, atol=1e-6, msg=name)
    assert any(not torch.equal(last.average[name], tensor) for name, tensor in last.model.items())
    best = load_checkpoint(config.run / "checkpoints/best")
    assert best.state["row"]["epoch"] == 2
    assert all(torch.equal(tensor, last.average[name]) for name, tensor in best.model.items())


@pytest.mark.parametrize(
    "changes",
    [{"ema": 0.9, "clip_norm": 0.1}, {"precision": "bf16-mixed"}, {"accumulate": 2, "batch_size": 2, "ema": 0.9}],
    ids=str,
)
def test_stopped_and_resumed_with_the_same_bits(
    pretrain_config: MakePretrain, uninterrupted: Callable[..., Path], changes: dict[str, Any]
) -> None:
    from plr_fast.training.pretraining import PretrainTask

    stopped = pretrain_config("stopped", **changes)
    stop_and_resume(stopped, PretrainTask, "loss", 6)
    straight = uninterrupted("pretrain", **changes)
    assert_same_run(straight, stopped.run)
    for which in ("last", "best"):
        ours, theirs = (load_checkpoint(run / "checkpoints" / which) for run in (stopped.run, straight))
        for left, right in ((ours.average, theirs.average), (ours.model, theirs.model)):
            assert (left is None) == (right is None)
            assert all(torch.equal(tensor, (right or {})[name]) for name, tensor in (left or {}).items())
    assert (load_checkpoint(stopped.run / "checkpoints/last").average is not None) == ("ema" in changes)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
def test_a_compiled_network_keeps_its_names_and_its_bits(
    pretrain_config: MakePretrain, finetune_config: MakeFinetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the backend that compiles nothing: the real one takes minutes, and rounds otherwise."""
    compiled: list[str] = []
    original = nn.Module.compile

    def eager(self: nn.Module, **options: Any) -> None:
        compiled.append(type(self).__name__)
        original(self, backend="eager", **options)

    monkeypatch.setattr(nn.Module, "compile", eager)
    plain, fast = pretrain_config("plain", epochs=1), pretrain_config("fast", epochs=1, compile=True, ema=0.9)
    pretrain(plain)
    pretrain(fast)
    assert compiled == ["UNet"]
    assert weights(fast.run).keys() == weights(plain.run).keys()
    assert all(torch.equal(tensor, weights(fast.run)[name]) for name, tensor in weights(plain.run).items())
    load_unet(fast.run)
    pretrain(replace(fast, epochs=2, resume=True))
    tuned = finetune_config(epochs=1, compile=True, init=str(fast.run))
    finetune(tuned)
    assert compiled[-1] == "Classifier"
    load_classifier(tuned.run)
    torch._dynamo.reset()


def test_compile_without_a_compiler_is_refused(pretrain_config: MakePretrain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(ConfigError, match="install g"):
        pretrain(pretrain_config(compile=True))


def test_precision_suits_the_device_and_is_written_down(pretrain_config: MakePretrain) -> None:
    config = pretrain_config(epochs=1)
    pretrain(config)
    assert json.loads((config.run / "config.json").read_text())["config"]["precision"] == "32-true"
    with pytest.raises(CheckpointError, match="precision was '32-true', now 'bf16-mixed'"):
        pretrain(replace(config, epochs=2, resume=True, precision="bf16-mixed"))


def test_half_the_bits_are_used_where_asked_for(pretrain_config: MakePretrain, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: set[torch.dtype] = set()
    step = Engine._train_step

    def watched(self: Engine, *arguments: Any) -> torch.Tensor:
        hook = self.task.model.encoder.conv3.register_forward_hook(lambda *given: kinds.add(given[-1].dtype))  # type: ignore[union-attr, operator]
        try:
            return step(self, *arguments)
        finally:
            hook.remove()

    monkeypatch.setattr(Engine, "_train_step", watched)
    config = pretrain_config(epochs=1, precision="bf16-mixed")
    pretrain(config)
    assert kinds == {torch.bfloat16}
    assert {tensor.dtype for tensor in weights(config.run).values()} == {torch.float32, torch.int64}


def test_options_that_change_the_weights_must_stay(pretrain_config: MakePretrain) -> None:
    config = pretrain_config(epochs=1)
    pretrain(config)
    with pytest.raises(CheckpointError, match=r"clip_norm was 0\.0, now 1\.0; ema was 0\.0, now 0\.9; matmul was"):
        pretrain(replace(config, epochs=2, resume=True, clip_norm=1.0, ema=0.9, matmul="high"))


def test_a_run_of_a_version_without_these_options_is_resumed(pretrain_config: MakePretrain) -> None:
    config = pretrain_config(epochs=1)
    pretrain(config)
    path = config.run / "config.json"
    record = json.loads(path.read_text())
    for name in ("accumulate", "clip_norm", "ema", "compile", "matmul", "sync_norm", "collective_timeout"):
        del record["config"][name]
    path.write_text(json.dumps(record))
    assert pretrain(replace(config, epochs=2, resume=True)).epochs == 2


def test_float16_is_not_trained_on_a_cpu(pretrain_config: MakePretrain) -> None:
    with pytest.raises(ConfigError, match="precision='16-mixed' needs a GPU"):
        pretrain(pretrain_config(precision="16-mixed", accelerator="cpu"))


def test_another_split_of_a_step_is_noted(pretrain_config: MakePretrain, capsys: pytest.CaptureFixture[str]) -> None:
    config = pretrain_config(epochs=1, batch_size=4, norm="batch", progress=True)
    pretrain(config)
    again = replace(config, epochs=2, resume=True)
    pretrain(again)
    assert "a step was split" not in capsys.readouterr().err
    pretrain(replace(again, epochs=3, batch_size=2, accumulate=2))
    said = " ".join(capsys.readouterr().err.split())
    assert "until now a step was split into devices 1, num_nodes 1, batch_size 4, accumulate 1" in said
    starts = json.loads((config.run / "config.json").read_text())["starts"]
    assert [(start["batch_size"], start["accumulate"]) for start in starts] == [(4, 1), (4, 1), (2, 2)]
