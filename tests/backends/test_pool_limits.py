"""Where the system gives no more memory or threads: a clear error or fewer threads, and all works again afterwards."""

from __future__ import annotations

import sys

import pytest

from tests.backends.processes import POOLS, run_on

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces limits of the address space")

# Scratch memory for min-max grey, the whole sample in float32, is allocated inside the threads.
NO_MEMORY = """
    import resource
    import numpy as np
    import plr_fast

    plr_fast.set_num_threads(2)
    out = np.empty((4, 2048, 2048), np.uint8)
    small = np.empty((4, 32, 32), np.uint8)

    def noise(out):
        return plr_fast.perlin_noise(out.shape, dtype="uint8", grey="minmax", out=out).copy()

    before = noise(small)
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (8 << 20), resource.RLIM_INFINITY))
    try:
        noise(out)
        print("no error")
    except MemoryError:
        print("MemoryError")
    print(np.array_equal(noise(small), before))
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(noise(out).max())
"""


@pytest.mark.parametrize("pool", POOLS)
def test_lack_of_memory_in_a_thread_is_a_memory_error(pool: str) -> None:
    assert run_on(pool, NO_MEMORY).split() == ["MemoryError", "True", "255"]


# Every thread needs address space for its stack: under the limit a few can be started, hundreds cannot.
NO_THREADS = """
    import os, resource
    import numpy as np
    import plr_fast

    def noise():
        out = np.empty((600, 8, 8), np.float32)
        return plr_fast.perlin_noise(out.shape, out=out)

    plr_fast.set_num_threads(1)
    expected = noise()
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (100 << 20), resource.RLIM_INFINITY))
    plr_fast.set_num_threads(600)
    print(*(np.array_equal(noise(), expected) for _ in range(3)))
    print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.parametrize("pool", POOLS)
def test_fewer_threads_do_where_no_more_can_be_started(pool: str) -> None:
    *right, threads = run_on(pool, NO_THREADS).split()
    assert right == ["True"] * 3
    assert int(threads) < 100
