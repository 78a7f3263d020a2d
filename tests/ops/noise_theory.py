"""What theory says about one octave of Perlin noise with independent, evenly spread gradients: exact, by quadrature.

With psi(r) = 1 - s(|r|) for |r| < 1 (s: the fade) the noise is a sum over lattice points L in D dimensions,

    n(u) = sum_L g_L . K(u - L),    K(r) = r psi(r_1) ... psi(r_D),    E g_L = 0,  E g_L g_M^T = delta_LM I / D.

So all second moments follow from two functions of one variable, A(t) = int r psi(r) (r + t) psi(r + t) dr and
B(t) = int psi(r) psi(r + t) dr: averaged over the cell, the covariance of values that lie tau apart is

    C(tau) = 1/D sum_a A(tau_a) prod_{b != a} B(tau_b).

Everything here is in units of the public function: divided by the bound sqrt(D) / 2.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)  # exact to degree 15; the products below have degree 12


def psi(r: Array) -> Array:
    t = np.abs(r)
    return np.where(t < 1, 1 - t**3 * (t * (6 * t - 15) + 10), 0.0)


def _overlap(t: float, power: int) -> float:
    """Return int r^p psi(r) (r + t)^p psi(r + t) dr, piece by piece between the places where a polynomial ends."""
    edges = sorted({-1.0, 0.0, 1.0, -1.0 - t, -t, 1.0 - t})
    total = 0.0
    for low, high in pairwise(edges):
        r = (low + high) / 2 + (high - low) / 2 * _NODES
        values = (r * (r + t)) ** power * psi(r) * psi(r + t)
        total += float((_WEIGHTS * values).sum()) * (high - low) / 2
    return total


def _scale(dims: int) -> float:
    return 1 / (math.sqrt(dims) / 2) ** 2


def covariance(*tau: float) -> float:
    """Return C(tau), tau in cells, one number for each dimension."""
    dims = len(tau)
    a, b = [_overlap(t, 1) for t in tau], [_overlap(t, 0) for t in tau]
    return _scale(dims) / dims * sum(a[i] * math.prod(b[:i] + b[i + 1 :]) for i in range(dims))


def variance_at(*place: Array) -> Array:
    """Return the variance at places inside a cell, coordinates 0..1 that broadcast: sum_c w_c^2 |t - c|^2 / D."""
    dims = len(place)
    total = np.zeros(np.broadcast_shapes(*(p.shape for p in place)))
    for corner in np.ndindex(*(2,) * dims):
        r = [p - c for p, c in zip(place, corner, strict=True)]
        total = total + math.prod(psi(x) ** 2 for x in r) * sum(x**2 for x in r)
    return _scale(dims) / dims * total


def spectrum(cells: int, pixels: int) -> Array:
    """Return E |FFT2|^2 of tileable noise, ``cells`` across and ``pixels`` per cell, as numpy.fft.fft2 orders it.

    Periodic noise sampled on a grid is the discrete convolution of the gradients with the sampled kernel, so its
    spectrum is exactly that of the kernel, times that of the gradients. The latter is not quite flat: entries of one
    permutation are drawn without replacement, so any two gradients in one row or one column of the lattice differ
    and correlate by -1/255.
    """
    n = cells * pixels
    r = np.fft.fftfreq(n) * cells  # distances in cells, wrapped around
    flat, odd = np.fft.fft(psi(r)), np.fft.fft(r * psi(r))
    kernel = np.outer(abs(flat) ** 2, abs(odd) ** 2) + np.outer(abs(odd) ** 2, abs(flat) ** 2)
    zero = (np.arange(n) % cells == 0).astype(float)  # whole waves per cell: all gradients of a line add up
    gradients = 1 - ((cells * zero - 1)[:, None] + (cells * zero - 1)[None, :]) / 255
    return _scale(2) / 2 * cells**2 * kernel * gradients
