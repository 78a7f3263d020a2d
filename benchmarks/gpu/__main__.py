"""Measure on a GPU, and write a table and JSON: ``python -m benchmarks.gpu --output FOLDER``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import plr_fast
from benchmarks.gpu import clock, peers
from plr_fast.backends import active_name
from plr_fast.ops.homes import missing_gpu

BATCH, SIZE = 256, 512
PIXELS = BATCH * SIZE * SIZE
NO_GPU = 77


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/gpu"), metavar="FOLDER")
    options = parser.parse_args(arguments)
    why = missing_gpu()
    if why is not None:
        sys.stderr.write(f"no GPU to measure: {why}\n")
        return NO_GPU
    facts = {
        "device": torch.cuda.get_device_name(), "torch": torch.__version__, "cuda": torch.version.cuda,
        "backend": active_name("cuda"), "plr_fast": plr_fast.__version__,
    }  # fmt: skip
    rows = [*noise(), *lesions(), *small_batch(), *bank()]
    options.output.mkdir(parents=True, exist_ok=True)
    text = table(facts, rows)
    (options.output / "gpu_results.json").write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n")
    (options.output / "RESULTS-gpu.md").write_text(text)
    sys.stdout.write(text)
    return 0


def row(what: str, seconds: float, moved: int, limit: float | None = None, target: str = "") -> dict[str, Any]:
    """One line: bytes moved per second, their share of the limit in bytes per second, and what was aimed at."""
    rate = moved / seconds
    share = rate / limit if limit else None
    return {"what": what, "seconds": seconds, "bytes_per_second": rate, "share": share, "target": target}


def noise() -> list[dict[str, Any]]:
    """Noise of 256 x 512 x 512 beside filling the same memory, and beside peers."""
    out = torch.empty(BATCH, SIZE, SIZE, device="cuda")
    grey = torch.empty(BATCH, SIZE, SIZE, device="cuda", dtype=torch.uint8)
    calls: dict[str, Callable[[], object]] = {
        "fill_ float32": lambda: out.fill_(0.5),
        "fill_ uint8": lambda: grey.fill_(7),
    }
    for octaves in (1, 4, 6, 8):
        calls[f"noise float32, {octaves} octaves"] = lambda n=octaves: plr_fast.perlin_noise(
            out.shape, octaves=n, out=out
        )
    for kind in ("fixed", "minmax"):
        calls[f"noise uint8 {kind}, 4 octaves"] = lambda k=kind: plr_fast.perlin_noise(
            grey.shape, dtype="uint8", grey=k, out=grey
        )
    volume = out.view(2, 128, SIZE, SIZE)
    calls["noise float32 3-D, 4 octaves"] = lambda: plr_fast.perlin_noise(volume.shape, out=volume)
    times = clock.seconds(calls)
    fill, fill_grey = 4 * PIXELS / times["fill_ float32"], PIXELS / times["fill_ uint8"]
    aims = {
        "noise float32, 4 octaves": "0.80 of fill_", "noise float32, 6 octaves": "0.60 of fill_",
        "noise uint8 fixed, 4 octaves": "0.5 of float32's bytes per second",
    }  # fmt: skip
    rows = [row(f"fill_ {d}", times[f"fill_ {d}"], PIXELS * s) for d, s in (("float32", 4), ("uint8", 1))]
    for name in list(calls)[2:]:
        is_grey = "uint8" in name
        moved, limit = (PIXELS, fill_grey) if is_grey else (4 * PIXELS, fill)
        rows.append(row(name, times[name], moved, limit, aims.get(name, "")))
    few = 32  # peers hold many temporary arrays
    compiled = torch.compile(peers.torch_octaves)
    others: dict[str, Callable[[], object] | None] = {
        "torch idiom, 4 octaves": lambda: peers.torch_octaves(few, SIZE, 4, 4, "cuda"),
        "torch idiom under torch.compile, 4 octaves": lambda: compiled(few, SIZE, 4, 4, "cuda"),
        "CuPy kernel, one thread per pixel, 4 octaves": peers.cupy_kernel(few, SIZE, 4, 4),
        "pyperlin, 4 octaves": peers.pyperlin(few, SIZE, 4, 4),
        "anomalib's way, 1 octave": lambda: peers.anomalib_masks(few, SIZE, "cuda"),
    }
    present = {name: call for name, call in others.items() if call is not None}
    for name, spent in clock.seconds(present, rounds=7).items():
        rows.append(row(f"{name} (batch {few})", spent, 4 * few * SIZE * SIZE, fill))
    return rows


def scene(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return random slices and masks of two lungs, a quarter of the pixels."""
    images = torch.randint(0, 256, (batch, SIZE, SIZE), dtype=torch.uint8, device="cuda")
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    lungs = ((np.abs(x) - 0.2) / 0.13) ** 2 + (y / 0.3) ** 2 < 1
    return images, torch.from_numpy(lungs).to("cuda").expand(batch, -1, -1).contiguous()


def lesions() -> list[dict[str, Any]]:
    """The three corruptions of 256 slices beside copying them."""
    images, masks = scene(BATCH)
    out = torch.empty_like(images)
    placed = plr_fast.LesionBank.generate().to("cuda")
    fresh = plr_fast.FreshLesions(device="cuda")
    index = plr_fast.index_masks(masks)
    floats = images / 255
    float_out = torch.empty_like(floats)
    times = clock.seconds(
        {
            "copy_ uint8": lambda: out.copy_(images),
            "copy_ float32": lambda: float_out.copy_(floats),
            "paste 30 patches, masks": lambda: plr_fast.paste_lesions(images, masks, placed, out=out),
            "paste 30 patches, index": lambda: plr_fast.paste_lesions(images, index, placed, out=out),
            "paste 30 patches, index, float32": lambda: plr_fast.paste_lesions(floats, index, placed, out=float_out),
            "paste 30 fresh, index": lambda: plr_fast.paste_lesions(images, index, fresh, out=out),
            "clouds, no least area, index": lambda: plr_fast.paste_clouds(images, index, min_area=0, out=out),
            "clouds, index": lambda: plr_fast.paste_clouds(images, index, out=out),
            "blur 5 x 5": lambda: plr_fast.gaussian_blur(images, out=out),
            "shuffle 10 x 10": lambda: plr_fast.local_shuffle(images, out=out),
        }
    )
    copy, copy_float = 2 * PIXELS / times["copy_ uint8"], 8 * PIXELS / times["copy_ float32"]
    rows = []
    for name, spent in times.items():
        # Bytes that must be read and written: slices in and out, and masks where they are given as such.
        wide = "float32" in name
        moved = (8 if wide else 2) * PIXELS + (PIXELS if "masks" in name else 0)
        limit = None if name.startswith("copy_") else (copy_float if wide else copy)
        target = "0.60 of copy_" if name.startswith("paste 30 patches") else ""
        rows.append(row(name, spent, moved, limit, target))
    return rows


def small_batch() -> list[dict[str, Any]]:
    """The paper's batch, 4 x 512 x 512, recorded in a graph."""
    images, masks = scene(4)
    transform = plr_fast.PseudoLesionTransform(device="cuda")
    index, out = plr_fast.index_masks(masks), torch.empty_like(images)
    ids = torch.arange(4, device="cuda")
    noise_out = torch.empty(4, SIZE, SIZE, device="cuda")
    calls: dict[str, Callable[[], object]] = {
        "batch of 4, perlin, index": lambda: transform(images, index, samples=ids, out=out),
        "batch of 4, perlin, masks": lambda: transform(images, masks, samples=ids, out=out),
        "batch of 4, clouds, index": lambda: plr_fast.paste_clouds(images, index, samples=ids, out=out),
        "batch of 4, noise float32, 4 octaves": lambda: plr_fast.perlin_noise(
            noise_out.shape, samples=ids, out=noise_out
        ),
    }
    graphs = {f"{name}, in a graph": clock.replayed(call) for name, call in calls.items()}
    rows = []
    for name, spent in clock.seconds({**graphs, **calls}).items():
        aim = "30 us" if "perlin" in name and "graph" in name else ""
        rows.append(row(name, spent, 2 * images.nbytes, target=aim))
    return rows


def bank() -> list[dict[str, Any]]:
    """The bank of the paper's size, made on the CPU and taken to the GPU, by the wall's clock."""
    spent = []
    for seed in range(5):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        made = plr_fast.LesionBank.generate(seed=seed, device="cuda")
        torch.cuda.synchronize()
        spent.append(time.perf_counter() - begun)
    return [row("bank of 5,000 patches", sorted(spent)[2], made.packed.pixels.nbytes, target="5 ms")]


def table(facts: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    lines = [
        f"# On a GPU: {facts['device']}", "",
        f"plr_fast {facts['plr_fast']}, backend {facts['backend']}, torch {facts['torch']}, CUDA {facts['cuda']}; "
        f"{BATCH} x {SIZE} x {SIZE} unless said otherwise; medians of CUDA events, `python -m benchmarks.gpu`.", "",
        "| what | ms | GB/s | share of the limit | target |", "|---|---:|---:|---:|---|",
    ]  # fmt: skip
    for r in rows:
        share = "" if r["share"] is None else f"{r['share']:.2f}"
        lines.append(
            f"| {r['what']} | {r['seconds'] * 1e3:.4g} | {r['bytes_per_second'] / 1e9:,.0f} | {share} | {r['target']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
