"""Octave noise in Numba: the scheme, letters and operation order of ``csrc/core/noise.h``.

The rows between two changes of any octave's lattice row form a band. In a band the noise is a small matrix product,
``sum + row factors * column terms``, three terms an octave; it is made tile by tile, the sums in registers.
"""

from __future__ import annotations

import numpy as np

from ..specs import Int64Array, NoiseSpec
from ..threads import for_each_range
from . import vectors as v
from .core import STREAM_LATTICE, STREAM_PERMUTATION, fisher_yates, fma, jit, philox, substream
from .noise_tables import noise_tables
from .vectors import LANES, TILE_COLUMNS, load, store

FORMATS = ("float32", "float16", "bfloat16", "fixed", "minmax")
FLOAT32, FLOAT16, BFLOAT16, FIXED, MINMAX = range(5)

# Pixels of the memory that stands in for an output which the kernels cannot write to.
STAND_IN_PIXELS = 1 << 16

# Rows of the scratch array that belong to one octave. E and F (A and B in the plane) of the two lattice rows around the
# pixels take turns in being the lower one; BASE is the sum of the lower E of all octaves up to this one.
E, F, D0, D1, BASE = 0, 2, 4, 5, 6
PER_OCTAVE = 7
# Rows after those of all octaves: x, y, z of the gradients to the left and right of each column; in space C of the
# lattice plane before and A, B, C of the one after; and -0, the start of BASE (-0 + x is x, even for x = -0).
LEFT, RIGHT, BEFORE_C, A, B, C, ZERO = 0, 3, 6, 7, 8, 9, 10
SHARED = 11

# What an octave of the sample in hand is at: the entry of the y lattice, which of the two E and F is the lower one,
# and the offsets along x, y, z by which it looks at the permutation.
SLOT, LOWER, OFFSET = 0, 1, 2
STATE = 5


@jit
def hash_step(p, hashes, before, offset, after, count):
    """The next hash step of ``count`` lattice points, from one row of ``hashes`` to another."""
    for i in range(count):
        hashes[after, i] = p[(hashes[before, i] + offset) & 255]


def spread_of(lanes):
    """Make the kernel that gives every column one component of the gradients to its left and right.

    Each cell is written in whole vectors of ``lanes``, which run on into the next one; that one overwrites them.
    Cells of at most ``lanes`` columns, which are many, take a single vector and no loop.
    """
    single = lanes > 0
    width = lanes if single else LANES

    @jit
    def spread(gradient, o, axis, hashes, edge, count, rows, left, right):
        last = hashes.shape[0] - 1
        for i in range(count):
            value = gradient[o, axis, hashes[last, i]]
            if single:
                v.store_repeated(width, value, rows, right, edge[o, i])
                v.store_repeated(width, value, rows, left, edge[o, i + 1])
            else:
                for column in range(edge[o, i], edge[o, i + 1], width):
                    v.store_repeated(width, value, rows, right, column)
                for column in range(edge[o, i + 1], edge[o, i + 2], width):
                    v.store_repeated(width, value, rows, left, column)

    return spread


spread_4, spread_8, spread_any = (spread_of(lanes) for lanes in (4, 8, 0))


@jit
def spread_gradients(gradient, o, hashes, edge, count, widest, spatial, rows, shared):
    """Give every column the gradients to its left and right in one lattice row."""
    for axis in range(3 if spatial else 2):
        left, right = shared + LEFT + axis, shared + RIGHT + axis
        if widest <= 4:
            spread_4(gradient, o, axis, hashes, edge, count, rows, left, right)
        elif widest <= 8:
            spread_8(gradient, o, axis, hashes, edge, count, rows, left, right)
        else:
            spread_any(gradient, o, axis, hashes, edge, count, rows, left, right)


@jit
def blend_columns(columns, o, spatial, rows, shared, a, b, c):
    """A and B (and C) of every column, into the scratch rows of these numbers."""
    for i in range(0, columns.shape[1], LANES):
        fade = load(columns, 3 * o + 2, i)
        left = v.multiply(load(rows, shared + LEFT, i), load(columns, 3 * o, i))
        right = v.multiply(load(rows, shared + RIGHT, i), load(columns, 3 * o + 1, i))
        store(v.lerp(left, right, fade), rows, a, i)
        store(v.lerp(load(rows, shared + LEFT + 1, i), load(rows, shared + RIGHT + 1, i), fade), rows, b, i)
        if spatial:
            store(v.lerp(load(rows, shared + LEFT + 2, i), load(rows, shared + RIGHT + 2, i), fade), rows, c, i)


@jit
def blend_planes(columns, d, dm, s, rows, shared, e, f):
    """E and F out of A and B of the plane before, in their place, and A, B, C of the plane after."""
    before_c, a, b, c = shared + BEFORE_C, shared + A, shared + B, shared + C
    d, dm, s = v.splat(d), v.splat(dm), v.splat(s)
    for i in range(0, columns.shape[1], LANES):
        before = v.fma(d, load(rows, before_c, i), load(rows, e, i))
        after = v.fma(dm, load(rows, c, i), load(rows, a, i))
        store(v.lerp(before, after, s), rows, e, i)
        store(v.lerp(load(rows, f, i), load(rows, b, i), s), rows, f, i)


@jit
def pair_rows(columns, o, lower, rows, before):
    """D0 and D1 of two lattice rows, and the sum of the lower E; ``before``: the scratch row of that sum so far."""
    own = PER_OCTAVE * o
    e0, e1, f0, f1 = own + E + lower, own + E + 1 - lower, own + F + lower, own + F + 1 - lower
    for i in range(0, columns.shape[1], LANES):
        low, upper = load(rows, e0, i), load(rows, f1, i)
        store(v.subtract(v.subtract(load(rows, e1, i), upper), low), rows, own + D0, i)
        store(v.subtract(upper, load(rows, f0, i)), rows, own + D1, i)
        store(v.add(load(rows, before, i), low), rows, own + BASE, i)


@jit
def add_base(columns, o, lower, rows, before):
    """The sum of the lower E alone, where the octave stayed in its lattice row and an earlier one did not."""
    own = PER_OCTAVE * o
    for i in range(0, columns.shape[1], LANES):
        store(v.add(load(rows, before, i), load(rows, own + E + lower, i)), rows, own + BASE, i)


def block_of(count):
    """Make the kernel that writes ``count`` rows of a band: base + sum over the octaves of dy B + v D0 + (v dy) D1."""

    @jit
    def block(factors, state, rows, first, form, out, width):
        octaves = state.shape[0]
        for start in range(0, width, TILE_COLUMNS):
            column = min(start, width - TILE_COLUMNS)  # the last tile may overlap the one before
            tile = v.tile_of(count, rows, PER_OCTAVE * (octaves - 1) + BASE, column)
            for o in range(octaves):
                own = PER_OCTAVE * o
                tile = v.add_product(tile, factors, 3 * o, first, rows, own + F + state[o, LOWER], column)
                tile = v.add_product(tile, factors, 3 * o + 1, first, rows, own + D0, column)
                tile = v.add_product(tile, factors, 3 * o + 2, first, rows, own + D1, column)
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
def noise_plane(t, p, hashes, state, plane, spatial, rows, form, out, width):
    """Fill ``out`` (height, bytes of a row) with one plane of a sample.

    One function, not several: Numba counts references wherever a function that takes arrays calls another, and the
    locks of these counts wait for all stores to memory that are under way.
    """
    gradient, edge, columns, factors, bands = t.gradient, t.x_edge, t.column, t.row, t.band
    counts, widest = t.x_count, t.x_widest
    y_slot, y_lattice, z_slot, z_lattice, z = t.y_slot, t.y_lattice, t.z_slot, t.z_lattice, t.plane
    octaves = state.shape[0]
    shared = PER_OCTAVE * octaves
    step, number = octaves, octaves + 1  # rows of `hashes`
    for o in range(octaves):
        state[o, SLOT] = -1
    for band in range(bands.shape[0] - 1):
        first = bands[band]
        changed = False
        before = shared + ZERO
        for o in range(octaves):
            own = PER_OCTAVE * o
            slot = y_slot[o, first]
            if slot != state[o, SLOT]:
                changed = True
                next_one = state[o, SLOT] >= 0 and slot == state[o, SLOT] + 1  # the row above becomes the one below
                lower = 1 - state[o, LOWER] if next_one else 0
                state[o, SLOT], state[o, LOWER] = slot, lower
                n, cell = counts[o], widest[o]
                for k in range(1 if next_one else 0, 2):
                    e, f = own + E + (lower ^ k), own + F + (lower ^ k)
                    y = y_lattice[o, slot + k] + state[o, OFFSET + 1]
                    if not spatial:
                        hash_step(p, hashes, o, y, number, n)
                        spread_gradients(gradient, o, hashes, edge, n, cell, spatial, rows, shared)
                        blend_columns(columns, o, spatial, rows, shared, e, f, f)
                        continue
                    hash_step(p, hashes, o, y, step, n)
                    entry = z_slot[o, plane]
                    hash_step(p, hashes, step, z_lattice[o, entry] + state[o, OFFSET + 2], number, n)
                    spread_gradients(gradient, o, hashes, edge, n, cell, spatial, rows, shared)
                    blend_columns(columns, o, spatial, rows, shared, e, f, shared + BEFORE_C)
                    hash_step(p, hashes, step, z_lattice[o, entry + 1] + state[o, OFFSET + 2], number, n)
                    spread_gradients(gradient, o, hashes, edge, n, cell, spatial, rows, shared)
                    blend_columns(columns, o, spatial, rows, shared, shared + A, shared + B, shared + C)
                    blend_planes(columns, z[3 * o, plane], z[3 * o + 1, plane], z[3 * o + 2, plane], rows, shared, e, f)
                pair_rows(columns, o, lower, rows, before)
            elif changed:
                add_base(columns, o, state[o, LOWER], rows, before)
            before = own + BASE
        last = bands[band + 1]
        # A single octave waits for memory alone, which likes whole rows one after the other.
        if last - first >= BLOCK_ROWS and octaves > 1:
            for y in range(first, last, BLOCK_ROWS):
                four_rows(factors, state, rows, min(y, last - BLOCK_ROWS), form, out, width)
        else:
            for y in range(first, last):
                one_row(factors, state, rows, y, form, out, width)


@jit
def stretch_to_grey(values, width, out):
    """Map the extremes of the first ``width`` columns of float32 rows to 0 and 255."""
    extremes = np.empty((2, width), np.float32)
    lows, highs = extremes[0], extremes[1]
    for x in range(width):
        lows[x] = highs[x] = values[0, x]
    for y in range(values.shape[0]):
        for x in range(width):
            value = values[y, x]
            lows[x] = value if value < lows[x] else lows[x]
            highs[x] = value if value > highs[x] else highs[x]
    low, high = lows[0], highs[0]
    for x in range(width):
        low = lows[x] if lows[x] < low else low
        high = highs[x] if highs[x] > high else high
    flat = not high - low > np.float32(1e-30)
    scale = np.float32(0.0) if flat else np.float32(255.0) / (high - low)
    offset = np.float32(0.0) if flat else low
    for y in range(values.shape[0]):
        for x in range(width):
            out[y, x] = np.uint8(np.int32(fma(values[y, x] - offset, scale, np.float32(0.5))))


@jit
def noise_samples(seed, samples, spatial, form, t, width, out):
    """Fill the first ``width`` columns of ``out`` (B, D * H, bytes of a row) uint8 with samples in the format ``form``.

    The rows of ``out`` hold at least ``TILE_COLUMNS`` columns; what lies beyond ``width`` is undefined.
    """
    x_lattice, counts = t.x_lattice, t.x_count
    octaves, lattice_columns = x_lattice.shape
    depth, height = t.plane.shape[1], t.row.shape[1]
    tiled = max(width, TILE_COLUMNS)
    rows = np.zeros((PER_OCTAVE * octaves + SHARED, t.column.shape[1] + 2 * LANES), np.float32)
    # To begin at a cache line: vectors that lie across two lines take twice as long.
    rows = rows[:, -(rows.ctypes.data // 4) % LANES :]
    for i in range(rows.shape[1]):
        rows[PER_OCTAVE * octaves + ZERO, i] = np.float32(-0.0)
    p = np.empty(256, np.uint8)
    # The hash steps of the lattice columns: by x for each octave, by y, and the gradients' numbers.
    hashes = np.empty((octaves + 2, lattice_columns), np.uint8)
    state = np.empty((octaves, STATE), np.int64)
    whole = np.empty((depth * height if form == MINMAX else 0, tiled), np.float32)
    for n in range(samples.shape[0]):
        for i in range(256):
            p[i] = i
        fisher_yates(seed, samples[n], STREAM_PERMUTATION, p, 256)
        for o in range(octaves):
            words = philox(seed, samples[n], substream(STREAM_LATTICE, o), 0)
            for axis in range(3):
                state[o, OFFSET + axis] = words[axis] & np.uint64(255)
            for i in range(counts[o]):
                hashes[o, i] = p[(x_lattice[o, i] + state[o, OFFSET]) & 255]
        target = whole.view(np.uint8) if form == MINMAX else out[n]
        for plane in range(depth):
            part = target[plane * height : (plane + 1) * height]
            noise_plane(t, p, hashes, state, plane, spatial, rows, form, part, tiled)
        if form == MINMAX:
            stretch_to_grey(whole, width, out[n])


def noise(out: np.ndarray, samples: Int64Array, spec: NoiseSpec, threads: int) -> None:
    if out.size == 0:
        return
    spatial = out.ndim == 4
    depth, height, width = out.shape[1:] if spatial else (1, *out.shape[1:])
    tables = noise_tables((depth, height, width), out.ndim - 1, spec)
    seed, form = np.uint64(spec.seed), FORMATS.index(spec.format)

    def fill(first: int, last: int) -> None:
        part = out[first:last]
        if part.flags.c_contiguous and width >= TILE_COLUMNS:
            target = part.reshape(last - first, depth * height, width).view(np.uint8)
            noise_samples(seed, samples[first:last], spatial, form, tables, width, target)
            return
        # Rows too narrow for a tile, or far apart: some samples at a time in memory of our own.
        columns = max(width, TILE_COLUMNS)
        step = min(last - first, max(1, STAND_IN_PIXELS // (depth * height * columns)))
        stand_in = np.empty((step, depth * height, columns), out.dtype)
        for start in range(first, last, step):
            end = min(start + step, last)
            noise_samples(seed, samples[start:end], spatial, form, tables, width, stand_in.view(np.uint8))
            out[start:end] = stand_in[: end - start, :, :width].reshape(end - start, *out.shape[1:])

    for_each_range(len(samples), threads, fill)
