"""Octave noise in Numba: the scheme, letters and operation order of ``csrc/core/noise.h``."""

from __future__ import annotations

import numpy as np

from ..specs import LATTICE_PERIOD, Int64Array, NoiseSpec
from ..tables import Axis, amplitudes, axis_table, frequencies, gradients
from ..threads import for_each_range
from .core import STREAM_LATTICE, STREAM_PERMUTATION, fisher_yates, fma, inline, jit, philox, substream


@inline
def lerp(a, b, t):
    return fma(t, b - a, a)


@jit
def row_parts(gx, gy, gz, p, column_hash, y, z, spatial, x_slot, x_d, x_dm, x_s, lattice, a, b, c):
    """Gradients at the lattice points of one row, then A and B (and C) of every column."""
    for i in range(column_hash.shape[0]):
        g = p[(column_hash[i] + y) & 255]
        if spatial:
            g = p[(g + z) & 255]
            lattice[2, i] = gz[g]
        lattice[0, i] = gx[g]
        lattice[1, i] = gy[g]
    for i in range(x_slot.shape[0]):
        k = x_slot[i]
        a[i] = lerp(lattice[0, k] * x_d[i], lattice[0, k + 1] * x_dm[i], x_s[i])
        b[i] = lerp(lattice[1, k], lattice[1, k + 1], x_s[i])
    if spatial:
        for i in range(x_slot.shape[0]):
            k = x_slot[i]
            c[i] = lerp(lattice[2, k], lattice[2, k + 1], x_s[i])


@jit
def spatial_row(gx, gy, gz, p, column_hash, y, z0, z1, zd, zdm, zs, x_slot, x_d, x_dm, x_s, lattice, parts, e, f):
    """E and F of one lattice row for a plane of fixed z."""
    a1, b1, c = parts[0], parts[1], parts[2]
    row_parts(gx, gy, gz, p, column_hash, y, z0, True, x_slot, x_d, x_dm, x_s, lattice, e, f, c)
    for i in range(e.shape[0]):
        e[i] = fma(zd, c[i], e[i])
    row_parts(gx, gy, gz, p, column_hash, y, z1, True, x_slot, x_d, x_dm, x_s, lattice, a1, b1, c)
    for i in range(e.shape[0]):
        e[i] = lerp(e[i], fma(zdm, c[i], a1[i]), zs)
        f[i] = lerp(f[i], b1[i], zs)


@jit
def add_octave(row, b, d0, d1, dy, v, vdy):
    for i in range(row.shape[0]):
        row[i] = fma(vdy, d1[i], fma(v, d0[i], fma(dy, b[i], row[i])))


@jit
def noise_sample(seed, sample, spatial, out, gradient, z_int, z_float, y_int, y_float, x_int, x_float, counts):
    """Fill ``out`` (D, H, W) float32. Tables as :func:`stack` makes them; ``counts``: lattice sizes along x."""
    octaves = gradient.shape[0]
    depth, height, width = out.shape
    longest = x_int.shape[2]
    p = np.arange(256).astype(np.int32)
    fisher_yates(seed, sample, STREAM_PERMUTATION, p, 256)
    column_hash = np.empty((octaves, longest), np.int32)
    offset_y = np.empty(octaves, np.int32)
    offset_z = np.empty(octaves, np.int32)
    for o in range(octaves):
        words = philox(seed, sample, substream(STREAM_LATTICE, o), 0)
        offset_x = np.int32(words[0] & np.uint64(255))
        offset_y[o] = np.int32(words[1] & np.uint64(255))
        offset_z[o] = np.int32(words[2] & np.uint64(255))
        for i in range(counts[o]):
            column_hash[o, i] = p[(x_int[o, 1, i] + offset_x) & 255]

    # rows[o, 0 or 1]: E and F of the two lattice rows around the pixels; lower[o] says which one is below.
    rows = np.empty((octaves, 2, 2, width), np.float32)
    d0 = np.empty((octaves, width), np.float32)
    d1 = np.empty((octaves, width), np.float32)
    base = np.empty(width, np.float32)
    lattice = np.empty((3, longest), np.float32)
    parts = np.empty((3, width), np.float32)
    lower = np.empty(octaves, np.int64)
    slot = np.empty(octaves, np.int64)
    for plane in range(depth):
        slot[:] = -1
        for y in range(height):
            changed = False
            for o in range(octaves):
                now = y_int[o, 0, y]
                if now == slot[o]:
                    continue
                changed = True
                stay = slot[o] >= 0 and now == slot[o] + 1
                if stay:
                    lower[o] = 1 - lower[o]
                else:
                    lower[o] = 0
                slot[o] = now
                x_slot, hashes = x_int[o, 0, :width], column_hash[o, : counts[o]]
                x_d, x_dm, x_s = x_float[o, 0], x_float[o, 1], x_float[o, 2]
                gx, gy, gz = gradient[o, 0], gradient[o, 1], gradient[o, 2]
                for k in range(1 if stay else 0, 2):
                    row = lower[o] if k == 0 else 1 - lower[o]
                    line = y_int[o, 1, now + k] + offset_y[o]
                    e, f = rows[o, row, 0], rows[o, row, 1]
                    if spatial:
                        z_slot = z_int[o, 0, plane]
                        z0 = z_int[o, 1, z_slot] + offset_z[o]
                        z1 = z_int[o, 1, z_slot + 1] + offset_z[o]
                        zd, zdm, zs = z_float[o, 0, plane], z_float[o, 1, plane], z_float[o, 2, plane]
                        spatial_row(gx, gy, gz, p, hashes, line, z0, z1, zd, zdm, zs, x_slot, x_d, x_dm, x_s, lattice, parts, e, f)  # fmt: skip  # noqa: E501
                    else:
                        row_parts(gx, gy, gz, p, hashes, line, 0, False, x_slot, x_d, x_dm, x_s, lattice, e, f, e)
                e0, f0 = rows[o, lower[o], 0], rows[o, lower[o], 1]
                e1, f1 = rows[o, 1 - lower[o], 0], rows[o, 1 - lower[o], 1]
                for i in range(width):
                    d0[o, i] = (e1[i] - f1[i]) - e0[i]
                    d1[o, i] = f1[i] - f0[i]
            if changed:
                for i in range(width):
                    base[i] = rows[0, lower[0], 0, i]
                for o in range(1, octaves):
                    e0 = rows[o, lower[o], 0]
                    for i in range(width):
                        base[i] += e0[i]
            target = out[plane, y]
            for i in range(width):
                target[i] = base[i]
            for o in range(octaves):
                dy, v, vdy = y_float[o, 0, y], y_float[o, 2, y], y_float[o, 3, y]
                add_octave(target, rows[o, lower[o], 1], d0[o], d1[o], dy, v, vdy)


@jit
def to_grey_fixed(values, out):
    for i in range(values.shape[0]):
        out[i] = np.uint8(np.int32(fma(values[i], np.float32(127.5), np.float32(128.0))))


@jit
def to_grey_minmax(values, out):
    low = values[0]
    high = values[0]
    for i in range(values.shape[0]):
        low = min(low, values[i])
        high = max(high, values[i])
    if high - low > np.float32(1e-30):
        scale = np.float32(255.0) / (high - low)
        for i in range(values.shape[0]):
            out[i] = np.uint8(np.int32(fma(values[i] - low, scale, np.float32(0.5))))
    else:
        out[:] = 0


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Round float32 to bfloat16, nearest even, as uint16."""
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def stack(axes: list[Axis]) -> tuple[np.ndarray, np.ndarray]:
    """Put one axis of all octaves into two arrays: int32 [octave, slot/lattice, :], float32 [octave, d/dm/s/sd, :]."""
    pixels = axes[0].slot.size
    longest = max(pixels, max(axis.lattice.size for axis in axes))
    integers = np.zeros((len(axes), 2, longest), np.int32)
    floats = np.empty((len(axes), 4, pixels), np.float32)
    for o, axis in enumerate(axes):
        integers[o, 0, :pixels] = axis.slot
        integers[o, 1, : axis.lattice.size] = axis.lattice
        floats[o] = axis.d, axis.dm, axis.s, axis.sd
    return integers, floats


def noise(out: np.ndarray, samples: Int64Array, spec: NoiseSpec, threads: int) -> None:
    dims = out.ndim - 1
    shape = out.shape[1:] if dims == 3 else (1, *out.shape[1:])
    if out.size == 0:
        return
    scales = amplitudes(spec, dims)
    gradient = np.empty((spec.octaves, 3, LATTICE_PERIOD), np.float32)
    for o, scale in enumerate(scales):
        gradient[o] = gradients(dims) * scale
    axes = [[axis_table(n, f, spec.tileable) for n, f in zip(shape, each, strict=True)] for each in frequencies(spec)]
    z_int, z_float = stack([octave[0] for octave in axes])
    y_int, y_float = stack([octave[1] for octave in axes])
    x_int, x_float = stack([octave[2] for octave in axes])
    counts = np.array([octave[2].lattice.size for octave in axes], np.int64)
    direct = spec.format == "float32" and out[0].flags.c_contiguous
    seed = np.uint64(spec.seed)

    def fill(first: int, last: int) -> None:
        scratch = np.empty(0 if direct else shape, np.float32)
        for n in range(first, last):
            values = out[n].reshape(shape) if direct else scratch
            noise_sample(
                seed, samples[n], dims == 3, values, gradient, z_int, z_float, y_int, y_float, x_int, x_float, counts
            )
            if not direct:
                out[n] = converted(scratch.reshape(-1), spec.format).reshape(out.shape[1:])

    for_each_range(len(samples), threads, fill)


def converted(values: np.ndarray, form: str) -> np.ndarray:
    """Return flat float32 ``values`` in the dtype that ``form`` names."""
    if form == "float32":
        return values
    if form == "float16":
        return values.astype(np.float16)
    if form == "bfloat16":
        return to_bfloat16(values)
    grey = np.empty(values.shape, np.uint8)
    (to_grey_minmax if form == "minmax" else to_grey_fixed)(values, grey)
    return grey
