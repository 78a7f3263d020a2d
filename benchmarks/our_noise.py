"""Our own noise as candidates of a comparison: backend, instruction set and threads are chosen before each turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import plr_fast
from benchmarks.noise_settings import Setting
from benchmarks.rounds import Absent, Candidate

NATIVE, NUMBA = "plr_fast native", "plr_fast Numba"


def ours(
    label: str,
    setting: Setting,
    out: torch.Tensor | np.ndarray | None,
    *,
    backend: str = "native",
    threads: int = 1,
    tier: str | None = None,
    **options: Any,
) -> Candidate:
    """Return our noise at ``setting`` into ``out`` (None: a new tensor each time) with further ``options``."""
    shape = (setting.batch, *setting.sizes)

    def prepare() -> None:
        plr_fast.use_backend(backend)
        plr_fast.set_num_threads(threads)
        if tier is not None:
            from plr_fast import _native  # not at the top: an installation without it is measured too

            _native.select_tier(tier)

    def call() -> torch.Tensor:
        return plr_fast.perlin_noise(shape, cells=setting.cells, octaves=setting.octaves, out=out, **options)

    return Candidate(label, call, setting.batch * setting.pixels, setting.amount(setting.batch), prepare)


def present(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Absent]]:
    """Part what this installation can run from what it cannot."""
    reasons = [hindrance(one) for one in candidates]
    found = [one for one, reason in zip(candidates, reasons, strict=True) if reason is None]
    absent = [
        Absent(one.label, f"absent: {why}") for one, why in zip(candidates, reasons, strict=True) if why is not None
    ]
    return found, absent


def hindrance(candidate: Candidate) -> str | None:
    """Return why the candidate cannot run here, or None."""
    try:
        if candidate.prepare is not None:
            candidate.prepare()
    except plr_fast.BackendUnavailableError as error:
        return str(error)
    return None
