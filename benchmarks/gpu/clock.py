"""Times on a GPU: CUDA events around a call, candidates in turns, medians."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

_WARM_UP = 3
_SHORTEST = 2e-3  # seconds of an event pair: shorter calls are repeated inside it


def seconds(candidates: dict[str, Callable[[], object]], rounds: int = 15) -> dict[str, float]:
    """Return the median time of each call, all measured in turns, so that a change of clock meets all of them."""
    repeats = {}
    for name, call in candidates.items():
        for _ in range(_WARM_UP):
            call()
        repeats[name] = max(1, min(200, int(_SHORTEST / max(_elapsed(call, 3), 1e-7))))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            times[name].append(_elapsed(call, repeats[name]))
    return {name: statistics.median(found) for name, found in times.items()}


def replayed(call: Callable[[], object]) -> Callable[[], None]:
    """Return the replay of a call recorded in a CUDA graph: its time on the GPU, without queueing its launches."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def _elapsed(call: Callable[[], object], repeats: int) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / repeats
