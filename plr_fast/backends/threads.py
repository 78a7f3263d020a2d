"""How many threads an operation may use, and a way for the Python backends to use them."""

from __future__ import annotations

import math
import operator
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return None
    return quota_of(groups, Path("/sys/fs/cgroup"))


def quota_of(groups: str, root: Path) -> float | None:
    """Return the lowest quota, in CPUs, of a process's control groups and all groups above them; None if none has one.

    ``groups`` is the text of /proc/PID/cgroup, ``root`` where control groups are mounted. A container may see the names
    of groups that are not mounted inside it: what is not there sets no quota.
    """
    quotas: list[float | None] = []
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / controllers  # version 2 names no controllers and lies at the root
        group = top / path.lstrip("/")
        quotas += [_quota(folder) for folder in (group, *group.parents) if folder.is_relative_to(top)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(group: Path) -> float | None:
    """Return the quota that stands in one group: ``cpu.max`` in version 2, two files in version 1."""
    try:
        if (group / "cpu.max").exists():
            limit, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            limit = (group / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (group / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return None if limit in ("max", "-1") else int(limit) / int(period)


def _in_loader_worker() -> bool:
    # Asked of the loaded module only: a process that never imported torch's loader is no worker of it.
    data = sys.modules.get("torch.utils.data")
    return data is not None and data.get_worker_info() is not None


class _Job:
    """The ranges of one :func:`for_each_range`: whoever is free takes the next one."""

    def __init__(self, count: int, parts: int, body: Callable[[int, int], None]) -> None:
        self._ranges = deque(pairwise([count * i // parts for i in range(parts + 1)]))
        self._parts = parts
        self._done = threading.Semaphore(0)
        self._errors: list[BaseException] = []
        self._body = body

    def run(self) -> None:
        """Work on ranges until none is left to begin. Errors are kept for :meth:`wait`."""
        while True:
            try:
                first, last = self._ranges.popleft()
            except IndexError:
                return
            try:
                self._body(first, last)
            except BaseException as error:
                self._errors.append(error)
            finally:
                self._done.release()

    def wait(self) -> None:
        """Return once every range is done, so that no helper touches the arrays any more. Raise the first error."""
        for _ in range(self._parts):
            self._done.acquire()
        if self._errors:
            raise self._errors[0]


def for_each_range(count: int, threads: int, body: Callable[[int, int], None]) -> None:
    """Call ``body(first, last)`` on ranges that cover ``0..count``, on up to ``threads`` threads, this one included.

    For kernels that release the GIL. An exception of ``body`` is raised here, once all ranges are done.
    """
    threads = min(threads, count)
    if threads <= 1:
        body(0, count)
        return
    job = _Job(count, threads, body)
    helpers = _helpers(threads - 1)
    # RuntimeError: no more threads to be had, or the interpreter is ending. Those that have joined in will do.
    with suppress(RuntimeError):
        for _ in range(threads - 1):
            helpers.submit(job.run)
    job.run()
    job.wait()


def _helpers(size: int) -> ThreadPoolExecutor:
    """Return this process's helpers, at least ``size``. Those inherited through fork have no threads: make new ones."""
    global _executor
    held = _executor
    if held is None or held[0] != os.getpid() or held[1] < size:
        held = (os.getpid(), size, ThreadPoolExecutor(size, thread_name_prefix="plr_fast"))
        _executor = held
    return held[2]
