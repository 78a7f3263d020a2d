"""The end of the interpreter: while threads sleep, while they compute, and in exit handlers."""

from __future__ import annotations

import pytest

from tests.backends.processes import POOLS, run_on

ASLEEP = """
    import atexit
    import numpy as np
    import plr_fast

    plr_fast.set_num_threads(4)

    def noise():
        out = np.empty((8, 64, 64), np.float32)
        return plr_fast.perlin_noise(out.shape, out=out)

    before = noise()
    atexit.register(lambda: print("the same after all", np.array_equal(noise(), before)))
"""


@pytest.mark.parametrize("pool", POOLS)
def test_process_ends_while_threads_sleep_and_exit_handlers_may_compute(pool: str) -> None:
    assert run_on(pool, ASLEEP).strip() == "the same after all True"


# ``out`` is a NumPy array: torch allocates without the GIL, and before Python 3.14 its own guard aborts a daemon thread
# that comes back from there at the end (the very thing that csrc/bind/gil.h avoids).
COMPUTING = """
    import threading
    import numpy as np
    import plr_fast

    plr_fast.set_num_threads(2)
    started = threading.Barrier(4)

    def work():
        out = np.empty((16, 256, 256), np.float32)
        plr_fast.perlin_noise(out.shape, out=out)
        started.wait()
        while True:
            plr_fast.perlin_noise(out.shape, out=out)

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    started.wait()
    print("ends now")
"""


@pytest.mark.parametrize("pool", POOLS)
def test_process_ends_while_daemon_threads_compute(pool: str) -> None:
    assert run_on(pool, COMPUTING).strip() == "ends now"
