"""The settings at which noise is measured."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


class UnsupportedError(Exception):
    """A peer cannot be measured at this setting; the message says why."""


@dataclass(frozen=True)
class Setting:
    """A batch of octave noise: persistence 0.5, lacunarity 2, every sample of its own.

    Attributes:
        batch: samples in our call; peers may make fewer.
        sizes: (H, W) of images or (D, H, W) of volumes.
        cells: lattice cells across every side in the first octave.
        octaves: number of octaves.
    """

    batch: int
    sizes: tuple[int, ...]
    cells: float
    octaves: int

    @property
    def name(self) -> str:
        octaves = f"{self.octaves} octave{'s' if self.octaves > 1 else ''}"
        return f"{self.cells:g} cells, {octaves}, {self.batch} x {'x'.join(map(str, self.sizes))}"

    @property
    def pixels(self) -> int:
        """Pixels of one sample."""
        return prod(self.sizes)

    def amount(self, samples: int) -> str:
        """Return so many samples in words."""
        sort = "image" if len(self.sizes) == 2 else "volume"
        return f"{samples} {sort}{'s' if samples > 1 else ''}"

    def frequencies(self) -> list[float]:
        """Return the cells of each octave."""
        return [self.cells * 2**octave for octave in range(self.octaves)]

    def whole_cells(self) -> list[tuple[int, ...]]:
        """Return the cells of each octave and axis, for peers that only know whole cells of whole pixels."""
        for frequency in self.frequencies():
            if any(n % frequency for n in self.sizes):
                raise UnsupportedError("not possible: needs whole cells that divide the sides")
        return [(int(frequency),) * len(self.sizes) for frequency in self.frequencies()]


IMAGES = [Setting(64, (512, 512), cells, octaves) for cells, octaves in ((4.0, 1), (4.0, 4), (4.0, 6), (64.0, 1))] + [
    Setting(64, (500, 333), 5.3, 4)
]
VOLUMES = Setting(8, (32, 256, 256), 4.0, 4)
