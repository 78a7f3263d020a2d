"""How many threads an operation may use, and a way for the Python backends to use them."""

from __future__ import annotations

import math
import operator
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path

_chosen: int | None = None
_executor: tuple[int, int, ThreadPoolExecutor] | None = None  # process id, size, pool


def set_num_threads(n: int | None) -> None:
    """Set how many threads each operation may use in this process; ``None`` goes back to the default.

    The default is the number of CPUs that this process may use (affinity and cgroup quota), and 1 inside a worker of
    a ``torch.utils.data.DataLoader``. Results never depend on it.

    Raises:
        TypeError: ``n`` is not an integer.
        ValueError: ``n`` is below 1 or above 1024.
    """
    global _chosen
    if n is not None:
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"n must be an int or None, not {type(n).__name__}")
        n = operator.index(n)
        if not 1 <= n <= 1024:
            raise ValueError(f"n must be 1..1024, not {n}")
    _chosen = n


def get_num_threads() -> int:
    """Return how many threads an operation called now, here, may use."""
    if _chosen is not None:
        return _chosen
    return 1 if _in_loader_worker() else available_cpus()


def available_cpus() -> int:
    """Return the number of CPUs this process may use: its affinity, cut by a cgroup quota if there is one."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        count = os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, count if quota is None else min(count, math.ceil(quota)))


@cache
def _cgroup_quota() -> float | None:
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) / int(period)


def _in_loader_worker() -> bool:
    # Asked of the loaded module only: a process that never imported torch's loader is no worker of it.
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.get_worker_info() is not None


def for_each_range(count: int, threads: int, body: Callable[[int, int], None]) -> None:
    """Call ``body(first, last)`` on ranges that cover ``0..count``, on up to ``threads`` threads.

    For kernels that release the GIL. Exceptions of ``body`` are raised here.
    """
    global _executor
    threads = min(threads, count)
    if threads <= 1:
        body(0, count)
        return
    # A pool inherited through fork has no threads left: each process makes its own.
    if _executor is None or _executor[0] != os.getpid() or _executor[1] < threads:
        _executor = (os.getpid(), threads, ThreadPoolExecutor(threads, thread_name_prefix="plr_fast"))
    edges = [count * i // threads for i in range(threads + 1)]
    futures = [_executor[2].submit(body, first, last) for first, last in pairwise(edges)]
    for future in futures:
        future.result()
