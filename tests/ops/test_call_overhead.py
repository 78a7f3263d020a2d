"""What a repeated call may skip: remembered settings, backend and threads are never the wrong ones."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch

import plr_fast
from plr_fast import perlin_noise
from plr_fast.backends import active_backend, get_backend
from plr_fast.ops import noise

# A good call, and one that Python takes for equal but that means something else.
LOOKALIKES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"shape": (1, 8, 8)}, {"shape": (True, 8, 8)}, r"shape\[0\] must be an integer, not bool"),
    ({"shape": (1, 8, 8)}, {"shape": [1, 8.0, 8]}, r"shape\[1\] must be an integer, not float"),
    ({"octaves": 1}, {"octaves": True}, "octaves must be an integer, not bool"),
    ({"octaves": 2}, {"octaves": 2.0}, "octaves must be an integer, not float"),
    ({"cells": 1}, {"cells": True}, "cells must be a number, not bool"),
    ({"cells": (1, 2)}, {"cells": (True, 2)}, "cells must be a number, not bool"),
    ({"persistence": 1.0}, {"persistence": True}, "persistence must be a number, not bool"),
    ({"lacunarity": 1.0}, {"lacunarity": np.True_}, "lacunarity must be a number, not"),
]


@pytest.mark.parametrize(("good", "bad", "message"), LOOKALIKES)
def test_lookalikes_of_remembered_settings_are_refused(good: dict[str, Any], bad: dict[str, Any], message: str) -> None:
    common: dict[str, Any] = {"shape": (1, 8, 8)}
    perlin_noise(**{**common, **good})
    with pytest.raises(TypeError, match=message) as caught:
        perlin_noise(**{**common, **bad})
    assert caught.value.__context__ is None, "the look-up that failed first is nobody's business"


def test_equal_settings_of_other_types_give_the_same() -> None:
    expected = perlin_noise((2, 9, 7), cells=4, octaves=2, seed=3)
    i, f = np.int64, np.float32
    for shape in ([2, 9, 7], torch.Size((2, 9, 7)), (i(2), i(9), i(7))):
        for cells in (4, 4.0, f(4), [4, 4.0], np.array([4, 4])):
            assert torch.equal(perlin_noise(shape, cells=cells, octaves=i(2), seed=i(3)), expected)
    assert not torch.equal(perlin_noise((2, 9, 7), cells=(4, 3), octaves=2, seed=3), expected)
    assert not torch.equal(perlin_noise((2, 9, 7), cells=4, octaves=2, seed=4), expected)


def test_negative_zero_is_zero() -> None:
    for persistence in (-0.0, 0.0):
        noise._known_plan.cache_clear()
        first = perlin_noise((1, 9, 7), persistence=persistence)
        assert torch.equal(first.view(torch.int32), perlin_noise((1, 9, 7), persistence=-persistence).view(torch.int32))


def test_settings_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    real = noise.octave_settings
    monkeypatch.setattr(noise, "octave_settings", lambda *args: checked.append(args) or real(*args))
    noise._known_plan.cache_clear()
    for cells in (4, (4, 5.5)):
        for seed in range(5):
            perlin_noise((2, 8, 8), cells=cells, seed=seed, samples=[seed, 7], out=torch.empty(2, 8, 8))
            perlin_noise([2, 8, 8], cells=cells, seed=seed)
    assert len(checked) == 2


def test_memory_of_settings_is_bounded() -> None:
    for width in range(1, 400):
        perlin_noise((1, 1, width), octaves=1)
    information = noise._known_plan.cache_info()
    assert information.currsize <= information.maxsize == 256


def test_another_backend_is_used_at_once() -> None:
    for name in ("reference", "numba", "reference"):
        plr_fast.use_backend(name)
        assert active_backend() is get_backend(name)
    plr_fast.use_backend("auto")
    assert active_backend() is not get_backend("reference")


def test_the_environment_is_read_when_the_choice_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLR_FAST_BACKEND", "reference")
    plr_fast.use_backend("auto")
    perlin_noise((1, 4, 4))
    monkeypatch.setenv("PLR_FAST_BACKEND", "fortran")
    assert active_backend() is get_backend("reference")
    assert [info.name for info in plr_fast.backends() if info.active] == ["reference"], "what is in use is told"
    plr_fast.use_backend("auto")
    with pytest.raises(ValueError, match="PLR_FAST_BACKEND: unknown backend 'fortran'"):
        perlin_noise((1, 4, 4))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a system without CPU affinity")
def test_affinity_may_change_at_any_time() -> None:
    before = os.sched_getaffinity(0)
    perlin_noise((2, 8, 8))
    try:
        os.sched_setaffinity(0, {min(before)})
        assert plr_fast.get_num_threads() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert plr_fast.get_num_threads() >= 1
