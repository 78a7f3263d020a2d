"""Noise on a GPU as users have it today. What is not installed is written by us in the way of the library named."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch


def torch_octaves(batch: int, size: int, cells: int, octaves: int, device: str) -> torch.Tensor:
    """The idiom of pyperlin and of most gists: gradients blown up to pixels, four products, blended, by octaves."""
    total = torch.zeros(batch, size, size, device=device)
    amplitude = 1.0
    for o in range(octaves):
        count = cells << o
        step = torch.arange(size, device=device, dtype=torch.float32) * (count / size)
        cell, d = step.long(), step - step.floor()
        angle = torch.rand(batch, count + 1, count + 1, device=device) * (2 * math.pi)
        x, y = angle.cos(), angle.sin()

        def corner(rows: int, columns: int, x=x, y=y, cell=cell, d=d) -> torch.Tensor:  # type: ignore[no-untyped-def]
            at = (slice(None), (cell + rows)[:, None], (cell + columns)[None])
            return x[at] * (d - columns)[None, None] + y[at] * (d - rows)[None, :, None]

        fade = d * d * d * (d * (d * 6 - 15) + 10)
        top = torch.lerp(corner(0, 0), corner(0, 1), fade)
        bottom = torch.lerp(corner(1, 0), corner(1, 1), fade)
        total += amplitude * torch.lerp(top, bottom, fade[:, None])
        amplitude *= 0.5
    return total


def anomalib_masks(batch: int, size: int, device: str) -> torch.Tensor:
    """In the way of anomalib's (and DRAEM's) generator: image by image, a random power of two, a threshold."""
    out = torch.empty(batch, size, size, device=device)
    for i in range(batch):
        count = 2 ** int(torch.randint(0, 6, (1,)))
        out[i] = torch_octaves(1, size, count, 1, device)[0] > 0.5
    return out


_CUPY_SOURCE = r"""
__device__ float fade(float t) { return t * t * t * (t * (t * 6 - 15) + 10); }
__device__ float dot(unsigned h, float x, float y) {
    const float a = (h & 255) * 0.0245436926f;
    return cosf(a) * x + sinf(a) * y;
}
extern "C" __global__ void perlin(float* out, const unsigned char* p, int size, int cells, int octaves) {
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const int x = i % size, y = i / size % size, n = i / size / size;
    float sum = 0, amplitude = 1;
    for (int o = 0; o < octaves; ++o, amplitude *= 0.5f) {
        const float step = (float)(cells << o) / size, u = x * step, v = y * step;
        const int cx = (int)u, cy = (int)v;
        const float dx = u - cx, dy = v - cy, s = fade(dx), t = fade(dy);
        auto at = [&](int a, int b) { return dot(p[(p[(p[n & 255] + cx + a) & 255] + cy + b) & 255], dx - a, dy - b); };
        const float top = at(0, 0) + s * (at(1, 0) - at(0, 0)), bottom = at(0, 1) + s * (at(1, 1) - at(0, 1));
        sum += amplitude * (top + t * (bottom - top));
    }
    out[i] = sum;
}
"""


def cupy_kernel(batch: int, size: int, cells: int, octaves: int) -> Callable[[], Any] | None:
    """A kernel of one thread for each pixel that looks up the permutation: how perlin-cupy and its like work."""
    try:
        import cupy
    except ImportError:
        return None
    kernel = cupy.RawKernel(_CUPY_SOURCE, "perlin")
    out = cupy.empty((batch, size, size), cupy.float32)
    table = cupy.random.permutation(256).astype(cupy.uint8)
    blocks = out.size // 256

    def call() -> Any:
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            kernel((blocks,), (256,), (out, table, size, cells, octaves))
        return out

    return call


def pyperlin(batch: int, size: int, cells: int, octaves: int) -> Callable[[], Any] | None:
    """The library itself, where it is installed."""
    try:
        from pyperlin import FractalPerlin2D
    except ImportError:
        return None
    generator = torch.Generator(device="cuda").manual_seed(0)
    resolutions = [(cells << o, cells << o) for o in range(octaves)]
    made = FractalPerlin2D((batch, size, size), resolutions, [0.5**o for o in range(octaves)], generator=generator)
    call: Callable[[], Any] = made
    return call
