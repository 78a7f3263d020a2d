"""Runs tell how far they are to whoever asked to be told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from plr_fast.training import FinetuneConfig, finetune
from plr_fast.training.watch import watched


def test_every_step_is_told_and_nothing_after_the_context(finetune_config: Callable[..., FinetuneConfig]) -> None:
    told: list[tuple[str, float, int]] = []
    with watched(lambda *news: told.append(news)):
        finetune(finetune_config("first", epochs=2, batch_size=8))
    done = [share for _, share, _ in told]
    assert done == sorted(done)
    assert done[0] == 0.0
    assert done[-1] == 2.0
    assert any(0 < share < 1 for share in done)
    assert {(kind, epochs) for kind, _, epochs in told} == {("finetune", 2)}
    count = len(told)
    finetune(finetune_config("second", epochs=1))
    assert len(told) == count


def test_a_watcher_that_fails_ends_the_run(finetune_config: Callable[..., FinetuneConfig]) -> None:
    def fail(_kind: str, _done: float, _epochs: int) -> None:
        raise RuntimeError("no")

    with watched(fail), pytest.raises(RuntimeError, match="no"):
        finetune(finetune_config(epochs=1))
