"""What the noise must reach, each target with what the run measured.

Shares of fill speed are of the fastest constant fill that Python users have. The targets are for a core with AVX-512.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.noise_settings import IMAGES, VOLUMES, Setting
from benchmarks.our_noise import NATIVE, NUMBA
from benchmarks.quoted import FASTNOISE2, fastnoise2_over_pyfastnoisesimd
from benchmarks.results import Group, Results

SHARE_OF_FILL = dict(zip([*IMAGES, VOLUMES], (0.75, 0.40, 0.20, 0.40, 0.20, 0.08), strict=True))
OVER_FASTNOISE2 = {(4.0, 1): 3.0, (4.0, 4): 8.0, (4.0, 6): 6.0, (64.0, 1): 1.9}
TINY_MICROSECONDS = 15.0


@dataclass(frozen=True)
class Target:
    """One line: what, the bound, and what was measured (None: not in this run)."""

    what: str
    bound: float
    measured: float | None
    at_most: bool = False
    unit: str = ""

    @property
    def met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound


def targets(results: Results) -> list[Target]:
    """Return all targets; empty if the run measured no noise."""
    found = [*fill_targets(results), *numba_targets(results), *fastnoise2_targets(results), *variant_targets(results)]
    return found if any(one.measured is not None for one in found) else []


def fill_targets(results: Results) -> Iterator[Target]:
    for setting, bound in SHARE_OF_FILL.items():
        yield Target(f"share of fill, {setting.name}", bound, share(group_of(results, setting)))


def numba_targets(results: Results) -> Iterator[Target]:
    for setting in SHARE_OF_FILL:
        measured = ratio(group_of(results, setting), NUMBA, NATIVE)
        yield Target(f"Numba over native, {setting.name}", 0.25, measured)


def fastnoise2_targets(results: Results) -> Iterator[Target]:
    for setting in IMAGES:
        key = (setting.cells, setting.octaves)
        if key in FASTNOISE2:
            ahead = ratio(group_of(results, setting), NATIVE, "pyfastnoisesimd")
            measured = None if ahead is None else ahead / fastnoise2_over_pyfastnoisesimd(*key)
            yield Target(f"over FastNoise2 (estimate), {setting.name}", OVER_FASTNOISE2[key], measured)


def variant_targets(results: Results) -> Iterator[Target]:
    for prefix, label, baseline, bound in (
        ("formats, ", "uint8 fixed", "float32", 1.0),
        ("formats, ", "uint8 minmax", "float32", 0.5),
        ("instruction sets, ", "avx2", "avx512", 0.5),
        ("threads, ", "2 threads", "1 thread", 1.7),
        ("fresh memory, ", "without out, result dropped", "with out", 0.3),
    ):
        for name, group in results.items():
            if name.startswith(prefix):
                yield Target(f"{label} over {baseline}; {name}", bound, ratio(group, label, baseline))
    for name, group in results.items():
        if name.startswith("tiny calls, "):
            for label in ("native, out a tensor", "native, without out"):
                row = group.row(label)
                measured = None if row is None else 1e6 / row.rate
                yield Target(f"tiny call, {label}", TINY_MICROSECONDS, measured, at_most=True, unit=" µs")


def group_of(results: Results, setting: Setting) -> Group | None:
    return results.get(f"noise, {setting.name}")


def share(group: Group | None) -> float | None:
    ours = group.row(NATIVE) if group else None
    fill = group.yardstick if group else None
    return ours.over(fill) if ours and fill else None


def ratio(group: Group | None, label: str, baseline: str) -> float | None:
    above, below = (group.row(label), group.row(baseline)) if group else (None, None)
    return above.over(below) if above and below else None
