"""Octave noise on every backend: the textbook in float64, known answers, formats, where results go, errors."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch

import plr_fast
from plr_fast import perlin_noise

# 1e-5 is the promise; what float32 really leaves is below 1e-6 (24 octaves of three roundings each stay below 3e-6).
TOLERANCE = 1e-5

SETTINGS: list[dict[str, Any]] = [
    {},
    {"cells": 1, "octaves": 1},
    {"cells": 5.3},
    {"cells": (2, 7.5), "octaves": 3},
    {"cells": 64, "octaves": 2},
    {"cells": 300, "octaves": 1},  # cells narrower than a pixel, lattice beyond its period
    {"cells": 2, "octaves": 9, "persistence": 0.9},  # more octaves than one unrolled sum holds
    {"cells": 3, "octaves": 3, "lacunarity": 1.7},
    {"cells": 4, "tileable": True},
    {"cells": 300, "octaves": 1, "tileable": True},
    {"cells": 0.3, "octaves": 2},
    {"persistence": 0.0},
]
# Around the widths of vectors, and the smallest.
SIZES = [(1, 1), (1, 17), (7, 1), (15, 16), (17, 33), (31, 64), (48, 65), (5, 129)]


def with_reference(*args: Any, **kwargs: Any) -> torch.Tensor:
    plr_fast.use_backend("reference")
    try:
        return perlin_noise(*args, **kwargs)
    finally:
        plr_fast.use_backend("auto")


@pytest.mark.parametrize("setting", SETTINGS)
def test_equals_the_textbook(backend: str, setting: dict[str, Any]) -> None:
    results = [perlin_noise((2, *size), seed=11, **setting) for size in SIZES]
    for size, result in zip(SIZES, results, strict=True):
        torch.testing.assert_close(result, with_reference((2, *size), seed=11, **setting), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("setting", [{}, {"cells": (1, 2.5, 3), "octaves": 2}, {"tileable": True, "octaves": 2}])
@pytest.mark.parametrize("size", [(1, 1, 1), (5, 9, 17), (12, 16, 7)])
def test_volumes_equal_the_textbook(backend: str, size: tuple[int, int, int], setting: dict[str, Any]) -> None:
    result = perlin_noise((2, *size), seed=5, **setting)
    torch.testing.assert_close(result, with_reference((2, *size), seed=5, **setting), atol=TOLERANCE, rtol=0)


# Digests of the exact bits: a change of meaning, however small, cannot slip in.
KNOWN = [
    (((3, 61, 83),), {"seed": 42}, "afa9d22813a5e135"),
    (((2, 40, 40),), {"seed": 2**64 - 1, "cells": 5.3, "octaves": 6, "samples": [-1, 2**62]}, "9770afd78cba2b6b"),
    (((2, 9, 20, 31),), {"seed": 1, "octaves": 3}, "9459e1fea9f10929"),
    (((2, 64, 64),), {"seed": 7, "dtype": "uint8", "grey": "minmax"}, "879e7f17c79af387"),
    (((2, 64, 64),), {"seed": 7, "dtype": "uint8", "tileable": True}, "a4b8e4fcc75b6265"),
    (((2, 33, 33),), {"seed": 7, "dtype": "float16"}, "13d993f3096978f3"),
    (((3, 50, 67),), {"seed": 9, "octaves": 5, "dtype": "bfloat16"}, "8ae97d52b01bd204"),
    (((2, 96, 130),), {"seed": 3, "cells": 64, "octaves": 1}, "a28da9b0461ac4f3"),
    (((2, 33, 700),), {"seed": 11}, "c46c6ca9fc46f2c5"),
    (
        ((2, 33, 700),),
        {"seed": 11, "cells": (3, 170.5), "octaves": 3, "lacunarity": 1.9, "persistence": 0.8},
        "36af826b546ed99c",
    ),
    (
        ((2, 7, 30, 41),),
        {"seed": 5, "cells": (1.5, 3, 4), "dtype": "uint8", "grey": "minmax"},
        "3122d677c4217dd4",
    ),
]


@pytest.mark.parametrize(("args", "kwargs", "digest"), KNOWN)
def test_known_answers(backend: str, args: Any, kwargs: dict[str, Any], digest: str) -> None:
    result = perlin_noise(*args, **kwargs)
    result = result.view(torch.uint16) if result.dtype == torch.bfloat16 else result  # NumPy has no bfloat16
    assert hashlib.sha256(result.numpy().tobytes()).hexdigest()[:16] == digest


def test_tileable_edges_meet(backend: str) -> None:
    noise = perlin_noise((4, 64, 96), cells=(2, 3), octaves=4, tileable=True, seed=8)
    plain = perlin_noise((4, 64, 96), cells=(2, 3), octaves=4, seed=8)
    for dim in (1, 2):
        wrapped = torch.cat([noise, noise], dim).diff(dim=dim).abs()
        seam = wrapped.select(dim, noise.shape[dim] - 1)
        assert seam.max() <= noise.diff(dim=dim).abs().max() * 1.01
        assert torch.cat([plain, plain], dim).diff(dim=dim).select(dim, plain.shape[dim] - 1).abs().max() > seam.max()


@pytest.mark.parametrize(("dtype", "target"), [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
def test_half_formats_are_rounded_to_nearest_even(backend: str, dtype: Any, target: torch.dtype) -> None:
    full = perlin_noise((6, 67, 71), seed=2, octaves=5)
    assert torch.equal(perlin_noise((6, 67, 71), seed=2, octaves=5, dtype=dtype), full.to(target))
    assert torch.equal(perlin_noise((6, 67, 71), seed=2, octaves=5, dtype=target), full.to(target))


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8"])
def test_dtypes_of_numpy_are_those_of_torch(dtype: Any) -> None:
    expected = perlin_noise((2, 9, 8), dtype=dtype)
    for same in (np.dtype(dtype), getattr(np, dtype), getattr(torch, dtype)):
        assert torch.equal(perlin_noise((2, 9, 8), dtype=same), expected)
    with pytest.raises(ValueError, match="not 'float64'"):
        perlin_noise((2, 9, 8), dtype=np.float64)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("grey", ["fixed", "minmax"])
def test_other_formats_equal_the_textbook(backend: str, dtype: Any, grey: Any) -> None:
    kwargs = {"dtype": dtype, "grey": grey, "seed": 6}
    result, expected = perlin_noise((3, 40, 51), **kwargs), with_reference((3, 40, 51), **kwargs)
    # Where the float64 value lies at a rounding boundary, float32 may fall to the other side: one step, seldom.
    difference = (result.double() - expected.double()).abs()
    step = {"float16": 2**-11, "bfloat16": 2**-8, "uint8": 1}[dtype]
    assert difference.max() <= step
    assert (difference > 0).double().mean() < 0.01


def test_grey_is_the_rounded_value(backend: str) -> None:
    full = perlin_noise((4, 51, 43), seed=2).double()
    fixed = perlin_noise((4, 51, 43), seed=2, dtype="uint8").double()
    assert ((full + 1) * 127.5 - fixed).abs().max() <= 0.5001  # 1e-4: one rounding in float32
    low, high = full.amin((1, 2), keepdim=True), full.amax((1, 2), keepdim=True)
    stretched = perlin_noise((4, 51, 43), seed=2, dtype="uint8", grey="minmax").double()
    assert ((full - low) / (high - low) * 255 - stretched).abs().max() <= 0.5001
    assert stretched.amin((1, 2)).tolist() == [0] * 4
    assert stretched.amax((1, 2)).tolist() == [255] * 4


def test_flat_samples_become_black_under_minmax(backend: str) -> None:
    assert perlin_noise((2, 1, 1), dtype="uint8", grey="minmax").tolist() == [[[0]], [[0]]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8"])
def test_out_of_any_strides(backend: str, dtype: Any) -> None:
    plain = perlin_noise((3, 12, 20), seed=1, dtype=dtype)
    torch_dtype = plain.dtype
    layouts = [
        torch.empty(3, 12, 20, dtype=torch_dtype),
        torch.empty(5, 30, 40, dtype=torch_dtype)[1:4, 3:15, 7:27],
        torch.empty(20, 12, 3, dtype=torch_dtype).permute(2, 1, 0),
        torch.empty(3, 12, 40, dtype=torch_dtype)[:, :, ::2],
        torch.empty(12, 3, 20, dtype=torch_dtype).transpose(0, 1),
    ]
    for out in layouts:
        assert perlin_noise(out.shape, seed=1, dtype=dtype, out=out) is out
        assert torch.equal(out, plain)


def test_out_may_be_numpy_also_upside_down(backend: str) -> None:
    plain = perlin_noise((2, 12, 20), seed=1)
    out = np.empty((2, 12, 20), np.float32)
    assert perlin_noise(out.shape, seed=1, out=out[:, ::-1]) is not None
    np.testing.assert_array_equal(out[:, ::-1], plain)


def test_nothing_outside_out_is_touched(backend: str) -> None:
    whole = torch.full((4, 20, 50), 7.0)
    perlin_noise((2, 10, 33), out=whole[1:3, 5:15, 9:42])
    inside = torch.zeros(4, 20, 50, dtype=torch.bool)
    inside[1:3, 5:15, 9:42] = True
    assert (whole[~inside] == 7).all()
    assert (whole[inside].abs() <= 1).all()


def test_empty_batch(backend: str) -> None:
    assert perlin_noise((0, 8, 8)).shape == (0, 8, 8)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"shape": (8, 8)}, ValueError, r"shape must be \(B, H, W\)"),
    ({"shape": 8}, TypeError, "shape must be"),
    ({"shape": (1, -8, 8)}, ValueError, r"shape\[1\]"),
    ({"shape": (1, 8, 0)}, ValueError, r"shape\[2\]"),
    ({"shape": (1, 8.0, 8)}, TypeError, r"shape\[1\] must be an integer"),
    ({"shape": (2**20, 2**20, 2**20)}, MemoryError, "this machine has"),
    ({"cells": 0}, ValueError, "cells"),
    ({"cells": -3}, ValueError, "cells"),
    ({"cells": float("nan")}, ValueError, "cells"),
    ({"cells": (1, 2, 3)}, ValueError, "one for each of the 2 axes"),
    ({"cells": "4"}, TypeError, "cells must be a number"),
    ({"octaves": 0}, ValueError, "octaves"),
    ({"octaves": 25}, ValueError, "octaves"),
    ({"octaves": 2.0}, TypeError, "octaves"),
    ({"persistence": -1}, ValueError, "persistence"),
    ({"lacunarity": 0.5}, ValueError, "lacunarity"),
    ({"cells": 1000, "octaves": 24, "lacunarity": 4}, ValueError, "lower octaves"),
    ({"seed": -1}, ValueError, "seed"),
    ({"seed": 2**64}, ValueError, "seed"),
    ({"seed": True}, TypeError, "seed"),
    ({"samples": [1]}, ValueError, "one id for each of the 2 samples"),
    ({"samples": [0.5, 1]}, TypeError, "samples must be integers"),
    ({"samples": [2**63, 0]}, ValueError, "samples"),
    ({"samples": 5}, TypeError, "samples must be a sequence"),
    ({"tileable": "no"}, TypeError, "tileable must be True or False"),
    ({"grey": "log"}, ValueError, "grey must be one of"),
    ({"out": torch.empty(2, 8, 8, dtype=torch.uint8)}, ValueError, "pass dtype='uint8'"),
    ({"out": torch.empty(2, 8, 8, requires_grad=True)}, ValueError, "out requires grad"),
    ({"out": torch.empty(200).as_strided((2, 8, 8), (8, 4, 1))}, ValueError, "same memory several times"),
    ({"tileable": True, "cells": 4.5}, ValueError, "whole cells in every octave, but octave 0"),
    ({"tileable": True, "lacunarity": 1.5, "cells": 2}, ValueError, "octave 2"),
    ({"dtype": "float64"}, ValueError, "dtype must be one of"),
    ({"dtype": "uint8", "grey": "log"}, ValueError, "grey must be one of"),
    ({"device": "mps"}, ValueError, "run on the CPU and on CUDA devices"),
    ({"device": "abacus"}, ValueError, "device"),
    ({"out": torch.empty(2, 8, 9)}, ValueError, "out must have shape"),
    ({"out": torch.empty(2, 8, 8, dtype=torch.float64)}, ValueError, "out has dtype"),
    ({"out": torch.empty(2, 8, 8, device="meta")}, ValueError, "out is on meta"),
    ({"out": torch.empty(1, 8, 8).expand(2, 8, 8)}, ValueError, "same memory several times"),
    ({"shape": (1, 1, 2**30), "octaves": 24}, MemoryError, "this machine has"),
    ({"out": [[0.0]]}, TypeError, "out must be a torch tensor"),
]


@pytest.mark.parametrize(("kwargs", "error", "message"), BAD)
def test_bad_arguments(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    kwargs = {"shape": (2, 8, 8), **kwargs}
    with pytest.raises(error, match=message):
        perlin_noise(kwargs.pop("shape"), **kwargs)


def test_torch_default_device_makes_no_difference(backend: str) -> None:
    expected = perlin_noise((1, 8, 8))
    torch.set_default_device("meta")
    try:
        assert torch.equal(perlin_noise((1, 8, 8)), expected)
    finally:
        torch.set_default_device(None)


def test_read_only_out_is_refused() -> None:
    out = np.zeros((1, 4, 4), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        perlin_noise((1, 4, 4), out=out)
