"""From shapes to grey values: densities, confounders of both classes, scanner and lung window of the thorax phantom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from plr_fast.data.phantom.anatomy import Patient, Section, cut
from plr_fast.data.phantom.fields import (
    Array,
    Grid,
    Stream,
    blend,
    capsule,
    coverage,
    ct_noise,
    ellipse,
    gaussian_field,
    stream,
)
from plr_fast.data.phantom.lesions import Disease, add_opacities
from plr_fast.data.phantom.vessels import draw, grow

_AIR = -1000.0


@dataclass(frozen=True)
class Acquisition:
    """Scanner, field of view and display of one patient."""

    half_x: float
    half_y: float
    centre: tuple[float, float]
    angle: float
    circle: bool
    """Whether the picture outside the reconstruction circle is black."""
    table: float | None
    """Distance of the table below the middle of the body, cm, or None."""
    thickness: float
    """Slice thickness, cm."""
    blur: float
    """Standard deviation of the scanner's point spread, cm."""
    noise: float
    """Standard deviation of the noise, HU."""
    cutoff: float
    low: float
    high: float
    """The lung window: HU shown as black and as white."""
    gamma: float

    @classmethod
    def draw(cls, patient: Patient) -> Acquisition:
        rng = stream(patient.seed, Stream.ACQUISITION, patient.number)
        body_x, body_y = patient.body_half
        style = rng.random()
        centre_y = 0.0
        if style < 0.18:  # the scanner's own square field
            half_x = half_y = body_x * float(rng.uniform(1.02, 1.3))
        elif style < 0.45:  # cut to the body, and stretched to a square as tools do
            half_x, half_y = body_x * float(rng.uniform(0.97, 1.06)), body_y * float(rng.uniform(1.0, 1.12))
            centre_y = 0.3
        else:  # cut tightly to the lungs, which may touch the border
            half_x = patient.cage_x * float(rng.uniform(0.985, 1.12))
            half_y = patient.cage_y * float(rng.uniform(1.03, 1.2))
            centre_y = 0.06 * patient.cage_y
        shift = 0.03 * half_x if style < 0.45 else 0.01 * half_x
        low, high = (-1000.0, 400.0) if rng.random() < 0.15 else (0.0, 0.0)
        if high == 0.0:
            middle, width = float(rng.normal(-600.0, 30.0)), float(rng.uniform(1300.0, 1600.0))
            low, high = middle - width / 2, middle + width / 2
        return cls(
            half_x=half_x,
            half_y=half_y,
            centre=(float(rng.normal(0.0, shift)), centre_y + float(rng.normal(0.0, shift))),
            angle=float(np.clip(rng.normal(0.0, 0.05), -0.15, 0.15)),
            circle=bool(style < 0.18 and rng.random() < 0.5),
            table=body_y * float(rng.uniform(1.02, 1.12)) if rng.random() < 0.75 else None,
            thickness=float(rng.choice((0.1, 0.15, 0.25, 0.5))),
            blur=float(rng.uniform(0.05, 0.12)),
            noise=float(rng.lognormal(2.75, 0.4)),
            cutoff=float(rng.uniform(2.0, 5.0)),
            low=low,
            high=high,
            gamma=float(np.exp(rng.normal(0.0, 0.05))),
        )


@dataclass(frozen=True)
class Confounders:
    """Ordinary variation of lungs and technique, drawn alike for both classes."""

    density: float
    """HU of aerated lung."""
    gravity: float
    """HU that the lung gains from front to back."""
    dependent: float
    """HU of the band of poorly aerated lung along the back."""
    dependent_depth: float
    mosaic: float
    """HU of large, smooth differences of aeration."""
    emphysema: float
    band: tuple[float, float, float, float] | None
    """A plate of collapsed lung: level, angle, offset (cm) and HU."""
    fissure: float
    contrast: float
    """HU that blood gains from contrast medium."""
    motion: float
    """Probability that a slice is blurred by breathing or by the heart."""

    @classmethod
    def draw(cls, patient: Patient) -> Confounders:
        rng = stream(patient.seed, Stream.CONFOUNDERS, patient.number)
        band = None
        if rng.random() < 0.3:
            level, angle, offset = rng.uniform(0.5, 0.9), rng.uniform(-0.4, 0.4), rng.uniform(-1.0, 4.0)
            band = (float(level), float(angle), float(offset), float(rng.uniform(150, 500)))
        return cls(
            density=float(np.clip(rng.normal(-855.0, 28.0), -920.0, -770.0)),
            gravity=float(rng.uniform(20.0, 110.0)),
            dependent=float(rng.uniform(60.0, 330.0)) if rng.random() < 0.55 else 0.0,
            dependent_depth=float(rng.uniform(0.4, 1.8)),
            mosaic=float(rng.uniform(0.0, 32.0)),
            emphysema=float(rng.uniform(30.0, 110.0)) if rng.random() < 0.15 else 0.0,
            band=band,
            fissure=float(rng.uniform(30.0, 140.0)),
            contrast=float(rng.uniform(60.0, 200.0)) if rng.random() < 0.4 else 0.0,
            motion=float(rng.choice((0.0, 0.15, 0.5), p=(0.5, 0.35, 0.15))),
        )


class Scan:
    """All that is fixed for one patient; :meth:`slice` renders one level of it."""

    def __init__(self, seed: int, number: int, size: int, positive: bool) -> None:
        self.patient = Patient.draw(seed, number)
        self.acquisition = Acquisition.draw(self.patient)
        self.confounders = Confounders.draw(self.patient)
        self.disease = Disease.draw(self.patient) if positive else None
        a = self.acquisition
        self.grid = Grid.make(size, a.half_x, a.half_y, a.centre, a.angle)
        spacing = max(0.5 * min(self.grid.step_x, self.grid.step_y), 0.03)
        self.vessels, self.bronchi = grow(self.patient, spacing)

    def slice(
        self, level: float, index: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Picture, lung mask and lesion mask, ``[S, S]`` each."""
        grid, patient = self.grid, self.patient
        section = cut(patient, level, grid)
        rng = stream(patient.seed, Stream.SLICE_FIELDS, patient.number, index)
        hu = self._tissue(section, rng)
        lung, lesion = self._lungs(section, index, rng)
        blend(hu, coverage(section.lungs, grid.step), lung)
        self._airways(section, hu)
        hu = self._scanner(section, hu, index)
        mask = section.lungs < 0
        return self._window(hu), mask, lesion

    def _tissue(self, section: Section, rng: np.random.Generator) -> Array:
        grid, edge = self.grid, self.grid.step
        hu = np.full_like(grid.x, _AIR)
        self._table(hu)
        blend(hu, coverage(section.body, edge), np.float32(20.0))
        mottle = gaussian_field(rng, grid, 0.8, 3.0)
        blend(hu, coverage(section.body + np.float32(0.2), edge), np.float32(-100.0) + 8.0 * mottle)
        blend(hu, coverage(section.fat, edge), np.float32(48.0) + 10.0 * mottle)
        # fat between the layers of muscle, as one thin and wavy seam
        seam = np.abs(section.cage - np.float32(0.55 * self.patient.wall + 0.3) - 0.25 * mottle) - np.float32(0.08)
        blend(hu, np.float32(0.7) * coverage(np.maximum(seam, section.fat), edge), np.float32(-60.0))
        blend(hu, coverage(section.cage, edge), np.float32(-85.0) + 6.0 * mottle)
        for shape, value in section.organs:
            blood = self.confounders.contrast if value > 55.0 else 0.25 * self.confounders.contrast
            blend(hu, coverage(np.maximum(shape, section.cage), edge), np.float32(value + blood))
        for shape, marrow, cortex in section.bones:
            blend(hu, coverage(shape, edge), np.float32(cortex))
            blend(hu, coverage(shape + np.float32(0.18), edge), np.float32(marrow) + 40.0 * mottle)
        return hu

    def _table(self, hu: Array) -> None:
        a, grid = self.acquisition, self.grid
        if a.table is not None:
            curve = grid.y - np.float32(a.table) + np.float32(0.006) * grid.x**2
            ends = np.abs(grid.x) - np.float32(21.0)
            for offset, value in ((0.0, -350.0), (2.2, -550.0)):
                shell = np.maximum(np.abs(curve - np.float32(offset)) - np.float32(0.16), ends)
                blend(hu, coverage(shell, grid.step), np.float32(value))
            blend(hu, coverage(np.maximum(np.abs(curve - 1.1) - np.float32(0.9), ends), grid.step), np.float32(-930.0))

    def _lungs(self, section: Section, index: int, rng: np.random.Generator) -> tuple[Array, npt.NDArray[np.bool_]]:
        """HU of the lungs' inside with vessels, and the lesion mask."""
        c, grid, patient = self.confounders, self.grid, self.patient
        _, half_y, centre_y = patient.cage_at(section.level)
        back = (grid.y - np.float32(centre_y)) / np.float32(half_y)
        depth = np.maximum(-section.lungs, np.float32(0.0))
        hu = np.float32(c.density) + np.float32(0.5 * c.gravity) * back
        hu = hu + np.float32(c.mosaic) * gaussian_field(rng, grid, 2.2, 4.0)
        hu += 16.0 * gaussian_field(rng, grid, 0.25, 2.2)
        if c.emphysema > 0.0:
            holes = np.clip(gaussian_field(rng, grid, 0.6, 4.0) - np.float32(0.9), 0.0, 1.0)
            hu -= np.float32(c.emphysema) * holes
        if c.dependent > 0.0:
            wavy = np.float32(c.dependent_depth) * np.exp(0.35 * gaussian_field(rng, grid, 2.0, 4.0))
            band = np.exp(-depth / wavy) * np.clip(np.float32(2.2) * back - np.float32(0.7), 0.0, 1.0)
            hu += np.float32(c.dependent) * band
        self._lines(section, hu, depth)
        lesion = np.zeros(hu.shape, np.bool_)
        if self.disease is not None:
            lesion = add_opacities(self.disease, patient, section.level, index, grid, section.lungs, section.side, hu)
        z, thick = section.level * patient.height, self.acquisition.thickness
        # no vessel is seen in the outermost centimetre: the last generations are below a pixel there
        fade = np.float32(0.3) + np.float32(0.7) * np.clip((depth - np.float32(0.1)) / np.float32(0.8), 0.0, 1.0)
        blood = np.float32(35.0 + c.contrast)
        blend(hu, draw(self.bronchi, grid, z, thick, wall=0.09) * fade, np.maximum(hu, np.float32(-150.0)))
        blend(hu, draw(self.bronchi, grid, z, thick) * fade, np.float32(-950.0))
        blend(hu, draw(self.vessels, grid, z, thick) * fade, np.maximum(hu, blood))
        np.clip(hu, _AIR, 300.0, out=hu)
        return hu, lesion

    def _lines(self, section: Section, hu: Array, depth: Array) -> None:
        """Fissures, and the plate of collapsed lung if the patient has one at this level."""
        c, grid, patient = self.confounders, self.grid, self.patient
        s = patient.scale
        for sign, tilt in ((-1.0, 0.28), (1.0, 0.2)):
            drop = (0.52 - section.level) * 22.0 * s
            line = grid.y + np.float32(drop) - np.float32(sign * tilt) * (grid.x - np.float32(sign * 8.0))
            near = np.where(section.side == sign, np.abs(line) - np.float32(0.05), np.float32(9.0))
            hu += np.float32(c.fissure) * coverage(near.astype(np.float32), max(grid.step, 0.2))
        if c.band is not None:
            level, angle, offset, value = c.band
            if abs(section.level - level) < 0.05:
                end = (11.0 * s, offset + 5.0 * float(np.sin(angle)))
                plate = capsule(grid, (4.5 * s, offset), end, 0.14)
                hu += np.float32(value) * coverage(plate, max(grid.step, 0.2)) * np.minimum(depth, 1.0)

    def _airways(self, section: Section, hu: Array) -> None:
        for lumen, wall in section.airways:
            blend(hu, coverage(lumen - np.float32(wall), self.grid.step), np.float32(0.0))
            blend(hu, coverage(lumen, self.grid.step), np.float32(-985.0))

    def _scanner(self, section: Section, hu: Array, index: int) -> Array:
        """Blur of optics and motion, noise."""
        a, grid, patient = self.acquisition, self.grid, self.patient
        rng = stream(patient.seed, Stream.SLICE_NOISE, patient.number, index)
        blurred: Array = ndimage.gaussian_filter(hu, (a.blur / grid.step_y, a.blur / grid.step_x), mode="nearest")
        if rng.random() < self.confounders.motion:
            blurred = self._moved(section, blurred, rng)
        body = np.clip(-section.body / np.float32(8.0), 0.0, 1.0)
        noise = ct_noise(rng, grid, a.cutoff) * np.float32(a.noise)
        result: Array = blurred + noise * (np.float32(0.55) + np.float32(0.45) * body)
        if a.circle:
            radius = ellipse(grid, *a.centre, a.half_x * 0.995, a.half_y * 0.995)
            result = np.where(radius > 0, np.float32(-3000.0), result)
        return result

    def _moved(self, section: Section, hu: Array, rng: np.random.Generator) -> Array:
        """Mean of shifted copies, strongest around the heart and, for breathing, everywhere."""
        grid = self.grid
        angle, reach = rng.uniform(0.0, np.pi), rng.uniform(0.1, 0.4)
        step = (np.sin(angle) * reach / grid.step_y, np.cos(angle) * reach / grid.step_x)
        mean = np.zeros_like(hu)
        for t in (-1.0, -0.33, 0.33, 1.0):
            mean += 0.25 * ndimage.shift(hu, (t * step[0], t * step[1]), order=1, mode="nearest")
        near_heart = np.exp(-np.maximum(section.mediastinum, 0.0) / np.float32(rng.uniform(1.5, 8.0)))
        return hu + (mean - hu) * near_heart.astype(np.float32)

    def _window(self, hu: Array) -> npt.NDArray[np.uint8]:
        a = self.acquisition
        grey = np.clip((hu - np.float32(a.low)) / np.float32(a.high - a.low), 0.0, 1.0) ** np.float32(a.gamma)
        shown: npt.NDArray[np.uint8] = np.rint(grey * np.float32(255.0)).astype(np.uint8)
        return shown
