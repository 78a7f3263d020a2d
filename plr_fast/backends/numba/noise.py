"""Octave noise in Numba: the scheme, letters and operation order of ``csrc/core/noise.h``.

The rows between two changes of any octave's lattice row form a band. In a band the noise is a small matrix product,
``sum + row factors * column terms``, three terms an octave; it is made tile by tile, the sums in registers.
"""

from __future__ import annotations

import numpy as np

from ..specs import Int64Array, NoiseSpec
from ..threads import for_each_range
from . import vectors as v
from .core import fma as scalar_fma
from .core import STREAM_LATTICE, STREAM_PERMUTATION, fisher_yates, jit, philox, substream
from .noise_tables import NoiseTables, noise_tables
from .vectors import LANES, TILE_COLUMNS, load, store

FORMATS = ("float32", "float16", "bfloat16", "fixed", "minmax")
FLOAT32, FLOAT16, BFLOAT16, FIXED, MINMAX = range(5)

# Rows of the scratch array that belong to one octave. E and F of the two lattice rows around the pixels take turns in
# being the lower one; BASE is the sum of the lower E of all octaves up to this one.
E, F, D0, D1, BASE = 0, 2, 4, 5, 6
PER_OCTAVE = 7
# Rows after those of all octaves: what each column has to its left and right in one lattice row, and in space the
# parts A, B, C of one plane of the lattice.
LEFT_X, RIGHT_X, LEFT_Y, RIGHT_Y, LEFT_Z, RIGHT_Z, A, B, C, ZERO = range(10)
SHARED = 10


@jit
def spread_gradients(t, o, p, hashes, y, z, spatial, rows, shared):
    """Give every column the gradients at the lattice points to its left and right, in one lattice row."""
    gx, gy, gz = t.gradient[o, 0], t.gradient[o, 1], t.gradient[o, 2]
    edge = t.x_edge[o]
    for i in range(t.x_count[o]):
        g = p[(hashes[i] + y) & 255]
        if spatial:
            g = p[(g + z) & 255]
        # Whole vectors, which run on into the next cell; that one overwrites them.
        x_value, y_value, z_value = v.splat(gx[g]), v.splat(gy[g]), v.splat(gz[g])
        for column in range(edge[i + 1], edge[i + 2], LANES):
            store(x_value, rows, shared + LEFT_X, column)
            store(y_value, rows, shared + LEFT_Y, column)
            if spatial:
                store(z_value, rows, shared + LEFT_Z, column)
        for column in range(edge[i], edge[i + 1], LANES):
            store(x_value, rows, shared + RIGHT_X, column)
            store(y_value, rows, shared + RIGHT_Y, column)
            if spatial:
                store(z_value, rows, shared + RIGHT_Z, column)


@jit
def blend_columns(t, o, spatial, rows, shared, a, b, c):
    """A and B (and C) of every column, into the scratch rows of these numbers."""
    d, dm, s = 3 * o, 3 * o + 1, 3 * o + 2
    for i in range(0, t.column.shape[1], LANES):
        fade = load(t.column, s, i)
        left = v.multiply(load(rows, shared + LEFT_X, i), load(t.column, d, i))
        right = v.multiply(load(rows, shared + RIGHT_X, i), load(t.column, dm, i))
        store(v.lerp(left, right, fade), rows, a, i)
        store(v.lerp(load(rows, shared + LEFT_Y, i), load(rows, shared + RIGHT_Y, i), fade), rows, b, i)
        if spatial:
            store(v.lerp(load(rows, shared + LEFT_Z, i), load(rows, shared + RIGHT_Z, i), fade), rows, c, i)


@jit
def lattice_row(t, o, p, hashes, offset, entry, plane, spatial, rows, shared, e, f):
    """E and F of one lattice row, into the scratch rows of these numbers."""
    y = t.y_lattice[o, entry] + offset[1]
    if not spatial:
        spread_gradients(t, o, p, hashes, y, 0, False, rows, shared)
        blend_columns(t, o, False, rows, shared, e, f, 0)
        return
    slot = t.z_slot[o, plane]
    d, dm, s = v.splat(t.plane[3 * o, plane]), v.splat(t.plane[3 * o + 1, plane]), v.splat(t.plane[3 * o + 2, plane])
    a, b, c = shared + A, shared + B, shared + C
    spread_gradients(t, o, p, hashes, y, t.z_lattice[o, slot] + offset[2], True, rows, shared)
    blend_columns(t, o, True, rows, shared, e, f, c)
    for i in range(0, t.column.shape[1], LANES):
        store(v.fma(d, load(rows, c, i), load(rows, e, i)), rows, e, i)
    spread_gradients(t, o, p, hashes, y, t.z_lattice[o, slot + 1] + offset[2], True, rows, shared)
    blend_columns(t, o, True, rows, shared, a, b, c)
    for i in range(0, t.column.shape[1], LANES):
        after = v.fma(dm, load(rows, c, i), load(rows, a, i))
        store(v.lerp(load(rows, e, i), after, s), rows, e, i)
        store(v.lerp(load(rows, f, i), load(rows, b, i), s), rows, f, i)


@jit
def differences(t, o, lower, rows):
    """D0 and D1 of one octave from the two lattice rows."""
    own = PER_OCTAVE * o
    e0, e1, f0, f1 = own + E + lower, own + E + 1 - lower, own + F + lower, own + F + 1 - lower
    for i in range(0, t.column.shape[1], LANES):
        upper = load(rows, f1, i)
        store(v.subtract(v.subtract(load(rows, e1, i), upper), load(rows, e0, i)), rows, own + D0, i)
        store(v.subtract(upper, load(rows, f0, i)), rows, own + D1, i)


@jit
def add_base(t, o, lower, rows, before):
    """The sum of the lower E up to this octave; the scratch row ``before`` has that of the octaves before."""
    own = PER_OCTAVE * o
    for i in range(0, t.column.shape[1], LANES):
        store(v.add(load(rows, before, i), load(rows, own + E + lower, i)), rows, own + BASE, i)


def block_of(count):
    """Make the kernel that writes ``count`` rows of a band; it stays in registers with all its columns of one tile."""

    @jit
    def block(t, lower, rows, first, form, out, width):
        octaves = lower.shape[0]
        for start in range(0, width, TILE_COLUMNS):
            column = min(start, width - TILE_COLUMNS)  # the last tile may overlap the one before
            tile = v.tile_of(count, rows, PER_OCTAVE * (octaves - 1) + BASE, column)
            for o in range(octaves):
                own = PER_OCTAVE * o
                tile = v.add_product(tile, t.row, 3 * o, first, rows, own + F + lower[o], column)
                tile = v.add_product(tile, t.row, 3 * o + 1, first, rows, own + D0, column)
                tile = v.add_product(tile, t.row, 3 * o + 2, first, rows, own + D1, column)
            if form == FLOAT16:
                v.store_float16(tile, out, first, column)
            elif form == BFLOAT16:
                v.store_bfloat16(tile, out, first, column)
            elif form == FIXED:
                v.store_grey(tile, out, first, column)
            else:
                v.store_float32(tile, out, first, column)

    return block


BLOCK_ROWS = 4
four_rows = block_of(BLOCK_ROWS)
one_row = block_of(1)


@jit
def band_rows(t, lower, rows, first, last, form, out, width):
    if last - first >= BLOCK_ROWS:
        for y in range(first, last, BLOCK_ROWS):
            four_rows(t, lower, rows, min(y, last - BLOCK_ROWS), form, out, width)
    else:
        for y in range(first, last):
            one_row(t, lower, rows, y, form, out, width)


@jit
def noise_plane(t, p, hashes, offsets, plane, spatial, rows, slots, lower, form, out, width):
    """Fill ``out`` (height, bytes of a row) with one plane of a sample."""
    octaves = lower.shape[0]
    shared = PER_OCTAVE * octaves
    slots[:] = -1
    for band in range(t.band.shape[0] - 1):
        first = t.band[band]
        changed = False
        for o in range(octaves):
            own = PER_OCTAVE * o
            slot = t.y_slot[o, first]
            if slot != slots[o]:
                changed = True
                if slots[o] >= 0 and slot == slots[o] + 1:  # the lattice row above becomes the one below
                    lower[o] = 1 - lower[o]
                else:
                    lower[o] = 0
                    lattice_row(t, o, p, hashes[o], offsets[o], slot, plane, spatial, rows, shared, own + E, own + F)
                upper = 1 - lower[o]
                lattice_row(
                    t, o, p, hashes[o], offsets[o], slot + 1, plane, spatial, rows, shared, own + E + upper,
                    own + F + upper,
                )  # fmt: skip
                slots[o] = slot
                differences(t, o, lower[o], rows)
            if changed:
                add_base(t, o, lower[o], rows, own - PER_OCTAVE + BASE if o > 0 else shared + ZERO)
        band_rows(t, lower, rows, first, t.band[band + 1], form, out, width)


@jit
def stretch_to_grey(values, width, out):
    """Map the extremes of a sample, float32 (rows, padded width), to 0 and 255 of ``out`` (rows, width)."""
    lows = values[0].copy()
    highs = values[0].copy()
    for y in range(values.shape[0]):
        for x in range(width):
            value = values[y, x]
            lows[x] = value if value < lows[x] else lows[x]
            highs[x] = value if value > highs[x] else highs[x]
    low = lows[0]
    high = highs[0]
    for x in range(width):
        low = min(low, lows[x])
        high = max(high, highs[x])
    scale = np.float32(255.0) / (high - low) if high - low > np.float32(1e-30) else np.float32(0.0)
    offset = low if scale > 0 else np.float32(0.0)
    for y in range(values.shape[0]):
        for x in range(width):
            out[y, x] = np.uint8(np.int32(scalar_fma(values[y, x] - offset, scale, np.float32(0.5))))


@jit
def noise_samples(seed, samples, spatial, form, t, out):
    """Fill ``out`` (B, D, H, bytes of a row) uint8 with samples in the format ``form``."""
    octaves = t.x_count.shape[0]
    depth, height, row_bytes = out.shape[1:]
    item = 4 if form == FLOAT32 else 2 if form == FLOAT16 or form == BFLOAT16 else 1
    width = row_bytes // item
    tiled = max(width, TILE_COLUMNS)
    padded = t.column.shape[1] + LANES
    rows = np.zeros((PER_OCTAVE * octaves + SHARED, padded), np.float32)
    rows[PER_OCTAVE * octaves + ZERO] = np.float32(-0.0)  # -0 + x is x, even for x = -0
    hashes = np.empty((octaves, t.x_lattice.shape[1]), np.int32)
    offsets = np.empty((octaves, 3), np.int32)
    slots = np.empty(octaves, np.int64)
    lower = np.empty(octaves, np.int64)
    p = np.empty(256, np.int32)
    # Tiles may be wider than the image, and stretching needs the sample in float32.
    whole = np.empty((depth * height, tiled), np.float32) if form == MINMAX else np.empty((0, 0), np.float32)
    wide = whole.view(np.uint8) if form == MINMAX else np.empty((depth * height if tiled > width else 0, tiled * item), np.uint8)
    for n in range(samples.shape[0]):
        for i in range(256):
            p[i] = i
        fisher_yates(seed, samples[n], STREAM_PERMUTATION, p, 256)
        for o in range(octaves):
            words = philox(seed, samples[n], substream(STREAM_LATTICE, o), 0)
            for axis in range(3):
                offsets[o, axis] = words[axis] & np.uint64(255)
            for i in range(t.x_count[o]):
                hashes[o, i] = p[(t.x_lattice[o, i] + offsets[o, 0]) & 255]
        for plane in range(depth):
            if form == MINMAX or tiled > width:
                target = wide[plane * height : (plane + 1) * height]
            else:
                target = out[n, plane]
            noise_plane(t, p, hashes, offsets, plane, spatial, rows, slots, lower, form, target, tiled)
            if form != MINMAX and tiled > width:
                out[n, plane] = target[:, :row_bytes]
        if form == MINMAX:
            stretch_to_grey(whole, width, out[n].reshape(depth * height, row_bytes))


def noise(out: np.ndarray, samples: Int64Array, spec: NoiseSpec, threads: int) -> None:
    if out.size == 0:
        return
    dims = out.ndim - 1
    depth, height, width = out.shape[1:] if dims == 3 else (1, *out.shape[1:])
    tables = noise_tables((depth, height, width), dims, spec)
    seed, form = np.uint64(spec.seed), FORMATS.index(spec.format)
    shape = (depth, height, width * out.itemsize)

    def fill(first: int, last: int) -> None:
        part = out[first:last]
        if part.flags.c_contiguous:
            noise_samples(seed, samples[first:last], dims == 3, form, tables, part.view(np.uint8).reshape(-1, *shape))
            return
        scratch = np.empty((1, *out.shape[1:]), out.dtype)
        for n in range(first, last):
            noise_samples(seed, samples[n:n + 1], dims == 3, form, tables, scratch.view(np.uint8).reshape(-1, *shape))
            out[n] = scratch[0]

    for_each_range(len(samples), threads, fill)
