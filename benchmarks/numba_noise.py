"""The plain Numba kernel: what one writes who knows the textbook formula and a compiler."""

from __future__ import annotations

import numba


@numba.njit(cache=True, fastmath=True)
def textbook_noise(out, permutation, gradients, cells, octaves):  # type: ignore[no-untyped-def]
    """Perlin octave noise as the textbook writes it: four hashes, four dot products and two fades for every pixel."""
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            total, amplitude, frequency = 0.0, 1.0, cells
            for _ in range(octaves):
                u, v = x * frequency / width, y * frequency / height
                i, j = int(u), int(v)
                dx, dy = u - i, v - j
                value = 0.0
                for b in range(2):
                    for a in range(2):
                        g = permutation[(permutation[(i + a) & 255] + j + b) & 255]
                        tx, ty = 1 - abs(dx - a), 1 - abs(dy - b)
                        fade_x = tx * tx * tx * (tx * (tx * 6 - 15) + 10)
                        fade_y = ty * ty * ty * (ty * (ty * 6 - 15) + 10)
                        value += (gradients[g, 0] * (dx - a) + gradients[g, 1] * (dy - b)) * fade_x * fade_y
                total += amplitude * value
                amplitude *= 0.5
                frequency *= 2
            out[y, x] = total
