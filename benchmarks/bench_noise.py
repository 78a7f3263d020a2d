"""Octave noise at each setting, float32 into a reused buffer: ours against filling memory and against every peer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import plr_fast
from benchmarks import noise_peers, quoted
from benchmarks.fills import fills
from benchmarks.noise_settings import IMAGES, VOLUMES, Setting
from benchmarks.our_noise import NATIVE, NUMBA, ours, present


@pytest.mark.filterwarnings("ignore")  # peers' warnings are not ours to mend
@pytest.mark.parametrize("setting", [*IMAGES, VOLUMES], ids=lambda setting: setting.name)
def test_against_peers(compare: Any, setting: Setting) -> None:
    buffer = torch.empty(setting.batch, *setting.sizes)
    mine, missing = present([ours(NATIVE, setting, buffer), ours(NUMBA, setting, buffer, backend="numba")])
    sample = checked_sample(setting)
    others, absent = noise_peers.candidates(setting, sample)
    compare(
        f"noise, {setting.name}",
        [*fills(buffer), *mine, *others],
        unit="pixel" if len(setting.sizes) == 2 else "voxel",
        baseline=NATIVE,
        absent=[*missing, *absent],
        notes=quoted.fastnoise2_notes(setting),
    )


def checked_sample(setting: Setting) -> np.ndarray:
    """Return one sample of ours, checked against the float64 reference where that takes no time."""
    few = (1, *(min(n, 64) for n in setting.sizes))
    made = plr_fast.perlin_noise(few, cells=setting.cells, octaves=setting.octaves)
    plr_fast.use_backend("reference")
    expected = plr_fast.perlin_noise(few, cells=setting.cells, octaves=setting.octaves)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)
    plr_fast.use_backend("auto")
    samples = plr_fast.perlin_noise((1, *setting.sizes), cells=setting.cells, octaves=setting.octaves)
    return samples[0].numpy()
