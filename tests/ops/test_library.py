"""The operators of torch: opcheck, and functions compiled as one graph that give the bits of the plain call."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo.testing

import plr_fast
from plr_fast import (
    EmptyMaskWarning,
    LesionBank,
    gaussian_blur,
    local_shuffle,
    paste_clouds,
    paste_lesions,
    perlin_noise,
)

BANK = LesionBank.generate(count=20, images=4, size=64, seed=1)
PACKED = [torch.from_numpy(part) for part in vars(BANK.packed).values()]
PUBLIC: list[Callable[..., Any]] = [perlin_noise, paste_lesions, paste_clouds, gaussian_blur, local_shuffle]
IDS = torch.tensor([7, -1])


def images(dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = (2, 30, 41)) -> torch.Tensor:
    grey = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return grey if dtype == torch.uint8 else grey / 255


MASKS = images(torch.uint8) > 99


@pytest.fixture(autouse=True)
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


NOISE: dict[str, Any] = {
    "cells": [4.0, 5.5], "octaves": 2, "persistence": 0.5, "lacunarity": 2.0, "seed": -1, "samples": IDS,
    "tileable": False, "dtype": torch.float32, "grey": "fixed",
}  # fmt: skip
PASTE: dict[str, Any] = {
    "count": [1, 9], "blend": "alpha", "alpha": [0.3, 0.9], "feather": 2, "shape": "ellipse", "inside": "centre",
    "seed": 5, "samples": None, "check": True,
}  # fmt: skip
CLOUDS: dict[str, Any] = {
    "cells": [4.0, 3.0], "octaves": 3, "persistence": 0.5, "lacunarity": 2.0, "combine": "any", "threshold": [120, 150],
    "softness": 32, "texture": [110, 210], "blend": "alpha", "alpha": [0.3, 0.8], "min_area": 1, "seed": -1,
    "samples": IDS, "check": None,
}  # fmt: skip
BLUR: dict[str, Any] = {
    "size": 5, "sigma": 0.0, "windows": None, "window": None, "seed": 5, "samples": None, "check": True,
}  # fmt: skip
SHUFFLE: dict[str, Any] = {
    "grid": [3, 4], "windows": None, "window": None, "seed": 5, "samples": IDS, "check": False,
}  # fmt: skip
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("perlin_noise", ([2, 30, 41],), NOISE),
    ("perlin_noise", ([2, 5, 9, 8],), {**NOISE, "cells": [4.0, 3.0, 2.5], "samples": None, "dtype": torch.bfloat16}),
    ("perlin_noise", ([2, 30, 41],), {**NOISE, "dtype": torch.uint8, "grey": "minmax"}),
    ("perlin_noise_out", (torch.empty(2, 41, 30).transpose(1, 2), [2, 30, 41]), NOISE),
    ("paste_lesions", (images(), MASKS, *PACKED), PASTE),
    ("paste_lesions", (images(torch.uint8)[:, None], MASKS, *PACKED), {**PASTE, "blend": "max", "samples": IDS}),
    ("paste_lesions_out", (torch.empty(2, 30, 41), images(), MASKS, *PACKED), PASTE),
    ("paste_clouds", (images(), MASKS), CLOUDS),
    ("paste_clouds_out", (torch.empty(2, 30, 41), images(), MASKS), {**CLOUDS, "blend": "add", "samples": None}),
    ("gaussian_blur", (images(),), BLUR),
    ("gaussian_blur", (images(torch.uint8),), {**BLUR, "windows": 5, "window": [2, 9]}),
    ("gaussian_blur_out", (torch.empty(2, 30, 41), images()), BLUR),
    ("local_shuffle", (images(),), SHUFFLE),
    ("local_shuffle_out", (torch.empty(2, 30, 41), images()), {**SHUFFLE, "windows": 3}),
]


@pytest.mark.parametrize(("name", "arguments", "settings"), CALLS, ids=[f"{c[0]}-{i}" for i, c in enumerate(CALLS)])
def test_opcheck(name: str, arguments: tuple[Any, ...], settings: dict[str, Any]) -> None:
    results = torch.library.opcheck(getattr(torch.ops.plr_fast, name).default, arguments, settings)
    assert set(results.values()) == {"SUCCESS"}, results


@pytest.mark.parametrize("function", PUBLIC, ids=lambda f: f.__name__)
def test_operators_have_every_argument_of_their_function(function: Callable[..., Any]) -> None:
    public = set(inspect.signature(function).parameters) - {"out", "bank", "return_info", "lesion_mask"}
    bank = {"pixels", "offsets", "heights", "widths"} if function is paste_lesions else set()
    for suffix, added in (("", set()), ("_out", {"out"})):
        schema = getattr(torch.ops.plr_fast, function.__name__ + suffix).default._schema
        assert {argument.name for argument in schema.arguments} == public | bank | added
        assert schema.is_mutable == bool(suffix)


def pseudo(shape: tuple[int, ...], masks: torch.Tensor, bank: LesionBank, seed: int, ids: torch.Tensor) -> torch.Tensor:
    background = perlin_noise(shape, cells=(3, 4), octaves=2, seed=seed, samples=ids) * 0.4 + 0.5
    return 1 - paste_lesions(background, masks, bank, blend="alpha", alpha=(0.3, 0.9), seed=seed, samples=ids)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own, when Inductor is loaded
@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_a_compiled_function_gives_the_same_bits(backend: str) -> None:
    arguments = ((2, 30, 41), MASKS, BANK, 2**64 - 1, IDS)
    compiled = torch.compile(pseudo, fullgraph=True, backend=backend)
    assert torch.equal(compiled(*arguments), pseudo(*arguments))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_every_operation_and_argument_can_be_compiled(backend: str) -> None:
    def everything(x: torch.Tensor, masks: torch.Tensor) -> list[torch.Tensor]:
        grey = (x * 255).to(torch.uint8)
        return [
            perlin_noise((3, 9, 8), dtype="uint8", grey="minmax", samples=[5, 2**63 - 1, -4]),
            perlin_noise([1, 4, 9, 8], cells=2, tileable=True, dtype=torch.float16, device="cpu", samples=range(3, 4)),
            perlin_noise(x.shape, samples=np.array([3, 4])),
            paste_lesions(grey[:, None], masks, BANK, count=3),
            paste_clouds(x, masks, threshold=140, texture=200, alpha=0.5, samples=[3, 4]),
            paste_clouds(grey[:, None], masks, cells=(3, 5), combine="union", blend="add", seed=2**64 - 1),
            gaussian_blur(x, size=3, sigma=1.5),
            gaussian_blur(grey, windows=4, window=(2, 5), seed=8),
            local_shuffle(x, grid=(2, 3)),
            local_shuffle(x.transpose(1, 2), windows=4, window=3, samples=IDS, check=False),
        ]

    compiled = torch.compile(everything, fullgraph=True, backend=backend)
    for got, expected in zip(compiled(images(), MASKS), everything(images(), MASKS), strict=True):
        assert (got.dtype, got.stride()) == (expected.dtype, expected.stride())
        assert torch.equal(got, expected)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_out_is_written_and_returned(backend: str) -> None:
    def chain(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        perlin_noise(out.shape, seed=3, out=out)
        noise = out.clone()
        paste_lesions(x, MASKS, BANK, out=x)  # in place
        paste_clouds(x, MASKS, seed=9, out=x)
        gaussian_blur(x, out=out)
        return noise + local_shuffle(out, out=out)

    given = [(images(), torch.empty(2, 30, 41)) for _ in range(2)]
    results = [torch.compile(chain, fullgraph=True, backend=backend)(*given[0]), chain(*given[1])]
    assert torch.equal(*results)
    for compiled, plain in zip(*given, strict=True):
        assert torch.equal(compiled, plain)


def test_a_graph_serves_other_seeds_samples_batches_and_banks() -> None:
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(pseudo, fullgraph=True, backend=counter, dynamic=True)
    banks = [LesionBank.generate(count=n, images=4, size=64, seed=2) for n in (15, 25)]
    graphs = []
    for seed, size, bank in ((1, 2, BANK), (2, 3, BANK), (3, 4, banks[0]), (2**63 - 1, 5, banks[1])):
        masks = MASKS[torch.arange(size) % 2]
        arguments = ((size, 30, 41), masks, bank, seed, torch.arange(size) * 5 - 7)
        assert torch.equal(compiled(*arguments), pseudo(*arguments))
        graphs.append(counter.frame_count)
    assert graphs == [1, 1, 1, 1]


def test_without_dynamic_a_second_seed_makes_one_more_graph_and_a_third_none() -> None:
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(lambda seed: perlin_noise((1, 8, 8), seed=seed), fullgraph=True, backend=counter)
    graphs = []
    for seed in (1, 2, 3, 2**62):
        assert torch.equal(compiled(seed), perlin_noise((1, 8, 8), seed=seed))
        graphs.append(counter.frame_count)
    assert graphs == [1, 2, 2, 2]


def test_large_seeds_keep_their_bits() -> None:
    compiled = torch.compile(lambda seed: perlin_noise((1, 8, 8), seed=seed), fullgraph=True, backend="eager")
    for seed in (2**64 - 1, 2**63, 2**63 - 1, 2**63 + 5, 0):
        assert torch.equal(compiled(seed), perlin_noise((1, 8, 8), seed=seed))


def test_images_that_want_gradients_are_read_as_they_are() -> None:
    x = images().requires_grad_()
    result = torch.compile(lambda x: paste_lesions(x, MASKS, BANK), fullgraph=True, backend="aot_eager")(x)
    assert not result.requires_grad
    assert torch.equal(result, paste_lesions(x, MASKS, BANK))


def test_errors_and_warnings_are_those_of_the_plain_call() -> None:
    with pytest.raises(ValueError, match=r"octaves must be 1\.\.24, not 25"):
        torch.compile(lambda: perlin_noise((1, 8, 8), octaves=25), fullgraph=True, backend="eager")()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="seed must be 0"):
        torch.compile(lambda: perlin_noise((1, 8, 8), seed=-1), fullgraph=True, backend="eager")()
    with pytest.raises(TypeError, match="bank must be a LesionBank, not list"):
        torch.compile(lambda x: paste_lesions(x, MASKS, [x]), backend="eager")(images())  # type: ignore[call-overload]
    with pytest.warns(EmptyMaskWarning, match="2 of 2 masks are empty"):
        torch.compile(lambda x: paste_lesions(x, MASKS & False, BANK), fullgraph=True, backend="eager")(images())


def test_a_damaged_bank_is_refused() -> None:
    pixels, *rest = PACKED
    with pytest.raises(ValueError, match="do not make a lesion bank"):
        torch.ops.plr_fast.paste_lesions(images(), MASKS, pixels[:-1], *rest, **PASTE)


CALLS_OUTSIDE: list[Callable[[torch.Tensor], Any]] = [
    lambda x: paste_lesions(x, MASKS, BANK, return_info=True)[1].counts,
    lambda x: paste_lesions(x.numpy(), MASKS.numpy(), BANK),
    lambda x: paste_clouds(x, MASKS, return_info=True)[1].area,
    lambda x: gaussian_blur(x.numpy()),
    lambda x: local_shuffle(x.numpy()),
    lambda x: perlin_noise(x.shape, out=np.empty(x.shape, np.float32)),
]


@pytest.mark.parametrize("function", CALLS_OUTSIDE, ids=["info", "paste", "clouds", "blur", "shuffle", "noise"])
def test_what_no_graph_can_hold_runs_beside_it(function: Callable[[torch.Tensor], Any]) -> None:
    x = images()
    result = torch.compile(function, backend="eager")(x)
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, function(x))
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="are not part of a graph: pass torch tensors"):
        torch.compile(function, fullgraph=True, backend="eager")(x)


def test_export_holds_the_operators() -> None:
    class Corrupt(torch.nn.Module):
        def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            return local_shuffle(paste_lesions(x, MASKS, BANK, seed=4, samples=ids), seed=4)

    program = torch.export.export(Corrupt(), (images(), IDS))
    names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert [name for name in names if name.startswith("plr_fast")] == [
        "plr_fast.paste_lesions.default",
        "plr_fast.local_shuffle.default",
    ]
    assert torch.equal(program.module()(images(), IDS), Corrupt()(images(), IDS))


def test_plain_calls_skip_the_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plr_fast.ops.tracing, "_call", lambda *_: pytest.fail("an operator was called"))
    x = images()
    for call in (lambda: perlin_noise((1, 8, 8)), lambda: paste_lesions(x, MASKS, BANK), lambda: gaussian_blur(x)):
        call()


def test_importing_the_operations_does_not_load_dynamo() -> None:
    code = "import sys, torch; old = set(sys.modules); import plr_fast.ops; print(sorted(set(sys.modules) - old))"
    loaded = eval(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert "plr_fast.ops.library" in loaded
    assert not [name for name in loaded if name.startswith(("torch._dynamo", "torch._inductor"))]
