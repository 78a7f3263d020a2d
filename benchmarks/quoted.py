"""Figures of others that cannot be measured from Python, quoted, and never mixed with what a run measured."""

from __future__ import annotations

from benchmarks.noise_settings import Setting

# Mpixel/s of FastNoise2 (C++, AVX-512, clang 16, position array) and of pyfastnoisesimd 0.4.2 on one machine: one core
# of an AMD EPYC (Zen 5), one thread, 512x512 float32, November 2026. Settings: (cells, octaves).
FASTNOISE2 = {(4.0, 1): (2080, 917), (4.0, 4): (470, 260), (4.0, 6): (314, 163), (64.0, 1): (2110, 914)}


def fastnoise2_over_pyfastnoisesimd(cells: float, octaves: int) -> float:
    fastest, bound = FASTNOISE2[cells, octaves]
    return fastest / bound


def fastnoise2_notes(setting: Setting) -> list[str]:
    """Return what is to be said of FastNoise2 under the table of ``setting``."""
    quoted = FASTNOISE2.get((setting.cells, setting.octaves)) if len(setting.sizes) == 2 else None
    if quoted is None:
        return ["FastNoise2: no Python package, and no figure of another machine to quote at this setting."]
    fastest, bound = quoted
    return [
        f"FastNoise2: no Python package. Quoted, not measured here: {fastest:,} Mpixel/s where pyfastnoisesimd makes "
        f"{bound:,} ({fastest / bound:.2f} times; one Zen 5 core, C++ program, AVX-512)."
    ]
