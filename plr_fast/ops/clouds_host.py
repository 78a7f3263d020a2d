"""Clouds on the CPU: NumPy over the noise of a backend. The kernels of ``csrc/cuda`` do the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..backends import active_backend
from ..backends.reference.philox import Stream, below, draw
from ..backends.specs import (
    CLOUD_COMBINATIONS,
    CLOUD_DRAWS,
    CloudSpec,
    Float32Array,
    ImageArray,
    Int32Array,
    Int64Array,
    Uint8Array,
)

BYTES_PER_PIXEL = 96  # of a painter, at most: noise, places, and the lesion's pixels in float64
_FIRST, _BOTH, _TEXTURE = np.arange(1), np.arange(2), np.array([2])  # ids of the noise images of a draw


class HostRecord:
    """Receives what was done for each of ``count`` images: the arrays of :class:`plr_fast.CloudInfo`."""

    def __init__(self, count: int) -> None:
        self.empty: NDArray[np.bool_] = np.zeros(count, np.bool_)
        self.area: Int64Array = np.zeros(count, np.int64)
        self.share: Float32Array = np.zeros(count, np.float32)
        self.opacity: Float32Array = np.zeros(count, np.float32)
        self.threshold: Int32Array = np.zeros(count, np.int32)
        self.combine: NDArray[np.str_] = np.zeros(count, f"U{max(map(len, CLOUD_COMBINATIONS))}")
        self.draws: Int32Array = np.zeros(count, np.int32)
        self.lowered: NDArray[np.bool_] = np.zeros(count, np.bool_)


class Painter:
    """Paints one image after the other, in memory of its own that is used again.

    Everything is integer arithmetic on uint8 noise, except that float32 images are blended in float64 and rounded once:
    so the results are the same bits everywhere. A lesion covers a small part of a slice, so its pixels are gathered,
    blended and put back, instead of passing over all pixels several times.
    """

    def __init__(self, spec: CloudSpec, shape: tuple[int, int]) -> None:
        self._spec = spec
        self._noise = np.empty((2, *shape), np.uint8)
        self._lesion = np.empty(shape, np.bool_)
        self._backend = active_backend()
        # Opacity, 0..256, by how far noise lies above the threshold: entry d + 255 is for a difference of d.
        above = np.clip(np.arange(-255, 512) * 256 // (spec.softness + 1), 0, 256)
        self._cover = ((above * above * (768 - 2 * above)) >> 16).astype(np.uint32)  # 3 t^2 - 2 t^3, as for patches
        low, high = spec.texture
        self._greys = (low + (np.arange(256) * (high - low) + 127) // 255).astype(np.uint16)  # of the texture's noise

    def paint(self, image: ImageArray, lung: NDArray[np.bool_], sample: int, info: HostRecord, n: int) -> np.ndarray:
        """Paint lesions into ``image`` (H, W), note them as those of image n, return where they are, bool (H, W).

        What is returned holds until the next call.
        """
        spec, pixels = self._spec, int(np.count_nonzero(lung))
        if pixels == 0:
            info.empty[n] = True
            self._lesion[...] = False
            return self._lesion
        words = draw(spec.noise.seed, sample, Stream.CLOUD, 0)
        combine = CLOUD_COMBINATIONS[below(words[0], 3)] if spec.combine == "any" else spec.combine
        threshold = spec.threshold[0] + below(words[1], spec.threshold[1] - spec.threshold[0] + 1)
        weight = spec.weight[0] + below(words[2], spec.weight[1] - spec.weight[0] + 1)
        wanted = min(spec.min_area, pixels)
        for number in range(CLOUD_DRAWS):
            seed = self._draw_outline(sample, number, combine)
            places = self._find_lesion(threshold, lung)
            if len(places) >= wanted:
                break
        else:
            info.lowered[n] = True
            threshold = self._lowered(wanted, lung)
            places = self._find_lesion(threshold, lung)
        self._blend(image.reshape(-1), places, seed, self._weights(threshold, weight))
        area = len(places)
        info.area[n], info.share[n], info.opacity[n] = area, area / pixels, weight / 256
        info.threshold[n], info.combine[n], info.draws[n] = threshold, combine, number + 1
        return self._lesion

    def _draw_outline(self, sample: int, number: int, combine: str) -> int:
        """Leave the noise that is compared with the threshold in the first image, return the draw's noise seed."""
        words = draw(self._spec.noise.seed, sample, Stream.CLOUD, 1 + number)
        seed = words[0] | words[1] << 32
        first, second = self._noise
        if combine == "single":
            self._make(self._noise[:1], _FIRST, seed)
        else:
            self._make(self._noise, _BOTH, seed)
            (np.maximum if combine == "union" else np.minimum)(first, second, out=first)
        return seed

    def _make(self, out: Uint8Array, ids: Int64Array, seed: int) -> None:
        self._backend.noise(out, ids, self._spec.noise._replace(seed=seed), 1)

    def _find_lesion(self, threshold: int, lung: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Mark where noise is above the threshold inside the lung, return the places of these pixels."""
        np.greater_equal(self._noise[0], max(threshold + 1, 0), out=self._lesion)
        np.logical_and(self._lesion, lung, out=self._lesion)
        return np.flatnonzero(self._lesion)

    def _lowered(self, wanted: int, lung: NDArray[np.bool_]) -> int:
        """Return the highest threshold at which ``wanted`` lung pixels get the full opacity."""
        counts = np.bincount(self._noise[0][lung], minlength=256)
        bright = counts[::-1].cumsum()  # entry i: pixels of grey 255 - i and more
        return 255 - int(np.searchsorted(bright, wanted)) - (self._spec.softness + 1)

    def _weights(self, threshold: int, weight: int) -> NDArray[np.uint16]:
        """Return the opacity in 1/256 for each grey of the outline's noise."""
        cover = self._cover[255 - threshold : 511 - threshold]
        return ((cover * np.uint32(weight) + np.uint32(128)) >> np.uint32(8)).astype(np.uint16)

    def _blend(self, pixels: ImageArray, places: NDArray[np.intp], seed: int, weights: NDArray[np.uint16]) -> None:
        """Blend the texture into the pixels at ``places``, with the opacity that the outline's noise has there."""
        if len(places) == 0:
            return
        outline, texture = self._noise.reshape(2, -1)
        weight = weights.take(outline.take(places))
        grey = self._greys[:1]  # for an even grey
        if self._greys[0] != self._greys[-1]:
            self._make(self._noise[1:], _TEXTURE, seed)
            grey = self._greys.take(texture.take(places))
        blend = _blend_grey if pixels.dtype == np.uint8 else _blend_float
        pixels[places] = blend(pixels.take(places), grey, weight, self._spec.blend)


def _blend_grey(pixel: ImageArray, grey: NDArray[np.uint16], weight: NDArray[np.uint16], blend: str) -> Uint8Array:
    """Return uint8 pixels with the lesion's grey blended in: the arithmetic of ``csrc/core/lesions.h``."""
    added = grey * weight + np.uint16(128)  # at most 255 * 256 + 128: 16 bits will do
    if blend == "add":
        mixed = np.minimum(pixel + (added >> np.uint16(8)), np.uint16(255))
    else:
        mixed = (pixel * (np.uint16(256) - weight) + added) >> np.uint16(8)
    return mixed.astype(np.uint8)


def _blend_float(pixel: ImageArray, grey: NDArray[np.uint16], weight: NDArray[np.uint16], blend: str) -> Float32Array:
    """Return float32 pixels with the lesion's grey blended in: float64 arithmetic, rounded once."""
    before, share = pixel.astype(np.float64), weight / 256.0
    if blend == "add":
        mixed = np.minimum(before + share * (grey / 255.0), 1.0)
    else:
        mixed = before + share * (grey / 255.0 - before)
    return mixed.astype(np.float32)
