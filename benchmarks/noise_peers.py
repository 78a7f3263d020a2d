"""Octave noise by others: one small function for each, all in one registry, so that a missing one can be named.

A function gets the setting and the number of samples, makes ready what can be kept between calls, and returns a call
that makes (samples, *sizes) of noise, each sample from a seed of its own, into a kept buffer where the peer allows it.
Peers without octaves get the sum written around them.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from typing import Any

import numpy as np
import torch

from benchmarks import torch_noise
from benchmarks.noise_settings import Setting, UnsupportedError
from benchmarks.numba_noise import textbook_noise
from benchmarks.rounds import Absent, Candidate

Call = Callable[[], Any]


@dataclass(frozen=True)
class Peer:
    """Somebody else's noise.

    Attributes:
        name: name of the row.
        make: ``make(setting, samples)`` returns the call.
        samples: images a call makes: few for slow peers, and few enough for those that allocate to get warm memory.
        distribution: the package's name in its index, or "" for code of our own.
        volumes: whether volumes are measured; they take the slowest peers many seconds each.
    """

    name: str
    make: Callable[[Setting, int], Call]
    samples: int
    distribution: str = ""
    volumes: bool = True


def require(module: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old peers warn of their own age
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise UnsupportedError("absent: not installed (benchmarks/requirements.txt)") from None


def coordinates(setting: Setting) -> list[np.ndarray]:
    """Return each axis' coordinates in cells of the first octave, float64."""
    return [np.arange(n) * (setting.cells / n) for n in setting.sizes]


def pyfastnoisesimd(setting: Setting, samples: int) -> Call:
    # Its genAsGrid uses np.product, which NumPy 2 no longer has; FillNoiseSet is what it calls after its checks.
    library = require("pyfastnoisesimd")
    noise = library.Noise(seed=0, numWorkers=1)
    noise.noiseType = library.NoiseType.PerlinFractal
    noise.fractal.octaves, noise.fractal.lacunarity, noise.fractal.gain = setting.octaves, 2, 0.5
    noise.frequency = 1
    noise.axesScales = (1,) * (3 - len(setting.sizes)) + tuple(setting.cells / n for n in setting.sizes)
    # Rows must fill whole vectors: wider rows are made, and only the pixels asked for are counted.
    lanes = library.extension.SIMD_ALIGNMENT // 4
    *rows, width = (1,) * (3 - len(setting.sizes)) + setting.sizes
    padded = (*rows, -(-width // lanes) * lanes)
    buffer = library.empty_aligned((samples, *padded))
    # Octave o of seed s is octave 0 of seed s + o: seeds stand apart, so that samples share nothing.
    seeds = count(1, step=setting.octaves)

    def call() -> np.ndarray:
        for sample in buffer:
            noise.seed = next(seeds)
            noise._fns.FillNoiseSet(sample, 0, 0, 0, *padded)
        return buffer[..., :width].reshape(samples, *setting.sizes)

    return call


def pyfastnoiselite(setting: Setting, samples: int) -> Call:
    library = require("pyfastnoiselite.pyfastnoiselite")
    noise = library.FastNoiseLite(0)
    noise.noise_type = library.NoiseType.NoiseType_Perlin
    noise.fractal_type = library.FractalType.FractalType_FBm
    noise.fractal_octaves, noise.fractal_lacunarity, noise.fractal_gain = setting.octaves, 2, 0.5
    noise.frequency = 1
    axes = np.meshgrid(*coordinates(setting), indexing="ij")
    points = np.stack([axis.ravel() for axis in reversed(axes)]).astype(np.float32)
    buffer = np.empty((samples, setting.pixels), np.float32)
    seeds = count(1, step=setting.octaves)

    def call() -> np.ndarray:
        for sample in buffer:
            noise.seed = next(seeds)
            sample[:] = noise.gen_from_coords(points)
        return buffer.reshape(samples, *setting.sizes)

    return call


def caseman_noise(setting: Setting, samples: int) -> Call:
    library = require("noise")
    point = library.pnoise2 if len(setting.sizes) == 2 else library.pnoise3
    axes = [axis.tolist() for axis in coordinates(setting)]
    buffer = np.empty((samples, *setting.sizes), np.float32)
    bases = count(1)

    def rows(base: int) -> Iterator[list[float]]:
        if len(axes) == 2:
            for y in axes[0]:
                yield [point(x, y, octaves=setting.octaves, base=base) for x in axes[1]]
        else:
            for z in axes[0]:
                for y in axes[1]:
                    yield [point(x, y, z, octaves=setting.octaves, base=base) for x in axes[2]]

    def call() -> np.ndarray:
        for sample in buffer:
            for row, values in zip(sample.reshape(-1, setting.sizes[-1]), rows(next(bases) % 256), strict=True):
                row[:] = values
        return buffer

    return call


def opensimplex(setting: Setting, samples: int) -> Call:
    library = require("opensimplex")
    axes = coordinates(setting)[::-1]  # it takes x, y, z
    buffer = np.empty((samples, *setting.sizes), np.float32)
    seeds = count(1)

    def call() -> np.ndarray:
        for sample in buffer:
            noise = library.OpenSimplex(next(seeds))
            grid = noise.noise2array if len(axes) == 2 else noise.noise3array
            sample[:] = 0
            for octave in range(setting.octaves):
                # Octaves stand apart in the plane, or their lattice points would meet at the origin.
                sample += 0.5**octave * grid(*(axis * 2**octave + 100 * octave for axis in axes))
        return buffer

    return call


def vnoise(setting: Setting, samples: int) -> Call:
    library = require("vnoise")
    axes = coordinates(setting)
    buffer = np.empty((samples, *setting.sizes), np.float32)
    seeds = count(1)

    def call() -> np.ndarray:
        for sample in buffer:
            noise = library.Noise(next(seeds))
            grid = noise.noise2 if len(axes) == 2 else noise.noise3
            sample[:] = grid(*axes, octaves=setting.octaves, grid_mode=True)
        return buffer

    return call


def perlin_numpy(setting: Setting, samples: int) -> Call:
    library = require("perlin_numpy")
    cells = setting.whole_cells()
    make = library.generate_fractal_noise_2d if len(setting.sizes) == 2 else library.generate_fractal_noise_3d
    generator = np.random.default_rng(0)
    buffer = np.empty((samples, *setting.sizes), np.float32)

    def call() -> np.ndarray:
        for sample in buffer:
            sample[:] = make(setting.sizes, cells[0], setting.octaves, rng=generator)
        return buffer

    return call


def pyperlin(setting: Setting, samples: int) -> Call:
    library = require("pyperlin")
    plane_only(setting)
    generator = torch.Generator().manual_seed(0)
    cells = setting.whole_cells()
    return library.FractalPerlin2D(
        (samples, *setting.sizes), cells, [0.5**octave for octave in range(len(cells))], generator
    )


def torch_tiled(setting: Setting, samples: int) -> Call:
    size, cells = plane_only(setting), setting.whole_cells()
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.stack([torch_noise.tiled_noise(size, cells, generator) for _ in range(samples)])


def torch_broadcast(setting: Setting, samples: int, blend: Callable[..., torch.Tensor] | None = None) -> Call:
    size, cells = plane_only(setting), setting.whole_cells()
    generator = torch.Generator().manual_seed(0)
    blend = blend or torch_noise.broadcast_noise
    return lambda: blend(size, torch_noise.random_gradients(samples, cells, generator))


def torch_compiled(setting: Setting, samples: int) -> Call:
    # fullgraph: an error rather than a quiet return to eager mode.
    return torch_broadcast(setting, samples, torch.compile(torch_noise.broadcast_noise, dynamic=False, fullgraph=True))


def numba_loop(setting: Setting, samples: int) -> Call:
    plane_only(setting)
    generator = np.random.default_rng(0)
    angles = np.arange(256) * (np.pi / 128)
    gradients = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    buffer = np.empty((samples, *setting.sizes), np.float32)

    def call() -> np.ndarray:
        for sample in buffer:
            textbook_noise(sample, generator.permutation(256), gradients, setting.cells, setting.octaves)
        return buffer

    return call


def plane_only(setting: Setting) -> tuple[int, int]:
    if len(setting.sizes) != 2:
        raise UnsupportedError("not possible: knows the plane only")
    return setting.sizes[0], setting.sizes[1]


PEERS = [
    Peer("pyfastnoisesimd", pyfastnoisesimd, 16, "pyfastnoisesimd"),
    Peer("torch broadcast, torch.compile", torch_compiled, 16),
    Peer("torch broadcast, eager", torch_broadcast, 16),
    Peer("pyperlin", pyperlin, 8, "pyperlin"),
    Peer("Numba loop, textbook formula", numba_loop, 4),
    Peer("pyfastnoiselite", pyfastnoiselite, 4, "pyfastnoiselite"),
    Peer("opensimplex", opensimplex, 1, "opensimplex"),
    Peer("torch rand_perlin_2d idiom", torch_tiled, 1),
    Peer("perlin-numpy", perlin_numpy, 1, "perlin-numpy", volumes=False),
    Peer("vnoise", vnoise, 1, "vnoise", volumes=False),
    Peer("noise", caseman_noise, 1, "noise", volumes=False),
]


def candidates(setting: Setting, expected: np.ndarray) -> tuple[list[Candidate], list[Absent]]:
    """Return the peers that can make this setting, each tried and checked, and the others with the reason.

    ``expected`` is a sample of ours at the same setting: the peer's must be as rough, or it is other noise.
    """
    present, absent = [], []
    for peer in PEERS:
        samples = max(1, min(peer.samples, setting.batch // 4))
        try:
            if len(setting.sizes) == 3 and not peer.volumes:
                raise UnsupportedError("left out: takes seconds for each volume")
            call = peer.make(setting, samples)
            made = as_array(call())
        except UnsupportedError as error:
            absent.append(Absent(peer.name, str(error)))
            continue
        except Exception as error:  # whatever an old package fails with today is said in its row
            absent.append(Absent(peer.name, f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"))
            continue
        check(peer.name, made, as_array(call()), (samples, *setting.sizes), roughness(expected))
        present.append(Candidate(peer.name, call, samples * setting.pixels, setting.amount(samples)))
    return present, absent


def as_array(noise: torch.Tensor | np.ndarray) -> np.ndarray:
    """Return a copy: peers use their buffers again."""
    return np.array(torch.as_tensor(noise).numpy())


def check(name: str, made: np.ndarray, again: np.ndarray, shape: tuple[int, ...], expected: float) -> None:
    """Assert that this is noise, that samples differ, and that it is about as rough as it must be."""
    assert made.shape == shape, (name, made.shape)
    assert np.isfinite(made).all(), name
    assert made.std() > 0.02, (name, made.std())
    samples = np.concatenate([made, again]).reshape(2 * shape[0], -1)
    correlation = np.corrcoef(samples[0], samples[-1])[0, 1]
    assert abs(correlation) < 0.9, (name, "samples are alike", correlation)
    found = float(np.median([roughness(sample) for sample in made]))
    assert 0.7 < found / expected < 1.4, (name, "other frequencies or octaves", found, expected)


def roughness(sample: np.ndarray) -> float:
    """Return the root mean square step between neighbours in a row, over the standard deviation."""
    return float(np.sqrt(np.mean(np.diff(sample, axis=-1) ** 2)) / sample.std())


def versions() -> list[str]:
    """Return name and version of each peer that is a package, or that it is absent."""
    found = []
    for peer in PEERS:
        if peer.distribution:
            try:
                found.append(f"{peer.distribution} {version(peer.distribution)}")
            except PackageNotFoundError:
                found.append(f"{peer.distribution} absent")
    return found
